//! The ESP header as it stands in a virtual packet (RFC 4303 section 2, RFC 4106 section 3).
//!
//! ```text
//! | SPI (4) | sequence number, low half (4) | IV (8) | ciphertext, padding, trailer | ICV (16) |
//! ```

use crate::Malformed;
use zerocopy::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// SPI and sequence number.
pub const HEADER_LEN: usize = 8;
/// The explicit initialisation vector of AES-GCM (RFC 4106 section 3.1).
pub const IV_LEN: usize = 8;
/// The integrity check value of AES-GCM with a full-length tag (RFC 4106 section 6).
pub const ICV_LEN: usize = 16;
/// Pad length and next header.
pub const TRAILER_LEN: usize = 2;
/// The shortest ESP payload of an IPv4 packet: header, IV, an aligned trailer and the ICV.
pub const MIN_LEN: usize = HEADER_LEN + IV_LEN + 4 + ICV_LEN;

/// SPI and the low half of the extended sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EspHeader {
    /// Which security association.
    pub spi: U32,
    /// Low half of the sequence number.
    pub seq_low: U32,
}

impl EspHeader {
    /// Reads the header of an IPv4 payload that is long enough to be ESP with AES-GCM.
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<&Self, Malformed> {
        if payload.len() < MIN_LEN {
            return Err(Malformed::Truncated);
        }
        Self::ref_from_prefix(payload)
            .map(|(header, _)| header)
            .map_err(|_| Malformed::Truncated)
    }
}

/// Octets that ESP adds to a payload of `len` octets: header, IV, padding to 4 octets (RFC 4303 section 2.4), trailer, ICV.
#[inline]
#[must_use]
pub const fn overhead(len: usize) -> usize {
    let padding = (4 - (len + TRAILER_LEN) % 4) % 4;
    HEADER_LEN + IV_LEN + padding + TRAILER_LEN + ICV_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_aligns_the_trailer() {
        for len in 0..64 {
            let inside = len + overhead(len) - HEADER_LEN - IV_LEN - ICV_LEN;
            assert_eq!(inside % 4, 0, "payload of {len}");
            assert!((34..=37).contains(&overhead(len)));
        }
    }

    #[test]
    fn too_short_for_a_trailer_and_icv_is_refused() {
        assert!(EspHeader::parse(&[1; MIN_LEN]).is_ok());
        assert_eq!(
            EspHeader::parse(&[1; MIN_LEN - 1]).unwrap_err(),
            Malformed::Truncated
        );
    }
}
