//! Keys are replaced again and again under full traffic, and no packet is lost by it.
//!
//! ```text
//!  iperf3, both ways, at a rate that arrives in full ─┐
//!  ping, a hundred a second ──────────────────────────┼─► nothing lost: neither on the tunnel (sealed = opened), nor for the programs
//!  either end, or both at once: another pair,         │
//!  another IKE SA ────────────────────────────────────┘
//! ```
//!
//! A queue of the kernel's may overflow on a busy machine. It counts that, and such a round does not count: it is done again at half the rate.

use crate::assert_conserved;
use crate::common::load::Arrived;
use crate::common::{ADDRESS, Net, privileged};
use kith_agent::status::{self, Rekey};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rekeys of a short run; `KITH_REKEYS` says another number.
const SHORT: u32 = 100;
/// Seconds of one round of traffic.
const ROUND: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// Who replaces what at once: by end, and is it the IKE SA?
///
/// One pair at one end and the IKE SA at the other are not among them: who finds the peer busy waits for seconds (RFC 7296 section 2.25).
const STEPS: [&[(usize, bool)]; 6] = [
    &[(0, false)],
    &[(1, false)],
    &[(0, true)],
    &[(1, true)],
    &[(0, false), (1, false)],
    &[(0, true), (1, true)],
];

/// Has these keys replaced, and waits until both ends use others.
fn replace(net: &Net, step: &[(usize, bool)]) {
    let before = [0, 1].map(|which| net.status(which).peers[0].agreements);
    std::thread::sleep(Duration::from_millis(2));
    let start = Instant::now();
    for (which, ike) in step {
        let peer = ADDRESS[1 - which].into();
        status::rekey(
            &net.socket(*which),
            Rekey {
                peer,
                ike: *ike,
                own: None,
            },
        )
        .unwrap();
    }
    let [pair, ike] = [false, true].map(|kind| step.iter().any(|(_, ike)| *ike == kind));
    for (which, before) in before.into_iter().enumerate() {
        loop {
            let peer = net.status(which).peers.remove(0);
            let is_younger = |age: u64| u128::from(age) < start.elapsed().as_millis();
            let is_ike_new = peer
                .tunnel
                .as_ref()
                .is_some_and(|tunnel| is_younger(tunnel.ike_age_ms));
            if (!pair || peer.agreements > before) && (!ike || is_ike_new) {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{step:?} was not done: {peer:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Traffic for one round, and meanwhile something else, as often as there is time. Gives what was lost: of datagrams, of pings.
fn traffic(net: &Net, mbits: u32, mut meanwhile: impl FnMut()) -> (Arrived, u64) {
    let mut flows = [0, 1].map(|from| net.flow(from, mbits, ROUND));
    let pings = ROUND * 100;
    let ping = Command::new("ip")
        .args(["netns", "exec", &net.namespace(0), "ping", "-q", "-i", "0.01"])
        .args(["-W", "2", "-c", &pings.to_string(), ADDRESS[1]])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while flows.iter_mut().any(|flow| !flow.ended()) {
        meanwhile();
    }
    let arrived = flows.into_iter().map(super::common::load::Flow::arrived).sum();
    let said = String::from_utf8_lossy(&ping.wait_with_output().unwrap().stdout).into_owned();
    let received = said.split(", ").find_map(|part| part.strip_suffix(" received"));
    let received: u64 = received
        .and_then(|number| number.parse().ok())
        .expect("pings counted");
    (arrived, u64::from(pings) - received)
}

/// The most of these rates that the machine carries just now without loss.
fn carried(net: &Net) -> u32 {
    let rates = [100, 50, 25, 10];
    let carries = |rate: &u32| {
        let (arrived, pings) = traffic(net, *rate, || std::thread::sleep(Duration::from_millis(20)));
        eprintln!("nothing replaced, {rate} Mbit/s each way: {arrived:?}, {pings} pings lost");
        (arrived.lost, pings) == (0, 0)
    };
    rates.into_iter().find(carries).unwrap_or(5)
}

/// What was sealed at either end and not opened at the other, since the start. Counters are read one after the other: only when it is
/// quiet they fit each other.
fn lost_between(net: &Net) -> [u64; 2] {
    let counts = || {
        let [a, b] = [0, 1].map(|which| net.status(which).peers.remove(0));
        [(a.tx_packets, b.rx_packets), (b.tx_packets, a.rx_packets)]
    };
    let mut before = counts();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = counts();
        if now == before {
            return now.map(|(sealed, opened)| sealed - opened);
        }
        before = now;
    }
}

/// Drops by name, but for what the kernel says by itself in another version of IP.
fn drops(net: &Net) -> [BTreeMap<String, u64>; 2] {
    [0, 1].map(|which| {
        let mut drops = net.status(which).drops;
        drops.remove("virtual_version");
        drops
    })
}

/// What the kernel has thrown away so far in full queues, its own and the agents'.
fn overflowed(net: &Net) -> u64 {
    let of = |which| net.kernel_drops(which) + net.status(which).packets.udp_overflow;
    of(0) + of(1)
}

#[test]
fn keys_are_replaced_under_full_traffic_and_not_one_packet_is_lost() {
    if !privileged() {
        return;
    }
    let wanted = std::env::var("KITH_REKEYS")
        .ok()
        .and_then(|number| number.parse().ok());
    let wanted: u32 = wanted.unwrap_or(SHORT);
    let mut net = Net::with_agents(1500);
    for which in 0..2 {
        net.take_flows(which);
    }
    net.until("packets pass", Duration::from_secs(5), |net| net.pings(0));
    let mut rate = carried(&net);
    let (mut done, mut rounds, mut crowded) = (0, 0, 0);
    let mut sum = Arrived { sent: 0, lost: 0 };
    let mut steps = STEPS.iter().cycle();
    while done < wanted {
        let before = (lost_between(&net), drops(&net), overflowed(&net));
        let mut now = 0;
        let (arrived, pings) = traffic(&net, rate, || {
            if done + now >= wanted {
                return std::thread::sleep(Duration::from_millis(20));
            }
            let step = steps.next().unwrap();
            replace(&net, step);
            now += step.len() as u32;
        });
        let after = (lost_between(&net), drops(&net), overflowed(&net));
        eprintln!(
            "{now} rekeys at {rate} Mbit/s each way: {arrived:?}, {pings} pings lost; in full queues {}",
            after.2 - before.2
        );
        if after.2 > before.2 {
            // Nothing can be said of a round in which others kept the machine from its work.
            (crowded, rate) = (crowded + 1, (rate / 2).max(2));
            assert!(crowded <= 3 + rounds, "the machine is too busy for any traffic");
            continue;
        }
        assert_eq!(
            after, before,
            "whatever was sealed was opened, nothing was dropped"
        );
        assert_eq!(
            (arrived.lost, pings),
            (0, 0),
            "everything came to whom it was for"
        );
        (done, rounds, sum) = (done + now, rounds + 1, [sum, arrived].into_iter().sum());
    }
    eprintln!("{done} rekeys in {rounds} rounds: {sum:?}; {crowded} rounds did not count");
    for which in 0..2 {
        assert_conserved(|| net.status(which));
        let agreements = net.status(which).peers[0].agreements;
        assert!(agreements > u64::from(wanted) / 3, "{agreements}");
    }
    // What was replaced is forgotten.
    net.until("one pair is left", Duration::from_secs(10), |net| {
        let pairs = |which: usize| {
            let tunnel = net.status(which).peers.remove(0).tunnel;
            tunnel.map(|tunnel| tunnel.pairs.len())
        };
        pairs(0) == Some(1) && pairs(1) == Some(1)
    });
}
