//! A handful of packets that move together.
//!
//! Drivers take and give arrays of buffer pointers. A [`Burst`] is such an array with a length: receiving appends to
//! it, sending takes from its front, and whatever is left in it is freed with it. Nothing is allocated or zeroed.

use crate::Mbuf;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::{ptr, slice};

/// How many packets a [`Burst`] holds.
pub const BURST: usize = 32;

/// Up to [`BURST`] packets, in order. Reads as a slice of [`Mbuf`].
pub struct Burst {
    /// The first `len` slots are initialised.
    len: usize,
    slots: [MaybeUninit<Mbuf>; BURST],
}

impl Burst {
    /// An empty burst.
    #[inline]
    pub const fn new() -> Self {
        Self {
            len: 0,
            slots: [const { MaybeUninit::uninit() }; BURST],
        }
    }

    /// How many packets it holds.
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no packet more fits.
    #[inline(always)]
    pub const fn is_full(&self) -> bool {
        self.len >= BURST
    }

    /// The packets.
    #[inline(always)]
    pub fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first len slots are initialised, and MaybeUninit<Mbuf> has Mbuf's layout.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    /// The packets, to be changed or swapped.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: as in as_slice(); self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    /// Appends a packet, or gives it back if the burst is full.
    #[inline(always)]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    /// Takes the last packet out.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: this slot was initialised, and the shorter length disowns it.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Takes packet `index` out and puts the last one in its place. None if there is no such packet.
    #[inline(always)]
    pub fn swap_remove(&mut self, index: usize) -> Option<Mbuf> {
        let last = self.len.checked_sub(1)?;
        if index > last {
            return None;
        }
        self.as_mut_slice().swap(index, last);
        self.pop()
    }

    /// Takes all packets out, in order. Those that the iterator did not reach are freed with it.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = self.len;
        // From here on the iterator owns them: were it forgotten, they would leak but never be freed twice.
        self.len = 0;
        Drain {
            burst: self,
            next: 0,
            end,
        }
    }

    /// Frees all packets, in one go.
    #[inline]
    pub fn clear(&mut self) {
        let count = self.len;
        self.len = 0;
        if count != 0 {
            // SAFETY: the first count slots hold live buffers that the length of zero has just disowned.
            unsafe { free_all(self.slots.as_mut_ptr(), count) }
        }
    }

    /// The free slots, as the array a driver fills, and how many they are.
    #[inline(always)]
    pub(crate) fn spare(&mut self) -> (*mut *mut dpdk_sys::rte_mbuf, u16) {
        let spare = &mut self.slots[self.len..];
        (spare.as_mut_ptr().cast(), spare.len() as u16)
    }

    /// Takes over packets that a driver has put into the free slots.
    ///
    /// # Safety
    ///
    /// The first `count` slots of [`spare`](Self::spare) were filled with live buffers that are ours now.
    #[inline(always)]
    pub(crate) unsafe fn filled(&mut self, count: usize) {
        debug_assert!(count <= BURST - self.len);
        self.len += count;
    }

    /// The packets as the array a driver takes from, and how many they are.
    #[inline(always)]
    pub(crate) fn raw(&mut self) -> (*mut *mut dpdk_sys::rte_mbuf, u16) {
        (self.slots.as_mut_ptr().cast(), self.len as u16)
    }

    /// Disowns the first `count` packets and moves the rest to the front.
    ///
    /// # Safety
    ///
    /// The first `count` packets belong to someone else now; `count` is at most [`len`](Self::len).
    #[inline(always)]
    pub(crate) unsafe fn taken(&mut self, count: usize) {
        let rest = self.len - count;
        if rest != 0 && count != 0 {
            let slots = self.slots.as_mut_ptr();
            // SAFETY: both ranges lie in the initialised slots; copy allows overlap.
            unsafe { ptr::copy(slots.add(count), slots, rest) }
        }
        self.len = rest;
    }
}

/// Gives buffers back to their pools.
///
/// # Safety
///
/// `first` points to `count` live buffers that nobody uses afterwards.
unsafe fn free_all(first: *mut MaybeUninit<Mbuf>, count: usize) {
    // SAFETY: Mbuf is a pointer to rte_mbuf; the caller gives up ownership.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(first.cast(), count as u32) }
}

impl Drop for Burst {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Burst {
    type Target = [Mbuf];
    #[inline(always)]
    fn deref(&self) -> &[Mbuf] {
        self.as_slice()
    }
}

impl DerefMut for Burst {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [Mbuf] {
        self.as_mut_slice()
    }
}

/// Packets leaving a [`Burst`] in order; see [`Burst::drain`].
pub struct Drain<'a> {
    burst: &'a mut Burst,
    /// Slots `next..end` hold packets that this iterator owns.
    next: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline(always)]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next >= self.end {
            return None;
        }
        // SAFETY: the slot is one of ours; advancing disowns it.
        let mbuf = unsafe { self.burst.slots[self.next].assume_init_read() };
        self.next += 1;
        Some(mbuf)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        let left = self.end - self.next;
        if left != 0 {
            // SAFETY: slots next..end hold live buffers that only this iterator owns, and it is going.
            unsafe { free_all(self.burst.slots.as_mut_ptr().add(self.next), left) }
        }
    }
}
