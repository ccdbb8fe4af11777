//! One environment for all tests of a process: DPDK can be brought up once only. Works alike with a process per test.

#![allow(dead_code, reason = "each test file uses a part")]

use kith_dpdk::{Burst, Eal, EalConfig, HugePages, Mbuf, Mempool, MempoolConfig, Port, PortConfig};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Huge pages off, so that it works everywhere.
pub fn config() -> EalConfig {
    EalConfig {
        program: "kith-test".into(),
        huge_pages: HugePages::Off,
        memory_mib: 256,
        ..EalConfig::default()
    }
}

/// The environment.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::init(config()).expect("the environment comes up"))
}

/// A pool of 2047 buffers.
pub fn pool() -> Mempool {
    let config = MempoolConfig {
        mbufs: 2047,
        cache: 64,
        ..MempoolConfig::default()
    };
    Mempool::new(eal(), "test", &config).expect("a pool")
}

/// A device name nobody else in this process uses.
pub fn device(driver: &str, arguments: &str) -> String {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    format!("{driver}{}{arguments}", SERIAL.fetch_add(1, Ordering::Relaxed))
}

/// A port with that many queues each way.
pub fn open(device: String, queues: u16, pool: &Mempool) -> Port {
    let config = PortConfig {
        rx_queues: queues,
        tx_queues: queues,
        ..PortConfig::new(device)
    };
    Port::open(eal(), &config, std::slice::from_ref(pool)).expect("a port")
}

/// A packet with these contents.
pub fn packet(pool: &Mempool, contents: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().expect("a buffer");
    assert!(mbuf.grow_back(contents.len()));
    mbuf.bytes_mut().copy_from_slice(contents);
    mbuf
}

/// A burst of `count` packets that hold their number.
pub fn numbered(pool: &Mempool, first: u32, count: u32) -> Burst {
    let mut burst = Burst::new();
    for number in first..first + count {
        burst.push(packet(pool, &number.to_be_bytes())).expect("room");
    }
    burst
}

/// The number a packet holds.
pub fn number(mbuf: &Mbuf) -> u32 {
    u32::from_be_bytes(mbuf.bytes().try_into().expect("four octets"))
}

/// All buffers are home.
pub fn assert_home(pool: &Mempool) {
    assert_eq!(pool.available(), pool.size(), "buffers are missing from the pool");
}
