//! A clean end, in a process of its own: everything went home, and the environment was torn down.

mod common;
use common::*;
use kith_dpdk::{Eal, EalError, Mempool, MempoolConfig, Port, PortConfig, ring};
use std::slice::from_ref;
use std::thread;

/// How much address space this process has: tearing down unmaps what bringing up mapped.
fn mapped_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_last_user_takes_the_environment_down() {
    let before = mapped_kib();
    let eal = Eal::init(config()).unwrap();
    let up = mapped_kib();
    assert!(up > before + 256 * 1024, "256 MiB are mapped: {before} {up}");
    let pool = Mempool::new(&eal, "pool", &MempoolConfig::default()).unwrap();
    let mut port = Port::open(&eal, &PortConfig::new("net_ring0"), from_ref(&pool)).unwrap();
    let mut queues = port.take_queues().unwrap();
    let (mut producer, consumer) = ring(&eal, 64).unwrap();
    let worker_eal = eal.clone();
    // Everything ends up on a worker, which goes last.
    let worker = thread::spawn(move || {
        let me = worker_eal.register_thread(None).unwrap();
        let mut burst = numbered(&pool, 0, 32);
        assert_eq!(queues.tx[0].tx_burst(&mut burst), 32);
        let mut burst = numbered(&pool, 0, 32);
        assert_eq!(producer.send(&mut burst), 32);
        drop((port, queues, producer, consumer, pool, worker_eal));
        drop(me);
    });
    drop(eal);
    worker.join().unwrap();
    assert!(
        mapped_kib() < up - 200 * 1024,
        "the memory is given back: {up} {}",
        mapped_kib()
    );
    assert!(matches!(Eal::init(config()), Err(EalError::Again)));
}
