//! All tunnels, again every second.

use super::list::{HEADERS, row};
use crate::error::Error;
use crate::terminal::Screen;
use kith_agent::status::Status;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(
    mut all: Vec<Status>,
    mut again: impl FnMut() -> Result<Vec<Status>, Error>,
) -> Result<u8, Error> {
    let mut screen = Screen::take("use the terminal (without one, leave --live away)")?;
    while screen.show(|frame| draw(frame, &all), INTERVAL)? {
        all = again()?;
    }
    Ok(0)
}

fn draw(frame: &mut Frame<'_>, all: &[Status]) {
    // A line for each member of this device and an empty one around it, headers, tunnels.
    let heights = all
        .iter()
        .map(|status| Constraint::Length(status.peers.len() as u16 + 4));
    let areas =
        Layout::vertical(heights.chain([Constraint::Min(0), Constraint::Length(1)])).split(frame.area());
    for (status, area) in all.iter().zip(areas.iter()) {
        draw_one(frame, *area, status);
    }
    if let Some(foot) = areas.last() {
        frame.render_widget(Paragraph::new("q ends"), *foot);
    }
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, status: &Status) {
    let [head, body] = Layout::vertical([Constraint::Length(2), Constraint::Min(1)]).areas(area);
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
}
