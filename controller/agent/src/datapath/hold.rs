//! Packets that wait: for keys with a member, or for the member itself.
//!
//! Problem: who sends the first packet to a member neither knows nor cares that its place and keys are not known yet, and a lost
//! first packet costs a second. Idea: keep a few, bounded in number and octets, and send them when what they wait for is there.
//!
//! ```text
//!  packet ─► member known? ─ no ─► [`Unknown`] by address ─► the member is there ─┐    ┌─► refused: answered
//!              │ yes                       └── too late, or refused ──────────────│────┴─► lost, counted
//!              ▼                                                                  ▼
//!            keys? ─── no ─► [`Held`] by member ◄─────────────────────────────────┘
//! ```
//!
//! Cost: nothing but a comparison a burst while nothing waits; a packet that waits is allocated.

use kith_esp::Millis;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How much may wait for one thing.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Packets.
    pub packets: usize,
    /// Their octets.
    pub octets: usize,
}

/// Packets that wait for one thing, oldest first.
#[derive(Debug, Default)]
pub struct Held {
    packets: VecDeque<Box<[u8]>>,
    octets: usize,
}

/// Room for packets to an address that nobody is known at.
const STRANGERS: Room = Room {
    packets: 8,
    octets: 16_384,
};
/// Unknown addresses at a time.
const ADDRESSES: usize = 32;
/// Packets wait so long for a member, milliseconds.
const PATIENCE: u64 = 2_000;
/// And so often their address is told while more of them come.
const TELL: u64 = 1_000;

/// Why nobody is to be reached at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is nobody, or nobody joined.
    Unreachable,
    /// Somebody forbids it.
    Prohibited,
}

/// Addresses that nobody is known at, and what waits for somebody there.
#[derive(Default)]
pub struct Unknown {
    waiting: [Option<Waiting>; ADDRESSES],
    /// When the oldest one is to be forgotten.
    due: Option<Millis>,
}

struct Waiting {
    address: Ipv4Addr,
    since: Millis,
    told: Option<Millis>,
    held: Held,
    refused: Option<Refusal>,
}

/// What is to be done with a packet to an unknown address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It waits.
    Waits,
    /// Nobody is to be reached there, as was said a moment ago.
    Refused(Refusal),
    /// No room for it.
    Full,
}

impl Held {
    /// Keeps a copy. False: there is no room.
    pub fn push(&mut self, room: Room, packet: &[u8]) -> bool {
        let fits =
            self.packets.len() < room.packets && packet.len() <= room.octets.saturating_sub(self.octets);
        if fits {
            self.octets += packet.len();
            self.packets.push_back(packet.into());
        }
        fits
    }

    /// All of them; none is left.
    pub fn take(&mut self) -> VecDeque<Box<[u8]>> {
        self.octets = 0;
        std::mem::take(&mut self.packets)
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.packets.len() as u64
    }
}

impl Unknown {
    /// A packet to an address that nobody is known at.
    pub fn take(&mut self, now: Millis, address: Ipv4Addr, packet: &[u8]) -> Outcome {
        let Some(waiting) = self.find_or_enter(now, address) else {
            return Outcome::Full;
        };
        match waiting.refused {
            Some(refusal) => Outcome::Refused(refusal),
            None if waiting.held.push(STRANGERS, packet) => Outcome::Waits,
            None => Outcome::Full,
        }
    }

    /// Is the address to be told now? Say so with [`Unknown::told`] when it is.
    #[must_use]
    pub fn is_due(&self, now: Millis, address: Ipv4Addr) -> bool {
        let waiting = self.waiting.iter().flatten().find(|one| one.address == address);
        waiting.is_some_and(|one| one.refused.is_none() && one.told.is_none_or(|at| now.0 >= at.0 + TELL))
    }

    /// It was told.
    pub fn told(&mut self, now: Millis, address: Ipv4Addr) {
        if let Some(one) = self.find(address) {
            one.told = Some(now);
        }
    }

    /// Somebody is there now: what waited.
    pub fn found(&mut self, address: Ipv4Addr) -> VecDeque<Box<[u8]>> {
        let is_it = |one: &Waiting| one.address == address;
        let place = self
            .waiting
            .iter_mut()
            .find(|place| place.as_ref().is_some_and(is_it));
        let held = place.and_then(Option::take).map(|mut one| one.held.take());
        self.reckon();
        held.unwrap_or_default()
    }

    /// Nobody is to be reached there: what waited. What comes within the next moments is refused at once.
    pub fn refuse(&mut self, address: Ipv4Addr, refusal: Refusal) -> VecDeque<Box<[u8]>> {
        let Some(one) = self.find(address) else {
            return VecDeque::new();
        };
        one.refused = Some(refusal);
        one.held.take()
    }

    /// Forgets addresses that nothing was heard of in time. Packets that are lost by that.
    pub fn expire(&mut self, now: Millis) -> u64 {
        if self.due.is_none_or(|due| now < due) {
            return 0;
        }
        let mut lost = 0;
        for place in &mut self.waiting {
            if let Some(one) = place.take_if(|one| now.0 >= one.since.0 + PATIENCE) {
                lost += one.held.count();
            }
        }
        self.reckon();
        lost
    }

