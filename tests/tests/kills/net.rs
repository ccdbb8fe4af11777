//! The namespaces of the test, the manager as a process, and two members' agents.
//!
//! ```text
//!   kt-N-ka                  kt-N-km                       kt-N-kb
//!  ┌─────────────┐          ┌───────────────────────┐     ┌─────────────┐
//!  │ kith-agent  │ .11      │ kith-controller .1    │ .12 │ kith-agent  │
//!  │             ├──────────┤ bridge 203.0.113.0/24 ├─────┤             │
//!  └─────────────┘          │ members by the dozen  │     └─────────────┘
//!                           └───────────────────────┘
//! ```

use super::members::is_code;
use kith_tests::installed;
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const MANAGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Where the agents answer names.
const STUB: &str = "127.0.0.54";
const AGENTS: [&str; 2] = ["ka", "kb"];

/// All of it; gone when dropped.
pub struct Net {
    prefix: String,
    pub folder: tempfile::TempDir,
    manager: Option<Child>,
    agents: Vec<Child>,
}

impl Net {
    pub fn new() -> Self {
        let net = Self {
            prefix: format!("kt-{}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            manager: None,
            agents: Vec::new(),
        };
        let p = &net.prefix;
        for name in ["km", "ka", "kb"] {
            ip(&format!("netns add {p}-{name}"));
            ip(&format!("-n {p}-{name} link set lo up"));
        }
        ip(&format!("-n {p}-km link add br0 type bridge mcast_snooping 0"));
        ip(&format!("-n {p}-km addr add {MANAGER}/24 dev br0"));
        ip(&format!("-n {p}-km link set br0 up"));
        for (name, last) in AGENTS.into_iter().zip([11, 12]) {
            ip(&format!(
                "link add name eth0 netns {p}-{name} type veth peer name to-{name} netns {p}-km"
            ));
            ip(&format!("-n {p}-{name} addr add 203.0.113.{last}/24 dev eth0"));
            ip(&format!("-n {p}-{name} link set eth0 up"));
            ip(&format!("-n {p}-km link set to-{name} master br0 up"));
        }
        let folder = net.folder.path().display();
        let text = format!(
            "name: office\nstate_dir: {folder}/state\nstatus_socket: {folder}/status.sock\nmanager:\n  listen: {MANAGER}:443\n  \
             tunnel: {MANAGER}:20202\n  admin_socket: {folder}/admin.sock\n  limits: {{ calls_per_source: 100000, new_per_source: \
             100000 }}\n"
        );
        private(&net.file("controller.yaml"), &text);
        net
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The namespace of the manager (0), or of an agent (1, 2).
    pub fn namespace(&self, which: usize) -> String {
        format!("{}-{}", self.prefix, ["km", "ka", "kb"][which])
    }

    pub fn start_manager(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("controller.log"));
        let child = self
            .inside(0)
            .arg(installed("kith-controller"))
            .arg("--config")
            .arg(self.file("controller.yaml"))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.manager = Some(child.unwrap());
    }

    /// SIGKILL. The process must have lived until now.
    pub fn kill_manager(&mut self) {
        let mut child = self.manager.take().expect("a manager runs");
        let ended = child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "the manager ended by itself: {ended:?}\n{}",
            self.log()
        );
        // `ip netns exec` has become the manager: it is the same process.
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.file("controller.log")).unwrap_or_default();
        let from = text.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
        text[from..].to_owned()
    }

    fn inside(&self, which: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(which)]);
        command
    }

    /// Enrols an agent (1 or 2) as its owner would, and starts it.
    pub fn start_agent(&mut self, which: usize, invitation: &str) {
        let (file, state) = (
            self.file(&format!("{which}.invitation")),
            self.file(&format!("{which}.state")),
        );
        private(&file, invitation);
        let before = self.letters();
        let mut enroll = self.inside(which);
        enroll
            .arg(installed("kith-agent"))
            .arg("enroll")
            .arg(file)
            .arg("--state-dir")
            .arg(&state);
        let mut child = enroll
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut code = None;
        until("a code comes", Duration::from_secs(20), || {
            let new = self.letters().into_iter().find(|path| !before.contains(path));
            let text = new.map(|path| fs::read_to_string(path).unwrap());
            code = text.and_then(|text| {
                text.lines()
                    .map(str::trim)
                    .find(|line| is_code(line))
                    .map(str::to_owned)
            });
            code.is_some()
        });
        writeln!(child.stdin.take().unwrap(), "{}", code.unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = File::create(self.file(&format!("{which}.log"))).unwrap();
        let agent = self
            .inside(which)
            .arg(installed("kith-agent"))
            .args([
                "up",
                "--foreground",
                "--dns",
                "none",
                "--dns-listen",
                "127.0.0.54:53",
                "--state-dir",
            ])
            .arg(&state)
            .arg("--socket")
            .arg(self.file(&format!("{which}.sock")))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.agents.push(agent.unwrap());
    }

    fn letters(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.file("state/spool"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|of| of == "eml"))
            .collect()
    }

    /// What an agent answers when its machine asks for this name.
    pub fn resolves(&self, which: usize, name: &str) -> Option<Ipv4Addr> {
        let stub = format!("@{STUB}");
        let dig = ["dig", "+short", "+time=1", "+tries=1", &stub, name, "A"];
        let output = self.inside(which).args(dig).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in self.manager.iter_mut().chain(&mut self.agents) {
            let _gone = child.kill();
            let _status = child.wait();
        }
        for which in 0..3 {
            let _gone = Command::new("ip")
                .args(["netns", "del", &self.namespace(which)])
                .status();
        }
    }
}

/// A thread that lives in a namespace, with all that it starts.
pub fn in_namespace<T: Send + 'static>(
    namespace: &str,
    what: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let path = format!("/run/netns/{namespace}");
    std::thread::spawn(move || {
        setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        what()
    })
}

/// Waits until it is so; gives how long that took.
pub fn until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn private(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn ip(words: &str) {
    let output = Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {said}");
}
