//! All 65,536 values of a word under a checksum that changes: among them are both zeroes, in front and behind.

use kith_p4_conformance::compare;
use kith_p4_conformance::frame;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::rust::Rust;
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::world::{Input, Outcome};

/// Sends a frame with every value of a word, written as text by `lines`; gives how many were sent.
fn sweep(world: &str, lines: impl Fn(u16) -> Vec<String>) -> usize {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let world = suite.world(world).unwrap();
    let (mut rust, mut p4) = (
        Rust::new(world).unwrap(),
        P4::new(&suite.compiled, world).unwrap(),
    );
    let mut sent = 0;
    for word in 0..=u16::MAX {
        let frame = frame::build(lines(word).iter().map(String::as_str)).unwrap();
        let outcome = compare::both(&mut rust, &mut p4, &Input { port: 0, frame });
        let outcome = outcome.unwrap_or_else(|why| panic!("{word:#06x}\n{why}"));
        sent += usize::from(matches!(outcome, Outcome::Sent { .. }));
    }
    sent
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn checksums_of_relayed_packets() {
    let of = |word: u16| {
        let ipv4 = format!("ipv4 source=203.0.113.21 destination=203.0.113.10 id={word}");
        let content = format!("hex {word:04x}000000");
        lines(&[
            "ethernet destination=02:00:00:00:00:10",
            &ipv4,
            "udp source=40001 destination=20202 checksum=right",
            "shim destination_director=203.0.113.10 source_member=240.0.0.1 destination_member=240.0.0.2",
            "ipv4 source=10.77.0.1 destination=10.77.0.2",
            &content,
        ])
    };
    assert_eq!(sweep("director", of), 0x1_0000);
}

#[test]
fn checksums_of_translated_datagrams() {
    let of = |word: u16| {
        let content = format!("hex {word:04x}00");
        lines(&[
            "ethernet destination=02:00:00:00:00:20",
            "ipv4 source=192.168.1.5 destination=192.168.1.209",
            "udp source=1000 destination=2000 checksum=right",
            &content,
        ])
    };
    assert_eq!(sweep("gateway", of), 0x1_0000);
}

#[test]
fn checksums_of_translated_segments_whose_size_is_lowered() {
    let of = |word: u16| {
        let tcp = format!("tcp source=1000 destination=80 data_offset=0x60 flags=2 urgent={word}");
        lines(&[
            "ethernet destination=02:00:00:00:00:20",
            "ipv4 source=192.168.1.5 destination=192.168.1.209",
            &tcp,
            "hex 020405b4",
        ])
    };
    assert_eq!(sweep("gateway", of), 0x1_0000);
}

#[test]
fn segment_sizes() {
    let of = |word: u16| {
        let option = format!("hex 0204{word:04x}");
        lines(&[
            "ethernet destination=02:00:00:00:00:20",
            "ipv4 source=192.168.1.5 destination=192.168.1.209",
            "tcp source=1000 destination=80 data_offset=0x60 flags=2",
            &option,
        ])
    };
    assert_eq!(sweep("gateway", of), 0x1_0000);
}
