//! A real `kith-dataplane` between network namespaces that the test makes, members that are plain sockets, and a controller that
//! writes their entries over P4Runtime.
//!
//! ```text
//!   kt-dp-<n>: kith-dataplane ── dp0 ═══ veth ═══ cl0 ── kt-cl-<n>: sockets at 203.0.113.21 and .22, raw frames
//!              203.0.113.10
//! ```
//!
//! The interface given to the dataplane has no address of the kernel's, and nothing offloaded: checksums are in the packets.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod controller;
pub mod stalled;
pub mod tls;

use controller::Controller;
use kith_api::client::Client as Stats;
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::{DataType, PseudoIp, Shim};
use nix::sched::{CloneFlags, setns};
use stalled::Stalled;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;
use zerocopy::network_endian::U32;

pub const DIRECTOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 20202);
pub const ALICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
pub const BOB: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 22);
/// The station of both.
pub const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x15]);
/// Pseudo addresses that a lab's dataplane has room for.
pub const POOL: u32 = 4096;
/// What members' packets cross on their way to the dataplane and back.
pub const MTU: u16 = 1500;

/// Only root can make namespaces; others see the test skipped.
pub fn is_root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    });
    if !root {
        println!("skipped: only root may make network namespaces");
    }
    root
}

/// Two namespaces with a link between them, a folder, and perhaps a dataplane. Gone when dropped.
pub struct Lab {
    id: String,
    pub folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Lab {
    pub fn new(workers: u16) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            id: format!("{}-{serial}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            child: None,
        };
        let (dp, cl) = (lab.dp(), lab.cl());
        for namespace in [&dp, &cl] {
            run("ip", &["netns", "add", namespace]);
            for what in ["all", "default"] {
                let quiet = format!("net.ipv6.conf.{what}.disable_ipv6=1");
                run("ip", &["netns", "exec", namespace, "sysctl", "-qw", &quiet]);
            }
        }
        let link =
            "link add dp0 address 02:00:00:00:00:0a type veth peer name cl0 address 02:00:00:00:00:15 netns";
        ip(&dp, &format!("{link} {cl}"));
        ip(&dp, "link set dp0 up");
        ip(&cl, "link set cl0 up");
        for address in [ALICE, BOB] {
            ip(&cl, &format!("addr add {address}/24 dev cl0"));
        }
        for (namespace, interface) in [(&dp, "dp0"), (&cl, "cl0")] {
            let off = ["tx", "off", "gso", "off", "tso", "off", "gro", "off"];
            let ethtool = ["netns", "exec", namespace, "ethtool", "-K", interface];
            run("ip", &[&ethtool[..], &off[..]].concat());
        }
        let folder = lab.folder.path().display();
        let config = format!(
            "name: test\nworkers: {workers}\neal: {{ cores: [0, 1], huge_pages: off, memory_mib: 128 }}\n\
             ports:\n  - {{ device: \"net_af_packet0,iface=dp0,qpairs={workers}\", address: 203.0.113.10/24 }}\n\
             sessions: {{ first: 240.0.0.1, count: {POOL} }}\n\
             p4runtime: {{ unix: {folder}/p4runtime, device_id: 7 }}\nstats_socket: {folder}/socket\n"
        );
        kith_api::config::write_private(&lab.config(), &config).unwrap();
        lab
    }

    pub fn dp(&self) -> String {
        format!("kt-dp-{}", self.id)
    }

    pub fn cl(&self) -> String {
        format!("kt-cl-{}", self.id)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Where controllers connect.
    pub fn p4runtime(&self) -> PathBuf {
        self.folder.path().join("p4runtime")
    }

    /// A controller that makes the dataplane a director.
    pub fn controller(&self) -> Controller {
        let mut controller = Controller::connect(&self.p4runtime(), 10);
        controller.act_as_director();
        controller
    }

    /// Starts the dataplane, and waits until it says that it is ready.
    pub fn start(&mut self) {
        self.spawn();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Stats::connect(self.folder.path().join("socket"))
            .and_then(|mut stats| stats.status())
            .is_err()
        {
            assert!(Instant::now() < deadline, "the dataplane does not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Adds lines to the configuration of a dataplane that is not started yet.
    pub fn configure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        kith_api::config::write_private(&self.config(), &text.replace(from, to)).unwrap();
    }

    /// Starts the dataplane and returns at once.
    pub fn spawn(&mut self) {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.dp(), env!("CARGO_BIN_EXE_kith-dataplane")])
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
    }

    pub fn stats(&self) -> Stats {
        Stats::connect(self.folder.path().join("socket")).unwrap()
    }

    /// `ip netns exec` becomes the dataplane, so that the child's id is the dataplane's.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it in order; gives its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        run("kill", &["-TERM", &child.id().to_string()]);
        child.wait().unwrap().code()
    }

