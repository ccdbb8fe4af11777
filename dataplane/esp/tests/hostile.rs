//! Forged, damaged, truncated, replayed: refused by name, the window unmoved, no plaintext left behind.

mod common;

use common::{NOW, UDP, keys, pair, pair_with, payload, seal, spi};
use kith_esp::aead::{Aead, AwsLc, Portable, Ring};
use kith_esp::{
    CommitError, HEADER_LEN, Inbound, Key, Limits, MAX_SEALED, MIN_SEALED, OpenError, Outbound, SaKeys, Salt,
    SeqNo, Spi,
};
use proptest::prelude::*;

#[test]
fn every_single_flipped_bit_is_refused() {
    fn try_all<A: Aead>() {
        for len in [0, 1, 64, 333] {
            let (mut out, mut inn) = pair_with::<A, A>(Limits::default());
            let original = seal(&mut out, &payload(len));
            for bit in 0..original.len() * 8 {
                let mut packet = original.clone();
                packet[bit / 8] ^= 1 << (bit % 8);
                let refused = inn.open_in_place(&mut packet, NOW).unwrap_err();
                let want = match bit / 8 {
                    0..4 => [OpenError::WrongSpi, OpenError::WrongSpi],
                    // A number beyond the reach of the window, or one that the tag was not made for.
                    4..8 => [OpenError::TooOld, OpenError::BadTag],
                    _ => [OpenError::BadTag, OpenError::BadTag],
                };
                assert!(
                    want.contains(&refused),
                    "{}: bit {bit} of {len} octets: {refused}",
                    A::NAME
                );
                if refused == OpenError::BadTag {
                    assert!(packet[HEADER_LEN..].iter().all(|&octet| octet == 0), "wiped");
                }
                assert_eq!(inn.highest(), SeqNo(0), "the window has not moved");
            }
            assert_eq!(inn.usage().packets, 0, "forgeries do not age the SA");
            let opened = inn.open_in_place(&mut original.clone(), NOW).unwrap();
            inn.commit(opened.token)
                .expect("the untouched packet is still good");
        }
    }
    try_all::<AwsLc>();
    try_all::<Ring>();
    try_all::<Portable>();
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (mut out, mut inn) = pair();
    let original = seal(&mut out, &payload(100));
    for len in 0..original.len() + 64 {
        let mut packet = original.clone();
        packet.resize(len, 0);
        let want = match len {
            0..MIN_SEALED => OpenError::Truncated,
            _ if len % 4 != 0 => OpenError::BadLength,
            _ if len == original.len() => continue,
            _ => OpenError::BadTag,
        };
        assert_eq!(
            inn.open_in_place(&mut packet, NOW).unwrap_err(),
            want,
            "{len} octets"
        );
    }
    assert_eq!(
        inn.open_in_place(&mut vec![0; MAX_SEALED + 4], NOW).unwrap_err(),
        OpenError::BadLength
    );
    assert_eq!(inn.highest(), SeqNo(0));
}

#[test]
fn an_opened_packet_moves_nothing_until_its_token_is_committed() {
    let (mut out, mut inn) = pair();
    let packet = seal(&mut out, b"spoofed source, dropped by the caller");
    for _ in 0..3 {
        // Dropping the token, as when the source check fails, leaves the window alone.
        assert!(inn.open_in_place(&mut packet.clone(), NOW).is_ok());
        assert_eq!(inn.highest(), SeqNo(0));
    }
    // Two copies in one burst: both open, one is committed.
    let first = inn.open_in_place(&mut packet.clone(), NOW).unwrap().token;
    let second = inn.open_in_place(&mut packet.clone(), NOW).unwrap().token;
    assert_eq!(inn.commit(first), Ok(()));
    assert_eq!(inn.commit(second), Err(CommitError::Replayed));
    assert_eq!(
        inn.open_in_place(&mut packet.clone(), NOW).unwrap_err(),
        OpenError::Replayed
    );
}

