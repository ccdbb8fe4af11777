//! The slow path's thread: rings, time and the journal around [`Slow`].

use super::State;
use crate::journal::{Journal, JournalError};
use crate::slow::Slow;
use crate::worker::{INJECT_HEADER, PUNT_HEADER};
use kith_dpdk::{Burst, Consumer, Mbuf, Mempool, Producer};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{Nanos, PortIndex};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use tracing::error;

/// Between two ticks of neighbours and director.
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

/// The slow path and all that it uses.
pub struct Service {
    /// The sans-I/O part.
    pub slow: Slow<Mbuf>,
    /// The rings, by worker.
    pub links: Vec<Link>,
    journal: Option<Journal>,
    pool: Mempool,
    burst: Burst,
    next_tick: Nanos,
}

impl Service {
    /// A slow path with these rings; without a journal nothing survives.
    #[must_use]
    pub fn new(slow: Slow<Mbuf>, links: Vec<Link>, journal: Option<Journal>, pool: Mempool) -> Self {
        Self {
            slow,
            links,
            journal,
            pool,
            burst: Burst::new(),
            next_tick: Nanos(0),
        }
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
        if now >= self.next_tick {
            self.next_tick = Nanos(now.0.saturating_add(TICK.0));
            self.slow.tick(now, &mut || self.pool.alloc());
            self.deliver(0);
            self.compact();
        }
        found > 0
    }

    /// Syncs the journal, and forgets what cannot be sent any more.
    pub fn close(&mut self) -> Result<(), JournalError> {
        self.slow.out.clear();
        self.keep();
        self.journal.as_ref().map_or(Ok(()), Journal::sync)
    }

    /// First the journal, then the packets: what a member is told is remembered.
    fn deliver(&mut self, worker: usize) {
        self.keep();
        let Some(link) = self.links.get_mut(worker) else {
            return;
        };
        for (port, mut packet) in std::mem::take(&mut self.slow.out) {
            let taken = packet.grow_front(INJECT_HEADER) && {
                packet.bytes_mut()[0] = port.0;
                link.down.push(packet).is_ok()
            };
            self.slow.delivered(taken);
        }
    }

    fn keep(&mut self) {
        if self.slow.journal.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.slow.journal);
        let kept = self.journal.as_mut().map(|journal| journal.append(&entries));
        self.give_up(kept);
    }

    fn compact(&mut self) {
        let director = self.slow.director();
        let kept = self
            .journal
            .as_mut()
            .filter(|journal| journal.wants_compaction(director.config().pool.count.min(1024) as usize))
            .map(|journal| journal.replace(director.journal()));
        self.give_up(kept);
    }

    /// A journal that failed once has a hole: better none at all. Sessions live on; only a restart forgets them.
    fn give_up(&mut self, kept: Option<Result<(), JournalError>>) {
        if let Some(Err(problem)) = kept {
            error!(%problem, "sessions are not kept any more; a restart will forget them");
            self.journal = None;
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
