//! Who is on the link: address → station, with packets waiting for the answer. A state machine without I/O.
//!
//! ```text
//!            hold                   seen                     fresh time over
//!  (none) ────────► asking ───────────────────► known ──────────────────► probing
//!                    │ 3 tries, 1 s apart         ▲ ◄──────── seen ──────── │ 3 tries
//!                    ▼                            │ seen, if it asked us    ▼
//!            packets dropped, (none)            (none)                    (none)
//!
//!            write: from any state to written, which only a write ends
//! ```
//!
//! What a controller wrote wins: it is never asked for, never aged, and nobody on the link changes it.
//!
//! Entries and waiting packets are bounded, for each neighbour and in all: whoever makes packets to addresses where nobody is
//! fills his own queue. Cost: a tick walks all entries; it is called ten times a second, not for each packet.

use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::ethernet::MacAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// How many, how often, how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Neighbours that are learnt.
    pub entries: usize,
    /// Packets waiting for one neighbour.
    pub held_each: usize,
    /// Packets waiting in all.
    pub held_all: usize,
    /// Between two requests.
    pub retry: Nanos,
    /// Requests without an answer before it is given up.
    pub tries: u8,
    /// How long an answer is believed before it is asked for again.
    pub fresh: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4096,
            held_each: 32,
            held_all: 1024,
            retry: Nanos(1_000_000_000),
            tries: 3,
            fresh: Nanos(30_000_000_000),
        }
    }
}

/// A request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Out of this port.
    pub port: PortIndex,
    /// Who has this address?
    pub target: Ipv4Addr,
    /// To this station alone; none for all.
    pub station: Option<MacAddr>,
}

/// What came of a packet for a neighbour.
#[derive(Debug, PartialEq, Eq)]
pub enum Held<P> {
    /// It waits; the request, if one is due, is to be sent.
    Waits(Option<Ask>),
    /// The neighbour is known: send it.
    Known(P),
    /// Too many wait already.
    Full(P),
}

/// The neighbours of all ports.
#[derive(Debug)]
pub struct Neighbors<P> {
    entries: HashMap<(PortIndex, Ipv4Addr), State<P>>,
    limits: Limits,
    held: usize,
    written: usize,
    changed: bool,
}

#[derive(Debug)]
enum State<P> {
    Asking {
        tries: u8,
        next: Nanos,
        waiting: Vec<P>,
    },
    Known {
        station: MacAddr,
        until: Nanos,
    },
    Probing {
        station: MacAddr,
        tries: u8,
        next: Nanos,
    },
    Written(MacAddr),
}

