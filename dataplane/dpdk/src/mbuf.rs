//! One packet buffer, owned.
//!
//! ```text
//!  buf_addr          data_off            data_off + data_len       buf_len
//!     │◄── headroom ────►│◄───── bytes ────────►│◄──── tailroom ─────►│
//! ```
//!
//! Headers are added and removed by moving `data_off`: no byte is copied. All of it is a few instructions, inlined.

use core::ptr::NonNull;
use core::slice;
use dpdk_sys::dpdk_sys_mbuf as Raw;

/// A packet buffer. Dropping it gives it back to its pool; there is no way to have two handles on one buffer.
///
/// One pointer wide and never null, so `[Mbuf]` is DPDK's array of buffer pointers.
#[repr(transparent)]
pub struct Mbuf(NonNull<Raw>);

const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut dpdk_sys::rte_mbuf>());
const _: () = assert!(size_of::<Raw>() == size_of::<dpdk_sys::rte_mbuf>());

// SAFETY: the handle is the buffer's only one, and pools take buffers back from any thread: a thread without an lcore id goes
// through the pool's multi-producer ring instead of a cache.
unsafe impl Send for Mbuf {}
// SAFETY: through a shared reference a buffer can only be read.
unsafe impl Sync for Mbuf {}

/// What the port found out about a received checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Not looked at: software must.
    Unknown,
    /// Right.
    Good,
    /// Wrong: drop the packet.
    Bad,
    /// The field in the packet is not filled in, but the packet is intact (it never crossed a wire). Software must
    /// neither verify it nor update it incrementally, but compute it.
    Unfilled,
}

/// Checksums that the port shall compute on transmission, and where the headers are.
///
/// For `udp_checksum` the field must hold the pseudo header's sum beforehand; [`TxQueue::prepare`](crate::TxQueue::prepare) sees
/// to what the driver wants beyond that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxOffload {
    /// Length of the link header: 14 for plain Ethernet. At most 127.
    pub l2_len: u8,
    /// Length of the IPv4 header. At most 511.
    pub l3_len: u16,
    /// Compute the IPv4 header checksum.
    pub ipv4_checksum: bool,
    /// Compute the UDP checksum.
    pub udp_checksum: bool,
}

