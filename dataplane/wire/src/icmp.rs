//! ICMP (RFC 792): echo, destination unreachable, and "fragmentation needed" with the next hop's MTU (RFC 1191 section 4).

use crate::Malformed;
use crate::checksum::Sum;
use crate::ipv4::{self, Ipv4, PROTOCOL_ICMP};
use core::net::Ipv4Addr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of an ICMP header.
pub const HEADER_LEN: usize = 8;
/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type of destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Code, under [`UNREACHABLE`]: the host is not to be reached.
pub const HOST_UNREACHABLE: u8 = 1;
/// Code, under [`UNREACHABLE`]: somebody forbids it (RFC 1812 section 5.2.7.1).
pub const PROHIBITED: u8 = 13;
/// Code, under [`UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// An ICMP error is at most this long, IPv4 header included (RFC 1812 section 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 576;

/// The 8 octets of an ICMP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Icmp {
    /// Which message.
    pub kind: u8,
    /// Which sort of it.
    pub code: u8,
    checksum: U16,
    /// Echo: identifier. Unreachable: unused.
    pub id: U16,
    /// Echo: sequence number. Fragmentation needed: the next hop's MTU.
    pub seq: U16,
}

/// A router's word that a packet of ours was too big.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig<'a> {
    /// The largest packet the next hop takes.
    pub mtu: u16,
    /// The header of the packet that was too big.
    pub quoted: &'a Ipv4,
    /// What the router quotes behind that header: 8 octets or more.
    pub quoted_payload: &'a [u8],
}

impl Icmp {
    /// Splits an IPv4 payload into ICMP header and data; the checksum covers both.
    pub fn parse(payload: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (header, data) = Self::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
        if Sum::ZERO.add_bytes(payload).fold() != 0xffff {
            return Err(Malformed::Checksum);
        }
        Ok((header, data))
    }

    /// Reads this message as "fragmentation needed"; `None` if it is another one.
    pub fn too_big<'a>(&self, data: &'a [u8]) -> Option<Result<TooBig<'a>, Malformed>> {
        if self.kind != UNREACHABLE || self.code != FRAGMENTATION_NEEDED {
            return None;
        }
        Some(self.read_too_big(data))
    }

    fn read_too_big<'a>(&self, data: &'a [u8]) -> Result<TooBig<'a>, Malformed> {
        // The quoted packet is cut short, so its total length cannot be held against these octets.
        let (quoted, quoted_payload) = Ipv4::ref_from_prefix(data).map_err(|_| Malformed::Truncated)?;
        if data[0] != 0x45 {
            return Err(Malformed::Version);
        }
        if quoted_payload.len() < 8 {
            return Err(Malformed::Truncated);
        }
        Ok(TooBig {
            mtu: self.seq.get(),
            quoted,
            quoted_payload,
        })
    }
}

/// Turns an echo request, an IPv4 packet without link header, into its reply in place.
pub fn reply_to_echo(packet: &mut [u8]) -> Result<(), Malformed> {
    let (ip, payload) = Ipv4::parse(packet)?;
    let (icmp, _) = Icmp::parse(payload)?;
    if ip.protocol() != PROTOCOL_ICMP || (icmp.kind, icmp.code) != (ECHO_REQUEST, 0) {
        return Err(Malformed::Field);
    }
    let (from, to, len) = (ip.source(), ip.destination(), ip.total_len());
    let end = usize::from(len);
    let reply = Ipv4::new(to, from, PROTOCOL_ICMP, len);
    let (head, rest) = packet
        .split_at_mut_checked(ipv4::HEADER_LEN)
        .ok_or(Malformed::Truncated)?;
    head.copy_from_slice(reply.as_bytes());
    let body = rest.get_mut(..end - ipv4::HEADER_LEN).ok_or(Malformed::Length)?;
    body[0] = ECHO_REPLY;
    fill_checksum(body);
    Ok(())
}

