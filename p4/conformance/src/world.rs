//! What both sides are given before packets come.

use crate::entry::Entry;
use kith_pipeline::reason::PuntReason;

/// Entries, limits, keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Entries of all tables, the default action of `endpoint` among them.
    pub entries: Vec<Entry>,
    /// Limits of senders, by pseudo address. Without one, everything passes.
    pub senders: Vec<(u32, Limit)>,
    /// Limits of what goes up. Without one, everything passes.
    pub punts: Vec<(PuntReason, Limit)>,
    /// Security associations.
    pub associations: Vec<Association>,
}

/// How many packets may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At once.
    pub burst: u32,
    /// A second. Cases leave it at 1: that time passes while they run must not decide them.
    pub per_second: u32,
}

/// Keys and counters of one direction, by the number that `seal_to` and `open_with` name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// Which way.
    pub direction: Direction,
    /// The number.
    pub sa: u32,
    /// What stands in its packets.
    pub spi: u32,
    /// Every octet of key and salt: these keys keep no secrets.
    pub key: u8,
    /// After how many packets it is over; `None`: as late as it may.
    pub packets: Option<u64>,
}

/// Seals or opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Out.
    Seal,
    /// In.
    Open,
}

/// A frame that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// By this port.
    pub port: u8,
    /// All of it.
    pub frame: Vec<u8>,
}

/// What becomes of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It leaves.
    Sent {
        /// By this port.
        port: u32,
        /// As this.
        frame: Vec<u8>,
    },
    /// It goes up.
    Up {
        /// Why.
        reason: String,
        /// By which port it is said to have come.
        ingress: u32,
        /// As this.
        frame: Vec<u8>,
    },
    /// It is dropped.
    Dropped {
        /// Why.
        reason: String,
    },
    /// It is authentic and says nothing (RFC 4303 section 2.6): neither sent nor counted as dropped.
    Consumed,
}

/// All counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Drops, by number.
    pub drops: Vec<u64>,
    /// Punts, by number.
    pub punts: Vec<u64>,
    /// Packets and octets of each entry of `session`, `association`, `member` in the order of [`World::entries`].
    pub direct: Vec<(String, u64, u64)>,
}

/// One of the two that are compared.
pub trait Side {
    /// What becomes of a frame.
    fn process(&mut self, input: &Input) -> Outcome;
    /// What was counted.
    fn counted(&mut self) -> Counted;
}