impl Mbuf {
    /// The packet.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: data_off + data_len <= buf_len holds for every buffer that a pool or driver hands out, and all methods here keep
        // it. The memory belongs to this buffer alone and lives until it is freed, which needs ownership of self.
        unsafe {
            slice::from_raw_parts(
                raw.buf_addr.cast::<u8>().add(raw.data_off.into()),
                raw.data_len.into(),
            )
        }
    }

    /// The packet, to be changed.
    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let raw = self.raw();
        // SAFETY: as in bytes(); self is borrowed exclusively, and nobody else has a handle.
        unsafe {
            slice::from_raw_parts_mut(
                raw.buf_addr.cast::<u8>().add(raw.data_off.into()),
                raw.data_len.into(),
            )
        }
    }

    /// Octets that [`grow_front`](Self::grow_front) can still add.
    #[inline(always)]
    pub fn headroom(&self) -> usize {
        self.raw().data_off.into()
    }

    /// Octets that [`grow_back`](Self::grow_back) can still add. Zero for a chained packet, whose end is elsewhere.
    #[inline(always)]
    pub fn tailroom(&self) -> usize {
        let raw = self.raw();
        if raw.nb_segs != 1 {
            return 0;
        }
        usize::from(raw.buf_len).saturating_sub(usize::from(raw.data_off) + usize::from(raw.data_len))
    }

    /// Adds `n` octets before the packet. False, and nothing changed, if there is not enough headroom. The new octets
    /// hold whatever was there: write them all.
    #[inline(always)]
    #[must_use]
    pub fn grow_front(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        if n > usize::from(raw.data_off) {
            return false;
        }
        // No wrap: n <= data_off, and data_off + data_len <= buf_len, a u16.
        raw.data_off = raw.data_off.wrapping_sub(n as u16);
        raw.data_len = raw.data_len.wrapping_add(n as u16);
        raw.pkt_len = raw.pkt_len.wrapping_add(n as u32);
        true
    }

    /// Removes the first `n` octets. False, and nothing changed, if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn shrink_front(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        if n > usize::from(raw.data_len) {
            return false;
        }
        // No wrap: n <= data_len <= pkt_len, and data_off + data_len <= buf_len, a u16.
        raw.data_off = raw.data_off.wrapping_add(n as u16);
        raw.data_len = raw.data_len.wrapping_sub(n as u16);
        raw.pkt_len = raw.pkt_len.wrapping_sub(n as u32);
        true
    }

    /// Adds `n` octets after the packet. False, and nothing changed, if there is not enough tailroom. The new octets hold
    /// whatever was there: write them all.
    #[inline(always)]
    #[must_use]
    pub fn grow_back(&mut self, n: usize) -> bool {
        if n > self.tailroom() {
            return false;
        }
        let raw = self.raw_mut();
        // No wrap: data_off + data_len + n <= buf_len, a u16.
        raw.data_len = raw.data_len.wrapping_add(n as u16);
        raw.pkt_len = raw.pkt_len.wrapping_add(n as u32);
        true
    }

    /// Removes the last `n` octets. False, and nothing changed, if there are fewer, or if the packet is chained.
    #[inline(always)]
    #[must_use]
    pub fn shrink_back(&mut self, n: usize) -> bool {
        let raw = self.raw_mut();
        if n > usize::from(raw.data_len) || raw.nb_segs != 1 {
            return false;
        }
        // No wrap: n <= data_len <= pkt_len.
        raw.data_len = raw.data_len.wrapping_sub(n as u16);
        raw.pkt_len = raw.pkt_len.wrapping_sub(n as u32);
        true
    }

    /// Whether the whole packet is in this buffer. If not, [`bytes`](Self::bytes) is only its beginning.
    #[inline(always)]
    pub fn is_contiguous(&self) -> bool {
        self.raw().nb_segs == 1
    }

    /// What the port says of the IPv4 header checksum.
    #[inline(always)]
    pub fn ip_checksum(&self) -> Checksum {
        match self.raw().ol_flags & dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_MASK {
            dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_BAD => Checksum::Bad,
            dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_NONE => Checksum::Unfilled,
            _ => Checksum::Unknown,
        }
    }

    /// What the port says of the UDP (or TCP) checksum.
    #[inline(always)]
    pub fn l4_checksum(&self) -> Checksum {
        match self.raw().ol_flags & dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_MASK {
            dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_BAD => Checksum::Bad,
            dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_NONE => Checksum::Unfilled,
            _ => Checksum::Unknown,
        }
    }

    /// The hash by which RSS chose the queue, if the port reports it.
    #[inline(always)]
    pub fn rss_hash(&self) -> Option<u32> {
        let raw = self.raw();
        (raw.ol_flags & dpdk_sys::DPDK_MBUF_F_RX_RSS_HASH != 0).then_some(raw.rss)
    }

    /// The number of the port it came in by.
    #[inline(always)]
    pub fn port(&self) -> u16 {
        self.raw().port
    }

    /// Forgets what the receiving port reported and what the sender asked for. Call it when the headers are new.
    #[inline(always)]
    pub fn clear_offload(&mut self) {
        let raw = self.raw_mut();
        raw.ol_flags = 0;
        raw.tx_offload = 0;
    }

    /// Asks the transmitting port for checksums. Only what [`Granted`](crate::Granted) lists may be asked for. Replaces what was
    /// asked, and clears what the receiving port reported. Lengths beyond their fields are cut off: they
    /// give a wrong checksum, no wrong access.
    #[inline(always)]
    pub fn set_tx_offload(&mut self, wanted: TxOffload) {
        let mut flags = 0;
        if wanted.ipv4_checksum || wanted.udp_checksum {
            flags |= dpdk_sys::DPDK_MBUF_F_TX_IPV4;
        }
        if wanted.ipv4_checksum {
            flags |= dpdk_sys::DPDK_MBUF_F_TX_IP_CKSUM;
        }
        if wanted.udp_checksum {
            flags |= dpdk_sys::DPDK_MBUF_F_TX_UDP_CKSUM;
        }
        let raw = self.raw_mut();
        raw.ol_flags = flags;
        // rte_mbuf: l2_len:7, l3_len:9, from the lowest bit; dpdk-sys/tests/layout.rs checks it.
        raw.tx_offload = u64::from(wanted.l2_len & 0x7f) | u64::from(wanted.l3_len & 0x1ff) << 7;
    }

    /// Takes ownership of a buffer.
    ///
    /// # Safety
    ///
    /// `raw` is a live buffer of a pool that its driver or pool has just given to the caller, with a reference count of 1.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: NonNull<dpdk_sys::rte_mbuf>) -> Self {
        Self(raw.cast())
    }

    #[inline(always)]
    fn raw(&self) -> &Raw {
        // SAFETY: the buffer is live and only ours (see from_raw); Raw has rte_mbuf's layout, asserted in dpdk-sys.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn raw_mut(&mut self) -> &mut Raw {
        // SAFETY: as in raw(), and self is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: self is the only handle on a live buffer, and it is gone after this.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr().cast()) }
    }
}

impl core::fmt::Debug for Mbuf {
    /// Sizes only: packets may hold what should not be printed.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mbuf")
            .field("headroom", &self.headroom())
            .field("len", &self.bytes().len())
            .field("tailroom", &self.tailroom())
            .field("contiguous", &self.is_contiguous())
            .finish()
    }
}
