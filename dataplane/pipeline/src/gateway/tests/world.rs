//! Two gateways whose LANs use the same addresses, and the tunnel between them.
//!
//! ```text
//!   192.168.1.10 ── alpha ──────── tunnel ──────── beta ── 192.168.1.10
//!   is 10.77.0.1    203.0.113.21          203.0.113.22    is 10.77.0.2
//!   sees beta's device as .202                     sees alpha's as .201
//! ```

use crate::counters::{AssociationCounters, Counters, DirectCounters, EntryCounters};
use crate::gateway::{Gateway, owner};
use crate::meter::Rate;
use crate::packet::{HostPacket, Packet};
use crate::path::Path;
use crate::reason::{DropReason, PuntReason};
use crate::table::TableError;
use crate::table::association::OpenWith;
use crate::table::endpoint::Role;
use crate::table::local::{FromMember, InCommunity, ToVirtual};
use crate::table::member::{Pair, SealTo, Tunnel};
use crate::table::neighbor::OnLink;
use crate::table::policy::{Decision, Flow, Rule};
use crate::table::port::{AcceptBy, LeaveBy};
use crate::table::route::{Hop, Prefix};
use crate::table::sender::SenderTable;
use crate::table::session::SessionTable;
use crate::table::virtual_address::VirtualAddress;
use crate::tables::Tables;
use crate::units::{CommunityIndex, Nanos, PortIndex, SaIndex, WorkerIndex};
use crate::{BURST, Verdict};
use kith_esp::{Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi};
use kith_wire::checksum::pseudo_header;
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::shim::PseudoIp;
use kith_wire::udp::Udp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

pub const LAN: PortIndex = PortIndex(0);
pub const WAN: PortIndex = PortIndex(1);
pub const UDP_PORT: u16 = 20202;
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The device on either LAN, and its station.
pub const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
pub const DEVICES_STATION: MacAddr = MacAddr([2, 0, 0, 0, 1, 10]);
/// The gateway's own address and station on either LAN.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
pub const LAN_STATION: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
pub const NOW: Nanos = Nanos(1_000_000_000);

/// What differs between the two sides.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub public: Ipv4Addr,
    pub station: MacAddr,
    pub member: Ipv4Addr,
    pub pseudo: u32,
    /// What its device is seen as on the other's LAN.
    pub seen_as: Ipv4Addr,
    /// Of the packets that it receives.
    pub spi: u32,
}

pub const ALPHA: End = End {
    public: Ipv4Addr::new(203, 0, 113, 21),
    station: MacAddr([2, 0, 0, 0, 0, 21]),
    member: Ipv4Addr::new(10, 77, 0, 1),
    pseudo: 0xf000_0001,
    seen_as: Ipv4Addr::new(192, 168, 1, 201),
    spi: 0x1001,
};

pub const BETA: End = End {
    public: Ipv4Addr::new(203, 0, 113, 22),
    station: MacAddr([2, 0, 0, 0, 0, 22]),
    member: Ipv4Addr::new(10, 77, 0, 2),
    pseudo: 0xf000_0002,
    seen_as: Ipv4Addr::new(192, 168, 1, 202),
    spi: 0x1002,
};

/// One gateway.
pub struct Side {
    pub tables: Tables,
    pub counters: &'static Counters,
    pub direct: &'static DirectCounters,
    pub seen: Arc<AssociationCounters>,
    pub path: Path<'static>,
}

pub fn community() -> CommunityIndex {
    CommunityIndex::new(7).unwrap()
}

pub fn spi(end: End) -> Spi {
    Spi::new(end.spi).unwrap()
}

/// The keys of packets to one end.
pub fn keys(to: End) -> SaKeys {
    SaKeys::new(Key::aes256(&[to.spi as u8; 32]), Salt::new(&[3; 4]))
}

pub fn allow_all() -> Rule {
    Rule::new(1, Flow::default(), Flow::default())
}

pub fn pair(from: End, to: End) -> Pair {
    Pair {
        community: community(),
        source: from.member,
        destination: to.member,
    }
}

