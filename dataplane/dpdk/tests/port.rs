//! Ports over virtual devices.

mod common;
use common::*;
use kith_dpdk::{BURST, Burst, Direction, Port, PortConfig, PortError};
use std::slice::from_ref;
use std::thread;

#[test]
fn net_null_gives_packets_of_its_size_and_swallows_what_is_sent() {
    let pool = pool();
    let mut port = open(device("net_null", ",size=98"), 1, &pool);
    let mut queues = port.take_queues().unwrap();
    assert!(port.take_queues().is_none(), "queues have one owner");
    assert_eq!(port.driver(), "net_null");
    assert!(port.link().unwrap().up);

    let mut burst = Burst::new();
    assert_eq!(queues.rx[0].rx_burst(&mut burst), BURST);
    assert_eq!(queues.rx[0].rx_burst(&mut burst), 0, "a full burst takes no more");
    assert!(
        burst
            .iter()
            .all(|mbuf| mbuf.bytes().len() == 98 && mbuf.is_contiguous() && mbuf.port() == port.id())
    );
    assert_eq!(queues.tx[0].tx_burst(&mut burst), BURST);
    assert!(burst.is_empty());
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 0);

    let stats = port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.opackets), (32, 32));
    let xstats = port.xstats().unwrap();
    assert!(xstats.contains(&("rx_good_packets".into(), 32)), "{xstats:?}");
    assert_home(&pool);
}

#[test]
fn net_ring_returns_the_very_bytes_in_order() {
    let pool = pool();
    let mut port = open(device("net_ring", ""), 1, &pool);
    let mut queues = port.take_queues().unwrap();
    let mut burst = Burst::new();
    for length in 0..BURST {
        let contents: Vec<u8> = (0..length * 40).map(|i| (i * 7 + length) as u8).collect();
        burst.push(packet(&pool, &contents)).unwrap();
    }
    assert_eq!(queues.tx[0].tx_burst(&mut burst), BURST);
    assert_eq!(queues.rx[0].rx_burst(&mut burst), BURST);
    for (length, mbuf) in burst.iter().enumerate() {
        assert!(
            mbuf.bytes()
                .iter()
                .copied()
                .eq((0..length * 40).map(|i| (i * 7 + length) as u8))
        );
    }
    drop(burst);
    assert_home(&pool);
}

#[test]
fn what_a_full_port_does_not_take_stays_in_the_burst_in_order() {
    let pool = pool();
    let mut port = open(device("net_ring", ""), 1, &pool);
    let mut queues = port.take_queues().unwrap();
    let mut sent = 0;
    let rest = loop {
        let mut burst = numbered(&pool, sent, 30);
        sent += queues.tx[0].tx_burst(&mut burst) as u32;
        if !burst.is_empty() {
            break burst;
        }
    };
    assert!(rest.len() < 30, "1023 packets fit, which is no multiple of 30");
    assert!(rest.iter().map(number).eq(sent..sent + rest.len() as u32));
    drop(rest);
    assert_eq!(pool.available(), pool.size() - sent);
    // Closing the port frees what is inside, once the queues are gone, too.
    drop(port);
    assert_eq!(pool.available(), pool.size() - sent);
    drop(queues);
    assert_home(&pool);
}

#[test]
fn queues_outlive_their_port_handle() {
    let pool = pool();
    let mut port = open(device("net_ring", ""), 1, &pool);
    let mut queues = port.take_queues().unwrap();
    drop(port);
    let mut burst = numbered(&pool, 7, 1);
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 1);
    assert_eq!(queues.rx[0].rx_burst(&mut burst), 1);
    assert_eq!(number(&burst[0]), 7);
}

#[test]
fn a_closed_device_can_be_opened_again_and_an_open_one_cannot() {
    let pool = pool();
    let name = device("net_ring", "");
    let config = PortConfig::new(name.clone());
    for _ in 0..3 {
        let port = open(name.clone(), 1, &pool);
        let again = Port::open(eal(), &config, from_ref(&pool));
        assert!(matches!(again, Err(PortError::AlreadyOpen { port: id, .. }) if id == port.id()));
    }
}

