//! `virtual_destination` and `virtual_source`: the way back of [`super::local`].

use super::exact::{ExactTable, Key};
use super::local::InCommunity;
use super::neighbor::OnLink;
use crate::schema::{Action, Match, Table};
use crate::units::CommunityIndex;
use std::net::Ipv4Addr;

/// What `virtual_destination` is in P4.
pub const DESTINATION_SCHEMA: Table = Table {
    name: "virtual_destination",
    keys: &[("community", Match::Exact, 16), ("address", Match::Exact, 32)],
    actions: &[Action {
        name: "deliver",
        params: &[("port", 32), ("address", 32)],
    }],
    default_action: None,
    size: 65536,
};

/// What `virtual_source` is in P4.
pub const SOURCE_SCHEMA: Table = Table {
    name: "virtual_source",
    keys: &[
        ("port", Match::Exact, 32),
        ("community", Match::Exact, 16),
        ("address", Match::Exact, 32),
    ],
    actions: &[Action {
        name: "stand_in",
        params: &[("address", 32)],
    }],
    default_action: None,
    size: 65536,
};

/// A member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualAddress {
    /// Its community.
    pub community: CommunityIndex,
    /// Its virtual address there.
    pub address: Ipv4Addr,
}

impl Key for VirtualAddress {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.community.get()) << 32 | u64::from(self.address.to_bits())
    }
}

/// Member → the device that it is.
pub type VirtualDestinationTable = ExactTable<VirtualAddress, OnLink>;
/// Remote member, as seen on a LAN → the address that stands in for it there.
pub type VirtualSourceTable = ExactTable<InCommunity, Ipv4Addr>;
