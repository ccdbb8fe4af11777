//! One member, and the place it is in.

use crate::datapath::shared::Receipt;
use crate::keying::Whereabouts;
use kith_esp::Millis;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// A place, and who is in it.
pub(super) enum Place {
    Vacant,
    Taken(Box<One>),
    Wiping(Receipt),
}

/// A member.
pub struct One {
    /// Its full name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// What it is to us.
    pub standing: Standing,
    pub(super) location: Whereabouts,
    pub(super) path_mtu: u16,
    pub(super) lowered: Option<Millis>,
}

/// What a member is to us.
pub enum Standing {
    /// Written in the configuration.
    Configured,
    /// The manager inside the tunnel: its keys come with orders.
    Manager,
    /// Known from the manager, or by a ticket.
    Granted(Grant),
}

/// By what right a member is known.
pub struct Grant {
    /// Of the secret in use: the higher one counts.
    pub sequence: u64,
    /// When secret and ticket lose their worth, by the manager's clock.
    pub expires_ms: u64,
    /// For its eyes; empty if we have none.
    pub ticket: Vec<u8>,
    /// When it was last reported that it expires soon.
    pub told: Option<Millis>,
    /// Since when it is known.
    pub since: Millis,
}

impl One {
    /// Where it is.
    #[must_use]
    pub fn location(&self) -> Whereabouts {
        self.location
    }

    /// The largest outer packet on the way there.
    #[must_use]
    pub fn path_mtu(&self) -> u16 {
        self.path_mtu
    }

    /// Where its packets go.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddrV4 {
        endpoint(self.location)
    }

    /// By what right it is known, if that ends some day.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match &self.standing {
            Standing::Granted(grant) => Some(grant),
            Standing::Configured | Standing::Manager => None,
        }
    }

    /// The same, to change it.
    pub fn grant_mut(&mut self) -> Option<&mut Grant> {
        match &mut self.standing {
            Standing::Granted(grant) => Some(grant),
            Standing::Configured | Standing::Manager => None,
        }
    }

    /// Is it the manager?
    #[must_use]
    pub fn is_manager(&self) -> bool {
        matches!(self.standing, Standing::Manager)
    }
}

impl Place {
    pub(super) fn one(&self) -> Option<&One> {
        match self {
            Self::Taken(one) => Some(one),
            Self::Vacant | Self::Wiping(_) => None,
        }
    }

    /// Is nobody here, and nothing left of anybody?
    pub(super) fn is_vacant(&mut self) -> bool {
        match self {
            Self::Vacant => true,
            Self::Taken(_) => false,
            // Synchronises with the threads that dropped theirs.
            Self::Wiping(receipt) => Arc::get_mut(receipt).is_some(),
        }
    }
}

/// Where packets go.
pub(super) fn endpoint(location: Whereabouts) -> SocketAddrV4 {
    match location {
        Whereabouts::Public(at) => at,
        Whereabouts::Director { director, .. } => director,
    }
}
