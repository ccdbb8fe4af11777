//! What an initiator makes of answers to its first message: anybody on the path can write them, so nothing but an honest one counts (RFC 7296
//! sections 2.6 and 2.21.1).

mod by_hand;
mod world;

use by_hand::answering::*;
use by_hand::*;
use kith_ike::codec::{Exchange, IkeSpi, KeyExchange, NotifyKind, Payload, Proposal};
use kith_ike::*;
use world::{config, psk};

/// What is wrong with the octets of an honest answer.
type Spoil = (&'static str, fn(&mut [u8]));

fn terms() -> Terms {
    psk(0, SECRET)
}

#[test]
fn an_error_in_the_clear_ends_nothing_while_an_honest_answer_may_come() {
    let kinds = [
        NotifyKind::NO_PROPOSAL_CHOSEN,
        NotifyKind::INVALID_SYNTAX,
        NotifyKind::AUTHENTICATION_FAILED,
        NotifyKind::INVALID_MAJOR_VERSION,
        NotifyKind::INVALID_IKE_SPI,
        NotifyKind(8_000),
    ];
    for kind in kinds {
        let mut hand = Answering::begin(config(), terms());
        let (first, _) = hand.take_first();
        let forged = hand.clear(IkeSpi::ZERO, &[note(kind, &[])]);
        hand.hear(&forged);
        assert!(hand.down().is_none() && hand.silent(), "{kind}");
        hand.inbox.push_front(first);
        hand.answer_first(&[], |_| ());
        hand.request(Exchange::IkeAuth);
        // Nor does one when there are keys.
        let forged = hand.clear(OUR_SPI, &[note(kind, &[])]);
        hand.hear(&forged);
        assert!(hand.down().is_none() && hand.silent(), "{kind}");
    }
}

#[test]
fn a_first_answer_that_fits_no_request_is_as_good_as_none() {
    // All worlds of this kind say the same, so one honest answer is every other's.
    let honest = {
        let mut hand = Answering::begin(config(), terms());
        hand.answer_first(&[], |_| ());
        hand.keys.unwrap().transcript[1].clone()
    };
    let spoil: [Spoil; 6] = [
        ("the initiator's SPI", |octets| octets[0] ^= 1),
        ("the responder's SPI", |octets| octets[8..16].fill(0)),
        ("exchange", |octets| octets[18] = 35),
        ("flag I", |octets| octets[19] |= 0x08),
        ("flag R", |octets| octets[19] &= !0x20),
        ("message id", |octets| octets[23] = 1),
    ];
    let mut hand = Answering::begin(config(), terms());
    for (what, spoil) in spoil {
        let mut octets = honest.clone();
        spoil(&mut octets);
        let waiting = hand.inbox.len();
        hand.hear(&octets);
        assert_eq!((hand.inbox.len(), hand.down()), (waiting, None), "{what}");
    }
    hand.answer_first(&[], |_| ());
    hand.request(Exchange::IkeAuth);
}

#[test]
fn a_first_answer_with_payloads_missing_or_twice_is_not_believed() {
    let mut hand = Answering::begin(config(), terms());
    for at in 0..3 {
        hand.spoiled(&[], |said| {
            said.remove(at);
        });
        hand.spoiled(&[], |said| said.push(said[at].clone()));
    }
    hand.spoiled(&[], |said| said.clear());
    hand.answer_first(&[], |_| ());
    hand.request(Exchange::IkeAuth);
}

#[test]
fn an_answer_in_another_group_is_not_believed() {
    let mut hand = Answering::begin(config(), terms());
    let spoil: [fn(&mut KeyExchange); 4] = [
        |share| share.group = 19,
        |share| share.group = 0,
        |share| share.data.truncate(31),
        |share| share.data.fill(0),
    ];
    for spoil in spoil {
        hand.spoiled(&[], |said| match &mut said[1] {
            Payload::KeyExchange(share) => spoil(share),
            other => panic!("{other:?}"),
        });
    }
    hand.answer_first(&[], |_| ());
    hand.request(Exchange::IkeAuth);
}

#[test]
fn a_first_answer_with_what_was_not_offered_is_not_believed() {
    let mut hand = Answering::begin(config(), terms());
    let spoil: [fn(&mut Vec<Proposal>); 5] = [
        |said| said[0].number = 2,
        |said| said[0].transforms[0].key_bits = Some(192),
        |said| said[0].transforms.truncate(2),
        |said| said[0].spi = vec![1; 8],
        |said| said.push(said[0].clone()),
    ];
    for spoil in spoil {
        hand.spoiled(&[], |said| match &mut said[0] {
            Payload::Sa(proposals) => spoil(proposals),
            other => panic!("{other:?}"),
        });
    }
    hand.answer_first(&[], |_| ());
    hand.request(Exchange::IkeAuth);
}

#[test]
fn an_additional_exchange_without_ike_intermediate_is_not_believed() {
    let mut hand = Answering::begin(world::post_quantum(), terms());
    hand.spoiled(&[], |_| ());
    hand.answer_first(&[note(NotifyKind::INTERMEDIATE_EXCHANGE_SUPPORTED, &[])], |_| ());
    hand.intermediate();
    hand.request(Exchange::IkeAuth);
}

#[test]
fn another_group_is_tried_when_asked_for_and_not_for_ever() {
    let wanted = |group: u16| note(NotifyKind::INVALID_KE_PAYLOAD, &group.to_be_bytes());
    let mut hand = Answering::begin(config(), terms());
    let mut asked = Vec::new();
    // One that we do not have, and the very one that was sent, say nothing.
    for group in [14, 31] {
        let (first, _) = hand.take_first();
        let answer = hand.clear(IkeSpi::ZERO, &[wanted(group)]);
        hand.hear(&answer);
        assert!(hand.silent());
        hand.inbox.push_back(first);
    }
    for group in [19, 31, 19, 31, 19] {
        if hand.silent() {
            break;
        }
        let (_, payloads) = hand.take_first();
        asked.push(share_of(&payloads).unwrap().group);
        let answer = hand.clear(IkeSpi::ZERO, &[wanted(group)]);
        hand.hear(&answer);
    }
    assert_eq!(asked, [31, 19, 31, 19]);
    // Somebody on the path may have said all that: an honest answer is still taken, and without one it is over.
    assert_eq!(hand.down(), None);
    hand.wait(600);
    assert!(
        matches!(hand.down(), Some(Down::Protocol(_))),
        "{:?}",
        hand.down()
    );
}

#[test]
fn cookies_are_returned_as_they_came_and_late_ones_are_nothing() {
    let cookie = |octets: &[u8]| note(NotifyKind::COOKIE, octets);
    let mut hand = Answering::begin(config(), terms());
    let (first, payloads) = hand.take_first();
    for bad in [&[][..], &[7; 65]] {
        let answer = hand.clear(IkeSpi::ZERO, &[cookie(bad)]);
        hand.hear(&answer);
        assert!(hand.silent(), "{} octets", bad.len());
    }
    let answer = hand.clear(IkeSpi::ZERO, &[cookie(b"one")]);
    hand.hear(&answer);
    let (second, again) = hand.take_first();
    assert_eq!(again, [vec![cookie(b"one")], payloads.clone()].concat());
    assert_ne!(first, second);
    // The same once more was no answer to this request.
    hand.hear(&answer);
    assert!(hand.silent());
    let answer = hand.clear(IkeSpi::ZERO, &[cookie(b"another")]);
    hand.hear(&answer);
    let third = hand.inbox[0].clone();
    hand.answer_first(&[], |_| ());
    let asked = hand.request(Exchange::IkeAuth);
    // Too late.
    hand.hear(&answer);
    assert!(hand.silent() && hand.down().is_none());
    // What is proved is the request with the newest cookie.
    assert_eq!(hand.keys.as_ref().unwrap().transcript[0], third);
    let said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
    hand.reply(&said);
    assert_eq!(hand.world.ends[0].up.len(), 1);
}

#[test]
fn an_error_in_the_clear_is_believed_when_nothing_better_comes() {
    let mut hand = Answering::begin(config(), terms());
    hand.take_first();
    let refusal = hand.clear(IkeSpi::ZERO, &[note(NotifyKind::NO_PROPOSAL_CHOSEN, &[])]);
    hand.hear(&refusal);
    hand.wait(600);
    assert_eq!(hand.down(), Some(&Down::NoProposal));
    assert_eq!(hand.taken(), 0);
}
