use super::*;
use kith_pipeline::units::PortIndex;
use std::net::Ipv4Addr;

const A: OnLink = on_link(21);
const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 99]);

const fn on_link(last: u8) -> OnLink {
    OnLink {
        port: PortIndex(0),
        address: Ipv4Addr::new(203, 0, 113, last),
    }
}

fn at(seconds: u64) -> Nanos {
    Nanos(seconds * 1_000_000_000)
}

fn few() -> Neighbors<u32> {
    Neighbors::new(Limits {
        entries: 2,
        held_each: 3,
        held_all: 4,
        ..Limits::default()
    })
}

/// Requests, packets given up, neighbours gone.
fn tick(neighbors: &mut Neighbors<u32>, now: Nanos) -> (Vec<Ask>, Vec<u32>, Vec<OnLink>) {
    let (mut asks, mut lost, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    neighbors.tick(now, &mut asks, &mut lost, &mut gone);
    (asks, lost, gone)
}

fn station(neighbors: &Neighbors<u32>, wanted: OnLink) -> Option<MacAddr> {
    neighbors.list().find(|(there, ..)| *there == wanted)?.1
}

#[test]
fn packets_wait_for_the_answer_in_order() {
    let mut neighbors = few();
    let Held::Waits(Some(ask)) = neighbors.hold(at(0), A, 1) else {
        panic!("the first packet asks")
    };
    assert_eq!((ask.neighbor, ask.station), (A, None));
    assert_eq!(neighbors.hold(at(0), A, 2), Held::Waits(None));
    assert_eq!(neighbors.held(), 2);
    let seen = neighbors.seen(at(0), A, STATION, false);
    assert_eq!((seen.is_new, seen.released), (true, vec![1, 2]));
    assert!(!neighbors.seen(at(0), A, STATION, false).is_new);
    assert_eq!(neighbors.hold(at(1), A, 3), Held::Known(3));
    assert_eq!((station(&neighbors, A), neighbors.held()), (Some(STATION), 0));
}

#[test]
fn who_does_not_answer_three_requests_is_given_up_with_his_packets() {
    let mut neighbors = few();
    neighbors.hold(at(0), A, 1);
    assert_eq!(tick(&mut neighbors, Nanos(999_999_999)).0.len(), 0);
    assert_eq!(tick(&mut neighbors, at(1)).0.len(), 1);
    assert_eq!(tick(&mut neighbors, at(2)).0.len(), 1);
    let (asks, lost, gone) = tick(&mut neighbors, at(3));
    assert_eq!((asks.len(), lost, gone.len()), (0, vec![1], 0));
    assert_eq!((neighbors.held(), neighbors.list().count()), (0, 0));
    assert!(
        matches!(neighbors.hold(at(3), A, 2), Held::Waits(Some(_))),
        "a later packet asks anew"
    );
}

#[test]
fn queues_are_bounded_for_each_and_in_all() {
    let mut neighbors = few();
    let (b, c) = (on_link(22), on_link(23));
    for packet in 0..3 {
        assert!(matches!(neighbors.hold(at(0), A, packet), Held::Waits(_)));
    }
    assert_eq!(neighbors.hold(at(0), A, 3), Held::Full(3));
    assert!(matches!(neighbors.hold(at(0), b, 4), Held::Waits(Some(_))));
    assert_eq!(neighbors.hold(at(0), b, 5), Held::Full(5), "four in all");
    neighbors.seen(at(0), A, STATION, false);
    assert_eq!(neighbors.hold(at(0), c, 6), Held::Full(6), "two neighbours");
}

#[test]
fn a_known_neighbour_is_asked_again_and_used_meanwhile() {
    let mut neighbors = few();
    neighbors.seen(at(0), A, STATION, true);
    let (asks, ..) = tick(&mut neighbors, at(30));
    assert_eq!(asks[0].station, Some(STATION), "it alone is asked");
    assert_eq!(neighbors.hold(at(30), A, 1), Held::Known(1));
    assert!(!neighbors.seen(at(30), A, STATION, false).is_new);
    tick(&mut neighbors, at(60));
    tick(&mut neighbors, at(61));
    let (asks, ..) = tick(&mut neighbors, at(62));
    assert_eq!(asks[0].station, None, "the last try asks all");
    let (_, _, gone) = tick(&mut neighbors, at(63));
    assert_eq!((gone, neighbors.list().count()), (vec![A], 0));
}

#[test]
fn strangers_are_learnt_only_when_they_ask_us_and_a_port_is_a_link_of_its_own() {
    let mut neighbors = few();
    assert!(!neighbors.seen(at(0), A, STATION, false).is_new);
    assert_eq!(neighbors.list().count(), 0);
    assert!(neighbors.seen(at(0), A, STATION, true).is_new);
    let elsewhere = OnLink {
        port: PortIndex(1),
        ..A
    };
    assert!(!neighbors.seen(at(0), elsewhere, OTHER, false).is_new);
    assert_eq!(station(&neighbors, A), Some(STATION));
    assert!(neighbors.seen(at(0), A, OTHER, false).is_new, "it got a new card");
    assert_eq!(station(&neighbors, A), Some(OTHER));
}

#[test]
fn what_is_written_wins_and_stays() {
    let mut neighbors = few();
    neighbors.hold(at(0), A, 1);
    assert_eq!(neighbors.write(A, Some(OTHER)), [1], "who waited goes on");
    assert_eq!(neighbors.held(), 0);
    assert!(!neighbors.seen(at(0), A, STATION, true).is_new);
    neighbors.forget(A);
    assert_eq!(tick(&mut neighbors, at(100)).0.len(), 0, "it is not asked for");
    assert_eq!(station(&neighbors, A), Some(OTHER));
    // It takes no room from those that are learnt.
    for last in 22..25 {
        neighbors.seen(at(0), on_link(last), STATION, true);
    }
    assert_eq!(neighbors.list().count(), 3);
    assert!(neighbors.write(A, None).is_empty());
    assert_eq!(station(&neighbors, A), None);
    neighbors.write(on_link(22), None);
    assert_eq!(
        station(&neighbors, on_link(22)),
        Some(STATION),
        "what was learnt is not taken back"
    );
}
