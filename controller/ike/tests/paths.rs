//! Datagrams: where they come from and go to, and how long they are (RFC 7296 sections 2.11 and 2.23; RFC 4555; RFC 7383).

mod by_hand;
mod world;

use by_hand::*;
use kith_ike::codec::{Exchange, NotifyKind, Payload, parse};
use kith_ike::suite::IkePreferences;
use kith_ike::*;
use world::config;

fn kinds(payloads: &[Payload]) -> Vec<NotifyKind> {
    errors(payloads).into_iter().map(|(kind, _)| kind).collect()
}

fn detecting() -> Config {
    Config::new(IkePreferences::default(), Nat::Detect)
}

#[test]
fn an_answer_goes_where_the_question_came_from() {
    let mut hand = Hand::plain();
    let home = hand.path;
    hand.path.remote = "203.0.113.9:61000".parse().unwrap();
    let answers = hand.send(Exchange::Informational, &[]);
    assert_eq!(answers[0].0, hand.path);
    // And nothing else goes there: the peer said nothing of having moved.
    assert_eq!(
        hand.world.ends[1]
            .endpoint
            .view(hand.world.ends[1].up[0])
            .unwrap()
            .path,
        Some(home)
    );
}

#[test]
fn what_looks_for_translators_is_answered_in_kind() {
    let mut hand = Hand::up(detecting(), &[note(NotifyKind::MOBIKE_SUPPORTED, b"ignored")]);
    let said = [
        note(NotifyKind::NAT_DETECTION_SOURCE_IP, &[0; 20]),
        note(NotifyKind::NAT_DETECTION_DESTINATION_IP, &[0; 20]),
    ];
    let kinds: Vec<NotifyKind> = hand
        .ask(Exchange::Informational, &said)
        .iter()
        .map(|payload| match payload {
            Payload::Notify(notify) => notify.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            NotifyKind::NAT_DETECTION_SOURCE_IP,
            NotifyKind::NAT_DETECTION_DESTINATION_IP
        ]
    );
}

#[test]
fn addresses_that_must_not_be_translated_are_compared_with_those_of_the_datagram() {
    let seen = |hand: &Hand| {
        let (source, destination) = (hand.path.remote, hand.path.local);
        let (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) = (source.ip(), destination.ip()) else {
            panic!("IPv4")
        };
        let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        [a.octets().to_vec(), b.octets().to_vec(), ports].concat()
    };
    let mut hand = Hand::up(config(), &[note(NotifyKind::MOBIKE_SUPPORTED, &[])]);
    let home = hand.path;
    let update = note(NotifyKind::UPDATE_SA_ADDRESSES, &[]);
    let lie = note(NotifyKind::NO_NATS_ALLOWED, &seen(&hand));
    hand.path.remote = "203.0.113.9:500".parse().unwrap();
    let answers = hand.send(Exchange::Informational, &[update.clone(), lie]);
    assert_eq!(answers[0].0, hand.path);
    assert_eq!(
        kinds(&hand.open(&answers[0].1)),
        [NotifyKind::UNEXPECTED_NAT_DETECTED]
    );
    let path_of = |hand: &Hand| {
        hand.world.ends[1]
            .endpoint
            .view(hand.world.ends[1].up[0])
            .unwrap()
            .path
    };
    assert_eq!(path_of(&hand), Some(home));
    let truth = note(NotifyKind::NO_NATS_ALLOWED, &seen(&hand));
    assert_eq!(kinds(&hand.ask(Exchange::Informational, &[update, truth])), []);
    assert_eq!(path_of(&hand), Some(hand.path));
}

#[test]
fn a_peer_behind_a_translator_is_followed_unless_it_speaks_for_itself() {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let mut octets = [first_header().initiator_spi.to_octets(), [0; 8]].concat();
    let std::net::IpAddr::V4(ours) = arriving().local.ip() else {
        panic!("IPv4")
    };
    octets.extend_from_slice(&ours.octets());
    octets.extend_from_slice(&arriving().local.port().to_be_bytes());
    let ours = digest(&SHA1_FOR_LEGACY_USE_ONLY, &octets);
    // Its own address is not the one that we see, ours is.
    let nat = [
        note(NotifyKind::NAT_DETECTION_SOURCE_IP, &[0; 20]),
        note(NotifyKind::NAT_DETECTION_DESTINATION_IP, ours.as_ref()),
    ];
    for mobike in [false, true] {
        let mut hand = Hand::begin(detecting(), &nat, |_| ());
        let mut said = hand.proof();
        if mobike {
            said.push(note(NotifyKind::MOBIKE_SUPPORTED, &[]));
        }
        hand.ask(Exchange::IkeAuth, &said);
        let home = hand.path;
        hand.path.remote = "203.0.113.9:61000".parse().unwrap();
        hand.ask(Exchange::Informational, &[]);
        let path = hand.world.ends[1]
            .endpoint
            .view(hand.world.ends[1].up[0])
            .unwrap()
            .path;
        assert_eq!(path, Some(if mobike { home } else { hand.path }));
    }
}

#[test]
fn a_datagram_of_1280_octets_and_more_is_taken() {
    for length in [1280, 3000] {
        let mut hand = Hand::plain();
        let said = [Payload::VendorId(vec![b'x'; length - 61])];
        assert_eq!(hand.ask(Exchange::Informational, &said), []);
        assert_eq!(hand.sent.len(), length);
        assert!(parse(&hand.sent).is_ok());
    }
}

#[test]
fn fragments_are_taken_only_if_both_ends_said_so() {
    for said_so in [false, true] {
        let more = [note(NotifyKind::IKEV2_FRAGMENTATION_SUPPORTED, b"ignored")];
        let mut hand = Hand::begin(config(), if said_so { &more } else { &[] }, |_| ());
        let said = hand.proof();
        hand.ask(Exchange::IkeAuth, &said);
        let header = hand.header(Exchange::Informational);
        let long = [Payload::VendorId(vec![b'x'; 2000])];
        let fragments = hand.fragments(&header, &long, 600);
        assert!(fragments.len() > 3);
        hand.next += 1;
        let mut answers = Vec::new();
        for fragment in &fragments {
            answers.extend(tell(&mut hand.world, hand.path, fragment));
        }
        assert_eq!(answers.len(), usize::from(said_so));
        let counters = hand.world.ends[1].endpoint.counters();
        let refused = if said_so { 0 } else { fragments.len() as u64 };
        assert_eq!(counters.get(Drop::NotAuthentic), refused);
    }
}

#[test]
fn of_an_answered_request_only_the_first_fragment_is_answered_again() {
    let more = [note(NotifyKind::IKEV2_FRAGMENTATION_SUPPORTED, &[])];
    let mut hand = Hand::begin(config(), &more, |_| ());
    let said = hand.proof();
    hand.ask(Exchange::IkeAuth, &said);
    let header = hand.header(Exchange::Informational);
    let fragments = hand.fragments(&header, &[Payload::VendorId(vec![b'x'; 2000])], 600);
    let mut answers = Vec::new();
    for fragment in &fragments {
        answers.extend(tell(&mut hand.world, hand.path, fragment));
    }
    hand.world.now += 1_000;
    for fragment in &fragments[1..] {
        assert_eq!(tell(&mut hand.world, hand.path, fragment), []);
    }
    assert_eq!(tell(&mut hand.world, hand.path, &fragments[0]), answers);
}