pub fn tunnel(to: End, mtu: u16) -> Tunnel {
    Tunnel::SealTo(SealTo {
        sa: SaIndex(3),
        address: SocketAddrV4::new(to.public, UDP_PORT),
        director: DIRECTOR,
        pseudo: PseudoIp::new(to.pseudo),
        mtu,
    })
}

pub fn on_link(port: PortIndex, address: Ipv4Addr) -> OnLink {
    OnLink { port, address }
}

pub fn in_community(address: Ipv4Addr) -> InCommunity {
    InCommunity {
        port: LAN,
        community: community(),
        address,
    }
}

pub fn virtual_address(address: Ipv4Addr) -> VirtualAddress {
    VirtualAddress {
        community: community(),
        address,
    }
}

/// A node that has no entries.
pub fn bare() -> Tables {
    let first = PseudoIp::new(1).unwrap();
    let sender = Arc::new(SenderTable::new(first, 0));
    Tables::new(sender, Arc::new(SessionTable::new(first, 0)))
}

fn tables(own: End, other: End) -> Result<Tables, TableError> {
    let mut tables = bare();
    tables.endpoint = Role::Gateway { udp_port: UDP_PORT };
    for (port, station, address) in [(LAN, LAN_STATION, GATEWAY), (WAN, own.station, own.public)] {
        tables.ingress_port.insert(port, AcceptBy { station, address })?;
        tables.egress_port.insert(port, LeaveBy { station })?;
        tables
            .route
            .insert(Prefix::new(address, 24)?, Hop::OnLink { port })?;
    }
    tables.neighbor.insert(on_link(LAN, DEVICE), DEVICES_STATION)?;
    tables
        .neighbor
        .insert(on_link(WAN, other.public), other.station)?;
    let to_virtual = ToVirtual {
        community: community(),
        address: other.member,
    };
    tables
        .local_destination
        .insert(on_link(LAN, other.seen_as), to_virtual)?;
    let from_member = FromMember {
        address: own.member,
        director: DIRECTOR,
        pseudo: PseudoIp::new(own.pseudo),
    };
    tables.local_source.insert(in_community(DEVICE), from_member)?;
    let open_with = OpenWith {
        sa: SaIndex(5),
        community: community(),
        source: other.member,
        destination: own.member,
        mtu: 1500,
    };
    tables.association.insert(own.spi, open_with)?;
    tables.policy.insert(allow_all(), Decision::Allow)?;
    tables.member.insert(pair(own, other), tunnel(other, 1500))?;
    tables
        .virtual_destination
        .insert(virtual_address(own.member), on_link(LAN, DEVICE))?;
    tables
        .virtual_source
        .insert(in_community(other.member), other.seen_as)?;
    tables.punt_rates.fill(Rate {
        per_second: 1000,
        burst: 100,
    });
    Ok(tables)
}

impl Side {
    pub fn new(own: End, other: End) -> Self {
        Self::workers(own, other, 1).remove(0)
    }

    /// The same gateway on so many workers: each has its associations.
    pub fn workers(own: End, other: End, count: u16) -> Vec<Self> {
        let seen = Arc::new(AssociationCounters::new(8));
        let one = |worker| Self::worker(own, other, (WorkerIndex(worker), count), seen.clone());
        (0..count).map(one).collect()
    }

    fn worker(
        own: End,
        other: End,
        (worker, of): (WorkerIndex, u16),
        seen: Arc<AssociationCounters>,
    ) -> Self {
        let counters: &Counters = Box::leak(Box::default());
        let direct: &DirectCounters = Box::leak(Box::new(DirectCounters {
            session: EntryCounters::new(0),
            association: EntryCounters::new(1),
            member: EntryCounters::new(1),
        }));
        let mut gateway = Gateway::of_worker(worker, of, seen.clone());
        let now = Millis(NOW.0 / 1_000_000);
        let outbound = Outbound::new(spi(other), keys(other), Limits::default(), now);
        let inbound = Inbound::new(spi(own), keys(own), Limits::default(), now);
        if owner(SaIndex(3), of) == worker {
            assert!(gateway.install_outbound(SaIndex(3), Box::new(outbound)).is_ok());
        }
        if owner(SaIndex(5), of) == worker {
            assert!(gateway.install_inbound(SaIndex(5), Box::new(inbound)).is_ok());
        }
        Self {
            tables: tables(own, other).unwrap(),
            counters,
            direct,
            seen,
            path: Path::with_gateway(counters, direct, gateway),
        }
    }

