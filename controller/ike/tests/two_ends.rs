//! Two ends over a network that loses nothing: what each exchange leads to (RFC 7296 sections 1 and 2).

mod world;

use kith_ike::auth::{OwnProof, PeerProof};
use kith_ike::*;
use world::*;

#[test]
fn four_messages_give_both_ends_the_same_keys() {
    let (mut world, _) = up(World::new(1, config()));
    assert_eq!(
        world.ends[0].events,
        ["up AES-256-GCM, HMAC-SHA-256, X25519", "child 1", "send 1"]
    );
    assert!(world.agree());
    talk(&mut world);
}

#[test]
fn a_host_has_the_keys_before_the_answer_leaves() {
    let mut world = World::new(1, config());
    world.connect(0);
    // The peer's first packet leaves with the answer and is as fast: it is opened all the same.
    world.delay = (0, 0);
    world.run(100);
    assert!(
        world.ends[1].answered_before_keys == 0,
        "{:?}",
        world.ends[1].events
    );
    talk(&mut world);
}

#[test]
fn a_post_quantum_exchange_between_them_changes_nothing_for_the_user() {
    let (mut world, _) = up(World::new(1, post_quantum()));
    assert!(
        world.ends[0].events[0].contains("ML-KEM-768"),
        "{:?}",
        world.ends[0].events
    );
    assert!(world.largest <= 1200, "fragmented: {}", world.largest);
    talk(&mut world);
}

#[test]
fn one_end_without_post_quantum_is_talked_to_if_that_is_only_an_offer() {
    let mut offers = post_quantum();
    offers.ike.additional = kith_ike::suite::Additional::Offer;
    let (mut world, _) = up(World::with(1, [offers, config()], [psk(0, b"x"), psk(1, b"x")]));
    talk(&mut world);
    let mut world = World::with(1, [post_quantum(), config()], [psk(0, b"x"), psk(1, b"x")]);
    world.connect(0);
    world.run(60_000);
    assert_eq!(world.ends[0].downs.len(), 1);
    assert_eq!(world.ends[0].downs[0].1, Down::NoProposal);
}

#[test]
fn whoever_has_another_secret_is_not_believed() {
    let mut world = World::with(1, [config(), config()], [psk(0, b"one"), psk(1, b"another")]);
    world.connect(0);
    world.run(60_000);
    assert_eq!(world.ends[0].downs.len(), 1);
    assert!(
        matches!(world.ends[0].downs[0].1, Down::RefusedByPeer(_)),
        "{:?}",
        world.ends[0].downs
    );
    assert!(
        matches!(world.ends[1].downs[0].1, Down::NotAuthentic(_)),
        "{:?}",
        world.ends[1].downs
    );
    assert!(world.agree());
}

#[test]
fn a_responder_that_is_not_who_was_wanted_is_not_believed() {
    let mut terms = psk(1, b"secret");
    terms.own = kith_ike::codec::Identity::Fqdn("mallory.example".into());
    let mut world = World::with(1, [config(), config()], [psk(0, b"secret"), terms]);
    world.connect(0);
    world.run(60_000);
    assert_eq!(world.ends[0].downs[0].1, Down::Protocol("somebody else answers"));
    // Bob believed that it was up.
    assert!(matches!(world.ends[1].downs[0].1, Down::RefusedByPeer(_)));
    assert!(world.agree() && world.ends[1].spis.is_empty());
}

#[test]
fn two_ends_that_look_for_translators_meet_on_their_port_even_without_one() {
    let detecting = Config::new(kith_ike::suite::IkePreferences::default(), Nat::Detect);
    for (configs, port) in [
        ([detecting.clone(), detecting.clone()], 4500),
        ([config(), detecting], 500),
    ] {
        let (mut world, _) = up(World::with(1, configs, [psk(0, b"x"), psk(1, b"x")]));
        for end in &world.ends {
            let path = end.endpoint.view(end.up[0]).unwrap().path.unwrap();
            assert_eq!((path.local.port(), path.remote.port()), (port, port));
            assert_eq!(end.nat, NatFound::default(), "there is none");
        }
        talk(&mut world);
    }
}

