//! Other virtual devices of Debian's DPDK open through the same door.

mod common;
use common::*;
use kith_dpdk::{Burst, Port, PortConfig};
use std::slice::from_ref;

#[test]
fn net_pcap_writes_what_is_sent_and_reads_it_back() {
    let pool = pool();
    let file = std::env::temp_dir().join(format!("kt-dpdk-{}.pcap", std::process::id()));
    let contents: Vec<u8> = (0..60).collect();
    let mut port = open(
        device("net_pcap", &format!(",tx_pcap={}", file.display())),
        1,
        &pool,
    );
    let mut queues = port.take_queues().unwrap();
    let mut burst = Burst::new();
    burst.push(packet(&pool, &contents)).unwrap();
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 1);
    drop((queues, port));

    let mut port = open(
        device("net_pcap", &format!(",rx_pcap={}", file.display())),
        1,
        &pool,
    );
    let mut queues = port.take_queues().unwrap();
    assert_eq!(queues.rx[0].rx_burst(&mut burst), 1);
    assert_eq!(burst[0].bytes(), contents);
    drop((burst, queues, port));
    std::fs::remove_file(file).unwrap();
    assert_home(&pool);
}

#[test]
fn a_device_that_fails_to_start_is_refused_and_nothing_is_lost() {
    let pool = pool();
    let name = device("net_pcap", ",rx_pcap=/nonexistent/kith.pcap");
    assert!(Port::open(eal(), &PortConfig::new(name), from_ref(&pool)).is_err());
    assert_home(&pool);
}
