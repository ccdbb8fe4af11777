//! A director's world: its tables, and the frames of random flows between its members.
//!
//! Loops write each frame anew, since a relay rewrites it: a base that stays in the first-level cache, and over it the 14 octets that
//! differ between flows, 16 with a UDP checksum, from an array of templates read from end to end. The templates are few octets and
//! sequential, so the hardware fetches them ahead; the *sessions* they name are random, so the relay meets the cache misses
//! that random traffic has.

use crate::flows::{GATEWAY, HERE, OURS, ROUTER, Random};
use kith_dpdk::Mbuf;
use kith_pipeline::BURST;
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::meter::Rate;
use kith_pipeline::table::TableError;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::exact::ExactTable;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::pool::Binding;
use kith_pipeline::table::port::{AcceptBy, LeaveBy};
use kith_pipeline::table::route::{Hop, Prefix};
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::{RelayTo, SessionTable};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, PseudoIp, Shim};
use kith_wire::udp::{self, Udp};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

/// The encapsulation's port.
pub const UDP_PORT: u16 = 20202;
/// The port under test.
pub const PORT: PortIndex = PortIndex(0);
/// Octets before the virtual packet.
pub const FRONT: usize = kith_pipeline::outer::LEN + shim::LEN;
/// The first pseudo address.
const POOL: u32 = 0xf000_0000;
/// Where a frame's IPv4 and UDP checksums are.
const IP_CHECKSUM: usize = ethernet::HEADER_LEN + 10;
const UDP_CHECKSUM: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + 6;

/// What of a frame differs between flows, as on the wire.
#[derive(Debug, Clone, Copy)]
struct Flow {
    checksum: [u8; 2],
    source: [u8; 4],
    source_port: [u8; 2],
    source_member: [u8; 4],
    destination_member: [u8; 4],
    udp_checksum: [u8; 2],
}

/// Flows whose frames are so many octets long.
pub struct Flows<const FRAME: usize> {
    nats: Vec<SocketAddrV4>,
    flows: Vec<Flow>,
    base: [u8; FRAME],
}

/// A director, and flows through it.
pub struct World<const FRAME: usize> {
    /// Its tables.
    pub tables: Tables,
    /// Its worker's counters.
    pub counters: Counters,
    /// Those of its entries.
    pub direct: DirectCounters,
    /// The flows.
    pub flows: Flows<FRAME>,
}

impl<const FRAME: usize> World<FRAME> {
    /// So many members, and so many flows between random pairs of them: a multiple of a burst.
    pub fn new(members: u32, flows: usize) -> Result<Self, TableError> {
        let mut random = Random::new(2);
        let nats: Vec<_> = (0..members).map(|_| random.nat()).collect();
        Ok(Self {
            tables: tables(&nats)?,
            counters: Counters::default(),
            direct: DirectCounters::new(members as usize),
            flows: Flows::new(&mut random, nats, flows),
        })
    }
}

/// A director's tables with a sender and a session for each of these. Next hop of every receiver is the router.
fn tables(nats: &[SocketAddrV4]) -> Result<Tables, TableError> {
    let sender = SenderTable::new(pseudo(0), nats.len());
    let session = SessionTable::new(pseudo(0), nats.len());
    for (number, nat) in (0..).zip(nats) {
        let binding = Binding::new(*nat, community());
        sender.insert(pseudo(number), binding, None)?;
        session.insert(pseudo(number), RelayTo { binding, mtu: 1500 })?;
    }
    let mut tables = Tables::new(Arc::new(sender), Arc::new(session));
    tables.endpoint = Role::Director {
        address: HERE,
        udp_port: UDP_PORT,
    };
    let accept_by = AcceptBy {
        station: OURS,
        address: HERE,
    };
    let hop = OnLink {
        port: PORT,
        address: GATEWAY,
    };
    let via = Hop::Via {
        port: PORT,
        gateway: GATEWAY,
    };
    tables.ingress_port.insert(PORT, accept_by)?;
    tables
        .route
        .insert(Prefix::new(HERE, 24)?, Hop::OnLink { port: PORT })?;
    tables.route.insert(Prefix::ALL, via)?;
    tables.neighbor = ExactTable::new([(hop, ROUTER)]);
    tables.egress_port.insert(PORT, LeaveBy { station: OURS })?;
    tables.punt_rates.fill(Rate {
        per_second: 1000,
        burst: 100,
    });
    Ok(tables)
}

impl<const FRAME: usize> Flows<FRAME> {
    /// So many flows between random ones of these.
    #[must_use]
    pub fn new(random: &mut Random, nats: Vec<SocketAddrV4>, count: usize) -> Self {
        let members = u32::try_from(nats.len()).unwrap_or_else(|_| unreachable!("places are 32-bit numbers"));
        let flows =
            (0..count).map(|_| Flow::between::<FRAME>(&nats, random.below(members), random.below(members)));
        Self {
            flows: flows.collect(),
            base: frame((ROUTER, nats[0]), (OURS, here()), 64, (0, 0), false),
            nats,
        }
    }

    /// Writes the next flows' frames; `SUMMED`: with UDP checksums. The number of flows is a multiple of a burst.
    #[inline(always)]
    pub fn restore<const SUMMED: bool>(&self, next: &mut usize, packets: &mut [Mbuf]) {
        if *next + BURST > self.flows.len() {
            *next = 0;
        }
        for (packet, flow) in packets.iter_mut().zip(&self.flows[*next..]) {
            flow.write::<FRAME, SUMMED>(&self.base, packet);
        }
        *next += BURST;
    }

