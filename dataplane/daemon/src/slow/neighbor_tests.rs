//! Who is on the link, when a controller has a say in it: what is written wins, what is deleted is learnt anew.

use super::tests::{
    ALICE, BOB, DIRECTOR, PORT, THEIRS, arp, at, bound, data, give, insert, parsed, slow, station, take,
    write,
};
use super::*;
use kith_p4runtime::entry::{Entry, NeighborKey, Resolve};
use kith_p4runtime::update::Update;
use kith_pipeline::packet::HostPacket;
use kith_wire::arp::{Arp, Operation};
use std::net::Ipv4Addr;

fn neighbor(address: Ipv4Addr, station: MacAddr) -> (NeighborKey, Resolve) {
    (NeighborKey { port: PORT, address }, Resolve { station })
}

#[test]
fn a_neighbour_that_a_controller_writes_is_used_and_never_aged() {
    let mut slow = slow();
    give(&mut slow, PuntReason::NeighborMiss, &data(bound(ALICE), 60));
    assert_eq!(slow.held(), 1);
    let written = MacAddr([2, 0, 0, 0, 0, 99]);
    write(&slow.control, [insert(neighbor(BOB, written))]);
    slow.tick(at(20), &mut || None);
    let sent = take(&mut slow);
    assert_eq!(parsed(&sent[0]).0.destination, written, "who waited goes there");

    // Bob says otherwise, time passes: it stays.
    give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Request, (THEIRS, BOB), DIRECTOR),
    );
    for minute in 1..5 {
        slow.tick(at(minute * 60_000), &mut || None);
    }
    assert_eq!(station(&slow, BOB), Some(written));

    // Taken back, it is learnt as any other.
    write(
        &slow.control,
        [Update::Delete(Entry::from(neighbor(BOB, written)).key())],
    );
    give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Request, (THEIRS, BOB), DIRECTOR),
    );
    assert_eq!(station(&slow, BOB), Some(THEIRS));
}

#[test]
fn a_learnt_neighbour_that_a_controller_deletes_is_asked_for_again() {
    let mut slow = slow();
    let asks = arp(Operation::Request, (THEIRS, BOB), DIRECTOR);
    give(&mut slow, PuntReason::Arp, &asks);
    write(
        &slow.control,
        [Update::Delete(Entry::from(neighbor(BOB, THEIRS)).key())],
    );
    assert_eq!(station(&slow, BOB), None);
    let asked = give(&mut slow, PuntReason::NeighborMiss, &data(bound(ALICE), 60));
    assert_eq!(Arp::parse(&asked[0].bytes()[14..]).unwrap().target().1, BOB);
    let sent = give(&mut slow, PuntReason::Arp, &asks);
    assert_eq!(
        (sent.len(), station(&slow, BOB)),
        (2, Some(THEIRS)),
        "an answer, and who waited"
    );
}

#[test]
fn a_neighbour_that_falls_silent_leaves_the_table() {
    let mut slow = slow();
    give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Request, (THEIRS, BOB), DIRECTOR),
    );
    for second in 0..40 {
        slow.tick(at(second * 1000), &mut || Some(HostPacket::new(2048, 128)));
        take(&mut slow);
    }
    assert_eq!(station(&slow, BOB), None);
}
