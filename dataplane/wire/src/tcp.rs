//! TCP (RFC 9293), as far as a path must touch it: the maximum segment size in SYNs.
//!
//! Between two members fewer octets fit into a packet than their applications believe. Lowering the MSS option of a
//! passing SYN makes both ends send segments that fit from the start (RFC 4459 section 3.2), instead of learning it by
//! loss.

use crate::Malformed;
use crate::checksum::{Sum, update_u16};

const FLAG_SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
/// Octets of a header without options.
pub const MIN_HEADER: usize = 20;

/// Lowers the MSS option of a SYN to at most `mss`; the checksum stays right. True if something was changed.
///
/// `segment` is an IPv4 payload with protocol TCP. Segments that are no SYN, or carry no MSS option, stay as they are:
/// without the option a peer assumes 536 (RFC 9293 section 3.7.1), which fits every path we accept.
pub fn clamp_mss(segment: &mut [u8], mss: u16) -> Result<bool, Malformed> {
    if segment.len() < MIN_HEADER {
        return Err(Malformed::Truncated);
    }
    if segment[13] & FLAG_SYN == 0 {
        return Ok(false);
    }
    let header_len = usize::from(segment[12] >> 4) * 4;
    if header_len < MIN_HEADER || header_len > segment.len() {
        return Err(Malformed::Length);
    }
    let Some(at) = find_mss(&segment[MIN_HEADER..header_len])?.map(|at| at + MIN_HEADER) else {
        return Ok(false);
    };
    let old = u16::from_be_bytes([segment[at], segment[at + 1]]);
    if old <= mss {
        return Ok(false);
    }
    // The option may lie at an odd offset; then its octets sit crosswise in the checksum's words (RFC 1071 section 2).
    let (old, new) = if at % 2 == 0 {
        (old, mss)
    } else {
        (old.swap_bytes(), mss.swap_bytes())
    };
    let checksum = u16::from_be_bytes([segment[16], segment[17]]);
    segment[16..18].copy_from_slice(&update_u16(checksum, old, new).to_be_bytes());
    segment[at..at + 2].copy_from_slice(&mss.to_be_bytes());
    Ok(true)
}

/// As [`clamp_mss`], but looks at the first option only, as hardware does and the P4 program with it: there systems put it. True if
/// something was changed; a segment that is cut short, or lies about its length, is none to change.
#[inline]
pub fn clamp_first_mss(segment: &mut [u8], mss: u16) -> bool {
    const FIRST: std::ops::Range<usize> = MIN_HEADER..MIN_HEADER + 4;
    if segment.len() < MIN_HEADER || segment[13] & FLAG_SYN == 0 {
        return false;
    }
    let header_len = usize::from(segment[12] >> 4) * 4;
    let Some([OPTION_MSS, 4, high, low]) = segment.get(FIRST) else {
        return false;
    };
    let old = u16::from_be_bytes([*high, *low]);
    if header_len < FIRST.end || header_len > segment.len() || old <= mss {
        return false;
    }
    let checksum = u16::from_be_bytes([segment[16], segment[17]]);
    segment[16..18].copy_from_slice(&update_u16(checksum, old, mss).to_be_bytes());
    segment[22..24].copy_from_slice(&mss.to_be_bytes());
    true
}

/// Keeps the checksum right under an IPv4 header whose addresses change (RFC 1624); a segment cut short has none.
#[inline]
pub fn readdress(segment: &mut [u8], old_ip: (u32, u32), new_ip: (u32, u32)) {
    if let Some([high, low]) = segment.get_mut(16..18) {
        let sum = Sum::ZERO
            .add_u16(!u16::from_be_bytes([*high, *low]))
            .add_u32(!old_ip.0)
            .add_u32(!old_ip.1)
            .add_u32(new_ip.0)
            .add_u32(new_ip.1);
        [*high, *low] = sum.finish().to_be_bytes();
    }
}

