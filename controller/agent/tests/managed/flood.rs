//! Tens of thousands of IKE_SA_INIT a second, from virtual addresses that are nobody's: what members say to each other goes on.
//!
//! ```text
//!  router: one thread, no ticket, junk, altered tickets; some in the name of a ──► b ◄──► a: iperf3 both ways at a fixed rate
//! ```
//!
//! The sender has the least of the processor: an attacker's own work is done elsewhere. What the kernel does with its datagrams, and the agent,
//! stays.

use super::ike::first_message;
use super::member::{Identity, inside};
use super::{KEYS, World, identity};
use crate::common::load::Arrived;
use crate::common::privileged;
use kith_agent::status::KeyState;
use rustix::process::nice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Datagrams a second at most; `KITH_FLOOD` says another number.
const RATE: u32 = 50_000;
/// Different ones.
const DIFFERENT: u32 = 2_000;
/// Of these, in the name of a member: many more than may be begun before a cookie is asked for.
const IN_ITS_NAME: u32 = 200;
/// Seconds of traffic.
const SPAN: u32 = 3;
/// Mbit/s each way; less, if the machine is kept busy by others.
const RATES: [u32; 3] = [50, 20, 8];

/// First messages of nobody's: all kinds in turn.
fn junk() -> Vec<Vec<u8>> {
    let (a, b) = (identity(0), identity(1));
    let mut random = vec![0; 4 * DIFFERENT as usize];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let sources = random
        .as_chunks::<4>()
        .0
        .iter()
        .map(|octets| Ipv4Addr::from(*octets));
    let numbered = (0..DIFFERENT).zip(sources);
    let message = |(number, source): (u32, Ipv4Addr)| {
        let address = if number < IN_ITS_NAME { a.address } else { source };
        let from = Identity { address, ..a };
        let mut ticket = from.ticket(&b, KEYS[0], |_| {});
        match number % 4 {
            0 => ticket.clear(),
            1 => ticket.truncate(40),
            2 => ticket.iter_mut().for_each(|octet| *octet ^= number as u8 | 1),
            _ => ticket[60] ^= 1,
        }
        first_message(&from, &b, KEYS[0], &ticket)
    };
    numbered.map(message).collect()
}

struct Flood {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<(u64, Duration)>,
}

impl Flood {
    fn begin(socket: &UdpSocket, to: SocketAddrV4, junk: Vec<Vec<u8>>) -> Self {
        let (stop, socket) = (Arc::new(AtomicBool::new(false)), socket.try_clone().unwrap());
        let stopped = stop.clone();
        let sender = std::thread::spawn(move || {
            // On Linux this is about the thread alone.
            nice(19).unwrap();
            let most = std::env::var("KITH_FLOOD")
                .ok()
                .and_then(|rate| rate.parse().ok());
            let most: u32 = most.unwrap_or(RATE);
            let start = Instant::now();
            let mut sent = 0;
            for datagram in junk.iter().cycle() {
                while f64::from(most) * start.elapsed().as_secs_f64() < sent as f64 {
                    std::thread::sleep(Duration::from_micros(200));
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                sent += u64::from(socket.send_to(datagram, to).is_ok());
            }
            (sent, start.elapsed())
        });
        Self { stop, sender }
    }

    /// How many were sent, and how many a second.
    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, took) = self.sender.join().unwrap();
        (sent, (sent as f64 / took.as_secs_f64()) as u64)
    }
}

/// Octets of memory of this process, which both members are in.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

fn traffic(world: &World, mbits: u32) -> Arrived {
    let flows = [0, 1].map(|from| world.net.flow(from, mbits, SPAN));
    flows.into_iter().map(|flow| flow.arrived()).sum()
}

#[test]
fn a_flood_of_first_messages_leaves_no_state_and_leaves_members_their_traffic() {
    if !privileged() {
        return;
    }
    let mut world = World::acquainted();
    for which in 0..2 {
        world.net.take_flows(which);
    }
    let address: SocketAddrV4 = "198.51.100.254:33333".parse().unwrap();
    let router = world.net.router_namespace();
    let socket = inside(&router, move || UdpSocket::bind(address).unwrap());
    let (b, junk) = (&world.members[1], junk());
    let mut kept = 0.0;
    for mbits in RATES {
        let before = traffic(&world, mbits);
        let (memory, answered) = (resident(), b.status().packets.keying_tx);
        let flood = Flood::begin(&socket, b.identity.public, junk.clone());
        let during = traffic(&world, mbits);
        let (sent, rate) = flood.end();
        kept = during.got() as f64 / before.got() as f64;
        let status = b.status();
        let grown = resident().saturating_sub(memory);
        let answers = status.packets.keying_tx - answered;
        eprintln!(
            "{mbits} Mbit/s each way, {sent} first messages, {rate} a second: {before:?} before, {during:?} during, {:.2} % kept; {answers} answers, {} KiB more; {:?} {:?} {:?}",
            kept * 100.0,
            grown >> 10,
            status.drops,
            status.refusals,
            status.packets
        );
        // No place, no keys; the handshakes that are begun in a member's name are few whatever comes.
        assert_eq!(status.peers.len(), 1);
        assert_eq!(status.peers[0].keys, KeyState::Up);
        assert!(grown < 16 << 20, "{grown} octets of memory more");
        assert!(answers < sent / 5, "{answers}");
        assert!(
            status.refusals["ike_cookie_asked"] > answers / 2,
            "{:?}",
            status.refusals
        );
        // Dropped with next to no work, or by the kernel before.
        let dropped = status.drops["punt_limited"] + status.packets.udp_overflow;
        assert!(dropped > sent / 2, "{dropped} of {sent}");
        if kept >= 0.95 {
            break;
        }
    }
    assert!(kept >= 0.95, "{kept} of the traffic is left");
    assert!(world.net.pings(0) && world.net.pings(1));
}
