//! DPDK's environment: memory, drivers, time.
//!
//! Problem: the environment is global, can be made once a process, binds the thread that makes it to a CPU and gives that
//! thread an lcore id whose caches nobody accounts for.
//!
//! Idea: a short-lived thread makes it. The caller's affinity is untouched, and afterwards lcore 0 belongs to nobody; whoever
//! wants caches registers ([`Eal::register_thread`]) and is counted. [`Registry`] uses the count to know when a dropped pool's
//! memory can be given back.

use crate::Errno;
use crate::thread::pin;
use core::ffi::c_char;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::{fs, io};

/// What the environment is made from. It is private to the process: no shared files, so two processes cannot meet.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Name in DPDK's log.
    pub program: String,
    /// CPUs for DPDK's own control threads (interrupts, alarms); empty for those that the calling thread may use. Workers
    /// choose theirs in [`Eal::register_thread`].
    pub control_cpus: Vec<usize>,
    /// Where memory comes from.
    pub huge_pages: HugePages,
    /// How much memory. With huge pages it can grow, without it cannot.
    pub memory_mib: u32,
    /// Virtual devices to make at once, such as `net_null0,size=64`. [`Port::open`](crate::Port::open) can make them later, too.
    pub vdevs: Vec<String>,
    /// PCI addresses that may be used. Others are not looked at.
    pub pci: Vec<String>,
    /// What DPDK writes to standard error and syslog.
    pub log_level: LogLevel,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            program: "kith".into(),
            control_cpus: Vec::new(),
            huge_pages: HugePages::Auto,
            memory_mib: 256,
            vdevs: Vec::new(),
            pci: Vec::new(),
            log_level: LogLevel::Error,
        }
    }
}

/// Where memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Huge pages if enough are reserved and free, else ordinary ones.
    #[default]
    Auto,
    /// Ordinary pages. No NIC that needs DMA without an IOMMU.
    Off,
    /// Huge pages, or fail.
    On,
}

/// What DPDK logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of syslog")]
pub enum LogLevel {
    Critical,
    #[default]
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// DPDK can be brought up once in a process, whether that succeeded or not.
    #[error(
        "DPDK has been brought up in this process before; it cannot be done again, even after it was torn down"
    )]
    Again,
    /// A text in the configuration contains a NUL.
    #[error("{0:?} contains a NUL character")]
    Nul(String),
    /// The control CPUs cannot be used.
    #[error("cannot run on CPUs {cpus:?}: {reason}; choose among those this process may use")]
    Cpus {
        /// As configured; empty if they were to be found out.
        cpus: Vec<usize>,
        /// What the system says.
        reason: nix::Error,
    },
    /// No thread for the purpose.
    #[error("no thread to bring DPDK up in: {0}")]
    Thread(io::Error),
    /// DPDK refused.
    #[error(
        "DPDK refuses to come up: {reason}; its arguments were {arguments:?}, and it says more on standard error"
    )]
    Init {
        /// What DPDK says.
        reason: Errno,
        /// What it was given.
        arguments: Vec<String>,
    },
}

/// The environment. Clone it freely: it is torn down with its last user (a pool, port, ring or registered thread is one).
#[derive(Clone)]
pub struct Eal(pub(crate) Arc<EalInner>);

