//! Safe, RAII wrapper over DPDK: the one crate of ours, beside its bindings, that contains `unsafe`.
//!
//! # Problem
//!
//! DPDK is a C library of global state: port numbers, queues that only one thread may poll, buffers that are leaked or freed
//! twice with equal ease, and memory that disappears when the environment is torn down.
//!
//! # Idea
//!
//! Ownership says who may do what, and keeps alive what is needed:
//!
//! ```text
//!            Eal ◄───────── Mempool ◄──────── Port (control: statistics, MTU; Send, one thread at a time)
//!             ▲                ▲                ▲
//!             │                │        ┌───────┴────────┐
//!         EalThread            │     RxQueue          TxQueue      one owner each: &mut to poll, not Clone
//!   (a std thread, pinned,     │        │ rx_burst       ▲ tx_burst
//!    with its mempool cache)   │        ▼                │
//!                              └─── Mbuf ── Burst ───────┘         dropped = given back to its pool
//!                                     └──── Producer ▶ Consumer    to another thread, in order
//! ```
//!
//! An arrow is "keeps alive". The exception is [`Mbuf`], which is one pointer wide so that an array of them *is* the array of
//! pointers the driver wants: it cannot hold a count on its pool. So memory is given back only when nothing can be in
//! flight any more: a [`Mempool`] that was dropped is freed once all its buffers are home, and the environment is torn down
//! only if all pools were (see `eal::Registry`). A buffer that outlives everything is valid, and costs a leak, not a crash.
//!
//! # Threads
//!
//! Workers are ordinary `std::thread`s. Each calls [`Eal::register_thread`], which pins it to a CPU and gives it an lcore id,
//! hence its own mempool cache. Threads that did not may use everything too, only slower (no cache). DPDK's own
//! lcore threads are not used.
//!
//! # Frames
//!
//! Ports are opened without scatter, and refuse an MTU that does not fit one buffer. Drivers that deliver chained
//! buffers all the same are met by [`Mbuf::is_contiguous`]: drop those under a name.
//!
//! # Cost
//!
//! A burst costs one direct call more than in C. `examples/empty_loop.rs` measures it.

mod burst;
mod clock;
mod eal;
mod errno;
mod mbuf;
mod mempool;
#[cfg(feature = "pipeline")]
mod packet;
mod port;
mod post;
mod ring;
pub mod swx;
mod thread;

pub use burst::{BURST, Burst, Drain};
pub use clock::{tsc, tsc_hz};
pub use eal::{Eal, EalConfig, EalError, HugePages, LogLevel};
pub use errno::Errno;
pub use mbuf::{Checksum, Mbuf, TxOffload};
pub use mempool::{Mempool, MempoolConfig, MempoolError};
pub use port::{
    Direction, Granted, Link, MacAddr, Port, PortConfig, PortError, PortStats, Queues, RxQueue, TxQueue,
};
pub use post::{Receiver, Sender, post};
pub use ring::{Consumer, Producer, RingError, ring};
pub use thread::{EalThread, ThreadError};
