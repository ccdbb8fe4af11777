//! What several test files need: a pair of SAs under one key, and a packet sealed between them.
#![allow(dead_code, reason = "each test file uses a part")]

use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{
    HEADER_LEN, Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Sealed, Spi, sealed_overhead,
};

pub const NOW: Millis = Millis(1_000_000);
pub const UDP: u8 = 17;

pub fn spi() -> Spi {
    Spi::new(0x1234_5678).unwrap()
}

pub fn keys() -> SaKeys {
    SaKeys::new(Key::aes128(b"sixteen octets!!"), Salt::new(b"salt"))
}

pub fn keys_256() -> SaKeys {
    SaKeys::new(
        Key::aes256(b"thirty-two octets make a longer!"),
        Salt::new(b"tlas"),
    )
}

/// Both ends of one SA.
pub fn pair() -> (Outbound, Inbound) {
    pair_with::<DefaultAead, DefaultAead>(Limits::default())
}

pub fn pair_with<S: Aead, O: Aead>(limits: Limits) -> (Outbound<S>, Inbound<O>) {
    (
        Outbound::with_aead(spi(), keys(), limits, NOW),
        Inbound::with_aead(spi(), keys(), limits, NOW),
    )
}

/// Seals `payload` in a buffer of exactly the right size, and returns the buffer.
pub fn seal<A: Aead>(sa: &mut Outbound<A>, payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; payload.len() + sealed_overhead(payload.len())];
    let range = HEADER_LEN..HEADER_LEN + payload.len();
    buf[range.clone()].copy_from_slice(payload);
    let Sealed { packet, .. } = sa.seal_in_place(&mut buf, range, UDP, NOW).unwrap();
    assert_eq!(packet, 0..buf.len());
    buf
}

/// Payload octets that differ from each other and from one length to the next.
pub fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}
