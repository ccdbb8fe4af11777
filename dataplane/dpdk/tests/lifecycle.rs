//! The environment's own life, in a process of its own: one test, since it ends the environment.

mod common;
use common::*;
use kith_dpdk::{Burst, Eal, EalConfig, EalError, Mempool, MempoolConfig, Port, PortConfig};
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;
use std::slice::from_ref;

#[test]
fn the_environment_lives_as_long_as_its_users_and_comes_up_once() {
    // A mistake that is seen beforehand costs nothing.
    let nul = Eal::init(EalConfig {
        vdevs: vec!["net_null0\0".into()],
        ..config()
    });
    assert!(matches!(nul, Err(EalError::Nul(_))));

    let affinity = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let eal = Eal::init(EalConfig {
        vdevs: vec!["net_ring_early".into()],
        ..config()
    })
    .unwrap();
    assert_eq!(
        sched_getaffinity(Pid::from_raw(0)).unwrap(),
        affinity,
        "the caller is not pinned"
    );
    assert!(!eal.uses_huge_pages());
    assert!(matches!(Eal::init(config()), Err(EalError::Again)));

    // Pools come and go without using up the memory: 100 times 20 MB would not fit.
    let big = MempoolConfig {
        mbufs: 8191,
        ..MempoolConfig::default()
    };
    for _ in 0..100 {
        Mempool::new(&eal, "again", &big).unwrap();
    }
    // A pool that is gone before its packet is freed when the packet comes home, at the latest when the next pool goes.
    for _ in 0..100 {
        let pool = Mempool::new(&eal, "late", &big).unwrap();
        let mut late = packet(&pool, b"late");
        drop(pool);
        late.bytes_mut()[0] = b'd';
        assert_eq!(late.bytes(), b"date");
        drop(late);
        Mempool::new(
            &eal,
            "next",
            &MempoolConfig {
                mbufs: 63,
                cache: 0,
                ..big.clone()
            },
        )
        .unwrap();
    }

    // A device made with the environment; its port holds pool and environment.
    let pool = Mempool::new(&eal, "port", &big).unwrap();
    let mut port = Port::open(&eal, &PortConfig::new("net_ring_early"), from_ref(&pool)).unwrap();
    let mut queues = port.take_queues().unwrap();
    let mut burst = numbered(&pool, 0, 8);
    drop((eal, pool, port));
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 8);
    assert_eq!(queues.rx[0].rx_burst(&mut burst), 8);
    let mut kept = Burst::new();
    kept.push(burst.pop().unwrap()).unwrap();
    drop(burst);

    // The last user goes, but a packet is still out: it stays valid.
    drop(queues);
    assert_eq!(number(&kept[0]), 7);
    kept[0].bytes_mut().fill(1);
    drop(kept);
    assert!(
        matches!(Eal::init(config()), Err(EalError::Again)),
        "even after the end"
    );
}
