//! SK and SKF: vectors computed with Python's `cryptography` after RFC 5282, and every way to forge.

use super::*;
use crate::codec::{Body, Delete, Exchange, Header, MessageId, Payload, PayloadKind, parse, parse_chain};

const EMPTY: &str = "112233445566778899aabbccddeeff002e20252800000007000000390000001d0000000000000000952ac50bcd75fa33\
    4b863c5ee7e92d7389";
const PADDED: &str = "112233445566778899aabbccddeeff002e20250800000008000000442a00002800010203040506078d02a2a8874c7a4a\
    13d50dc2de93174ea2f7a4a93d02eaeb43be7404";

fn header(id: u32) -> Header {
    Header {
        initiator_spi: SPIS.initiator,
        responder_spi: SPIS.responder,
        exchange: Exchange::Informational,
        from_initiator: true,
        response: true,
        message_id: MessageId(id),
    }
}

fn sealer() -> Sealer {
    keys().sealer(true).unwrap_or_else(|e| panic!("{e}"))
}

fn open(octets: &[u8]) -> Result<Vec<Payload>, OpenError> {
    let datagram = parse(octets)?;
    let Body::Sealed(sealed) = &datagram.body else {
        panic!("{datagram:?}")
    };
    keys().opener(true).unwrap_or_else(|e| panic!("{e}")).open(sealed)
}

fn seal(sealer: &mut Sealer, payloads: &[Payload]) -> Vec<u8> {
    sealer
        .seal(&header(7), payloads)
        .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_message_is_sealed_as_its_rfc_says() {
    assert_eq!(hex(&seal(&mut sealer(), &[])), EMPTY);
    assert_eq!(open(&octets(EMPTY)), Ok(Vec::new()));
}

#[test]
fn padding_of_any_value_is_taken() {
    assert_eq!(open(&octets(PADDED)), Ok(vec![Payload::Delete(Delete::Ike)]));
}

#[test]
fn no_initialisation_vector_comes_twice() {
    let mut sealer = sealer();
    let mut seen: Vec<Vec<u8>> = (0..100)
        .map(|_| seal(&mut sealer, &[])[32..40].to_vec())
        .collect();
    seen.extend(
        sealer
            .seal_fragments(&header(8), &[Payload::VendorId(vec![1; 1000])], 200)
            .unwrap_or_else(|e| panic!("{e}"))
            .iter()
            .map(|fragment| fragment[36..44].to_vec()),
    );
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), all > 105), (all, true));
}

#[test]
fn a_key_stops_in_time() {
    let mut sealer = sealer();
    sealer.age_to_last();
    assert!(sealer.seal(&header(7), &[]).is_ok());
    assert_eq!(sealer.seal(&header(7), &[]), Err(CryptoError::Exhausted));
    assert_eq!(
        sealer.seal_fragments(&header(7), &[], 500),
        Err(CryptoError::Exhausted)
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let message = seal(&mut sealer(), &[Payload::Nonce(vec![5; 32])]);
    assert!(open(&message).is_ok());
    for bit in 0..message.len() * 8 {
        let mut forged = message.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(datagram) = parse(&forged)
            && let Body::Sealed(sealed) = &datagram.body
        {
            let opened = keys().opener(true).unwrap_or_else(|e| panic!("{e}")).open(sealed);
            assert_eq!(opened, Err(OpenError::Forged), "bit {bit}");
        }
    }
}

/// What one side sealed does not open as the other's: a message cannot be thrown back.
#[test]
fn a_reflected_message_is_forged() {
    let message = seal(&mut sealer(), &[]);
    let Ok(Body::Sealed(sealed)) = parse(&message).map(|datagram| datagram.body) else {
        panic!("not sealed")
    };
    let opened = keys()
        .opener(false)
        .unwrap_or_else(|e| panic!("{e}"))
        .open(&sealed);
    assert_eq!(opened, Err(OpenError::Forged));
}

#[test]
fn what_is_too_short_is_said_so() {
    let opener = keys().opener(true).unwrap_or_else(|e| panic!("{e}"));
    for length in 0..25 {
        let content = vec![0; length];
        let sealed = crate::codec::Sealed {
            first: PayloadKind::NONE,
            associated: &[],
            content: &content,
        };
        assert_eq!(opener.open(&sealed), Err(OpenError::TooShort(length)));
    }
}

#[test]
fn fragments_join_to_the_message_that_was_sealed() {
    let payloads = vec![Payload::VendorId(vec![1; 700]), Payload::Nonce(vec![2; 200])];
    let opener = keys().opener(true).unwrap_or_else(|e| panic!("{e}"));
    for max in [80, 100, 576, 950] {
        let fragments = sealer()
            .seal_fragments(&header(7), &payloads, max)
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(fragments.len() > 1 && fragments.iter().all(|fragment| fragment.len() <= max));
        let mut whole = Vec::new();
        let mut first = PayloadKind::NONE;
        for (index, octets) in fragments.iter().enumerate() {
            let Ok(Body::Fragment(fragment)) = parse(octets).map(|datagram| datagram.body) else {
                panic!("{index}")
            };
            let piece = opener.open_fragment(&fragment).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (usize::from(piece.number), usize::from(piece.total)),
                (index + 1, fragments.len())
            );
            if index == 0 {
                first = piece.first;
            }
            whole.extend_from_slice(&piece.plain);
        }
        assert_eq!(parse_chain(first, &whole), Ok(payloads.clone()));
    }
}

#[test]
fn a_fragment_cannot_take_the_place_of_another() {
    let payloads = [Payload::VendorId(vec![1; 700])];
    let fragments = sealer()
        .seal_fragments(&header(7), &payloads, 300)
        .unwrap_or_else(|e| panic!("{e}"));
    let mut swapped = fragments[1].clone();
    swapped[33] = 3;
    let Ok(Body::Fragment(fragment)) = parse(&swapped).map(|datagram| datagram.body) else {
        panic!("no fragment")
    };
    let opened = keys()
        .opener(true)
        .unwrap_or_else(|e| panic!("{e}"))
        .open_fragment(&fragment);
    assert!(matches!(opened, Err(OpenError::Forged)));
}

#[test]
fn what_fits_is_not_cut() {
    let whole = sealer()
        .seal_fragments(&header(7), &[], 57)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        whole.iter().map(|message| hex(message)).collect::<Vec<_>>(),
        [EMPTY]
    );
    let refused = sealer().seal_fragments(&header(7), &[Payload::Nonce(vec![0; 16])], 61);
    assert_eq!(refused, Err(CryptoError::TooLong(20)));
    let long = vec![Payload::VendorId(vec![0; 60_000]); 2];
    assert_eq!(
        sealer().seal(&header(7), &long),
        Err(CryptoError::TooLong(120_008))
    );
}
