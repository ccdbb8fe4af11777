//! The sum over what TCP and UDP checksums cover, from addresses as they lie in a header.

use kith_wire::checksum::{self, Sum};

/// The pseudo header of TCP and UDP (RFC 9293 section 3.1).
#[inline]
pub(super) fn pseudo(addresses: &[u8; 8], protocol: u8, len: u16) -> Sum {
    let [a, b, c, d, e, f, g, h] = *addresses;
    let (from, to) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    checksum::pseudo_header(from, to, protocol, len)
}

/// The two addresses of an IPv4 header, as they lie there.
#[inline]
pub(super) fn addresses(header: &[u8]) -> Option<&[u8; 8]> {
    header.get(12..20)?.try_into().ok()
}
