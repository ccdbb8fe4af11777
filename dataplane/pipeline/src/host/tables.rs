//! What a member knows about the others: one snapshot.

use crate::table::exact::ExactTable;
use kith_wire::shim::Shim;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Which member, in one [`HostTables`] and the security associations beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberIndex(pub u32);

/// How packets reach a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where its packets go: itself if it has a public address, else its director.
    pub endpoint: SocketAddrV4,
    /// The shim before its packets.
    pub shim: Shim,
    /// The largest outer IPv4 packet on the way there.
    pub path_mtu: u16,
}

/// One generation of a member's tables. With no members everything is dropped.
#[derive(Debug, Clone)]
pub struct HostTables {
    own: Ipv4Addr,
    members: Vec<Member>,
    by_address: ExactTable<Ipv4Addr, MemberIndex>,
}

impl HostTables {
    /// The tables of the member with virtual address `own`; the others keep their places as [`MemberIndex`].
    #[must_use]
    pub fn new(own: Ipv4Addr, members: Vec<Member>) -> Self {
        let by_address = ExactTable::new(
            (0u32..)
                .zip(&members)
                .map(|(i, member)| (member.address, MemberIndex(i))),
        );
        Self {
            own,
            members,
            by_address,
        }
    }

    /// This member's virtual address.
    #[inline]
    #[must_use]
    pub fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// All members, by index.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this virtual address.
    #[inline]
    #[must_use]
    pub fn find(&self, address: Ipv4Addr) -> Option<(MemberIndex, &Member)> {
        let index = *self.by_address.get(address)?;
        Some((index, self.members.get(index.0 as usize)?))
    }
}
