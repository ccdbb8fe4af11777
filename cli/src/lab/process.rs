//! Processes of a lab: started in a namespace, recognised later, ended.
//!
//! A process id alone may have been given to somebody else since; together with the process's start time it names one process.

use super::record::{Record, io};
use crate::error::Error;
use crate::stop::Stop;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A daemon of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The node that it runs on.
    pub node: String,
    /// The program.
    pub program: String,
    /// Its process id.
    pub pid: i32,
    /// When it was started, in ticks since boot.
    pub started: u64,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it is asked.
    pub socket: PathBuf,
}

impl Process {
    /// Whether it still runs: the id names a process, the same one, and not only its remains.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(stat(self.pid), Some((state, started)) if started == self.started && state != 'Z')
    }

    /// Sends a signal, if it is still the same process.
    pub fn signal(&self, signal: Signal) {
        if self.runs() {
            // It may end between the two; then there is nothing to do.
            let _gone = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_end(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        let from = all.len().saturating_sub(lines);
        all[from..]
            .iter()
            .map(|line| format!("  | {line}\n"))
            .collect::<String>()
            .trim_end()
            .to_owned()
    }
}

/// Starts a program in a node's namespace, its output appended to a log. It outlives us, and Ctrl-C on our terminal is not its.
pub fn start(
    record: &Record,
    node: &str,
    program: &Path,
    arguments: &[&str],
    socket: PathBuf,
) -> Result<Process, Error> {
    let namespace = &record.node(node)?.namespace;
    let log = record.file(&format!("{node}.log"));
    let output = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log)
        .map_err(|source| io("open", &log, source))?;
    let errors = output.try_clone().map_err(|source| io("open", &log, source))?;
    let child = Command::new("ip")
        .args(["netns", "exec", namespace])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Start {
            program: "ip".into(),
            source,
        })?;
    // `ip` becomes the program: same process, same start time.
    let pid =
        i32::try_from(child.id()).unwrap_or_else(|_| unreachable!("Linux process ids are positive i32"));
    let started = stat(pid).map_or(0, |(_, started)| started);
    let program = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Process {
        node: node.to_owned(),
        program,
        pid,
        started,
        log,
        socket,
    })
}

/// Ends processes: asks them, waits `patience`, then kills what is left.
pub fn end(processes: &[Process], patience: Duration) {
    for process in processes {
        process.signal(Signal::SIGTERM);
    }
    let gone = || Ok(processes.iter().all(|process| !process.runs()).then_some(()));
    let pause = Duration::from_millis(20);
    // The end must not be interrupted: a fresh `Stop` never is.
    if !matches!(Stop::default().wait(patience, pause, gone), Ok(Some(()))) {
        for process in processes {
            process.signal(Signal::SIGKILL);
        }
        let _best_effort = Stop::default().wait(Duration::from_secs(1), pause, gone);
    }
}

/// Processes by their ids alone, as namespaces list them.
#[must_use]
pub fn named(pids: &str) -> Vec<Process> {
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(|pid| {
        let (_, started) = stat(pid)?;
        Some(Process {
            node: String::new(),
            program: String::new(),
            pid,
            started,
            log: PathBuf::new(),
            socket: PathBuf::new(),
        })
    })
    .collect()
}

/// State and start time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5): fields 3 and 22; field 2 is a name in parentheses that may hold anything, parentheses too.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::Instant;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(&format!("7 (a) R 9 (b)) {rest}")), Some(('S', 4711)));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn another_process_with_the_same_id_is_not_ours() {
        let own = named(&std::process::id().to_string()).remove(0);
        assert!(own.runs());
        let other = Process {
            started: own.started + 1,
            ..own
        };
        assert!(!other.runs());
        // Would end this very test if it were taken for ours.
        other.signal(Signal::SIGKILL);
    }

    #[test]
    fn a_process_that_does_not_listen_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo deaf; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        let process = named(&child.id().to_string()).remove(0);
        let (begun, patience) = (Instant::now(), Duration::from_millis(200));
        end(std::slice::from_ref(&process), patience);
        assert!(begun.elapsed() >= patience, "it was asked first");
        assert!(!process.runs());
        child.wait().unwrap();
    }
}
