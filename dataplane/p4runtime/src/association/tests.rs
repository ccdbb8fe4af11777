//! Messages and types say the same, what is wrong is refused with its place, and no key is ever shown.

use super::*;
use kith_esp::{Key, Salt};
use tonic::Code;

fn association(direction: Direction, index: u32) -> Association {
    let keys = SaKeys::new(Key::aes256(&[0xA5; 32]), Salt::new(&[0x5A; 4]));
    let key = AssociationKey {
        direction,
        index: SaIndex(index),
    };
    Association::new(key, Spi::new(0x1234).unwrap(), keys, Limits::default())
}

/// The message of an association, bent.
fn bent(bend: impl FnOnce(&mut kith::SecurityAssociation)) -> v1::ExternEntry {
    let mut message = unwrap(&association(Direction::Inbound, 0).encode())
        .unwrap()
        .unwrap();
    bend(&mut message);
    wrap(&message)
}

#[test]
fn an_association_comes_back_as_it_was_sent() {
    for sent in [
        association(Direction::Outbound, 0),
        association(Direction::Inbound, 8191),
    ] {
        let came = Association::decode(&sent.encode()).unwrap();
        assert_eq!(came, sent);
        let other_keys = SaKeys::new(Key::aes256(&[0x5A; 32]), Salt::new(&[0x5A; 4]));
        assert_ne!(
            came,
            Association::new(sent.key, sent.spi, other_keys, sent.limits)
        );
        assert_eq!(AssociationKey::decode(&sent.key.encode()), Ok(sent.key));
    }
}

#[test]
fn a_state_comes_back_as_it_was_sent_and_has_no_key() {
    let of = association(Direction::Inbound, 7);
    let state = AssociationState {
        key: of.key,
        spi: of.spi,
        cipher: of.cipher(),
        limits: of.limits,
        packets: 1,
        octets: 2,
        blocks: 3,
        dummies: 4,
        age: Millis(5),
        soft: true,
        hard: false,
        worker: 6,
    };
    let message = state.encode();
    assert_eq!(AssociationState::decode(&message), Ok(state));
    let inside = unwrap(&message).unwrap().unwrap();
    assert!(inside.key.is_empty() && inside.salt.is_empty());
}

#[test]
fn what_makes_no_association_is_refused_by_what_is_wrong_with_it() {
    let refused = |entry: v1::ExternEntry, word: &str| {
        let why = Association::decode(&entry).unwrap_err();
        assert_eq!(why.code(), Code::InvalidArgument, "{why}");
        assert!(why.to_string().contains(word), "{why} does not say {word}");
    };
    refused(bent(|it| it.spi = 255), "spi");
    refused(bent(|it| it.cipher = 0), "cipher");
    refused(bent(|it| it.cipher = 77), "cipher");
    refused(bent(|it| it.key.truncate(31)), "key");
    refused(bent(|it| it.cipher = kith::Cipher::Aes128Gcm16.into()), "key");
    refused(bent(|it| it.salt.push(0)), "salt");
    refused(bent(|it| it.direction = 0), "direction");
    refused(bent(|it| it.direction = 9), "direction");
    refused(bent(|it| it.index = None), "index");
    refused(bent(|it| it.state = Some(kith::State::default())), "state");
    let above = |it: &mut kith::SecurityAssociation| {
        it.soft.as_mut().unwrap().packets = 11;
        it.hard.as_mut().unwrap().packets = 10;
    };
    refused(bent(above), "soft above hard");
    refused(
        bent(|it| it.hard.as_mut().unwrap().milliseconds = 180_001),
        "too loose",
    );
    let mut other = association(Direction::Inbound, 0).encode();
    other.entry.as_mut().unwrap().type_url.push('x');
    refused(other, "another type");
    let mut other = association(Direction::Inbound, 0).encode();
    other.entry.as_mut().unwrap().value = vec![0xff; 3];
    refused(other, "although its type");
    let mut other = association(Direction::Inbound, 0).encode();
    other.extern_id = 5;
    assert_eq!(Association::decode(&other).unwrap_err().code(), Code::NotFound);
}

#[test]
fn limits_that_are_not_said_are_the_loosest_and_soft_is_never_above_hard() {
    let none = bent(|it| (it.soft, it.hard) = (None, None));
    assert_eq!(Association::decode(&none).unwrap().limits, Limits::default());
    let short = bent(|it| {
        it.soft = None;
        it.hard = Some(kith::Limits {
            milliseconds: 1_000,
            ..Default::default()
        });
    });
    let limits = Association::decode(&short).unwrap().limits;
    assert_eq!(
        (limits.soft().age, limits.hard().age),
        (Millis(1_000), Millis(1_000))
    );
}

#[test]
fn filters_ask_for_one_for_a_direction_or_for_all() {
    let all = v1::ExternEntry::default();
    assert_eq!(AssociationFilter::decode(&all), Ok(AssociationFilter::default()));
    for (direction, index) in [
        (None, None),
        (Some(Direction::Inbound), None),
        (None, Some(SaIndex(0))),
        (Some(Direction::Outbound), Some(SaIndex(9))),
    ] {
        let filter = AssociationFilter { direction, index };
        assert_eq!(AssociationFilter::decode(&filter.encode()), Ok(filter));
    }
    let nought = AssociationFilter {
        direction: None,
        index: Some(SaIndex(0)),
    };
    assert!(nought.passes(association(Direction::Outbound, 0).key));
    assert!(!nought.passes(association(Direction::Outbound, 1).key));
}

#[test]
fn nothing_that_can_be_printed_shows_a_key() {
    let association = association(Direction::Outbound, 3);
    let message = v1::Entity {
        entity: Some(v1::entity::Entity::ExternEntry(association.encode())),
    };
    let inside = unwrap(&association.encode()).unwrap().unwrap();
    for text in [
        format!("{association:?}"),
        format!("{message:?}"),
        format!("{inside:?}"),
    ] {
        // 0xA5 and 0x5A.
        for octet in ["165", "90, 90", "a5", "A5"] {
            assert!(!text.contains(octet), "{text}");
        }
    }
}
