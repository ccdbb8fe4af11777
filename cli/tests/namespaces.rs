//! What a lab's namespaces are, without any daemon of ours: links, NATs, firewalls, narrow paths. Needs root.
//!
//! ```text
//!  alice 192.168.1.2 ── NAT 203.0.113.3 ──┬── NAT 203.0.113.4, MTU 1400 ── bob 192.168.1.2
//!                                 carol 203.0.113.5
//! ```

use kith_cli::error::Error;
use kith_cli::lab::record::{Lock, Record};
use kith_cli::lab::{down, exec, progress::Progress, status, up};
use kith_cli::stop::Stop;
use kith_topologies::compiled::Topology;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A lab that is gone when the test is over, however it ends.
struct Lab(Record);

impl Drop for Lab {
    fn drop(&mut self) {
        // Its file goes too when the lab is gone.
        let _lock = Lock::take(&self.0.name);
        down::remove(&self.0);
    }
}

impl Lab {
    fn up(name: &str) -> Self {
        assert!(
            nix::unistd::Uid::effective().is_root(),
            "these tests make network namespaces: run them as root"
        );
        Self(try_up(name, |_| Ok(())).unwrap_or_else(|error| panic!("{}", error.render())))
    }

    /// Whether a command succeeded, its output, and its complaints.
    fn run(&self, node: &str, command: &str) -> (bool, String, String) {
        let mut inside = exec::inside(&self.0, node).unwrap();
        let output = inside
            .args(["sh", "-c", command])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn must(&self, node: &str, command: &str) -> String {
        let (good, out, err) = self.run(node, command);
        assert!(good, "{node}: {command}: {out}{err}");
        out
    }

    fn background(&self, node: &str, command: &str) -> Background {
        let mut inside = exec::inside(&self.0, node).unwrap();
        let command = format!("exec {command}");
        let child = inside
            .args(["sh", "-c", &command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Background(child.spawn().unwrap())
    }
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml")
}

fn topology() -> Topology {
    kith_topologies::load(&quickstart()).unwrap().topology
}

fn try_up(name: &str, fill: impl FnOnce(&mut Record) -> Result<(), Error>) -> Result<Record, Error> {
    up::build_with(
        name,
        Some(&quickstart()),
        &topology(),
        false,
        &Progress::new(true),
        &Stop::default(),
        fill,
    )
}

/// A web server on carol that answers with the address it was asked from.
const WHO: &str = r#"python3 -c '
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        big = b"x" * 200000 if self.path == "/big" else b""
        self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode() + big)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), H).serve_forever()'"#;

const ASK: &str = "curl -sS --retry 20 --retry-connrefused --retry-delay 1 -m 20 http://203.0.113.5:8000";

#[test]
fn two_sites_with_the_same_addresses_reach_the_public_network_apart() {
    let lab = Lab::up("kt-nat");
    for node in ["alice", "bob"] {
        assert!(
            lab.must(node, "ip -4 -br address show eth0")
                .contains("192.168.1.2/24")
        );
        lab.must(node, "ping -c 2 -i 0.2 -W 2 203.0.113.5");
    }
    let _server = lab.background("carol", WHO);
    assert_eq!(lab.must("alice", ASK), "203.0.113.3");
    assert_eq!(lab.must("bob", ASK), "203.0.113.4");
}

#[test]
fn a_site_lets_nothing_in_that_nobody_inside_asked_for() {
    let lab = Lab::up("kt-fw");
    // The router itself is silent outside, and even who knows the private address gets nowhere.
    assert!(!lab.run("mallory", "ping -c 1 -W 1 203.0.113.3").0);
    lab.must("mallory", "ip route add 192.168.1.0/24 via 203.0.113.3");
    assert!(!lab.run("mallory", "ping -c 1 -W 1 192.168.1.2").0);
    lab.must("alice", "ping -c 1 -W 2 203.0.113.6");
    for (site, timeout) in [("site-a", "10"), ("site-b", "60")] {
        for name in ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"] {
            assert_eq!(
                lab.must(site, &format!("sysctl -n net.netfilter.{name}")).trim(),
                timeout
            );
        }
    }
}

