//! Real frames through the kernel: two `net_af_packet` ports on the ends of a veth pair.
//!
//! ```text
//!   this process, as root                         network namespace kt-dpdk-<pid>
//!   makes the namespace, runs itself inside ──►   [port a] kt-a ═══ veth ═══ kt-b [port b]
//! ```
//!
//! The namespace, and the pair with it, is removed whatever happens.

mod common;
use common::*;
use kith_dpdk::{Burst, Port, PortConfig, RxQueue, TxQueue};
use std::process::Command;
use std::slice::from_ref;
use std::time::{Duration, Instant};

/// Set in the run that is inside the namespace.
const INSIDE: &str = "KITH_TEST_INSIDE_NAMESPACE";
/// Local experimental EtherType (IEEE 802): nothing else on the pair uses it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

#[test]
fn frames_cross_a_veth_pair_unchanged_both_ways() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: only root may make a network namespace");
        return;
    }
    let namespace = Namespace::new();
    let output = Command::new("ip")
        .args(["netns", "exec", &namespace.0])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "frames_cross_a_veth_pair_unchanged_both_ways",
            "--nocapture",
        ])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("inside: done"), "{text}");
}

fn inside() {
    let pool = pool();
    let [mut a, mut b] = ["kt-a", "kt-b"].map(|interface| {
        let device = device("net_af_packet", &format!(",iface={interface}"));
        Port::open(
            eal(),
            &PortConfig {
                promiscuous: true,
                ..PortConfig::new(device)
            },
            from_ref(&pool),
        )
        .unwrap()
    });
    assert_eq!(a.driver(), "net_af_packet");
    assert_eq!(a.mac().unwrap().to_string(), "02:00:00:00:00:0a");
    assert!(a.granted().promiscuous && a.link().unwrap().up);
    let (mut qa, mut qb) = (a.take_queues().unwrap(), b.take_queues().unwrap());
    let to = |mac: u8| [2, 0, 0, 0, 0, mac];
    for length in [0, 1, 100, 1000, 1498] {
        cross(
            &pool,
            &mut qa.tx[0],
            &mut qb.rx[0],
            &frame(to(0xb), to(0xa), length),
        );
        cross(
            &pool,
            &mut qb.tx[0],
            &mut qa.rx[0],
            &frame(to(0xa), to(0xb), length),
        );
    }
    assert_eq!(a.stats().unwrap().opackets, 5);
    a.set_mtu(1400).unwrap();
    assert_eq!(a.mtu().unwrap(), 1400);
    drop((qa, qb, a, b));
    through_tap(&pool);
    assert_home(&pool);
    println!("inside: done");
}

/// What a `net_tap` port sends, the kernel's interface of that name receives: read there by a `net_af_packet` port.
fn through_tap(pool: &kith_dpdk::Mempool) {
    let mut tap = open(device("net_tap", ",iface=kt-tap"), 1, pool);
    assert_eq!(tap.driver(), "net_tap");
    run(&["link", "set", "kt-tap", "up"]);
    let mut kernel = open(device("net_af_packet", ",iface=kt-tap"), 1, pool);
    let (mut tap, mut kernel) = (tap.take_queues().unwrap(), kernel.take_queues().unwrap());
    cross(
        pool,
        &mut tap.tx[0],
        &mut kernel.rx[0],
        &frame([0xff; 6], [2, 0, 0, 0, 0, 0xc], 46),
    );
    cross(
        pool,
        &mut kernel.tx[0],
        &mut tap.rx[0],
        &frame([0xff; 6], [2, 0, 0, 0, 0, 0xd], 46),
    );
}

fn frame(to: [u8; 6], from: [u8; 6], payload: usize) -> Vec<u8> {
    let payload = (0..payload).map(|i| (i * 31 + payload) as u8);
    [&to[..], &from[..], &ETHERTYPE[..]]
        .concat()
        .into_iter()
        .chain(payload)
        .collect()
}

/// Sends a frame and waits until the very same comes out; the kernel's own frames are passed over.
fn cross(pool: &kith_dpdk::Mempool, tx: &mut TxQueue, rx: &mut RxQueue, frame: &[u8]) {
    let mut burst = Burst::new();
    burst.push(packet(pool, frame)).unwrap();
    assert_eq!(tx.tx_burst(&mut burst), 1);
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        rx.rx_burst(&mut burst);
        if burst.iter().any(|mbuf| mbuf.bytes() == frame) {
            return;
        }
        burst.clear();
    }
    panic!("a frame of {} octets did not arrive", frame.len());
}

/// A network namespace with a veth pair; removed on drop.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("kt-dpdk-{}", std::process::id());
        run(&["netns", "add", &name]);
        let namespace = Self(name);
        let n = namespace.0.as_str();
        let a = ["kt-a", "address", "02:00:00:00:00:0a"];
        let b = ["peer", "name", "kt-b", "address", "02:00:00:00:00:0b"];
        run(&[&["-n", n, "link", "add"], &a[..], &["type", "veth"], &b[..]].concat());
        for interface in ["kt-a", "kt-b"] {
            run(&["-n", n, "link", "set", interface, "up"]);
        }
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}
