//! A worker: the way of a packet from receive queue to transmit queue.
//!
//! ```text
//!  for each port: rx burst ► Path::process ► sort ─┬─ transmit: the out port's burst
//!                                                   ├─ punt:     ring to the slow path, ingress and reason in front
//!                                                   └─ drop:     freed together
//!  ring from the slow path ► the out port's burst
//!  for each port: tx burst; what the port does not take is dropped (transmit_queue_full)
//! ```
//!
//! A worker owns its queues, its end of both rings and its counters; it shares the tables of senders and sessions and reads snapshots. In
//! its loop there is no lock, allocation, syscall, log or panic, except for the sleep of a worker with nothing to do.

use crate::clock::Clock;
use kith_api::config::{Idle, IdleMode};
use kith_dpdk::{Burst, Consumer, Mbuf, Producer, RxQueue, TxQueue};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::path::Path;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::snapshot::Reader;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::PortIndex;
use kith_pipeline::{BURST, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Octets in front of a packet in the ring to the slow path: ingress port, reason.
pub const PUNT_HEADER: usize = 2;
/// Octets in front of a packet in the ring from the slow path: egress port.
pub const INJECT_HEADER: usize = 1;

/// What a worker counts; anyone may read it.
#[derive(Debug)]
pub struct Shared {
    /// Packets.
    pub counters: Counters,
    /// Packets and octets of entries.
    pub direct: DirectCounters,
}

impl Shared {
    /// Counters for a pool of so many sessions.
    #[must_use]
    pub fn new(sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            counters: Counters::default(),
            direct: DirectCounters::new(sessions),
        })
    }
}

/// A transmit queue, and what is to be sent through it.
struct Out {
    queue: TxQueue,
    burst: Burst,
}

/// All that a worker owns.
pub struct Worker {
    rx: Vec<RxQueue>,
    out: Vec<Out>,
    tables: Reader<Tables>,
    up: Producer,
    down: Consumer,
    clock: Clock,
    burst: Burst,
    dead: Burst,
}

impl Worker {
    /// A worker with one receive and one transmit queue of each port, in the order of their numbers.
    #[must_use]
    pub fn new(
        rx: Vec<RxQueue>,
        tx: Vec<TxQueue>,
        tables: Reader<Tables>,
        (up, down): (Producer, Consumer),
        clock: Clock,
    ) -> Self {
        let out = |queue| Out {
            queue,
            burst: Burst::new(),
        };
        Self {
            rx,
            out: tx.into_iter().map(out).collect(),
            tables,
            up,
            down,
            clock,
            burst: Burst::new(),
            dead: Burst::new(),
        }
    }

    /// Works until told to stop.
    pub fn run(mut self, shared: &Shared, idle: Idle, stop: &AtomicBool) {
        let mut path = Path::new(&shared.counters, &shared.direct);
        let mut rest = Rest::new(idle);
        while !stop.load(Ordering::Relaxed) {
            if self.poll(&mut path, &shared.counters) {
                rest.over();
            } else {
                rest.take();
            }
        }
    }

    /// Once around all queues. Was there anything?
    #[inline]
    pub fn poll(&mut self, path: &mut Path<'_>, counters: &Counters) -> bool {
        let now = self.clock.now();
        let tables = self.tables.load();
        let mut found = 0;
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        for (ingress, queue) in (0u8..).zip(&mut self.rx) {
            let received = queue.rx_burst(&mut self.burst);
            if received == 0 {
                continue;
            }
            found += received;
            counters.received.add(received as u64);
            counters.received_bytes.add(octets(&self.burst));
            path.process(tables, PortIndex(ingress), now, &mut self.burst, &mut verdicts);
            for (packet, verdict) in self.burst.drain().zip(verdicts) {
                match verdict {
                    Verdict::Transmit(port) => {
                        transmit(&mut self.out, port, packet, &mut self.dead, counters);
                    }
                    Verdict::Punt(reason) => {
                        punt(&mut self.up, ingress, reason, packet, &mut self.dead, counters);
                    }
                    Verdict::Drop(_) => discard(&mut self.dead, packet),
                }
            }
        }
        found += self.inject(counters);
        for out in &mut self.out {
            out.flush(counters);
        }
        self.dead.clear();
        let polls = if found > 0 {
            &counters.busy_polls
        } else {
            &counters.idle_polls
        };
        polls.add(1);
        found > 0
    }