impl Eal {
    /// Brings DPDK up. Once a process.
    pub fn init(config: EalConfig) -> Result<Self, EalError> {
        static BROUGHT_UP: AtomicBool = AtomicBool::new(false);
        for text in config.vdevs.iter().chain(&config.pci).chain([&config.program]) {
            if text.contains('\0') {
                return Err(EalError::Nul(text.clone()));
            }
        }
        if BROUGHT_UP.swap(true, Ordering::SeqCst) {
            return Err(EalError::Again);
        }
        let huge = match config.huge_pages {
            HugePages::On => true,
            HugePages::Off => false,
            HugePages::Auto => free_huge_memory() >= u64::from(config.memory_mib) << 20,
        };
        let maker = thread::Builder::new().name("kith-eal-init".into());
        let handle = maker
            .spawn(move || bring_up(&config, huge))
            .map_err(EalError::Thread)?;
        match handle.join() {
            Ok(outcome) => outcome?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        let registry = Mutex::new(Registry::default());
        Ok(Self(Arc::new(EalInner {
            huge,
            serial: AtomicU64::new(0),
            control: Mutex::new(()),
            registry,
        })))
    }

    /// Whether memory comes from huge pages.
    pub fn uses_huge_pages(&self) -> bool {
        self.0.huge
    }
}

/// Everything that makes an environment, on the thread that is to be lcore 0 and then end.
fn bring_up(config: &EalConfig, huge: bool) -> Result<(), EalError> {
    let cpus = |reason| EalError::Cpus {
        cpus: config.control_cpus.clone(),
        reason,
    };
    if !config.control_cpus.is_empty() {
        pin(&config.control_cpus).map_err(cpus)?;
    }
    let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(cpus)?;
    let arguments = arguments(config, huge, &allowed);
    let mut texts = arguments
        .iter()
        .map(|text| CString::new(text.as_str()).map_err(|_| EalError::Nul(text.clone())))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        // getopt permutes the array, and DPDK keeps pointers into the texts: they live for ever.
        .map(CString::into_raw)
        .collect::<Vec<*mut c_char>>();
    let count = texts.len() as i32;
    texts.push(core::ptr::null_mut());
    let texts = texts.leak();
    // SAFETY: count C strings, writable, valid for ever, followed by null; BROUGHT_UP makes this the only call.
    if unsafe { dpdk_sys::rte_eal_init(count, texts.as_mut_ptr()) } < 0 {
        return Err(EalError::Init {
            reason: Errno::last(),
            arguments,
        });
    }
    Ok(())
}

/// The command line.
fn arguments(config: &EalConfig, huge: bool, allowed: &CpuSet) -> Vec<String> {
    let cpus: Vec<String> = (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .map(|cpu| cpu.to_string())
        .collect();
    let level = match config.log_level {
        LogLevel::Critical => "critical",
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Notice => "notice",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    let mut arguments = vec![
        config.program.clone(),
        // One lcore floating over the control CPUs. DPDK's control threads go where no lcore is, and as nothing is left, there.
        format!("--lcores=0@({})", cpus.join(",")),
        "--no-telemetry".into(),
        format!("--log-level={level}"),
        "-m".into(),
        config.memory_mib.to_string(),
    ];
    if huge {
        arguments.push("--in-memory".into());
    } else {
        // --no-huge implies an older memory mode, which --in-memory excludes. What remains to be kept private is the configuration.
        arguments.extend(["--no-huge".into(), "--no-shconf".into()]);
    }
    if config.pci.is_empty() {
        arguments.push("--no-pci".into());
    }
    for address in &config.pci {
        arguments.extend(["-a".into(), address.clone()]);
    }
    for vdev in &config.vdevs {
        arguments.push(format!("--vdev={vdev}"));
    }
    arguments
}

/// Octets in huge pages that are reserved and free.
fn free_huge_memory() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else {
        return 0;
    };
    let of_size = |folder: fs::DirEntry| -> Option<u64> {
        let name = folder.file_name().into_string().ok()?;
        let kib: u64 = name
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?
            .parse()
            .ok()?;
        let free: u64 = fs::read_to_string(folder.path().join("free_hugepages"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        free.checked_mul(kib)?.checked_mul(1024)
    };
    sizes.flatten().filter_map(of_size).sum()
}

pub(crate) struct EalInner {
    huge: bool,
    /// For names that are unique to the process.
    serial: AtomicU64,
    /// DPDK's control functions are not made for two threads at once.
    control: Mutex<()>,
    registry: Mutex<Registry>,
}

/// Who may still touch memory.
///
/// A retired pool is freed when all its buffers are home *and* nobody can still be in the middle of bringing one home. The second
/// needs a thought, since counting is not synchronising:
/// - a thread without lcore id puts a buffer into the pool's ring; moving the ring's tail, which makes it count, is its last access;
/// - a registered thread may count a buffer in its cache before it has written it there. So with any other thread registered,
///   freeing waits; a thread that has left synchronised with us by this registry's lock.
#[derive(Default)]
struct Registry {
    threads: Vec<ThreadId>,
    retired: Vec<Retired>,
    /// Ports that are open.
    ports: Vec<u16>,
}

struct Retired {
    pool: NonNull<dpdk_sys::rte_mempool>,
    size: u32,
}

// SAFETY: a pool may be looked at and freed on any thread.
unsafe impl Send for Retired {}

impl EalInner {
    pub(crate) fn unique_name(&self) -> String {
        format!("kith{}", self.serial.fetch_add(1, Ordering::Relaxed))
    }

    /// Hold this while calling control functions.
    pub(crate) fn control(&self) -> MutexGuard<'_, ()> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a pool whose last handle is gone.
    pub(crate) fn retire(&self, pool: NonNull<dpdk_sys::rte_mempool>, size: u32) {
        let mut registry = self.registry();
        registry.retired.push(Retired { pool, size });
        registry.sweep();
    }

    pub(crate) fn thread_joins(&self) {
        self.registry().threads.push(thread::current().id());
    }

    pub(crate) fn thread_leaves(&self) {
        let id = thread::current().id();
        let mut registry = self.registry();
        registry.threads.retain(|&thread| thread != id);
        registry.sweep();
    }

    /// Notes that a port is open. False if it was.
    pub(crate) fn port_opens(&self, port: u16) -> bool {
        let mut registry = self.registry();
        let closed = !registry.ports.contains(&port);
        if closed {
            registry.ports.push(port);
        }
        closed
    }

    pub(crate) fn port_closes(&self, port: u16) {
        self.registry().ports.retain(|&open| open != port);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Frees the retired pools that can be.
    fn sweep(&mut self) {
        let me = thread::current().id();
        if self.threads.iter().any(|&thread| thread != me) {
            return;
        }
        self.retired.retain(|retired| {
            // SAFETY: a retired pool is live until it is freed below, and then it is off the list.
            let home = unsafe { dpdk_sys::rte_mempool_avail_count(retired.pool.as_ptr()) };
            if home < retired.size {
                return true;
            }
            // Pairs with the release by which a ring's tail is moved.
            fence(Ordering::Acquire);
            // SAFETY: no handle is left, all buffers are home, and nobody is bringing one (see Registry).
            unsafe { dpdk_sys::rte_mempool_free(retired.pool.as_ptr()) };
            false
        });
    }
}

impl Drop for EalInner {
    fn drop(&mut self) {
        let mut registry = self.registry();
        registry.sweep();
        if !registry.retired.is_empty() {
            // A buffer is still out there, perhaps in use: its memory must stay.
            return;
        }
        drop(registry);
        // SAFETY: the environment is up, and ports, pools, rings and registered threads, which all hold an Arc of this, are gone.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}