    /// So long nothing expires; `None`: nothing is there to expire.
    #[must_use]
    pub fn patience(&self, now: Millis) -> Option<Duration> {
        Some(Duration::from_millis(self.due?.0.saturating_sub(now.0)))
    }

    fn find(&mut self, address: Ipv4Addr) -> Option<&mut Waiting> {
        self.waiting
            .iter_mut()
            .flatten()
            .find(|one| one.address == address)
    }

    fn find_or_enter(&mut self, now: Millis, address: Ipv4Addr) -> Option<&mut Waiting> {
        let is_it = |place: &Option<Waiting>| place.as_ref().is_some_and(|one| one.address == address);
        let at = match self.waiting.iter().position(is_it) {
            Some(at) => at,
            None => {
                let at = self.waiting.iter().position(Option::is_none)?;
                self.waiting[at] = Some(Waiting {
                    address,
                    since: now,
                    told: None,
                    held: Held::default(),
                    refused: None,
                });
                self.reckon();
                at
            }
        };
        self.waiting[at].as_mut()
    }

    fn reckon(&mut self) {
        let ends = self
            .waiting
            .iter()
            .flatten()
            .map(|one| Millis(one.since.0 + PATIENCE));
        self.due = ends.min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, last)
    }

    #[test]
    fn what_waits_is_bounded_in_packets_and_octets_and_comes_back_in_order() {
        let room = Room {
            packets: 3,
            octets: 100,
        };
        let mut held = Held::default();
        assert!(held.push(room, &[1; 60]) && !held.push(room, &[2; 41]) && held.push(room, &[3; 40]));
        assert_eq!(held.count(), 2);
        let firsts: Vec<u8> = held.take().iter().map(|packet| packet[0]).collect();
        assert_eq!(firsts, [1, 3]);
        assert!((0..3).all(|_| held.push(room, &[])) && !held.push(room, &[]));
    }

    #[test]
    fn an_unknown_address_is_told_at_once_and_then_once_a_second_while_packets_come() {
        let mut unknown = Unknown::default();
        assert!(!unknown.is_due(Millis(5), address(1)), "no packet yet");
        assert_eq!(unknown.take(Millis(5), address(1), &[0; 84]), Outcome::Waits);
        assert!(
            unknown.is_due(Millis(5), address(1)),
            "and again, had the channel been full"
        );
        assert!(unknown.is_due(Millis(6), address(1)));
        unknown.told(Millis(6), address(1));
        assert!(!unknown.is_due(Millis(1_005), address(1)) && unknown.is_due(Millis(1_006), address(1)));
    }

    #[test]
    fn addresses_and_their_packets_are_bounded_and_make_room_in_time() {
        let mut unknown = Unknown::default();
        for last in 0..ADDRESSES as u8 {
            assert_eq!(
                unknown.take(Millis(u64::from(last)), address(last), &[0; 84]),
                Outcome::Waits
            );
        }
        assert_eq!(unknown.take(Millis(40), address(99), &[0; 84]), Outcome::Full);
        let more = (0..20).filter(|_| unknown.take(Millis(40), address(0), &[0; 84]) == Outcome::Waits);
        assert_eq!(more.count(), STRANGERS.packets - 1);
        assert_eq!(
            unknown.patience(Millis(40)),
            Some(Duration::from_millis(PATIENCE - 40))
        );
        assert_eq!(unknown.expire(Millis(PATIENCE - 1)), 0);
        assert_eq!(unknown.expire(Millis(PATIENCE)), STRANGERS.packets as u64);
        assert_eq!(
            unknown.take(Millis(PATIENCE), address(99), &[0; 84]),
            Outcome::Waits
        );
        let (found, still) = (unknown.found(address(99)), unknown.found(address(99)));
        assert_eq!((found.len(), still.len()), (1, 0));
        assert_eq!(unknown.expire(Millis(9_999)), ADDRESSES as u64 - 1);
        assert_eq!(unknown.patience(Millis(9_999)), None);
    }

    #[test]
    fn who_is_refused_stays_refused_for_a_moment() {
        let mut unknown = Unknown::default();
        assert!(
            unknown.refuse(address(1), Refusal::Prohibited).is_empty(),
            "nobody asked"
        );
        assert_eq!(unknown.take(Millis(1), address(1), &[0; 84]), Outcome::Waits);
        assert_eq!(unknown.refuse(address(1), Refusal::Prohibited).len(), 1);
        assert_eq!(
            unknown.take(Millis(2), address(1), &[0; 84]),
            Outcome::Refused(Refusal::Prohibited)
        );
        assert!(!unknown.is_due(Millis(1_900), address(1)), "the answer is there");
        assert_eq!(unknown.expire(Millis(1 + PATIENCE)), 0, "nothing was waiting");
        assert_eq!(unknown.take(Millis(9_000), address(1), &[0; 84]), Outcome::Waits);
    }
}
