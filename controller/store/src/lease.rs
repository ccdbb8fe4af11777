//! Which leases live, and until when. Time is passed in: how long the store has been running.
//!
//! Deadlines are not on disk: after a restart every lease has its whole time again, for nobody could keep it alive meanwhile.

use crate::Lease;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The living leases of a store.
#[derive(Default)]
pub(crate) struct Leases {
    all: BTreeMap<Lease, Life>,
    ends: BTreeSet<(Duration, Lease)>,
}

struct Life {
    ttl: Duration,
    end: Duration,
}

impl Leases {
    /// Those on disk, each with its whole time.
    pub fn load(leases: impl IntoIterator<Item = (Lease, Duration)>, now: Duration) -> Self {
        let mut loaded = Self::default();
        for (lease, ttl) in leases {
            loaded.add(lease, ttl, now);
        }
        loaded
    }

    pub fn add(&mut self, lease: Lease, ttl: Duration, now: Duration) {
        let end = now.saturating_add(ttl);
        self.all.insert(lease, Life { ttl, end });
        self.ends.insert((end, lease));
    }

    pub fn remove(&mut self, lease: Lease) {
        if let Some(life) = self.all.remove(&lease) {
            self.ends.remove(&(life.end, lease));
        }
    }

    /// Whether it lives. One whose time is over lives until it has been removed.
    pub fn has(&self, lease: Lease) -> bool {
        self.all.contains_key(&lease)
    }

    /// Gives it its whole time again; false if it is over.
    pub fn keep(&mut self, lease: Lease, now: Duration) -> bool {
        let Some(life) = self.all.get_mut(&lease).filter(|life| life.end > now) else {
            return false;
        };
        self.ends.remove(&(life.end, lease));
        life.end = now.saturating_add(life.ttl);
        self.ends.insert((life.end, lease));
        true
    }

    /// Its end could not be written: it comes later.
    pub fn postpone(&mut self, lease: Lease, until: Duration) {
        if let Some(life) = self.all.get_mut(&lease) {
            self.ends.remove(&(life.end, lease));
            life.end = until;
            self.ends.insert((until, lease));
        }
    }

    /// Those whose time is over.
    pub fn over(&self, now: Duration) -> Vec<Lease> {
        self.ends
            .iter()
            .take_while(|(end, _)| *end <= now)
            .map(|(_, lease)| *lease)
            .collect()
    }

    /// When the next one is over.
    pub fn next(&self) -> Option<Duration> {
        self.ends.first().map(|(end, _)| *end)
    }
}
