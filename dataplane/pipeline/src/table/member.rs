//! `member`: where the tunnel to a member ends, and under which security association packets go there.

use super::exact::Key;
use super::numbered::NumberedTable;
use crate::schema::{Action, Match, Table};
use crate::units::{CommunityIndex, SaIndex};
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "member",
    keys: &[
        ("community", Match::Exact, 16),
        ("source", Match::Exact, 32),
        ("destination", Match::Exact, 32),
    ],
    actions: &[
        Action {
            name: "seal_to",
            params: &[
                ("sa", 32),
                ("address", 32),
                ("port", 16),
                ("director", 32),
                ("pseudo", 32),
                ("mtu", 16),
            ],
        },
        Action {
            name: "await_keys",
            params: &[],
        },
    ],
    default_action: None,
    size: 65536,
};

/// Who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// In which community.
    pub community: CommunityIndex,
    /// Virtual address of the member that sends.
    pub source: Ipv4Addr,
    /// Virtual address of the member that receives.
    pub destination: Ipv4Addr,
}

impl Key for Pair {
    #[inline]
    fn bits(self) -> u64 {
        let bits = u64::from(self.source.to_bits()) << 32 | u64::from(self.destination.to_bits());
        // 80 bits do not fit; the community goes where addresses differ least.
        bits ^ u64::from(self.community.get()) << 48
    }
}

/// How packets of a pair travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// Sealed, to there.
    SealTo(SealTo),
    /// There are no keys yet: packets go up, for somebody to agree on some.
    AwaitKeys,
}

/// Where and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealTo {
    /// The outbound security association.
    pub sa: SaIndex,
    /// Where packets go: the member itself if it has a public address, else its director.
    pub address: SocketAddrV4,
    /// Its director, for the shim; 0.0.0.0: none.
    pub director: Ipv4Addr,
    /// Its pseudo address there.
    pub pseudo: Option<PseudoIp>,
    /// The largest outer IPv4 packet on the way there.
    pub mtu: u16,
}

/// Pair of members → tunnel.
pub type MemberTable = NumberedTable<Pair, Tunnel>;
