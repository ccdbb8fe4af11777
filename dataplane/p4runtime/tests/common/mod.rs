//! A service over tables in memory, on a Unix socket, and clients of it.
#![allow(dead_code, reason = "every test file uses its part")]

use kith_p4runtime::client::{Address, Client, Session};
use kith_p4runtime::entry::{
    Authorise, Entry, PolicyAction, PolicyKey, RelayTo, SenderKey, SessionKey, Ternary,
};
use kith_p4runtime::service::{Config, PacketIns, Service, serve_unix};
use kith_p4runtime::target::{Memory, Store};
use kith_pipeline::units::CommunityIndex;
use kith_wire::shim::PseudoIp;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A running service.
pub struct Server {
    pub store: Arc<Store<Memory>>,
    pub packet_ins: PacketIns,
    pub socket: PathBuf,
    _dir: TempDir,
}

impl Server {
    pub async fn start(config: Config) -> Self {
        let store = Arc::new(Store::new(Memory::new(4), []).unwrap());
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
