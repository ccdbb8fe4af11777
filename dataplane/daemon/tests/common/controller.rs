//! A controller in a test: P4Runtime with blocking calls.

use super::{DIRECTOR, MTU};
use kith_p4runtime::association::AssociationState;
use kith_p4runtime::client::{Address, Client, ClientError, Event, Session};
use kith_p4runtime::entry::{
    Authorise, EndpointAction, EndpointKey, Entry, FromMember, LocalDestinationKey, LocalSourceKey,
    MemberAction, MemberKey, NeighborKey, PolicyAction, PolicyKey, RelayTo, Resolve, SenderKey, SessionKey,
    Table, Ternary, ToVirtual,
};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_p4runtime::proto::v1::{self, entity};
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::{Row, Update};
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The device id in the configuration of a lab.
pub const DEVICE: u64 = 7;
/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connected client and its stream. Dropped, it is gone.
pub struct Controller {
    runtime: Runtime,
    client: Client,
    session: Option<Session>,
}

impl Controller {
    /// Becomes primary at this socket.
    pub fn connect(socket: &Path, election: u128) -> Self {
        Self::to(&Address::Unix(socket.to_owned()), election).unwrap()
    }

    /// Becomes primary there.
    pub fn to(address: &Address, election: u128) -> Result<Self, ClientError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (client, session) = runtime.block_on(async {
            let mut client = Client::connect(address, DEVICE).await?;
            let mut session = client.arbitrate(Some(election)).await?;
            assert!(session.is_primary().await?, "another one is primary");
            Ok::<_, ClientError>((client, session))
        })?;
        Ok(Self {
            runtime,
            client,
            session: Some(session),
        })
    }

    /// Ends the stream, and with it being primary.
    pub fn disconnect(&mut self) {
        self.session = None;
    }

    pub fn write(&mut self, updates: &[Update], atomicity: Atomicity) -> Result<(), ClientError> {
        self.runtime.block_on(self.client.write(updates, atomicity))
    }

    pub fn act_as_director(&mut self) {
        let director = EndpointAction::Director {
            address: *DIRECTOR.ip(),
            udp_port: DIRECTOR.port(),
        };
        let entry = Entry::from((EndpointKey {}, director));
        self.write(&[Update::Modify(entry.into())], Atomicity::Dataplane)
            .unwrap();
    }

    /// A gateway on port 0 where `device` may talk to the member that `stand_in` stands for, once there are keys.
    pub fn act_as_gateway(&mut self, device: Ipv4Addr, stand_in: Ipv4Addr) {
        let (port, community) = (PortIndex(0), community());
        let [ours, theirs] = [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2)];
        let stands_for = LocalDestinationKey {
            port,
            address: stand_in,
        };
        let to_virtual = ToVirtual {
            community,
            address: theirs,
        };
        let sends = LocalSourceKey {
            port,
            address: device,
            community,
        };
        let from_member = FromMember {
            address: ours,
            director: Ipv4Addr::UNSPECIFIED,
            pseudo: Ipv4Addr::UNSPECIFIED,
        };
        let everything = PolicyKey {
            priority: 1,
            community: Ternary::exact(community.get()),
            source: Ternary::any(),
            destination: Ternary::any(),
            protocol: Ternary::any(),
            source_port: Ternary::any(),
            destination_port: Ternary::any(),
        };
        let pair = MemberKey {
            community,
            source: ours,
            destination: theirs,
        };
        let gateway = EndpointAction::Gateway {
            udp_port: DIRECTOR.port(),
        };
        let entries: [Entry; 4] = [
            (stands_for, to_virtual).into(),
            (sends, from_member).into(),
            (everything, PolicyAction::Allow).into(),
            (pair, MemberAction::AwaitKeys).into(),
        ];
        let mut updates: Vec<_> = entries.map(|entry| Update::Insert(entry.into())).into();
        updates.push(Update::Modify(Entry::from((EndpointKey {}, gateway)).into()));
        self.write(&updates, Atomicity::Dataplane).unwrap();
    }

    /// A member that sends from there, and is reached there.
    pub fn enter(&mut self, pseudo: PseudoIp, bound: SocketAddrV4) {
        let entries = [sender(pseudo, bound), session(pseudo, bound)];
        let updates = entries.map(|entry| Update::Insert(entry.into()));
        self.write(&updates, Atomicity::Rollback).unwrap();
    }

    /// Writes a neighbour over what is there, or takes it away.
    pub fn write_neighbor(&mut self, address: Ipv4Addr, station: Option<MacAddr>) -> Result<(), ClientError> {
        let port = PortIndex(0);
        let to = Resolve {
            station: station.unwrap_or(MacAddr::ZERO),
        };
        let entry = Entry::from((NeighborKey { port, address }, to));
        let update = match station {
            Some(_) => Update::Insert(entry.into()),
            None => Update::Delete(entry.key()),
        };
        self.write(&[update], Atomicity::Dataplane)
    }

    pub fn neighbors(&mut self) -> Vec<(Ipv4Addr, MacAddr)> {
        let rows = self.read(Table::Neighbor).into_iter();
        rows.filter_map(|row| match row.entry {
            Entry::Neighbor(key, to) => Some((key.address, to.station)),
            _ => None,
        })
        .collect()
    }

    pub fn sessions(&mut self) -> Vec<Row> {
        self.read(Table::Session)
    }

    /// The security associations that are installed.
    pub fn associations(&mut self) -> Vec<AssociationState> {
        self.runtime.block_on(self.client.associations()).unwrap()
    }

    /// All entries of a table, with their counters.
    pub fn read(&mut self, table: Table) -> Vec<Row> {
        let filter = v1::TableEntry {
            table_id: table.id(),
            counter_data: table.has_counter().then(v1::CounterData::default),
            ..v1::TableEntry::default()
        };
        let filter = v1::Entity {
            entity: Some(entity::Entity::TableEntry(filter)),
        };
        let entities = self.runtime.block_on(self.client.read_all(vec![filter])).unwrap();
        let rows = entities.into_iter().map(|one| match one.entity {
            Some(entity::Entity::TableEntry(entry)) => Row::decode(&entry).unwrap(),
            other => panic!("{other:?}"),
        });
        rows.collect()
    }

    /// The next packet from the dataplane.
    pub fn packet_in(&mut self) -> Option<(u8, PuntReason, Vec<u8>)> {
        self.event(|event| match event {
            Event::Packet(packet) => {
                let reason = PuntReason::ALL[usize::from(packet.reason)];
                Some((packet.ingress_port.0, reason, packet.frame))
            }
            _ => None,
        })
    }

    pub fn packet_out(&mut self, port: u8, frame: &[u8]) {
        self.packet_out_as(PacketOutMode::Send, port, frame);
    }

    pub fn packet_out_as(&mut self, mode: PacketOutMode, port: u8, frame: &[u8]) {
        let packet = PacketOut {
            egress_port: PortIndex(port),
            mode,
            frame: frame.to_vec(),
        };
        let session = self.session.as_mut().unwrap();
        self.runtime.block_on(session.packet_out(packet)).unwrap();
    }

    /// What the dataplane says of a message that it refused.
    pub fn stream_error(&mut self) -> Option<v1::StreamError> {
        self.event(|event| match event {
            Event::Refused(error) => Some(error),
            _ => None,
        })
    }

    /// The next event that is wanted; others are passed over.
    fn event<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> Option<T> {
        let session = self.session.as_mut().unwrap();
        let next = async {
            loop {
                let event = session.next().await.ok()?;
                if let Some(found) = wanted(event) {
                    return Some(found);
                }
            }
        };
        self.runtime
            .block_on(async { timeout(PATIENCE, next).await.ok().flatten() })
    }
}

/// An entry of table `sender`, in community 1.
pub fn sender(pseudo: PseudoIp, bound: SocketAddrV4) -> Entry {
    let key = SenderKey {
        source_member: pseudo,
    };
    let from = Authorise {
        address: *bound.ip(),
        port: bound.port(),
        community: community(),
    };
    (key, from).into()
}

/// An entry of table `session`, in community 1.
pub fn session(pseudo: PseudoIp, bound: SocketAddrV4) -> Entry {
    let key = SessionKey {
        destination_member: pseudo,
    };
    let to = RelayTo {
        address: *bound.ip(),
        port: bound.port(),
        community: community(),
        mtu: MTU,
    };
    (key, to).into()
}

pub fn community() -> CommunityIndex {
    CommunityIndex::new(1).unwrap()
}