#[test]
fn closing_tells_the_other_end() {
    for end in 0..2 {
        let (mut world, _) = up(World::new(5, config()));
        let id = world.ends[end].up[0];
        world.act(end, |endpoint, now| endpoint.close(now, id));
        world.run(1_000);
        assert_eq!(world.ends[end].downs[0].1, Down::Closed);
        assert_eq!(world.ends[1 - end].downs[0].1, Down::ClosedByPeer);
        assert!(world.agree() && world.ends[0].spis.is_empty());
    }
}

#[test]
fn both_ends_close_at_once() {
    let (mut world, _) = up(World::new(5, config()));
    for end in 0..2 {
        let id = world.ends[end].up[0];
        world.act(end, |endpoint, now| endpoint.close(now, id));
    }
    world.run(100_000);
    assert!(
        world
            .ends
            .iter()
            .all(|end| end.downs.len() == 1 && end.spis.is_empty())
    );
    assert!(world.agree());
}

#[test]
fn a_peer_that_falls_silent_is_noticed() {
    let (mut world, _) = up(World::new(5, config()));
    world.cut = [false, true];
    let since = world.now;
    world.run(120_000);
    assert_eq!(world.ends[0].downs[0].1, Down::Silent);
    assert!(world.ends[0].spis.is_empty() && world.now > since);
}

#[test]
fn a_quiet_peer_is_asked_and_kept() {
    let (mut world, _) = up(World::new(5, config()));
    world.run(600_000);
    assert_eq!(world.ends.each_ref().map(|end| end.downs.len()), [0, 0]);
    renew(&mut world);
    talk(&mut world);
}

#[test]
fn both_ends_begin_at_once_and_one_association_remains() {
    for seed in 0..32 {
        let mut world = World::new(seed, config());
        world.connect(0);
        world.run(seed);
        world.connect(1);
        world.run(30_000);
        assert_eq!(
            world.ends.each_ref().map(|end| end.up.len()),
            [1, 1],
            "seed {seed}: {:?}",
            world.ends.each_ref().map(|end| &end.events)
        );
        assert_eq!(world.ends[0].spis.len(), 1);
        assert!(world.agree(), "seed {seed}");
        talk(&mut world);
    }
}

#[test]
fn an_end_that_restarted_begins_anew_and_the_other_forgets_the_old_one() {
    let (mut world, _) = up(World::new(5, config()));
    world.run(60_000);
    let fresh = World::new(99, config());
    let [fresh, _] = fresh.ends;
    world.ends[0] = fresh;
    world.connect(0);
    world.run(1_000);
    assert_eq!(world.ends[1].downs.len(), 1);
    assert_eq!(world.ends[1].downs[0].1, Down::Replaced);
    assert_eq!(world.ends[1].up.len(), 1);
    talk(&mut world);
}

#[test]
fn strangers_get_cookies_when_many_handshakes_are_open_and_honest_peers_get_through() {
    let mut config = config();
    config.cookies_from = 0;
    let (mut world, _) = up(World::new(5, config));
    talk(&mut world);
    assert_eq!(world.ends[1].endpoint.counters().get(Drop::CookieAsked), 1);
}

#[test]
fn another_group_than_the_first_one_offered_is_asked_for_and_used() {
    let mut only = config();
    only.ike.groups = vec![kith_ike::suite::Group::P256];
    let (mut world, _) = up(World::with(5, [config(), only], [psk(0, b"x"), psk(1, b"x")]));
    assert!(
        world.ends[0].events[0].contains("P-256"),
        "{:?}",
        world.ends[0].events
    );
    talk(&mut world);
}

#[test]
fn traffic_that_the_responder_does_not_allow_gives_an_association_without_a_pair() {
    let mut terms = psk(1, b"x");
    terms.child.remote = vec![kith_ike::codec::Selector::v4(
        [10, 99, 0, 1].into(),
        [10, 99, 0, 1].into(),
    )];
    let (world, _) = up(World::with(5, [config(), config()], [psk(0, b"x"), terms]));
    assert_eq!(world.ends[0].events[1], "refused None TS_UNACCEPTABLE");
    assert!(world.agree() && world.ends[0].spis.is_empty());
}

