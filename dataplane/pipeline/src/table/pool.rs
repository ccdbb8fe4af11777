//! Pseudo addresses as places in an array, and where a member is as one word: what [`super::sender`] and [`super::session`] share.
//!
//! Problem: a director holds up to a million sessions, and NATs rebind some of them all the time; a new snapshot for
//! each change would copy the table, a lock would stop the workers. Idea: pseudo addresses are handed out from a contiguous pool, so
//! both tables are arrays, and what must be consistent about an entry fits one 64-bit word:
//!
//! ```text
//!  sender    binding | address 32 | port 16 | community 16 |    0: no entry
//!            limit   | rate, inverted 64 | token bucket 64 |    in an array of its own: most senders have none
//!  session   binding | address 32 | port 16 | community 16 |    0: no entry
//!            path    | mtu 16     | 0 48                   |
//! ```
//!
//! The rule, checked by loom tests: there is one writer. It stores the second word first, then `binding` with release; a reader loads
//! `binding` with acquire, then the second word. So a reader sees a binding whole or not at all, never with a second word older than it.
//! A binding that is still being used by a worker when it is cleared sends at most that worker's burst to the old address; the
//! director does not hand the pseudo address out again before its quarantine ends.
//!
//! Cost: 24 octets a sender, 16 a session; a look-up is one load, no hash, no compare.

use super::TableError;
use crate::sync::{AtomicU64, Ordering};
use crate::units::CommunityIndex;
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A contiguous range of pseudo addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    first: u32,
    size: usize,
}

impl Pool {
    /// The range of `size` addresses from `first` on.
    #[must_use]
    pub fn new(first: PseudoIp, size: usize) -> Self {
        Self {
            first: first.to_bits(),
            size,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn size(self) -> usize {
        self.size
    }

    /// Where an address (host order) stands; beyond the end if it is not of the range.
    #[inline]
    #[must_use]
    pub fn index(self, pseudo: u32) -> usize {
        pseudo.wrapping_sub(self.first) as usize
    }

    /// The address at a place.
    #[must_use]
    pub fn pseudo(self, index: usize) -> Option<PseudoIp> {
        let offset = u32::try_from(index).ok().filter(|_| index < self.size)?;
        PseudoIp::new(self.first.checked_add(offset)?)
    }
}

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

    /// The community.
    #[must_use]
    pub fn community(self) -> CommunityIndex {
        CommunityIndex::new(self.0.get() as u16)
            .unwrap_or_else(|| unreachable!("made from one that is not 0"))
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

/// A place for a binding.
#[derive(Debug, Default)]
pub(super) struct Place(AtomicU64);

impl Place {
    #[inline]
    pub(super) fn get(&self) -> Option<Binding> {
        core::num::NonZeroU64::new(self.0.load(Ordering::Acquire)).map(Binding)
    }

    /// Brings it into the cache; what it gives is of no meaning.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, binding: Option<Binding>) {
        let word = binding.map_or(0, |binding| binding.0.get());
        self.0.store(word, Ordering::Release);
    }
}

/// There must be none.
pub(super) fn vacant<T>(there: Option<T>) -> Result<(), TableError> {
    there.map_or(Ok(()), |_| Err(TableError::Exists))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pool_counts_from_its_first_address_and_ends() {
        let pool = Pool::new(PseudoIp::new(0xf000_000a).unwrap(), 4);
        assert_eq!(pool.index(0xf000_000c), 2);
        assert_eq!(pool.pseudo(2).map(PseudoIp::to_bits), Some(0xf000_000c));
        assert_eq!(pool.pseudo(4), None);
        for outside in [0u32, 0xf000_0009, 0xf000_000e, u32::MAX] {
            assert!(pool.index(outside) >= pool.size());
        }
        let last = Pool::new(PseudoIp::new(u32::MAX).unwrap(), 2);
        assert_eq!(last.pseudo(1), None, "addresses end at the last one");
    }

    #[test]
    fn a_binding_gives_back_what_went_in() {
        let at = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
        let binding = Binding::new(at, CommunityIndex::new(7).unwrap());
        assert!(binding.is_at(0xcb00_7115, 40_000) && !binding.is_at(0xcb00_7115, 40_001));
        assert_eq!((binding.socket_addr(), binding.community().get()), (at, 7));
    }
}
