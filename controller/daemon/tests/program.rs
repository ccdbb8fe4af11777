//! The program at its edges, and beside a P4Runtime service with tables in memory. Needs no network.

use kith_controller::director::envelope;
use kith_controller::status::{Client, Part, Standing, Status};
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
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const MEMBERS: u32 = 50;
const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const DIRECTOR: &str = "203.0.113.10:20202";

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let grants: String = (0..MEMBERS)
        .map(|index| {
            format!("  - {{ name: m{index}, key_id: {index}, key: \"{KEY}\", community: {{ index: 1, name: acme }} }}\n")
        })
        .collect();
    format!(
        "name: office\nstate_dir: {folder}/state\nstatus_socket: {folder}/socket\ndirectors:\n- name: nrd1\n  \
         dataplane: {{ address: \"unix:{folder}/p4runtime\" }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: 100 }}\n  grants:\n{grants}"
    )
}

fn write(folder: &Path, text: &str) {
    let path = folder.join("config.yaml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith-controller"));
    command.arg("--config").arg(folder.join("config.yaml"));
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Does not outlive a test that failed.
struct Running(Child);

impl Running {
    fn start(folder: &Path) -> Self {
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

    fn kill(&mut self) {
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

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(1));
    }
}

fn status(folder: &Path) -> Option<Status> {
    Client::connect(folder.join("socket")).ok()?.status().ok()
}

fn standing(folder: &Path, wanted: Standing) -> Status {
    until(&format!("{wanted:?}"), || {
        status(folder)
            .filter(|status| status.directors[0].standing == wanted && status.directors[0].lacking == 0)
    })
}

/// All that a dataplane was told.
type Tables = (Rows, Vec<(SenderKey, SenderRow)>, Vec<(SessionKey, RelayTo)>);

/// A dataplane without packets. Its runtime is its process.
struct Dataplane {
    store: Arc<Store<Memory>>,
    packets: PacketIns,
    process: Option<Runtime>,
}

impl Dataplane {
    fn start(folder: &Path) -> Self {
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

    /// Everybody joins at once; how long that takes.
    fn join(&self) -> Duration {
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
                    let _lost = self.packets.send(PacketIn {
                        ingress_port: PortIndex(0),
                        reason: PuntReason::Control as u16,
                        frame: frame(*at, &message),
                    });
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

    fn sent(&self) -> Vec<PacketOut> {
        self.store
            .with_backend(|memory| std::mem::take(&mut *memory.sent.lock().unwrap()))
    }

    fn tables(&self) -> Tables {
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

fn frame(from: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = HostPacket::from_bytes(data);
    let outer = Outer {
        source: (MacAddr([2, 0, 0, 0, 0, 21]), from),
        destination: (MacAddr([2, 0, 0, 0, 0, 10]), DIRECTOR.parse().unwrap()),
        checksum: true,
    };
    outer.push(&mut packet).unwrap();
    packet.bytes().to_vec()
}

#[test]
fn a_wrong_configuration_ends_with_2_and_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let good = configuration(folder.path());
    write(
        folder.path(),
        &good
            .replace("count: 100", "count: 0")
            .replace("203.0.113.10", "0.0.0.0"),
    );
    let output = command(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    for what in [
        "2 values are wrong",
        "directors[0].address:",
        "directors[0].pseudo_pool:",
    ] {
        assert!(text.contains(what), "{what}: {text}");
    }
    write(folder.path(), &good);
    let output = command(folder.path()).arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("good"));
}

#[test]
fn the_service_manager_hears_ready_watchdog_and_stopping_and_a_second_instance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &configuration(folder.path()));
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut program = command(folder.path());
    program
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "600000");
    let mut running = Running(program.spawn().unwrap());
    let hear = || {
        let mut buffer = [0; 256];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
    };
    assert_eq!(hear(), "READY=1", "before there is a dataplane");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(status(folder.path()).unwrap().pid, running.0.id());
    let socket = fs::metadata(folder.path().join("socket")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let second = command(folder.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("runs already"), "{}", said(&second));
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    while hear() != "STOPPING=1" {}
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    assert!(!folder.path().join("socket").exists());
}

#[test]
fn a_controller_killed_again_and_again_takes_nothing_from_the_tables_and_logs_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &configuration(folder));
    let mut controller = Running::start(folder);
    let away = standing(folder, Standing::Away);
    assert!(away.directors[0].why.is_some());
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    println!("{MEMBERS} members joined in {:?}", dataplane.join());
    let tables = dataplane.tables();
    assert_eq!(
        standing(folder, Standing::Serving).directors[0].sessions,
        u64::from(MEMBERS)
    );
    for _ in 0..5 {
        controller.kill();
        assert_eq!(dataplane.tables(), tables, "the dataplane goes on alone");
        controller = Running::start(folder);
        let status = standing(folder, Standing::Serving);
        assert_eq!(status.directors[0].restored, u64::from(MEMBERS));
        let updates = status.directors[0]
            .dataplane_side
            .iter()
            .find(|one| one.name == "updates")
            .unwrap();
        assert_eq!(updates.count, 0, "there was nothing to write");
        assert_eq!(dataplane.tables(), tables);
    }
    // The dataplane is killed instead: it gets everything back.
    drop(dataplane);
    standing(folder, Standing::Away);
    let began = Instant::now();
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    println!("an empty dataplane was filled after {:?}", began.elapsed());
    let part = Part::default();
    let listed = Client::connect(folder.join("socket"))
        .unwrap()
        .sessions(part)
        .unwrap();
    assert_eq!(listed.total, u64::from(MEMBERS));
    until("its tables are as they were", || {
        (dataplane.tables() == tables).then_some(())
    });
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("session opened"));
    assert!(
        !log.contains(&KEY[..16]) && !log.contains("7, 7, 7, 7"),
        "a key is in the log"
    );
}