impl<P> Neighbors<P> {
    /// Nobody is known.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            entries: HashMap::new(),
            limits,
            held: 0,
            written: 0,
            changed: false,
        }
    }

    /// A packet is for this neighbour.
    pub fn hold(&mut self, now: Nanos, port: PortIndex, address: Ipv4Addr, packet: P) -> Held<P> {
        match self.entries.get_mut(&(port, address)) {
            Some(State::Known { .. } | State::Probing { .. } | State::Written(_)) => Held::Known(packet),
            Some(State::Asking { waiting, .. }) => {
                if waiting.len() >= self.limits.held_each || self.held >= self.limits.held_all {
                    return Held::Full(packet);
                }
                waiting.push(packet);
                self.held += 1;
                Held::Waits(None)
            }
            None => {
                if self.held >= self.limits.held_all {
                    return Held::Full(packet);
                }
                match self.ask(now, port, address, vec![packet]) {
                    Ok(ask) => Held::Waits(Some(ask)),
                    Err(mut waiting) => waiting.pop().map_or(Held::Waits(None), Held::Full),
                }
            }
        }
    }

    /// Begins to ask for a neighbour before there is a packet for it. None if it is known, asked for, or there is no room.
    pub fn prepare(&mut self, now: Nanos, port: PortIndex, address: Ipv4Addr) -> Option<Ask> {
        if self.entries.contains_key(&(port, address)) {
            return None;
        }
        self.ask(now, port, address, Vec::new()).ok()
    }

    fn ask(&mut self, now: Nanos, port: PortIndex, target: Ipv4Addr, waiting: Vec<P>) -> Result<Ask, Vec<P>> {
        if !self.has_room() {
            return Err(waiting);
        }
        self.held += waiting.len();
        let state = State::Asking {
            tries: 1,
            next: later(now, self.limits.retry),
            waiting,
        };
        self.entries.insert((port, target), state);
        let station = None;
        Ok(Ask {
            port,
            target,
            station,
        })
    }

    /// A neighbour showed its station. Gives the packets that waited for it.
    ///
    /// Who is not in the table gets in only with `create`: when it asked for us, so that it is about to send us something.
    pub fn seen(
        &mut self,
        now: Nanos,
        port: PortIndex,
        address: Ipv4Addr,
        station: MacAddr,
        create: bool,
    ) -> Vec<P> {
        let until = later(now, self.limits.fresh);
        let known = State::Known { station, until };
        let room = self.has_room();
        let Some(state) = self.entries.get_mut(&(port, address)) else {
            if create && room {
                self.entries.insert((port, address), known);
                self.changed = true;
            }
            return Vec::new();
        };
        if let State::Written(_) = state {
            return Vec::new();
        }
        match std::mem::replace(state, known) {
            State::Asking { waiting, .. } => {
                self.held -= waiting.len();
                self.changed = true;
                waiting
            }
            State::Known { station: old, .. } | State::Probing { station: old, .. } => {
                self.changed |= old != station;
                Vec::new()
            }
            State::Written(_) => unreachable!("these were left alone above"),
        }
    }

    /// A controller wrote a neighbour's station, or took back (`None`) what it wrote or what was learnt. Gives the packets
    /// that waited for it.
    pub fn write(&mut self, port: PortIndex, address: Ipv4Addr, station: Option<MacAddr>) -> Vec<P> {
        let key = (port, address);
        if station.is_none() && matches!(self.entries.get(&key), None | Some(State::Asking { .. })) {
            // There was no entry that anyone could have read.
            return Vec::new();
        }
        let old = match station {
            Some(station) => self.entries.insert(key, State::Written(station)),
            None => self.entries.remove(&key),
        };
        self.written += usize::from(station.is_some());
        self.changed = true;
        match old {
            Some(State::Asking { waiting, .. }) => {
                self.held -= waiting.len();
                waiting
            }
            Some(State::Written(_)) => {
                self.written -= 1;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Can one more be learnt?
    fn has_room(&self) -> bool {
        self.entries.len() - self.written < self.limits.entries
    }

    /// Time passes: requests to send, and packets that nobody will take.
    pub fn tick(&mut self, now: Nanos, asks: &mut Vec<Ask>, lost: &mut Vec<P>) {
        let limits = self.limits;
        let (held, changed) = (&mut self.held, &mut self.changed);
        self.entries.retain(|&(port, target), state| {
            match state {
                State::Asking { tries, next, waiting } if *next <= now => {
                    if *tries >= limits.tries {
                        *held -= waiting.len();
                        lost.append(waiting);
                        return false;
                    }
                    *tries += 1;
                    *next = later(now, limits.retry);
                    let station = None;
                    asks.push(Ask {
                        port,
                        target,
                        station,
                    });
                }
                State::Known { station, until } if *until <= now => {
                    let station = *station;
                    asks.push(Ask {
                        port,
                        target,
                        station: Some(station),
                    });
                    *state = State::Probing {
                        station,
                        tries: 1,
                        next: later(now, limits.retry),
                    };
                }
                State::Probing { station, tries, next } if *next <= now => {
                    if *tries >= limits.tries {
                        *changed = true;
                        return false;
                    }
                    *tries += 1;
                    *next = later(now, limits.retry);
                    // The last try asks all: the address may have moved to another station.
                    let station = (*tries < limits.tries).then_some(*station);
                    asks.push(Ask {
                        port,
                        target,
                        station,
                    });
                }
                _ => {}
            }
            true
        });
    }

    /// Has what [`Neighbors::stations`] gives changed since the last time this was asked?
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Everyone whose station is known.
    pub fn stations(&self) -> impl Iterator<Item = ((PortIndex, Ipv4Addr), MacAddr)> {
        self.entries.iter().filter_map(|(&key, state)| match state {
            State::Known { station, .. } | State::Probing { station, .. } | State::Written(station) => {
                Some((key, *station))
            }
            State::Asking { .. } => None,
        })
    }

    /// Every entry for listings: port, address, station if known, state in a word.
    pub fn list(&self) -> impl Iterator<Item = (PortIndex, Ipv4Addr, Option<MacAddr>, &'static str)> {
        self.entries.iter().map(|(&(port, address), state)| match state {
            State::Asking { .. } => (port, address, None, "asking"),
            State::Known { station, .. } => (port, address, Some(*station), "known"),
            State::Probing { station, .. } => (port, address, Some(*station), "probing"),
            State::Written(station) => (port, address, Some(*station), "written"),
        })
    }

    /// How many packets wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many can be learnt.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.limits.entries
    }
}

fn later(now: Nanos, after: Nanos) -> Nanos {
    Nanos(now.0.saturating_add(after.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: PortIndex = PortIndex(0);
    const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    fn few() -> Neighbors<u32> {
        Neighbors::new(Limits {
            entries: 2,
            held_each: 3,
            held_all: 4,
            ..Limits::default()
        })
    }

    fn tick(neighbors: &mut Neighbors<u32>, now: Nanos) -> (Vec<Ask>, Vec<u32>) {
        let (mut asks, mut lost) = (Vec::new(), Vec::new());
        neighbors.tick(now, &mut asks, &mut lost);
        (asks, lost)
    }

    #[test]
    fn packets_wait_for_the_answer_in_order() {
        let mut neighbors = few();
        let Held::Waits(Some(ask)) = neighbors.hold(at(0), PORT, A, 1) else {
            panic!("the first packet asks")
        };
        assert_eq!((ask.target, ask.station), (A, None));
        assert_eq!(neighbors.hold(at(0), PORT, A, 2), Held::Waits(None));
        assert_eq!((neighbors.held(), neighbors.take_changed()), (2, false));
        assert_eq!(neighbors.seen(at(0), PORT, A, STATION, false), [1, 2]);
        assert!(neighbors.take_changed() && !neighbors.take_changed());
        assert_eq!(neighbors.hold(at(1), PORT, A, 3), Held::Known(3));
        assert_eq!(neighbors.stations().collect::<Vec<_>>(), [((PORT, A), STATION)]);
        assert_eq!(neighbors.held(), 0);
    }

    #[test]
    fn who_does_not_answer_three_requests_is_given_up_with_his_packets() {
        let mut neighbors = few();
        neighbors.hold(at(0), PORT, A, 1);
        assert_eq!(tick(&mut neighbors, Nanos(999_999_999)).0.len(), 0);
        assert_eq!(tick(&mut neighbors, at(1)).0.len(), 1);
        assert_eq!(tick(&mut neighbors, at(2)).0.len(), 1);
        let (asks, lost) = tick(&mut neighbors, at(3));
        assert_eq!((asks.len(), lost), (0, vec![1]));
        assert_eq!((neighbors.held(), neighbors.list().count()), (0, 0));
        assert!(
            matches!(neighbors.hold(at(3), PORT, A, 2), Held::Waits(Some(_))),
            "a later packet asks anew"
        );
    }

    #[test]
    fn queues_are_bounded_for_each_and_in_all() {
        let mut neighbors = few();
        let b = Ipv4Addr::new(203, 0, 113, 22);
        let c = Ipv4Addr::new(203, 0, 113, 23);
        for packet in 0..3 {
            assert!(matches!(neighbors.hold(at(0), PORT, A, packet), Held::Waits(_)));
        }
        assert_eq!(neighbors.hold(at(0), PORT, A, 3), Held::Full(3));
        assert!(matches!(neighbors.hold(at(0), PORT, b, 4), Held::Waits(Some(_))));
        assert_eq!(neighbors.hold(at(0), PORT, b, 5), Held::Full(5), "four in all");
        neighbors.seen(at(0), PORT, A, STATION, false);
        assert_eq!(neighbors.hold(at(0), PORT, c, 6), Held::Full(6), "two neighbours");
    }

    #[test]
    fn a_known_neighbour_is_asked_again_and_used_meanwhile() {
        let mut neighbors = few();
        neighbors.seen(at(0), PORT, A, STATION, true);
        neighbors.take_changed();
        let (asks, _) = tick(&mut neighbors, at(30));
        assert_eq!(asks[0].station, Some(STATION), "it alone is asked");
        assert_eq!(neighbors.hold(at(30), PORT, A, 1), Held::Known(1));
        neighbors.seen(at(30), PORT, A, STATION, false);
        assert!(!neighbors.take_changed());
        tick(&mut neighbors, at(60));
        tick(&mut neighbors, at(61));
        let (asks, _) = tick(&mut neighbors, at(62));
        assert_eq!(asks[0].station, None, "the last try asks all");
        tick(&mut neighbors, at(63));
        assert!(neighbors.take_changed() && neighbors.stations().next().is_none());
    }

    #[test]
    fn strangers_are_learnt_only_when_they_ask_us_and_a_port_is_a_link_of_its_own() {
        let mut neighbors = few();
        neighbors.seen(at(0), PORT, A, STATION, false);
        assert_eq!(neighbors.list().count(), 0);
        neighbors.seen(at(0), PORT, A, STATION, true);
        let other = MacAddr([2, 0, 0, 0, 0, 99]);
        neighbors.seen(at(0), PortIndex(1), A, other, false);
        assert_eq!(neighbors.stations().collect::<Vec<_>>(), [((PORT, A), STATION)]);
        neighbors.seen(at(0), PORT, A, other, false);
        assert_eq!(
            neighbors.stations().next(),
            Some(((PORT, A), other)),
            "it got a new card"
        );
    }

    #[test]
    fn what_is_written_wins_and_stays() {
        let mut neighbors = few();
        let written = MacAddr([2, 0, 0, 0, 0, 99]);
        neighbors.hold(at(0), PORT, A, 1);
        assert_eq!(neighbors.write(PORT, A, Some(written)), [1], "who waited goes on");
        assert_eq!(neighbors.held(), 0);
        neighbors.seen(at(0), PORT, A, STATION, true);
        assert_eq!(tick(&mut neighbors, at(100)).0.len(), 0, "it is not asked for");
        assert_eq!(neighbors.stations().next(), Some(((PORT, A), written)));
        // It takes no room from those that are learnt.
        for last in 22..24 {
            neighbors.seen(at(0), PORT, Ipv4Addr::new(203, 0, 113, last), STATION, true);
        }
        assert_eq!(neighbors.list().count(), 3);
        assert!(neighbors.write(PORT, A, None).is_empty());
        neighbors.take_changed();
        neighbors.write(PORT, A, None);
        assert!(!neighbors.take_changed(), "there was nothing to take back");
        assert_eq!(neighbors.list().count(), 2);
    }
}