/// Writes an ICMP "fragmentation needed" about `offending` into `out`; gives its length.
///
/// As much of the offending packet is quoted as keeps the error within 576 octets.
pub fn write_too_big(
    out: &mut [u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    mtu: u16,
    offending: &[u8],
) -> Result<usize, Malformed> {
    write_unreachable(out, from, to, (FRAGMENTATION_NEEDED, mtu), offending)
}

/// Writes a "destination unreachable" of this code, with this in the second half of its unused word, about `offending` into `out`; gives
/// its length.
pub fn write_unreachable(
    out: &mut [u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    (code, mtu): (u8, u16),
    offending: &[u8],
) -> Result<usize, Malformed> {
    let room = MAX_ERROR_LEN - ipv4::HEADER_LEN - HEADER_LEN;
    let quote = &offending[..offending.len().min(room)];
    let total = ipv4::HEADER_LEN + HEADER_LEN + quote.len();
    let out = out.get_mut(..total).ok_or(Malformed::Truncated)?;
    let (head, body) = out.split_at_mut(ipv4::HEADER_LEN);
    head.copy_from_slice(Ipv4::new(from, to, PROTOCOL_ICMP, total as u16).as_bytes());
    let header = Icmp {
        kind: UNREACHABLE,
        code,
        checksum: U16::ZERO,
        id: U16::ZERO,
        seq: U16::new(mtu),
    };
    body[..HEADER_LEN].copy_from_slice(header.as_bytes());
    body[HEADER_LEN..].copy_from_slice(quote);
    fill_checksum(body);
    Ok(total)
}

/// May an ICMP error be sent about this packet? Not about another ICMP error, nor about a fragment but the first, nor about what went
/// to many (RFC 1122 section 3.2.2).
#[must_use]
pub fn may_be_answered(packet: &[u8]) -> bool {
    let Ok((ip, payload)) = Ipv4::ref_from_prefix(packet) else {
        return false;
    };
    let first = packet[6] & 0x1f == 0 && packet[7] == 0;
    let to = ip.destination();
    let to_one = !to.is_multicast() && !to.is_broadcast();
    // Of the messages of RFC 792 and 950 these are questions and answers; all others are errors, or unknown.
    let kind = payload.first();
    let no_error = ip.protocol() != PROTOCOL_ICMP || kind.is_some_and(|kind| matches!(kind, 0 | 8 | 13..=18));
    first && to_one && no_error
}

/// The checksum of a message: over all of it, its own field taken as zero.
fn fill_checksum(message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = Sum::ZERO.add_bytes(message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    fn echo() -> Vec<u8> {
        let mut packet = Ipv4::new(A, B, PROTOCOL_ICMP, 33).as_bytes().to_vec();
        packet.extend([ECHO_REQUEST, 0, 0, 0, 0, 7, 0, 1, b'h', b'e', b'l', b'l', b'o']);
        fill_checksum(&mut packet[20..]);
        packet
    }

    #[test]
    fn an_echo_is_answered_whole() {
        let mut packet = echo();
        packet.extend([0; 3]); // link padding stays out of the checksum
        reply_to_echo(&mut packet).unwrap();
        let (ip, payload) = Ipv4::parse(&packet).unwrap();
        assert_eq!((ip.source(), ip.destination()), (B, A));
        let (icmp, data) = Icmp::parse(payload).unwrap();
        assert_eq!(
            (icmp.kind, icmp.id.get(), icmp.seq.get(), data),
            (ECHO_REPLY, 7, 1, b"hello".as_slice())
        );
    }

    #[test]
    fn what_is_no_echo_request_is_not_answered() {
        let mut reply = echo();
        reply_to_echo(&mut reply).unwrap();
        assert_eq!(reply_to_echo(&mut reply), Err(Malformed::Field));
        let mut broken = echo();
        broken[30] ^= 1;
        assert_eq!(reply_to_echo(&mut broken), Err(Malformed::Checksum));
        let mut short = Ipv4::new(A, B, PROTOCOL_ICMP, 24).as_bytes().to_vec();
        short.extend([8, 0, 0xf7, 0xff]);
        assert_eq!(reply_to_echo(&mut short), Err(Malformed::Truncated));
    }

    #[test]
    fn too_big_carries_mtu_and_quote() {
        let offending = echo();
        let mut out = [0u8; MAX_ERROR_LEN];
        let len = write_too_big(&mut out, B, A, 1400, &offending).unwrap();
        let (ip, payload) = Ipv4::parse(&out[..len]).unwrap();
        assert_eq!((ip.source(), ip.destination()), (B, A));
        let (icmp, data) = Icmp::parse(payload).unwrap();
        let told = icmp.too_big(data).unwrap().unwrap();
        assert_eq!(
            (told.mtu, told.quoted.source(), told.quoted.destination()),
            (1400, A, B)
        );
        assert_eq!(told.quoted_payload, &offending[20..]);
    }

    #[test]
    fn who_cannot_be_reached_is_told_about_questions_and_not_about_errors() {
        let mut out = [0u8; MAX_ERROR_LEN];
        let len = write_unreachable(&mut out, B, A, (HOST_UNREACHABLE, 0), &echo()).unwrap();
        let (_, payload) = Ipv4::parse(&out[..len]).unwrap();
        let (icmp, data) = Icmp::parse(payload).unwrap();
        assert_eq!((icmp.kind, icmp.code, data), (UNREACHABLE, 1, &echo()[..]));
        assert!(icmp.too_big(data).is_none());
        assert!(may_be_answered(&echo()));
        assert!(!may_be_answered(&out[..len]), "an error about an error");
        assert!(!may_be_answered(&out[..20]) && !may_be_answered(&[]));
        let with = |at: usize, octet: u8| {
            let mut packet = echo();
            packet[at] = octet;
            packet
        };
        assert!(may_be_answered(&with(6, 0x20)), "the first fragment");
        assert!(!may_be_answered(&with(7, 1)), "a later one");
        assert!(!may_be_answered(&with(16, 224)), "to many");
    }

    #[test]
    fn an_error_never_exceeds_576_octets() {
        let mut out = [0u8; 600];
        assert_eq!(
            write_too_big(&mut out, A, B, 1400, &[0x45; 1500]),
            Ok(MAX_ERROR_LEN)
        );
        assert_eq!(
            write_too_big(&mut out[..100], A, B, 1400, &[0x45; 1500]),
            Err(Malformed::Truncated)
        );
    }
}
