//! A whole dataplane: put together from its configuration, and taken apart in order.
//!
//! ```text
//!  start:  environment ► pool ► ports ► tables of the links ► slow path ► workers
//!  stop:   workers ► what they left in rings ► ports
//! ```
//!
//! It begins with its links and nothing else: what it is, and who may send, its controller writes.

mod build;
mod service;

pub use build::StartError;
pub use service::{Controller, Link, Service};

use crate::clock::Clock;
use crate::control::Control;
use crate::worker::Shared;
use kith_api::config::Config;
use kith_dpdk::{Eal, Mempool, Port};
use kith_p4runtime::service as p4runtime;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tracing::error;

/// A running dataplane.
pub struct Dataplane {
    state: Arc<State>,
    workers: Vec<JoinHandle<()>>,
    slow: Option<JoinHandle<()>>,
}

/// What its threads, and those who ask about it, share.
pub struct State {
    /// As configured.
    pub config: Config,
    /// When it started.
    pub started: Instant,
    /// Time for all threads.
    pub clock: Clock,
    /// Each worker's counters.
    pub workers: Vec<Arc<Shared>>,
    /// The tables.
    pub control: Arc<Control>,
    /// Where controllers read and write them.
    pub p4runtime: p4runtime::Service,
    /// Packet buffers.
    pub pool: Mempool,
    /// Is memory from huge pages?
    pub huge_pages: bool,
    service: Mutex<Service>,
    ports: Mutex<Vec<Port>>,
    stop_workers: AtomicBool,
    stop_slow: AtomicBool,
    /// Turns of the slow path: it lives as long as they grow.
    turns: AtomicU64,
    _eal: Eal,
}

impl Dataplane {
    /// Starts what the configuration, which was checked, says. Packets flow when this returns.
    pub fn start(config: Config) -> Result<Self, StartError> {
        build::build(config)
    }

    /// What can be asked about it.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Has a thread ended that should not have?
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.workers.iter().chain(&self.slow).any(JoinHandle::is_finished)
    }

    /// Stops everything in order. Packets that are under way inside are dropped.
    pub fn stop(mut self) {
        self.state.stop_workers.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                error!("a worker ended by a panic");
            }
        }
        self.state.stop_slow.store(true, Ordering::Relaxed);
        if self.slow.take().is_some_and(|slow| slow.join().is_err()) {
            error!("the slow path ended by a panic");
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        // Threads that were not joined must not keep ports open for ever.
        self.state.stop_workers.store(true, Ordering::Relaxed);
        self.state.stop_slow.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// The slow path: whoever asks holds it up for so long.
    pub fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ports, to ask drivers.
    pub fn ports(&self) -> MutexGuard<'_, Vec<Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for each thread that must go on, which grows while it does.
    pub fn pulse(&self) -> impl Iterator<Item = u64> {
        let polls =
            |worker: &Arc<Shared>| worker.counters.busy_polls.get() + worker.counters.idle_polls.get();
        self.workers
            .iter()
            .map(polls)
            .chain([self.turns.load(Ordering::Relaxed)])
    }
}
