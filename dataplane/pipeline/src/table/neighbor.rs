//! `neighbor`: which station has an address on a link.

use super::exact::{ExactTable, Key};
use crate::schema::{Action, Match, Table};
use crate::units::PortIndex;
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "neighbor",
    keys: &[("port", Match::Exact, 32), ("address", Match::Exact, 32)],
    actions: &[Action {
        name: "resolve",
        params: &[("station", 48)],
    }],
    default_action: None,
    size: 8192,
};

/// An address on the link of a port. Two links may use the same addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OnLink {
    /// Which link.
    pub port: PortIndex,
    /// The address there.
    pub address: Ipv4Addr,
}

impl Key for OnLink {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.port.0) << 32 | u64::from(self.address.to_bits())
    }
}

/// Address on a link → station.
pub type NeighborTable = ExactTable<OnLink, MacAddr>;
