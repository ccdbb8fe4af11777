//! The slow path's thread: rings, time and the queue to the controller around [`Slow`].

use super::State;
use crate::slow::{self, HandOver, Slow};
use crate::worker::{AGAIN, FRESH, HEADER, PUNT_HEADER, SEND};
use kith_dpdk::{Burst, Consumer, Mbuf, Mempool, Producer};
use kith_p4runtime::packet::{PacketIn, PacketOut};
use kith_p4runtime::service::{NotDelivered, PacketIns};
use kith_pipeline::BURST;
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{Nanos, PortIndex};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// Between two ticks of neighbours.
const TICK: Nanos = Nanos(100_000_000);
/// The first and the longest sleep of a slow path with nothing to do.
const SLEEP: (Duration, Duration) = (Duration::from_micros(50), Duration::from_micros(500));

/// The rings between the slow path and one worker.
pub struct Link {
    /// From the worker.
    pub up: Consumer,
    /// To the worker.
    pub down: Producer,
}

impl Link {
    /// Gives a packet to the worker, and says what is to be done with it.
    fn give(&mut self, kind: u8, port: PortIndex, mut packet: Mbuf) -> bool {
        packet.grow_front(HEADER) && {
            packet.bytes_mut()[..HEADER].copy_from_slice(&[kind, port.0]);
            self.down.push(packet).is_ok()
        }
    }
}

/// The slow path and all that it uses.
pub struct Service {
    /// The sans-I/O part.
    pub slow: Slow<Mbuf>,
    /// The rings, by worker.
    pub links: Vec<Link>,
    controller: Controller,
    pool: Mempool,
    burst: Burst,
    next_tick: Nanos,
}

/// Packets to and from the controllers' primary.
pub struct Controller {
    /// Where it gets them; never waits.
    pub packet_ins: PacketIns,
    /// What it wants sent, checked.
    pub packet_outs: Receiver<PacketOut>,
}

impl Service {
    /// A slow path with these rings.
    #[must_use]
    pub fn new(slow: Slow<Mbuf>, links: Vec<Link>, controller: Controller, pool: Mempool) -> Self {
        Self {
            slow,
            links,
            controller,
            pool,
            burst: Burst::new(),
            next_tick: Nanos(0),
        }
    }

    /// Is a controller there that takes packets?
    #[must_use]
    pub fn has_controller(&self) -> bool {
        self.controller.packet_ins.has_primary()
    }

    /// Packets in rings.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.links
            .iter()
            .map(|link| link.up.len() + link.down.len())
            .sum()
    }

    /// Announces itself on the links.
    pub fn begin(&mut self, now: Nanos) {
        self.slow.start(now, &mut || self.pool.alloc());
        self.deliver(0);
    }

    /// Takes what workers sent up, and lets time pass. Was there anything?
    pub fn turn(&mut self, now: Nanos) -> bool {
        let mut found = 0;
        for worker in 0..self.links.len() {
            let count = self.links[worker].up.receive(&mut self.burst);
            found += count;
            for mut packet in self.burst.drain() {
                let Some((ingress, reason)) = unwrap(&mut packet) else {
                    unreachable!("workers put a header in front of all they send up");
                };
                self.slow
                    .packet(now, ingress, reason, packet, &mut || self.pool.alloc());
            }
            if count > 0 {
                self.deliver(worker);
            }
        }
        for packet in self.controller.packet_outs.try_iter().take(BURST) {
            let make = &mut || self.pool.alloc();
            self.slow.packet_out(now, &packet, make);
            found += 1;
        }
        self.deliver(0);
        if now >= self.next_tick {
            self.next_tick = Nanos(now.0.saturating_add(TICK.0));
            self.slow.tick(now, &mut || self.pool.alloc());
            self.deliver(0);
        }
        found > 0
    }

    /// Sees to it that packets get where the slow path wants them.
    fn deliver(&mut self, worker: usize) {
        for slow::PacketIn {
            ingress,
            reason,
            packet,
        } in std::mem::take(&mut self.slow.up)
        {
            let handed = self.controller.packet_ins.send(PacketIn {
                ingress_port: ingress,
                reason: reason as u16,
                frame: packet.bytes().to_vec(),
            });
            let outcome = match handed {
                Ok(()) => HandOver::Taken,
                Err(NotDelivered::Full) => HandOver::Full,
                Err(NotDelivered::Nobody) => HandOver::Nobody,
            };
            self.slow.handed_over(reason, outcome);
        }
        let Some(link) = self.links.get_mut(worker) else {
            return;
        };
        for (port, packet) in std::mem::take(&mut self.slow.out) {
            let taken = link.give(SEND, port, packet);
            self.slow.delivered(taken);
        }
        for slow::Submitted {
            ingress,
            packet,
            counted,
        } in std::mem::take(&mut self.slow.submitted)
        {
            let taken = link.give(if counted { AGAIN } else { FRESH }, ingress, packet);
            self.slow.delivered(taken);
        }
    }
}

/// Runs the slow path until told to stop.
pub(super) fn run(state: &Arc<State>) {
    let mut rest = SLEEP.0;
    state.service().begin(state.clock.now());
    while !state.stop_slow.load(Ordering::Relaxed) {
        let found = state.service().turn(state.clock.now());
        state.turns.fetch_add(1, Ordering::Relaxed);
        if found {
            rest = SLEEP.0;
        } else {
            thread::sleep(rest);
            rest = (rest * 2).min(SLEEP.1);
        }
    }
    // What workers sent up before they ended.
    while state.service().turn(state.clock.now()) {}
}

/// Takes the worker's header off.
fn unwrap(packet: &mut Mbuf) -> Option<(PortIndex, PuntReason)> {
    let &[ingress, reason, ..] = packet.bytes() else {
        return None;
    };
    let reason = *PuntReason::ALL.get(usize::from(reason))?;
    Packet::shrink_front(packet, PUNT_HEADER).then_some((PortIndex(ingress), reason))
}
