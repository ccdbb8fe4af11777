//! What there is to tell of the keys with a member, beside which they are.

use super::Method;
use kith_esp::{Bounds, Millis, Spi};
use kith_ike::Role;
use kith_ike::suite::{EspSuite, IkeSuite};

/// An IKE association and its pairs of ESP SAs.
#[derive(Debug, Clone, PartialEq)]
pub struct Tunnel {
    /// Who began it.
    pub role: Role,
    /// Since when both have proved who they are.
    pub up: Millis,
    /// How its IKE SA is protected.
    pub suite: IkeSuite,
    /// Since when, when its keys are replaced, and when they end at the latest.
    pub ike: [Millis; 3],
    /// The pairs, the oldest first.
    pub pairs: Vec<Pair>,
    /// At which use a pair is replaced, and at which it ends.
    pub limits: [Bounds; 2],
}

/// A pair of ESP SAs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What the member writes, and what we write.
    pub spis: (Spi, Spi),
    /// Who asked for it.
    pub role: Role,
    /// Algorithms.
    pub suite: EspSuite,
    /// Since when its packets are opened.
    pub since: Millis,
    /// Packets are sealed with it.
    pub sending: bool,
}

/// What of the keys is to be replaced at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// The pair of ESP SAs.
    Pair,
    /// The IKE SA under which pairs are made.
    Ike,
}

/// Why keys cannot be replaced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// There are none.
    #[error("there are no keys with this member: send it something first")]
    NoKeys,
    /// They come from the other method, which has only pairs.
    #[error("the keys with this member come from {0}, which has no IKE SA")]
    Method(Method),
}
