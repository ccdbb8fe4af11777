//! A real `kith-dataplane` between network namespaces that the test makes, and members that are plain sockets.
//!
//! ```text
//!   kt-dp-<n>: kith-dataplane ── dp0 ═══ veth ═══ cl0 ── kt-cl-<n>: sockets at 203.0.113.21 and .22, raw frames
//!              203.0.113.10
//! ```
//!
//! The interface given to the dataplane has no address of the kernel's, and nothing offloaded: checksums are in the packets.

#![allow(dead_code, reason = "each test file uses a part")]

use kith_api::client::Client as Stats;
use kith_director::client::{Client, ClientConfig};
use kith_director::{DirectorKey, Time};
use kith_wire::control::KeyId;
use kith_wire::shim::{DataType, PseudoIp, Shim};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
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
    pub fn new(workers: u16, members: u64) -> Self {
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
        let grants: String = (1..=members)
            .map(|id| {
                format!(
                    "    - {{ name: member{id}, key_id: {id}, key: {}, community: {{ index: 1, name: acme.example }} }}\n",
                    format!("{id:02x}").repeat(32)
                )
            })
            .collect();
        let folder = lab.folder.path().display();
        let config = format!(
            "name: test\nworkers: {workers}\neal: {{ cores: [0, 1], huge_pages: off, memory_mib: 128 }}\n\
             ports:\n  - {{ device: \"net_af_packet0,iface=dp0,qpairs={workers}\", address: 203.0.113.10/24 }}\n\
             director:\n  pseudo_pool: {{ first: 240.0.0.1, count: 64 }}\n  grants:\n{grants}\
             stats_socket: {folder}/socket\nstate_dir: {folder}/state\n"
        );
        kith_api::config::write_private(&lab.config(), &config).unwrap();
        lab
    }

    fn dp(&self) -> String {
        format!("kt-dp-{}", self.id)
    }

    pub fn cl(&self) -> String {
        format!("kt-cl-{}", self.id)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
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

    /// Runs something in the members' namespace.
    pub fn inside<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.cl())).unwrap();
        let inside = thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            what()
        });
        inside.join().unwrap()
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

/// A member: a socket and its session.
pub struct Member {
    pub socket: UdpSocket,
    pub pseudo: PseudoIp,
    key_id: u64,
}

impl Member {
    /// Asks the director for an address, as an agent does.
    pub fn join(socket: UdpSocket, key_id: u64) -> Self {
        let key = DirectorKey::new([key_id as u8; 32]);
        let counter = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        let mut client = Client::new(ClientConfig::new(DIRECTOR, KeyId(key_id), key, counter, key_id));
        let start = Instant::now();
        let now = || Time::since_epoch(start.elapsed());
        client.start(now());
        let mut buffer = [0; 2048];
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        loop {
            while let Some(request) = client.poll_transmit() {
                socket.send_to(&request, DIRECTOR).unwrap();
            }
            if let Some(pseudo) = client.pseudo() {
                socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                return Self {
                    socket,
                    pseudo,
                    key_id,
                };
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no session");
            if let Ok((len, std::net::SocketAddr::V4(from))) = socket.recv_from(&mut buffer) {
                // What is no answer to us is passed over.
                let _ignored = client.datagram(now(), from, &buffer[..len]);
            }
            client.tick(now());
        }
    }

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
