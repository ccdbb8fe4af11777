//! The ports that loops run over: `net_null` devices, whose receive gives fresh buffers and whose transmit frees them.

use crate::BenchError;
use kith_dpdk::{
    BURST, Burst, Eal, EalConfig, EalThread, Mbuf, Mempool, MempoolConfig, Port, PortConfig, RxQueue, TxQueue,
};
use std::slice::from_ref;

/// Bursts in a batch, which is what one reading of the clock covers.
pub const BATCH: usize = 64;
/// Buffers in each pool. Those of one burst go round, so all are warm.
pub const MBUFS: u32 = 8191;
/// Buffers that a thread keeps at hand.
pub const CACHE: u32 = 256;
/// Memory of the environment, in MiB.
pub const MEMORY_MIB: u32 = 256;

/// DPDK, with the calling thread as its worker on one CPU.
pub struct Bench {
    eal: Eal,
    cpu: usize,
    ports: u32,
    _worker: EalThread,
}

impl Bench {
    /// Brings DPDK up, once a process. Huge pages are used if they are reserved.
    pub fn new(cpu: usize) -> Result<Self, BenchError> {
        let eal = Eal::init(EalConfig {
            program: "kith-bench".into(),
            memory_mib: MEMORY_MIB,
            ..EalConfig::default()
        })?;
        let worker = eal.register_thread(Some(cpu))?;
        Ok(Self {
            eal,
            cpu,
            ports: 0,
            _worker: worker,
        })
    }

    /// The CPU that everything is measured on.
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    /// Does memory come from huge pages?
    #[must_use]
    pub fn huge_pages(&self) -> bool {
        self.eal.uses_huge_pages()
    }

    /// Opens ports that share a pool, whose packets are `frame` octets long.
    pub fn null_ports<const N: usize>(&mut self, frame: usize) -> Result<[NullPort; N], BenchError> {
        let config = MempoolConfig {
            mbufs: MBUFS,
            cache: CACHE,
            ..MempoolConfig::default()
        };
        let pool = Mempool::new(&self.eal, "bench", &config)?;
        let mut ports = Vec::with_capacity(N);
        for _ in 0..N {
            let device = format!("net_null{},size={frame}", self.ports);
            self.ports += 1;
            let mut port = Port::open(&self.eal, &PortConfig::new(device), from_ref(&pool))?;
            let queues = port
                .take_queues()
                .map(|mut queues| (queues.rx.pop(), queues.tx.pop()));
            let Some((Some(rx), Some(tx))) = queues else {
                unreachable!("a port that was just opened has its queues");
            };
            ports.push(NullPort { rx, tx });
        }
        let Ok(ports) = ports.try_into() else {
            unreachable!("N ports were pushed");
        };
        Ok(ports)
    }
}

/// One `net_null` port.
pub struct NullPort {
    /// Gives packets without end.
    pub rx: RxQueue,
    /// Takes all of them.
    pub tx: TxQueue,
}

impl NullPort {
    /// Receive, work, send: [`BATCH`] times. Gives how many packets that were.
    #[inline]
    pub fn batch(&mut self, mut work: impl FnMut(&mut [Mbuf])) -> u64 {
        let mut burst = Burst::new();
        let mut packets = 0;
        for _ in 0..BATCH {
            self.rx.rx_burst(&mut burst);
            work(&mut burst);
            packets += self.tx.tx_burst(&mut burst) as u64;
            burst.clear();
        }
        packets
    }
}

const _: () = assert!(
    BURST == kith_pipeline::BURST,
    "a burst is what the pipeline takes at once"
);
