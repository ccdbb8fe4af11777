//! A route director: as the operator describes it, and how it is.

use kith_protocol::records;

/// A route director.
pub struct Director {
    /// As the operator describes it.
    pub record: records::Director,
    /// As it was last heard.
    pub health: Health,
}

/// How a director is; in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Somebody has reported on it since this manager started.
    pub known: bool,
    /// It works.
    pub healthy: bool,
    /// Sessions that it has.
    pub sessions: u64,
    /// It takes UDP now.
    pub udp: bool,
    /// It takes TCP now.
    pub tcp: bool,
}

impl Director {
    /// One that nobody has reported on: it is believed to be as described until somebody does.
    #[must_use]
    pub fn new(record: records::Director) -> Self {
        let health = Health {
            known: false,
            healthy: true,
            sessions: 0,
            udp: true,
            tcp: true,
        };
        Self { record, health }
    }

    /// "healthy", "down", "unknown"
    #[must_use]
    pub fn health_word(&self) -> &'static str {
        match (self.health.known, self.health.healthy) {
            (false, _) => "unknown",
            (true, true) => "healthy",
            (true, false) => "down",
        }
    }
}
