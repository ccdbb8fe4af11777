//! A director in a thread of this test: the real sessions of `kith-director` over a plain UDP socket, and the relay's
//! rule (both ends have a session, the sender is where its session is bound) in a dozen lines. The fast one is
//! `kith-dataplane`.

use kith_director::server::{Director, DirectorConfig, Grant, Output, PoolRange, TableOp};
use kith_director::{DirectorKey, Time};
use kith_wire::control::KeyId;
use kith_wire::shim::{DataType, PseudoIp, Shim};
use nix::sched::{CloneFlags, setns};
use std::collections::HashMap;
use std::fs::File;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const ADDRESS: &str = "198.51.100.2";
pub const KEYS: [&str; 2] = [
    "1111111111111111222222222222222233333333333333334444444444444444",
    "5555555555555555666666666666666677777777777777778888888888888888",
];

pub struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    silent: AtomicBool,
    relayed: AtomicU64,
    sessions: AtomicU64,
}

impl Relay {
    pub fn start(namespace: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (path, theirs) = (format!("/run/netns/{namespace}"), shared.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Moves this thread alone.
            setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let socket = UdpSocket::bind((ADDRESS, 20202)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            ready.send(()).unwrap();
            run(&socket, &theirs);
        });
        is_ready.recv().unwrap();
        Self {
            shared,
            thread: Some(thread),
        }
    }

    pub fn relayed(&self) -> u64 {
        self.shared.relayed.load(SeqCst)
    }

    /// The director is away, or back. Relaying goes on.
    pub fn silent(&self, silent: bool) {
        self.shared.silent.store(silent, SeqCst);
    }

    pub fn sessions(&self) -> u64 {
        self.shared.sessions.load(SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn run(socket: &UdpSocket, shared: &Shared) {
    let start = Instant::now();
    let now = || Time::since_epoch(start.elapsed());
    let pool = PoolRange::of_prefix("240.0.0.0".parse().unwrap(), 24).unwrap();
    let mut director = Director::new(DirectorConfig::new(ADDRESS.parse().unwrap(), pool), [7; 32]).unwrap();
    for (at, key) in KEYS.iter().enumerate() {
        let octet = |n: usize| u8::from_str_radix(&key[2 * n..2 * n + 2], 16).unwrap();
        let grant = Grant {
            key_id: KeyId(at as u64 + 1),
            key: DirectorKey::new(std::array::from_fn(octet)),
            community: 1,
            reserved: PseudoIp::new(0xf000_0001 + at as u32),
            name: format!("m{at}"),
        };
        director.add_grant(now(), grant).unwrap();
    }
    let mut table: HashMap<u32, SocketAddrV4> = HashMap::new();
    let mut buffer = [0; 2048];
    while !shared.stop.load(SeqCst) {
        let silent = shared.silent.load(SeqCst);
        if !silent {
            director.tick(now());
        }
        let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let data = &mut buffer[..len];
        match Shim::parse(data) {
            Ok((shim, _)) if shim.data_type() == Some(DataType::Virtual) => {
                let authorised = table.get(&shim.source_member.get()) == Some(&from);
                if let (true, Some(to)) = (authorised, table.get(&shim.destination_member.get())) {
                    socket.send_to(data, to).unwrap();
                    shared.relayed.fetch_add(1, SeqCst);
                }
            }
            _ if silent => {}
            _ => {
                let verdict = director.datagram(now(), from, data);
                while let Some(output) = director.poll() {
                    match output {
                        Output::Table(TableOp::Bind { pseudo, bound, .. }) => {
                            table.insert(pseudo.to_bits(), bound);
                        }
                        Output::Table(TableOp::Unbind { pseudo }) => {
                            table.remove(&pseudo.to_bits());
                        }
                        _ => {}
                    }
                }
                shared.sessions.store(table.len() as u64, SeqCst);
                if verdict.is_answered() {
                    socket.send_to(data, from).unwrap();
                }
            }
        }
    }
}
