//! `session`: pseudo address → where the member is reached now. Changes in place, by the rule of [`super::pool`].
//!
//! A member that only sends has an entry in [`super::sender`] and none here.

use super::TableError;
use super::pool::{Binding, Place, Pool, vacant};
use crate::schema::{Action, Match, Table};
use crate::sync::{AtomicU64, Ordering};
use kith_wire::shim::PseudoIp;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "session",
    keys: &[("destination_member", Match::Exact, 32)],
    actions: &[Action {
        name: "relay_to",
        params: &[("address", 32), ("port", 16), ("community", 16), ("mtu", 16)],
    }],
    default_action: None,
    size: 1 << 20,
};

/// Where a member is reached, and by how large a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayTo {
    /// Where, and in which community.
    pub binding: Binding,
    /// The largest outer IPv4 packet, in octets.
    pub mtu: u16,
}

/// A quarter of a cache line, so that none lies in two.
#[derive(Debug, Default)]
#[repr(align(16))]
struct Slot {
    binding: Place,
    path: AtomicU64,
}

/// Destination member → where it is reached.
#[derive(Debug)]
pub struct SessionTable {
    pool: Pool,
    slots: Box<[Slot]>,
}

impl SessionTable {
    /// An empty table for `size` pseudo addresses from `first` on. Every look-up misses.
    #[must_use]
    pub fn new(first: PseudoIp, size: usize) -> Self {
        Self {
            pool: Pool::new(first, size),
            slots: (0..size).map(|_| Slot::default()).collect(),
        }
    }

    /// The pseudo addresses there are.
    #[inline]
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// The entry at a place of the pool; `None` if there is none or no such place.
    #[inline]
    #[must_use]
    pub fn relay_to(&self, index: usize) -> Option<RelayTo> {
        let slot = self.slots.get(index)?;
        let binding = slot.binding.get()?;
        let mtu = (slot.path.load(Ordering::Relaxed) >> 48) as u16;
        Some(RelayTo { binding, mtu })
    }

    /// Brings an entry into the cache: [`SessionTable::relay_to`] will follow. What it gives is of no meaning, but must be
    /// used for the compiler to keep the access.
    #[inline]
    pub(crate) fn touch(&self, index: usize) -> u64 {
        self.slots.get(index).map_or(0, |slot| slot.binding.touch())
    }

    /// The entry of a pseudo address.
    #[must_use]
    pub fn get(&self, pseudo: PseudoIp) -> Option<RelayTo> {
        self.relay_to(self.pool.index(pseudo.to_bits()))
    }

    /// Enters a session. One writer only.
    pub fn insert(&self, pseudo: PseudoIp, to: RelayTo) -> Result<(), TableError> {
        let slot = self.slot(pseudo)?;
        vacant(slot.binding.get())?;
        slot.set(to);
        Ok(())
    }

    /// Changes a session, and gives what it was. One writer only.
    pub fn modify(&self, pseudo: PseudoIp, to: RelayTo) -> Result<RelayTo, TableError> {
        let slot = self.slot(pseudo)?;
        let old = self.get(pseudo).ok_or(TableError::Missing)?;
        slot.set(to);
        Ok(old)
    }

    /// Ends a session, and gives what it was. One writer only.
    pub fn remove(&self, pseudo: PseudoIp) -> Result<RelayTo, TableError> {
        let slot = self.slot(pseudo)?;
        let old = self.get(pseudo).ok_or(TableError::Missing)?;
        slot.binding.set(None);
        Ok(old)
    }

    /// All sessions, by walking the table.
    pub fn iter(&self) -> impl Iterator<Item = (PseudoIp, RelayTo)> {
        (0..self.pool.size()).filter_map(|index| Some((self.pool.pseudo(index)?, self.relay_to(index)?)))
    }

    fn slot(&self, pseudo: PseudoIp) -> Result<&Slot, TableError> {
        let slot = self.slots.get(self.pool.index(pseudo.to_bits()));
        slot.ok_or(TableError::OutOfRange)
    }
}

impl Slot {
    fn set(&self, to: RelayTo) {
        self.path.store(u64::from(to.mtu) << 48, Ordering::Relaxed);
        self.binding.set(Some(to.binding));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::units::CommunityIndex;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn pseudo(offset: u32) -> PseudoIp {
        PseudoIp::new(0xf000_0000 + offset).unwrap()
    }

    fn to(port: u16, mtu: u16) -> RelayTo {
        let at = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), port);
        let binding = Binding::new(at, CommunityIndex::new(7).unwrap());
        RelayTo { binding, mtu }
    }

    #[test]
    fn a_session_is_found_moved_and_ended_and_each_says_what_was_there() {
        let table = SessionTable::new(pseudo(0), 4);
        assert_eq!(table.get(pseudo(2)), None, "an empty table misses");
        assert_eq!(table.modify(pseudo(2), to(1, 1400)), Err(TableError::Missing));
        assert_eq!(table.remove(pseudo(2)), Err(TableError::Missing));
        assert_eq!(table.insert(pseudo(2), to(40_000, 1400)), Ok(()));
        assert_eq!(table.insert(pseudo(2), to(1, 1)), Err(TableError::Exists));
        assert_eq!(table.relay_to(2), Some(to(40_000, 1400)));
        assert_eq!(table.modify(pseudo(2), to(50_000, 1300)), Ok(to(40_000, 1400)));
        assert_eq!(table.iter().collect::<Vec<_>>(), [(pseudo(2), to(50_000, 1300))]);
        assert_eq!(table.remove(pseudo(2)), Ok(to(50_000, 1300)));
        assert_eq!(table.get(pseudo(2)), None);
    }

    #[test]
    fn addresses_outside_the_pool_are_refused_and_missed() {
        let table = SessionTable::new(pseudo(10), 4);
        for outside in [0, 9, 14, u32::MAX - 0xf000_0000] {
            assert_eq!(
                table.insert(pseudo(outside), to(1, 1)),
                Err(TableError::OutOfRange)
            );
            assert_eq!(table.get(pseudo(outside)), None);
        }
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p kith-pipeline --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::units::CommunityIndex;
    use loom::sync::Arc;
    use std::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn loom_a_reader_sees_a_binding_with_its_path_or_a_newer_one() {
        loom::model(|| {
            let first = PseudoIp::new(1).unwrap();
            let table = Arc::new(SessionTable::new(first, 1));
            let community = CommunityIndex::new(1).unwrap();
            let to = move |port| RelayTo {
                binding: Binding::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), community),
                mtu: port,
            };
            let writer = {
                let table = table.clone();
                loom::thread::spawn(move || {
                    table.insert(first, to(1)).unwrap();
                    table.modify(first, to(2)).unwrap();
                })
            };
            if let Some(seen) = table.relay_to(0) {
                let binding = seen.binding;
                assert!(
                    binding == to(1).binding || binding == to(2).binding,
                    "never half a binding"
                );
                assert!(seen.mtu >= binding.port(), "never a path older than its binding");
            }
            writer.join().unwrap();
        });
    }
}
