//! Worker threads.

use crate::Errno;
use crate::eal::{Eal, EalInner};
use core::marker::PhantomData;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::sync::Arc;

/// Why a thread cannot be a worker.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// Pinning failed.
    #[error("cannot run on CPU {cpu}: {reason}; choose one of those this process may use")]
    Pin {
        /// The CPU asked for.
        cpu: usize,
        /// What the system says.
        reason: nix::Error,
    },
    /// This thread has an lcore id already.
    #[error("this thread is registered already, as lcore {lcore}")]
    AlreadyRegistered {
        /// Its id.
        lcore: u32,
    },
    /// DPDK has no id left.
    #[error("DPDK gives this thread no lcore id: {0}; it has {max} in all", max = dpdk_sys::RTE_MAX_LCORE)]
    Register(Errno),
}

/// The calling thread's membership in DPDK: an lcore id, and with it a cache in each mempool. Ends with this value, which cannot leave
/// the thread.
pub struct EalThread {
    eal: Arc<EalInner>,
    lcore: u32,
    not_send: PhantomData<*mut ()>,
}

impl Eal {
    /// Makes the calling thread a worker: pinned to `cpu` (if given; this stays so afterwards), with an lcore id of its own.
    pub fn register_thread(&self, cpu: Option<usize>) -> Result<EalThread, ThreadError> {
        // SAFETY: reads a thread-local integer.
        let lcore = unsafe { dpdk_sys::rte_lcore_id() };
        if lcore != dpdk_sys::LCORE_ID_ANY {
            return Err(ThreadError::AlreadyRegistered { lcore });
        }
        if let Some(cpu) = cpu {
            pin(&[cpu]).map_err(|reason| ThreadError::Pin { cpu, reason })?;
        }
        // Before the id: from the first buffer in this thread's cache on, pools must know of it.
        self.0.thread_joins();
        // SAFETY: the environment is up (self), and this thread has no id yet.
        if unsafe { dpdk_sys::rte_thread_register() } != 0 {
            let reason = Errno::last();
            self.0.thread_leaves();
            return Err(ThreadError::Register(reason));
        }
        // SAFETY: reads a thread-local integer.
        let lcore = unsafe { dpdk_sys::rte_lcore_id() };
        Ok(EalThread {
            eal: self.0.clone(),
            lcore,
            not_send: PhantomData,
        })
    }
}

impl EalThread {
    /// The id DPDK gave this thread.
    pub fn lcore(&self) -> u32 {
        self.lcore
    }
}

impl Drop for EalThread {
    fn drop(&mut self) {
        // SAFETY: this value never left the thread that registered.
        unsafe { dpdk_sys::rte_thread_unregister() }
        self.eal.thread_leaves();
    }
}

/// Lets the calling thread run on these CPUs only.
pub(crate) fn pin(cpus: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
}
