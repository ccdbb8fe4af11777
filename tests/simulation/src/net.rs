//! The network: time, what is under way, what the weather does to it, and who is cut off from whom.
//!
//! ```text
//!  site (NAT) ──┐ loss, copies, delay and so another order
//!  site (NAT) ──┼───────────────────────────────────────────── manager, directors
//!  public ──────┘ cuts: of a place, or between two
//! ```
//!
//! Datagrams may be lost, come twice and overtake each other. Requests to the manager run over connections: a request or an answer that is lost is
//! a connection that broke; one that comes twice is one that somebody between repeated.

use crate::dice::Dice;
use crate::world::What;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// Where somebody is, as cuts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The manager.
    Manager,
    /// A director.
    Director(usize),
    /// A site: everybody behind one NAT.
    Site(usize),
    /// A device with a public address.
    Public(usize),
}

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Percent of messages that are lost.
    pub loss: u64,
    /// Percent that come twice.
    pub twice: u64,
    /// Milliseconds on the way.
    pub delay: (u64, u64),
}

/// What a seed found wrong.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which promise does not hold.
    pub property: &'static str,
    /// Whom it is about, if it is about one.
    pub member: Option<String>,
    /// What is so, and should not be.
    pub what: String,
}

struct Coming {
    at: u64,
    order: u64,
    what: What,
}

/// The network and its clock.
pub struct Net {
    /// Milliseconds since the simulation began.
    pub now: u64,
    /// All chance.
    pub dice: Dice,
    /// How bad it is now.
    pub weather: Weather,
    coming: BinaryHeap<Coming>,
    order: u64,
    cut_off: BTreeMap<Place, u32>,
    cut: BTreeMap<(Place, Place), u32>,
    violation: Option<Violation>,
    /// Whose story is written down, and the story.
    pub heroine: Option<String>,
    story: Vec<String>,
}

impl Net {
    /// In good weather.
    pub fn new(dice: Dice, heroine: Option<String>) -> Self {
        Self {
            now: 0,
            dice,
            weather: Weather {
                loss: 0,
                twice: 0,
                delay: (5, 40),
            },
            coming: BinaryHeap::new(),
            order: 0,
            cut_off: BTreeMap::new(),
            cut: BTreeMap::new(),
            violation: None,
            heroine,
            story: Vec::new(),
        }
    }

    /// Happens then.
    pub fn at(&mut self, at: u64, what: What) {
        self.order += 1;
        self.coming.push(Coming {
            at: at.max(self.now),
            order: self.order,
            what,
        });
    }

    /// Happens so many milliseconds from now.
    pub fn after(&mut self, wait: u64, what: What) {
        self.at(self.now + wait, what);
    }

    /// What happens next; time goes on to it.
    pub fn next(&mut self) -> Option<What> {
        let next = self.coming.pop()?;
        self.now = next.at;
        Some(next.what)
    }

    /// A datagram; `make` makes each copy that arrives.
    pub fn datagram(&mut self, from: Place, to: Place, make: impl Fn() -> What) {
        if !self.is_open(from, to) {
            return;
        }
        let copies = 1 + u64::from(self.dice.percent(self.weather.twice));
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss) {
                let wait = self.delay();
                self.after(wait, make());
            }
        }
    }

    /// Milliseconds on the way of something on a connection; none if it breaks. Lost segments are sent again, which takes time.
    pub fn passage(&mut self, from: Place, to: Place) -> Option<u64> {
        let loss = self.weather.loss;
        if !self.is_open(from, to) || self.dice.percent(loss / 3) {
            return None;
        }
        let again = if self.dice.percent(loss) {
            self.dice.between(200, 1_200)
        } else {
            0
        };
        Some(self.delay() + again)
    }

    /// Milliseconds on the way.
    pub fn delay(&mut self) -> u64 {
        let (least, most) = self.weather.delay;
        self.dice.between(least, most)
    }

    /// Does anything pass between the two?
    pub fn is_open(&self, a: Place, b: Place) -> bool {
        !(self.cut_off.contains_key(&a)
            || self.cut_off.contains_key(&b)
            || self.cut.contains_key(&pair(a, b)))
    }

    /// Cuts a place off, or two from each other.
    pub fn cut(&mut self, a: Place, b: Option<Place>) {
        match b {
            Some(b) => *self.cut.entry(pair(a, b)).or_default() += 1,
            None => *self.cut_off.entry(a).or_default() += 1,
        }
    }

    /// Undoes one such cut.
    pub fn mend(&mut self, a: Place, b: Option<Place>) {
        match b {
            Some(b) => less(&mut self.cut, pair(a, b)),
            None => less(&mut self.cut_off, a),
        }
    }

    /// No cuts, no loss.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.cut_off.clear();
        (self.weather.loss, self.weather.twice) = (0, 0);
    }

    /// A promise does not hold. The first is what counts.
    pub fn wrong(&mut self, property: &'static str, member: Option<&str>, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                property,
                member: member.map(str::to_owned),
                what: what.into(),
            });
        }
    }

    /// What was found wrong.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Writes down what happens to the member whose story is wanted. `what` is asked only then.
    pub fn tell(&mut self, member: &str, what: impl FnOnce() -> String) {
        if self.heroine.as_deref() == Some(member) {
            self.note(what());
        }
    }

    /// Writes down what happens to all, if a story is wanted.
    pub fn tell_all(&mut self, what: impl FnOnce() -> String) {
        if self.heroine.is_some() {
            self.note(what());
        }
    }

    /// The end of the story.
    pub fn story(&self, lines: usize) -> String {
        self.story[self.story.len().saturating_sub(lines)..].join("\n")
    }

    fn note(&mut self, what: String) {
        self.story
            .push(format!("  {:>8.3} s  {what}", self.now as f64 / 1_000.0));
    }
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}

fn less<K: Ord>(cuts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = cuts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            cuts.remove(&key);
        }
    }
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    /// The earliest is the greatest: the heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
