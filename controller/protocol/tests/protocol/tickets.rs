//! Tickets (source document 001, figure 18): every way in which one can be wrong has its name.

use crate::{Counting, secret};
use kith_protocol::authenticator::TicketKey;
use kith_protocol::member::Location;
use kith_protocol::secret::Secret32;
use kith_protocol::ticket::{
    CLOCK_TOLERANCE_MS, KeyBody, MAX_TICKET, PairEnd, SEALED_KEY, TicketBody, TicketRefusal, open, open_key,
    pair_key, seal, seal_key,
};
use proptest::prelude::*;
use std::net::Ipv4Addr;

const OWN: &str = "printer.acme.example";
const NOW: u64 = 1_760_000_000_000;
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

pub fn body() -> TicketBody {
    TicketBody {
        sequence: NOW * 1000,
        issued_ms: NOW,
        expires_ms: NOW + 3_600_000,
        shared_key: secret(0x5a),
        target_virtual: VIRTUAL,
        initiator_virtual: Ipv4Addr::new(10, 77, 0, 2),
        initiator_location: Location {
            director: Ipv4Addr::new(203, 0, 113, 10).to_bits(),
            director_port: 20202,
            address: Ipv4Addr::new(240, 0, 0, 7).to_bits(),
            port: 0,
        },
        initiator_private: Ipv4Addr::new(192, 168, 1, 10),
        initiator_subnet: 24,
        initiator: "laptop.acme.example".into(),
        target: OWN.into(),
    }
}

fn key(octet: u8) -> TicketKey {
    TicketKey::of(&secret(octet))
}

fn sealed(body: &TicketBody) -> Vec<u8> {
    seal(&key(1), body, &mut Counting::from(0).rng()).expect("fits")
}

fn opened(now: u64, octets: &[u8]) -> Result<(), TicketRefusal> {
    open(&key(1), OWN, VIRTUAL, now, octets).map(drop)
}

#[test]
fn a_good_ticket_says_what_was_sealed() {
    assert!(open(&key(1), OWN, VIRTUAL, NOW, &sealed(&body())).is_ok_and(|read| read == body()));
}

#[test]
fn an_altered_ticket_is_refused_wherever_it_was_altered() {
    let good = sealed(&body());
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        let why = match at {
            0..4 => TicketRefusal::Malformed,
            4..12 => TicketRefusal::Foreign,
            _ => TicketRefusal::Altered,
        };
        assert_eq!(opened(NOW, &bent), Err(why), "octet {at}");
    }
    for len in 0..good.len() {
        assert!(matches!(
            opened(NOW, &good[..len]),
            Err(TicketRefusal::Malformed | TicketRefusal::Altered)
        ));
    }
    assert_eq!(
        opened(NOW, &vec![0; MAX_TICKET + 1]),
        Err(TicketRefusal::Malformed)
    );
}

#[test]
fn a_foreign_ticket_is_refused_as_such() {
    let good = sealed(&body());
    assert_eq!(
        open(&key(2), OWN, VIRTUAL, NOW, &good).err(),
        Some(TicketRefusal::Foreign)
    );
}

#[test]
fn a_ticket_lasts_from_its_issue_to_its_expiry() {
    let good = sealed(&body());
    assert_eq!(opened(NOW + 3_599_999, &good), Ok(()));
    assert_eq!(opened(NOW + 3_600_000, &good), Err(TicketRefusal::Expired));
    assert_eq!(
        opened(NOW - CLOCK_TOLERANCE_MS, &good),
        Ok(()),
        "clocks may differ a little"
    );
    assert_eq!(
        opened(NOW - CLOCK_TOLERANCE_MS - 1, &good),
        Err(TicketRefusal::NotYet)
    );
}

#[test]
fn a_ticket_is_for_one_name_at_one_address() {
    let elsewhere = Ipv4Addr::new(10, 77, 0, 4);
    assert_eq!(
        open(&key(1), OWN, elsewhere, NOW, &sealed(&body())).err(),
        Some(TicketRefusal::WrongTarget)
    );
    let other = TicketBody {
        target: "scanner.acme.example".into(),
        ..body()
    };
    assert_eq!(
        opened(NOW, &sealed(&other)),
        Err(TicketRefusal::Altered),
        "the name is additional data"
    );
}

#[test]
fn what_does_not_fit_the_layout_is_not_sealed() {
    let no_port = Location {
        port: 1 << 16,
        ..body().initiator_location
    };
    for wrong in [
        TicketBody {
            initiator: String::new(),
            ..body()
        },
        TicketBody {
            initiator: "a".repeat(254),
            ..body()
        },
        TicketBody {
            initiator_subnet: 33,
            ..body()
        },
        TicketBody {
            expires_ms: NOW,
            ..body()
        },
        TicketBody {
            initiator_location: no_port,
            ..body()
        },
    ] {
        assert!(seal(&key(1), &wrong, &mut Counting::from(0).rng()).is_err());
    }
    let long = "a".repeat(253);
    let long = TicketBody {
        initiator: long.clone(),
        target: long,
        ..body()
    };
    assert_eq!(sealed(&long).len(), MAX_TICKET);
    const { assert!(MAX_TICKET <= 1024, "it rides in one message of key agreement") };
}

