//! The subcommands of `kith-agent`, as functions: what they say goes through [`Terminal`], so that tests can be the user.

pub mod enroll;
pub mod keep;
pub mod run;
pub mod up;

use std::io::{self, BufRead, Write};

/// The user.
pub trait Terminal {
    /// Tells the user something; a line.
    fn say(&mut self, line: &str);
    /// Asks, and waits for a line; `None` if nobody answers any more.
    fn ask(&mut self, prompt: &str) -> Option<String>;
}

/// The user at the other end of standard input and output.
pub struct Console;

/// No line that is typed is longer.
const LONGEST_LINE: u64 = 4096;

impl Terminal for Console {
    fn say(&mut self, line: &str) {
        println!("{line}");
    }

    fn ask(&mut self, prompt: &str) -> Option<String> {
        print!("{prompt}");
        // If that does not arrive, no answer will.
        io::stdout().flush().ok()?;
        let mut line = String::new();
        let read = io::Read::take(io::stdin().lock(), LONGEST_LINE).read_line(&mut line);
        (read.ok()? > 0).then_some(line)
    }
}
