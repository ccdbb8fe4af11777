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

use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::units::Nanos;
use kith_wire::ethernet::MacAddr;
use std::collections::HashMap;

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

/// A request to send: who has this address on this link?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Who is wanted.
    pub neighbor: OnLink,
    /// To this station alone; none for all.
    pub station: Option<MacAddr>,
}

/// What came of a neighbour that showed its station.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen<P> {
    /// Its station was not known, or another one.
    pub is_new: bool,
    /// Packets that waited for it.
    pub released: Vec<P>,
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
    entries: HashMap<OnLink, State<P>>,
    limits: Limits,
    held: usize,
    written: usize,
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
        }
    }

    /// A packet is for this neighbour.
    pub fn hold(&mut self, now: Nanos, neighbor: OnLink, packet: P) -> Held<P> {
        match self.entries.get_mut(&neighbor) {
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
                match self.ask(now, neighbor, vec![packet]) {
                    Ok(ask) => Held::Waits(Some(ask)),
                    Err(mut waiting) => waiting.pop().map_or(Held::Waits(None), Held::Full),
                }
            }
        }
    }

    /// Begins to ask for a neighbour before there is a packet for it. None if it is known, asked for, or there is no room.
    pub fn prepare(&mut self, now: Nanos, neighbor: OnLink) -> Option<Ask> {
        if self.entries.contains_key(&neighbor) {
            return None;
        }
        self.ask(now, neighbor, Vec::new()).ok()
    }

    fn ask(&mut self, now: Nanos, neighbor: OnLink, waiting: Vec<P>) -> Result<Ask, Vec<P>> {
        if !self.has_room() {
            return Err(waiting);
        }
        self.held += waiting.len();
        let state = State::Asking {
            tries: 1,
            next: later(now, self.limits.retry),
            waiting,
        };
        self.entries.insert(neighbor, state);
        Ok(Ask {
            neighbor,
            station: None,
        })
    }

    /// A neighbour showed its station.
    ///
    /// Who is not in the table gets in only with `create`: when it asked for us, so that it is about to send us something.
    pub fn seen(&mut self, now: Nanos, neighbor: OnLink, station: MacAddr, create: bool) -> Seen<P> {
        let until = later(now, self.limits.fresh);
        let known = State::Known { station, until };
        let mut seen = Seen {
            is_new: false,
            released: Vec::new(),
        };
        let room = self.has_room();
        match self.entries.get_mut(&neighbor) {
            None if create && room => {
                self.entries.insert(neighbor, known);
                seen.is_new = true;
            }
            None | Some(State::Written(_)) => {}
            Some(state) => match std::mem::replace(state, known) {
                State::Asking { waiting, .. } => {
                    self.held -= waiting.len();
                    seen.is_new = true;
                    seen.released = waiting;
                }
                State::Known { station: old, .. } | State::Probing { station: old, .. } => {
                    seen.is_new = old != station;
                }
                State::Written(_) => unreachable!("these are left alone"),
            },
        }
        seen
    }

    /// A neighbour that was known, or learnt, is nobody's business any more; packets that wait for it still do.
    pub fn forget(&mut self, neighbor: OnLink) {
        if let Some(State::Known { .. } | State::Probing { .. }) = self.entries.get(&neighbor) {
            self.entries.remove(&neighbor);
        }
    }

    /// A controller wrote a neighbour's station, or took back (`None`) what it wrote. Gives the packets that waited for it.
    pub fn write(&mut self, neighbor: OnLink, station: Option<MacAddr>) -> Vec<P> {
        let is_written = matches!(self.entries.get(&neighbor), Some(State::Written(_)));
        let old = match station {
            Some(station) => self.entries.insert(neighbor, State::Written(station)),
            None if is_written => self.entries.remove(&neighbor),
            None => None,
        };
        self.written = self.written + usize::from(station.is_some()) - usize::from(is_written);
        match old {
            Some(State::Asking { waiting, .. }) => {
                self.held -= waiting.len();
                waiting
            }
            _ => Vec::new(),
        }
    }

    /// Can one more be learnt?
    fn has_room(&self) -> bool {
        self.entries.len() - self.written < self.limits.entries
    }

    /// Time passes: requests to send, packets that nobody will take, and neighbours that are known no longer.
    pub fn tick(&mut self, now: Nanos, asks: &mut Vec<Ask>, lost: &mut Vec<P>, gone: &mut Vec<OnLink>) {
        let limits = self.limits;
        let held = &mut self.held;
        self.entries.retain(|&neighbor, state| {
            match state {
                State::Asking { tries, next, waiting } if *next <= now => {
                    if *tries >= limits.tries {
                        *held -= waiting.len();
                        lost.append(waiting);
                        return false;
                    }
                    *tries += 1;
                    *next = later(now, limits.retry);
                    asks.push(Ask {
                        neighbor,
                        station: None,
                    });
                }
                State::Known { station, until } if *until <= now => {
                    let station = *station;
                    asks.push(Ask {
                        neighbor,
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
                        gone.push(neighbor);
                        return false;
                    }
                    *tries += 1;
                    *next = later(now, limits.retry);
                    // The last try asks all: the address may have moved to another station.
                    let station = (*tries < limits.tries).then_some(*station);
                    asks.push(Ask { neighbor, station });
                }
                _ => {}
            }
            true
        });
    }

    /// Every entry for listings: who, which station if known, state in a word.
    pub fn list(&self) -> impl Iterator<Item = (OnLink, Option<MacAddr>, &'static str)> {
        self.entries.iter().map(|(&neighbor, state)| match state {
            State::Asking { .. } => (neighbor, None, "asking"),
            State::Known { station, .. } => (neighbor, Some(*station), "known"),
            State::Probing { station, .. } => (neighbor, Some(*station), "probing"),
            State::Written(station) => (neighbor, Some(*station), "written"),
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
mod tests;
