//! Two agents in namespaces of their own, with a router between them.
//!
//! ```text
//!   kt-N-a                     kt-N-r                     kt-N-b
//!  ┌──────────────┐           ┌──────────────┐           ┌──────────────┐
//!  │ agent        │ 192.0.2.0/24 router      │198.51.100.0/24 agent     │
//!  │ 10.77.0.1    ├─.1────.254┤              ├.254────.1─┤ 10.77.0.2    │
//!  └──────────────┘           └──────────────┘  mtu      └──────────────┘
//! ```

pub mod load;

use kith_agent::status::{Status, query};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub const ADDRESS: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
pub const PUBLIC: [&str; 2] = ["192.0.2.1", "198.51.100.1"];

/// The namespaces, the agents and their files; all gone when dropped.
pub struct Net {
    prefix: String,
    pub directory: tempfile::TempDir,
    agents: [Option<Child>; 2],
    others: Vec<Child>,
    configs: [String; 2],
}

/// May this process make namespaces? If not, the test says so and ends.
pub fn privileged() -> bool {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    if !root {
        eprintln!("skipped: network namespaces take root");
    }
    root
}

impl Net {
    /// Brings it up; `mtu` is that of the link between the router and b.
    pub fn new(mtu: u16) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            prefix: format!("kt-{}-{number}", std::process::id()),
            directory: tempfile::tempdir().unwrap(),
            agents: [None, None],
            others: Vec::new(),
            configs: [String::new(), String::new()],
        };
        let p = &net.prefix;
        for name in ["a", "r", "b"] {
            run(&format!("ip netns add {p}-{name}"));
            run(&format!("ip -n {p}-{name} link set lo up"));
        }
        for (name, subnet) in [("a", "192.0.2"), ("b", "198.51.100")] {
            run(&format!(
                "ip link add name wan netns {p}-{name} type veth peer name to-{name} netns {p}-r"
            ));
            run(&format!("ip -n {p}-{name} addr add {subnet}.1/24 dev wan"));
            run(&format!("ip -n {p}-r addr add {subnet}.254/24 dev to-{name}"));
            run(&format!("ip -n {p}-{name} link set wan up"));
            run(&format!("ip -n {p}-r link set to-{name} up"));
            run(&format!("ip -n {p}-{name} route add default via {subnet}.254"));
        }
        run(&format!("ip -n {p}-r link set to-b mtu {mtu}"));
        run(&format!("ip netns exec {p}-r sysctl -qw net.ipv4.ip_forward=1"));
        net
    }

    /// Starts the agents and waits until they answer.
    pub fn with_agents(mtu: u16) -> Self {
        Self::with_keying(mtu, ["ike"; 2])
    }

    /// The same, and each begins to agree on keys in its own way.
    pub fn with_keying(mtu: u16, keying: [&str; 2]) -> Self {
        let mut net = Self::new(mtu);
        for which in 0..2 {
            let (own, other) = (PUBLIC[which], PUBLIC[1 - which]);
            let location = format!(
                "location: {{ public: \"{own}:20202\" }}\nkeying: {}",
                keying[which]
            );
            net.configure(which, &location, &format!("{{ direct: \"{other}:20202\" }}"));
            net.start(which);
        }
        net
    }

    /// Writes an agent's configuration: where it is (and its director), and how the other is reached.
    pub fn configure(&mut self, which: usize, location: &str, via: &str) {
        let (own, other) = (which, 1 - which);
        self.configs[which] = format!(
            "name: m{own}.acme.example\naddress: {}\npool: 10.77.0.0/24\n{location}\nudp: {{ address: {} }}\n\
             status_socket: {}\npeers:\n- {{ name: m{other}.acme.example, address: {}, via: {via}, psk: {} }}\n",
            ADDRESS[own],
            PUBLIC[own],
            self.socket(which).display(),
            ADDRESS[other],
            "0123456789abcdef".repeat(4),
        );
    }

    /// Runs a command in the router's namespace.
    pub fn router(&self, command: &str) {
        run(&format!("ip netns exec {}-r sh -c '{command}'", self.prefix));
    }

    pub fn start(&mut self, which: usize) {
        let config = self.directory.path().join(format!("{which}.yaml"));
        std::fs::write(&config, &self.configs[which]).unwrap();
        let log = std::fs::File::create(self.directory.path().join(format!("{which}.log"))).unwrap();
        let agent = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.namespace(which),
                env!("CARGO_BIN_EXE_kith-agent"),
                "--config",
            ])
            .arg(&config)
            .stderr(log)
            .spawn()
            .unwrap();
        self.agents[which] = Some(agent);
        self.until("the agent answers", Duration::from_secs(10), |net| {
            query(&net.socket(which)).is_ok()
        });
    }

    pub fn router_namespace(&self) -> String {
        format!("{}-r", self.prefix)
    }

    pub fn namespace(&self, which: usize) -> String {
        format!("{}-{}", self.prefix, ["a", "b"][which])
    }

    pub fn socket(&self, which: usize) -> PathBuf {
        self.directory.path().join(format!("{which}.sock"))
    }

    pub fn status(&self, which: usize) -> Status {
        query(&self.socket(which)).unwrap()
    }

    /// Runs a command in a member's namespace.
    pub fn exec(&self, which: usize, command: &str) -> Output {
        let namespace = self.namespace(which);
        Command::new("ip")
            .args(["netns", "exec", &namespace, "sh", "-c", command])
            .output()
            .unwrap()
    }

    /// The same, and it must succeed; gives what it printed.
    pub fn good(&self, which: usize, command: &str) -> String {
        let out = self.exec(which, command);
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{command}: {text}\n{}", self.logs());
        text
    }

    /// Leaves a command running in a member's namespace until the end.
    pub fn leave_running(&mut self, which: usize, command: &[&str]) {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(which)])
            .args(command)
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.others.push(child);
    }

    /// `ip netns exec` becomes the agent: the child's process id is the agent's.
    pub fn signal(&mut self, which: usize, signal: &str) -> std::process::ExitStatus {
        let mut agent = self.agents[which].take().unwrap();
        run(&format!("kill -{signal} {}", agent.id()));
        agent.wait().unwrap()
    }

    /// Waits until something is so; gives how long it took.
    pub fn until(&self, what: &str, patience: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !is_so(self) {
            assert!(
                start.elapsed() < patience,
                "not within {patience:?}: {what}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }

    pub fn pings(&self, from: usize) -> bool {
        self.exec(from, &format!("ping -c 1 -W 1 {}", ADDRESS[1 - from]))
            .status
            .success()
    }

    fn logs(&self) -> String {
        let read = |which| std::fs::read_to_string(self.directory.path().join(format!("{which}.log")));
        format!("{}\n{}", read(0).unwrap_or_default(), read(1).unwrap_or_default())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in self.agents.iter_mut().flatten().chain(&mut self.others) {
            let _gone = child.kill();
            let _status = child.wait();
        }
        for name in ["a", "r", "b"] {
            let namespace = format!("{}-{name}", self.prefix);
            let _gone = Command::new("ip").args(["netns", "del", &namespace]).status();
        }
    }
}

fn run(command: &str) {
    let out = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        out.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}
