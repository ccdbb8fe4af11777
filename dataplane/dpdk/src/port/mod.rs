//! Ports: anything DPDK has an Ethernet driver for, real or virtual.
//!
//! ```text
//!  closed ── open ──► attach ► configure ► set up queues ► start ──► running ── all handles dropped ──► stop ► close ► detach
//! ```
//!
//! An error on the way undoes what was done. Offloads are the intersection of what is wanted and what the driver
//! offers; [`Granted`] says what came of it.

mod config;
mod open;
mod queue;
mod stats;

pub use config::{Direction, Granted, PortConfig, PortError};
pub use queue::{Queues, RxQueue, TxQueue};
pub use stats::{Link, MacAddr, PortStats};

use crate::eal::EalInner;
use crate::{Burst, Eal, Errno, Mempool};
use core::marker::PhantomData;
use std::cell::Cell;
use std::sync::Arc;

/// The control side of a port: settings and statistics. Packets go through its [`Queues`].
///
/// One thread at a time: `Send`, not `Sync`.
pub struct Port {
    inner: Arc<Inner>,
    queues: Option<Queues>,
    granted: Granted,
    not_sync: PhantomData<Cell<()>>,
}

impl Port {
    /// Opens and starts a port. Buffers of receive queue `i` come from `pools[i % pools.len()]`.
    pub fn open(eal: &Eal, config: &PortConfig, pools: &[Mempool]) -> Result<Self, PortError> {
        let (inner, granted) = open::open(eal, config, pools)?;
        let inner = Arc::new(inner);
        let queues = Some(Queues::new(&inner, config.rx_queues, config.tx_queues));
        Ok(Self {
            inner,
            queues,
            granted,
            not_sync: PhantomData,
        })
    }

    /// Hands out the queues, once: later calls give none. They keep the port open.
    pub fn take_queues(&mut self) -> Option<Queues> {
        self.queues.take()
    }

    /// What the driver granted of what was wanted.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// The number by which DPDK knows it, and [`Mbuf::port`](crate::Mbuf::port) reports it.
    pub fn id(&self) -> u16 {
        self.inner.id
    }

    /// The device, as configured, without its arguments.
    pub fn device(&self) -> &str {
        &self.inner.device
    }

    /// The driver's name.
    pub fn driver(&self) -> &str {
        &self.inner.driver
    }
}

/// An attached port; closed and detached on drop.
struct Inner {
    id: u16,
    /// Without arguments.
    device: String,
    driver: String,
    /// DPDK's handle on the device, to detach it by.
    handle: *mut dpdk_sys::rte_device,
    /// Receive queues that can be polled: not zero once the port runs.
    running_rx_queues: u16,
    /// What it receives into.
    pools: Vec<Mempool>,
    eal: Arc<EalInner>,
}

// SAFETY: the pointer is only an argument to rte_dev_remove, on the one thread that drops this. Packet functions are reached by
// the one owner of each queue, control functions by the one Port.
unsafe impl Send for Inner {}
// SAFETY: as above; through &self nothing changes.
unsafe impl Sync for Inner {}

impl Inner {
    /// net_ring frees its rings but not the packets in them.
    fn drain(&self) {
        let mut burst = Burst::new();
        for queue in 0..self.running_rx_queues {
            // SAFETY: the port runs, and its queues' owners are gone.
            while unsafe { queue::receive(self.id, queue, &mut burst) } != 0 {
                burst.clear();
            }
        }
    }

    /// The error for a refused control call.
    fn refused(&self, what: &'static str, reason: Errno) -> PortError {
        PortError::Refused {
            device: self.device.clone(),
            what,
            reason,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.driver == "net_ring" {
            self.drain();
        }
        let control = self.eal.control();
        // SAFETY: the port is ours, and nobody polls its queues any more. Failures leave nothing else to try.
        unsafe {
            dpdk_sys::rte_eth_dev_stop(self.id);
            dpdk_sys::rte_eth_dev_close(self.id);
            if !self.handle.is_null() {
                dpdk_sys::rte_dev_remove(self.handle);
            }
        }
        // Under the lock: the number may be given to the next port at once.
        self.eal.port_closes(self.id);
        drop(control);
    }
}
