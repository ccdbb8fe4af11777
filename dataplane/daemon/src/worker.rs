//! A worker: the way of a packet from receive queue to transmit queue.
//!
//! ```text
//!  orders ► security associations come and go
//!  for each port: rx burst ► Path::process ► sort ─┬─ transmit:  the out port's burst
//!                                   ▲               ├─ punt:      ring to the slow path, ingress and reason in front
//!                                   │               ├─ hand over: ring to the worker that has the association, ingress in front
//!                                   │               └─ drop:      freed together
//!  rings from other workers ────────┤
//!  ring from the slow path ─────────┴─ to decide about, or for the out port's burst
//!  for each port: tx burst; what the port does not take is dropped (transmit_queue_full)
//! ```
//!
//! A worker owns its queues, its ends of all rings, its security associations and its counters; it shares the tables of senders and sessions and reads snapshots. In
//! its loop there is no lock, allocation, syscall, log or panic, except for the sleep of a worker with nothing to do.

mod exits;
pub mod keys;

use crate::clock::Clock;
use exits::{Exits, octets};
use keys::Desk;
use kith_api::config::{Idle, IdleMode};
use kith_dpdk::{Burst, Consumer, Mbuf, Producer, RxQueue, TxQueue};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::gateway::Gateway;
use kith_pipeline::path::Path;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::snapshot::Reader;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Octets in front of a packet in the ring to the slow path: ingress port, reason.
pub const PUNT_HEADER: usize = 2;
/// Octets in front of a packet in a ring to a worker: what is to be done ([`SEND`], [`FRESH`], [`AGAIN`]), port.
pub const HEADER: usize = 2;
/// The packet leaves by the port.
pub const SEND: u8 = 0;
/// The packet came in by the port.
pub const FRESH: u8 = 1;
/// The same, and its entries have counted it.
pub const AGAIN: u8 = 2;

/// What a worker counts; anyone may read it.
#[derive(Debug)]
pub struct Shared {
    /// Packets.
    pub counters: Arc<Counters>,
    /// Packets and octets of entries.
    pub direct: Arc<DirectCounters>,
}

impl Shared {
    /// Counters for a pool of so many sessions.
    #[must_use]
    pub fn new(sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            counters: Arc::default(),
            direct: Arc::new(DirectCounters::new(sessions)),
        })
    }

    /// Counters for the slow path. It looks at packets that a worker has counted for their entries already.
    #[must_use]
    pub fn slow() -> Arc<Self> {
        Arc::new(Self {
            counters: Arc::default(),
            direct: Arc::new(DirectCounters::none()),
        })
    }
}

/// All that a worker owns.
pub struct Worker {
    rx: Vec<RxQueue>,
    exits: Exits,
    tables: Reader<Tables>,
    down: Consumer,
    others: Vec<Consumer>,
    desk: Option<Desk>,
    gateway: Gateway,
    clock: Clock,
    burst: Burst,
}

impl Worker {
    /// A worker with one receive and one transmit queue of each port, in the order of their numbers, and without security
    /// associations.
    #[must_use]
    pub fn new(
        rx: Vec<RxQueue>,
        tx: Vec<TxQueue>,
        tables: Reader<Tables>,
        (up, down): (Producer, Consumer),
        clock: Clock,
    ) -> Self {
        Self {
            rx,
            exits: Exits::new(tx, up),
            tables,
            down,
            others: Vec::new(),
            desk: None,
            gateway: Gateway::new(0),
            clock,
            burst: Burst::new(),
        }
    }

    /// With security associations, installed and removed by orders.
    #[must_use]
    pub fn with_keys(mut self, gateway: Gateway, desk: Desk) -> Self {
        self.gateway = gateway;
        self.desk = Some(desk);
        self
    }

    /// With rings to other workers, by their numbers, and from them.
    #[must_use]
    pub fn with_others(mut self, to: Vec<Option<Producer>>, from: Vec<Consumer>) -> Self {
        self.exits.lead_to(to);
        self.others = from;
        self
    }

    /// Works until told to stop.
    pub fn run(mut self, shared: &Shared, idle: Idle, stop: &AtomicBool) {
        let gateway = std::mem::replace(&mut self.gateway, Gateway::new(0));
        let mut path = Path::with_gateway(&shared.counters, &shared.direct, gateway);
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
        // Before the tables: what they name is there.
        if let Some(desk) = &mut self.desk {
            desk.obey(path.gateway());
        }
        let now = self.clock.now();
        let tables = self.tables.load();
        let mut found = 0;
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        for (ingress, queue) in (0u8..).map(PortIndex).zip(&mut self.rx) {
            let received = queue.rx_burst(&mut self.burst);
            if received == 0 {
                continue;
            }
            found += received;
            counters.received.add(received as u64);
            counters.received_bytes.add(octets(&self.burst));
            path.process(tables, ingress, now, &mut self.burst, &mut verdicts);
            for (packet, verdict) in self.burst.drain().zip(verdicts) {
                self.exits.settle(ingress, verdict, packet, false, counters);
            }
        }
        for ring in &mut self.others {
            let count = ring.receive(&mut self.burst);
            counters.taken_over.add(count as u64);
            found += count;
            for packet in self.burst.drain() {
                given(path, tables, now, packet, &mut self.exits, counters);
            }
        }
        let count = self.down.receive(&mut self.burst);
        counters.injected.add(count as u64);
        found += count;
        for packet in self.burst.drain() {
            given(path, tables, now, packet, &mut self.exits, counters);
        }
        self.exits.flush(counters);
        let polls = if found > 0 {
            &counters.busy_polls
        } else {
            &counters.idle_polls
        };
        polls.add(1);
        found > 0
    }
}

/// Does what the octets in front of a packet from a ring say. By itself: the path is not to stand three times in the loop of a worker.
#[inline(never)]
fn given(
    path: &mut Path<'_>,
    tables: &Tables,
    now: Nanos,
    mut packet: Mbuf,
    exits: &mut Exits,
    counters: &Counters,
) {
    let &[kind, port, ..] = packet.bytes() else {
        counters.dropped(DropReason::EthernetTruncated).add(1);
        return exits.discard(packet);
    };
    let port = PortIndex(port);
    if !packet.shrink_front(HEADER) {
        counters.dropped(DropReason::EthernetTruncated).add(1);
        return exits.discard(packet);
    }
    if kind == SEND {
        return exits.transmit(port, packet, counters);
    }
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
    let mut one = [packet];
    if kind == AGAIN {
        path.process_again(tables, port, now, &mut one, &mut verdicts);
    } else {
        path.process(tables, port, now, &mut one, &mut verdicts);
    }
    let [packet] = one;
    exits.settle(port, verdicts[0], packet, kind == AGAIN, counters);
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
