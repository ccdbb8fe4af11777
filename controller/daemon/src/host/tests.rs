//! A whole controller on threads, with a journal on disk and a status socket, beside a dataplane in memory.

use super::*;
use crate::config::SecretKey;
use crate::southbound::fake::Fake;
use crate::southbound::{Event, Request as Asked};
use crate::status::{self, Client, ClientError, Standing};
use kith_api::socket::{PRIVATE, Socket};
use kith_director::client::{self, ClientConfig, Phase};
use kith_director::{DirectorKey, Time};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::PuntReason;
use kith_wire::control::KeyId;
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Mutex;

const MEMBERS: u32 = 200;
const DIRECTOR: &str = "203.0.113.10:20202";

/// A dataplane that several controllers can be connected to, one after the other.
#[derive(Clone)]
struct Shared(Arc<Mutex<Fake>>);

impl Shared {
    fn new() -> Self {
        let fake = Fake::new(PseudoIp::new(0xf000_0001).unwrap(), MEMBERS, 1);
        Self(Arc::new(Mutex::new(fake)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Fake) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }
}

impl Southbound for Shared {
    fn submit(&mut self, request: Asked) -> Result<(), Asked> {
        self.with(|fake| fake.submit(request))
    }

    async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready() {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn ready(&mut self) -> Option<Event> {
        self.with(Fake::ready)
    }
}

fn config(folder: &Path) -> Config {
    let text = format!(
        "name: office\ndirectors:\n- name: nrd1\n  dataplane: {{ address: unix:/nowhere }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: {MEMBERS} }}\nstate_dir: {}\nstatus_socket: {}\n",
        folder.join("state").display(),
        folder.join("socket").display(),
    );
    let mut config = Config::from_yaml(&text).unwrap();
    let grants = (0..MEMBERS).map(|index| config::Grant {
        name: format!("member{index}"),
        key_id: index.into(),
        key: SecretKey::new([7; 32]),
        community: config::Community {
            index: 1,
            name: "acme.example".into(),
        },
        pseudo: None,
    });
    config.directors[0].grants = grants.collect();
    assert_eq!(config.mistakes(), []);
    config
}

fn start(folder: &Path, dataplane: &Shared) -> (Controller, kith_api::lines::Server) {
    let config = config(folder);
    let socket = Socket::bind(&config.status_socket, PRIVATE, status::SETTING).unwrap();
    let controller = Controller::start(config, None, |_, _| Ok(dataplane.clone())).unwrap();
    let server = status::serve(socket, controller.answers()).unwrap();
    (controller, server)
}

fn until(what: &str, mut come_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !come_true() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
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

/// Everybody joins at once; how long that takes.
fn join(dataplane: &Shared) -> Duration {
    let began = Instant::now();
    let mut members: Vec<_> = (0..MEMBERS)
        .map(|index| {
            let key = DirectorKey::new([7; 32]);
            let config = ClientConfig::new(
                DIRECTOR.parse().unwrap(),
                KeyId(index.into()),
                key,
                1,
                index.into(),
            );
            let mut client = client::Client::new(config);
            client.start(Time::ZERO);
            (
                client,
                SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_6400 + index), 4000),
            )
        })
        .collect();
    until("all have joined", || {
        let now = Time::since_epoch(began.elapsed());
        for (client, at) in &mut members {
            client.tick(now);
            while let Some(message) = client.poll_transmit() {
                dataplane.with(|fake| fake.punt(PuntReason::Control as u16, frame(*at, &message)));
            }
        }
        for (_, answer) in dataplane.with(|fake| std::mem::take(&mut fake.sent)) {
            let (envelope, packet) = crate::director::envelope::open(0, answer).unwrap();
            let member = members.iter_mut().find(|(_, at)| *at == envelope.to).unwrap();
            member.0.datagram(now, envelope.from, packet.bytes()).unwrap();
        }
        members.iter().all(|(client, _)| client.phase() == Phase::Bound)
    });
    began.elapsed()
}

#[test]
fn members_join_are_listed_and_live_through_a_restart_of_their_controller() {
    let folder = tempfile::tempdir().unwrap();
    let dataplane = Shared::new();
    let (controller, server) = start(folder.path(), &dataplane);
    let mut client = Client::connect(folder.path().join("socket")).unwrap();
    assert_eq!(client.status().unwrap().directors[0].standing, Standing::Away);
    dataplane.with(Fake::connect);
    let took = join(&dataplane);
    println!("{MEMBERS} members joined in {took:?}");
    let status = client.status().unwrap();
    let director = &status.directors[0];
    assert_eq!(director.standing, Standing::Serving);
    assert_eq!(
        (director.sessions, director.grants, director.kept),
        (200, 200, true)
    );
    assert_eq!((director.lacking, director.held), (0, 0));
    let part = Part {
        director: Some("nrd1".into()),
        offset: 10,
        limit: 5,
    };
    let sessions = client.sessions(part.clone()).unwrap();
    assert_eq!(
        (sessions.total, sessions.offset, sessions.sessions.len()),
        (200, 10, 5)
    );
    assert_eq!(sessions.sessions[0].community, "acme.example");
    assert_eq!(client.grants(part).unwrap().grants[0].name, "member10");
    let unknown = Part {
        director: Some("x".into()),
        ..Part::default()
    };
    assert!(matches!(client.sessions(unknown), Err(ClientError::Refused(why)) if why.contains("nrd1")));
    drop(server);
    controller.stop();

    // The dataplane goes on alone; the next controller finds nothing to do.
    let before = dataplane.with(|fake| {
        fake.disconnect();
        while fake.ready().is_some() {}
        fake.asked = (0, 0, 0);
        fake.senders.clone()
    });
    let (controller, _server) = start(folder.path(), &dataplane);
    dataplane.with(Fake::connect);
    let mut client = Client::connect(folder.path().join("socket")).unwrap();
    until("it serves", || {
        client.status().unwrap().directors[0].standing == Standing::Serving
    });
    assert_eq!(client.status().unwrap().directors[0].restored, 200);
    dataplane.with(|fake| {
        assert_eq!(fake.asked, (0, 0, 0));
        assert_eq!(fake.senders, before);
    });
    controller.stop();
}

#[test]
fn one_state_folder_has_one_controller() {
    let folder = tempfile::tempdir().unwrap();
    let dataplane = Shared::new();
    let first = Controller::start(config(folder.path()), None, |_, _| Ok(dataplane.clone())).unwrap();
    let second = Controller::start(config(folder.path()), None, |_, _| Ok(dataplane.clone()));
    assert!(matches!(second, Err(StartError::Journal(_))));
    assert!(!first.is_broken() && first.pulse().count() == 1);
    first.stop();
}
