//! `sender`: who may send through this director, from where, and how much. Changes in place, by the rule of [`super::pool`].

use super::TableError;
use super::pool::{Binding, Place, Pool, vacant};
use crate::meter::{Bucket, Rate};
use crate::schema::{Action, Match, Table};
use crate::sync::{AtomicU64, Ordering};
use crate::units::Nanos;
use kith_wire::shim::PseudoIp;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "sender",
    keys: &[("source_member", Match::Exact, 32)],
    actions: &[Action {
        name: "authorise",
        params: &[("address", 32), ("port", 16), ("community", 16)],
    }],
    default_action: None,
    size: 1 << 20,
};

/// Source member → where its packets come from.
#[derive(Debug)]
pub struct SenderTable {
    pool: Pool,
    bindings: Box<[Place]>,
    limits: Box<[Limit]>,
    /// How many limits there are: with none, workers look at none.
    limited: AtomicU64,
}

/// How much a sender may send.
#[derive(Debug, Default)]
#[repr(align(16))]
struct Limit {
    /// 0: as much as it can.
    rate: AtomicU64,
    bucket: Bucket,
}

impl SenderTable {
    /// An empty table for `size` pseudo addresses from `first` on. Every look-up misses.
    #[must_use]
    pub fn new(first: PseudoIp, size: usize) -> Self {
        Self {
            pool: Pool::new(first, size),
            bindings: (0..size).map(|_| Place::default()).collect(),
            limits: (0..size).map(|_| Limit::default()).collect(),
            limited: AtomicU64::new(0),
        }
    }

    /// The pseudo addresses there are.
    #[inline]
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// The binding at a place of the pool; `None` if there is no entry or no such place.
    #[inline]
    #[must_use]
    pub fn binding(&self, index: usize) -> Option<Binding> {
        self.bindings.get(index)?.get()
    }

    /// Brings an entry into the cache: [`SenderTable::binding`] will follow. What it gives is of no meaning, but must be
    /// used for the compiler to keep the access.
    #[inline]
    pub(crate) fn touch(&self, index: usize) -> u64 {
        self.bindings.get(index).map_or(0, Place::touch)
    }

    /// Has any sender a limit? To be asked once a burst.
    #[inline]
    pub(crate) fn any_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed) != 0
    }

    /// May the sender send a packet now?
    #[inline]
    #[must_use]
    pub fn admit(&self, index: usize, now: Nanos) -> bool {
        let Some(limit) = self.limits.get(index) else {
            return false;
        };
        rate_of(limit.rate.load(Ordering::Relaxed)).is_none_or(|rate| limit.bucket.admit(rate, now, 1))
    }

    /// The entry of a pseudo address.
    #[must_use]
    pub fn get(&self, pseudo: PseudoIp) -> Option<Binding> {
        self.binding(self.pool.index(pseudo.to_bits()))
    }

    /// The limit of a pseudo address; `None`: as much as it can.
    #[must_use]
    pub fn rate(&self, pseudo: PseudoIp) -> Option<Rate> {
        let limit = self.limits.get(self.pool.index(pseudo.to_bits()))?;
        rate_of(limit.rate.load(Ordering::Relaxed))
    }

    /// Enters a sender, with or without a limit. One writer only.
    pub fn insert(&self, pseudo: PseudoIp, binding: Binding, rate: Option<Rate>) -> Result<(), TableError> {
        let (place, limit) = self.place(pseudo)?;
        vacant(place.get())?;
        limit.bucket.refill();
        self.limit(limit, rate);
        place.set(Some(binding));
        Ok(())
    }

    /// Moves a sender, and gives where it was; its limit stays. One writer only.
    pub fn modify(&self, pseudo: PseudoIp, binding: Binding) -> Result<Binding, TableError> {
        let (place, _) = self.place(pseudo)?;
        let old = place.get().ok_or(TableError::Missing)?;
        place.set(Some(binding));
        Ok(old)
    }

    /// Sets or takes away a sender's limit, and gives the old one. One writer only.
    pub fn set_rate(&self, pseudo: PseudoIp, rate: Option<Rate>) -> Result<Option<Rate>, TableError> {
        let (place, limit) = self.place(pseudo)?;
        place.get().ok_or(TableError::Missing)?;
        Ok(self.limit(limit, rate))
    }

    /// Ends a sender, and gives what it was. One writer only.
    pub fn remove(&self, pseudo: PseudoIp) -> Result<(Binding, Option<Rate>), TableError> {
        let (place, limit) = self.place(pseudo)?;
        let old = place.get().ok_or(TableError::Missing)?;
        place.set(None);
        Ok((old, self.limit(limit, None)))
    }

    /// All entries, by walking the table.
    pub fn iter(&self) -> impl Iterator<Item = (PseudoIp, Binding)> {
        (0..self.pool.size()).filter_map(|index| Some((self.pool.pseudo(index)?, self.binding(index)?)))
    }

    fn place(&self, pseudo: PseudoIp) -> Result<(&Place, &Limit), TableError> {
        let index = self.pool.index(pseudo.to_bits());
        let place = self.bindings.get(index).zip(self.limits.get(index));
        place.ok_or(TableError::OutOfRange)
    }

    fn limit(&self, limit: &Limit, rate: Option<Rate>) -> Option<Rate> {
        let old = rate_of(limit.rate.load(Ordering::Relaxed));
        limit.rate.store(word_of(rate), Ordering::Relaxed);
        let (gone, come) = (u64::from(old.is_some()), u64::from(word_of(rate) != 0));
        let limited = self.limited.load(Ordering::Relaxed);
        self.limited.store(limited + come - gone, Ordering::Relaxed);
        old
    }
}

