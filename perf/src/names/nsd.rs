//! NSD with one server process, the way its manual says, without what would slow it: no rate limit, no database, no log.

use super::{DOMAIN, MEMBERS, address, name};
use crate::BenchError;
use crate::measure::clock;
use crate::overlay::which;
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fmt::Write;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Where it is, if anywhere.
pub fn program() -> Option<PathBuf> {
    which("nsd")
}

/// It runs, until dropped.
pub struct Nsd {
    pub port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Nsd {
    /// Starts it and waits until it answers.
    pub fn start() -> Result<Self, BenchError> {
        let program = program().ok_or_else(|| failed("it is not there: tests/setup bench"))?;
        let folder = tempfile::tempdir().map_err(BenchError::io("a folder for nsd"))?;
        // Somebody else may take the port before NSD does; then it says so and ends.
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(BenchError::io("a port for nsd"))?.port();
        write(
            &folder.path().join("nsd.conf"),
            &configuration(folder.path(), port),
        )?;
        write(&folder.path().join("zone"), &zone())?;
        let child = Command::new(&program)
            .arg("-d")
            .arg("-c")
            .arg(folder.path().join("nsd.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io("nsd"))?;
        let mut nsd = Self {
            port,
            child,
            _folder: folder,
        };
        nsd.wait()?;
        Ok(nsd)
    }

    /// CPU time of all its processes.
    pub fn cpu(&self) -> Duration {
        let of = |pid: Pid| ClockId::pid_cpu_clock_id(pid).map_or(Duration::ZERO, clock);
        self.processes().into_iter().map(of).sum()
    }

    /// Itself, and all that descend from it.
    fn processes(&self) -> Vec<Pid> {
        let mut found = vec![self.child.id() as i32];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children =
                fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
            next += 1;
        }
        found.into_iter().map(Pid::from_raw).collect()
    }

    fn wait(&mut self) -> Result<(), BenchError> {
        let io = |source| BenchError::Io {
            what: "asking nsd".into(),
            source,
        };
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(io)?;
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .map_err(io)?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(failed(&format!("ended: {status}")));
            }
            let question = super::client::question(0);
            let _nobody_listens_yet = socket.send_to(&question, ("127.0.0.1", self.port));
            if socket.recv(&mut [0; 512]).is_ok() {
                return Ok(());
            }
        }
        Err(failed("does not answer"))
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _gone = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "server:\n  server-count: 1\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  database: \"\"\n\
         \x20 zonesdir: \"{folder}\"\n  pidfile: \"{folder}/pid\"\n  xfrdfile: \"{folder}/xfrd\"\n  xfrdir: \"{folder}\"\n\
         \x20 zonelistfile: \"{folder}/zonelist\"\n  logfile: \"{folder}/log\"\n  verbosity: 0\n  rrl-ratelimit: 0\n\
         \x20 receive-buffer-size: 4194304\n  send-buffer-size: 4194304\n  minimal-responses: yes\n  round-robin: no\n\
         remote-control:\n  control-enable: no\nzone:\n  name: {DOMAIN}\n  zonefile: zone\n"
    )
}

fn zone() -> String {
    let mut text = format!(
        "$ORIGIN {DOMAIN}.\n$TTL 30\n@ SOA ns hostmaster 1 3600 600 86400 30\n@ NS ns\nns A 10.77.0.1\n"
    );
    for member in 0..MEMBERS {
        // Writing to a string does not fail.
        let _fits = writeln!(text, "{}. A {}", name(member), address(member));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::io(format!("{}", path.display())))
}

fn failed(what: &str) -> BenchError {
    BenchError::Program {
        program: "nsd".into(),
        what: what.into(),
    }
}