#[test]
fn the_asker_gets_the_same_key_and_nobody_else_does() {
    let body = KeyBody {
        sequence: 1,
        issued_ms: NOW,
        expires_ms: NOW + 1000,
        shared_key: secret(0x5a),
        peer_virtual: VIRTUAL,
        own_virtual: Ipv4Addr::new(10, 77, 0, 2),
    };
    let (asker, peer) = ("laptop.acme.example", OWN);
    let octets = seal_key(&key(2), asker, peer, &body, &mut Counting::from(0).rng());
    assert_eq!(octets.len(), SEALED_KEY);
    let open = |key: &TicketKey, asker, peer, own, now, octets: &[u8]| {
        open_key(key, asker, peer, own, now, octets).map(|read| read == body)
    };
    let own = body.own_virtual;
    assert_eq!(open(&key(2), asker, peer, own, NOW, &octets), Ok(true));
    assert_eq!(
        open(&key(1), asker, peer, own, NOW, &octets),
        Err(TicketRefusal::Foreign)
    );
    assert_eq!(
        open(&key(2), asker, asker, own, NOW, &octets),
        Err(TicketRefusal::Altered)
    );
    assert_eq!(
        open(&key(2), asker, peer, VIRTUAL, NOW, &octets),
        Err(TicketRefusal::WrongTarget)
    );
    assert_eq!(
        open(&key(2), asker, peer, own, NOW + 1000, &octets),
        Err(TicketRefusal::Expired)
    );
    assert_eq!(
        open(&key(2), asker, peer, own, NOW, &octets[..octets.len() - 1]),
        Err(TicketRefusal::Altered)
    );
    let ticket = seal(&key(2), &crate::tickets::body(), &mut Counting::from(0).rng()).expect("fits");
    assert_eq!(
        open(&key(2), asker, peer, own, NOW, &ticket),
        Err(TicketRefusal::Malformed),
        "a ticket is no key"
    );
}

#[test]
fn a_pair_shares_one_key_an_epoch_in_either_direction() {
    let (a, b) = (
        PairEnd {
            id: 1,
            token_timestamp: 5,
        },
        PairEnd {
            id: 2,
            token_timestamp: 4,
        },
    );
    let key = pair_key(&secret(1), a, b, 7);
    assert!(key == pair_key(&secret(1), b, a, 7));
    assert!(key != pair_key(&secret(1), a, b, 8));
    assert!(key != pair_key(&secret(2), a, b, 7));
    assert!(key != pair_key(&secret(1), a, PairEnd { id: 3, ..b }, 7));
    assert!(
        key != pair_key(
            &secret(1),
            a,
            PairEnd {
                token_timestamp: 6,
                ..b
            },
            7
        ),
        "registered anew"
    );
}

/// What bodies are made of: they have no `Debug` themselves.
type Ingredients = ([u64; 3], [u32; 5], [u16; 2], [u8; 32], u8, [String; 2]);

fn ingredients() -> impl Strategy<Value = Ingredients> {
    let name = || "[a-z0-9.-]{1,253}";
    (
        any::<[u64; 3]>(),
        any::<[u32; 5]>(),
        any::<[u16; 2]>(),
        any::<[u8; 32]>(),
        0u8..=32,
        [name(), name()],
    )
}

fn made((numbers, addresses, ports, key, initiator_subnet, [initiator, target]): Ingredients) -> TicketBody {
    let [target_virtual, initiator_virtual, director, address, private] = addresses;
    TicketBody {
        sequence: numbers[0],
        issued_ms: numbers[1].min(numbers[2]),
        expires_ms: numbers[1].max(numbers[2]),
        shared_key: Secret32::new(key),
        target_virtual: Ipv4Addr::from_bits(target_virtual),
        initiator_virtual: Ipv4Addr::from_bits(initiator_virtual),
        initiator_location: Location {
            director,
            director_port: ports[0].into(),
            address,
            port: ports[1].into(),
        },
        initiator_private: Ipv4Addr::from_bits(private),
        initiator_subnet,
        initiator,
        target,
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_unchanged(ingredients in ingredients()) {
        let body = made(ingredients);
        prop_assume!(body.issued_ms < body.expires_ms);
        let octets = seal(&key(1), &body, &mut Counting::from(0).rng()).expect("fits");
        let read = open(&key(1), &body.target, body.target_virtual, body.issued_ms, &octets);
        prop_assert!(read.is_ok_and(|read| read == body));
        prop_assert!(octets.len() <= MAX_TICKET && (octets.len() - 40).is_multiple_of(16));
    }

    /// There is one way to write a ticket: what decodes encodes to the very same octets.
    #[test]
    fn there_is_one_way_to_write_it(ingredients in ingredients(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let body = made(ingredients);
        prop_assume!(body.issued_ms < body.expires_ms);
        let mut plain = body.encode().expect("fits");
        let at = at.index(plain.len());
        plain[at] = octet;
        if let Some(body) = TicketBody::decode(&plain) {
            prop_assert!(body.encode().is_ok_and(|again| *again == *plain));
        }
        prop_assert!(TicketBody::decode(&plain[1..]).is_none());
    }

    #[test]
    fn no_octets_are_taken_for_a_ticket(octets in proptest::collection::vec(any::<u8>(), 0..700)) {
        prop_assert!(opened(NOW, &octets).is_err());
        let mut octets = octets;
        octets.splice(..octets.len().min(4), *b"KTK1");
        prop_assert!(opened(NOW, &octets).is_err());
    }
}