    /// A socket of a member's, at a port of the system's choice.
    pub fn socket(&self, address: Ipv4Addr) -> UdpSocket {
        let socket = self.inside(move || UdpSocket::bind((address, 0)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket
    }

    /// Starts the dataplane where it can be reached over its own loopback.
    pub fn start_with_loopback(&mut self) {
        ip(&self.dp(), "link set lo up");
        self.start();
    }

    /// Runs something in the dataplane's namespace.
    pub fn inside_dataplane<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        inside(&self.dp(), what)
    }

    /// Runs something in the members' namespace.
    pub fn inside<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        inside(&self.cl(), what)
    }

    /// A member with its entries written: it sends from its socket, and is reached there.
    pub fn join(&self, controller: &mut Controller, address: Ipv4Addr, number: u32) -> Member {
        let socket = self.socket(address);
        let SocketAddr::V4(bound) = socket.local_addr().unwrap() else {
            unreachable!("bound to an IPv4 address")
        };
        let pseudo = pseudo(number);
        controller.enter(pseudo, bound);
        Member { socket, pseudo }
    }

    /// Stops one of the dataplane's threads, until what is returned goes.
    pub fn stall(&self, thread: &str) -> Stalled {
        Stalled::new(self.child.as_ref().unwrap().id(), thread)
    }

    /// Packets are conserved once nothing moves.
    pub fn assert_conserved(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = self.stats().stats().unwrap();
            let sums = seen.conservation;
            if sums.balanced && sums.in_flight == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "packets are missing: {seen:#?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many packets were dropped under this name.
    pub fn dropped(&self, name: &str) -> u64 {
        let drops = self.stats().drops().unwrap();
        let found = drops.drops.iter().find(|drop| drop.name == name);
        found.map(|drop| drop.workers + drop.slow_path).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        for namespace in [self.dp(), self.cl()] {
            drop(Command::new("ip").args(["netns", "del", &namespace]).status());
        }
    }
}

/// A member: a socket, and the pseudo address of its entries.
pub struct Member {
    pub socket: UdpSocket,
    pub pseudo: PseudoIp,
}

/// The pseudo address with this number, from 1 on.
pub fn pseudo(number: u32) -> PseudoIp {
    PseudoIp::new(0xf000_0000 + number).unwrap()
}

impl Member {
    pub fn send(&self, to: PseudoIp, payload: &[u8]) {
        self.socket
            .send_to(&data(self.pseudo, to, payload), DIRECTOR)
            .unwrap();
    }
}

/// UDP data of a packet from member to member.
pub fn data(from: PseudoIp, to: PseudoIp, payload: &[u8]) -> Vec<u8> {
    let mut shim = Shim::new(DataType::Virtual);
    shim.destination_director = U32::new(DIRECTOR.ip().to_bits());
    shim.source_member = U32::new(from.to_bits());
    shim.destination_member = U32::new(to.to_bits());
    [shim.as_bytes(), payload].concat()
}

/// UDP data of a message that only a controller can answer.
pub fn control() -> Vec<u8> {
    let shim = Shim::new(DataType::AddressRequest);
    [shim.as_bytes(), &[0xab; 60]].concat()
}

/// Sends a UDP frame back to where it came from. Swapping leaves all checksums right.
pub fn turn_around(frame: &mut [u8]) {
    for (one, other, len) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        let (head, tail) = frame.split_at_mut(other);
        head[one..one + len].swap_with_slice(&mut tail[..len]);
    }
}

fn inside<T: Send + 'static>(namespace: &str, what: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
    let inside = thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        what()
    });
    inside.join().unwrap()
}

fn ip(namespace: &str, arguments: &str) {
    let arguments: Vec<_> = ["-n", namespace]
        .into_iter()
        .chain(arguments.split(' '))
        .collect();
    run("ip", &arguments);
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}
