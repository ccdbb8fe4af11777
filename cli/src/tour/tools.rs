//! Programs on nodes: run to their end within a time, or in the background until dropped.

use super::Tour;
use crate::error::Error;
use crate::lab::exec;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

/// What a program left behind.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) ok: bool,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// Both outputs, for messages.
    pub(super) fn said(&self) -> String {
        let both = format!("{}\n{}", self.out.trim(), self.err.trim());
        let lines: Vec<_> = both.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// A program in the background; ended when dropped.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Asks it to end (SIGINT, which tcpdump takes as "write all and end") and waits for that.
    pub(super) fn finish(mut self) {
        self.signal(Signal::SIGINT);
        for _ in 0..150 {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has ended by itself; whether it has.
    pub(super) fn wait(&mut self, tour: &Tour, limit: Duration) -> Result<bool, Error> {
        let ended = tour.stop.wait(limit, Duration::from_millis(20), || {
            Ok(matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)).then_some(()))
        })?;
        Ok(ended.is_some())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // Not waited for yet, so the id is still this child's.
            let _gone = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            let _reaped = self.0.wait();
        }
    }
}

impl Tour {
    /// Runs a program on a node, at most `seconds` long.
    pub(super) fn on(&self, node: &str, seconds: u32, argv: &[&str]) -> Result<Ran, Error> {
        self.stop.check()?;
        let mut command = exec::inside(&self.record, node)?;
        command
            .args(["timeout", "-k", "1", &seconds.to_string()])
            .args(argv)
            .stdin(Stdio::null());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().map_err(|source| Error::Start {
            program: "ip".into(),
            source,
        })?;
        self.stop.check()?;
        Ok(Ran {
            ok: status.success(),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Starts a program on a node; its output goes to a file in the tour's folder.
    pub(super) fn background(&self, node: &str, log: &str, argv: &[&str]) -> Result<Running, Error> {
        let path = self.work.join(log);
        let fail = |source| Error::Io {
            doing: "open",
            path: path.clone(),
            source,
        };
        let out = File::create(&path).map_err(fail)?;
        let err = out.try_clone().map_err(fail)?;
        let child = exec::inside(&self.record, node)?
            .args(argv)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        child.map(Running).map_err(|source| Error::Start {
            program: "ip".into(),
            source,
        })
    }

    /// What a program in the background has said so far.
    pub(super) fn log(&self, log: &str) -> String {
        let text = std::fs::read(self.work.join(log)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until somebody listens on a TCP port of a node.
    pub(super) fn wait_listen(&self, node: &str, port: u16) -> Result<bool, Error> {
        self.wait_listen_at(node, "", port)
    }

    /// The same at one address of the node; at any, if it is empty.
    pub(super) fn wait_listen_at(&self, node: &str, address: &str, port: u16) -> Result<bool, Error> {
        let filter = match address {
            "" => format!("sport = :{port}"),
            address => format!("src {address} and sport = :{port}"),
        };
        let found = self
            .stop
            .wait(Duration::from_secs(10), Duration::from_millis(50), || {
                let listening = self.on(node, 5, &["ss", "-Hltn", &filter])?;
                Ok((!listening.out.trim().is_empty()).then_some(()))
            })?;
        Ok(found.is_some())
    }
}