#[test]
fn every_kind_of_name_can_be_sent_and_taken() {
    use kith_ike::codec::Identity;
    let kinds = [
        Identity::Ipv4([192, 0, 2, 7].into()),
        Identity::Ipv6("2001:db8::7".parse().unwrap()),
        Identity::Fqdn("somebody.example".into()),
        Identity::Email("somebody@example".into()),
        Identity::KeyId(vec![0, 1, 254, 255]),
        Identity::DerDn(vec![0x30, 0]),
    ];
    for name in kinds {
        let mut terms = [psk(0, b"x"), psk(1, b"x")];
        terms[0].own = name.clone();
        terms[1].own = name.clone();
        let mut world = World::with(5, [config(), config()], terms);
        let mut connection = world.connection(0);
        connection.peer = name.clone();
        world.act(0, |endpoint, now| {
            endpoint.connect(now, connection);
        });
        world.run(200);
        assert_eq!(world.ends.each_ref().map(|end| end.up.len()), [1, 1], "{name}");
    }
}

#[test]
fn who_we_are_told_about_is_told_where_we_are() {
    let mut world = World::new(5, config());
    world.act(0, |endpoint, now| endpoint.announce(now, b"here".to_vec()));
    let (mut world, _) = up(world);
    assert!(world.ends[1].events.contains(&"whereabouts here".to_owned()));
    world.act(0, |endpoint, now| endpoint.announce(now, b"there".to_vec()));
    world.run(100);
    assert!(world.ends[1].events.contains(&"whereabouts there".to_owned()));
}

#[test]
fn no_room_for_another_spi_is_said_and_nothing_leaks() {
    let mut world = World::new(5, config());
    world.ends[1].endpoint.host_mut().free = 0;
    let (world, _) = up(world);
    assert_eq!(world.ends[0].events[1], "refused None NO_ADDITIONAL_SAS");
    assert!(world.agree());
}

#[test]
fn certificates_prove_who_an_end_is() {
    let terms = world_with_certificates();
    let (mut world, _) = up(World::with(5, [config(), config()], terms));
    talk(&mut world);
}

/// strongSwan, for one, sends its certificate only if it was asked for one before it has to say who it is.
#[test]
fn who_begins_is_told_at_once_which_authorities_are_believed() {
    use kith_ike::Output;
    use kith_ike::codec::{Body, Payload, parse};
    let asked = |authorities| {
        let terms = world_with_certificates();
        let anchors = match &terms[1].peer_proof {
            PeerProof::Certificate(anchors) => anchors.clone(),
            _ => unreachable!("certificates were asked for"),
        };
        let there = kith_ike::Config {
            authorities: Some(anchors.clone()).filter(|_| authorities),
            ..config()
        };
        // A request longer than the answer: else a cookie comes first.
        let mut offers = config();
        offers.ike.additional = kith_ike::suite::Additional::Offer;
        let mut world = World::with(6, [offers, there], terms);
        let (now, connection) = (world.moment(), world.connection(0));
        let [here, there] = &mut world.ends;
        here.endpoint.connect(now, connection);
        let Some(Output::Send { octets, .. }) = here.endpoint.next_output() else {
            panic!("nothing was sent")
        };
        there.endpoint.datagram(now, world::path(1), &octets);
        let Some(Output::Send { octets, .. }) = there.endpoint.next_output() else {
            panic!("nothing was answered")
        };
        let Body::Clear(payloads) = parse(&octets).unwrap().body else {
            panic!("the first answer is in the clear")
        };
        let request = Payload::CertificateRequest {
            encoding: 4,
            data: anchors.request(),
        };
        payloads.contains(&request)
    };
    assert!(asked(true));
    assert!(!asked(false));
}

fn world_with_certificates() -> [Terms; 2] {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = Issuer::new(params, authority);
    [0, 1].map(|end| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAMES[end].to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let anchors = kith_ike::auth::Anchors::from_der(&[root.der().to_vec()]).unwrap();
        Terms {
            proof: OwnProof::Signature {
                key: kith_ike::auth::SigningKey::from_pkcs8(&key.serialize_der())
                    .unwrap()
                    .into(),
                chain: vec![leaf.der().to_vec()],
            },
            peer_proof: PeerProof::Certificate(anchors.into()),
            ..psk(end, b"")
        }
    })
}
