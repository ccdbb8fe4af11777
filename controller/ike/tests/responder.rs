//! What a responder owes to whatever a peer sends: one test for each thing that honest ends never show each other.

mod by_hand;
mod world;

use by_hand::*;
use kith_ike::codec::{
    Delete, Exchange, Header, KeyExchange, Notify, NotifyKind, Payload, Protocol, encode_clear,
};
use kith_ike::suite::{Additional, IkePreferences};
use kith_ike::*;
use world::{config, post_quantum};

const UNKNOWN: u8 = 200;

fn unknown(critical: bool) -> Payload {
    Payload::Unknown {
        kind: UNKNOWN,
        critical,
        data: b"later".to_vec(),
    }
}

fn kinds(payloads: &[Payload]) -> Vec<NotifyKind> {
    errors(payloads).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn payloads_in_any_order_are_taken() {
    let mut hand = Hand::begin(config(), &[], |said| said.reverse());
    let mut said = hand.proof();
    said.reverse();
    assert_eq!(errors(&hand.ask(Exchange::IkeAuth, &said)), []);
    assert_eq!(hand.world.ends[1].spis.len(), 1);
}

#[test]
fn an_unknown_payload_is_skipped_in_every_exchange() {
    let mut hand = Hand::begin(config(), &[unknown(false)], |_| ());
    let mut said = hand.proof();
    said.insert(0, unknown(false));
    assert_eq!(errors(&hand.ask(Exchange::IkeAuth, &said)), []);
    assert_eq!(hand.ask(Exchange::Informational, &[unknown(false)]), []);
}

#[test]
fn an_unknown_critical_payload_is_refused_by_its_number_in_every_exchange() {
    let refusal = [(NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD, vec![UNKNOWN])];
    let mut world = alone(config());
    let mut said = hello(&[5; 32], &share());
    said.push(unknown(true));
    let answers = tell(&mut world, arriving(), &encode_clear(&first_header(), &said));
    assert_eq!(errors(&payloads_of(&answers[0].1)), refusal);
    assert_eq!(world.ends[1].endpoint.occupancy(), (0, 0));

    let mut hand = Hand::begin(config(), &[], |_| ());
    let mut said = hand.proof();
    said.push(unknown(true));
    assert_eq!(errors(&hand.ask(Exchange::IkeAuth, &said)), refusal);
    assert!(hand.world.ends[1].up.is_empty());

    for exchange in [Exchange::Informational, Exchange::CreateChildSa] {
        let mut hand = Hand::plain();
        assert_eq!(errors(&hand.ask(exchange, &[unknown(true)])), refusal);
        assert_eq!(hand.ask(Exchange::Informational, &[]), [], "it is still up");
    }
}

#[test]
fn a_request_sent_again_gets_the_same_octets_and_nothing_happens_twice() {
    let mut hand = Hand::begin(config(), &[], |_| ());
    let [asked, answered] = hand.transcript.clone();
    let again = tell(&mut hand.world, hand.path, &asked);
    assert_eq!(again, [(hand.path, answered)]);
    let said = hand.proof();
    let answer = hand.send(Exchange::IkeAuth, &said);
    assert_eq!(hand.world.ends[1].up.len(), 1);
    hand.world.now += 1_000;
    let sent = hand.sent.clone();
    assert_eq!(tell(&mut hand.world, hand.path, &sent), answer);
    assert_eq!(
        (hand.world.ends[1].up.len(), hand.world.ends[1].spis.len()),
        (1, 1)
    );
    // One that was forgotten since gets nothing.
    hand.ask(Exchange::Informational, &[]);
    hand.ask(Exchange::Informational, &[]);
    assert_eq!(tell(&mut hand.world, hand.path, &sent), []);
}

#[test]
fn nonsense_under_good_keys_is_answered() {
    let mut hand = Hand::plain();
    // Both kinds of trouble: no pair can be made of this, and no IKE SA has such an exchange by now.
    let alone = [Payload::Nonce(vec![1; 32])];
    assert_eq!(
        kinds(&hand.ask(Exchange::CreateChildSa, &alone)),
        [NotifyKind::INVALID_SYNTAX]
    );
    assert_eq!(
        kinds(&hand.ask(Exchange::IkeAuth, &alone)),
        [NotifyKind::INVALID_SYNTAX]
    );
    assert_eq!(hand.ask(Exchange::Informational, &[]), []);
}

#[test]
fn an_unknown_notification_changes_nothing() {
    let mut hand = Hand::plain();
    let said = [
        note(NotifyKind(50_000), b"status"),
        note(NotifyKind(8_000), b"error"),
        Payload::VendorId(b"somebody".to_vec()),
        note(NotifyKind::SET_WINDOW_SIZE, &[0, 0, 0, 9]),
    ];
    assert_eq!(hand.ask(Exchange::Informational, &said), []);
    assert_eq!(hand.world.ends[1].spis.len(), 1);
}

#[test]
fn a_cookie_that_is_wrong_is_as_good_as_none() {
    let mut config = config();
    config.cookies_from = 0;
    let mut world = alone(config);
    let mut said = hello(&[5; 32], &share());
    said.insert(0, note(NotifyKind::COOKIE, b"wrong"));
    let answers = tell(&mut world, arriving(), &encode_clear(&first_header(), &said));
    let fresh = payloads_of(&answers[0].1);
    let [Payload::Notify(cookie)] = fresh.as_slice() else {
        panic!("{fresh:?}")
    };
    assert_eq!(cookie.kind, NotifyKind::COOKIE);
    assert!((1..=64).contains(&cookie.data.len()));
    said[0] = Payload::Notify(cookie.clone());
    let answers = tell(&mut world, arriving(), &encode_clear(&first_header(), &said));
    assert!(payloads_of(&answers[0].1).len() > 1);
}

#[test]
fn a_higher_major_version_is_told_ours_and_a_minor_one_is_ignored() {
    let said = hello(&[5; 32], &share());
    let mut octets = encode_clear(&first_header(), &said);
    let mut world = alone(config());
    octets[17] = 0x30;
    let answers = tell(&mut world, arriving(), &octets);
    assert_eq!(answers[0].1[17], 0x20);
    assert_eq!(
        kinds(&payloads_of(&answers[0].1)),
        [NotifyKind::INVALID_MAJOR_VERSION]
    );
    assert_eq!(world.ends[1].endpoint.occupancy(), (0, 0));
    octets[17] = 0x2f;
    octets[19] |= 0xd7;
    let answers = tell(&mut world, arriving(), &octets);
    assert_eq!((answers[0].1[17], answers[0].1[19]), (0x20, 0x20));
    assert_eq!(errors(&payloads_of(&answers[0].1)), []);
}

#[test]
fn a_response_that_nobody_asked_for_is_never_answered() {
    let mut hand = Hand::plain();
    for id in [0, 1, hand.next] {
        let header = Header {
            response: true,
            message_id: kith_ike::codec::MessageId(id),
            ..hand.header(Exchange::Informational)
        };
        let octets = hand.seal(&header, &[unknown(true)]);
        assert_eq!(tell(&mut hand.world, hand.path, &octets), []);
    }
    let first = Header {
        response: true,
        ..first_header()
    };
    let octets = encode_clear(&first, &hello(&[5; 32], &share()));
    assert_eq!(tell(&mut hand.world, hand.path, &octets), []);
    assert_eq!(hand.ask(Exchange::Informational, &[]), []);
}

#[test]
fn what_is_not_protected_changes_nothing() {
    let mut hand = Hand::plain();
    let said = [
        note(NotifyKind::INVALID_IKE_SPI, &[]),
        Payload::Delete(Delete::Ike),
    ];
    for response in [false, true] {
        let header = Header {
            response,
            ..hand.header(Exchange::Informational)
        };
        let octets = encode_clear(&header, &said);
        assert_eq!(tell(&mut hand.world, hand.path, &octets), []);
    }
    // An IKE SA that is not there.
    let header = Header {
        responder_spi: kith_ike::codec::IkeSpi(77),
        ..hand.header(Exchange::Informational)
    };
    let octets = hand.seal(&header, &[]);
    assert_eq!(tell(&mut hand.world, hand.path, &octets), []);
    assert_eq!(hand.ask(Exchange::Informational, &[]), []);
    assert_eq!(hand.world.ends[1].spis.len(), 1);
}

#[test]
fn nothing_but_ike_auth_is_taken_before_ike_auth() {
    for exchange in [
        Exchange::Informational,
        Exchange::CreateChildSa,
        Exchange::IkeIntermediate,
    ] {
        let mut hand = Hand::begin(config(), &[], |_| ());
        assert_eq!(hand.send(exchange, &[]), []);
        assert!(hand.world.ends[1].events.is_empty());
    }
}

#[test]
fn ike_auth_is_not_taken_before_the_additional_exchange() {
    let supported = note(NotifyKind::INTERMEDIATE_EXCHANGE_SUPPORTED, b"ignored");
    let both = IkePreferences {
        additional: Additional::Require,
        ..IkePreferences::default()
    };
    let mut hand = Hand::begin(post_quantum(), &[supported], |said| {
        said[0] = Payload::Sa(both.proposals(None));
    });
    let said = hand.proof();
    assert_eq!(hand.send(Exchange::IkeAuth, &said), []);
    assert!(hand.world.ends[1].up.is_empty());
}

#[test]
fn a_pair_that_the_peer_closes_is_closed_in_both_directions() {
    let mut hand = Hand::plain();
    let (_, (ours, theirs)) = hand.world.ends[1].spis.first_key_value().unwrap();
    let (ours, theirs) = (*ours, *theirs);
    let answer = hand.ask(
        Exchange::Informational,
        &[Payload::Delete(Delete::Esp(vec![theirs]))],
    );
    assert_eq!(answer, [Payload::Delete(Delete::Esp(vec![ours]))]);
    assert!(hand.world.ends[1].spis.is_empty());
    // A second time there is nothing to close, and nothing is said to be.
    let answer = hand.ask(
        Exchange::Informational,
        &[Payload::Delete(Delete::Esp(vec![theirs]))],
    );
    assert_eq!(answer, []);
}

#[test]
fn a_pair_that_is_not_there_cannot_be_rekeyed() {
    let mut hand = Hand::plain();
    let rekey = Notify {
        protocol: Protocol::Esp,
        spi: vec![9, 9, 9, 9],
        kind: NotifyKind::REKEY_SA,
        data: Vec::new(),
    };
    let mut said = hand.proof();
    said.drain(..2);
    said.insert(0, Payload::Notify(rekey));
    said.push(Payload::Nonce(vec![6; 32]));
    let answer = hand.ask(Exchange::CreateChildSa, &said);
    let [Payload::Notify(notify)] = answer.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (notify.kind, notify.protocol, notify.spi.as_slice()),
        (NotifyKind::CHILD_SA_NOT_FOUND, Protocol::Esp, &[9, 9, 9, 9][..])
    );
}

