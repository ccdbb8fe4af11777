//! A controller as a process, and a dataplane for it: a P4Runtime service with tables in memory. Needs no network.
#![allow(dead_code)] // Each program of tests uses its part.

pub mod member;

use kith_controller::director::envelope;
use kith_controller::status::{Client, Standing, Status};
use kith_director::client::{self, ClientConfig, Phase};
use kith_director::{DirectorKey, Time};
use kith_p4runtime::entry::{RelayTo, SenderKey, SessionKey};
use kith_p4runtime::packet::{PacketIn, PacketOut};
use kith_p4runtime::service::{Config, PacketIns, Service, serve_unix};
use kith_p4runtime::target::{Backend, Memory, Rows, SenderRow, Store};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::PortIndex;
use kith_wire::control::KeyId;
use kith_wire::ethernet::MacAddr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub const MEMBERS: u32 = 50;
pub const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
pub const DIRECTOR: &str = "203.0.113.10:20202";

pub fn write(folder: &Path, text: &str) {
    let path = folder.join("config.yaml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith-controller"));
    command.arg("--config").arg(folder.join("config.yaml"));
    command
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Does not outlive a test that failed.
pub struct Running(pub Child);

impl Running {
    pub fn start(folder: &Path) -> Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        Self(
            command(folder)
                .stderr(log)
                .env("RUST_LOG", "trace")
                .spawn()
                .unwrap(),
        )
    }

    /// Sends a signal and waits for the end; the exit code, unless it was killed.
    pub fn signal(&mut self, signal: &str) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        self.0.wait().unwrap().code()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(1));
    }
}

pub fn status(folder: &Path) -> Option<Status> {
    Client::connect(folder.join("socket")).ok()?.status().ok()
}

pub fn standing(folder: &Path, wanted: Standing) -> Status {
    until(&format!("{wanted:?}"), || {
        status(folder)
            .filter(|status| status.directors[0].standing == wanted && status.directors[0].lacking == 0)
    })
}

/// All that a dataplane was told.
pub type Tables = (Rows, Vec<(SenderKey, SenderRow)>, Vec<(SessionKey, RelayTo)>);

/// A dataplane without packets. Its runtime is its process.
pub struct Dataplane {
    store: Arc<Store<Memory>>,
    packets: PacketIns,
    process: Option<Runtime>,
}

impl Dataplane {
    pub fn start(folder: &Path) -> Self {
        let store = Arc::new(Store::new(Memory::new(1), &[]).unwrap());
        let service = Service::new(store.clone(), Config::default());
        let packets = service.packet_ins();
        let process = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let path = folder.join("p4runtime");
        process.spawn(async move { serve_unix(service, &path, std::future::pending()).await.unwrap() });
        Self {
            store,
            packets,
            process: Some(process),
        }
    }

    /// One member takes a session; its pseudo address.
    pub fn session(&self, key_id: u64, key: [u8; 32]) -> Ipv4Addr {
        let began = Instant::now();
        let director = DIRECTOR.parse().unwrap();
        let config = ClientConfig::new(director, KeyId(key_id), DirectorKey::new(key), 1, 7);
        let mut client = client::Client::new(config);
        client.start(Time::ZERO);
        let at = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 21), 4000);
        until("it has a session", || {
            let now = Time::since_epoch(began.elapsed());
            client.tick(now);
            while let Some(message) = client.poll_transmit() {
                self.control(at, &message);
            }
            for packet in self.sent() {
                let (envelope, data) = envelope::open(0, packet.frame).unwrap();
                client.datagram(now, envelope.from, data.bytes()).unwrap();
            }
            client
                .pseudo()
                .map(|pseudo| Ipv4Addr::from_bits(pseudo.to_bits()))
        })
    }

    fn control(&self, from: SocketAddrV4, message: &[u8]) {
        let _lost = self.packets.send(PacketIn {
            ingress_port: PortIndex(0),
            reason: PuntReason::Control as u16,
            frame: frame(from, message),
        });
    }

    /// Everybody joins at once; how long that takes.
    pub fn join(&self) -> Duration {
        let began = Instant::now();
        let mut members: Vec<_> = (0..MEMBERS)
            .map(|index| {
                let key = DirectorKey::new([7; 32]);
                let director = DIRECTOR.parse().unwrap();
                let mut client =
                    client::Client::new(ClientConfig::new(director, KeyId(index.into()), key, 1, 7));
                client.start(Time::ZERO);
                (
                    client,
                    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, index as u8), 4000),
                )
            })
            .collect();
        until("all have joined", || {
            let now = Time::since_epoch(began.elapsed());
            for (client, at) in &mut members {
                client.tick(now);
                while let Some(message) = client.poll_transmit() {
                    self.control(*at, &message);
                }
            }
            for packet in self.sent() {
                let (envelope, data) = envelope::open(0, packet.frame).unwrap();
                let member = members.iter_mut().find(|(_, at)| *at == envelope.to).unwrap();
                member.0.datagram(now, envelope.from, data.bytes()).unwrap();
            }
            members
                .iter()
                .all(|(client, _)| client.phase() == Phase::Bound)
                .then_some(())
        });
        began.elapsed()
    }

    pub fn sent(&self) -> Vec<PacketOut> {
        self.store
            .with_backend(|memory| std::mem::take(&mut *memory.sent.lock().unwrap()))
    }

    pub fn tables(&self) -> Tables {
        self.store
            .with_backend(|memory| (memory.rows.clone(), memory.senders(), memory.sessions()))
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }
}

pub fn frame(from: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = HostPacket::from_bytes(data);
    let outer = Outer {
        source: (MacAddr([2, 0, 0, 0, 0, 21]), from),
        destination: (MacAddr([2, 0, 0, 0, 0, 10]), DIRECTOR.parse().unwrap()),
        checksum: true,
    };
    outer.push(&mut packet).unwrap();
    packet.bytes().to_vec()
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
