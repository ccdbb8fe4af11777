//! IPv4 headers (RFC 791), outer and virtual alike.
//!
//! ```text
//!  0      4      8             16            24           31
//! +------+------+-------------+---------------------------+
//! | ver  | ihl  | DSCP/ECN    | total length              |
//! | identification            |0|D|M| fragment offset     |
//! | TTL         | protocol    | header checksum           |
//! | source address                                        |
//! | destination address                                   |
//! +-------------------------------------------------------+
//! ```

use crate::Malformed;
use crate::checksum::{Sum, is_whole, update_u16};
use core::net::Ipv4Addr;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a header without options, the only kind accepted.
pub const HEADER_LEN: usize = 20;
/// The don't-fragment bit, in the flags-and-offset word.
pub const DONT_FRAGMENT: u16 = 0x4000;
const RESERVED: u16 = 0x8000;
/// Protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// Protocol number of an IPv4 packet inside another (RFC 2003).
pub const PROTOCOL_IPV4: u8 = 4;
/// Protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Protocol number of ESP (RFC 4303 section 2).
pub const PROTOCOL_ESP: u8 = 50;
/// The time to live of packets that start here (RFC 1700's recommended default).
pub const DEFAULT_TTL: u8 = 64;

/// The 20 octets of an IPv4 header without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    version_ihl: u8,
    /// Differentiated services and congestion bits.
    pub tos: u8,
    total_len: U16,
    /// Identification, meaningful for fragments only (RFC 6864).
    pub id: U16,
    flags_fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    source: U32,
    destination: U32,
}

