//! A device that runs nothing of ours, a gateway before it, and a member with an agent of her own; and a director, where one is wanted.
//!
//! ```text
//!   kt-N-l                     kt-N-g                           kt-N-w        kt-N-a
//!  ┌──────────────┐           ┌────────────────────────┐                     ┌──────────────┐
//!  │ printer      │ 192.168.1.0/24  kith-dataplane     │   203.0.113.0/24    │ alice        │
//!  │ .20          ├───────────┤ .1                 .30 ├───── switch ────────┤ .40          │
//!  └──────────────┘    sees   │   ▲ P4Runtime          │         │           │ kith-agent   │
//!                 alice at .201   kith-agent gateway   │         │ .10       │ 10.77.0.1    │
//!                             └────────────────────────┘   kt-N-d: director  └──────────────┘      sees the printer at 10.77.0.20
//! ```

use super::files::{self, Settings, Way};
use kith_tests::installed;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How the printer sees alice, and she the printer.
pub const STAND_IN: &str = "192.168.1.201";
pub const PRINTER: &str = "10.77.0.20";
/// Of the pair.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const NAMESPACES: [&str; 5] = ["l", "g", "w", "a", "d"];

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Of the gateway.
    Dataplane,
    Gateway,
    Alice,
    /// The director's dataplane, and what decides for it.
    Relay,
    Director,
}

impl Program {
    /// The namespace, the program, its first arguments, and what its files are called.
    fn place(self) -> (&'static str, &'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Dataplane => ("g", "kith-dataplane", &[], "dataplane"),
            Self::Gateway => ("g", "kith-agent", &["gateway"], "gateway"),
            Self::Alice => ("a", "kith-agent", &[], "alice"),
            Self::Relay => ("d", "kith-dataplane", &[], "relay"),
            Self::Director => ("d", "kith-controller", &[], "director"),
        }
    }
}

/// Namespaces, programs and files; all gone when dropped.
pub struct World {
    prefix: String,
    pub folder: tempfile::TempDir,
    running: Vec<(Program, Child)>,
    others: Vec<Child>,
}

impl World {
    /// Everything runs.
    pub fn new(settings: &Settings) -> Self {
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
        files::write(world.folder.path(), settings);
        let director = [Program::Relay, Program::Director];
        let director = director.into_iter().filter(|_| settings.way == Way::Director);
        let others = [Program::Alice, Program::Dataplane, Program::Gateway];
        for program in director.chain(others) {
            world.start(program);
        }
        world
    }

    fn network(&self) {
        let p = &self.prefix;
        for name in NAMESPACES {
            run(&format!("ip netns add {p}-{name}"));
            for what in ["all", "default"] {
                run(&format!(
                    "ip netns exec {p}-{name} sysctl -qw net.ipv6.conf.{what}.disable_ipv6=1"
                ));
            }
            run(&format!("ip -n {p}-{name} link set lo up"));
        }
        run(&format!("ip -n {p}-w link add switch type bridge"));
        run(&format!("ip -n {p}-w link set switch up"));
        // One end at the switch or the gateway, the other with its address.
        for (at, port, name, interface, address) in [
            ("g", "lan", "l", "eth", Some("192.168.1.20/24")),
            ("w", "gateway", "g", "wan", None),
            ("w", "alice", "a", "eth", Some("203.0.113.40/24")),
            ("w", "director", "d", "eth", None),
        ] {
            run(&format!(
                "ip link add name {port} netns {p}-{at} type veth peer name {interface} netns {p}-{name}"
            ));
            if let Some(address) = address {
                run(&format!("ip -n {p}-{name} addr add {address} dev {interface}"));
            }
            if at == "w" {
                run(&format!("ip -n {p}-w link set {port} master switch"));
            }
            for (namespace, interface) in [(at, port), (name, interface)] {
                run(&format!("ip -n {p}-{namespace} link set {interface} up"));
                run(&format!(
                    "ip netns exec {p}-{namespace} ethtool -K {interface} tx off gso off tso off gro off"
                ));
            }
        }
    }

    pub fn start(&mut self, program: Program) {
        let (namespace, binary, arguments, name) = program.place();
        let log = self.folder.path().join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &format!("{}-{namespace}", self.prefix)])
            .arg(installed(binary))
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join(format!("{name}.yaml")))
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

    /// A command at one of the namespaces, which `ip` and the shell become.
    fn command(&self, at: &str, command: &str) -> Command {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &format!("{}-{at}", self.prefix)])
            .args(["sh", "-c", command])
            .current_dir(self.folder.path());
        ip
    }

    /// Runs a command there.
    pub fn exec(&self, at: &str, command: &str) -> Output {
        self.command(at, command).output().unwrap()
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
        let mut command = self.command(at, &format!("exec {command}"));
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        self.others.push(quiet.spawn().unwrap());
    }

    /// Starts a command whose output is wanted later.
    pub fn begin(&self, at: &str, command: &str) -> Child {
        let mut command = self.command(at, &format!("exec {command}"));
        command.stdout(Stdio::piped()).spawn().unwrap()
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
        ["dataplane", "gateway", "alice", "relay", "director"]
            .iter()
            .map(|name| {
                let path = self.folder.path().join(format!("{name}.log"));
                let log = fs::read_to_string(path).unwrap_or_default();
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
        for name in NAMESPACES {
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
