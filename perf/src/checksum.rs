//! What a UDP checksum adds to P2: frames with one, verified by the port or by the relay itself. Agents' data carries it.
//!
//! ```text
//!  floor:         receive ► write the frame, with its checksum                          ► send
//!  absent:        receive ► write the frame, without                  ► Path::process   ► send
//!  verified:      receive ► write the frame ► "the port found it good" ► Path::process  ► send
//!  not verified:  receive ► write the frame ► "nobody looked at it"    ► Path::process  ► send     af_packet, net_null
//!  sum:           receive ► write the frame ► sum over pseudo header, UDP header, data  ► send
//! ```
//!
//! What a port says is a flag beside each packet ([`Seen`]), for `net_null` says nothing. The octets are in the first-level cache, as they were
//! just written: on a real port the sum waits for the last-level cache as well.

use crate::BenchError;
use crate::measure::{Arena, Plan, interleave};
use crate::port::{Bench, NullPort};
use crate::relay::relay;
use crate::report::Row;
use crate::world::{FRONT, World};
use kith_dpdk::{Burst, Mbuf};
use kith_pipeline::packet::Packet;
use kith_pipeline::path::Path;
use kith_pipeline::{BURST, Verdict};
use kith_wire::ethernet::Ethernet;
use kith_wire::ipv4::Ipv4;
use kith_wire::udp::Udp;
use std::hint::black_box;

const LOOPS: &[&str] = &["floor", "absent", "verified", "not verified", "sum"];
const FLOOR: usize = 0;
const ABSENT: usize = 1;
const VERIFIED: usize = 2;
const NOT_VERIFIED: usize = 3;
const SUM: usize = 4;

/// Members, as P2 has them.
const SESSIONS: u32 = 4096;

/// Measures both sizes.
pub fn run(bench: &mut Bench, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let mut rows = of_size::<{ FRONT + 64 }>(bench, plan)?;
    rows.extend(of_size::<{ FRONT + 1400 }>(bench, plan)?);
    Ok(rows)
}

fn of_size<const FRAME: usize>(bench: &mut Bench, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let [port] = bench.null_ports(FRAME)?;
    let world = World::<FRAME>::new(SESSIONS, 1 << 16)?;
    let mut arena = ChecksumArena {
        path: Path::new(&world.counters, &world.direct),
        world: &world,
        port,
        next: 0,
    };
    let slices = interleave(plan, &mut arena)?;
    let delta = |which: usize| slices.figure(|of| of[which] - of[FLOOR]);
    let (absent, sum) = (delta(ABSENT).median, delta(SUM).median);
    let row = |which: usize, how: &str| {
        let by_cpu = slices.figure_by_cpu(|of| of[which] - of[FLOOR]);
        Row::measured(
            "P2",
            format!("relay Δ, UDP checksum {how}, {FRAME} B frames"),
            "cycles",
            delta(which),
        )
        .note(format!(
            "without a checksum {absent:.0}, the sum alone {sum:.0}; Δ by CPU time {by_cpu:.0}"
        ))
    };
    Ok(vec![
        row(VERIFIED, "verified by the port"),
        row(NOT_VERIFIED, "verified by the relay"),
    ])
}

/// A packet, and what its port says of its checksums.
struct Seen<'a> {
    packet: &'a mut Mbuf,
    verified: bool,
}

impl Packet for Seen<'_> {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self.packet.bytes()
    }
    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.packet.bytes_mut()
    }
    #[inline(always)]
    fn grow_front(&mut self, n: usize) -> bool {
        Packet::grow_front(self.packet, n)
    }
    #[inline(always)]
    fn shrink_front(&mut self, n: usize) -> bool {
        Packet::shrink_front(self.packet, n)
    }
    #[inline(always)]
    fn grow_back(&mut self, n: usize) -> bool {
        Packet::grow_back(self.packet, n)
    }
    #[inline(always)]
    fn shrink_back(&mut self, n: usize) -> bool {
        Packet::shrink_back(self.packet, n)
    }
    #[inline(always)]
    fn is_contiguous(&self) -> bool {
        Packet::is_contiguous(self.packet)
    }
    #[inline(always)]
    fn checksums_verified(&self) -> bool {
        self.verified
    }
}

struct ChecksumArena<'a, const FRAME: usize> {
    path: Path<'a>,
    world: &'a World<FRAME>,
    port: NullPort,
    next: usize,
}

/// One loop's work on a burst, which is full.
#[inline(always)]
fn work<const FRAME: usize>(
    which: usize,
    world: &World<FRAME>,
    path: &mut Path<'_>,
    next: &mut usize,
    packets: &mut [Mbuf],
) {
    if which == ABSENT {
        world.flows.restore::<false>(next, packets);
    } else {
        world.flows.restore::<true>(next, packets);
    }
    if which == SUM {
        for packet in packets.iter() {
            black_box(is_right(packet.bytes()));
        }
        return;
    }
    // All loops go through the same array, so that it is in the floor.
    let Some(packets) = packets.first_chunk_mut::<BURST>() else {
        return;
    };
    let verified = which == VERIFIED;
    let mut seen = packets.each_mut().map(|packet| Seen { packet, verified });
    if which == FLOOR {
        black_box(&mut seen);
        return;
    }
    let verdicts = relay(&world.tables, path, &mut seen);
    black_box::<[Verdict; BURST]>(verdicts);
}

/// Is the UDP checksum right?
#[inline(always)]
fn is_right(frame: &[u8]) -> bool {
    let Ok((_, rest)) = Ethernet::parse(frame) else {
        return false;
    };
    let Ok((ip, payload)) = Ipv4::parse(rest) else {
        return false;
    };
    Udp::parse(payload).is_ok_and(|(udp, data)| udp.verify(ip, data).is_ok())
}

impl<const FRAME: usize> Arena for ChecksumArena<'_, FRAME> {
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
        let lost = || world.counters.all_drops() + world.counters.all_punts();
        let before = lost();
        let sent = match which {
            FLOOR => port.batch(|packets| work(FLOOR, world, path, next, packets)),
            ABSENT => port.batch(|packets| work(ABSENT, world, path, next, packets)),
            VERIFIED => port.batch(|packets| work(VERIFIED, world, path, next, packets)),
            NOT_VERIFIED => port.batch(|packets| work(NOT_VERIFIED, world, path, next, packets)),
            _ => port.batch(|packets| work(SUM, world, path, next, packets)),
        };
        assert_eq!(before, lost(), "the world has only packets to relay");
        sent
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        let mut burst = Burst::new();
        for _ in 0..64 {
            self.port.rx.rx_burst(&mut burst);
            work(which, self.world, &mut self.path, &mut self.next, &mut burst);
            for (flow, packet) in (self.next - BURST..).zip(burst.iter()) {
                let flows = &self.world.flows;
                let expected = match which {
                    FLOOR | SUM => flows.sent(flow, true),
                    ABSENT => flows.relayed(flow, false),
                    _ => flows.relayed(flow, true),
                };
                let bytes = packet.bytes();
                if bytes != expected || !is_right(bytes) {
                    return Err(BenchError::wrong(
                        LOOPS[which],
                        "not the frame to send",
                        &expected,
                        bytes,
                    ));
                }
            }
            self.port.tx.tx_burst(&mut burst);
            burst.clear();
        }
        Ok(())
    }
}
