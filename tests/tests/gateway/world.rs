//! A device that runs nothing of ours, a gateway before it, and a member with an agent of her own.
//!
//! ```text
//!   kt-N-l                     kt-N-g                           kt-N-a
//!  ┌──────────────┐           ┌────────────────────────┐       ┌──────────────┐
//!  │ printer      │ 192.168.1.0/24  kith-dataplane     │ 203.0.113.0/24  alice │
//!  │ .20          ├───────────┤ .1                 .30 ├───────┤ .40          │
//!  └──────────────┘    sees   │   ▲ P4Runtime          │       │ kith-agent   │
//!                 alice at .201   kith-agent gateway   │       │ 10.77.0.1    │
//!                             └────────────────────────┘       └──────────────┘      sees the printer at 10.77.0.20
//! ```

use kith_tests::installed;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How the printer sees alice, and she the printer.
pub const STAND_IN: &str = "192.168.1.201";
pub const PRINTER: &str = "10.77.0.20";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The programs of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Dataplane,
    Gateway,
    Alice,
}

/// Namespaces, programs and files; all gone when dropped.
pub struct World {
    prefix: String,
    pub folder: tempfile::TempDir,
    running: Vec<(Program, Child)>,
    others: Vec<Child>,
}

impl World {
    /// Everything runs, with so many workers and these further lines of the gateway's configuration.
    pub fn new(workers: u16, more: &str) -> Self {
        let id = Command::new("id").arg("-u").output().unwrap();
        assert_eq!(
            id.stdout, b"0\n",
            "these tests make network namespaces: run them as root"
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Made first: whatever goes wrong, it is removed.
        let mut world = Self {
            prefix: format!("kt-{}-{number}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            running: Vec::new(),
            others: Vec::new(),
        };
        world.network();
        world.write(workers, more);
        world.start(Program::Alice);
        world.start(Program::Dataplane);
        world.start(Program::Gateway);
        world
    }

    fn network(&self) {
        let p = &self.prefix;
        for name in ["l", "g", "a"] {
            run(&format!("ip netns add {p}-{name}"));
            for what in ["all", "default"] {
                run(&format!(
                    "ip netns exec {p}-{name} sysctl -qw net.ipv6.conf.{what}.disable_ipv6=1"
                ));
            }
            run(&format!("ip -n {p}-{name} link set lo up"));
        }
        for (name, port, address) in [("l", "lan", "192.168.1.20/24"), ("a", "wan", "203.0.113.40/24")] {
            run(&format!(
                "ip link add name {port} netns {p}-g type veth peer name eth netns {p}-{name}"
            ));
            run(&format!("ip -n {p}-{name} addr add {address} dev eth"));
            for (namespace, interface) in [("g", port), (name, "eth")] {
                run(&format!("ip -n {p}-{namespace} link set {interface} up"));
                run(&format!(
                    "ip netns exec {p}-{namespace} ethtool -K {interface} tx off gso off tso off gro off"
                ));
            }
        }
    }

    fn write(&self, workers: u16, more: &str) {
        let folder = self.folder.path().display();
        let ports: String = [("wan", "203.0.113.30/24"), ("lan", "192.168.1.1/24")]
            .iter()
            .enumerate()
            .map(|(n, (interface, address))| {
                format!("  - {{ device: \"net_af_packet{n},iface={interface},qpairs={workers}\", address: {address} }}\n")
            })
            .collect();
        let dataplane = format!(
            "name: test\nworkers: {workers}\neal: {{ cores: [0, 1], huge_pages: off, memory_mib: 256 }}\nports:\n{ports}\
             p4runtime: {{ unix: {folder}/p4runtime, device_id: 1 }}\nstats_socket: {folder}/stats\nassociations: 64\n"
        );
        let gateway = format!(
            "dataplane: unix:{folder}/p4runtime\ncommunity: 1\nwan: 0\nlan: 1\nassociations: 64\nstatus_socket: {folder}/status\n{more}members:\n\
             - {{ name: alice.acme.example, address: 10.77.0.1, stand_in: {STAND_IN}, via: {{ direct: \"203.0.113.40:20202\" }} }}\n\
             devices:\n- name: printer.acme.example\n  address: {PRINTER}\n  local: 192.168.1.20\n  public: \"203.0.113.30:20202\"\n  \
             peers: [ {{ member: alice.acme.example, psk: {SECRET} }} ]\n"
        );
        let alice = format!(
            "name: alice.acme.example\naddress: 10.77.0.1\npool: 10.77.0.0/24\nlocation: {{ public: \"203.0.113.40:20202\" }}\n\
             status_socket: {folder}/alice\npeers:\n- {{ name: printer.acme.example, address: {PRINTER}, \
             via: {{ direct: \"203.0.113.30:20202\" }}, psk: {SECRET} }}\n"
        );
        for (name, text) in [("dataplane", dataplane), ("gateway", gateway), ("alice", alice)] {
            let path = self.file(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.yaml"))
    }

    pub fn start(&mut self, program: Program) {
        let (namespace, binary, arguments, file) = match program {
            Program::Dataplane => ("g", "kith-dataplane", &[][..], "dataplane"),
            Program::Gateway => ("g", "kith-agent", &["gateway"][..], "gateway"),
            Program::Alice => ("a", "kith-agent", &[][..], "alice"),
        };
        let log = self.folder.path().join(format!("{file}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &format!("{}-{namespace}", self.prefix)])
            .arg(installed(binary))
            .args(arguments)
            .arg("--config")
            .arg(self.file(file))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push((program, child));
    }

    /// `ip netns exec` becomes the program, so that the child's id is the program's.
    pub fn kill(&mut self, program: Program) {
        let at = self
            .running
            .iter()
            .position(|(which, _)| *which == program)
            .unwrap();
        let (_, mut child) = self.running.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a command at `l`, `g` or `a`.
    pub fn exec(&self, at: &str, command: &str) -> Output {
        Command::new("ip")
            .args([
                "netns",
                "exec",
                &format!("{}-{at}", self.prefix),
                "sh",
                "-c",
                command,
            ])
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// The same, and it must succeed; gives what it printed.
    pub fn good(&self, at: &str, command: &str) -> String {
        let out = self.exec(at, command);
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{command}: {text}\n{}", self.logs());
        text
    }

    /// Leaves a command running until the end.
    pub fn leave_running(&mut self, at: &str, command: &str) {
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &format!("{}-{at}", self.prefix),
                "sh",
                "-c",
                &format!("exec {command}"),
            ])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.others.push(child);
    }

    /// Starts a command whose output is wanted later.
    pub fn begin(&self, at: &str, command: &str) -> Child {
        Command::new("ip")
            .args([
                "netns",
                "exec",
                &format!("{}-{at}", self.prefix),
                "sh",
                "-c",
                &format!("exec {command}"),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub fn until(&mut self, what: &str, patience: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !is_so(self) {
            for at in 0..self.running.len() {
                let (program, child) = &mut self.running[at];
                let ended = child.try_wait().unwrap().map(|status| (*program, status));
                assert!(ended.is_none(), "{what}: {ended:?} ended\n{}", self.logs());
            }
            assert!(
                start.elapsed() < patience,
                "not within {patience:?}: {what}\n{}",
                self.logs()
            );
            sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }

    /// The printer gets an answer from alice.
    pub fn pings(&self) -> bool {
        self.exec("l", &format!("ping -n -c 1 -W 1 {STAND_IN}"))
            .status
            .success()
    }

    /// Keys that alice's agent has agreed on with the printer.
    pub fn agreements(&self) -> u64 {
        let ask = || -> Option<Value> {
            let mut stream = UnixStream::connect(self.folder.path().join("alice")).ok()?;
            stream.write_all(b"{\"request\":\"status\"}\n").ok()?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok()?;
            serde_json::from_str(&line).ok()
        };
        let status = ask().unwrap_or_default();
        find(&status, "agreements")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    pub fn logs(&self) -> String {
        ["dataplane", "gateway", "alice"]
            .iter()
            .map(|name| {
                let log =
                    fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(25).collect();
                format!(
                    "--- {name}\n{}\n",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                )
            })
            .collect()
    }
}

/// The first value of this name, however deep.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map
            .get(name)
            .or_else(|| map.values().find_map(|value| find(value, name))),
        Value::Array(all) => all.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let running = self.running.drain(..).map(|(_, child)| child);
        for mut child in running.chain(self.others.drain(..)) {
            drop(child.kill());
            drop(child.wait());
        }
        for name in ["l", "g", "a"] {
            drop(
                Command::new("ip")
                    .args(["netns", "del", &format!("{}-{name}", self.prefix)])
                    .status(),
            );
        }
    }
}

pub fn run(command: &str) {
    let mut words = command.split_whitespace();
    let out = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(
        out.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}
