//! What is sealed opens again, whole, whatever its length, under every back end.

mod common;

use common::{NOW, UDP, keys, keys_256, pair, pair_with, payload, seal, spi};
use kith_esp::aead::{Aead, AwsLc, Portable, Ring};
use kith_esp::{
    HEADER_LEN, Inbound, Limits, MAX_PAYLOAD, MAX_SEALED, Outbound, SaKeys, SealError, SeqNo, sealed_overhead,
};
use proptest::prelude::*;

#[test]
fn every_length_up_to_an_ethernet_frame_comes_back() {
    let (mut out, mut inn) = pair();
    for len in 0..=1500 {
        let sent = payload(len);
        let mut packet = seal(&mut out, &sent);
        let opened = inn.open_in_place(&mut packet, NOW).unwrap();
        assert_eq!(packet[opened.payload.clone()], sent, "length {len}");
        assert_eq!(
            (opened.next_header, opened.token.seq()),
            (UDP, SeqNo(len as u64 + 1))
        );
        inn.commit(opened.token).unwrap();
    }
}

#[test]
fn the_longest_payload_passes_and_one_octet_more_is_refused() {
    let (mut out, mut inn) = pair();
    let mut packet = seal(&mut out, &payload(MAX_PAYLOAD));
    assert_eq!(packet.len(), MAX_SEALED);
    assert_eq!(
        inn.open_in_place(&mut packet, NOW).unwrap().payload.len(),
        MAX_PAYLOAD
    );

    let mut buf = vec![0; MAX_SEALED + 100];
    let refused = out.seal_in_place(&mut buf, HEADER_LEN..HEADER_LEN + MAX_PAYLOAD + 1, UDP, NOW);
    assert_eq!(refused, Err(SealError::TooLong));
}

#[test]
fn all_back_ends_make_the_same_octets_and_open_each_others() {
    fn agree<S: Aead, O: Aead>(keys: fn() -> SaKeys) {
        let mut ours = Outbound::<S>::with_aead(spi(), keys(), Limits::default(), NOW);
        let mut oracle = Outbound::<Portable>::with_aead(spi(), keys(), Limits::default(), NOW);
        let mut inn = Inbound::<O>::with_aead(spi(), keys(), Limits::default(), NOW);
        for len in (0..300).chain([1408, 1500, 9000]) {
            let sent = payload(len);
            let mut packet = seal(&mut ours, &sent);
            assert_eq!(
                packet,
                seal(&mut oracle, &sent),
                "{} differs from the oracle at {len} octets",
                S::NAME
            );
            let opened = inn.open_in_place(&mut packet, NOW).unwrap();
            assert_eq!(
                packet[opened.payload],
                sent,
                "{} cannot open {len} octets by {}",
                O::NAME,
                S::NAME
            );
        }
    }
    for keys in [keys, keys_256] {
        agree::<AwsLc, Ring>(keys);
        agree::<Ring, Portable>(keys);
        agree::<Portable, AwsLc>(keys);
    }
}

#[test]
fn a_buffer_without_room_is_refused_and_costs_no_sequence_number() {
    let (mut out, _) = pair();
    let len = 40;
    let need = HEADER_LEN + len + sealed_overhead(len) - HEADER_LEN;
    for (size, start, end) in [
        (need, HEADER_LEN - 1, HEADER_LEN - 1 + len), // one octet short before the payload
        (need - 1, HEADER_LEN, HEADER_LEN + len),     // one octet short behind it
        (need, need - 4, need + 4),                   // payload itself beyond the buffer
        (need, HEADER_LEN + 1, HEADER_LEN),           // ends before it begins
        (0, HEADER_LEN, HEADER_LEN),
        (need, usize::MAX, usize::MAX),
    ] {
        let mut buf = vec![0x5A; size];
        assert_eq!(
            out.seal_in_place(&mut buf, start..end, UDP, NOW),
            Err(SealError::NoRoom),
            "{start}..{end}"
        );
        assert!(
            buf.iter().all(|&octet| octet == 0x5A),
            "a refused packet is left as it was"
        );
    }
    let mut buf = vec![0; need];
    let sealed = out
        .seal_in_place(&mut buf, HEADER_LEN..HEADER_LEN + len, UDP, NOW)
        .unwrap();
    assert_eq!(sealed.seq, SeqNo(1));
}

proptest! {
    #[test]
    fn any_payload_anywhere_in_a_buffer_comes_back(
        sent in proptest::collection::vec(any::<u8>(), 0..1501),
        next_header: u8,
        before in 0usize..64,
        behind in 0usize..64,
    ) {
        let (mut out, mut inn) = pair_with::<AwsLc, Portable>(Limits::default());
        let sealed_len = sent.len() + sealed_overhead(sent.len());
        let mut buf = vec![0x5A; before + sealed_len + behind];
        let range = before + HEADER_LEN..before + HEADER_LEN + sent.len();
        buf[range.clone()].copy_from_slice(&sent);

        let sealed = out.seal_in_place(&mut buf, range, next_header, NOW).unwrap();
        prop_assert_eq!(&sealed.packet, &(before..before + sealed_len));
        prop_assert!(buf[..before].iter().chain(&buf[before + sealed_len..]).all(|&octet| octet == 0x5A));
        if sent.len() >= 8 {
            prop_assert!(!buf.windows(sent.len()).any(|octets| octets == sent), "payload in clear");
        }

        let packet = &mut buf[sealed.packet];
        let opened = inn.open_in_place(packet, NOW).unwrap();
        prop_assert_eq!(&packet[opened.payload], &sent[..]);
        prop_assert_eq!(opened.next_header, next_header);
    }
}
