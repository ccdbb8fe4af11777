//! Two network namespaces with a wire between them, gone when this value is.

use crate::BenchError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

pub const SIDES: [Side; 2] = [Side::A, Side::B];
/// The wire's interface, on both sides.
const WIRE: &str = "kb-wire";
/// How long an overlay may take until its members reach each other.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Lab {
    namespaces: [String; 2],
    children: Vec<Child>,
    folder: TempDir,
}

impl Side {
    pub fn index(self) -> usize {
        self as usize
    }

    pub fn other(self) -> Self {
        SIDES[1 - self.index()]
    }

    pub fn letter(self) -> char {
        ['a', 'b'][self.index()]
    }

    /// Its address on the wire.
    pub fn outer(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, 0, 1 + self.index() as u8)
    }

    /// Its address in the overlay with this number.
    pub fn inner(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, number, 1 + self.index() as u8)
    }
}

impl Lab {
    pub fn new() -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new().prefix("kith-bench-").tempdir();
        let lab = Self {
            namespaces: SIDES.map(|side| format!("kb-{}-{}", side.letter(), std::process::id())),
            children: Vec::new(),
            folder: folder.map_err(BenchError::io("make a temporary folder"))?,
        };
        for namespace in lab.namespaces.clone() {
            lab.ip(&["netns", "add", &namespace])?;
        }
        // Both ends are born in their namespaces: nothing of the host's own network is touched.
        let [a, b] = lab.namespaces.clone();
        lab.ip(&[
            "-n", &a, "link", "add", WIRE, "type", "veth", "peer", "name", WIRE, "netns", &b,
        ])?;
        for side in SIDES {
            lab.address(side, WIRE, side.outer())?;
            lab.ip(&["-n", &lab.namespaces[side.index()], "link", "set", "lo", "up"])?;
        }
        Ok(lab)
    }

    /// A place for the files of one program on one side.
    pub fn folder(&self, program: &str, side: Side) -> Result<PathBuf, BenchError> {
        let path = self.folder.path().join(format!("{program}-{}", side.letter()));
        std::fs::create_dir_all(&path).map_err(BenchError::io(format!("{}", path.display())))?;
        Ok(path)
    }

    /// Runs a program on one side to its end, and gives what it printed.
    pub fn run(&self, side: Side, program: &[&str]) -> Result<String, BenchError> {
        let namespace = &self.namespaces[side.index()];
        run(
            Command::new("ip")
                .args(["netns", "exec", namespace])
                .args(program),
            program,
        )
    }

    /// Starts a program on one side, to run as long as the lab does; its output goes to a file in `folder`.
    pub fn spawn(
        &mut self,
        side: Side,
        program: &[&str],
        env: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Pid, BenchError> {
        let log = folder.join("log");
        let log = File::create(&log).map_err(BenchError::io(format!("{}", log.display())))?;
        let log_too = log.try_clone().map_err(BenchError::io("a log's second handle"))?;
        // `ip netns exec` becomes the program, so its process is the program's.
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespaces[side.index()]])
            .args(program)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .map_err(BenchError::io(program.join(" ")))?;
        let pid = Pid::from_raw(child.id() as i32);
        self.children.push(child);
        Ok(pid)
    }

    /// Gives an interface an address in a network of 24 bits and brings it up. Waits for it to appear.
    pub fn address(&self, side: Side, interface: &str, address: Ipv4Addr) -> Result<(), BenchError> {
        let namespace = &self.namespaces[side.index()];
        let begin = Instant::now();
        while self
            .ip(&["-n", namespace, "link", "show", "dev", interface])
            .is_err()
            && begin.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let address = format!("{address}/24");
        self.ip(&["-n", namespace, "address", "replace", &address, "dev", interface])?;
        self.ip(&["-n", namespace, "link", "set", interface, "up"])
    }

    /// Waits until side A reaches an address.
    pub fn reaches(&self, far: Ipv4Addr) -> Result<(), BenchError> {
        let begin = Instant::now();
        let far = far.to_string();
        loop {
            match self.run(Side::A, &["ping", "-c", "1", "-W", "1", &far]) {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Starts what takes the streams, on side B.
    pub fn serve(&mut self) -> Result<(), BenchError> {
        let folder = self.folder("iperf3", Side::B)?;
        self.spawn(Side::B, &["iperf3", "--server"], &[], &folder)?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    /// One TCP stream from A: octets that arrived, and Gbit/s.
    pub fn stream(&self, far: Ipv4Addr, seconds: u64) -> Result<(f64, f64), BenchError> {
        let (far, seconds) = (far.to_string(), seconds.to_string());
        let printed = self.run(
            Side::A,
            &["iperf3", "--json", "--time", &seconds, "--client", &far],
        )?;
        received(&printed).ok_or_else(|| BenchError::Program {
            program: "iperf3".into(),
            what: printed,
        })
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), BenchError> {
        run(Command::new("ip").args(arguments), &["ip"]).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What fails here is gone already; there is nothing else to try.
        for child in &self.children {
            let _gone = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        }
        let begin = Instant::now();
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _gone = child.kill();
            let _gone = child.wait();
        }
        for namespace in &self.namespaces {
            let _gone = self.ip(&["netns", "delete", namespace]);
        }
    }
}

/// Where a program is, if anywhere on the path.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    // Daemons are in sbin, which not every shell has on its path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a command to its end.
pub fn run(command: &mut Command, named: &[&str]) -> Result<String, BenchError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::io(named.join(" ")))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(BenchError::Program {
        program: named.join(" "),
        what: format!(
            "{}: {printed}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    })
}

fn received(printed: &str) -> Option<(f64, f64)> {
    let report: Value = serde_json::from_str(printed).ok()?;
    let sum = &report["end"]["sum_received"];
    let bytes = sum["bytes"].as_f64().filter(|bytes| *bytes > 0.0)?;
    Some((bytes, sum["bits_per_second"].as_f64()? / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_read_and_nothing_is_no_figure() {
        let printed = r#"{"end":{"sum_received":{"bytes":125000000,"bits_per_second":1e9}}}"#;
        assert_eq!(received(printed), Some((125e6, 1.0)));
        assert_eq!(
            received(r#"{"end":{"sum_received":{"bytes":0,"bits_per_second":0}}}"#),
            None
        );
        assert_eq!(received(r#"{"error":"unable to connect"}"#), None);
    }
}
