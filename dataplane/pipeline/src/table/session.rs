//! The relay's session table: pseudo address → where the member is now. Changes in place.
//!
//! Problem: a director holds up to a million sessions, and NATs rebind some of them all the time; a new snapshot for
//! each change would copy the table, a lock would stop the workers. Idea: pseudo addresses are handed out from a contiguous pool, so the
//! table is an array, and all that must be consistent about a session fits one 64-bit word:
//!
//! ```text
//!  binding   | address 32 | port 16 | community 16 |     0: no session
//!  path      | mtu 16     | flags 16 | 0 32        |
//!  meter     token bucket of the sender
//! ```
//!
//! The rule, checked by the loom test below: there is one writer. It stores `path` first, then `binding` with release;
//! a reader loads `binding` with acquire, then `path`. So a reader sees a binding whole or not at all, never with a
//! `path` older than it. A binding that is still being used by a worker when it is cleared sends at most that worker's
//! burst to the old address; the director does not hand the pseudo address out again before its quarantine ends.
//!
//! Cost: 32 octets a session; a look-up is one load, no hash, no compare.

use crate::meter::{Bucket, Rate};
use crate::sync::{AtomicU64, Ordering};
use crate::units::{CommunityIndex, Nanos};
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where a member is, and whose community it belongs to: one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding(core::num::NonZeroU64);

impl Binding {
    /// A binding to the address that a NAT, or the member itself, shows.
    #[must_use]
    pub fn new(address: SocketAddrV4, community: CommunityIndex) -> Self {
        let low = u64::from(address.port()) << 16 | u64::from(community.get());
        let word = u64::from(address.ip().to_bits()) << 32 | low;
        // A community is never 0, so the word is not.
        Self(core::num::NonZeroU64::new(word).unwrap_or(core::num::NonZeroU64::MIN))
    }

    /// Is the member at exactly this address (host order) and port?
    #[inline]
    #[must_use]
    pub fn is_at(self, address: u32, port: u16) -> bool {
        self.0.get() >> 16 == u64::from(address) << 16 | u64::from(port)
    }

    /// The address, host order.
    #[inline]
    #[must_use]
    pub fn address(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The port.
    #[inline]
    #[must_use]
    pub fn port(self) -> u16 {
        (self.0.get() >> 16) as u16
    }

    /// Do both belong to one community?
    #[inline]
    #[must_use]
    pub fn same_community(self, other: Self) -> bool {
        self.0.get() as u16 == other.0.get() as u16
    }

    /// Address and port.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(self.address()), self.port())
    }
}

/// What a packet to a member must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathLimits {
    /// The largest outer IPv4 packet, in octets.
    pub mtu: u16,
    /// The member only sends through this director and is not reached through it.
    pub sender_only: bool,
}

/// Half a cache line, so that none lies in two.
#[derive(Debug, Default)]
#[repr(align(32))]
struct Slot {
    binding: AtomicU64,
    path: AtomicU64,
    meter: Bucket,
}

/// The sessions of one director.
#[derive(Debug)]
pub struct SessionTable {
    first: u32,
    slots: Box<[Slot]>,
}

impl SessionTable {
    /// An empty table for `size` pseudo addresses from `first` on. Every look-up misses.
    #[must_use]
    pub fn new(first: PseudoIp, size: usize) -> Self {
        Self {
            first: first.to_bits(),
            slots: (0..size).map(|_| Slot::default()).collect(),
        }
    }

    /// How many pseudo addresses there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Where in the table a pseudo address (host order) would stand; may be beyond its end.
    #[inline]
    #[must_use]
    pub fn index(&self, pseudo: u32) -> usize {
        pseudo.wrapping_sub(self.first) as usize
    }

    /// The pseudo address at an index.
    #[must_use]
    pub fn pseudo(&self, index: usize) -> Option<PseudoIp> {
        let offset = u32::try_from(index).ok().filter(|_| index < self.slots.len())?;
        PseudoIp::new(self.first.checked_add(offset)?)
    }

    /// The session's binding; `None` if there is no session or no such address.
    #[inline]
    #[must_use]
    pub fn binding(&self, index: usize) -> Option<Binding> {
        let word = self.slots.get(index)?.binding.load(Ordering::Acquire);
        core::num::NonZeroU64::new(word).map(Binding)
    }

    /// Brings a session into the cache: [`SessionTable::binding`] will follow. What it gives is of no meaning, but must be
    /// used for the compiler to keep the access.
    #[inline]
    pub(crate) fn touch(&self, index: usize) -> u64 {
        let slot = self.slots.get(index);
        slot.map_or(0, |slot| slot.binding.load(Ordering::Relaxed))
    }

