//! A route director: as the operator describes it, and how it is.

use crate::core::ids::Time;
use kith_protocol::records;
use std::net::SocketAddrV4;

/// A route director.
pub struct Director {
    /// As the operator describes it.
    pub record: records::Director,
    /// As it was last heard.
    pub health: Health,
    /// Where its process is.
    pub place: Place,
    /// Sessions that it says it has room for; 0 while it has not said.
    pub room: u64,
    /// It is believed to be down then, unless somebody attends for it before.
    pub(in crate::core) lost_at: Option<Time>,
}

/// Where a director's process is; in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody has attended for it since this manager started.
    Never,
    /// In the manager's own process.
    InProcess,
    /// Elsewhere, connected.
    Attended {
        /// Where it connects from.
        from: SocketAddrV4,
        /// Since when.
        since: Time,
    },
    /// Elsewhere, and not connected any more.
    Lost {
        /// Where it connected from.
        from: SocketAddrV4,
        /// Since when.
        since: Time,
    },
}

impl Place {
    /// "never", "in-process", "attended", "lost"
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::InProcess => "in-process",
            Self::Attended { .. } => "attended",
            Self::Lost { .. } => "lost",
        }
    }
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
        Self {
            record,
            health,
            place: Place::Never,
            room: 0,
            lost_at: None,
        }
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
