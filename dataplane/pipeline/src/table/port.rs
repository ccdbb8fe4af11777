//! `ingress_port` and `egress_port`: the ports of this node, by number.

use super::TableError;
use crate::schema::{Action, Match, Table};
use crate::units::PortIndex;
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;

/// What `ingress_port` is in P4.
pub const INGRESS_SCHEMA: Table = Table {
    name: "ingress_port",
    keys: &[("port", Match::Exact, 32)],
    actions: &[Action {
        name: "accept_by",
        params: &[("station", 48), ("address", 32)],
    }],
    default_action: None,
    size: MOST,
};

/// What `egress_port` is in P4. The action's port is the key's.
pub const EGRESS_SCHEMA: Table = Table {
    name: "egress_port",
    keys: &[("port", Match::Exact, 32)],
    actions: &[Action {
        name: "leave_by",
        params: &[("port", 32), ("station", 48)],
    }],
    default_action: None,
    size: MOST,
};

/// As many as a [`PortIndex`] can name.
const MOST: usize = 1 << u8::BITS;

/// What is taken from a port: frames for this station, and IPv4 packets for this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptBy {
    /// The port's own station.
    pub station: MacAddr,
    /// The port's own address.
    pub address: Ipv4Addr,
}

/// What frames carry that leave by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaveBy {
    /// The port's own station.
    pub station: MacAddr,
}

/// From port to `V`: an array.
#[derive(Debug, Clone)]
pub struct PortTable<V> {
    slots: Vec<Option<V>>,
}

impl<V: Copy> PortTable<V> {
    /// An empty table: frames of no port are taken, or leave by none.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The entry of a port.
    #[inline]
    #[must_use]
    pub fn get(&self, port: PortIndex) -> Option<&V> {
        self.slots.get(usize::from(port.0))?.as_ref()
    }

    /// Enters a port that is not there yet.
    pub fn insert(&mut self, port: PortIndex, value: V) -> Result<(), TableError> {
        let at = usize::from(port.0);
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        match &mut self.slots[at] {
            Some(_) => Err(TableError::Exists),
            empty => {
                *empty = Some(value);
                Ok(())
            }
        }
    }

    /// Changes the entry of a port that is there, and gives what it was.
    pub fn modify(&mut self, port: PortIndex, value: V) -> Result<V, TableError> {
        let slot = self.slots.get_mut(usize::from(port.0));
        let there = slot.and_then(Option::as_mut).ok_or(TableError::Missing)?;
        Ok(std::mem::replace(there, value))
    }

    /// Takes a port out, and gives what it was.
    pub fn remove(&mut self, port: PortIndex) -> Result<V, TableError> {
        let slot = self.slots.get_mut(usize::from(port.0));
        slot.and_then(Option::take).ok_or(TableError::Missing)
    }

    /// All entries, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (PortIndex, &V)> {
        let numbered = (0..=u8::MAX).zip(&self.slots);
        numbered.filter_map(|(index, slot)| Some((PortIndex(index), slot.as_ref()?)))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V: Copy> Default for PortTable<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_entered_changed_and_taken_out() {
        let mut table = PortTable::new();
        let (first, last) = (PortIndex(0), PortIndex(255));
        assert_eq!(table.modify(last, 'a'), Err(TableError::Missing));
        assert_eq!(table.insert(last, 'a'), Ok(()));
        assert_eq!(table.insert(last, 'b'), Err(TableError::Exists));
        assert_eq!((table.get(first), table.get(last)), (None, Some(&'a')));
        assert_eq!(table.modify(last, 'b'), Ok('a'));
        assert_eq!(table.iter().collect::<Vec<_>>(), [(last, &'b')]);
        assert_eq!(table.remove(last), Ok('b'));
        assert_eq!(table.remove(first), Err(TableError::Missing));
        assert!(table.is_empty());
    }
}
