//! Counters: one block a worker, written by that worker alone, read by anyone.
//!
//! A counter is loaded and stored, never exchanged: with one writer that loses nothing and costs as much as a plain
//! integer. Octets and packets of what passes are added up once a burst.

use crate::reason::{DropReason, PuntReason};
use crate::table::{association, member};
use crate::units::SaIndex;
use kith_esp::Usage;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owner calls this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Makes it stand there. Only the owner calls this.
    #[inline]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// What it stands at.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What a worker counts.
///
/// Packets are conserved: `received + injected + taken_over = transmitted + punted + drops + handed_over + in flight`, where `injected` are packets
/// the slow path gave to the worker to send or to decide about, and `punted` those it took.
#[derive(Debug)]
pub struct Counters {
    /// Packets taken from ports or sockets.
    pub received: Counter,
    /// Their octets.
    pub received_bytes: Counter,
    /// Packets given to ports or sockets.
    pub transmitted: Counter,
    /// Their octets.
    pub transmitted_bytes: Counter,
    /// Packets from the slow path.
    pub injected: Counter,
    /// Packets given to other workers.
    pub handed_over: Counter,
    /// Packets from other workers.
    pub taken_over: Counter,
    /// Bursts with at least one packet.
    pub busy_polls: Counter,
    /// Polls that found nothing.
    pub idle_polls: Counter,
    drops: [Counter; DropReason::COUNT],
    punts: [Counter; PuntReason::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            received_bytes: Counter::default(),
            transmitted: Counter::default(),
            transmitted_bytes: Counter::default(),
            injected: Counter::default(),
            handed_over: Counter::default(),
            taken_over: Counter::default(),
            busy_polls: Counter::default(),
            idle_polls: Counter::default(),
            drops: std::array::from_fn(|_| Counter::default()),
            punts: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Counters {
    /// The counter of a drop.
    #[inline]
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> &Counter {
        &self.drops[reason as usize]
    }

    /// The counter of a punt.
    #[inline]
    #[must_use]
    pub fn punted(&self, reason: PuntReason) -> &Counter {
        &self.punts[reason as usize]
    }

    /// All drops together.
    #[must_use]
    pub fn all_drops(&self) -> u64 {
        self.drops.iter().map(Counter::get).sum()
    }

    /// All punts together.
    #[must_use]
    pub fn all_punts(&self) -> u64 {
        self.punts.iter().map(Counter::get).sum()
    }
}

/// Packets and octets of each entry of a table, counted by one worker.
#[derive(Debug)]
pub struct EntryCounters(Box<[[Counter; 2]]>);

impl EntryCounters {
    /// Counters for `entries` entries: 16 octets each.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self((0..entries).map(|_| Default::default()).collect())
    }

    /// One packet more of `bytes` octets; an index out of range counts nothing.
    #[inline]
    pub fn add(&self, index: usize, bytes: u64) {
        if let Some([packets, octets]) = self.0.get(index) {
            packets.add(1);
            octets.add(bytes);
        }
    }

    /// Brings the counters into the cache: [`EntryCounters::add`] will follow. What it gives is of no meaning, but must
    /// be used for the compiler to keep the access.
    #[inline]
    pub(crate) fn touch(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |[packets, _]| packets.get())
    }

    /// Packets and octets that an entry counted.
    #[must_use]
    pub fn get(&self, index: usize) -> (u64, u64) {
        self.0
            .get(index)
            .map_or((0, 0), |[packets, octets]| (packets.get(), octets.get()))
    }
}

/// The direct counters of one worker. Who adds up sums over workers.
///
/// An entry counts what it lets pass, as in P4, where that is done by its action: before it is known whether there is a route, or a
/// neighbour, or keys that are still alive.
#[derive(Debug)]
pub struct DirectCounters {
    /// Of `session`, by place in the pool: what may go to the member, in octets of outer IPv4.
    pub session: EntryCounters,
    /// Of `association`, by the entry's index: what came under the SPI between its members, in octets of the virtual packet as sealed.
    pub association: EntryCounters,
    /// Of `member`, by the entry's index: what may go to the member, in octets of the packet as it came from the LAN.
    pub member: EntryCounters,
}

impl DirectCounters {
    /// Counters for `sessions` sessions, and for all associations and members that there can be.
    #[must_use]
    pub fn new(sessions: usize) -> Self {
        Self {
            session: EntryCounters::new(sessions),
            association: EntryCounters::new(association::SCHEMA.size),
            member: EntryCounters::new(member::SCHEMA.size),
        }
    }

    /// Counters that count nothing, for packets that were counted before.
    #[must_use]
    pub fn none() -> Self {
        let none = || EntryCounters::new(0);
        Self {
            session: none(),
            association: none(),
            member: none(),
        }
    }
}

/// What went under each security association since it was installed. A cell is written by the worker that has the association.
#[derive(Debug)]
pub struct AssociationCounters {
    outbound: Box<[AssociationUse]>,
    inbound: Box<[AssociationUse]>,
}

/// What went under one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct AssociationUse {
    /// Packets sealed, or opened with a good tag.
    pub packets: Counter,
    /// Their octets: payload, padding, trailer.
    pub octets: Counter,
    /// Their AES blocks.
    pub blocks: Counter,
    /// Packets opened that were dummies.
    pub dummies: Counter,
}

impl AssociationCounters {
    /// Counters for `capacity` associations of each direction: 128 octets for both. On cache lines of their own, for neighbours belong to
    /// different workers.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let some = || (0..capacity).map(|_| AssociationUse::default()).collect();
        Self {
            outbound: some(),
            inbound: some(),
        }
    }

    /// How many of each direction.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.outbound.len()
    }

    /// Of an outbound one; none if there is no such place.
    #[inline]
    #[must_use]
    pub fn outbound(&self, at: SaIndex) -> Option<&AssociationUse> {
        self.outbound.get(at.0 as usize)
    }

    /// Of an inbound one.
    #[inline]
    #[must_use]
    pub fn inbound(&self, at: SaIndex) -> Option<&AssociationUse> {
        self.inbound.get(at.0 as usize)
    }
}

impl AssociationUse {
    #[inline]
    pub(crate) fn show(&self, usage: Usage) {
        self.packets.set(usage.packets);
        self.octets.set(usage.bytes);
        self.blocks.set(usage.blocks);
    }
}