impl Ipv4 {
    /// Splits a packet into its header and its payload, cut to the total length.
    ///
    /// Everything RFC 1122 section 3.2.1 lets a host refuse is refused: other versions, a header shorter than 20
    /// octets, a total length that is shorter than the header or longer than the frame, a wrong checksum. So are
    /// options and fragments: nothing of ours sends them. Octets behind the total length are link padding.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (header, payload) = Self::parse_any(packet)?;
        if header.is_fragment() {
            Err(Malformed::Fragment)
        } else {
            Ok((header, payload))
        }
    }

    /// As [`Ipv4::parse`], but takes fragments too.
    #[inline]
    pub fn parse_any(packet: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (header, rest) = Self::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let payload_len = header.check(packet.len())?;
        let octets: &[u8; HEADER_LEN] = zerocopy::transmute_ref!(header);
        if !is_whole(octets) {
            return Err(Malformed::Checksum);
        }
        Ok((header, rest.get(..payload_len).ok_or(Malformed::Length)?))
    }

    /// Would [`Ipv4::parse`] take this header of a frame of `available` octets? Says no more than that, in fewer steps.
    #[inline]
    #[must_use]
    pub fn is_sound(&self, available: usize) -> bool {
        let total = usize::from(self.total_len.get());
        let octets: &[u8; HEADER_LEN] = zerocopy::transmute_ref!(self);
        self.version_ihl == 0x45
            && total >= HEADER_LEN
            && total <= available
            && self.flags_fragment.get() & !DONT_FRAGMENT == 0
            && is_whole(octets)
    }

    /// The lengths and options against a frame of `available` octets; gives the payload's length.
    #[inline]
    fn check(&self, available: usize) -> Result<usize, Malformed> {
        if self.version_ihl != 0x45 {
            return Err(match (self.version_ihl >> 4, self.version_ihl & 15) {
                (4, 6..) => Malformed::Options,
                (4, _) => Malformed::Length,
                _ => Malformed::Version,
            });
        }
        let total = usize::from(self.total_len.get());
        if total < HEADER_LEN || total > available {
            return Err(Malformed::Length);
        }
        // The reserved top bit must be zero (RFC 791 section 3.1).
        if self.flags_fragment.get() & RESERVED != 0 {
            return Err(Malformed::Field);
        }
        Ok(total - HEADER_LEN)
    }

    /// A header for a packet of ours: no options, DF set, default time to live, checksum filled in.
    #[inline]
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, total_len: u16) -> Self {
        // From the fields themselves: all but three words of the sum are known at compile time.
        let sum = Sum::ZERO
            .add_u16(0x4500)
            .add_u16(total_len)
            .add_u16(DONT_FRAGMENT)
            .add_u16(u16::from_be_bytes([DEFAULT_TTL, protocol]))
            .add_u32(source.to_bits())
            .add_u32(destination.to_bits());
        Self {
            version_ihl: 0x45,
            tos: 0,
            total_len: U16::new(total_len),
            id: U16::ZERO,
            flags_fragment: U16::new(DONT_FRAGMENT),
            ttl: DEFAULT_TTL,
            protocol,
            checksum: U16::new(sum.finish()),
            source: U32::new(source.to_bits()),
            destination: U32::new(destination.to_bits()),
        }
    }

    /// Octets of the whole packet, header included.
    #[inline]
    #[must_use]
    pub fn total_len(&self) -> u16 {
        self.total_len.get()
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Hops left.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// May routers fragment it?
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & DONT_FRAGMENT != 0
    }

    /// Is it a piece of a packet: more fragments, or an offset?
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & !(DONT_FRAGMENT | RESERVED) != 0
    }

    /// Where it comes from.
    #[inline]
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.source.get())
    }

    /// Where it goes.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.destination.get())
    }

    /// Source and destination become new ones; checksum updated incrementally (RFC 1624).
    #[inline]
    pub fn readdress(&mut self, source: Ipv4Addr, destination: Ipv4Addr) {
        let sum = Sum::ZERO
            .add_u16(!self.checksum.get())
            .add_u32(!self.source.get())
            .add_u32(!self.destination.get())
            .add_u32(source.to_bits())
            .add_u32(destination.to_bits());
        self.checksum.set(sum.finish());
        self.source.set(source.to_bits());
        self.destination.set(destination.to_bits());
    }

    /// One hop less; checksum updated incrementally. The caller has seen that the time to live is above 1.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let old = u16::from_be_bytes([self.ttl, self.protocol]);
        self.ttl = self.ttl.saturating_sub(1);
        let new = u16::from_be_bytes([self.ttl, self.protocol]);
        self.checksum.set(update_u16(self.checksum.get(), old, new));
    }

    /// What a relay does: new source and destination, and one hop less. The caller has seen that one is left.
    /// The checksum is updated once for both (RFC 1624), in the byte order of this machine: a sum does not depend on it
    /// (RFC 1071 section 2(B)).
    #[inline]
    pub fn relay(&mut self, source: Ipv4Addr, destination: Ipv4Addr) {
        // A time to live that is one less takes 0x0100 from its word, whatever the word is.
        const ONE_HOP: u16 = 0x0100;
        let (source, destination) = (U32::new(source.to_bits()), U32::new(destination.to_bits()));
        let word = |field: U32| u32::from_ne_bytes(field.to_bytes());
        let sum = Sum::ZERO
            .add_u16(!u16::from_ne_bytes(self.checksum.to_bytes()))
            .add_u16(!ONE_HOP.to_be())
            .add_u32(!word(self.source))
            .add_u32(!word(self.destination))
            .add_u32(word(source))
            .add_u32(word(destination));
        self.checksum = U16::from_bytes(sum.finish().to_ne_bytes());
        self.ttl = self.ttl.wrapping_sub(1);
        self.source = source;
        self.destination = destination;
    }

    /// Another protocol and length, as ESP makes them (RFC 4303 section 3.1.1); checksum updated incrementally.
    #[inline]
    pub fn set_protocol_and_len(&mut self, protocol: u8, total_len: u16) {
        let old = u16::from_be_bytes([self.ttl, self.protocol]);
        let new = u16::from_be_bytes([self.ttl, protocol]);
        let sum = Sum::ZERO
            .add_u16(!self.checksum.get())
            .add_u16(!old)
            .add_u16(new)
            .add_u16(!self.total_len.get())
            .add_u16(total_len);
        self.checksum.set(sum.finish());
        self.protocol = protocol;
        self.total_len.set(total_len);
    }

    /// Computes the checksum anew.
    pub fn refill_checksum(&mut self) {
        self.checksum.set(0);
        self.checksum.set(Sum::ZERO.add_bytes(self.as_bytes()).finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 10.77.0.1 to 10.77.0.2, UDP, 28 octets, DF; made with another program's encoder.
    const GOLDEN: [u8; 20] = [
        0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0x26, 0x35, 10, 77, 0, 1, 10, 77, 0, 2,
    ];

    fn packet() -> [u8; 30] {
        let mut packet = [0u8; 30];
        packet[..20].copy_from_slice(&GOLDEN);
        packet
    }

    fn refill(packet: &mut [u8; 30]) {
        Ipv4::mut_from_prefix(packet).unwrap().0.refill_checksum();
    }

    #[test]
    fn golden_header_both_ways() {
        let packet = packet();
        let (header, payload) = Ipv4::parse(&packet).unwrap();
        assert_eq!(payload.len(), 8, "link padding is cut off");
        let built = Ipv4::new(header.source(), header.destination(), PROTOCOL_UDP, 28);
        assert_eq!(built.as_bytes(), GOLDEN);
    }

    #[test]
    fn every_lie_has_its_name() {
        let cases: [(&str, usize, u8, Malformed); 8] = [
            ("version 6", 0, 0x65, Malformed::Version),
            ("ihl 4", 0, 0x44, Malformed::Length),
            ("ihl 6", 0, 0x46, Malformed::Options),
            ("total length beyond the frame", 3, 31, Malformed::Length),
            ("total length below the header", 3, 19, Malformed::Length),
            ("more fragments", 6, 0x20, Malformed::Fragment),
            ("fragment offset", 7, 1, Malformed::Fragment),
            ("reserved flag", 6, 0x80, Malformed::Field),
        ];
        for (what, at, value, expected) in cases {
            let mut packet = packet();
            packet[at] = value;
            refill(&mut packet);
            assert_eq!(Ipv4::parse(&packet).unwrap_err(), expected, "{what}");
        }
        let mut packet = packet();
        packet[10] ^= 1;
        assert_eq!(Ipv4::parse(&packet).unwrap_err(), Malformed::Checksum);
        assert_eq!(Ipv4::parse(&packet[..19]).unwrap_err(), Malformed::Truncated);
    }

    proptest! {
        #[test]
        fn updates_keep_the_checksum_whole(source: u32, destination: u32, ttl in 2u8.., protocol: u8, len in 20u16..30) {
            let mut packet = packet();
            packet[8] = ttl;
            refill(&mut packet);
            let header = Ipv4::mut_from_prefix(&mut packet).unwrap().0;
            header.readdress(source.into(), destination.into());
            header.decrement_ttl();
            header.set_protocol_and_len(protocol, len);
            let (header, payload) = Ipv4::parse(&packet).unwrap();
            prop_assert_eq!(header.source().to_bits(), source);
            prop_assert_eq!(header.destination().to_bits(), destination);
            prop_assert_eq!((header.ttl(), header.protocol()), (ttl - 1, protocol));
            prop_assert_eq!(payload.len(), usize::from(len) - 20);
        }

        #[test]
        fn relaying_is_readdressing_and_a_hop(source: u32, destination: u32, ttl in 2u8.., protocol: u8) {
            let mut packet = packet();
            (packet[8], packet[9]) = (ttl, protocol);
            refill(&mut packet);
            let mut twin = packet;
            Ipv4::mut_from_prefix(&mut packet).unwrap().0.relay(source.into(), destination.into());
            let step_by_step = Ipv4::mut_from_prefix(&mut twin).unwrap().0;
            step_by_step.readdress(source.into(), destination.into());
            step_by_step.decrement_ttl();
            prop_assert_eq!(&packet, &twin);
            prop_assert!(Ipv4::parse(&packet).is_ok());
        }

        #[test]
        fn sound_is_what_parses(at in 0usize..20, flipped in 1u8.., repaired: bool, available in 0usize..40) {
            let mut packet = packet();
            packet[at] ^= flipped;
            if repaired {
                refill(&mut packet);
            }
            let mut longer = packet.to_vec();
            longer.resize(available.max(HEADER_LEN), 0);
            let (header, _) = Ipv4::ref_from_prefix(&longer).unwrap();
            prop_assert_eq!(header.is_sound(longer.len()), Ipv4::parse(&longer).is_ok());
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((header, payload)) = Ipv4::parse(&bytes) {
                prop_assert_eq!(usize::from(header.total_len()), HEADER_LEN + payload.len());
            }
        }
    }
}
