//! The packet side of a port.

use super::Inner;
use crate::Burst;
use core::marker::PhantomData;
use std::cell::Cell;
use std::sync::Arc;

/// All queues of a port, in order.
pub struct Queues {
    /// Receive queues.
    pub rx: Vec<RxQueue>,
    /// Transmit queues.
    pub tx: Vec<TxQueue>,
}

/// A receive queue: its one owner may poll it. Keeps the port open.
pub struct RxQueue {
    port: Arc<Inner>,
    id: u16,
    queue: u16,
    not_sync: PhantomData<Cell<()>>,
}

/// A transmit queue: its one owner may send through it. Keeps the port open.
pub struct TxQueue {
    port: Arc<Inner>,
    id: u16,
    queue: u16,
    not_sync: PhantomData<Cell<()>>,
}

impl Queues {
    /// Once per port: two values for one queue would let two threads poll it.
    pub(super) fn new(port: &Arc<Inner>, rx: u16, tx: u16) -> Self {
        let id = port.id;
        let rx = (0..rx)
            .map(|queue| RxQueue {
                port: port.clone(),
                id,
                queue,
                not_sync: PhantomData,
            })
            .collect();
        let tx = (0..tx)
            .map(|queue| TxQueue {
                port: port.clone(),
                id,
                queue,
                not_sync: PhantomData,
            })
            .collect();
        Self { rx, tx }
    }
}

impl RxQueue {
    /// Appends received packets to the burst and returns how many. Does not wait. Best called with an empty burst: some
    /// drivers deliver only in fours or more.
    #[inline]
    pub fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        // SAFETY: the port runs as long as self.port lives, and self is the queue's only owner (&mut).
        unsafe { receive(self.id, self.queue, burst) }
    }

    /// The port's number.
    pub fn port(&self) -> u16 {
        self.port.id
    }

    /// The queue's number within the port.
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

impl TxQueue {
    /// Sends packets from the front of the burst and returns how many. Those that the port does not take now stay in the burst.
    #[inline]
    pub fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let (packets, count) = burst.raw();
        if count == 0 {
            return 0;
        }
        // SAFETY: the port runs as long as self.port lives, self is the queue's only owner (&mut), packets points to count buffers.
        let sent = unsafe { dpdk_sys::rte_eth_tx_burst(self.id, self.queue, packets, count) };
        // SAFETY: the driver owns the first sent packets now.
        unsafe { burst.taken(sent.into()) };
        sent.into()
    }

    /// Readies packets that ask for offloads. Returns how many from the front are fit to be sent; if that is less than the burst
    /// has, the next one never will be: drop it. Needless for packets that ask for nothing.
    #[inline]
    pub fn prepare(&mut self, burst: &mut Burst) -> usize {
        let (packets, count) = burst.raw();
        // SAFETY: as in tx_burst; the driver only changes packets' contents.
        unsafe { dpdk_sys::rte_eth_tx_prepare(self.id, self.queue, packets, count).into() }
    }

    /// The port's number.
    pub fn port(&self) -> u16 {
        self.port.id
    }

    /// The queue's number within the port.
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

/// # Safety
///
/// The port runs and has that receive queue, and nobody else polls it meanwhile.
#[inline(always)]
pub(super) unsafe fn receive(port: u16, queue: u16, burst: &mut Burst) -> usize {
    let (spare, count) = burst.spare();
    if count == 0 {
        return 0;
    }
    // SAFETY: spare has room for count pointers; the rest is the caller's promise.
    let got = unsafe { dpdk_sys::rte_eth_rx_burst(port, queue, spare, count) };
    // SAFETY: the driver gave us got live buffers.
    unsafe { burst.filled(got.into()) };
    got.into()
}
