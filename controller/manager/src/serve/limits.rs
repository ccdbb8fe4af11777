//! How many connections, and whose.
//!
//! Problem: whoever opens connections and says nothing must not keep members out, and memory must stay bounded. Idea: two rooms. A
//! connection begins as a stranger's; strangers are few, fewer from one address, and do not stay long. With its first request that was
//! found authentic it moves into the room of those known, which strangers cannot fill.
//!
//! ```text
//!  accept ─► rate of its source ─► strangers (2,048; 256 a source; 15 s) ── authentic request ──► known (20,000; 1,024 a source)
//! ```
//!
//! Cost: one hash probe under a short lock for each connection that opens, is known, or closes.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections nobody has proved anything on.
    pub strangers: usize,
    /// Of those, from one source address.
    pub strangers_per_source: usize,
    /// Connections of which something authentic was heard.
    pub known: usize,
    /// Of those, from one source address.
    pub known_per_source: usize,
    /// New connections a second from one source address, on average; ten times as many at once.
    pub rate_per_source: u32,
    /// A TLS handshake takes at most so long.
    pub handshake: Duration,
    /// How long a stranger stays.
    pub stranger: Duration,
    /// How long a connection stays on which nothing is asked and no stream is open.
    pub idle: Duration,
    /// Requests under way on one connection, open streams among them.
    pub streams: u32,
    /// A request is answered within this time, or refused.
    pub deadline: Duration,
    /// Member calls under way in the whole manager.
    pub calls: usize,
    /// Updates that wait for one member's stream; then it is told to resync.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            strangers: 2_048,
            strangers_per_source: 256,
            known: 20_000,
            known_per_source: 1_024,
            rate_per_source: 100,
            handshake: Duration::from_secs(5),
            stranger: Duration::from_secs(15),
            idle: Duration::from_secs(90),
            streams: 16,
            deadline: Duration::from_secs(30),
            calls: 4_096,
            queue: 64,
        }
    }
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many of those nobody knows.
    Strangers,
    /// Too many from this address.
    Source,
    /// This address opens connections too fast.
    Rate,
    /// Too many, all of them known.
    Known,
}

impl Refused {
    /// As counters call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strangers => "strangers",
            Self::Source => "source",
            Self::Rate => "rate",
            Self::Known => "known",
        }
    }
}

/// Counts connections of one listener.
pub struct Gate {
    limits: Limits,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    strangers: Room,
    known: Room,
    rates: Rates,
}

#[derive(Default)]
struct Room {
    total: usize,
    sources: HashMap<IpAddr, usize>,
}

impl Room {
    fn enter(&mut self, from: IpAddr, most: usize, per_source: usize, full: Refused) -> Result<(), Refused> {
        if self.total >= most {
            return Err(full);
        }
        let here = self.sources.entry(from).or_insert(0);
        if *here >= per_source {
            return Err(Refused::Source);
        }
        (*here, self.total) = (*here + 1, self.total + 1);
        Ok(())
    }

    fn leave(&mut self, from: IpAddr) {
        if let Entry::Occupied(mut here) = self.sources.entry(from) {
            self.total -= 1;
            match here.get() {
                0 | 1 => drop(here.remove()),
                more => *here.get_mut() = more - 1,
            }
        }
    }
}

/// Buckets of a fixed table: sources that fall on one share it.
struct Rates {
    buckets: Box<[(f32, Option<Instant>)]>,
    place: RandomState,
}

const BUCKETS: usize = 4_096;

impl Default for Rates {
    fn default() -> Self {
        let buckets = vec![(0.0, None); BUCKETS].into();
        Self {
            buckets,
            place: RandomState::new(),
        }
    }
}

impl Rates {
    fn take(&mut self, now: Instant, from: IpAddr, per_second: u32) -> bool {
        // Only 4,096 places: the low bits are enough.
        let place = self.place.hash_one(from) as usize % BUCKETS;
        let (level, since) = &mut self.buckets[place];
        let most = per_second as f32 * 10.0;
        let gained = since.map_or(most, |since| {
            now.saturating_duration_since(since).as_secs_f32() * per_second as f32
        });
        *level = (*level + gained).min(most);
        *since = Some(now);
        let granted = *level >= 1.0;
        if granted {
            *level -= 1.0;
        }
        granted
    }
}

