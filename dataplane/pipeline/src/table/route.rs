//! `route`: where a packet goes next. The longest prefix wins.
//!
//! A node has few links, so the table is a slice with the longest prefixes first, and the first match is the answer: one comparison a
//! route, no pointer to follow.

use super::TableError;
use crate::schema::{Action, Match, Table};
use crate::units::PortIndex;
use std::net::Ipv4Addr;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "route",
    keys: &[("destination", Match::Lpm, 32)],
    actions: &[
        Action {
            name: "on_link",
            params: &[("port", 32)],
        },
        Action {
            name: "via",
            params: &[("port", 32), ("gateway", 32)],
        },
    ],
    default_action: None,
    size: 1024,
};

/// The destinations whose first `len` bits are those of `address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: u32,
    len: u8,
}

impl Prefix {
    /// The prefix of `len` bits (at most 32) of an address; bits behind it are of no meaning and become 0.
    pub fn new(address: Ipv4Addr, len: u8) -> Result<Self, TableError> {
        if len > 32 {
            return Err(TableError::OutOfRange);
        }
        let address = address.to_bits() & mask(len);
        Ok(Self { address, len })
    }

    /// Every destination.
    pub const ALL: Self = Self { address: 0, len: 0 };

    /// Its first address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address)
    }

    /// How many bits it has.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.len
    }
}

/// How a destination is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// It is on the link of this port.
    OnLink {
        /// Which.
        port: PortIndex,
    },
    /// Through a gateway on the link of this port.
    Via {
        /// Which.
        port: PortIndex,
        /// The gateway's address.
        gateway: Ipv4Addr,
    },
}

/// Where a packet goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Out of this port.
    pub port: PortIndex,
    /// To the station that has this address.
    pub hop: Ipv4Addr,
}

#[derive(Debug, Clone, Copy)]
struct Route {
    address: u32,
    mask: u32,
    hop: Hop,
}

/// Prefix → hop.
#[derive(Debug, Clone, Default)]
pub struct RouteTable(Vec<Route>);

impl RouteTable {
    /// Where a packet to this destination goes next.
    #[inline(always)]
    #[must_use]
    pub fn next(&self, destination: Ipv4Addr) -> Option<Next> {
        let bits = destination.to_bits();
        let route = self.0.iter().find(|route| bits & route.mask == route.address)?;
        Some(match route.hop {
            Hop::OnLink { port } => Next {
                port,
                hop: destination,
            },
            Hop::Via { port, gateway } => Next { port, hop: gateway },
        })
    }

    /// Enters a prefix that is not there yet.
    pub fn insert(&mut self, prefix: Prefix, hop: Hop) -> Result<(), TableError> {
        let at = match self.find(prefix) {
            Ok(_) => return Err(TableError::Exists),
            Err(at) => at,
        };
        if self.0.len() >= SCHEMA.size {
            return Err(TableError::Full(SCHEMA.size));
        }
        let route = Route {
            address: prefix.address,
            mask: mask(prefix.len),
            hop,
        };
        self.0.insert(at, route);
        Ok(())
    }

    /// Changes the entry of a prefix that is there, and gives what it was.
    pub fn modify(&mut self, prefix: Prefix, hop: Hop) -> Result<Hop, TableError> {
        let at = self.find(prefix).map_err(|_| TableError::Missing)?;
        Ok(std::mem::replace(&mut self.0[at].hop, hop))
    }

    /// Takes a prefix out, and gives what it was.
    pub fn remove(&mut self, prefix: Prefix) -> Result<Hop, TableError> {
        let at = self.find(prefix).map_err(|_| TableError::Missing)?;
        Ok(self.0.remove(at).hop)
    }

    /// The entry of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: Prefix) -> Option<Hop> {
        self.find(prefix).ok().map(|at| self.0[at].hop)
    }

    /// All entries, the longest prefixes first.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, Hop)> {
        self.0.iter().map(|route| {
            let prefix = Prefix {
                address: route.address,
                len: route.mask.leading_ones() as u8,
            };
            (prefix, route.hop)
        })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none? Then nothing leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the prefix stands, or would. A longer prefix has the larger mask, and comes first.
    fn find(&self, prefix: Prefix) -> Result<usize, usize> {
        let wanted = (std::cmp::Reverse(mask(prefix.len)), prefix.address);
        self.0
            .binary_search_by_key(&wanted, |route| (std::cmp::Reverse(route.mask), route.address))
    }
}

