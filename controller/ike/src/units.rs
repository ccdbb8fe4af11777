//! The small types that both the association and its endpoint speak in.

use std::net::SocketAddr;

/// A moment by both clocks of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Monotonic, milliseconds; the clock of all timers.
    pub millis: u64,
    /// Wall clock, seconds since 1970; for certificates and tickets.
    pub unix_secs: u64,
}

impl Moment {
    /// The moment so many milliseconds later, by the monotonic clock.
    #[must_use]
    pub fn after(self, millis: u64) -> u64 {
        self.millis.saturating_add(millis)
    }
}

/// Where the two ends of an IKE SA are. Copied from datagrams, so it says nothing about who sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// One peer and everything agreed with it. It survives the rekeying of its IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationId(pub u64);

/// One pair of ESP SAs, inbound and outbound. Never used again within an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId(pub u64);

/// Who began an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We did.
    Initiator,
    /// The peer did.
    Responder,
}
