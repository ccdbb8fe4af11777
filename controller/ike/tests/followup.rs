//! A second secret for what is made after the handshake: IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4), between two ends and with peers by hand.

mod by_hand;
mod world;

use by_hand::answering::{Answering, proposals_of, share_of};
use by_hand::*;
use kith_ike::codec::{
    Exchange, IkeSpi, KeyExchange, Notify, NotifyKind, Payload, Protocol, Selector, parse,
};
use kith_ike::suite::{Additional, Ephemeral, EspPreferences, Group, IkePreferences};
use kith_ike::*;
use world::*;

/// Pairs with secrets of their own, two each.
fn doubled(own: usize) -> Terms {
    let mut terms = psk(own, SECRET);
    terms.child.suites = EspPreferences {
        additional: Additional::Offer,
        ..EspPreferences::default()
    };
    terms
}

fn up(config: Config, seed: u64) -> World {
    let mut world = World::with(seed, [config.clone(), config], [doubled(0), doubled(1)]);
    world.connect(0);
    world.run(200);
    assert_eq!(world.ends.each_ref().map(|end| end.up.len()), [1, 1]);
    world
}

fn rekey_child(world: &mut World, end: usize) {
    let (id, child) = (world.ends[end].up[0], world.ends[end].newest().unwrap());
    world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
}

fn rekey_ike(world: &mut World, end: usize) {
    let id = world.ends[end].up[0];
    world.act(end, |endpoint, now| endpoint.rekey(now, id));
}

/// Exchanges that were recorded, requests and responses.
fn exchanges(world: &World) -> Vec<Exchange> {
    let of = |octets: &Vec<u8>| parse(octets).unwrap().header.exchange;
    world.recorded.iter().map(|(_, _, octets)| of(octets)).collect()
}

#[test]
fn an_ike_sa_and_a_pair_get_a_second_secret_when_either_end_replaces_them() {
    for end in 0..2 {
        let mut world = up(post_quantum(), 7);
        world.record = true;
        rekey_child(&mut world, end);
        world.run(20_000);
        let followups = |world: &World| {
            let all = exchanges(world);
            all.iter().filter(|&&one| one == Exchange::IkeFollowupKe).count()
        };
        // The key is longer than a datagram, so two fragments; the ciphertext is not.
        assert_eq!(followups(&world), 3);
        assert!(world.largest <= post_quantum().max_datagram);
        assert_eq!(world.ends[0].spis.len(), 1, "{:?}", world.ends[0].events);
        talk(&mut world);
        rekey_ike(&mut world, end);
        world.run(20_000);
        assert_eq!(followups(&world), 6);
        let suite = |end: &End| end.endpoint.view(end.up[0]).unwrap().suite.unwrap().additional;
        assert_eq!(
            world.ends.each_ref().map(suite),
            [Some(Group::MlKem768), Some(Group::MlKem768)]
        );
        // And again under the new one.
        rekey_child(&mut world, 1 - end);
        world.run(20_000);
        assert_eq!((followups(&world), world.ends[0].spis.len()), (9, 1));
        assert!(world.agree());
        talk(&mut world);
    }
}

#[test]
fn a_pair_says_that_it_has_two_secrets_and_no_packet_is_lost_for_them() {
    let mut world = up(config(), 3);
    for round in 0..10 {
        rekey_child(&mut world, round % 2);
        for _ in 0..60 {
            world.data(0);
            world.data(1);
            world.run(7);
        }
    }
    world.run(20_000);
    assert_eq!(world.ends.each_ref().map(|end| end.lost), [0, 0]);
    let sent = world.ends.each_ref().map(|end| end.sent);
    assert_eq!(world.ends.each_ref().map(|end| end.received), [sent[1], sent[0]]);
    let suites = world.ends.each_ref().map(|end| end.suite.unwrap());
    assert_eq!(
        suites.map(|suite| suite.additional),
        [Some(Group::MlKem768), Some(Group::MlKem768)]
    );
}