/// `len` ones, then zeros. In 64 bits, so that all 32 can be shifted out.
fn mask(len: u8) -> u32 {
    (u64::from(u32::MAX) << (32 - len.min(32))) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(address: [u8; 4], len: u8) -> Prefix {
        Prefix::new(address.into(), len).unwrap()
    }

    fn port(index: u8) -> Hop {
        let port = PortIndex(index);
        Hop::OnLink { port }
    }

    #[test]
    fn the_longest_prefix_wins_whatever_came_first() {
        let gateway = Ipv4Addr::new(203, 0, 113, 1);
        let default = Hop::Via {
            port: PortIndex(0),
            gateway,
        };
        let mut table = RouteTable::default();
        table.insert(Prefix::ALL, default).unwrap();
        table.insert(prefix([10, 0, 0, 0], 8), port(1)).unwrap();
        table.insert(prefix([10, 1, 0, 0], 16), port(2)).unwrap();
        table.insert(prefix([10, 1, 2, 3], 32), port(3)).unwrap();
        let leaves = |address: [u8; 4]| table.next(address.into()).map(|next| (next.port.0, next.hop));
        assert_eq!(leaves([10, 1, 2, 3]), Some((3, [10, 1, 2, 3].into())));
        assert_eq!(leaves([10, 1, 2, 4]), Some((2, [10, 1, 2, 4].into())));
        assert_eq!(leaves([10, 2, 2, 4]), Some((1, [10, 2, 2, 4].into())));
        assert_eq!(leaves([9, 9, 9, 9]), Some((0, gateway)));
    }

    #[test]
    fn a_route_is_entered_changed_and_taken_out() {
        let mut table = RouteTable::default();
        let ten = prefix([10, 9, 9, 9], 8);
        assert_eq!(table.next([10, 0, 0, 1].into()), None, "empty: nothing leaves");
        assert_eq!(table.insert(ten, port(1)), Ok(()));
        assert_eq!(
            table.insert(prefix([10, 0, 0, 0], 8), port(2)),
            Err(TableError::Exists)
        );
        assert_eq!(table.modify(ten, port(2)), Ok(port(1)));
        assert_eq!(
            table.modify(prefix([10, 0, 0, 0], 9), port(2)),
            Err(TableError::Missing)
        );
        assert_eq!(table.iter().collect::<Vec<_>>(), [(ten, port(2))]);
        assert_eq!(table.remove(ten), Ok(port(2)));
        assert_eq!(table.remove(ten), Err(TableError::Missing));
        assert_eq!(
            Prefix::new(Ipv4Addr::UNSPECIFIED, 33),
            Err(TableError::OutOfRange)
        );
    }

    #[test]
    fn a_full_table_says_so() {
        let mut table = RouteTable::default();
        for number in 0..1024u32 {
            let host = Prefix::new(Ipv4Addr::from_bits(number), 32).unwrap();
            table.insert(host, port(0)).unwrap();
        }
        assert_eq!(table.insert(Prefix::ALL, port(0)), Err(TableError::Full(1024)));
    }

    proptest! {
        #[test]
        fn a_match_has_all_bits_of_its_prefix(routes in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..30), wanted: u32) {
            let mut table = RouteTable::default();
            for (number, (address, len)) in (0u8..).zip(&routes) {
                let _there_already = table.insert(Prefix::new((*address).into(), *len).unwrap(), port(number));
            }
            let covers = |(address, len): &(u32, u8)| u64::from(address ^ wanted) >> (32 - len) == 0;
            let longest = routes.iter().filter(|route| covers(route)).map(|(_, len)| *len).max();
            let found = table.next(wanted.into()).map(|next| routes[usize::from(next.port.0)]);
            prop_assert_eq!(found.map(|(_, len)| len), longest);
            prop_assert!(found.is_none_or(|route| covers(&route)));
        }
    }
}
