//! Where the octets of a sealed packet lie; the picture is in the crate's documentation.

/// SPI, low half of the sequence number, and IV: what stands before the payload.
pub const HEADER_LEN: usize = 16;

/// Integrity check value: the full GCM tag (RFC 4106 6: 16 octets must be supported).
pub const ICV_LEN: usize = 16;

/// Pad length and next header.
pub(crate) const TRAILER_LEN: usize = 2;

/// The shortest packet that can be ESP: header, no payload, padded trailer, ICV.
pub const MIN_SEALED: usize = HEADER_LEN + 4 + ICV_LEN;

/// The longest ESP packet that an IPv4 packet without options can carry, rounded down to whole words.
pub const MAX_SEALED: usize = (65_535 - 20) & !3;

/// The longest payload that [`MAX_SEALED`] leaves room for.
pub const MAX_PAYLOAD: usize = MAX_SEALED - HEADER_LEN - TRAILER_LEN - ICV_LEN;

/// Next header of a dummy packet (RFC 4303 2.6): made to hide traffic; the receiver discards it without complaint.
pub const NO_NEXT_HEADER: u8 = 59;

/// Octets that sealing adds to a payload: header before it; padding, trailer and ICV behind it.
pub const fn sealed_overhead(payload_len: usize) -> usize {
    HEADER_LEN + pad_len(payload_len) + TRAILER_LEN + ICV_LEN
}

/// RFC 4303 2.4: padding puts the end of the trailer on a four-octet boundary.
pub(crate) const fn pad_len(payload_len: usize) -> usize {
    2usize.wrapping_sub(payload_len) & 3
}

/// The AAD with extended sequence numbers (RFC 4106 5): SPI, then all 64 bits of the sequence number.
pub(crate) fn aad(spi: crate::Spi, seq: crate::SeqNo) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..4].copy_from_slice(&spi.get().to_be_bytes());
    aad[4..].copy_from_slice(&seq.0.to_be_bytes());
    aad
}

/// The nonce (RFC 4106 4): salt, then IV.
pub(crate) fn nonce(salt: &crate::Salt, iv: [u8; 8]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(salt.bytes());
    nonce[4..].copy_from_slice(&iv);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_the_least_that_aligns_the_trailer() {
        for len in 0..100 {
            assert!(pad_len(len) <= 3);
            assert_eq!((len + pad_len(len) + TRAILER_LEN) % 4, 0);
        }
    }

    #[test]
    fn limits_meet() {
        assert_eq!(sealed_overhead(0), MIN_SEALED);
        assert_eq!(MAX_PAYLOAD + sealed_overhead(MAX_PAYLOAD), MAX_SEALED);
        const { assert!(MAX_SEALED + 20 <= 65_535 && MAX_SEALED.is_multiple_of(4)) };
    }
}