#[test]
fn two_workers_each_own_a_queue_and_lose_nothing() {
    const ROUNDS: u32 = 2000;
    let pool = pool();
    let mut port = open(device("net_ring", ""), 2, &pool);
    let queues = port.take_queues().unwrap();
    thread::scope(|scope| {
        for (mut rx, mut tx) in queues.rx.into_iter().zip(queues.tx) {
            let pool = &pool;
            scope.spawn(move || {
                let me = eal().register_thread(None).unwrap();
                assert!(me.lcore() > 0);
                let mut next = 0;
                for round in 0..ROUNDS {
                    let mut burst = numbered(pool, round * 32, 32);
                    assert_eq!(tx.tx_burst(&mut burst), 32);
                    assert_eq!(rx.rx_burst(&mut burst), 32);
                    for mbuf in burst.drain() {
                        assert_eq!(number(&mbuf), next, "queue {}", rx.queue());
                        next += 1;
                    }
                }
            });
        }
    });
    let stats = port.stats().unwrap();
    assert_eq!(
        (stats.ipackets, stats.opackets),
        (u64::from(ROUNDS) * 64, u64::from(ROUNDS) * 64)
    );
    assert_home(&pool);
}

#[test]
fn offloads_are_granted_only_as_offered() {
    let pool = pool();
    let config = PortConfig {
        promiscuous: true,
        ..PortConfig::new(device("net_ring", ""))
    };
    let port = Port::open(eal(), &config, from_ref(&pool)).unwrap();
    let granted = port.granted();
    assert!(
        !granted.rx_udp_checksum && !granted.tx_udp_checksum && !granted.rss,
        "{granted:?}"
    );
    let null = open(device("net_null", ""), 2, &pool);
    assert!(null.granted().rss, "{:?}", null.granted());
}

#[test]
fn an_unknown_device_is_refused() {
    let pool = pool();
    for name in ["net_nothing0", "0000:ff:1f.7", "", "net_null0\0"] {
        let refused = Port::open(eal(), &PortConfig::new(name), from_ref(&pool));
        assert!(
            matches!(refused, Err(PortError::Attach { .. })),
            "{name:?} was opened"
        );
    }
}

#[test]
fn too_many_or_no_queues_are_refused_and_the_device_is_free_again() {
    let pool = pool();
    let name = device("net_ring", "");
    for (rx, tx, direction) in [
        (1000, 1, Direction::Receive),
        (1, 1000, Direction::Transmit),
        (0, 1, Direction::Receive),
        (1, 0, Direction::Transmit),
    ] {
        let config = PortConfig {
            rx_queues: rx,
            tx_queues: tx,
            ..PortConfig::new(name.clone())
        };
        let refused = Port::open(eal(), &config, from_ref(&pool)).err();
        assert!(
            matches!(refused, Some(PortError::Queues { direction: which, .. }) if which == direction),
            "{refused:?}"
        );
    }
    open(name, 1, &pool);
}

#[test]
fn an_mtu_that_does_not_fit_a_buffer_is_refused() {
    let pool = pool();
    let name = device("net_ring", "");
    for mtu in [9000, 2048, 20] {
        let config = PortConfig {
            mtu,
            ..PortConfig::new(name.clone())
        };
        let refused = Port::open(eal(), &config, from_ref(&pool)).err();
        assert!(
            matches!(refused, Some(PortError::Mtu { wanted, .. }) if wanted == mtu),
            "{refused:?}"
        );
    }
    let mut port = open(name, 1, &pool);
    assert_eq!(port.mtu().unwrap(), 1500);
    assert!(matches!(
        port.set_mtu(9000),
        Err(PortError::Mtu { most: 2022, .. })
    ));
}

#[test]
fn a_port_without_a_pool_is_refused() {
    let refused = Port::open(eal(), &PortConfig::new(device("net_null", "")), &[]);
    assert!(matches!(refused, Err(PortError::NoPool { .. })));
}
