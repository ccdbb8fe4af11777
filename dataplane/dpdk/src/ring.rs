//! Packets from one thread to another, in order, without a lock.
//!
//! A bounded queue with one producer and one consumer: `rte_ring` in its single-producer, single-consumer mode. The two ends are
//! separate values, so the compiler sees to it that there is one of each. When both are gone, what was still inside is freed.

use crate::eal::EalInner;
use crate::{Burst, Eal, Errno, Mbuf};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};
use dpdk_sys::{RING_F_EXACT_SZ, RING_F_SC_DEQ, RING_F_SP_ENQ, SOCKET_ID_ANY};
use std::cell::Cell;
use std::ffi::CString;
use std::sync::Arc;

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[error("a ring for {capacity} packets cannot be made: {reason}")]
pub struct RingError {
    /// As asked for.
    pub capacity: u32,
    /// What DPDK says.
    pub reason: Errno,
}

/// A ring for one producer and one consumer, with room for exactly so many pointers (at least one).
pub(crate) fn create(eal: &Eal, capacity: u32) -> Result<NonNull<dpdk_sys::rte_ring>, RingError> {
    let fail = |reason| RingError { capacity, reason };
    if capacity == 0 {
        // EINVAL; rte_ring would make a ring that is always full.
        return Err(fail(Errno(22)));
    }
    let name = CString::new(eal.0.unique_name()).expect("made of letters and digits");
    let flags = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
    let control = eal.0.control();
    // SAFETY: the environment is up (eal), and the name is a C string that DPDK copies.
    let ring = unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), capacity, SOCKET_ID_ANY, flags) };
    drop(control);
    NonNull::new(ring).ok_or_else(|| fail(Errno::last()))
}

/// Makes a ring that holds `capacity` packets (at least one), and returns its two ends.
pub fn ring(eal: &Eal, capacity: u32) -> Result<(Producer, Consumer), RingError> {
    let ring = create(eal, capacity)?;
    let inner = Arc::new(Inner {
        ring,
        eal: eal.0.clone(),
    });
    Ok((
        Producer {
            inner: inner.clone(),
            not_sync: PhantomData,
        },
        Consumer {
            inner,
            not_sync: PhantomData,
        },
    ))
}

/// The end where packets are put in.
pub struct Producer {
    inner: Arc<Inner>,
    not_sync: PhantomData<Cell<()>>,
}

/// The end where packets come out.
pub struct Consumer {
    inner: Arc<Inner>,
    not_sync: PhantomData<Cell<()>>,
}

impl Producer {
    /// Moves as many packets as fit from the front of the burst into the ring, and returns how many. The rest stay.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        let (packets, count) = burst.raw();
        // SAFETY: the ring is live, self is its only producer (&mut), and packets points to count buffers.
        let sent = unsafe { self.inner.enqueue(packets.cast(), count.into()) };
        // SAFETY: the ring owns the first sent packets now.
        unsafe { burst.taken(sent) };
        sent
    }

    /// Puts one packet in, or gives it back if the ring is full.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        // SAFETY: the ring is live, self is its only producer, and Mbuf is a pointer.
        let sent = unsafe { self.inner.enqueue(ptr::from_ref(&mbuf).cast(), 1) };
        if sent == 0 {
            return Err(mbuf);
        }
        // The ring owns the buffer now.
        mem::forget(mbuf);
        Ok(())
    }

    /// How many packets are inside, as far as this end can tell.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether nothing is inside, as far as this end can tell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Consumer {
    /// Appends to the burst as many packets as there are and fit, and returns how many.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        // SAFETY: self is the ring's only consumer (&mut).
        unsafe { self.inner.dequeue(burst) }
    }

    /// How many packets are inside, as far as this end can tell.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether nothing is inside, as far as this end can tell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Inner {
    ring: NonNull<dpdk_sys::rte_ring>,
    eal: Arc<EalInner>,
}

// SAFETY: one thread at either end is what the ring is made for, and only Producer and Consumer reach it, through &mut.
unsafe impl Send for Inner {}
// SAFETY: as above; what is reachable through &self without a promise of the caller's is the count, an atomic read.
unsafe impl Sync for Inner {}

impl Inner {
    /// # Safety
    ///
    /// The caller is the only producer; `packets` points to `count` buffers, and those taken (the first ones) are given up.
    #[inline(always)]
    unsafe fn enqueue(&self, packets: *const *mut c_void, count: u32) -> usize {
        // SAFETY: the ring is live; the rest is the caller's promise.
        unsafe {
            dpdk_sys::rte_ring_sp_enqueue_burst(self.ring.as_ptr(), packets, count, ptr::null_mut()) as usize
        }
    }

    /// # Safety
    ///
    /// The caller is the only consumer.
    #[inline(always)]
    unsafe fn dequeue(&self, burst: &mut Burst) -> usize {
        let (spare, count) = burst.spare();
        // SAFETY: the ring is live, spare has room for count pointers, and nobody else consumes.
        let got = unsafe {
            dpdk_sys::rte_ring_sc_dequeue_burst(
                self.ring.as_ptr(),
                spare.cast(),
                count.into(),
                ptr::null_mut(),
            )
        } as usize;
        // SAFETY: the ring held buffers that it owned, and gave us got of them.
        unsafe { burst.filled(got) };
        got
    }

    fn len(&self) -> usize {
        // SAFETY: the ring is live; the indices are only read.
        unsafe { dpdk_sys::rte_ring_count(self.ring.as_ptr()) as usize }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut burst = Burst::new();
        // SAFETY: both ends are gone, so this is the only consumer.
        while unsafe { self.dequeue(&mut burst) } != 0 {
            burst.clear();
        }
        let _control = self.eal.control();
        // SAFETY: nobody can reach the ring any more, and the environment is up.
        unsafe { dpdk_sys::rte_ring_free(self.ring.as_ptr()) }
    }
}
