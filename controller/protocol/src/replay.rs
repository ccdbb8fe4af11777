//! Which tickets were replaced by newer ones: bounded, and never wrong in the attacker's favour.
//!
//! Of each initiator the highest sequence is kept. The same ticket may come again, it is used for as long as it lasts; a lower one may not. When there
//! is no room, the initiator with the lowest sequence is forgotten, and that sequence becomes the floor below which no ticket of an unknown
//! initiator is taken: sequences are issue times of one manager, so a floor is right for all.

use crate::ticket::TicketRefusal;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// The highest sequence of each initiator.
#[derive(Debug)]
pub struct Replay {
    capacity: usize,
    newest: HashMap<Ipv4Addr, u64>,
    by_age: BTreeSet<(u64, Ipv4Addr)>,
    floor: u64,
}

/// What a ticket that is no replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Newer than all before.
    New,
    /// The newest, again.
    Again,
}

impl Replay {
    /// For so many initiators at once, one at least.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            newest: HashMap::new(),
            by_age: BTreeSet::new(),
            floor: 0,
        }
    }

    /// Takes note of an authentic ticket.
    ///
    /// # Errors
    /// [`TicketRefusal::Replayed`] if a newer one of this initiator was seen, or may have been.
    pub fn check(&mut self, initiator: Ipv4Addr, sequence: u64) -> Result<Freshness, TicketRefusal> {
        match self.newest.get(&initiator).copied() {
            Some(newest) if sequence < newest => Err(TicketRefusal::Replayed),
            Some(newest) if sequence == newest => Ok(Freshness::Again),
            None if sequence < self.floor => Err(TicketRefusal::Replayed),
            before => {
                if let Some(before) = before {
                    self.by_age.remove(&(before, initiator));
                } else if self.newest.len() == self.capacity
                    && let Some((oldest, who)) = self.by_age.pop_first()
                {
                    self.newest.remove(&who);
                    self.floor = self.floor.max(oldest);
                }
                self.newest.insert(initiator, sequence);
                self.by_age.insert((sequence, initiator));
                Ok(Freshness::New)
            }
        }
    }

    /// Would [`Self::check`] refuse this ticket? Takes note of nothing.
    #[must_use]
    pub fn is_replay(&self, initiator: Ipv4Addr, sequence: u64) -> bool {
        match self.newest.get(&initiator) {
            Some(newest) => sequence < *newest,
            None => sequence < self.floor,
        }
    }

    /// How many initiators are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// None is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against an oracle that forgets nothing: what it calls a replay is never taken; with room for all, both agree.
        #[test]
        fn no_replay_is_ever_taken(tickets in proptest::collection::vec((0u8..12, 0u64..64), 1..400), room in 1usize..16) {
            let (mut tracker, mut oracle) = (Replay::new(room), HashMap::<u8, u64>::new());
            for (who, sequence) in tickets {
                let newest = oracle.entry(who).or_insert(0);
                let foretold = tracker.is_replay(Ipv4Addr::new(10, 77, 0, who), sequence);
                let taken = tracker.check(Ipv4Addr::new(10, 77, 0, who), sequence);
                prop_assert_eq!(foretold, taken.is_err());
                let replay = sequence < *newest;
                prop_assert!(!(replay && taken.is_ok()));
                prop_assert!(room < 12 || replay == taken.is_err());
                prop_assert!(tracker.len() <= room && tracker.by_age.len() == tracker.len());
                if taken.is_ok() {
                    *newest = sequence;
                }
            }
        }
    }

    #[test]
    fn a_ticket_may_come_again_but_not_after_a_newer_one() {
        let (mut tracker, a) = (Replay::new(8), Ipv4Addr::new(10, 77, 0, 2));
        assert_eq!(tracker.check(a, 5), Ok(Freshness::New));
        assert_eq!(tracker.check(a, 5), Ok(Freshness::Again));
        assert_eq!(tracker.check(a, 9), Ok(Freshness::New));
        assert_eq!(tracker.check(a, 5), Err(TicketRefusal::Replayed));
    }

    #[test]
    fn what_was_forgotten_for_want_of_room_is_not_taken_again() {
        let (mut tracker, at) = (Replay::new(2), |last| Ipv4Addr::new(10, 77, 0, last));
        for (who, sequence) in [(1, 10), (2, 20), (3, 30)] {
            assert_eq!(tracker.check(at(who), sequence), Ok(Freshness::New));
        }
        assert_eq!(tracker.len(), 2);
        assert_eq!(
            tracker.check(at(1), 9),
            Err(TicketRefusal::Replayed),
            "an older one of who was forgotten"
        );
        assert_eq!(
            tracker.check(at(1), 10),
            Ok(Freshness::New),
            "the same one still serves"
        );
    }
}
