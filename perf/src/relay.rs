//! P2, P3: what relaying costs. Loops "floor" and "relay" are the same but for the relay.
//!
//! ```text
//!  floor:  receive ► write the frame (template)                      ► send
//!  relay:  receive ► write the frame (template) ► Path::process      ► send
//! ```
//!
//! A relay rewrites the frame, so both loops write it anew each time: 126 octets from a base that stays in the first-level
//! cache, and over them the 14 that differ between flows, from an array of templates read from end to end. The templates are
//! few octets and sequential, so the hardware fetches them ahead; the *sessions* they name are random, so the relay meets
//! the cache misses that random traffic has. Headers are warm when the relay looks at them, as after a NIC's DMA into the
//! last-level cache and a prefetch. Next hop of every receiver is the router.

use crate::BenchError;
use crate::flows::{GATEWAY, HERE, OURS, ROUTER, Random};
use crate::measure::{Arena, Plan, interleave};
use crate::port::{Bench, NullPort};
use crate::report::{Goal, Row};
use kith_dpdk::{Burst, Mbuf, tsc};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::meter::Rate;
use kith_pipeline::path::Path;
use kith_pipeline::reason::DropReason;
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
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, PseudoIp, Shim};
use kith_wire::udp::Udp;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

/// Octets of the virtual packet.
const VIRTUAL: usize = 64;
/// Octets of the frame.
const FRAME: usize = kith_pipeline::outer::LEN + shim::LEN + VIRTUAL;
const UDP_PORT: u16 = 20202;
const POOL: u32 = 0xf000_0000;
const PORT: PortIndex = PortIndex(0);
const LOOPS: &[&str] = &["floor", "relay"];

/// Measures P2 and P3.
pub fn run(bench: &mut Bench, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let [mut port] = bench.null_ports(FRAME)?;
    let mut rows = Vec::new();
    for (id, sessions, flows, reach, then) in [
        ("P2", 4096, 1 << 16, 60.0, 35.0),
        ("P3", 1 << 20, 1 << 20, 110.0, 70.0),
    ] {
        let world = World::new(sessions, flows)?;
        let mut arena = RelayArena::new(&world, &mut port);
        let slices = interleave(plan, &mut arena)?;
        let delta = |of: &[f64]| of[1] - of[0];
        rows.push(
            Row::measured(
                id,
                format!("relay Δ, {sessions} sessions, random pairs, {FRAME} B frames"),
                "cycles",
                slices.figure(delta),
            )
            .goal(Goal::AtMost {
                reach,
                then: Some(then),
            })
            .note(format!(
                "floor {:.0}, relay {:.0} cycles a packet; Δ by CPU time {:.0}",
                slices.figure(|of| of[0]).median,
                slices.figure(|of| of[1]).median,
                slices.figure_by_cpu(delta)
            )),
        );
    }
    Ok(rows)
}

/// What of a frame differs between flows, as on the wire.
#[derive(Debug, Clone, Copy)]
struct Flow {
    checksum: [u8; 2],
    source: [u8; 4],
    source_port: [u8; 2],
    source_member: [u8; 4],
    destination_member: [u8; 4],
}

struct World {
    tables: Tables,
    counters: Counters,
    direct: DirectCounters,
    nats: Vec<SocketAddrV4>,
    flows: Vec<Flow>,
    base: [u8; FRAME],
}

impl World {
    fn new(count: u32, flows: usize) -> Result<Self, TableError> {
        let mut random = Random::new(2);
        let sender = SenderTable::new(pseudo(0), count as usize);
        let session = SessionTable::new(pseudo(0), count as usize);
        let community = CommunityIndex::new(1).unwrap_or_else(|| unreachable!("1 is not 0"));
        let nats: Vec<_> = (0..count).map(|_| random.nat()).collect();
        for (number, nat) in (0..).zip(&nats) {
            let binding = Binding::new(*nat, community);
            sender.insert(pseudo(number), binding, None)?;
            session.insert(pseudo(number), RelayTo { binding, mtu: 1500 })?;
        }
        let flows = (0..flows)
            .map(|_| Flow::between(&nats, random.below(count), random.below(count)))
            .collect();
        let rate = Rate {
            per_second: 1000,
            burst: 100,
        };
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
        tables.punt_rates.fill(rate);
        Ok(Self {
            tables,
            counters: Counters::default(),
            direct: DirectCounters::new(count as usize),
            flows,
            base: frame(
                (ROUTER, nats[0]),
                (OURS, SocketAddrV4::new(HERE, UDP_PORT)),
                64,
                0,
                0,
            ),
            nats,
        })
    }

    /// The frame of a flow before or after the relay, made from scratch.
    fn expected(&self, flow: &Flow, relayed: bool) -> [u8; FRAME] {
        let (source, destination) = (
            u32::from_be_bytes(flow.source_member) - POOL,
            u32::from_be_bytes(flow.destination_member) - POOL,
        );
        let here = (OURS, SocketAddrV4::new(HERE, UDP_PORT));
        if relayed {
            let to = (ROUTER, self.nats[destination as usize]);
            frame(here, to, 63, source, destination)
        } else {
            let from = (ROUTER, self.nats[source as usize]);
            frame(from, here, 64, source, destination)
        }
    }
}