    /// Sends what the slow path made.
    #[inline]
    fn inject(&mut self, counters: &Counters) -> usize {
        let count = self.down.receive(&mut self.burst);
        if count == 0 {
            return 0;
        }
        counters.injected.add(count as u64);
        for mut packet in self.burst.drain() {
            let port = packet.bytes().first().copied();
            match port {
                Some(port) if packet.shrink_front(INJECT_HEADER) => {
                    transmit(&mut self.out, PortIndex(port), packet, &mut self.dead, counters);
                }
                _ => {
                    counters.dropped(DropReason::EthernetTruncated).add(1);
                    discard(&mut self.dead, packet);
                }
            }
        }
        count
    }
}

impl Out {
    /// Sends all, and drops what the port does not take.
    #[inline]
    fn flush(&mut self, counters: &Counters) {
        if self.burst.is_empty() {
            return;
        }
        let all = octets(&self.burst);
        let sent = self.queue.tx_burst(&mut self.burst);
        counters.transmitted.add(sent as u64);
        counters
            .transmitted_bytes
            .add(all.saturating_sub(octets(&self.burst)));
        if !self.burst.is_empty() {
            counters
                .dropped(DropReason::TransmitQueueFull)
                .add(self.burst.len() as u64);
            self.burst.clear();
        }
    }
}

/// Puts a packet into the burst of its port.
#[inline]
fn transmit(out: &mut [Out], port: PortIndex, packet: Mbuf, dead: &mut Burst, counters: &Counters) {
    let Some(out) = out.get_mut(usize::from(port.0)) else {
        counters.dropped(DropReason::RouteUnknown).add(1);
        return discard(dead, packet);
    };
    if out.burst.is_full() {
        out.flush(counters);
    }
    if let Err(packet) = out.burst.push(packet) {
        counters.dropped(DropReason::TransmitQueueFull).add(1);
        discard(dead, packet);
    }
}

/// Hands a packet to the slow path, and with it where it came in and why it goes up.
#[inline]
fn punt(
    up: &mut Producer,
    ingress: u8,
    reason: PuntReason,
    mut packet: Mbuf,
    dead: &mut Burst,
    counters: &Counters,
) {
    if packet.grow_front(PUNT_HEADER)
        && let [port, why, ..] = packet.bytes_mut()
    {
        (*port, *why) = (ingress, reason as u8);
        match up.push(packet) {
            Ok(()) => return,
            Err(back) => packet = back,
        }
    }
    // Counted as a punt already: whoever adds up takes this one off again.
    counters.dropped(DropReason::PuntQueueFull).add(1);
    discard(dead, packet);
}

/// Keeps a packet to be freed with others.
#[inline]
fn discard(dead: &mut Burst, packet: Mbuf) {
    if dead.is_full() {
        dead.clear();
    }
    // There is room; were there none, the packet would be freed by itself.
    drop(dead.push(packet));
}

#[inline]
fn octets(packets: &[Mbuf]) -> u64 {
    packets.iter().map(|packet| packet.bytes().len() as u64).sum()
}

/// How a worker rests that finds nothing: first it polls on, then sleeps, each time twice as long.
struct Rest {
    idle: Idle,
    empty: u32,
    next_us: u32,
}

impl Rest {
    fn new(idle: Idle) -> Self {
        Self {
            idle,
            empty: 0,
            next_us: idle.min_sleep_us,
        }
    }

    #[inline]
    fn over(&mut self) {
        self.empty = 0;
        self.next_us = self.idle.min_sleep_us;
    }

    #[inline]
    fn take(&mut self) {
        if self.idle.mode == IdleMode::Poll {
            return std::hint::spin_loop();
        }
        self.empty = self.empty.saturating_add(1);
        if self.empty > self.idle.empty_polls {
            thread::sleep(Duration::from_micros(self.next_us.into()));
            self.next_us = self.next_us.saturating_mul(2).min(self.idle.max_sleep_us);
        }
    }
}