#[test]
fn a_token_that_the_window_has_passed_is_refused() {
    let (mut out, mut inn) = pair();
    let old = inn
        .open_in_place(&mut seal(&mut out, b"first"), NOW)
        .unwrap()
        .token;
    let mut last = Vec::new();
    for _ in 0..8192 {
        last = seal(&mut out, b"later");
    }
    let token = inn.open_in_place(&mut last, NOW).unwrap().token;
    inn.commit(token).unwrap();
    assert_eq!(inn.commit(old), Err(CommitError::TooOld));
}

#[test]
fn a_token_of_another_sa_is_refused_even_with_the_same_spi_and_keys() {
    let (mut out, mut inn) = pair();
    let mut twin = Inbound::new(spi(), keys(), Limits::default(), NOW);
    let token = inn
        .open_in_place(&mut seal(&mut out, b"for one SA"), NOW)
        .unwrap()
        .token;
    assert_eq!(twin.commit(token), Err(CommitError::ForeignToken));
    assert_eq!((twin.highest(), inn.highest()), (SeqNo(0), SeqNo(0)));
}

#[test]
fn another_key_salt_or_spi_opens_nothing() {
    let (mut out, _) = pair();
    let packet = seal(&mut out, &payload(64));
    let other_key = SaKeys::new(Key::aes128(b"sixteen octets?!"), Salt::new(b"salt"));
    let other_salt = SaKeys::new(Key::aes128(b"sixteen octets!!"), Salt::new(b"tlas"));
    for keys in [other_key, other_salt] {
        let mut inn = Inbound::new(spi(), keys, Limits::default(), NOW);
        assert_eq!(
            inn.open_in_place(&mut packet.clone(), NOW).unwrap_err(),
            OpenError::BadTag
        );
    }
    let mut inn = Inbound::new(Spi::new(0x1234_5679).unwrap(), keys(), Limits::default(), NOW);
    assert_eq!(
        inn.open_in_place(&mut packet.clone(), NOW).unwrap_err(),
        OpenError::WrongSpi
    );
    let mut relabelled = packet.clone();
    relabelled[..4].copy_from_slice(&0x1234_5679u32.to_be_bytes());
    assert_eq!(
        inn.open_in_place(&mut relabelled, NOW).unwrap_err(),
        OpenError::BadTag
    );
}

/// Seals a body of the test's own making: authentic, but not as RFC 4303 wants it.
fn seal_body(body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::from(spi().get().to_be_bytes());
    packet.extend(1u32.to_be_bytes());
    packet.extend(1u64.to_be_bytes());
    let nonce: Vec<u8> = b"salt".iter().chain(&packet[8..16]).copied().collect();
    let aad: Vec<u8> = packet[..4].iter().chain(&1u64.to_be_bytes()).copied().collect();
    let mut body = body.to_vec();
    let aead = Portable::new(&Key::aes128(b"sixteen octets!!"));
    let tag = aead
        .seal(nonce.as_slice().try_into().unwrap(), &aad, &mut body)
        .unwrap();
    packet.extend(body);
    packet.extend(tag);
    packet
}

#[test]
fn padding_is_checked_octet_by_octet() {
    let good = |pad: u8| (1..=pad).chain([pad, UDP]).collect::<Vec<u8>>();
    // All the padding a sender may use, to hide lengths (RFC 4303 2.4 allows 0 to 255).
    for pad in (2..=254).step_by(4) {
        let opened = pair().1.open_in_place(&mut seal_body(&good(pad)), NOW).unwrap();
        assert_eq!(
            (opened.payload, opened.next_header),
            (HEADER_LEN..HEADER_LEN, UDP)
        );
    }
    for pad in [2, 6, 254] {
        for wrong in 0..usize::from(pad) {
            let mut body = good(pad);
            body[wrong] ^= 0x80;
            let (mut packet, mut inn) = (seal_body(&body), pair().1);
            assert_eq!(
                inn.open_in_place(&mut packet, NOW).unwrap_err(),
                OpenError::BadPadding
            );
            assert!(packet[HEADER_LEN..].iter().all(|&octet| octet == 0), "wiped");
            assert_eq!(inn.highest(), SeqNo(0));
        }
    }
    // A pad length that reaches beyond the packet.
    for claimed in 3..=255 {
        let refused = pair()
            .1
            .open_in_place(&mut seal_body(&[1, 2, claimed, UDP]), NOW)
            .unwrap_err();
        assert_eq!(refused, OpenError::BadPadding);
    }
}

