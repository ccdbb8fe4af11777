//! How long an SA may live: in packets, octets, AES blocks and milliseconds, all always on.
//!
//! Each SA has two sets of bounds. At the soft one a new SA should be negotiated ([`Lifetime::RekeyDue`]) while this one
//! still works; at the hard one it refuses every packet. [`Limits::default`] is the loosest that can be had: rekey at
//! 120 s or 2^35 AES blocks, stop at 180 s or 2^36 - 1. Configuration may only tighten it.
//!
//! ```text
//!  born             soft                      hard
//!   │     Fresh      │        RekeyDue         │   Expired: every packet refused
//!   └────────────────┴─────────────────────────┴──────────────────────────────────►
//! ```

use crate::ids::Numbers;

/// A point in time or a span, in milliseconds. Points count from whatever moment the caller's clock counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// One set of bounds on an SA's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Packets.
    pub packets: u64,
    /// Octets of payload, padding and trailer.
    pub bytes: u64,
    /// AES blocks: those of the octets, one for the tag, one for the associated data.
    pub blocks: u64,
    /// Time since the SA was made.
    pub age: Millis,
}

/// Soft and hard bounds of an SA; none can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    soft: Bounds,
    hard: Bounds,
}

/// Limits looser than the loosest allowed, or a soft bound above its hard one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lifetime limit on {0}: take soft <= hard <= the default's")]
pub struct LooseLimits(&'static str);

/// What an SA may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// Below all soft bounds.
    Fresh,
    /// A soft bound is reached: negotiate a successor now.
    RekeyDue,
    /// A hard bound is reached: this SA refuses everything.
    Expired,
}

/// What an SA has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packets sealed, or opened with a good tag.
    pub packets: u64,
    /// Their octets: payload, padding and trailer.
    pub bytes: u64,
    /// Their AES blocks.
    pub blocks: u64,
}

impl Limits {
    /// These bounds, if they are no looser than the default's and each soft one is no higher than its hard one.
    pub fn new(soft: Bounds, hard: Bounds) -> Result<Self, LooseLimits> {
        let loosest = Self::default();
        let ordered = |soft, hard, soft_max, hard_max| soft <= hard && soft <= soft_max && hard <= hard_max;
        let of =
            |get: fn(&Bounds) -> u64| ordered(get(&soft), get(&hard), get(&loosest.soft), get(&loosest.hard));
        if !of(|b| b.packets) {
            return Err(LooseLimits("packets"));
        }
        if !of(|b| b.bytes) {
            return Err(LooseLimits("bytes"));
        }
        if !of(|b| b.blocks) {
            return Err(LooseLimits("AES blocks"));
        }
        if !of(|b| b.age.0) {
            return Err(LooseLimits("age"));
        }
        Ok(Self { soft, hard })
    }

    /// Where rekeying becomes due.
    pub fn soft(&self) -> Bounds {
        self.soft
    }

    /// Where the SA stops.
    pub fn hard(&self) -> Bounds {
        self.hard
    }
}

impl Default for Limits {
    fn default() -> Self {
        // A packet is two AES blocks at least and a block is 16 octets at most: the other two follow from the blocks.
        let bounds = |blocks: u64, age| Bounds {
            packets: blocks / 2,
            bytes: blocks * 16,
            blocks,
            age: Millis(age),
        };
        Self {
            soft: bounds(1 << 35, 120_000),
            hard: bounds((1 << 36) - 1, 180_000),
        }
    }
}

/// Counts an SA's use against its limits.
pub(crate) struct Meter {
    used: Usage,
    born: Millis,
    limits: Limits,
}

impl Meter {
    pub(crate) fn new(limits: Limits, born: Millis) -> Self {
        Self {
            used: Usage::default(),
            born,
            limits,
        }
    }

    /// That goes on where another was.
    pub(crate) fn resumed(limits: Limits, born: Millis, used: Usage) -> Self {
        Self { used, born, limits }
    }

    /// With short numbers no SA lives past the last of them; at three quarters there is time for a successor.
    pub(crate) fn fit(&mut self, numbers: Numbers) {
        let last = numbers.last();
        let Limits { soft, hard } = &mut self.limits;
        soft.packets = soft.packets.min(last / 4 * 3);
        hard.packets = hard.packets.min(last);
    }

    pub(crate) fn usage(&self) -> Usage {
        self.used
    }

    pub(crate) fn lifetime(&self, now: Millis) -> Lifetime {
        if self.reaches(&self.limits.hard, now) {
            Lifetime::Expired
        } else if self.reaches(&self.limits.soft, now) {
            Lifetime::RekeyDue
        } else {
            Lifetime::Fresh
        }
    }

    /// What the use would be after one more packet of `bytes` encrypted octets; None if a hard limit forbids it.
    #[inline]
    pub(crate) fn admit(&self, bytes: usize, now: Millis) -> Option<Usage> {
        // No sum can overflow: the terms on the left are at most the hard limits, far below 2^63.
        let after = Usage {
            packets: self.used.packets + 1,
            bytes: self.used.bytes + bytes as u64,
            blocks: self.used.blocks + bytes.div_ceil(16) as u64 + 2,
        };
        let hard = &self.limits.hard;
        let fits = after.packets <= hard.packets && after.bytes <= hard.bytes && after.blocks <= hard.blocks;
        (fits && self.age(now) < hard.age).then_some(after)
    }

    /// Takes what [`Meter::admit`] gave.
    #[inline]
    pub(crate) fn record(&mut self, after: Usage) {
        self.used = after;
    }

    fn reaches(&self, bounds: &Bounds, now: Millis) -> bool {
        self.used.packets >= bounds.packets
            || self.used.bytes >= bounds.bytes
            || self.used.blocks >= bounds.blocks
            || self.age(now) >= bounds.age
    }

    /// A clock that steps back makes the SA look young for a moment, never old.
    fn age(&self, now: Millis) -> Millis {
        Millis(now.0.saturating_sub(self.born.0))
    }
}
