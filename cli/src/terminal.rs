//! Pictures that go on: the whole terminal, drawn again and again until somebody wants no more.

use crate::error::Error;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use std::io;
use std::time::{Duration, Instant};

/// The terminal while something is shown on it; given back when this is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
    /// What to do without a terminal.
    instead: &'static str,
}

impl Screen {
    /// Takes the terminal. `instead` is what to do where there is none.
    ///
    /// # Errors
    /// If there is none.
    pub fn take(instead: &'static str) -> Result<Self, Error> {
        let terminal = ratatui::try_init().map_err(|source| error(instead, source))?;
        Ok(Self { terminal, instead })
    }

    /// Draws, then waits; false if the user wants no more.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn show(&mut self, draw: impl FnOnce(&mut Frame<'_>), interval: Duration) -> Result<bool, Error> {
        let drawn = self.terminal.draw(draw);
        drawn.map_err(|source| error(self.instead, source))?;
        pause(interval).map_err(|source| error(self.instead, source))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn pause(interval: Duration) -> io::Result<bool> {
    let end = Instant::now() + interval;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if !event::poll(left)? {
            return Ok(true);
        }
        if let Event::Key(key) = event::read()? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(false);
            }
        }
    }
}

fn error(doing: &'static str, source: io::Error) -> Error {
    Error::Io {
        doing,
        path: "/dev/tty".into(),
        source,
    }
}