    pub fn alpha() -> Self {
        Self::new(ALPHA, BETA)
    }

    pub fn beta() -> Self {
        Self::new(BETA, ALPHA)
    }

    pub fn run_at(&mut self, now: Nanos, ingress: PortIndex, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut burst = [HostPacket::from_bytes(frame)];
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        self.path
            .process(&self.tables, ingress, now, &mut burst, &mut verdicts);
        (verdicts[0], burst[0].bytes().to_vec())
    }

    pub fn run(&mut self, ingress: PortIndex, frame: &[u8]) -> (Verdict, Vec<u8>) {
        self.run_at(NOW, ingress, frame)
    }

    /// Sends a frame from the LAN into the tunnel.
    pub fn sealed(&mut self, frame: &[u8]) -> Vec<u8> {
        let (verdict, sealed) = self.run(LAN, frame);
        assert_eq!(verdict, Verdict::Transmit(WAN));
        sealed
    }

    /// Delivers a frame from the tunnel to the LAN.
    pub fn opened(&mut self, frame: &[u8]) -> Vec<u8> {
        let (verdict, opened) = self.run(WAN, frame);
        assert_eq!(verdict, Verdict::Transmit(LAN));
        opened
    }

    pub fn dropped(&mut self, what: &str, ingress: PortIndex, frame: &[u8], reason: DropReason) {
        let before = self.counters.dropped(reason).get();
        let (verdict, _) = self.run(ingress, frame);
        assert_eq!(verdict, Verdict::Drop(reason), "{what}");
        assert_eq!(self.counters.dropped(reason).get(), before + 1, "{what}: counted");
    }

    pub fn punted(&mut self, what: &str, ingress: PortIndex, frame: &[u8], reason: PuntReason) {
        let (verdict, after) = self.run(ingress, frame);
        assert_eq!(verdict, Verdict::Punt(reason), "{what}");
        assert_eq!(after, frame, "{what}: goes up as it came");
    }
}

/// A frame of alpha's device to the address that stands for beta's.
pub fn lan_frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    frame_between(DEVICE, BETA.seen_as, protocol, payload)
}

pub fn frame_between(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ethernet = Ethernet {
        destination: LAN_STATION,
        source: DEVICES_STATION,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    let ip = Ipv4::new(from, to, protocol, 20 + payload.len() as u16);
    [ethernet.as_bytes(), ip.as_bytes(), payload].concat()
}

/// A datagram with a checksum that is right between these addresses.
pub fn datagram(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut udp = Udp::new(ports.0, ports.1, data.len()).unwrap();
    let ip = Ipv4::new(from, to, PROTOCOL_UDP, 28 + data.len() as u16);
    udp.fill_checksum(&ip, data);
    [udp.as_bytes(), data].concat()
}

/// A TCP SYN to port 80 that asks for segments of so many octets.
pub fn syn(from: Ipv4Addr, to: Ipv4Addr, mss: u16) -> Vec<u8> {
    let mut segment = vec![0; 24];
    segment[..4].copy_from_slice(&[0x9c, 0x40, 0, 80]);
    segment[12..14].copy_from_slice(&[0x60, 0x02]);
    segment[20..22].copy_from_slice(&[2, 4]);
    segment[22..].copy_from_slice(&mss.to_be_bytes());
    let sum = pseudo_header(from.to_bits(), to.to_bits(), PROTOCOL_TCP, 24).add_bytes(&segment);
    segment[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    segment
}

/// Changes one octet of the IPv4 header at `header` and mends its checksum.
pub fn bend_ip(mut frame: Vec<u8>, header: usize, at: usize, value: u8) -> Vec<u8> {
    use zerocopy::FromBytes;
    frame[header + at] = value;
    Ipv4::mut_from_prefix(&mut frame[header..])
        .unwrap()
        .0
        .refill_checksum();
    frame
}
