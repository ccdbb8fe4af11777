//! A buffer of DPDK's as the pipeline's packet: each method is the buffer's own.

use crate::{Checksum, Mbuf};
use kith_pipeline::packet::Packet;

impl Packet for Mbuf {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        Mbuf::bytes(self)
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Mbuf::bytes_mut(self)
    }

    #[inline(always)]
    fn grow_front(&mut self, n: usize) -> bool {
        Mbuf::grow_front(self, n)
    }

    #[inline(always)]
    fn shrink_front(&mut self, n: usize) -> bool {
        Mbuf::shrink_front(self, n)
    }

    #[inline(always)]
    fn grow_back(&mut self, n: usize) -> bool {
        Mbuf::grow_back(self, n)
    }

    #[inline(always)]
    fn shrink_back(&mut self, n: usize) -> bool {
        Mbuf::shrink_back(self, n)
    }

    #[inline(always)]
    fn is_contiguous(&self) -> bool {
        Mbuf::is_contiguous(self)
    }

    #[inline(always)]
    fn checksums_verified(&self) -> bool {
        self.ip_checksum() == Checksum::Good && self.l4_checksum() == Checksum::Good
    }
}
