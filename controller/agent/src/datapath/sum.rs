//! Internet checksums (RFC 1071) over TCP and UDP payloads: every octet of bulk traffic passes here once in each direction.
//!
//! The sum is the same in either byte order but for a swap at the end (RFC 1071 section 2B), so words are added as the
//! machine reads them, in four independent lanes that the compiler turns into vector adds.

/// A ones'-complement sum that has not been folded, in the machine's byte order.
#[derive(Clone, Copy)]
pub(super) struct Sum(u64);

impl Sum {
    /// The pseudo header of TCP and UDP (RFC 9293 section 3.1).
    #[inline]
    pub(super) fn pseudo(addresses: &[u8; 8], protocol: u8, len: u16) -> Self {
        let [high, low] = len.to_be_bytes();
        Self(0).add(addresses).add(&[0, protocol, high, low])
    }

    /// Adds octets that begin on an even place; an odd last one is padded.
    #[inline]
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let mut lanes = [0u64; 8];
        let mut blocks = bytes.chunks_exact(32);
        for block in &mut blocks {
            let mut words = block.chunks_exact(4);
            for lane in &mut lanes {
                // A block has eight words; 2^32 blocks would be needed to overflow a lane.
                if let Some(Ok(word)) = words.next().map(<[u8; 4]>::try_from) {
                    *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(word)));
                }
            }
        }
        let mut sum = lanes.iter().fold(self.0, |sum, lane| sum.wrapping_add(*lane));
        let mut words = blocks.remainder().chunks_exact(2);
        for word in &mut words {
            sum = sum.wrapping_add(u64::from(u16::from_ne_bytes([word[0], word[1]])));
        }
        if let [last] = words.remainder() {
            sum = sum.wrapping_add(u64::from(u16::from_ne_bytes([*last, 0])));
        }
        Self(sum)
    }

    /// Folded, not complemented: what a checksum field of an offloaded packet holds, in network order.
    #[inline]
    pub(super) fn fold(self) -> [u8; 2] {
        let mut sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        sum = (sum >> 32) + (sum & 0xffff_ffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        (sum as u16).to_ne_bytes()
    }

    /// The value for a checksum field, in network order.
    #[inline]
    pub(super) fn finish(self) -> [u8; 2] {
        self.fold().map(|octet| !octet)
    }

    /// Is this the sum over something that contains its own right checksum?
    #[inline]
    pub(super) fn is_whole(self) -> bool {
        self.fold() == [0xff, 0xff]
    }
}

/// The two addresses of an IPv4 header, as they lie there.
#[inline]
pub(super) fn addresses(header: &[u8]) -> Option<&[u8; 8]> {
    header.get(12..20)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_wire::checksum;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_plain_sum(bytes in proptest::collection::vec(any::<u8>(), 0..3000), split in 0usize..3000) {
            let plain = checksum::Sum::ZERO.add_bytes(&bytes).fold().to_be_bytes();
            let whole = Sum(0).add(&bytes).fold();
            let split = split.min(bytes.len()) & !1;
            let parts = Sum(0).add(&bytes[..split]).add(&bytes[split..]).fold();
            prop_assert_eq!(whole, plain);
            prop_assert_eq!(parts, plain);
        }

        #[test]
        fn the_pseudo_header_is_the_same(from in any::<u32>(), to in any::<u32>(), protocol in any::<u8>(), len in any::<u16>()) {
            let mut addresses = [0; 8];
            addresses[..4].copy_from_slice(&from.to_be_bytes());
            addresses[4..].copy_from_slice(&to.to_be_bytes());
            let plain = checksum::pseudo_header(from, to, protocol, len).fold().to_be_bytes();
            prop_assert_eq!(Sum::pseudo(&addresses, protocol, len).fold(), plain);
        }
    }
}
