//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! A running sum is kept as a `u64` and folded once at the end, so that nothing overflows on the way (2^32 words would be
//! needed).

/// Is a header that contains its checksum whole?
///
/// The sum does not depend on the byte order it is made in (RFC 1071 section 2(B)), and all ones look the same in any:
/// so nothing is swapped.
#[inline]
#[must_use]
pub fn is_whole(header: &[u8; 20]) -> bool {
    let mut sum = Sum::ZERO;
    for word in header.as_chunks().0 {
        sum = sum.add_u32(u32::from_ne_bytes(*word));
    }
    sum.fold() == 0xffff
}

/// A ones'-complement sum that has not been folded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Adds octets; an odd last octet is padded with zero on its right, as RFC 1071 says.
    ///
    /// The sum is the same in either byte order but for a swap at the end (RFC 1071 section 2(B)), so words are added as
    /// the machine reads them, in independent lanes that the compiler turns into vector adds.
    #[inline]
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        let mut lanes = [0u64; 8];
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                // 2^32 blocks would be needed to overflow a lane.
                *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
            }
        }
        let mut sum = lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(*lane));
        let (words, last) = rest.as_chunks::<2>();
        for word in words {
            sum = sum.wrapping_add(u64::from(u16::from_ne_bytes(*word)));
        }
        if let [last] = last {
            sum = sum.wrapping_add(u64::from(u16::from_ne_bytes([*last, 0])));
        }
        self.add_u16(u16::from_be_bytes(Self(sum).fold().to_ne_bytes()))
    }

    /// Adds one 16-bit word.
    #[inline]
    #[must_use]
    pub fn add_u16(self, word: u16) -> Self {
        Self(self.0.wrapping_add(u64::from(word)))
    }

    /// Adds one 32-bit field, such as an address.
    #[inline]
    #[must_use]
    pub fn add_u32(self, field: u32) -> Self {
        Self(self.0.wrapping_add(u64::from(field)))
    }

    /// Folds to 16 bits without complementing: 0xffff means that a received header with its checksum is whole.
    #[inline]
    #[must_use]
    pub fn fold(self) -> u16 {
        // Ones' complement addition of two halves: what is carried out comes in again, and cannot carry a second time.
        let (sum, carry) = (self.0 as u32).overflowing_add((self.0 >> 32) as u32);
        let sum = sum.wrapping_add(u32::from(carry));
        let (sum, carry) = (sum as u16).overflowing_add((sum >> 16) as u16);
        sum.wrapping_add(u16::from(carry))
    }

    /// The value for a checksum field.
    #[inline]
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.fold()
    }

    /// The value for a UDP checksum field, where 0 would mean "none" (RFC 768).
    #[inline]
    #[must_use]
    pub fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

/// The pseudo header that UDP and TCP checksums cover (RFC 768, RFC 9293 section 3.1).
#[inline]
#[must_use]
pub fn pseudo_header(source: u32, destination: u32, protocol: u8, length: u16) -> Sum {
    Sum::ZERO
        .add_u32(source)
        .add_u32(destination)
        .add_u16(u16::from(protocol))
        .add_u16(length)
}

/// A checksum after one 16-bit word under it changed (RFC 1624, equation 3: `HC' = ~(~HC + ~m + m')`).
#[inline]
#[must_use]
pub fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::ZERO.add_u16(!checksum).add_u16(!old).add_u16(new).finish()
}

/// A checksum after one 32-bit field under it changed (RFC 1624, equation 3).
#[inline]
#[must_use]
pub fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    Sum::ZERO.add_u16(!checksum).add_u32(!old).add_u32(new).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word by word with end-around carry: the oracle.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn rfc_1071_section_3_example() {
        assert_eq!(
            Sum::ZERO
                .add_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])
                .fold(),
            0xddf2
        );
    }

    #[test]
    fn rfc_1624_section_4_example() {
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        #[test]
        fn a_header_is_whole_in_any_byte_order(mut header: [u8; 20], broken: Option<u8>) {
            header[10..12].fill(0);
            let checksum = slow(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            if let Some(bit) = broken {
                header[usize::from(bit) % 20] ^= 1 << (bit % 8);
            }
            prop_assert_eq!(is_whole(&header), slow(&header) == 0 && header != [0; 20]);
        }

        #[test]
        fn equals_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::ZERO.add_bytes(&bytes).finish(), slow(&bytes));
        }

        #[test]
        fn incremental_update_keeps_a_header_whole(mut bytes in proptest::collection::vec(any::<u8>(), 20), at in 0usize..4, new: u32) {
            // A checksum field at 18, a changed 32-bit field at one of 0, 4, 8, 12.
            bytes[18] = 0;
            bytes[19] = 0;
            let checksum = Sum::ZERO.add_bytes(&bytes).finish();
            let at = at * 4;
            let old = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            let updated = update_u32(checksum, old, new);
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            bytes[18..20].copy_from_slice(&updated.to_be_bytes());
            prop_assert_eq!(Sum::ZERO.add_bytes(&bytes).fold(), 0xffff);
        }
    }
}
