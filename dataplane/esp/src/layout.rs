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
#[inline]
pub(crate) fn aad(spi: crate::Spi, seq: crate::SeqNo) -> [u8; 12] {
    join(spi.get(), seq.0)
}

/// The AAD without them: SPI, then the sequence number as it is sent.
#[inline]
pub(crate) fn short_aad(spi: crate::Spi, seq: crate::SeqNo) -> [u8; 8] {
    (u64::from(spi.get()) << 32 | u64::from(seq.low())).to_be_bytes()
}

/// The nonce (RFC 4106 4): salt, then IV.
#[inline]
pub(crate) fn nonce(salt: &crate::Salt, iv: [u8; 8]) -> [u8; 12] {
    join(u32::from_be_bytes(*salt.bytes()), u64::from_be_bytes(iv))
}

/// `first`, then `then`, in network order. Written as 8 octets and 4, which is how the back ends read them: a read that
/// spans two earlier writes would stall until both have left the store buffer.
#[inline]
fn join(first: u32, then: u64) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[..8].copy_from_slice(&(u64::from(first) << 32 | then >> 32).to_be_bytes());
    octets[8..].copy_from_slice(&(then as u32).to_be_bytes());
    octets
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

    #[test]
    fn nonce_and_associated_data_are_prefix_then_64_bits() {
        let iv = [5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(
            nonce(&crate::Salt::new(&[1, 2, 3, 4]), iv),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        let Ok(spi) = crate::Spi::new(0x0102_0304) else {
            unreachable!("not reserved")
        };
        assert_eq!(
            aad(spi, crate::SeqNo(u64::from_be_bytes(iv))),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(
            short_aad(spi, crate::SeqNo(0x0506_0708)),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
    }
}