#[test]
fn the_ike_sa_is_not_rekeyed_without_a_key_exchange() {
    let mut hand = Hand::plain();
    let mut offer = IkePreferences::default().proposals(Some(kith_ike::codec::IkeSpi(0x2222)));
    let with = hand.ask(
        Exchange::CreateChildSa,
        &[Payload::Sa(offer.clone()), Payload::Nonce(vec![6; 32])],
    );
    assert_eq!(
        kinds(&with),
        [NotifyKind::INVALID_SYNTAX],
        "a KE payload there must be"
    );
    for proposal in &mut offer {
        proposal.transforms.retain(|one| one.kind.0 != 4);
        proposal.transforms.push(kith_ike::codec::Transform::new(
            kith_ike::codec::TransformKind::KE,
            0,
        ));
    }
    let none = KeyExchange {
        group: 0,
        data: vec![1; 32],
    };
    let said = [
        Payload::Sa(offer),
        Payload::Nonce(vec![6; 32]),
        Payload::KeyExchange(none),
    ];
    assert_eq!(
        kinds(&hand.ask(Exchange::CreateChildSa, &said)),
        [NotifyKind::NO_PROPOSAL_CHOSEN]
    );
}

#[test]
fn a_cookie2_comes_back_as_it_was() {
    let mut hand = Hand::plain();
    let cookie = note(NotifyKind::COOKIE2, b"12345678");
    assert_eq!(
        hand.ask(Exchange::Informational, std::slice::from_ref(&cookie)),
        std::slice::from_ref(&cookie)
    );
    // A protocol without an SPI means nothing, and is not said again (RFC 7296 section 3.10).
    let mut of_ike = Notify::new(NotifyKind::COOKIE2, b"12345678".to_vec());
    of_ike.protocol = Protocol::Ike;
    assert_eq!(
        hand.ask(Exchange::Informational, &[Payload::Notify(of_ike)]),
        [cookie]
    );
}

