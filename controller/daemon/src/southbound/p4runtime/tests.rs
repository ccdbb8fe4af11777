//! Over real sockets, against the P4Runtime service with tables in memory.

use super::*;
use crate::config::Config;
use crate::southbound::{Change, Entries, SenderEntry, SessionEntry, Update};
use kith_p4runtime::client::Client;
use kith_p4runtime::packet::PacketIn;
use kith_p4runtime::service::{self, PacketIns, Service, serve_unix};
use kith_p4runtime::target::{Memory, Store};
use kith_pipeline::meter::Rate;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::PortIndex;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// A dataplane without packets, at a socket. Its runtime is its process: stopped, it leaves every connection at once.
struct Server {
    store: Arc<Store<Memory>>,
    packets: PacketIns,
    process: Runtime,
}

impl Server {
    async fn start(path: &Path, store: Arc<Store<Memory>>) -> Self {
        let service = Service::new(store.clone(), service::Config::default());
        let packets = service.packet_ins();
        let at = path.to_owned();
        let process = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        process.spawn(async move { serve_unix(service, &at, std::future::pending()).await.unwrap() });
        while tokio::net::UnixStream::connect(path).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            store,
            packets,
            process,
        }
    }

    fn kill(self) {
        self.process.shutdown_background();
    }
}

fn store() -> Arc<Store<Memory>> {
    Arc::new(Store::new(Memory::new(2), &[]).unwrap())
}

fn way(path: &Path, election: u64) -> P4Runtime {
    let text = format!(
        "name: x\ndirectors:\n- name: nrd1\n  dataplane: {{ address: \"unix:{}\" }}\n  address: 203.0.113.10\n",
        path.display()
    );
    P4Runtime::new(&Config::from_yaml(&text).unwrap().directors[0], election).unwrap()
}

async fn next(way: &mut P4Runtime) -> Event {
    tokio::time::timeout(Duration::from_secs(30), way.event())
        .await
        .unwrap()
}

fn updates(count: u32) -> Vec<Update> {
    let bound = "203.0.113.21:4000".parse().unwrap();
    let rate = Some(Rate {
        per_second: 7,
        burst: 3,
    });
    let sender = SenderEntry {
        bound,
        community: 1,
        rate,
    };
    let session = SessionEntry {
        bound,
        community: 1,
        mtu: 1400,
    };
    let of_one = |member| {
        let session = Update::Session {
            member,
            change: Change::Insert(session),
        };
        let sender = Update::Sender {
            member,
            change: Change::Insert(sender),
        };
        [session, sender]
    };
    (1..=count).flat_map(of_one).collect()
}

#[tokio::test]
async fn entries_packets_and_refusals_pass_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p4runtime.sock");
    let mut way = way(&path, 5);
    assert!(
        matches!(next(&mut way).await, Event::Away { .. }),
        "nobody is there yet"
    );
    let server = Server::start(&path, store()).await;
    while next(&mut way).await != Event::Primary {}
    let prepare = vec![
        Update::Endpoint {
            address: "203.0.113.10".parse().unwrap(),
            udp_port: 20202,
        },
        Update::PuntRate {
            reason: PuntReason::Control,
            rate: Rate {
                per_second: 9,
                burst: 9,
            },
        },
    ];
    let all = [prepare, updates(2), updates(1)].concat();
    way.submit(Request::Write {
        number: 7,
        updates: all,
    })
    .unwrap();
    let mut results = vec![Ok(()); 6];
    results.extend([Err(crate::southbound::Refused::Exists); 2]);
    assert_eq!(next(&mut way).await, Event::Written { number: 7, results });
    way.submit(Request::Read).unwrap();
    let Event::Entries(Entries { senders, sessions }) = next(&mut way).await else {
        panic!("entries were asked for")
    };
    assert_eq!((senders.len(), sessions.len()), (2, 2));
    assert_eq!(senders[0].1.rate.unwrap().per_second, 7);

    let packet = PacketIn {
        ingress_port: PortIndex(1),
        reason: PuntReason::Ping as u16,
        frame: vec![3; 60],
    };
    server.packets.send(packet).unwrap();
    let expected = Event::PacketIn {
        port: 1,
        reason: PuntReason::Ping as u16,
        frame: vec![3; 60],
    };
    assert_eq!(next(&mut way).await, expected);
    way.submit(Request::PacketOut {
        port: 1,
        frame: vec![4; 60],
    })
    .unwrap();
    while server
        .store
        .with_backend(|memory| memory.sent.lock().unwrap().is_empty())
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    // The dataplane goes, and comes back with what it had.
    let store = server.store.clone();
    server.kill();
    assert!(matches!(next(&mut way).await, Event::Away { .. }));
    assert_eq!(way.submit(Request::Read), Err(Request::Read));
    let server = Server::start(&path, store).await;
    while next(&mut way).await != Event::Primary {}
    way.submit(Request::Reconnect).unwrap();
    assert!(matches!(next(&mut way).await, Event::Away { .. }));
    while next(&mut way).await != Event::Primary {}
    server.kill();
}

#[tokio::test]
async fn the_higher_election_id_decides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p4runtime.sock");
    let server = Server::start(&path, store()).await;
    let mut low = way(&path, 5);
    assert_eq!(next(&mut low).await, Event::Primary);
    let mut high = way(&path, 6);
    assert_eq!(next(&mut high).await, Event::Primary);
    assert_eq!(next(&mut low).await, Event::Backup);
    low.submit(Request::Write {
        number: 1,
        updates: updates(1),
    })
    .unwrap();
    let results = vec![Err(crate::southbound::Refused::NotPrimary); 2];
    assert_eq!(next(&mut low).await, Event::Written { number: 1, results });
    // The primary goes for good. Not at once, but in the end the backup bids higher, and its writes show it.
    drop(high);
    let gone = Instant::now();
    while next(&mut low).await != Event::Primary {}
    assert!(
        gone.elapsed() >= VACANCY - Duration::from_secs(1),
        "{:?}",
        gone.elapsed()
    );
    low.submit(Request::Write {
        number: 2,
        updates: updates(1),
    })
    .unwrap();
    let results = vec![Ok(()); 2];
    assert_eq!(next(&mut low).await, Event::Written { number: 2, results });
    server.kill();
}

#[tokio::test]
async fn ten_thousand_sessions_are_written_within_seconds_even_here() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p4runtime.sock");
    let server = Server::start(&path, store()).await;
    let mut way = way(&path, 5);
    assert_eq!(next(&mut way).await, Event::Primary);
    let all = updates(10_000);
    let began = Instant::now();
    for (number, updates) in all.chunks(1_000).enumerate() {
        let (number, updates) = (number as u64, updates.to_vec());
        way.submit(Request::Write { number, updates }).unwrap();
        let Event::Written { results, .. } = next(&mut way).await else {
            panic!("a result was due")
        };
        assert!(results.iter().all(Result::is_ok));
    }
    let took = began.elapsed();
    println!("20,000 updates in {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    way.submit(Request::Read).unwrap();
    let Event::Entries(entries) = next(&mut way).await else {
        panic!("entries were asked for")
    };
    assert_eq!(entries.sessions.len(), 10_000);
    server.kill();
}

#[tokio::test]
async fn who_connects_beside_us_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p4runtime.sock");
    let server = Server::start(&path, store()).await;
    let address = Address::parse(&format!("unix:{}", path.display()), None).unwrap();
    let mut client = Client::connect(&address, 1).await.unwrap();
    let entities = client.read_all(codec::everything()).await.unwrap();
    assert_eq!(codec::entries(&entities), Entries::default());
    server.kill();
}
