//! What a member knows about the others, and what may pass between it and them: one snapshot.

use super::flow;
use crate::table::exact::ExactTable;
use crate::table::policy::{Decision, Flow, PolicyTable, Rule};
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{DataType, Shim};
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

/// One generation of a member's tables. With no members everything is dropped, and without a rule that allows it, too.
#[derive(Debug, Clone)]
pub struct HostTables {
    own: Ipv4Addr,
    /// A vacant place has the unspecified address, which is nobody's.
    members: Vec<Member>,
    by_address: ExactTable<Ipv4Addr, MemberIndex>,
    policy: PolicyTable,
    /// The policy lets everything pass: nothing needs to be looked up.
    open: bool,
    introductions: bool,
}

impl HostTables {
    /// The tables of the member with virtual address `own`, all of whose members are known and trusted with anything: one rule lets
    /// everything pass. The others keep their places as [`MemberIndex`].
    #[must_use]
    pub fn new(own: Ipv4Addr, members: Vec<Member>) -> Self {
        let places = members.into_iter().map(Some).collect();
        Self {
            introductions: false,
            ..Self::managed(own, places, allow_any())
        }
    }

    /// The tables of a member whose manager says who the others are and what may pass. Places may be vacant, and strangers may introduce
    /// themselves: their key agreement messages are handed up.
    #[must_use]
    pub fn managed(own: Ipv4Addr, places: Vec<Option<Member>>, policy: PolicyTable) -> Self {
        let taken = (0u32..)
            .zip(&places)
            .filter_map(|(i, place)| Some((place.as_ref()?.address, MemberIndex(i))));
        let by_address = ExactTable::new(taken);
        Self {
            own,
            members: places
                .into_iter()
                .map(|place| place.unwrap_or_else(vacant))
                .collect(),
            by_address,
            open: is_open(&policy),
            policy,
            introductions: true,
        }
    }

    /// This member's virtual address.
    #[inline]
    #[must_use]
    pub fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// May a packet with this header and payload pass? What no rule says anything about may not.
    #[inline]
    #[must_use]
    pub fn allows(&self, ip: &Ipv4, payload: &[u8]) -> bool {
        self.open || self.policy.decide(flow::of(ip, payload)) == Decision::Allow
    }

    /// May strangers introduce themselves?
    #[inline]
    #[must_use]
    pub fn takes_introductions(&self) -> bool {
        self.introductions
    }

    /// The member in this place, if it is taken.
    #[inline]
    #[must_use]
    pub fn member(&self, index: MemberIndex) -> Option<&Member> {
        self.members
            .get(index.0 as usize)
            .filter(|member| !member.address.is_unspecified())
    }

    /// All members, by index; vacant places have the unspecified address.
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

fn vacant() -> Member {
    Member {
        address: Ipv4Addr::UNSPECIFIED,
        endpoint: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        shim: Shim::new(DataType::Virtual),
        path_mtu: 0,
    }
}

/// Does a rule that asks for nothing allow, and none before it deny?
fn is_open(policy: &PolicyTable) -> bool {
    let mut allowing = policy
        .iter()
        .take_while(|(_, decision)| *decision == Decision::Allow);
    allowing.any(|(rule, _)| rule.mask() == Flow::default())
}

/// The policy of those who trust all their members with anything.
fn allow_any() -> PolicyTable {
    let mut policy = PolicyTable::default();
    let rule = Rule::new(0, Flow::default(), Flow::default());
    // The first rule of an empty table is neither there already nor one too many.
    let _entered = policy.insert(rule, Decision::Allow);
    policy
}
