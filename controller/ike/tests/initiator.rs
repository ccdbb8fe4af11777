//! What an initiator makes of whatever a responder answers under good keys: one test for each thing that honest ends never show each other.

mod by_hand;
mod world;

use by_hand::answering::*;
use by_hand::*;
use kith_ike::codec::{Delete, Exchange, NotifyKind, Payload, Protocol};
use kith_ike::suite::EspPreferences;
use kith_ike::*;
use world::{config, psk};

fn terms() -> Terms {
    psk(0, SECRET)
}

/// A way to spoil an honest answer.
type Change = fn(&mut Vec<Payload>);

/// IKE_SA_INIT is answered, and the payloads of IKE_AUTH are there.
fn asked() -> (Answering, Vec<Payload>) {
    let mut hand = Answering::begin(config(), terms());
    hand.answer_first(&[], |_| ());
    let asked = hand.request(Exchange::IkeAuth);
    (hand, asked)
}

#[test]
fn an_honest_responder_is_believed() {
    let hand = Answering::plain();
    assert_eq!(
        hand.events(),
        ["up AES-256-GCM, HMAC-SHA-256, X25519", "child 1", "send 1"]
    );
}

#[test]
fn a_pair_or_an_ike_sa_is_asked_for_in_another_group_once() {
    let wanted = |group: u16| note(NotifyKind::INVALID_KE_PAYLOAD, &group.to_be_bytes());
    let mut terms = terms();
    terms.child.suites = EspPreferences::default();
    for of_ike in [true, false] {
        let mut hand = Answering::up(config(), psk_with(&terms));
        let id = hand.id;
        if of_ike {
            hand.act(|endpoint, now| endpoint.rekey(now, id));
        } else {
            hand.rekey_child();
        }
        let mut asked = Vec::new();
        for group in [19, 31, 19] {
            if hand.silent() {
                break;
            }
            let payloads = hand.request(Exchange::CreateChildSa);
            asked.push(share_of(&payloads).unwrap().group);
            hand.reply(&[wanted(group)]);
        }
        assert_eq!(asked, [31, 19], "and then not at once");
        assert_eq!(hand.taken(), 1);
    }
}

fn psk_with(terms: &Terms) -> Terms {
    Terms {
        child: terms.child.clone(),
        ..psk(0, SECRET)
    }
}

#[test]
fn names_and_proposals_that_come_twice_in_ike_auth_gain_nothing() {
    // The name that was proved counts, and no other.
    let (mut hand, asked) = asked();
    let mut said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
    said.push(Payload::IdResponder(kith_ike::codec::Identity::Fqdn(
        "mallory.example".into(),
    )));
    hand.reply(&said);
    assert_eq!(hand.world.ends[0].up.len(), 1);
    // Of two pairs neither is taken, and the peer is told.
    let (mut hand, asked) = self::asked();
    let mut said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
    said.extend(hand.child(&asked, 0x0abc_0002));
    hand.reply(&said);
    assert_eq!(hand.events()[1], "refused None INVALID_SYNTAX");
    assert!(matches!(
        hand.request(Exchange::Informational).as_slice(),
        [Payload::Delete(_)]
    ));
}

#[test]
fn an_answer_under_another_number_or_another_key_is_not_taken() {
    let (mut hand, asked) = asked();
    let said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
    let honest = hand.asked;
    for id in [0, 2, u32::MAX] {
        hand.asked.message_id.0 = id;
        hand.reply(&said);
    }
    hand.asked = honest;
    let mut octets = hand.seal(&honest, &said);
    octets[19] = 0x20;
    hand.hear(&octets);
    assert!(hand.silent() && hand.down().is_none() && hand.events().is_empty());
    hand.reply(&said);
    assert_eq!(hand.world.ends[0].up.len(), 1);
}

