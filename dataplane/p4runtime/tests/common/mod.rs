//! A service over tables in memory, on a Unix socket, and clients of it.
#![allow(dead_code, reason = "every test file uses its part")]

use kith_p4runtime::client::{Address, Client, Session};
use kith_p4runtime::entry::*;
use kith_p4runtime::query::{Answer, DefaultEntry, Filter, Query, Which};
use kith_p4runtime::service::{Config, PacketIns, Service, serve_unix};
use kith_p4runtime::target::{Backend, Memory, Parts, Pipeline, Resting, Store, Target};
use kith_p4runtime::update::Update;
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::table::{sender::SenderTable, session::SessionTable};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::CommunityIndex;
use kith_pipeline::units::PortIndex;
use kith_wire::shim::PseudoIp;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A running service.
pub struct Server<B = Memory> {
    pub store: Arc<Store<B>>,
    pub packet_ins: PacketIns,
    pub socket: PathBuf,
    _dir: TempDir,
}

impl Server {
    pub async fn start(config: Config) -> Self {
        Self::start_with(Memory::new(4), config).await
    }
}

impl<B: Backend> Server<B> {
    pub async fn start_with(backend: B, config: Config) -> Self {
        let store = Arc::new(Store::new(backend, &[]).unwrap());
        let service = Service::new(store.clone(), config);
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("p4rt.sock");
        let (packet_ins, path) = (service.packet_ins(), socket.clone());
        tokio::spawn(async move { serve_unix(service, &path, std::future::pending()).await.unwrap() });
        while !socket.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self {
            store,
            packet_ins,
            socket,
            _dir: dir,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&Address::Unix(self.socket.clone()), 1)
            .await
            .unwrap()
    }

    /// A client that won the arbitration.
    pub async fn primary(&self, election: u128) -> (Client, Session) {
        let mut client = self.client().await;
        let mut session = client.arbitrate(Some(election)).await.unwrap();
        assert!(session.is_primary().await.unwrap());
        (client, session)
    }
}

pub fn community(number: u16) -> CommunityIndex {
    CommunityIndex::new(number).unwrap()
}

pub fn pseudo(number: u32) -> PseudoIp {
    PseudoIp::new(0xf000_0000 + number).unwrap()
}

pub fn session(number: u32, port: u16) -> Entry {
    let action = RelayTo {
        address: Ipv4Addr::new(203, 0, 113, 21),
        port,
        community: community(7),
        mtu: 1400,
    };
    Entry::Session(
        SessionKey {
            destination_member: pseudo(number),
        },
        action,
    )
}

pub fn sender(number: u32, port: u16) -> Entry {
    let action = Authorise {
        address: Ipv4Addr::new(203, 0, 113, 21),
        port,
        community: community(7),
    };
    Entry::Sender(
        SenderKey {
            source_member: pseudo(number),
        },
        action,
    )
}

pub fn rule(priority: u32, destination_port: u16, action: PolicyAction) -> Entry {
    let key = PolicyKey {
        priority,
        community: Ternary::exact(7),
        source: Ternary::any(),
        destination: Ternary::any(),
        protocol: Ternary::exact(6),
        source_port: Ternary::any(),
        destination_port: Ternary::exact(destination_port),
    };
    Entry::Policy(key, action)
}

/// The pipeline's tables: 4 ports, 100 security associations, one worker.
pub fn pipeline_of(sessions: usize) -> (Pipeline, Arc<Counters>, Arc<DirectCounters>) {
    let (counters, direct) = (
        Arc::new(Counters::default()),
        Arc::new(DirectCounters::new(sessions)),
    );
    let first = pseudo(0);
    let parts = Parts {
        tables: Tables::new(
            Arc::new(SenderTable::new(first, sessions)),
            Arc::new(SessionTable::new(first, sessions)),
        ),
        ports: 4,
        associations: 100,
        counters: vec![counters.clone()],
        direct: vec![direct.clone()],
        keys: Box::new(Resting::new(100)),
        outlet: Arc::new(|_| Ok(())),
    };
    (Pipeline::new(parts), counters, direct)
}

pub fn insert(entry: Entry) -> Update {
    Update::Insert(entry.into())
}

/// Everything that can be read.
pub fn contents(target: &dyn Target) -> BTreeMap<Key, Entry> {
    let query = Query::Rows {
        which: Which::All,
        filter: Filter::default(),
        counter: false,
        meter: false,
    };
    let mut all = BTreeMap::new();
    let outcomes = target.read(&[query, Query::Defaults(Some(Table::Endpoint))], &mut |answers| {
        for answer in answers {
            let entry = match answer {
                Answer::Row(row) => row.entry,
                Answer::Default(DefaultEntry::Endpoint(entry)) => entry,
                other => panic!("{other:?}"),
            };
            assert!(all.insert(entry.key(), entry).is_none(), "each entry once");
        }
        ControlFlow::Continue(())
    });
    assert!(outcomes.iter().all(Result::is_ok));
    all
}

pub fn neighbor(last: u8, station: u8) -> (NeighborKey, Resolve) {
    let key = NeighborKey {
        port: PortIndex(1),
        address: Ipv4Addr::new(192, 0, 2, last),
    };
    (
        key,
        Resolve {
            station: kith_wire::ethernet::MacAddr([2, 0, 0, 0, 0, station]),
        },
    )
}

pub fn association(spi: u32, sa: u32) -> Entry {
    let action = OpenWith {
        sa,
        community: community(7),
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        mtu: 1400,
    };
    Entry::Association(AssociationKey { spi }, action)
}

/// The same for 64 sessions.
pub fn pipeline() -> (Pipeline, Arc<Counters>, Arc<DirectCounters>) {
    pipeline_of(64)
}