    /// What packets to the member must keep to.
    #[inline]
    #[must_use]
    pub fn path(&self, index: usize) -> PathLimits {
        let word = self
            .slots
            .get(index)
            .map_or(0, |slot| slot.path.load(Ordering::Relaxed));
        PathLimits {
            mtu: (word >> 48) as u16,
            sender_only: word & SENDER_ONLY != 0,
        }
    }

    /// May the member send a packet now?
    #[inline]
    #[must_use]
    pub fn admit(&self, index: usize, rate: Rate, now: Nanos) -> bool {
        self.slots
            .get(index)
            .is_some_and(|slot| slot.meter.admit(rate, now, 1))
    }

    /// Enters or moves a session. False if the address is none of this table's. One writer only.
    pub fn bind(&self, pseudo: PseudoIp, binding: Binding, path: PathLimits) -> bool {
        let Some(slot) = self.slots.get(self.index(pseudo.to_bits())) else {
            return false;
        };
        let flags = if path.sender_only { SENDER_ONLY } else { 0 };
        slot.path
            .store(u64::from(path.mtu) << 48 | flags, Ordering::Relaxed);
        slot.binding.store(binding.0.get(), Ordering::Release);
        true
    }

    /// Ends a session. False if the address is none of this table's. One writer only.
    pub fn unbind(&self, pseudo: PseudoIp) -> bool {
        let Some(slot) = self.slots.get(self.index(pseudo.to_bits())) else {
            return false;
        };
        slot.binding.store(0, Ordering::Release);
        true
    }

    /// All sessions, by walking the table.
    pub fn iter(&self) -> impl Iterator<Item = (PseudoIp, Binding, PathLimits)> {
        (0..self.slots.len())
            .filter_map(|index| Some((self.pseudo(index)?, self.binding(index)?, self.path(index))))
    }
}

const SENDER_ONLY: u64 = 1 << 32;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn pseudo(offset: u32) -> PseudoIp {
        PseudoIp::new(0xf000_0000 + offset).unwrap()
    }

    fn binding(port: u16) -> Binding {
        Binding::new(
            SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), port),
            CommunityIndex::new(7).unwrap(),
        )
    }

    const PATH: PathLimits = PathLimits {
        mtu: 1400,
        sender_only: false,
    };

    #[test]
    fn a_session_is_found_moved_and_ended() {
        let table = SessionTable::new(pseudo(0), 4);
        assert_eq!(
            table.binding(table.index(pseudo(2).to_bits())),
            None,
            "an empty table misses"
        );
        assert!(table.bind(pseudo(2), binding(40_000), PATH));
        let found = table.binding(2).unwrap();
        assert!(found.is_at(0xcb00_7115, 40_000) && !found.is_at(0xcb00_7115, 40_001));
        assert_eq!(table.path(2), PATH);
        assert!(table.bind(pseudo(2), binding(50_000), PATH));
        assert_eq!(table.binding(2).unwrap().socket_addr().port(), 50_000);
        assert_eq!(table.iter().count(), 1);
        assert!(table.unbind(pseudo(2)));
        assert_eq!(table.binding(2), None);
    }

    #[test]
    fn addresses_outside_the_pool_are_refused_and_missed() {
        let table = SessionTable::new(pseudo(10), 4);
        for outside in [0, 9, 14, u32::MAX - 0xf000_0000] {
            assert!(!table.bind(pseudo(outside), binding(1), PATH));
            assert_eq!(table.binding(table.index(pseudo(outside).to_bits())), None);
        }
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p kith-pipeline --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn loom_a_reader_sees_a_binding_with_its_path_or_a_newer_one() {
        loom::model(|| {
            let first = PseudoIp::new(1).unwrap();
            let table = Arc::new(SessionTable::new(first, 1));
            let community = CommunityIndex::new(1).unwrap();
            let at = move |port| Binding::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), community);
            let writer = {
                let table = table.clone();
                loom::thread::spawn(move || {
                    table.bind(
                        first,
                        at(1),
                        PathLimits {
                            mtu: 1,
                            sender_only: false,
                        },
                    );
                    table.bind(
                        first,
                        at(2),
                        PathLimits {
                            mtu: 2,
                            sender_only: false,
                        },
                    );
                })
            };
            if let Some(seen) = table.binding(0) {
                let mtu = table.path(0).mtu;
                assert!(seen == at(1) || seen == at(2), "never half a binding");
                assert!(mtu >= seen.port(), "never a path older than its binding");
            }
            writer.join().unwrap();
        });
    }
}