#[test]
fn a_narrow_site_answers_what_is_too_big_from_both_sides() {
    let lab = Lab::up("kt-mtu");
    let (good, said, _) = lab.run("bob", "ping -M do -s 1450 -c 1 -W 2 203.0.113.5");
    assert!(!good && said.contains("mtu = 1400"), "{said}");
    lab.must("bob", "ping -M do -s 1372 -c 1 -W 2 203.0.113.5");
    lab.must("alice", "ping -M do -s 1472 -c 1 -W 2 203.0.113.5");
    // Towards the site: carol sends full segments until the router tells her. What bob has learnt would make his SYN ask for small ones.
    lab.must("bob", "ip route flush cache");
    let _server = lab.background("carol", WHO);
    let answer = lab.must("bob", &format!("{ASK}/big | wc -c"));
    assert_eq!(answer.trim(), (200_000 + "203.0.113.4".len()).to_string());
    assert!(lab.must("carol", "ip route get 203.0.113.4").contains("mtu 1400"));
}

#[test]
fn names_resolve_inside_and_the_computers_own_files_are_left_alone() {
    let own = || ["/etc/hosts", "/etc/resolv.conf"].map(|file| std::fs::read(file).unwrap());
    let before = own();
    let lab = Lab::up("kt-names");
    for (name, address) in [("nrd1", "203.0.113.2"), ("manager", "203.0.113.1")] {
        let found = lab.must("alice", &format!("getent hosts {name}"));
        assert!(found.starts_with(address), "{found}");
    }
    // Members' names are the manager's to answer, and there is none here; its computer is where other names are asked.
    assert!(!lab.run("alice", "getent hosts bob.acme.example").0);
    assert!(
        lab.must("alice", "cat /etc/resolv.conf")
            .contains("nameserver 203.0.113.1")
    );
    assert_eq!(own(), before);
    assert!(!lab.run("alice", "exit 7").0);
}

#[test]
fn a_name_that_stands_is_refused_and_two_names_stand_together() {
    let lab = Lab::up("kt-one");
    assert!(matches!(try_up("kt-one", |_| Ok(())), Err(Error::Stands(name)) if name == "kt-one"));
    assert!(
        status::namespace_exists("kith-kt-one-alice"),
        "the refusal removed the lab that stood"
    );
    let other = Lab::up("kt-two");
    assert_ne!(lab.0.nodes[0].namespace, other.0.nodes[0].namespace);
    lab.must("alice", "ping -c 1 -W 2 203.0.113.5");
    other.must("alice", "ping -c 1 -W 2 203.0.113.5");
}

#[test]
fn what_fails_half_way_leaves_nothing() {
    let mut pid = 0;
    let failed = try_up("kt-half", |record| {
        let sleeper = Path::new("/bin/sleep");
        let process = kith_cli::lab::process::start(record, "alice", sleeper, &["1000"], PathBuf::new())?;
        pid = process.pid;
        record.processes.push(process);
        Err(Error::Interrupted)
    });
    assert!(matches!(failed, Err(Error::Interrupted)));
    assert!(
        status::namespaces()
            .iter()
            .all(|name| !name.starts_with("kith-kt-half-"))
    );
    assert!(!Path::new("/run/kith/lab/kt-half").exists());
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn a_crashed_lab_is_cleaned_by_its_record_and_twice_is_no_error() {
    let lab = Lab::up("kt-crash");
    // Somebody's shell inside, and a namespace that is gone already.
    let _shell = lab.background("bob", "sleep 1000");
    std::thread::sleep(Duration::from_millis(200));
    lab.must("carol", "true");
    assert!(
        std::process::Command::new("ip")
            .args(["netns", "del", "kith-kt-crash-carol"])
            .status()
            .unwrap()
            .success()
    );
    for _ in 0..2 {
        let status = down::run(Some("kt-crash".into()), kith_cli::output::Format::Json).unwrap();
        assert_eq!(status, 0);
        assert!(
            status::namespaces()
                .iter()
                .all(|name| !name.starts_with("kith-kt-crash-"))
        );
    }
}

#[test]
fn foreign_namespaces_are_neither_used_nor_removed() {
    let run = |verb: &str| {
        std::process::Command::new("ip")
            .args(["netns", verb, "kith-kt-own-alice"])
            .status()
    };
    assert!(run("add").unwrap().success());
    let refused = try_up("kt-own", |_| Ok(()));
    let still_there = status::namespace_exists("kith-kt-own-alice");
    assert!(run("del").unwrap().success());
    assert!(matches!(refused, Err(Error::Foreign(names)) if names == ["kith-kt-own-alice"]));
    assert!(still_there && !status::namespace_exists("kith-kt-own-net"));
}
