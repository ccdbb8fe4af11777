//! The pool of pseudo addresses: a contiguous range, so that the fast path's table is an array.
//!
//! ```text
//!            reserve                 ┌── quarantine over, none fresh ──┐
//! reserved ◄─────────┐               ▼                                │
//!                  fresh ─────────► taken ───────── give back ─────► resting
//!                     lowest first                                   first in, first out
//! ```
//!
//! An address never used before is preferred, then the one that has rested longest: a packet still under way to a
//! departed member meets an address without a session, not somebody else. Every step is O(1) (reserving an address
//! that rests is O(resting): configuration, not traffic). One octet per address, 16 more while it rests.

use crate::Time;
use kith_wire::shim::PseudoIp;
use std::collections::VecDeque;

/// A range of pseudo addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolRange {
    /// The first address given out.
    pub first: PseudoIp,
    /// How many there are; at most [`PoolRange::MAX`].
    pub count: u32,
}

impl PoolRange {
    /// The largest pool: a /8.
    pub const MAX: u32 = 1 << 24;

    /// The addresses of a prefix without its first one, which people read as a network's name, not a host's.
    #[must_use]
    pub fn of_prefix(address: core::net::Ipv4Addr, length: u8) -> Option<Self> {
        let size = 1u32.checked_shl(32u32.checked_sub(length.into())?)?;
        let network = address.to_bits() & !(size - 1);
        let range = Self {
            first: PseudoIp::new(network.checked_add(1)?)?,
            count: size - 1,
        };
        range.is_possible().then_some(range)
    }

    /// Is `pseudo` in the range, and which one?
    #[must_use]
    pub fn index(&self, pseudo: PseudoIp) -> Option<u32> {
        let index = pseudo.to_bits().checked_sub(self.first.to_bits())?;
        (index < self.count).then_some(index)
    }

    pub(super) fn is_possible(&self) -> bool {
        (1..=Self::MAX).contains(&self.count) && self.first.to_bits().checked_add(self.count - 1).is_some()
    }

    /// The address at an index below `count`.
    pub(super) fn address(&self, index: u32) -> Option<PseudoIp> {
        PseudoIp::new(self.first.to_bits().checked_add(index)?)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Taken,
    Resting,
    Reserved,
}

pub(super) struct Pool {
    states: Vec<State>,
    /// Every address below has been looked at.
    fresh: u32,
    /// Indices, and when each may be given out again; in that order.
    resting: VecDeque<(Time, u32)>,
}

impl Pool {
    pub(super) fn new(count: u32) -> Self {
        Self {
            states: vec![State::Fresh; count as usize],
            fresh: 0,
            resting: VecDeque::new(),
        }
    }

    /// An index that nobody has or has reserved.
    pub(super) fn take(&mut self, now: Time) -> Option<u32> {
        while let Some(state) = self.states.get_mut(self.fresh as usize) {
            self.fresh += 1;
            if *state == State::Fresh {
                *state = State::Taken;
                return Some(self.fresh - 1);
            }
        }
        match self.resting.front() {
            Some(&(rested, index)) if rested <= now => {
                self.resting.pop_front();
                self.states[index as usize] = State::Taken;
                Some(index)
            }
            _ => None,
        }
    }

    /// This very index, if nobody has or has reserved it: how sessions come back from a journal.
    pub(super) fn claim(&mut self, index: u32) -> bool {
        self.occupy(index, State::Taken)
    }

    /// Keeps an index from everybody but the one who knows that it is reserved for him.
    pub(super) fn reserve(&mut self, index: u32) -> bool {
        self.occupy(index, State::Reserved)
    }

    /// Gives back an index taken, claimed or reserved; it may be given out again from `rested` on.
    pub(super) fn give_back(&mut self, index: u32, rested: Time) {
        if let Some(state) = self.states.get_mut(index as usize)
            && matches!(state, State::Taken | State::Reserved)
        {
            *state = State::Resting;
            self.resting.push_back((rested, index));
        }
    }

    /// Lets a fresh index rest: it had an owner before a restart.
    pub(super) fn rest(&mut self, index: u32, rested: Time) {
        if self.occupy(index, State::Taken) {
            self.give_back(index, rested);
        }
    }

    pub(super) fn resting(&self) -> impl Iterator<Item = u32> {
        self.resting.iter().map(|&(_, index)| index)
    }

    pub(super) fn resting_count(&self) -> usize {
        self.resting.len()
    }

    /// Octets held.
    pub(super) fn memory(&self) -> usize {
        self.states.capacity() + self.resting.capacity() * size_of::<(Time, u32)>()
    }

    fn occupy(&mut self, index: u32, as_what: State) -> bool {
        match self.states.get_mut(index as usize) {
            Some(state @ (State::Fresh | State::Resting)) => {
                if *state == State::Resting {
                    self.resting.retain(|&(_, resting)| resting != index);
                }
                *state = as_what;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn fresh_addresses_come_first_then_the_longest_rested() {
        let at = Time::from_millis;
        let mut pool = Pool::new(3);
        assert!(pool.reserve(1));
        assert_eq!(
            (pool.take(at(0)), pool.take(at(0)), pool.take(at(0))),
            (Some(0), Some(2), None)
        );
        pool.give_back(2, at(60));
        pool.give_back(0, at(70));
        pool.give_back(0, at(10));
        assert_eq!(pool.take(at(59)), None);
        assert_eq!(
            (pool.take(at(60)), pool.take(at(69)), pool.take(at(70))),
            (Some(2), None, Some(0))
        );
        assert!(!pool.claim(0) && !pool.reserve(1) && !pool.claim(3));
    }

    #[test]
    fn a_resting_address_can_be_claimed_once() {
        let mut pool = Pool::new(1);
        pool.rest(0, Time::from_millis(5));
        assert!(pool.claim(0));
        assert!(!pool.claim(0));
        assert_eq!((pool.resting_count(), pool.take(Time::from_millis(9))), (0, None));
    }

    #[test]
    fn prefixes_become_ranges() {
        let range = PoolRange::of_prefix(Ipv4Addr::new(240, 0, 0, 0), 12).unwrap();
        assert_eq!(
            (range.first.to_string(), range.count),
            ("240.0.0.1".into(), (1 << 20) - 1)
        );
        assert_eq!(range.index(range.first), Some(0));
        assert_eq!(range.index(PseudoIp::new(0xf010_0000).unwrap()), None);
        assert_eq!(
            range.index(PseudoIp::new(0xf00f_ffff).unwrap()),
            Some(range.count - 1)
        );
        assert_eq!(PoolRange::of_prefix(Ipv4Addr::new(240, 0, 0, 1), 32), None);
        assert_eq!(PoolRange::of_prefix(Ipv4Addr::new(240, 0, 0, 1), 33), None);
        assert_eq!(PoolRange::of_prefix(Ipv4Addr::UNSPECIFIED, 0), None);
        let too_big = PoolRange::of_prefix(Ipv4Addr::new(240, 0, 0, 0), 4);
        assert_eq!(too_big, None);
    }
}
