//! Who the other members are, and where, when a configuration file says it; with a manager, [`crate::orders`] do.
//!
//! What members say about themselves in key agreement prevails over it at run time ([`crate::members`]).

use crate::config::{Secret, Validated, Via};
use crate::keying::Whereabouts;
use std::net::Ipv4Addr;

/// What is known of another member before it has been heard.
#[derive(Clone)]
pub struct Record {
    /// Its full name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where it was last known to be.
    pub location: Whereabouts,
    /// The secret that this pair of members shares.
    pub psk: Secret,
}

/// Where records come from.
pub trait Directory {
    /// All members this one may talk to.
    fn records(&self) -> Vec<Record>;

    /// The member with this virtual address.
    fn find(&self, address: Ipv4Addr) -> Option<Record> {
        self.records()
            .into_iter()
            .find(|record| record.address == address)
    }
}

/// The members of a configuration file.
pub struct StaticDirectory(Vec<Record>);

impl StaticDirectory {
    /// Takes them from a configuration.
    #[must_use]
    pub fn new(config: &Validated) -> Self {
        let record = |peer: &crate::config::Peer| Record {
            name: peer.name.clone(),
            address: peer.address,
            location: match peer.via {
                Via::Direct { direct } => Whereabouts::Public(direct),
                Via::Director { director, pseudo } => Whereabouts::Director { director, pseudo },
            },
            psk: peer.psk.clone(),
        };
        Self(config.peers.iter().map(record).collect())
    }
}

impl Directory for StaticDirectory {
    fn records(&self) -> Vec<Record> {
        self.0.clone()
    }
}