    /// The frame of a flow before it is relayed, made from scratch.
    #[must_use]
    pub fn sent(&self, flow: usize, summed: bool) -> [u8; FRAME] {
        let members = self.flows[flow].members();
        let from = (ROUTER, self.nats[members.0 as usize]);
        frame(from, (OURS, here()), 64, members, summed)
    }

    /// The frame of a flow after it is relayed, made from scratch.
    #[must_use]
    pub fn relayed(&self, flow: usize, summed: bool) -> [u8; FRAME] {
        self.relayed_to(flow, self.nats[self.flows[flow].members().1 as usize], summed)
    }

    /// The same, if its receiver is somewhere else.
    #[must_use]
    pub fn relayed_to(&self, flow: usize, to: SocketAddrV4, summed: bool) -> [u8; FRAME] {
        frame(
            (OURS, here()),
            (ROUTER, to),
            63,
            self.flows[flow].members(),
            summed,
        )
    }

    /// The receiver's place.
    #[must_use]
    pub fn receiver(&self, flow: usize) -> u32 {
        self.flows[flow].members().1
    }
}

impl Flow {
    fn between<const FRAME: usize>(nats: &[SocketAddrV4], source: u32, destination: u32) -> Self {
        let nat = nats[source as usize];
        let whole: [u8; FRAME] = frame((ROUTER, nat), (OURS, here()), 64, (source, destination), true);
        Self {
            checksum: [whole[IP_CHECKSUM], whole[IP_CHECKSUM + 1]],
            source: nat.ip().octets(),
            source_port: nat.port().to_be_bytes(),
            source_member: pseudo(source).to_bits().to_be_bytes(),
            destination_member: pseudo(destination).to_bits().to_be_bytes(),
            udp_checksum: [whole[UDP_CHECKSUM], whole[UDP_CHECKSUM + 1]],
        }
    }

    fn members(&self) -> (u32, u32) {
        let place = |octets| u32::from_be_bytes(octets) - POOL;
        (place(self.source_member), place(self.destination_member))
    }

    #[inline(always)]
    fn write<const FRAME: usize, const SUMMED: bool>(&self, base: &[u8; FRAME], packet: &mut Mbuf) {
        if let Some(frame) = packet.bytes_mut().first_chunk_mut::<FRAME>() {
            *frame = *base;
            frame[24..26].copy_from_slice(&self.checksum);
            frame[26..30].copy_from_slice(&self.source);
            frame[34..36].copy_from_slice(&self.source_port);
            if SUMMED {
                frame[40..42].copy_from_slice(&self.udp_checksum);
            }
            frame[54..58].copy_from_slice(&self.source_member);
            frame[58..62].copy_from_slice(&self.destination_member);
        }
    }
}

/// A frame with a virtual packet between two places of the pool, with or without UDP checksum.
fn frame<const FRAME: usize>(
    from: (MacAddr, SocketAddrV4),
    to: (MacAddr, SocketAddrV4),
    ttl: u8,
    (source, destination): (u32, u32),
    summed: bool,
) -> [u8; FRAME] {
    let ethernet = Ethernet {
        destination: to.0,
        source: from.0,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    let total = (FRAME - ethernet::HEADER_LEN) as u16;
    let mut ip = Ipv4::new(*from.1.ip(), *to.1.ip(), PROTOCOL_UDP, total);
    while ip.ttl() > ttl {
        ip.decrement_ttl();
    }
    ip.refill_checksum();
    let data = FRAME - kith_pipeline::outer::LEN;
    let mut udp =
        Udp::new(from.1.port(), to.1.port(), data).unwrap_or_else(|| unreachable!("the frame is short"));
    let mut shim = Shim::new(DataType::Virtual);
    shim.source_director = U32::new(HERE.to_bits());
    shim.destination_director = U32::new(HERE.to_bits());
    shim.source_member = U32::new(pseudo(source).to_bits());
    shim.destination_member = U32::new(pseudo(destination).to_bits());
    let (a, b) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
    let inner = Ipv4::new(a, b, PROTOCOL_ESP, (FRAME - FRONT) as u16);
    let mut bytes = [0x5a; FRAME];
    let (headers, data) = bytes.split_at_mut(kith_pipeline::outer::LEN);
    data[..shim::LEN].copy_from_slice(shim.as_bytes());
    data[shim::LEN..shim::LEN + ipv4::HEADER_LEN].copy_from_slice(inner.as_bytes());
    if summed {
        udp.fill_checksum(&ip, data);
    }
    headers.copy_from_slice(&[ethernet.as_bytes(), ip.as_bytes(), udp.as_bytes()].concat());
    bytes
}

/// The director.
#[must_use]
pub fn here() -> SocketAddrV4 {
    SocketAddrV4::new(HERE, UDP_PORT)
}

/// Everybody's community.
#[must_use]
pub fn community() -> CommunityIndex {
    CommunityIndex::new(1).unwrap_or_else(|| unreachable!("1 is not 0"))
}

/// The pseudo address of a place.
#[must_use]
pub fn pseudo(number: u32) -> PseudoIp {
    PseudoIp::new(POOL + number).unwrap_or_else(|| unreachable!("the pool does not begin at 0"))
}

const _: () = assert!(UDP_CHECKSUM + 2 == ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN);
