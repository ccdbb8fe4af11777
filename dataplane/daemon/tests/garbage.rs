//! Whatever comes by the wire: no crash, a name for each drop, every packet accounted for, and members go on talking.

mod common;
#[path = "common/raw.rs"]
mod raw;

use common::controller::Controller;
use common::{ALICE, BOB, Lab, Member, control, data, is_root};
use raw::{Raw, fix_ipv4, frame, no_udp_checksum};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

/// Fragments are missing here: net_af_packet has the kernel put them together (PACKET_FANOUT_FLAG_DEFRAG), so that none comes
/// through. The pipeline's own tests drop them.
///
/// One name, and how a good frame is spoilt to be dropped under it.
type Spoilt = (&'static str, fn(&mut Vec<u8>));

const SPOILT: &[Spoilt] = &[
    ("ethernet_not_ours", |f| f[5] = 0x99),
    ("ethertype_unknown", |f| f[12..14].copy_from_slice(&[0x86, 0xdd])),
    ("ipv4_truncated", |f| f.truncate(14 + 19)),
    ("ipv4_version", |f| f[14] = 0x65),
    ("ipv4_length", |f| f.truncate(60)),
    ("ipv4_options", |f| f[14] = 0x46),
    ("ipv4_checksum", |f| f[24] ^= 1),
    ("ipv4_martian", |f| {
        f[26..30].copy_from_slice(&[127, 0, 0, 1]);
        fix_ipv4(f);
    }),
    ("ipv4_not_ours", |f| {
        f[33] = 11;
        fix_ipv4(f);
    }),
    ("protocol_unknown", |f| {
        f[23] = 47;
        fix_ipv4(f);
    }),
    ("udp_length", |f| f[39] ^= 1),
    ("udp_checksum", |f| f[40] ^= 1),
    ("udp_port_unknown", |f| f[36] ^= 1),
    ("shim_version", |f| {
        f[42] = 2;
        no_udp_checksum(f);
    }),
    ("shim_type_unknown", |f| {
        f[43] = 99;
        no_udp_checksum(f);
    }),
    ("director_not_ours", |f| {
        f[53] ^= 1;
        no_udp_checksum(f);
    }),
    ("source_unknown", |f| {
        f[57] = 60;
        no_udp_checksum(f);
    }),
    ("destination_unknown", |f| {
        f[61] = 60;
        no_udp_checksum(f);
    }),
    ("source_mismatch", |f| {
        f[35] ^= 1;
        no_udp_checksum(f);
    }),
    ("ttl_expired", |f| {
        f[22] = 1;
        fix_ipv4(f);
    }),
];

#[test]
fn every_kind_of_wrong_packet_has_its_name_and_floods_do_not_stop_members() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = lab.controller();
    let alice = lab.join(&mut controller, ALICE, 1);
    let bob = lab.join(&mut controller, BOB, 2);
    let mut raw = Raw::new(&lab);
    let SocketAddr::V4(from) = alice.socket.local_addr().unwrap() else {
        unreachable!("bound to an IPv4 address")
    };
    let good = frame(from, &data(alice.pseudo, bob.pseudo, &[0x45; 60]));

    // The good frame is good: what follows is dropped for what was spoilt, and for nothing else.
    raw.send([&good]);
    let mut buffer = [0; 2048];
    assert_eq!(bob.socket.recv(&mut buffer).unwrap(), 80);
    for (name, spoil) in SPOILT {
        let before = lab.dropped(name);
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        raw.send([&spoilt, &spoilt, &spoilt]);
        wait_for(|| lab.dropped(name) == before + 3, name);
    }
    for (name, short) in [("shim_truncated", 19), ("virtual_truncated", 39)] {
        let cut = data(alice.pseudo, bob.pseudo, &[0x45; 60]);
        raw.send([&frame(from, &cut[..short])]);
        wait_for(|| lab.dropped(name) == 1, name);
    }
    lab.assert_conserved();

    random_frames(&lab, &mut raw, &good);
    control_messages(&lab, &mut raw, &mut controller, &alice, &bob);
    assert_eq!(lab.stop(), Some(0));
}