#[test]
fn a_pair_that_is_answered_unacceptably_is_closed_by_a_delete_payload() {
    // Tunnel mode instead of transport mode; traffic that was not asked for; algorithms that were not offered; an SPI that is none.
    let changes: [(Change, NotifyKind); 4] = [
        (
            |said| {
                if let Payload::Sa(proposals) = &mut said[1] {
                    proposals[0].spi = vec![0; 4];
                }
            },
            NotifyKind::NO_PROPOSAL_CHOSEN,
        ),
        (
            |said| said.retain(|one| !matches!(one, Payload::Notify(_))),
            NotifyKind::NO_PROPOSAL_CHOSEN,
        ),
        (
            |said| {
                let all = kith_ike::codec::Selector::v4([0, 0, 0, 0].into(), [255; 4].into());
                said.push(Payload::SelectorsInitiator(vec![all]));
                said.remove(2);
            },
            NotifyKind::TS_UNACCEPTABLE,
        ),
        (
            |said| {
                if let Payload::Sa(proposals) = &mut said[1] {
                    proposals[0].number = 7;
                }
            },
            NotifyKind::NO_PROPOSAL_CHOSEN,
        ),
    ];
    for (change, why) in changes {
        // In IKE_AUTH.
        let (mut hand, asked) = asked();
        let offered = proposals_of(&asked)[0].spi.clone();
        let mut child = hand.child(&asked, 0x0abc_0001);
        change(&mut child);
        let said = [hand.proof(), child].concat();
        hand.reply(&said);
        assert_eq!(hand.events()[1], format!("refused None {why}"));
        let offered = u32::from_be_bytes(offered.try_into().unwrap());
        assert_eq!(
            hand.request(Exchange::Informational),
            [Payload::Delete(Delete::Esp(vec![offered]))]
        );
        assert_eq!(hand.taken(), 1, "the SPI names it until the peer knows");
        hand.reply(&[]);
        assert_eq!((hand.taken(), hand.down()), (0, None));

        // And when a pair is to be replaced: the old one stays.
        let mut hand = Answering::plain();
        hand.rekey_child();
        let asked = hand.request(Exchange::CreateChildSa);
        let offered = proposals_of(&asked)[0].spi.clone();
        let mut child = hand.child(&asked, 0x0abc_0002);
        change(&mut child);
        child.push(Payload::Nonce(vec![8; 32]));
        hand.reply(&child);
        let offered = u32::from_be_bytes(offered.try_into().unwrap());
        assert_eq!(
            hand.request(Exchange::Informational),
            [Payload::Delete(Delete::Esp(vec![offered]))]
        );
        hand.reply(&[]);
        assert_eq!((hand.taken(), hand.world.ends[0].spis.len()), (1, 1));
    }
}

#[test]
fn a_pair_whose_successor_is_rejected_is_the_one_that_there_is() {
    // As responder: the peer replaces a pair, does not like our answer, and says so.
    let mut hand = Hand::plain();
    let (old, _) = *hand.world.ends[1].spis.values().next().unwrap();
    let mut said = hand.proof();
    said.drain(..2);
    said.insert(0, rekeying(0x0abc_0001));
    said.push(Payload::Nonce(vec![6; 32]));
    if let Payload::Sa(proposals) = &mut said[2] {
        proposals.iter_mut().for_each(|one| one.spi = vec![0, 0, 0x0d, 1]);
    }
    assert_eq!(errors(&hand.ask(Exchange::CreateChildSa, &said)), []);
    assert_eq!(hand.world.ends[1].spis.len(), 2);
    hand.ask(
        Exchange::Informational,
        &[Payload::Delete(Delete::Esp(vec![0x0d01]))],
    );
    assert_eq!(hand.world.ends[1].spis.len(), 1);
    // It can be replaced again.
    if let Payload::Sa(proposals) = &mut said[2] {
        proposals.iter_mut().for_each(|one| one.spi = vec![0, 0, 0x0d, 2]);
    }
    assert_eq!(errors(&hand.ask(Exchange::CreateChildSa, &said)), []);
    assert_eq!(hand.world.ends[1].spis.values().next().unwrap().0, old);
}

fn rekeying(spi: u32) -> Payload {
    Payload::Notify(kith_ike::codec::Notify {
        protocol: Protocol::Esp,
        spi: spi.to_be_bytes().to_vec(),
        kind: NotifyKind::REKEY_SA,
        data: Vec::new(),
    })
}