impl Flow {
    fn between(nats: &[SocketAddrV4], source: u32, destination: u32) -> Self {
        let nat = nats[source as usize];
        let whole = frame(
            (ROUTER, nat),
            (OURS, SocketAddrV4::new(HERE, UDP_PORT)),
            64,
            source,
            destination,
        );
        let [_, _, .., c0, c1] = whole[..26] else {
            unreachable!("a frame is longer")
        };
        Self {
            checksum: [c0, c1],
            source: nat.ip().octets(),
            source_port: nat.port().to_be_bytes(),
            source_member: pseudo(source).to_bits().to_be_bytes(),
            destination_member: pseudo(destination).to_bits().to_be_bytes(),
        }
    }

    #[inline(always)]
    fn write(&self, base: &[u8; FRAME], packet: &mut Mbuf) {
        if let Some(frame) = packet.bytes_mut().first_chunk_mut::<FRAME>() {
            *frame = *base;
            frame[24..26].copy_from_slice(&self.checksum);
            frame[26..30].copy_from_slice(&self.source);
            frame[34..36].copy_from_slice(&self.source_port);
            frame[54..58].copy_from_slice(&self.source_member);
            frame[58..62].copy_from_slice(&self.destination_member);
        }
    }
}

/// A frame with a virtual packet of [`VIRTUAL`] octets, without UDP checksum.
fn frame(
    from: (MacAddr, SocketAddrV4),
    to: (MacAddr, SocketAddrV4),
    ttl: u8,
    source: u32,
    destination: u32,
) -> [u8; FRAME] {
    let ethernet = Ethernet {
        destination: to.0,
        source: from.0,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    let total = (FRAME - kith_wire::ethernet::HEADER_LEN) as u16;
    let mut ip = Ipv4::new(*from.1.ip(), *to.1.ip(), PROTOCOL_UDP, total);
    while ip.ttl() > ttl {
        ip.decrement_ttl();
    }
    ip.refill_checksum();
    let udp = Udp::new(from.1.port(), to.1.port(), shim::LEN + VIRTUAL)
        .unwrap_or_else(|| unreachable!("the frame is short"));
    let mut shim = Shim::new(DataType::Virtual);
    shim.source_director = U32::new(HERE.to_bits());
    shim.destination_director = U32::new(HERE.to_bits());
    shim.source_member = U32::new(pseudo(source).to_bits());
    shim.destination_member = U32::new(pseudo(destination).to_bits());
    let inner = Ipv4::new(
        Ipv4Addr::new(10, 77, 0, 1),
        Ipv4Addr::new(10, 77, 0, 2),
        PROTOCOL_ESP,
        VIRTUAL as u16,
    );
    let mut bytes = [0x5a; FRAME];
    let headers = [
        ethernet.as_bytes(),
        ip.as_bytes(),
        udp.as_bytes(),
        shim.as_bytes(),
        inner.as_bytes(),
    ]
    .concat();
    bytes[..headers.len()].copy_from_slice(&headers);
    bytes
}

fn pseudo(number: u32) -> PseudoIp {
    PseudoIp::new(POOL + number).unwrap_or_else(|| unreachable!("the pool does not begin at 0"))
}

struct RelayArena<'a> {
    world: &'a World,
    path: Path<'a>,
    port: &'a mut NullPort,
    next: usize,
}

impl<'a> RelayArena<'a> {
    fn new(world: &'a World, port: &'a mut NullPort) -> Self {
        Self {
            world,
            path: Path::new(&world.counters, &world.direct),
            port,
            next: 0,
        }
    }
}

/// Writes the next flows' frames. The number of flows is a multiple of a burst.
#[inline(always)]
fn restore(world: &World, next: &mut usize, packets: &mut [Mbuf]) {
    if *next + BURST > world.flows.len() {
        *next = 0;
    }
    for (packet, flow) in packets.iter_mut().zip(&world.flows[*next..]) {
        flow.write(&world.base, packet);
    }
    *next += BURST;
}

/// What a worker does with a burst.
#[inline(always)]
fn relay(world: &World, path: &mut Path<'_>, packets: &mut [Mbuf]) -> [Verdict; BURST] {
    let mut verdicts = [Verdict::Drop(DropReason::TransmitQueueFull); BURST];
    path.process(&world.tables, PORT, Nanos(tsc()), packets, &mut verdicts);
    verdicts
}

impl Arena for RelayArena<'_> {
    fn loops(&self) -> &'static [&'static str] {
        LOOPS
    }

    fn batch(&mut self, which: usize) -> u64 {
        let Self {
            world,
            path,
            port,
            next,
        } = self;
        match which {
            0 => port.batch(|packets| restore(world, next, packets)),
            _ => {
                let before = world.counters.all_drops() + world.counters.all_punts();
                let sent = port.batch(|packets| {
                    restore(world, next, packets);
                    black_box(relay(world, path, packets));
                });
                let after = world.counters.all_drops() + world.counters.all_punts();
                assert_eq!(before, after, "the world has only packets to relay");
                sent
            }
        }
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        let mut burst = Burst::new();
        for _ in 0..256 {
            self.port.rx.rx_burst(&mut burst);
            restore(self.world, &mut self.next, &mut burst);
            let begin = self.next - BURST;
            let flows = &self.world.flows[begin..self.next];
            if which == 1 {
                relay(self.world, &mut self.path, &mut burst);
            }
            for (packet, flow) in burst.iter().zip(flows) {
                let expected = self.world.expected(flow, which == 1);
                if packet.bytes() != expected {
                    return Err(BenchError::wrong(
                        LOOPS[which],
                        "not the frame to send",
                        &expected,
                        packet.bytes(),
                    ));
                }
            }
            self.port.tx.tx_burst(&mut burst);
            burst.clear();
        }
        Ok(())
    }
}
