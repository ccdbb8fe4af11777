//! Where packet buffers come from.

use crate::eal::EalInner;
use crate::{Burst, Eal, Errno, Mbuf};
use core::ptr::NonNull;
use dpdk_sys::RTE_PKTMBUF_HEADROOM;
use std::ffi::CString;
use std::sync::Arc;

/// How a pool is to be made.
#[derive(Clone, Debug)]
pub struct MempoolConfig {
    /// How many buffers. One less than a power of two wastes no memory.
    pub mbufs: u32,
    /// How many each registered thread keeps at hand without asking the pool: at most 512, and at most two thirds of `mbufs`.
    pub cache: u32,
    /// Octets for the frame in each buffer. A headroom of [`Mempool::HEADROOM`] comes on top.
    pub data_room: u16,
    /// The NUMA node; none for that of the calling thread.
    pub socket: Option<u16>,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            mbufs: 8191,
            cache: 256,
            data_room: 2048,
            socket: None,
        }
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum MempoolError {
    /// The frame and the headroom together exceed 65535 octets.
    #[error("pool {name}: a data room of {data_room} octets plus headroom exceeds 65535")]
    DataRoom {
        /// The pool.
        name: String,
        /// As asked for.
        data_room: u16,
    },
    /// DPDK refused.
    #[error(
        "pool {name}: {mbufs} buffers with a cache of {cache} cannot be made: {reason}; \
         give the environment more memory, or make the cache smaller (at most 512 and two thirds of the buffers)"
    )]
    Create {
        /// The pool.
        name: String,
        /// As asked for.
        mbufs: u32,
        /// As asked for.
        cache: u32,
        /// What DPDK says.
        reason: Errno,
    },
}

/// A pool of packet buffers. Cloning gives another handle on the same pool.
#[derive(Clone)]
pub struct Mempool(Arc<Inner>);

struct Inner {
    pool: NonNull<dpdk_sys::rte_mempool>,
    name: String,
    size: u32,
    data_room: u16,
    eal: Arc<EalInner>,
}

// SAFETY: the pool's operations are made for many threads; the handle itself is only read.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Mempool {
    /// Octets before the frame in a fresh buffer.
    pub const HEADROOM: u16 = RTE_PKTMBUF_HEADROOM as u16;

    /// Makes a pool. The name is for messages; two pools may share one.
    pub fn new(eal: &Eal, name: &str, config: &MempoolConfig) -> Result<Self, MempoolError> {
        let room = config
            .data_room
            .checked_add(Self::HEADROOM)
            .ok_or_else(|| MempoolError::DataRoom {
                name: name.to_owned(),
                data_room: config.data_room,
            })?;
        // DPDK's names are short and unique to the process, ours need not be.
        let unique = CString::new(eal.0.unique_name()).expect("made of letters and digits");
        let socket = config.socket.map_or(dpdk_sys::SOCKET_ID_ANY, i32::from);
        let _control = eal.0.control();
        // SAFETY: the environment is up (eal), and the name is a C string that DPDK copies.
        let pool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(unique.as_ptr(), config.mbufs, config.cache, 0, room, socket)
        };
        let pool = NonNull::new(pool).ok_or_else(|| MempoolError::Create {
            name: name.to_owned(),
            mbufs: config.mbufs,
            cache: config.cache,
            reason: Errno::last(),
        })?;
        let name = name.to_owned();
        let (size, data_room) = (config.mbufs, config.data_room);
        Ok(Self(Arc::new(Inner {
            pool,
            name,
            size,
            data_room,
            eal: eal.0.clone(),
        })))
    }

    /// An empty packet, or none if all buffers are in use.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool is live.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_alloc(self.0.pool.as_ptr()) };
        // SAFETY: a pool gives out live buffers with one reference.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Fills the burst up with empty packets. False, and nothing changed, if not so many are left.
    #[inline]
    pub fn fill(&self, burst: &mut Burst) -> bool {
        let (spare, count) = burst.spare();
        if count == 0 {
            return true;
        }
        // SAFETY: the pool is live, and spare has room for count pointers.
        let code = unsafe { dpdk_sys::rte_pktmbuf_alloc_bulk(self.0.pool.as_ptr(), spare, count.into()) };
        if code != 0 {
            return false;
        }
        // SAFETY: on success all count slots hold fresh buffers.
        unsafe { burst.filled(count.into()) };
        true
    }

    /// How many buffers are in the pool and in threads' caches, so not in use. A snapshot; walks all caches: not for the packet path.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is live; the counters are only read.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.0.pool.as_ptr()) }
    }

    /// How many buffers there are.
    pub fn size(&self) -> u32 {
        self.0.size
    }

    /// Octets for the frame in each buffer.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// The name given to it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Buffers may still be on their way: the environment frees the pool once all are home.
        self.eal.retire(self.pool, self.size);
    }
}
