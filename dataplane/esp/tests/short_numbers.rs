//! SAs without extended sequence numbers, as standard peers have them (RFC 4303 2.2, RFC 4106 5).

mod common;

use common::{NOW, keys, payload, seal, spi};
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{HEADER_LEN, Inbound, Key, Limits, Numbers, OpenError, Outbound};

fn outbound(numbers: Numbers) -> Outbound {
    Outbound::new(spi(), keys(), Limits::default(), NOW).with_numbers(numbers)
}

fn inbound(numbers: Numbers) -> Inbound {
    Inbound::new(spi(), keys(), Limits::default(), NOW).with_numbers(numbers)
}

fn open(sa: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut packet = packet.to_vec();
    let opened = sa.open_in_place(&mut packet, NOW)?;
    assert_eq!(sa.commit(opened.token), Ok(()));
    Ok(packet[opened.payload].to_vec())
}

#[test]
fn both_ends_with_short_numbers_understand_each_other_and_nothing_is_taken_twice() {
    let (mut here, mut there) = (outbound(Numbers::Short), inbound(Numbers::Short));
    for len in 0..100 {
        let packet = seal(&mut here, &payload(len));
        assert_eq!(open(&mut there, &packet), Ok(payload(len)));
        assert_eq!(open(&mut there, &packet), Err(OpenError::Replayed));
    }
}

#[test]
fn ends_that_differ_in_it_do_not() {
    for (ours, theirs) in [
        (Numbers::Short, Numbers::Extended),
        (Numbers::Extended, Numbers::Short),
    ] {
        let packet = seal(&mut outbound(ours), &payload(20));
        assert_eq!(open(&mut inbound(theirs), &packet), Err(OpenError::BadTag));
    }
}

#[test]
fn what_is_authenticated_is_the_header_as_it_is_sent() {
    let packet = seal(&mut outbound(Numbers::Short), &payload(20));
    let (header, sealed) = packet.split_at(HEADER_LEN);
    let mut nonce = *b"salt00000000";
    nonce[4..].copy_from_slice(&header[8..]);
    let mut body = sealed.to_vec();
    let cipher = <DefaultAead as Aead>::new(&Key::aes128(b"sixteen octets!!"));
    assert!(cipher.open(&nonce, &header[..8], &mut body).is_ok());
    assert_eq!(&body[..20], payload(20));
}

#[test]
fn a_number_behind_the_window_is_not_taken_for_one_of_the_next_round() {
    let (mut here, mut there) = (outbound(Numbers::Short), inbound(Numbers::Short));
    let first = seal(&mut here, &payload(20));
    for _ in 0..8192 {
        let packet = seal(&mut here, &payload(20));
        assert!(open(&mut there, &packet).is_ok());
    }
    assert_eq!(open(&mut there, &first), Err(OpenError::TooOld));
}