#[test]
fn without_a_group_of_its_own_a_pair_has_no_second_one_either() {
    let mut terms = [psk(0, SECRET), psk(1, SECRET)];
    for one in &mut terms {
        one.child.suites.additional = Additional::Offer;
    }
    let mut world = World::with(3, [config(), config()], terms);
    world.connect(0);
    world.run(200);
    world.record = true;
    rekey_child(&mut world, 0);
    world.run(20_000);
    assert!(!exchanges(&world).contains(&Exchange::IkeFollowupKe));
    assert_eq!(world.ends[0].suite.unwrap().additional, None);
    talk(&mut world);
}

#[test]
fn one_end_without_it_is_dealt_with_if_it_is_only_an_offer() {
    let offers = || {
        let mut config = post_quantum();
        config.ike.additional = Additional::Offer;
        config
    };
    for end in 0..2 {
        let mut terms = psk(1, SECRET);
        terms.child.suites = EspPreferences::default();
        let mut world = World::with(3, [offers(), config()], [doubled(0), terms]);
        world.connect(0);
        world.run(200);
        rekey_child(&mut world, end);
        world.run(20_000);
        rekey_ike(&mut world, end);
        world.run(20_000);
        rekey_child(&mut world, 1 - end);
        world.run(20_000);
        assert_eq!(world.ends[0].spis.len(), 1, "{:?}", world.ends[0].events);
        assert!(world.agree());
        talk(&mut world);
    }
}

#[test]
fn both_ends_replace_a_pair_at_once_and_one_new_pair_remains() {
    for seed in 0..64 {
        let mut world = up(config(), seed);
        for _ in 0..3 {
            rekey_child(&mut world, 0);
            // At once, while the other's request is on its way, and while the followup is.
            world.run(seed % 32);
            rekey_child(&mut world, 1);
            for _ in 0..100 {
                world.data(0);
                world.data(1);
                world.run(5);
            }
            world.run(40_000);
            let events = || format!("{:?}", world.ends.each_ref().map(|end| &end.events));
            assert_eq!(world.ends[0].spis.len(), 1, "seed {seed}: {}", events());
            assert!(world.agree(), "seed {seed}: {}", events());
        }
        assert_eq!(world.ends.each_ref().map(|end| end.lost), [0, 0], "seed {seed}");
        talk(&mut world);
    }
}

#[test]
fn both_ends_replace_the_ike_sa_at_once_and_one_new_one_remains() {
    for seed in 0..64 {
        let mut world = up(post_quantum(), seed);
        rekey_ike(&mut world, 0);
        world.run(seed % 32);
        rekey_ike(&mut world, 1);
        world.run(40_000);
        for end in 0..2 {
            rekey_child(&mut world, end);
            world.run(40_000);
            assert_eq!(world.ends[end].downs, [], "seed {seed}");
        }
        let rekeyed = |end: &End| {
            end.events
                .iter()
                .filter(|event| event.starts_with("rekeyed"))
                .count()
        };
        let [one, other] = world.ends.each_ref().map(rekeyed);
        assert!(one == other && one >= 1, "seed {seed}: {one} {other}");
        assert!(world.agree(), "seed {seed}");
        talk(&mut world);
    }
}

#[test]
fn a_pair_is_replaced_while_the_other_end_replaces_the_ike_sa() {
    for seed in 0..64 {
        let mut world = up(post_quantum(), seed);
        rekey_child(&mut world, 0);
        world.run(seed);
        rekey_ike(&mut world, 1);
        world.run(60_000);
        assert_eq!(
            world.ends[0].spis.len(),
            1,
            "seed {seed}: {:?}",
            world.ends[0].events
        );
        assert!(world.agree(), "seed {seed}");
        assert!(world.ends.iter().all(|end| {
            let mut events = end.events.iter();
            end.downs.is_empty() && events.any(|event| event.starts_with("rekeyed"))
        }));
        talk(&mut world);
    }
}

// With an initiator by hand.

fn ephemeral(group: Group) -> Ephemeral {
    Ephemeral::offer(group, &mut |out| out.fill(7)).unwrap()
}