/// A connection's place; free again when dropped.
pub struct Pass {
    gate: Arc<Gate>,
    from: IpAddr,
    known: bool,
}

impl Gate {
    /// Nobody is in yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let rooms = Mutex::default();
        Arc::new(Self { limits, rooms })
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A stranger comes.
    pub fn admit(self: &Arc<Self>, now: Instant, from: IpAddr) -> Result<Pass, Refused> {
        let limits = &self.limits;
        let mut rooms = self.rooms();
        if !rooms.rates.take(now, from, limits.rate_per_source) {
            return Err(Refused::Rate);
        }
        let (most, per_source) = (limits.strangers, limits.strangers_per_source);
        rooms
            .strangers
            .enter(from, most, per_source, Refused::Strangers)?;
        Ok(Pass {
            gate: self.clone(),
            from,
            known: false,
        })
    }

    /// Strangers and known ones who are in.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let rooms = self.rooms();
        (rooms.strangers.total, rooms.known.total)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// It has proved who it is. If there is no place it stays a stranger, for a stranger's time.
    pub fn known(&mut self) -> Result<(), Refused> {
        if self.known {
            return Ok(());
        }
        let limits = &self.gate.limits;
        let (most, per_source) = (limits.known, limits.known_per_source);
        let mut rooms = self.gate.rooms();
        rooms.known.enter(self.from, most, per_source, Refused::Known)?;
        rooms.strangers.leave(self.from);
        self.known = true;
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut rooms = self.gate.rooms();
        let room = if self.known {
            &mut rooms.known
        } else {
            &mut rooms.strangers
        };
        room.leave(self.from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn gate() -> Arc<Gate> {
        let limits = Limits {
            strangers: 4,
            strangers_per_source: 2,
            known: 3,
            known_per_source: 2,
            ..Limits::default()
        };
        Gate::new(limits)
    }

    #[test]
    fn one_source_cannot_take_all_places_and_gives_its_own_back() {
        let (gate, now) = (gate(), Instant::now());
        let first = gate.admit(now, source(1)).unwrap();
        let _second = gate.admit(now, source(1)).unwrap();
        assert_eq!(gate.admit(now, source(1)).err(), Some(Refused::Source));
        let _others = [
            gate.admit(now, source(2)).unwrap(),
            gate.admit(now, source(2)).unwrap(),
        ];
        assert_eq!(gate.admit(now, source(3)).err(), Some(Refused::Strangers));
        drop(first);
        assert!(gate.admit(now, source(3)).is_ok());
        assert_eq!(gate.count(), (3, 0));
    }

    #[test]
    fn who_is_known_no_longer_takes_a_strangers_place() {
        let (gate, now) = (gate(), Instant::now());
        let mut passes: Vec<_> = (0..2).map(|_| gate.admit(now, source(1)).unwrap()).collect();
        for pass in &mut passes {
            pass.known().unwrap();
            pass.known().unwrap();
        }
        assert_eq!(gate.count(), (0, 2));
        let mut third = gate.admit(now, source(1)).unwrap();
        assert_eq!(third.known(), Err(Refused::Source));
        assert_eq!(gate.count(), (1, 2));
        drop((passes, third));
        assert_eq!(gate.count(), (0, 0));
        assert!(gate.rooms().known.sources.is_empty() && gate.rooms().strangers.sources.is_empty());
    }

    #[test]
    fn a_source_that_connects_too_fast_waits_and_others_do_not() {
        let limits = Limits {
            rate_per_source: 2,
            ..Limits::default()
        };
        let (gate, now) = (Gate::new(limits), Instant::now());
        let granted = (0..100).filter(|_| gate.admit(now, source(1)).is_ok()).count();
        assert_eq!(granted, 20);
        assert_eq!(gate.admit(now, source(1)).err(), Some(Refused::Rate));
        let later = now + Duration::from_secs(1);
        assert!(gate.admit(later, source(1)).is_ok());
        // Which bucket a source falls on is random: one of several is on another.
        assert!((2..10).any(|last| gate.admit(now, source(last)).is_ok()));
    }
}