#[test]
fn an_error_about_the_pair_leaves_the_ike_sa_and_others_end_it() {
    let pair = [
        NotifyKind::NO_PROPOSAL_CHOSEN,
        NotifyKind::TS_UNACCEPTABLE,
        NotifyKind::SINGLE_PAIR_REQUIRED,
        NotifyKind::INTERNAL_ADDRESS_FAILURE,
        NotifyKind::FAILED_CP_REQUIRED,
        NotifyKind::NO_ADDITIONAL_SAS,
    ];
    for kind in pair {
        let (mut hand, _) = asked();
        let said = [hand.proof(), vec![note(kind, &[])]].concat();
        hand.reply(&said);
        assert_eq!(hand.events()[1], format!("refused None {kind}"));
        assert!(hand.silent() && hand.down().is_none() && hand.taken() == 0);
    }
    for kind in [
        NotifyKind::AUTHENTICATION_FAILED,
        NotifyKind::INVALID_SYNTAX,
        NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD,
    ] {
        // With and without a proof that is good, and whatever else is said.
        for proved in [true, false] {
            let (mut hand, asked) = asked();
            let mut said = vec![note(kind, &[])];
            if proved {
                said.extend(hand.proof());
                said.extend(hand.child(&asked, 0x0abc_0001));
            }
            hand.reply(&said);
            assert_eq!(hand.down(), Some(&Down::RefusedByPeer(kind)));
            assert!(hand.silent() && hand.taken() == 0, "nobody there to be told");
        }
    }
}

#[test]
fn an_unknown_error_in_ike_auth_says_that_all_of_it_failed() {
    let (mut hand, asked) = asked();
    let unknown = NotifyKind(8_000);
    let said = [
        hand.proof(),
        hand.child(&asked, 0x0abc_0001),
        vec![note(unknown, &[])],
    ]
    .concat();
    hand.reply(&said);
    assert_eq!(hand.down(), Some(&Down::RefusedByPeer(unknown)));
    // The responder may believe that it is up.
    assert_eq!(
        hand.request(Exchange::Informational),
        [Payload::Delete(Delete::Ike)]
    );
    assert!(hand.taken() == 0 && hand.world.ends[0].spis.is_empty());
}

#[test]
fn an_ike_auth_that_makes_no_sense_or_proves_nothing_is_refused_and_the_responder_told() {
    let cases: [(Change, NotifyKind); 2] = [
        (
            |said| {
                said.push(Payload::Unknown {
                    kind: 200,
                    critical: true,
                    data: Vec::new(),
                });
            },
            NotifyKind::INVALID_SYNTAX,
        ),
        (
            |said| {
                if let Payload::Auth { data, .. } = &mut said[1] {
                    data[0] ^= 1;
                }
            },
            NotifyKind::AUTHENTICATION_FAILED,
        ),
    ];
    for (change, told) in cases {
        let (mut hand, asked) = asked();
        let mut said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
        change(&mut said);
        hand.reply(&said);
        assert!(hand.down().is_some() && hand.taken() == 0);
        assert_eq!(errors(&hand.request(Exchange::Informational)), [(told, vec![])]);
    }
}

#[test]
fn who_is_told_at_once_that_its_proof_could_not_be_read_is_not_up() {
    for kind in [
        NotifyKind::AUTHENTICATION_FAILED,
        NotifyKind::INVALID_SYNTAX,
        NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD,
    ] {
        let mut hand = Hand::plain();
        hand.ask(Exchange::Informational, &[note(kind, &[])]);
        assert_eq!(hand.world.ends[1].downs[0].1, Down::RefusedByPeer(kind));
        assert_eq!(hand.host().taken, 0);
    }
    // Later it is an error of who knows which request.
    let mut hand = Hand::plain();
    hand.ask(Exchange::Informational, &[]);
    hand.ask(Exchange::Informational, &[note(NotifyKind::INVALID_SYNTAX, &[])]);
    assert_eq!(hand.world.ends[1].downs, []);
}

