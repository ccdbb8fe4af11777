//! A helper program to run, as data: a plan can be read and compared before anything happens.

use crate::error::Error;
use std::fmt;
use std::io::Write;
use std::process::{Command as Process, Stdio};

/// A command line and what it reads on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    argv: Vec<String>,
    input: Option<String>,
}

impl Command {
    /// Program and arguments, separated by spaces.
    #[must_use]
    pub fn line(line: &str) -> Self {
        Self {
            argv: line.split_whitespace().map(str::to_owned).collect(),
            input: None,
        }
    }

    /// Program and arguments, one by one.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            input: None,
        }
    }

    /// `line`, run inside a namespace.
    #[must_use]
    pub fn inside(namespace: &str, line: &str) -> Self {
        Self::line(&format!("ip netns exec {namespace} {line}"))
    }

    /// With this on the standard input.
    #[must_use]
    pub fn reading(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// Runs it to its end and gives what it printed. A status other than 0 is an error with what it complained about.
    pub fn run(&self) -> Result<String, Error> {
        let (program, arguments) = self
            .argv
            .split_first()
            .unwrap_or_else(|| unreachable!("a command has a program"));
        let start = |source| Error::Start {
            program: program.clone(),
            source,
        };
        let mut child = Process::new(program)
            .args(arguments)
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        if let (Some(input), Some(mut pipe)) = (&self.input, child.stdin.take()) {
            // Rules of a few kilobytes fit the pipe, so writing before reading cannot hang. A program that ended already says why below.
            let _ended = pipe.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(start)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Error::Command {
                command: self.argv.join(" "),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.argv.join(" "))?;
        for line in self.input.iter().flat_map(|input| input.lines()) {
            write!(f, "\n    | {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_input_and_complaints_go_the_right_way() {
        let echoed = Command::line("cat").reading("rules\n".into()).run().unwrap();
        assert_eq!(echoed, "rules\n");
        let failed = Command::new(["sh", "-c", "echo no >&2; exit 3"])
            .run()
            .unwrap_err();
        assert_eq!(failed.to_string(), "`sh -c echo no >&2; exit 3` failed: no");
        let missing = Command::line("kt-no-such-program").run().unwrap_err();
        assert!(matches!(missing, Error::Start { .. }));
    }
}