fn key(group: Group) -> Payload {
    Payload::KeyExchange(KeyExchange {
        group: group.id(),
        data: ephemeral(group).public().to_vec(),
    })
}

/// Up, with an endpoint that takes second secrets everywhere.
fn by_hand() -> Hand {
    let mut config = config();
    config.ike.additional = Additional::Offer;
    let mut hand = Hand::begin(config, &[], |_| ());
    hand.world.ends[1].endpoint.host_mut().terms = Some(doubled(1).into());
    let said = hand.proof();
    assert_eq!(errors(&hand.ask(Exchange::IkeAuth, &said)), []);
    hand
}

/// A request for a new pair instead of the one that there is, under this SPI of ours.
fn for_child(spi: u32) -> Vec<Payload> {
    let rekey = Notify {
        protocol: Protocol::Esp,
        spi: 0x0abc_0001_u32.to_be_bytes().to_vec(),
        kind: NotifyKind::REKEY_SA,
        data: Vec::new(),
    };
    let spi = kith_esp::Spi::new(spi).unwrap();
    let (ours, theirs): (Vec<Selector>, Vec<Selector>) = (one(0), one(1));
    vec![
        Payload::Notify(rekey),
        note(NotifyKind::USE_TRANSPORT_MODE, &[]),
        Payload::Sa(doubled(0).child.suites.proposals(spi)),
        Payload::Nonce(vec![6; 32]),
        key(Group::X25519),
        Payload::SelectorsInitiator(ours),
        Payload::SelectorsResponder(theirs),
    ]
}

fn for_ike(spi: u64) -> Vec<Payload> {
    let preferences = IkePreferences {
        additional: Additional::Require,
        ..IkePreferences::default()
    };
    vec![
        Payload::Sa(preferences.proposals(Some(IkeSpi(spi)))),
        Payload::Nonce(vec![6; 32]),
        key(Group::X25519),
    ]
}

fn link(answer: &[Payload]) -> Payload {
    let link = noted(answer, NotifyKind::ADDITIONAL_KEY_EXCHANGE).expect("a link");
    assert_eq!((link.protocol, link.spi.len()), (Protocol::None, 0));
    assert!(!link.data.is_empty());
    Payload::Notify(link.clone())
}