/// Where in the options the MSS value stands, if at all. One bounded walk; an option of length 0 or 1 ends it with an error.
fn find_mss(options: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match kind {
            OPTION_END => return Ok(None),
            OPTION_NOP => at += 1,
            _ => {
                let len = usize::from(*options.get(at + 1).ok_or(Malformed::Truncated)?);
                if len < 2 || at + len > options.len() {
                    return Err(Malformed::Length);
                }
                if kind == OPTION_MSS {
                    return if len == 4 {
                        Ok(Some(at + 2))
                    } else {
                        Err(Malformed::Length)
                    };
                }
                at += len;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::pseudo_header;
    use proptest::prelude::*;

    fn syn(options: &[u8]) -> Vec<u8> {
        assert_eq!(options.len() % 4, 0);
        let mut segment = vec![0u8; MIN_HEADER];
        segment[12] = (((MIN_HEADER + options.len()) / 4) << 4) as u8;
        segment[13] = FLAG_SYN;
        segment.extend(options);
        let sum = Sum::ZERO.add_bytes(&segment).finish();
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    #[test]
    fn a_large_mss_is_lowered_at_even_and_odd_offsets() {
        for options in [&[2, 4, 5, 0xb4][..], &[1, 2, 4, 5, 0xb4, 1, 1, 0]] {
            let mut segment = syn(options);
            assert_eq!(clamp_mss(&mut segment, 1300), Ok(true));
            assert!(segment.windows(2).any(|w| w == 1300u16.to_be_bytes()));
            assert_eq!(
                Sum::ZERO.add_bytes(&segment).fold(),
                0xffff,
                "checksum stays whole"
            );
        }
    }

    #[test]
    fn what_needs_no_change_is_left_alone() {
        let mut small = syn(&[2, 4, 2, 0]);
        assert_eq!(clamp_mss(&mut small, 1300), Ok(false));
        let mut none = syn(&[1, 1, 1, 0]);
        assert_eq!(clamp_mss(&mut none, 1300), Ok(false));
        let mut ack = syn(&[2, 4, 5, 0xb4]);
        ack[13] = 0x10;
        assert_eq!(clamp_mss(&mut ack, 1300), Ok(false));
    }

    #[test]
    fn the_first_option_alone_is_lowered_where_only_that_is_looked_at() {
        let mut segment = syn(&[2, 4, 5, 0xb4]);
        assert!(clamp_first_mss(&mut segment, 1300));
        assert_eq!(segment[22..24], 1300u16.to_be_bytes());
        assert_eq!(
            Sum::ZERO.add_bytes(&segment).fold(),
            0xffff,
            "checksum stays whole"
        );
        assert!(!clamp_first_mss(&mut segment, 1300), "low enough");
        for options in [&[1, 2, 4, 5, 0xb4, 1, 1, 0][..], &[2, 5, 5, 0xb4], &[]] {
            assert!(!clamp_first_mss(&mut syn(options), 1300), "{options:?}");
        }
        let mut ack = syn(&[2, 4, 5, 0xb4]);
        ack[13] = 0x10;
        assert!(!clamp_first_mss(&mut ack, 1300));
        for data_offset in [0x50, 0x70] {
            let mut lies = syn(&[2, 4, 5, 0xb4]);
            lies[12] = data_offset;
            assert!(!clamp_first_mss(&mut lies, 1300), "{data_offset:#x}");
        }
    }

    #[test]
    fn options_that_lie_are_refused() {
        assert_eq!(clamp_mss(&mut syn(&[3, 0, 0, 0]), 1300), Err(Malformed::Length));
        assert_eq!(clamp_mss(&mut syn(&[3, 9, 0, 0]), 1300), Err(Malformed::Length));
        assert_eq!(clamp_mss(&mut syn(&[2, 3, 0, 0]), 1300), Err(Malformed::Length));
        assert_eq!(
            clamp_mss(&mut syn(&[1, 1, 1, 2]), 1300),
            Err(Malformed::Truncated)
        );
        let mut header_too_long = syn(&[]);
        header_too_long[12] = 0xf0;
        assert_eq!(clamp_mss(&mut header_too_long, 1300), Err(Malformed::Length));
    }

    proptest! {
        #[test]
        fn readdressing_keeps_the_checksum_whole(from: (u32, u32), to: (u32, u32), data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let whole = |addresses: (u32, u32), segment: &[u8]| {
                pseudo_header(addresses.0, addresses.1, 6, segment.len() as u16).add_bytes(segment)
            };
            let mut segment = [syn(&[]), data].concat();
            segment[16..18].fill(0);
            let sum = whole(from, &segment).finish();
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
            readdress(&mut segment, from, to);
            prop_assert_eq!(whole(to, &segment).fold(), 0xffff);
        }

        #[test]
        fn any_bytes_change_nothing_but_mss_and_checksum(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), mss: u16) {
            let before = bytes.clone();
            match clamp_mss(&mut bytes, mss) {
                Ok(true) => prop_assert!(before.iter().zip(&bytes).filter(|(a, b)| a != b).count() <= 4),
                _ => prop_assert_eq!(before, bytes),
            }
        }
    }
}
