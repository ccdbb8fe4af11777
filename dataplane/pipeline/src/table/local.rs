//! `local_destination` and `local_source`: a LAN's addresses, and what they stand for in a community.
//!
//! A remote member is seen on a LAN under an address that is free there; a device of the LAN is a member under a virtual address.

use super::exact::{ExactTable, Key};
use super::neighbor::OnLink;
use crate::schema::{Action, Match, Table};
use crate::units::{CommunityIndex, PortIndex};
use kith_wire::shim::PseudoIp;
use std::net::Ipv4Addr;

/// What `local_destination` is in P4.
pub const DESTINATION_SCHEMA: Table = Table {
    name: "local_destination",
    keys: &[("port", Match::Exact, 32), ("address", Match::Exact, 32)],
    actions: &[Action {
        name: "to_virtual",
        params: &[("community", 16), ("address", 32)],
    }],
    default_action: None,
    size: 65536,
};

/// What `local_source` is in P4.
pub const SOURCE_SCHEMA: Table = Table {
    name: "local_source",
    keys: &[
        ("port", Match::Exact, 32),
        ("address", Match::Exact, 32),
        ("community", Match::Exact, 16),
    ],
    actions: &[Action {
        name: "from_member",
        params: &[("address", 32), ("director", 32), ("pseudo", 32)],
    }],
    default_action: None,
    size: 65536,
};

/// The member that an address on a LAN stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToVirtual {
    /// Its community.
    pub community: CommunityIndex,
    /// Its virtual address.
    pub address: Ipv4Addr,
}

/// The member that a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromMember {
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Its director, for the shim; 0.0.0.0: none.
    pub director: Ipv4Addr,
    /// Its pseudo address there.
    pub pseudo: Option<PseudoIp>,
}

/// An address on the link of a port, as far as one community is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InCommunity {
    /// Which link.
    pub port: PortIndex,
    /// Which community.
    pub community: CommunityIndex,
    /// The address: a LAN's for `local_source`, a virtual one for `virtual_source`.
    pub address: Ipv4Addr,
}

impl Key for InCommunity {
    #[inline]
    fn bits(self) -> u64 {
        let high = u64::from(self.community.get()) << 8 | u64::from(self.port.0);
        high << 32 | u64::from(self.address.to_bits())
    }
}

/// Address on a LAN → member it stands for.
pub type LocalDestinationTable = ExactTable<OnLink, ToVirtual>;
/// Device on a LAN → member it is.
pub type LocalSourceTable = ExactTable<InCommunity, FromMember>;
