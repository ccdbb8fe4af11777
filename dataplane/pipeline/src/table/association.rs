//! `association`: whose packets an SPI names, and what opens them.
//!
//! A security association belongs to one pair of members: it says who sent the packet, and to whom.

use super::numbered::NumberedTable;
use crate::schema::{Action, Match, Table};
use crate::units::{CommunityIndex, SaIndex};
use std::net::Ipv4Addr;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "association",
    keys: &[("spi", Match::Exact, 32)],
    actions: &[Action {
        name: "open_with",
        params: &[
            ("sa", 32),
            ("community", 16),
            ("source", 32),
            ("destination", 32),
            ("mtu", 16),
        ],
    }],
    default_action: None,
    size: 65536,
};

/// What an SPI stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWith {
    /// The inbound security association.
    pub sa: SaIndex,
    /// The community of both members.
    pub community: CommunityIndex,
    /// Virtual address of the member that sends.
    pub source: Ipv4Addr,
    /// Virtual address of the member that receives.
    pub destination: Ipv4Addr,
    /// The largest outer IPv4 packet on the way back, for the segment size of TCP.
    pub mtu: u16,
}

/// SPI → security association.
pub type AssociationTable = NumberedTable<u32, OpenWith>;