/// A rate inverted, so that 0 is free to mean none; what it then cannot say, 2^32 - 1 packets a second, is none as well.
fn word_of(rate: Option<Rate>) -> u64 {
    rate.map_or(0, |rate| {
        !(u64::from(rate.per_second) << 32 | u64::from(rate.burst))
    })
}

#[inline]
fn rate_of(word: u64) -> Option<Rate> {
    (word != 0).then_some(Rate {
        per_second: (!word >> 32) as u32,
        burst: !word as u32,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::units::CommunityIndex;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn pseudo(offset: u32) -> PseudoIp {
        PseudoIp::new(0xf000_0000 + offset).unwrap()
    }

    fn binding(port: u16) -> Binding {
        let at = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), port);
        Binding::new(at, CommunityIndex::new(7).unwrap())
    }

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 2,
    };

    #[test]
    fn a_sender_takes_no_more_room_than_promised() {
        assert!(size_of::<Place>() + size_of::<Limit>() <= 32);
    }

    #[test]
    fn a_sender_is_entered_moved_and_ended_and_each_says_what_was_there() {
        let table = SenderTable::new(pseudo(0), 4);
        assert_eq!(table.get(pseudo(2)), None, "an empty table misses");
        assert_eq!(table.modify(pseudo(2), binding(1)), Err(TableError::Missing));
        assert_eq!(table.remove(pseudo(2)), Err(TableError::Missing));
        assert_eq!(table.set_rate(pseudo(2), Some(RATE)), Err(TableError::Missing));
        assert_eq!(table.insert(pseudo(2), binding(1), None), Ok(()));
        assert_eq!(table.insert(pseudo(2), binding(2), None), Err(TableError::Exists));
        assert_eq!(table.modify(pseudo(2), binding(3)), Ok(binding(1)));
        assert_eq!(table.iter().collect::<Vec<_>>(), [(pseudo(2), binding(3))]);
        assert_eq!(table.remove(pseudo(2)), Ok((binding(3), None)));
        assert_eq!(table.iter().count(), 0);
        assert_eq!(
            table.insert(pseudo(4), binding(1), None),
            Err(TableError::OutOfRange)
        );
    }

    #[test]
    fn a_limit_holds_for_its_sender_until_it_is_taken_away() {
        let table = SenderTable::new(pseudo(0), 4);
        table.insert(pseudo(0), binding(1), None).unwrap();
        assert!(!table.any_limited());
        table.insert(pseudo(1), binding(2), Some(RATE)).unwrap();
        assert!(table.any_limited());
        let passed = |index| (0..10).filter(|_| table.admit(index, Nanos(1))).count();
        assert_eq!((passed(0), passed(1)), (10, 2));
        assert_eq!(table.modify(pseudo(1), binding(3)), Ok(binding(2)));
        assert_eq!(table.rate(pseudo(1)), Some(RATE), "a limit moves with its sender");
        assert_eq!(table.set_rate(pseudo(1), None), Ok(Some(RATE)));
        assert!(!table.any_limited());
        assert_eq!(passed(1), 10);
        let nothing = Rate {
            per_second: 0,
            burst: 0,
        };
        assert_eq!(table.set_rate(pseudo(1), Some(nothing)), Ok(None));
        assert_eq!((table.rate(pseudo(1)), passed(1)), (Some(nothing), 0));
        assert_eq!(table.remove(pseudo(1)), Ok((binding(3), Some(nothing))));
        assert!(!table.any_limited());
        table.insert(pseudo(1), binding(4), Some(RATE)).unwrap();
        assert_eq!(passed(1), 2, "whoever comes next begins with a full bucket");
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p kith-pipeline --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::units::CommunityIndex;
    use loom::sync::Arc;
    use std::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn loom_a_reader_sees_a_sender_with_its_limit_or_a_newer_one() {
        loom::model(|| {
            let first = PseudoIp::new(1).unwrap();
            let table = Arc::new(SenderTable::new(first, 1));
            let community = CommunityIndex::new(1).unwrap();
            let at = move |port| Binding::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), community);
            let rate = |per_second| Rate { per_second, burst: 1 };
            let writer = {
                let table = table.clone();
                loom::thread::spawn(move || {
                    table.insert(first, at(1), Some(rate(1))).unwrap();
                    table.remove(first).unwrap();
                    table.insert(first, at(2), Some(rate(2))).unwrap();
                })
            };
            if let Some(seen) = table.binding(0) {
                let rate = table.rate(first).map(|rate| rate.per_second);
                assert!(seen == at(1) || seen == at(2), "never half a binding");
                assert!(
                    seen != at(2) || rate == Some(2),
                    "never a limit older than its sender"
                );
            }
            writer.join().unwrap();
        });
    }
}
