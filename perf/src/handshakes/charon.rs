//! strongSwan's daemon with what the measurement needs and nothing else: no kernel, no limits on newcomers, no log.

use super::{SECRET, SERVER};
use crate::BenchError;
use crate::measure::clock;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/lib/ipsec/charon";
const PORT: u16 = 500;
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it is, if anywhere.
pub fn program() -> Option<PathBuf> {
    let path = PathBuf::from(PROGRAM);
    (path.exists() && crate::overlay::which("swanctl").is_some()).then_some(path)
}

/// It runs, until dropped.
pub struct Charon {
    namespace: String,
    child: Option<Child>,
    folder: tempfile::TempDir,
}

impl Charon {
    /// Starts it in a namespace of its own and waits until it has its configuration.
    pub fn start() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("a folder for strongSwan"))?;
        let namespace = format!("kt-ike-{}", std::process::id());
        ip(&["netns", "add", &namespace])?;
        let mut charon = Self {
            namespace,
            child: None,
            folder,
        };
        ip(&["-n", &charon.namespace, "link", "set", "lo", "up"])?;
        let at = charon.folder.path();
        let socket = at.join("vici");
        write(&at.join("strongswan.conf"), &settings(&socket))?;
        write(&at.join("swanctl.conf"), &connections())?;
        // It insists on its file in /run, of which this machine has only one.
        let script = format!("mount -t tmpfs tmpfs /run && exec {PROGRAM}");
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &charon.namespace,
                "unshare",
                "-m",
                "sh",
                "-c",
                &script,
            ])
            .env("STRONGSWAN_CONF", at.join("strongswan.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io(PROGRAM))?;
        charon.child = Some(child);
        let begun = Instant::now();
        loop {
            let loaded = Command::new("swanctl")
                .args(["--load-all", "--uri"])
                .arg(format!("unix://{}", socket.display()))
                .arg("--file")
                .arg(at.join("swanctl.conf"))
                .output()
                .map_err(BenchError::io("swanctl"))?;
            if loaded.status.success() {
                return Ok(charon);
            }
            if begun.elapsed() > PATIENCE {
                return Err(BenchError::Program {
                    program: "charon".to_owned(),
                    what: String::from_utf8_lossy(&loaded.stderr).into_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Where it listens, in its namespace.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, PORT).into()
    }

    /// A socket in its namespace.
    pub fn socket(&self) -> Result<UdpSocket, BenchError> {
        let there = format!("/run/netns/{}", self.namespace);
        let there = File::open(there).map_err(BenchError::io("the namespace"))?;
        // A thread of its own goes there; the socket stays when it has ended.
        let bound = std::thread::spawn(move || {
            setns(there, CloneFlags::CLONE_NEWNET)?;
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        });
        let bound = bound
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("a panic")));
        bound.map_err(BenchError::io("a socket in the namespace"))
    }

    /// CPU time of all its threads.
    pub fn cpu(&self) -> Duration {
        let pid = self.child.as_ref().map_or(0, |child| child.id() as i32);
        ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).map_or(Duration::ZERO, clock)
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _gone = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _waited = child.wait();
        }
        let _deleted = ip(&["netns", "del", &self.namespace]);
    }
}

fn settings(socket: &std::path::Path) -> String {
    format!(
        "charon {{
  load = random nonce openssl kdf kernel-netlink socket-default vici
  cookie_threshold = 0
  block_threshold = 0
  init_limit_half_open = 0
  ikesa_table_size = 1024
  ikesa_table_segments = 16
  install_routes = no
  filelog {{ }}
  syslog {{ daemon {{ default = -1 }} auth {{ default = -1 }} }}
  plugins {{ vici {{ socket = unix://{} }} }}
}}
",
        socket.display()
    )
}

fn connections() -> String {
    format!(
        "connections {{ bench {{
  version = 2
  proposals = aes256gcm16-prfsha256-x25519
  unique = never
  mobike = no
  local {{ auth = psk
    id = {SERVER}
  }}
  remote {{ auth = psk
  }}
  children {{ none {{ esp_proposals = aes256gcm16
    local_ts = 10.99.0.1/32
    remote_ts = 10.99.0.1/32
  }} }}
}} }}
secrets {{ ike-all {{ secret = \"{SECRET}\"
}} }}
"
    )
}

fn write(path: &std::path::Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::io(path.display().to_string()))
}

fn ip(arguments: &[&str]) -> Result<(), BenchError> {
    let done = Command::new("ip")
        .args(arguments)
        .status()
        .map_err(BenchError::io("ip"))?;
    if done.success() {
        Ok(())
    } else {
        Err(BenchError::Program {
            program: "ip".to_owned(),
            what: arguments.join(" "),
        })
    }
}
