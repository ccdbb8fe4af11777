//! Boxes from one thread to another, in order, without a lock: what [`crate::ring`] is for packets.
//!
//! Sending moves a pointer: neither end makes room or frees. So whoever must do neither gets things in boxes made elsewhere, and sends
//! them back to be dropped there. When both ends are gone, what was still inside is dropped.

use crate::eal::EalInner;
use crate::ring::create;
use crate::{Eal, RingError};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::cell::Cell;
use std::sync::Arc;

/// Makes a queue that holds `capacity` boxes (at least one), and returns its two ends.
pub fn post<T: Send>(eal: &Eal, capacity: u32) -> Result<(Sender<T>, Receiver<T>), RingError> {
    let ring = create(eal, capacity)?;
    let inner = Arc::new(Inner {
        ring,
        eal: eal.0.clone(),
        holds: PhantomData,
    });
    Ok((
        Sender {
            inner: inner.clone(),
            not_sync: PhantomData,
        },
        Receiver {
            inner,
            not_sync: PhantomData,
        },
    ))
}

/// The end where boxes are put in.
pub struct Sender<T: Send> {
    inner: Arc<Inner<T>>,
    not_sync: PhantomData<Cell<()>>,
}

/// The end where boxes come out.
pub struct Receiver<T: Send> {
    inner: Arc<Inner<T>>,
    not_sync: PhantomData<Cell<()>>,
}

impl<T: Send> Sender<T> {
    /// Puts one in, or gives it back if the queue is full.
    #[inline]
    pub fn send(&mut self, one: Box<T>) -> Result<(), Box<T>> {
        let pointer: *mut c_void = Box::into_raw(one).cast();
        // SAFETY: the ring is live, self is its only producer (&mut), and one pointer lies there.
        let sent = unsafe {
            dpdk_sys::rte_ring_sp_enqueue_burst(
                self.inner.ring.as_ptr(),
                ptr::from_ref(&pointer),
                1,
                ptr::null_mut(),
            )
        };
        if sent == 1 {
            // The ring owns the box now.
            return Ok(());
        }
        // SAFETY: the pointer came from a box of T above, and the ring did not take it.
        Err(unsafe { Box::from_raw(pointer.cast()) })
    }
}

impl<T: Send> Receiver<T> {
    /// Takes the next one out, if there is one.
    #[inline]
    pub fn receive(&mut self) -> Option<Box<T>> {
        // SAFETY: self is the ring's only consumer (&mut).
        unsafe { self.inner.take() }
    }
}

struct Inner<T: Send> {
    ring: NonNull<dpdk_sys::rte_ring>,
    eal: Arc<EalInner>,
    holds: PhantomData<T>,
}

// SAFETY: one thread at either end is what the ring is made for, and only Sender and Receiver reach it, through &mut; T is Send.
unsafe impl<T: Send> Send for Inner<T> {}
// SAFETY: as above; nothing can be reached through &self without a promise of the caller's.
unsafe impl<T: Send> Sync for Inner<T> {}

impl<T: Send> Inner<T> {
    /// # Safety
    ///
    /// The caller is the only consumer.
    #[inline(always)]
    unsafe fn take(&self) -> Option<Box<T>> {
        let mut pointer: *mut c_void = ptr::null_mut();
        // SAFETY: the ring is live, there is room for one pointer, and nobody else consumes.
        let got = unsafe {
            dpdk_sys::rte_ring_sc_dequeue_burst(
                self.ring.as_ptr(),
                ptr::from_mut(&mut pointer),
                1,
                ptr::null_mut(),
            )
        };
        // SAFETY: only Sender::send puts pointers in, each from a box of T that it gave up, and each comes out once.
        (got == 1).then(|| unsafe { Box::from_raw(pointer.cast()) })
    }
}

impl<T: Send> Drop for Inner<T> {
    fn drop(&mut self) {
        // SAFETY: both ends are gone, so this is the only consumer.
        while let Some(left) = unsafe { self.take() } {
            drop(left);
        }
        let _control = self.eal.control();
        // SAFETY: nobody can reach the ring any more, and the environment is up.
        unsafe { dpdk_sys::rte_ring_free(self.ring.as_ptr()) }
    }
}
