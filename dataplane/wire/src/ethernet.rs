//! Ethernet II frames (IEEE 802.3 clause 3): two addresses and a type.

use crate::Malformed;
use core::fmt;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets before the payload.
pub const HEADER_LEN: usize = 14;
/// The type of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The type of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;

/// A 48-bit station address.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Every station on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Unknown, as in an ARP request's target.
    pub const ZERO: Self = Self([0; 6]);

    /// Is it a group address (IEEE 802.3 section 3.2.3, the I/G bit), broadcast included?
    #[inline]
    #[must_use]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 14 octets of an Ethernet II header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ethernet {
    /// Who is to receive the frame.
    pub destination: MacAddr,
    /// Who sent it.
    pub source: MacAddr,
    /// What the payload is.
    pub ethertype: U16,
}

impl Ethernet {
    /// Splits a frame into header and payload.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        Self::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_splits_after_fourteen_octets() {
        let frame = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0xaa];
        let (header, rest) = Ethernet::parse(&frame).unwrap();
        assert_eq!(header.ethertype.get(), ETHERTYPE_IPV4);
        assert_eq!(header.source.to_string(), "07:08:09:0a:0b:0c");
        assert!(header.destination.is_group());
        assert_eq!(rest, [0xaa]);
        assert_eq!(Ethernet::parse(&frame[..13]).unwrap_err(), Malformed::Truncated);
    }
}
