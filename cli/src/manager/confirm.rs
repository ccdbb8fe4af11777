//! "Are you sure?", where somebody is there to be asked.

use super::error::ManagerError;
use crate::error::Error;
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};

/// Whether to ask.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Yes {
    /// Do not ask for confirmation (asked only on a terminal).
    #[arg(short, long)]
    yes: bool,
}

impl Yes {
    /// Asks, if input and errors are a person's terminal. Scripts are taken at their word.
    pub(super) fn sure(self, question: &str) -> Result<(), Error> {
        if self.yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(());
        }
        ask(question, &mut io::stdin().lock(), &mut io::stderr())
    }

    /// Asks, and where nobody can be asked nobody has agreed: for what a script must say in so many words.
    pub(crate) fn agreed(self, question: &str) -> Result<(), Error> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(ManagerError::NobodyToAsk.into());
        }
        ask(question, &mut io::stdin().lock(), &mut io::stderr())
    }
}

fn ask(question: &str, answers: &mut impl BufRead, out: &mut impl Write) -> Result<(), Error> {
    let mut answer = String::new();
    let asked = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
    // Who cannot be asked has not agreed.
    let heard = asked.and_then(|()| answers.read_line(&mut answer));
    match (heard, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(ManagerError::Declined.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        let answered = |answer: &str| {
            let mut out = Vec::new();
            let sure = ask("Delete a?", &mut answer.as_bytes(), &mut out).is_ok();
            assert_eq!(out, b"Delete a? [y/N] ");
            sure
        };
        assert!(["y\n", "YES\n", " Yes"].into_iter().all(answered));
        assert!(!["", "\n", "n\n", "yeah\n", "yes no\n"].into_iter().any(answered));
    }
}