#[test]
fn a_closed_ike_sa_is_answered_emptily_and_gone() {
    let mut hand = Hand::plain();
    assert_eq!(
        hand.ask(Exchange::Informational, &[Payload::Delete(Delete::Ike)]),
        []
    );
    assert_eq!(hand.world.ends[1].downs[0].1, Down::ClosedByPeer);
    assert_eq!(hand.host().taken, 0);
    assert_eq!(hand.send(Exchange::Informational, &[]), []);
}

#[test]
fn a_first_message_without_an_spi_is_nobodys() {
    let mut world = alone(config());
    let header = Header {
        initiator_spi: kith_ike::codec::IkeSpi::ZERO,
        ..first_header()
    };
    let octets = encode_clear(&header, &hello(&[5; 32], &share()));
    assert_eq!(tell(&mut world, arriving(), &octets), []);
    assert_eq!(world.ends[1].endpoint.counters().get(Drop::NotForUs), 1);
}

#[test]
fn a_key_that_comes_with_the_group_none_is_ignored_and_none_is_sent() {
    let mut hand = Hand::plain();
    let mut said = hand.proof();
    said.drain(..2);
    if let Payload::Sa(proposals) = &mut said[1] {
        for proposal in proposals {
            let none = kith_ike::codec::Transform::new(kith_ike::codec::TransformKind::KE, 0);
            proposal.transforms.push(none);
        }
    }
    said.push(Payload::Nonce(vec![6; 32]));
    said.push(Payload::KeyExchange(KeyExchange {
        group: 31,
        data: vec![1; 32],
    }));
    let answer = hand.ask(Exchange::CreateChildSa, &said);
    assert_eq!(errors(&answer), []);
    assert!(!answer.iter().any(|one| matches!(one, Payload::KeyExchange(_))));
}
