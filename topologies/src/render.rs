//! Diagnostics as text, with the line of the file and a mark under what it is about:
//!
//! ```text
//! error[unknown-reference]: no director is named `nrd2`
//!   --> lab.yaml:31:15
//!    |
//! 31 |     director: nrd2
//!    |               ^^^^
//!    = help: did you mean `nrd1`?
//! ```

use crate::{Diagnostic, Diagnostics, Severity};
use std::fmt;

impl Diagnostics {
    /// All of them as text, with a line of sums at the end. `colour` is for terminals only; without it there is no escape.
    pub fn render(&self, colour: bool) -> String {
        let mut out: String = self.iter().map(|d| d.render(colour) + "\n").collect();
        out.push_str(&self.sums());
        out
    }

    fn sums(&self) -> String {
        let errors = self.iter().filter(|d| d.severity == Severity::Error).count();
        let count = |n: usize, what: &str| match n {
            0 => String::new(),
            1 => format!("1 {what}"),
            _ => format!("{n} {what}s"),
        };
        let parts = [count(errors, "error"), count(self.len() - errors, "warning")];
        let parts: Vec<_> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        if parts.is_empty() {
            "no mistakes\n".into()
        } else {
            parts.join(", ") + "\n"
        }
    }
}

impl Diagnostic {
    /// This one as text, ending in a new line.
    pub fn render(&self, colour: bool) -> String {
        let paint = |code: &'static str| if colour { code } else { "" };
        let (bold, blue, off) = (paint("\x1b[1m"), paint("\x1b[1;34m"), paint("\x1b[0m"));
        let (word, hue) = match self.severity {
            Severity::Error => ("error", paint("\x1b[1;31m")),
            Severity::Warning => ("warning", paint("\x1b[1;33m")),
        };
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        // Control characters of a hostile file must not reach the terminal; a tab is one column in the count above.
        let source: String = clean(&self.source);
        let file = clean(&self.file);
        let (line, column, code) = (self.line, self.column, self.code);
        let message = clean(&self.message);
        let mut out = format!("{hue}{word}[{code}]{off}{bold}: {message}{off}\n");
        out += &format!("{pad}{blue}-->{off} {file}:{line}:{column}\n");
        if !source.trim().is_empty() {
            let width = source.chars().count();
            let before = (column - 1).min(width);
            let under = (self.span.len()).clamp(1, (width - before).max(1));
            let (space, caret) = (" ".repeat(before), "^".repeat(under));
            out += &format!(
                "{pad} {blue}|{off}\n{blue}{number} |{off} {source}\n{pad} {blue}|{off} {space}{hue}{caret}{off}\n"
            );
        }
        out += &format!("{pad} {blue}={off} {bold}help{off}: {}\n", clean(&self.help));
        out
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Code, diagnostic::Sink};

    #[test]
    fn a_mark_stands_under_the_value() {
        let mut sink = Sink::new("lab.yaml", "a: 1\ndirector: nrd2\n");
        sink.error(
            15..19,
            Code::UnknownReference,
            "no director is named `nrd2`",
            "did you mean `nrd1`?",
        );
        let text = sink.finish().render(false);
        assert_eq!(
            text,
            "error[unknown-reference]: no director is named `nrd2`\n --> lab.yaml:2:11\n  |\n2 | director: nrd2\n  |           ^^^^\n  = help: did you mean `nrd1`?\n\n1 error\n"
        );
    }

    #[test]
    fn colour_is_only_there_when_asked_for_and_a_hostile_file_brings_none() {
        let mut sink = Sink::new("lab\x1b[31m.yaml", "a: \x1b[31mred\n");
        sink.warning(3..9, Code::BadValue, "\x1b[31m", "\x1b");
        let found = sink.finish();
        assert!(!found.render(false).contains('\x1b'));
        assert!(found.render(true).contains("\x1b[1;33mwarning"));
    }
}
