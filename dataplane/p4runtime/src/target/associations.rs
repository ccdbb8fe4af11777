//! Security associations behind a store: what may be installed, and what keeps that promise.
//!
//! ```text
//!  install ─► Ledger: index in range? place free? key never served? ─► whoever has the keys ─► Ledger: entered
//!  remove  ─► Ledger: there? ─► whoever has the keys ─► Ledger: crossed out; the key stays burnt
//! ```

use super::UpdateError;
use crate::association::{Association, AssociationKey, AssociationState, Cipher, Direction, NAME};
use kith_esp::{Limits, Millis, Spi};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Where security associations are installed. Calls may wait for the one who owns an association, for a second at most.
pub trait Associations: Send {
    /// Installs one; when this returns, packets can go under it.
    ///
    /// # Errors
    /// If it cannot be, or nobody took it in time; then it is not installed.
    fn install(&mut self, association: &Association) -> Result<(), UpdateError>;

    /// Removes one; when this returns, no packet goes under it any more.
    ///
    /// # Errors
    /// If there is none, or nobody took it out in time; then it is still there.
    fn remove(&mut self, key: AssociationKey) -> Result<(), UpdateError>;

    /// Removes one that the same batch installed: another update of it failed. Its key may come again if no packet went under it.
    fn take_back(&mut self, key: AssociationKey);

    /// One as it is now.
    fn get(&self, key: AssociationKey) -> Option<AssociationState>;

    /// All of them, in order.
    fn list(&self) -> Vec<AssociationState>;
}

/// What is known of an association that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// What its packets carry.
    pub spi: Spi,
    /// With what they are sealed.
    pub cipher: Cipher,
    /// How long it may serve.
    pub limits: Limits,
    /// When it was installed.
    pub born: Millis,
    digest: u64,
}

/// Who is where, and which keys have served.
#[derive(Debug)]
pub struct Ledger {
    capacity: u32,
    installed: BTreeMap<AssociationKey, Installed>,
    served: Served,
}

impl Ledger {
    /// Nothing is installed; indices are below `capacity`.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            installed: BTreeMap::new(),
            served: Served::default(),
        }
    }

    /// May it be installed?
    ///
    /// # Errors
    /// If its index is out of range or taken, or its key has served before.
    pub fn check(&self, association: &Association) -> Result<(), UpdateError> {
        let key = association.key;
        if key.index.0 >= self.capacity {
            return Err(UpdateError::Outside {
                table: NAME,
                what: "index",
                value: key.index.0.to_string(),
                advice: "take one below `associations` of its configuration",
            });
        }
        if self.installed.contains_key(&key) {
            return Err(UpdateError::AssociationExists { key });
        }
        if self.served.contains(self.served.digest(association)) {
            return Err(UpdateError::KeyServed { key });
        }
        Ok(())
    }

    /// It is installed now.
    pub fn enter(&mut self, association: &Association, born: Millis) {
        let digest = self.served.digest(association);
        self.served.insert(digest);
        let installed = Installed {
            spi: association.spi,
            cipher: association.cipher(),
            limits: association.limits,
            born,
            digest,
        };
        self.installed.insert(association.key, installed);
    }

    /// What is known of one.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, key: AssociationKey) -> Result<&Installed, UpdateError> {
        self.installed
            .get(&key)
            .ok_or(UpdateError::AssociationMissing { key })
    }

    /// It is gone. Its key stays burnt, unless `unused` says that no packet went under it.
    pub fn remove(&mut self, key: AssociationKey, unused: bool) {
        if let Some(gone) = self.installed.remove(&key)
            && unused
        {
            self.served.forget(gone.digest);
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (AssociationKey, &Installed)> {
        self.installed.iter().map(|(key, installed)| (*key, installed))
    }
}

impl Installed {
    /// What is said of it, with what its owner counted.
    #[must_use]
    pub fn state(&self, key: AssociationKey, used: Used, now: Millis) -> AssociationState {
        let age = Millis(now.0.saturating_sub(self.born.0));
        let reached = |bounds: kith_esp::Bounds| {
            used.packets >= bounds.packets
                || used.octets >= bounds.bytes
                || used.blocks >= bounds.blocks
                || age >= bounds.age
        };
        AssociationState {
            key,
            spi: self.spi,
            cipher: self.cipher,
            limits: self.limits,
            packets: used.packets,
            octets: used.octets,
            blocks: used.blocks,
            dummies: used.dummies,
            age,
            soft: reached(self.limits.soft()),
            hard: reached(self.limits.hard()),
            worker: used.worker,
        }
    }
}

/// What went under an association, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub octets: u64,
    /// AES blocks.
    pub blocks: u64,
    /// Dummies.
    pub dummies: u64,
    /// Whose it is.
    pub worker: u16,
}

/// How many keys are remembered: at 8192 associations renewed every two minutes, those of more than four hours.
const REMEMBERED: usize = 1 << 20;

/// Keys that have served, as digests of eight octets under a key drawn at the start: who reads this memory learns nothing of theirs, and
/// a new key is taken for an old one once in 2^44 times at worst.
#[derive(Debug, Default)]
struct Served {
    under: RandomState,
    digests: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Served {
    /// The salt does not count: two salts under one key are too close to one nonce twice to be worth it. Nor do the two directions have
    /// keys in common: but who relays to himself seals and opens with the same.
    fn digest(&self, association: &Association) -> u64 {
        let outbound = association.key.direction == Direction::Outbound;
        self.under.hash_one((outbound, &association.secret()[..]))
    }

    fn contains(&self, digest: u64) -> bool {
        self.digests.contains(&digest)
    }

    fn insert(&mut self, digest: u64) {
        if self.digests.insert(digest) {
            self.order.push_back(digest);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }

    fn forget(&mut self, digest: u64) {
        if self.digests.remove(&digest) {
            self.order.retain(|other| *other != digest);
        }
    }
}

/// Associations that nothing goes under: for tests, and for clients to be tried against.
#[derive(Debug)]
pub struct Resting(Ledger);

impl Resting {
    /// Indices are below `capacity`.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self(Ledger::new(capacity))
    }
}

impl Associations for Resting {
    fn install(&mut self, association: &Association) -> Result<(), UpdateError> {
        self.0.check(association)?;
        self.0.enter(association, Millis(0));
        Ok(())
    }

    fn remove(&mut self, key: AssociationKey) -> Result<(), UpdateError> {
        self.0.find(key)?;
        self.0.remove(key, false);
        Ok(())
    }

    fn take_back(&mut self, key: AssociationKey) {
        self.0.remove(key, true);
    }

    fn get(&self, key: AssociationKey) -> Option<AssociationState> {
        let found = self.0.find(key).ok()?;
        Some(found.state(key, Used::default(), Millis(0)))
    }

    fn list(&self) -> Vec<AssociationState> {
        let all = self.0.iter();
        all.map(|(key, it)| it.state(key, Used::default(), Millis(0)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_keys_are_forgotten_when_there_are_too_many() {
        let mut served = Served::default();
        for digest in 0..=REMEMBERED as u64 {
            served.insert(digest);
        }
        assert!(!served.contains(0) && served.contains(1) && served.contains(REMEMBERED as u64));
        served.forget(1);
        served.insert(7);
        assert!(!served.contains(1));
        assert_eq!(
            (served.digests.len(), served.order.len()),
            (REMEMBERED - 1, REMEMBERED - 1)
        );
    }
}