#[test]
fn a_peer_without_room_for_another_pair_has_the_old_one_closed_first() {
    let mut hand = Answering::plain();
    let old = hand.their_spi();
    hand.rekey_child();
    hand.request(Exchange::CreateChildSa);
    hand.reply(&[note(NotifyKind::NO_ADDITIONAL_SAS, &[])]);
    assert_eq!(
        hand.request(Exchange::Informational),
        [Payload::Delete(Delete::Esp(vec![old]))]
    );
    hand.reply(&[Payload::Delete(Delete::Esp(vec![0x0abc_0001]))]);
    let asked = hand.request(Exchange::CreateChildSa);
    assert!(noted(&asked, NotifyKind::REKEY_SA).is_none(), "a new one");
    let mut said = hand.child(&asked, 0x0abc_0002);
    said.push(Payload::Nonce(vec![8; 32]));
    hand.reply(&said);
    assert_eq!((hand.world.ends[0].spis.len(), hand.taken()), (1, 1));
    assert!(hand.silent() && hand.down().is_none());
}

#[test]
fn a_minimal_peer_that_makes_nothing_new_has_all_closed_and_begun_anew() {
    let full = note(NotifyKind::NO_ADDITIONAL_SAS, &[]);
    // The IKE SA itself is to be replaced, or a pair is.
    for of_ike in [true, false] {
        let mut hand = Answering::plain();
        let id = hand.id;
        if of_ike {
            hand.act(|endpoint, now| endpoint.rekey(now, id));
        } else {
            hand.rekey_child();
        }
        hand.request(Exchange::CreateChildSa);
        hand.reply(std::slice::from_ref(&full));
        if !of_ike {
            hand.request(Exchange::Informational);
            hand.reply(&[]);
            hand.request(Exchange::CreateChildSa);
            hand.reply(std::slice::from_ref(&full));
        }
        assert_eq!(
            hand.request(Exchange::Informational),
            [Payload::Delete(Delete::Ike)]
        );
        hand.reply(&[]);
        // Hosts begin anew after anything but a closing of their own.
        assert_eq!(
            hand.down(),
            Some(&Down::RefusedByPeer(NotifyKind::NO_ADDITIONAL_SAS))
        );
        assert_eq!(hand.taken(), 0);
    }
}

#[test]
fn an_ike_sa_that_is_too_old_is_closed_by_a_delete_payload_before_its_time() {
    let mut config = config();
    (config.timing.ike_soft, config.timing.ike_hard) = (60_000, 80_000);
    let hard = config.timing.ike_hard;
    let mut hand = Answering::up(config, terms());
    let since = hand.world.now;
    let mut told = None;
    while hand.down().is_none() {
        hand.wait(100);
        while !hand.silent() {
            match hand.opened() {
                (header, said) if said == [Payload::Delete(Delete::Ike)] => {
                    told.get_or_insert(hand.world.now - since);
                    hand.asked = header;
                    // Lost once: it is said again.
                    if hand.world.now - since > told.unwrap() {
                        hand.reply(&[]);
                    }
                }
                // Every other request is refused for now.
                (header, _) => {
                    hand.asked = header;
                    hand.reply(&[note(NotifyKind::TEMPORARY_FAILURE, &[])]);
                }
            }
        }
    }
    assert_eq!(hand.down(), Some(&Down::Expired));
    let (told, over) = (told.unwrap(), hand.world.now - since);
    assert!(told < over && over < hard, "{told} {over}");
}

#[test]
fn a_peer_that_takes_no_fragments_gets_long_messages_whole() {
    let mut hand = Answering::begin(world::post_quantum(), terms());
    hand.answer_first(&[note(NotifyKind::INTERMEDIATE_EXCHANGE_SUPPORTED, &[])], |_| ());
    assert!(hand.inbox[0].len() > world::post_quantum().max_datagram);
    hand.intermediate();
    let asked = hand.request(Exchange::IkeAuth);
    let said = [hand.proof(), hand.child(&asked, 0x0abc_0001)].concat();
    hand.reply(&said);
    assert_eq!(hand.world.ends[0].spis.len(), 1, "{:?}", hand.events());
}