fn kinds(payloads: &[Payload]) -> Vec<NotifyKind> {
    errors(payloads).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn a_peer_that_never_follows_up_leaves_nothing_behind() {
    for said in [for_child(0x0d01), for_ike(0x3333)] {
        let mut hand = by_hand();
        let before = (hand.host().taken, hand.world.ends[1].events.clone());
        let link = link(&hand.ask(Exchange::CreateChildSa, &said));
        hand.world.now += 20_001;
        hand.world.act(1, |endpoint, now| endpoint.poll(now));
        assert_eq!((hand.host().taken, hand.world.ends[1].events.clone()), before);
        let late = hand.ask(Exchange::IkeFollowupKe, &[key(Group::MlKem768), link]);
        assert_eq!(kinds(&late), [NotifyKind::STATE_NOT_FOUND]);
        assert_eq!(
            hand.ask(Exchange::Informational, &[]),
            [],
            "and nothing else is wrong"
        );
        // It may begin from the start, as often as it likes: one half is kept at most.
        for _ in 0..5 {
            link_of_another(&mut hand, &said);
        }
        assert!(hand.host().taken <= before.0 + 1);
    }
}

fn link_of_another(hand: &mut Hand, said: &[Payload]) {
    link(&hand.ask(Exchange::CreateChildSa, said));
}

#[test]
fn a_followup_without_its_link_or_its_key_makes_nothing() {
    let wrong_link = note(NotifyKind::ADDITIONAL_KEY_EXCHANGE, b"another one");
    for said in [for_child(0x0d01), for_ike(0x3333)] {
        let mut hand = by_hand();
        let taken = hand.host().taken;
        let link = link(&hand.ask(Exchange::CreateChildSa, &said));
        let good = key(Group::MlKem768);
        let without = hand.ask(Exchange::IkeFollowupKe, std::slice::from_ref(&good));
        assert_eq!(kinds(&without), [NotifyKind::INVALID_SYNTAX]);
        let twice = [good.clone(), link.clone(), link.clone()];
        assert_eq!(
            kinds(&hand.ask(Exchange::IkeFollowupKe, &twice)),
            [NotifyKind::INVALID_SYNTAX]
        );
        let another = hand.ask(Exchange::IkeFollowupKe, &[good.clone(), wrong_link.clone()]);
        assert_eq!(kinds(&another), [NotifyKind::STATE_NOT_FOUND]);
        // Up to here the half was kept; another group than the one agreed ends it.
        let group = hand.ask(Exchange::IkeFollowupKe, &[key(Group::X25519), link.clone()]);
        assert_eq!(kinds(&group), [NotifyKind::INVALID_SYNTAX]);
        assert_eq!(hand.host().taken, taken);
        let gone = hand.ask(Exchange::IkeFollowupKe, &[good, link]);
        assert_eq!(kinds(&gone), [NotifyKind::STATE_NOT_FOUND]);
    }
}

#[test]
fn nothing_new_is_there_before_the_followup_and_it_is_afterwards() {
    let mut hand = by_hand();
    let events = hand.world.ends[1].events.len();
    let answer = hand.ask(Exchange::CreateChildSa, &for_child(0x0d01));
    assert_eq!(hand.world.ends[1].events.len(), events);
    assert!(share_of(&answer).is_some_and(|share| share.group == 31));
    let said = [key(Group::MlKem768), link(&answer)];
    let last = hand.ask(Exchange::IkeFollowupKe, &said);
    let [Payload::KeyExchange(share)] = last.as_slice() else {
        panic!("a key and no further link: {last:?}")
    };
    assert_eq!((share.group, share.data.len()), (36, 1088));
    assert_eq!(hand.world.ends[1].events[events..], ["child 2"]);
    // The same request again gets the same answer, and makes nothing.
    hand.world.now += 1_000;
    let (sent, path) = (hand.sent.clone(), hand.path);
    assert_eq!(tell(&mut hand.world, path, &sent).len(), 1);
    assert_eq!(hand.world.ends[1].spis.len(), 2);
}

#[test]
fn what_is_closed_meanwhile_is_not_replaced() {
    let mut hand = by_hand();
    let taken = hand.host().taken;
    let link = link(&hand.ask(Exchange::CreateChildSa, &for_child(0x0d01)));
    let closed = Payload::Delete(kith_ike::codec::Delete::Esp(vec![0x0abc_0001]));
    hand.ask(Exchange::Informational, &[closed]);
    let late = hand.ask(Exchange::IkeFollowupKe, &[key(Group::MlKem768), link]);
    assert_eq!(kinds(&late), [NotifyKind::STATE_NOT_FOUND]);
    assert_eq!((hand.host().taken, hand.world.ends[1].spis.len()), (taken - 1, 0));
}

// With a responder by hand.

/// The endpoint wants its pair replaced, and the first half is answered; what more was said is given.
fn answered(more: impl Fn(&mut Answering) -> Vec<Payload>) -> Answering {
    let mut hand = Answering::up(config(), doubled(0));
    hand.rekey_child();
    let asked = hand.request(Exchange::CreateChildSa);
    let chosen = hand.chosen(&asked, &doubled(1).child.suites, 0x0abc_0002);
    assert_eq!(chosen.suite.additional, Some(Group::MlKem768));
    let share = share_of(&asked).unwrap();
    let group = Group::from_id(share.group).unwrap();
    let (data, _) = kith_ike::suite::answer(group, &share.data, &mut |out| out.fill(9)).unwrap();
    let mut said = vec![
        note(NotifyKind::USE_TRANSPORT_MODE, &[]),
        Payload::Sa(vec![chosen.answer]),
        Payload::Nonce(vec![8; 32]),
        Payload::KeyExchange(KeyExchange {
            group: group.id(),
            data,
        }),
        Payload::SelectorsInitiator(one(0)),
        Payload::SelectorsResponder(one(1)),
    ];
    said.extend(more(&mut hand));
    hand.reply(&said);
    hand
}

fn with_link() -> Answering {
    answered(|_| vec![note(NotifyKind::ADDITIONAL_KEY_EXCHANGE, b"any octets")])
}

#[test]
fn the_link_goes_back_as_it_came() {
    let mut hand = with_link();
    let asked = hand.request(Exchange::IkeFollowupKe);
    let link = noted(&asked, NotifyKind::ADDITIONAL_KEY_EXCHANGE).unwrap();
    assert_eq!(link.data, b"any octets");
    let share = share_of(&asked).unwrap();
    assert_eq!((share.group, share.data.len()), (36, 1184));
    let answer = kith_ike::suite::answer(Group::MlKem768, &share.data, &mut |_| ()).unwrap();
    hand.reply(&[Payload::KeyExchange(KeyExchange {
        group: 36,
        data: answer.0,
    })]);
    assert_eq!(hand.events()[3..], ["child 2", "send 2"]);
}

#[test]
fn an_answer_without_a_link_makes_nothing() {
    let hand = answered(|_| Vec::new());
    assert!(hand.silent());
    assert_eq!(hand.events()[3..], ["refused Some(1) INVALID_SYNTAX"]);
    assert_eq!(hand.taken(), 1);
}

#[test]
fn a_responder_that_forgot_the_first_half_is_asked_from_the_start() {
    let mut hand = with_link();
    hand.request(Exchange::IkeFollowupKe);
    hand.reply(&[note(NotifyKind::STATE_NOT_FOUND, &[])]);
    assert!(hand.silent(), "not at once");
    for _ in 0..80 {
        hand.wait(100);
    }
    let asked = hand.request(Exchange::CreateChildSa);
    assert!(noted(&asked, NotifyKind::REKEY_SA).is_some());
    assert_eq!((hand.taken(), hand.world.ends[0].spis.len()), (2, 1));
}

#[test]
fn an_answer_to_the_followup_that_is_none_has_the_pair_closed_that_the_peer_made() {
    let mut hand = with_link();
    let offered = {
        let asked = hand.request(Exchange::IkeFollowupKe);
        share_of(&asked).unwrap().group
    };
    assert_eq!(offered, 36);
    hand.reply(&[key(Group::X25519)]);
    assert_eq!(hand.events()[3..], ["refused Some(1) INVALID_SYNTAX"]);
    let said = hand.request(Exchange::Informational);
    assert!(matches!(said.as_slice(), [Payload::Delete(_)]), "{said:?}");
    hand.reply(&[]);
    assert_eq!((hand.taken(), hand.world.ends[0].spis.len()), (1, 1));
}

#[test]
fn while_it_follows_up_an_end_lets_nobody_else_replace_the_same() {
    let mut hand = with_link();
    hand.request(Exchange::IkeFollowupKe);
    let asked = hand.asked;
    let own = hand.their_spi();
    let rekey = Notify {
        protocol: Protocol::Esp,
        spi: 0x0abc_0001_u32.to_be_bytes().to_vec(),
        kind: NotifyKind::REKEY_SA,
        data: Vec::new(),
    };
    let mut said = for_child(0x0d01);
    said[0] = Payload::Notify(rekey);
    assert_eq!(proposals_of(&said)[0].spi, [0, 0, 0x0d, 1]);
    assert_eq!(
        kinds(&hand.ask(Exchange::CreateChildSa, &said)),
        [NotifyKind::TEMPORARY_FAILURE]
    );
    assert_eq!(
        kinds(&hand.ask(Exchange::CreateChildSa, &for_ike(0x3333))),
        [NotifyKind::TEMPORARY_FAILURE]
    );
    // And its own goes on.
    hand.asked = asked;
    hand.reply(&[note(NotifyKind::NO_PROPOSAL_CHOSEN, &[])]);
    assert_eq!(hand.events()[3..], ["refused Some(1) NO_PROPOSAL_CHOSEN"]);
    assert_eq!(hand.their_spi(), own);
}
