//! All tunnels, again every second.

use super::list::{HEADERS, row};
use crate::error::Error;
use kith_agent::status::{Status, query};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use std::path::Path;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(socket: &Path, first: Status) -> Result<u8, Error> {
    let mut terminal = ratatui::try_init().map_err(terminal_error)?;
    let result = show(&mut terminal, socket, first);
    ratatui::restore();
    result.map(|()| 0)
}

fn terminal_error(source: std::io::Error) -> Error {
    Error::Io {
        doing: "use the terminal (without one, leave --live away)",
        path: "/dev/tty".into(),
        source,
    }
}

fn show(terminal: &mut DefaultTerminal, socket: &Path, mut status: Status) -> Result<(), Error> {
    loop {
        terminal
            .draw(|frame| draw(frame, &status))
            .map_err(terminal_error)?;
        if !pause()? {
            return Ok(());
        }
        status = query(socket)?;
    }
}

/// Waits; false if the user wants no more.
fn pause() -> Result<bool, Error> {
    let end = Instant::now() + INTERVAL;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if !event::poll(left).map_err(terminal_error)? {
            return Ok(true);
        }
        if let Event::Key(key) = event::read().map_err(terminal_error)? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(false);
            }
        }
    }
}

fn draw(frame: &mut Frame<'_>, status: &Status) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let rows: Vec<Vec<String>> = status.peers.iter().map(row).collect();
    let names = HEADERS.map(|header| header.trim_start_matches('>').to_uppercase());
    let widths = (0..HEADERS.len()).map(|at| {
        let longest = rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
        Constraint::Length(u16::try_from(longest.max(names[at].len())).unwrap_or(u16::MAX))
    });
    let widths: Vec<Constraint> = widths.collect();
    frame.render_widget(Line::from(format!("{} at {}", status.name, status.address)), head);
    let header = Row::new(names).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows.into_iter().map(Row::new), widths)
        .header(header)
        .column_spacing(2);
    frame.render_widget(table, body);
    frame.render_widget(Paragraph::new("q ends"), foot);
}