/// Of a million replays none is accepted; `KITH_REPLAYS=100000000` runs the full campaign of the security promise.
#[test]
fn no_replay_is_ever_accepted() {
    let replays = std::env::var("KITH_REPLAYS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000u64);
    let (mut out, mut inn) = pair();
    let packets: Vec<Vec<u8>> = (0..20_000).map(|_| seal(&mut out, b"")).collect();
    for packet in &packets {
        let opened = inn.open_in_place(&mut packet.clone(), NOW).unwrap();
        inn.commit(opened.token).unwrap();
    }
    let (mut pick, mut accepted, mut buf) = (1u64, 0u64, [0; MIN_SEALED]);
    for _ in 0..replays {
        // A linear congruential walk over the recorded packets: in and left of the window alike.
        pick = pick
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        buf.copy_from_slice(&packets[(pick >> 33) as usize % packets.len()]);
        match inn.open_in_place(&mut buf, NOW) {
            // Left of the window, the number is taken for one 2^32 ahead (RFC 4303 A2), for which the tag is wrong.
            Err(OpenError::Replayed | OpenError::TooOld | OpenError::BadTag) => {}
            Err(other) => panic!("a replay was refused as {other}"),
            Ok(_) => accepted += 1,
        }
    }
    assert_eq!(accepted, 0, "of {replays} replays");
    assert_eq!(inn.usage().packets, 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_octets_are_refused_by_name(
        mut octets in prop::collection::vec(any::<u8>(), 0..2000), own_spi: bool, near_number: bool, now: u64,
    ) {
        let (_, mut inn) = pair();
        if own_spi && octets.len() >= 4 {
            octets[..4].copy_from_slice(&spi().get().to_be_bytes());
        }
        if near_number && octets.len() >= 8 {
            octets[4..6].fill(0);
        }
        prop_assert!(inn.open_in_place(&mut octets, kith_esp::Millis(now)).is_err());
        prop_assert_eq!(inn.highest(), SeqNo(0));
    }

    #[test]
    fn damage_anywhere_is_refused(
        len in 0usize..600, at: prop::sample::Index, by in 1u8.., cut in 0usize..8,
    ) {
        let (mut out, mut inn) = pair();
        let mut packet = seal(&mut out, &payload(len));
        let at = at.index(packet.len());
        packet[at] ^= by;
        packet.truncate(packet.len() - cut);
        prop_assume!(at < packet.len() || cut > 0);
        prop_assert!(inn.open_in_place(&mut packet, NOW).is_err());
        prop_assert_eq!(inn.highest(), SeqNo(0));
    }
}

#[test]
fn reordered_and_duplicated_packets_each_arrive_once() {
    let (mut out, mut inn) = pair();
    let packets: Vec<Vec<u8>> = (0..8192u32).map(|n| seal(&mut out, &n.to_be_bytes())).collect();
    let mut arrived = vec![0u32; packets.len()];
    // 4801 is coprime to 8192: a permutation; the walk goes round twice, so each packet comes twice.
    for step in 0..2 * packets.len() {
        let mut packet = packets[step * 4801 % packets.len()].clone();
        if let Ok(opened) = inn.open_in_place(&mut packet, NOW) {
            inn.commit(opened.token).unwrap();
            let number = u32::from_be_bytes(packet[opened.payload].try_into().unwrap());
            arrived[number as usize] += 1;
        }
    }
    assert!(arrived.iter().all(|&times| times == 1));
}

#[test]
fn a_reflected_packet_is_refused() {
    // Each direction has keys of its own: what we sent, sent back to us, opens nothing.
    let mut ours = Outbound::new(spi(), keys(), Limits::default(), NOW);
    let mut theirs = Inbound::new(spi(), common::keys_256(), Limits::default(), NOW);
    let mut packet = seal(&mut ours, &payload(80));
    assert_eq!(
        theirs.open_in_place(&mut packet, NOW).unwrap_err(),
        OpenError::BadTag
    );
}
