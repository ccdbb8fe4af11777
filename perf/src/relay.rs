//! P2, P3: what relaying costs. Loops "floor" and "relay" are the same but for the relay.
//!
//! ```text
//!  floor:  receive ► write the frame (template)                      ► send
//!  relay:  receive ► write the frame (template) ► Path::process      ► send
//! ```
//!
//! How frames are written, and why so: [`crate::world`]. Headers are warm when the relay looks at them, as after a NIC's DMA into the
//! last-level cache and a prefetch. Next hop of every receiver is the router.

use crate::BenchError;
use crate::measure::{Arena, Plan, interleave};
use crate::port::{Bench, NullPort};
use crate::report::{Goal, Row};
use crate::world::{FRONT, PORT, World};
use kith_dpdk::{Burst, tsc};
use kith_pipeline::packet::Packet;
use kith_pipeline::path::Path;
use kith_pipeline::reason::DropReason;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::Nanos;
use kith_pipeline::{BURST, Verdict};
use std::hint::black_box;

/// Octets of the frame: a virtual packet of 64.
const FRAME: usize = FRONT + 64;
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

/// What a worker does with a burst.
#[inline(always)]
pub(crate) fn relay<P: Packet>(tables: &Tables, path: &mut Path<'_>, packets: &mut [P]) -> [Verdict; BURST] {
    let mut verdicts = [Verdict::Drop(DropReason::TransmitQueueFull); BURST];
    path.process(tables, PORT, Nanos(tsc()), packets, &mut verdicts);
    verdicts
}

struct RelayArena<'a> {
    world: &'a World<FRAME>,
    path: Path<'a>,
    port: &'a mut NullPort,
    next: usize,
}

impl<'a> RelayArena<'a> {
    fn new(world: &'a World<FRAME>, port: &'a mut NullPort) -> Self {
        Self {
            world,
            path: Path::new(&world.counters, &world.direct),
            port,
            next: 0,
        }
    }
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
            0 => port.batch(|packets| world.flows.restore::<false>(next, packets)),
            _ => {
                let before = world.counters.all_drops() + world.counters.all_punts();
                let sent = port.batch(|packets| {
                    world.flows.restore::<false>(next, packets);
                    black_box(relay(&world.tables, path, packets));
                });
                let after = world.counters.all_drops() + world.counters.all_punts();
                assert_eq!(before, after, "the world has only packets to relay");
                sent
            }
        }
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        let flows = &self.world.flows;
        let mut burst = Burst::new();
        for _ in 0..256 {
            self.port.rx.rx_burst(&mut burst);
            flows.restore::<false>(&mut self.next, &mut burst);
            if which == 1 {
                relay(&self.world.tables, &mut self.path, &mut burst);
            }
            for (flow, packet) in (self.next - BURST..).zip(burst.iter()) {
                let expected = match which {
                    1 => flows.relayed(flow, false),
                    _ => flows.sent(flow, false),
                };
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
