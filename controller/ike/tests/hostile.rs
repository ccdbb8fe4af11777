//! What strangers, liars and those who repeat what they overheard can make an end do: nothing (RFC 7296 section 2.6; shared security goals).

mod by_hand;
mod world;

use by_hand::first_header;
use kith_ike::codec::{Header, IkeSpi, KeyExchange, Payload, encode_clear};
use kith_ike::suite::{Additional, Cipher, Group, IkePreferences, Prf};
use kith_ike::*;
use world::*;

/// A first message from somewhere, as short as one can be.
fn first(number: u64) -> (Path, Vec<u8>) {
    let few = IkePreferences {
        ciphers: vec![Cipher::Aes256Gcm16],
        prfs: vec![Prf::HmacSha256],
        groups: vec![Group::X25519],
        additional: Additional::Off,
    };
    let header = Header {
        initiator_spi: IkeSpi(number + 1),
        ..first_header()
    };
    // The base point: a public key like any other.
    let mut public = vec![0; 32];
    public[0] = 9;
    let payloads = [
        Payload::Sa(few.proposals(None)),
        Payload::KeyExchange(KeyExchange {
            group: 31,
            data: public,
        }),
        Payload::Nonce(vec![1; 16]),
        Payload::VendorId(vec![0; (number % 300) as usize]),
    ];
    let source = format!(
        "{}.{}.{}.{}:500",
        11 + number % 90,
        number / 7 % 256,
        number / 256 % 256,
        1 + number % 200
    );
    let path = Path {
        local: "10.77.0.1:500".parse().unwrap(),
        remote: source.parse().unwrap(),
    };
    (path, encode_clear(&header, &payloads))
}

#[test]
fn a_flood_of_first_messages_leaves_little_and_honest_peers_get_through() {
    let mut world = World::new(1, config());
    let (mut sent, mut most) = (0, 0);
    for number in 0..100_000 {
        let (path, octets) = first(number);
        sent += octets.len() as u64;
        world.act(0, |endpoint, now| endpoint.datagram(now, path, &octets));
        most = most.max(world.ends[0].endpoint.occupancy().0);
        if number == 50_000 {
            world.connect(1);
        }
        if number % 100 == 0 {
            world.run(1);
        }
    }
    world.run(1_000);
    assert!(most <= 34, "associations: {most}");
    assert!(world.ends[0].sent_octets <= sent, "more out than in");
    assert_eq!(world.ends.each_ref().map(|end| end.up.len()), [1, 1]);
    assert!(world.data(0) && world.data(1));
    // And all of it is forgotten.
    world.run(60_000);
    assert_eq!(world.ends[0].endpoint.occupancy(), (1, 0));
    assert_eq!(
        world.ends[0].endpoint.counters().get(Drop::HandshakeAbandoned),
        most as u64 - 1
    );
}

#[test]
fn no_single_stranger_gets_more_octets_than_it_sent() {
    for number in 0..600 {
        let mut world = World::new(number, config());
        let (path, octets) = first(number);
        world.act(0, |endpoint, now| endpoint.datagram(now, path, &octets));
        let got = world.ends[0].sent_octets;
        assert!(
            0 < got && got <= octets.len() as u64,
            "{got} for {}",
            octets.len()
        );
    }
}

#[test]
fn a_cookie_is_asked_of_everybody_under_load_and_nothing_is_kept_before_it_comes_back() {
    let mut config = config();
    config.cookies_from = 0;
    let mut world = World::new(1, config);
    for number in 0..10_000 {
        let (path, octets) = first(number);
        world.act(0, |endpoint, now| endpoint.datagram(now, path, &octets));
    }
    assert_eq!(world.ends[0].endpoint.occupancy(), (0, 0));
    assert_eq!(world.ends[0].endpoint.counters().get(Drop::CookieAsked), 10_000);
}

#[test]
fn any_bit_of_any_message_changed_on_the_way_changes_nothing() {
    // Both the changed message and, when it is repeated, the honest one arrive.
    for seed in 0..400 {
        let mut world = World::new(seed, config());
        world.flips = 50;
        world.connect(0);
        world.run(9_000);
        world.flips = 0;
        world.run(200_000);
        let up = world.ends.each_ref().map(|end| end.up.len());
        if up != [1, 1] {
            // IKE_SA_INIT is in the clear: changing it ends the handshake, as cutting the wire would.
            assert_eq!(
                up,
                [0, 0],
                "seed {seed}: {:?}",
                world.ends.each_ref().map(|end| &end.events)
            );
        } else {
            assert!(world.agree());
        }
    }
}

#[test]
fn sealed_messages_with_a_bit_changed_are_counted_and_nothing_else() {
    let mut world = World::new(3, config());
    world.connect(0);
    world.run(100);
    world.record = true;
    let (id, child) = (world.ends[0].up[0], world.ends[0].newest().unwrap());
    world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
    world.run(0);
    let (to, path, octets) = world.recorded[0].clone();
    let before = world.ends[to].endpoint.counters().clone();
    let mut tried = 0;
    for at in 28..octets.len() {
        for bit in 0..8 {
            let mut changed = octets.clone();
            changed[at] ^= 1 << bit;
            world.act(to, |endpoint, now| endpoint.datagram(now, path, &changed));
            tried += 1;
        }
    }
    let after = world.ends[to].endpoint.counters().clone();
    let counted: u64 = [Drop::NotAuthentic, Drop::Malformed]
        .map(|why| after.get(why) - before.get(why))
        .iter()
        .sum();
    assert_eq!(counted, tried);
    assert_eq!(world.ends[to].spis.len(), 1, "nothing came of it");
    world.run(5_000);
    assert_ne!(world.ends[0].newest(), Some(child), "and the honest one is taken");
}

#[test]
fn everything_overheard_and_sent_again_changes_nothing() {
    let mut world = World::new(3, config());
    world.record = true;
    world.connect(0);
    world.run(100);
    for _ in 0..3 {
        for end in 0..2 {
            let (id, child) = (world.ends[end].up[0], world.ends[end].newest().unwrap());
            world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
            world.run(20_000);
            let id = world.ends[end].up[0];
            world.act(end, |endpoint, now| endpoint.rekey(now, id));
            world.run(20_000);
        }
    }
    world.record = false;
    let before = world.ends.each_ref().map(|end| end.events.clone());
    for (to, path, octets) in std::mem::take(&mut world.recorded) {
        world.act(to, |endpoint, now| endpoint.datagram(now, path, &octets));
        world.run(20);
    }
    world.run(90_000);
    assert_eq!(world.ends.each_ref().map(|end| end.events.clone()), before);
    assert!(world.agree());
}

#[test]
fn a_host_that_screens_strangers_keeps_nothing_of_them_and_says_nothing() {
    let mut world = World::new(3, config());
    world.ends[1].endpoint.host_mut().screen = false;
    world.connect(0);
    world.run(2_000);
    assert_eq!(world.ends[1].endpoint.occupancy(), (0, 0));
    assert_eq!(world.ends[1].sent_octets, 0);
    assert!(world.ends[1].endpoint.counters().get(Drop::Screened) > 0);
}
