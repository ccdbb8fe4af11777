//! A relay packet goes through the compiled program octet for octet.

mod common;

use common::*;
use kith_wire::ipv4::Ipv4;
use std::net::SocketAddrV4;
use zerocopy::{FromBytes, IntoBytes};

/// What data from A must be when it leaves for B: new stations, addresses and ports, the time to live one less, all else as it was.
fn relayed(sent: &[u8]) -> Vec<u8> {
    let with_checksum = sent[40..42] != [0, 0];
    let from = SocketAddrV4::new(DIRECTOR, UDP_PORT);
    let mut frame = frame((AT_B, OURS_TOWARDS_B), from, B, &sent[42..], with_checksum);
    let (ip, _) = Ipv4::mut_from_prefix(&mut frame[14..]).expect("a header");
    ip.decrement_ttl();
    assert_eq!(ip.as_bytes().len(), 20);
    frame
}

#[test]
fn data_between_two_sessions_leaves_with_new_outer_headers() {
    let mut runner = director();
    for with_checksum in [false, true] {
        let sent = data(with_checksum);
        let out = runner.send(0, &sent).expect("it runs");
        let [out] = &out[..] else {
            panic!("{out:?} {:?}", runner.counters("drops"))
        };
        assert_eq!(out.port, 1);
        assert_eq!(out.bytes, relayed(&sent), "UDP checksum: {with_checksum}");
    }
    assert_eq!(
        runner.counters("drops").expect("a counter").iter().sum::<u64>(),
        0
    );
}