/// Random octets, and good frames with random octets changed.
fn random_frames(lab: &Lab, raw: &mut Raw, good: &[u8]) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let frames: Vec<Vec<u8>> = (0..20_000)
        .map(|number| {
            let mut frame = good.to_vec();
            if number % 4 == 0 {
                let len = 14 + random.below(1400);
                frame.resize(len, 0);
                frame.iter_mut().for_each(|octet| *octet = random.next() as u8);
                // For us, at least.
                frame[..6].copy_from_slice(&good[..6]);
            } else {
                for _ in 0..1 + random.below(4) {
                    let at = random.below(frame.len());
                    frame[at] = random.next() as u8;
                }
                if number % 4 == 1 {
                    fix_ipv4(&mut frame);
                }
            }
            frame
        })
        .collect();
    let before = lab.stats().stats().unwrap().workers[0].received;
    let sent = raw.send(&frames);
    assert_eq!(sent, 20_000);
    let received = || lab.stats().stats().unwrap().workers[0].received - before;
    wait_for(|| received() >= sent * 9 / 10, "random frames");
    lab.assert_conserved();
}

/// A flood of messages for the controller, from made-up sources, while it takes none: members do not notice.
fn control_messages(lab: &Lab, raw: &mut Raw, controller: &mut Controller, alice: &Member, bob: &Member) {
    let mut random = Random(7);
    let frames: Vec<_> = (0..20_000)
        .map(|_| {
            let source = Ipv4Addr::new(198, 51, 100 + random.next() as u8 % 100, random.next() as u8);
            let source = SocketAddrV4::new(source, 1024 + random.next() as u16 / 2);
            frame(source, &control())
        })
        .collect();
    let before = lab.stats().stats().unwrap();
    let came_through = thread::scope(|scope| {
        let flood = scope.spawn(|| raw.send(&frames));
        let (mut came, mut sent) = (0, 0u32);
        while !flood.is_finished() {
            let numbered = [&sent.to_be_bytes()[..], &[0x45; 96]].concat();
            alice.send(bob.pseudo, &numbered);
            sent += 1;
            came += u32::from(arrives(bob, &data(alice.pseudo, bob.pseudo, &numbered)));
        }
        assert_eq!(flood.join().unwrap(), 20_000);
        println!("{came} of {sent} packets came through the flood");
        f64::from(came) / f64::from(sent)
    });
    assert!(came_through >= 0.95, "{came_through}");
    lab.assert_conserved();
    let after = lab.stats().stats().unwrap();
    let (was, is) = (&before.workers[0], &after.workers[0]);
    assert!(
        is.transmitted_bytes - was.transmitted_bytes <= is.received_bytes - was.received_bytes,
        "never more octets out than in"
    );
    // What the queue held is there; the rest has a name.
    let handed =
        |stats: &kith_api::stats::Stats| -> u64 { stats.packet_ins.iter().map(|one| one.count).sum() };
    let named = lab.dropped("punt_queue_full") + lab.dropped("punt_limited");
    let (handed, queue) = (handed(&after) - handed(&before), 1024);
    println!("{handed} of 20000 messages are in the queue to the controller, {named} have no room");
    assert!(handed >= queue, "the queue is used");
    assert!(named > 0, "and it is bounded");
    assert!(controller.packet_in().is_some());
    assert_eq!(controller.sessions().len(), 2, "nobody got in");
}

/// Does this very datagram arrive? What was on its way before is passed over.
fn arrives(member: &Member, wanted: &[u8]) -> bool {
    let mut buffer = [0; 2048];
    let timeout = Some(Duration::from_millis(200));
    member.socket.set_read_timeout(timeout).unwrap();
    while let Ok(len) = member.socket.recv(&mut buffer) {
        if buffer[..len] == *wanted {
            return true;
        }
    }
    false
}

fn wait_for(done: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Marsaglia's xorshift: the same frames in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
