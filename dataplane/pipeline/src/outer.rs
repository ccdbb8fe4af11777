//! The outer headers: what a packet wears on the public network.

use crate::packet::Packet;
use crate::reason::DropReason;
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::udp::{self, Udp};
use std::net::SocketAddrV4;
use zerocopy::network_endian::U16;
use zerocopy::{Immutable, IntoBytes, Unaligned};

/// Octets of Ethernet, IPv4 and UDP together.
pub const LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;

/// Where from and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outer {
    /// Station and address that send.
    pub source: (MacAddr, SocketAddrV4),
    /// Station of the next hop, and address that receives.
    pub destination: (MacAddr, SocketAddrV4),
    /// Compute the UDP checksum? Data packets go without (RFC 768): what they carry is authenticated.
    pub checksum: bool,
}

impl Outer {
    /// Puts Ethernet, IPv4 (DF set) and UDP in front of a packet that begins with its shim.
    #[inline]
    pub fn push(&self, packet: &mut impl Packet) -> Result<(), DropReason> {
        let data_len = packet.bytes().len();
        let (from, to) = (self.source.1, self.destination.1);
        let mut udp = Udp::new(from.port(), to.port(), data_len).ok_or(DropReason::MtuExceeded)?;
        let total = data_len + ipv4::HEADER_LEN + udp::HEADER_LEN;
        let total = u16::try_from(total).map_err(|_| DropReason::MtuExceeded)?;
        let ip = Ipv4::new(*from.ip(), *to.ip(), PROTOCOL_UDP, total);
        if self.checksum {
            udp.fill_checksum(&ip, packet.bytes());
        }
        if !packet.grow_front(LEN) {
            return Err(DropReason::BufferRoom);
        }
        let headers = Headers {
            ethernet: Ethernet {
                destination: self.destination.0,
                source: self.source.0,
                ethertype: U16::new(ETHERTYPE_IPV4),
            },
            ip,
            udp,
        };
        let written = headers.write_to_prefix(packet.bytes_mut());
        written.map_err(|_| DropReason::BufferRoom)
    }
}

/// What is put in front, in one piece.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
}

const _: () = assert!(size_of::<Headers>() == LEN);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::packet::HostPacket;

    #[test]
    fn pushed_headers_parse_and_carry_the_data() {
        let outer = Outer {
            source: (MacAddr([2, 0, 0, 0, 0, 1]), "203.0.113.10:20202".parse().unwrap()),
            destination: (MacAddr([2, 0, 0, 0, 0, 2]), "203.0.113.21:40000".parse().unwrap()),
            checksum: true,
        };
        let mut packet = HostPacket::from_bytes(b"shim and more");
        outer.push(&mut packet).unwrap();
        let (ethernet, rest) = Ethernet::parse(packet.bytes()).unwrap();
        assert_eq!(ethernet.destination, outer.destination.0);
        let (ip, payload) = Ipv4::parse(rest).unwrap();
        let (udp, data) = Udp::parse(payload).unwrap();
        udp.verify(ip, data).unwrap();
        assert_ne!(udp.checksum(), 0);
        assert!(ip.dont_fragment());
        assert_eq!(
            (udp.destination.get(), data),
            (40000, b"shim and more".as_slice())
        );
    }

    #[test]
    fn no_headroom_is_a_named_drop() {
        let outer = Outer {
            source: (MacAddr::ZERO, "203.0.113.10:1".parse().unwrap()),
            destination: (MacAddr::ZERO, "203.0.113.11:2".parse().unwrap()),
            checksum: false,
        };
        let mut packet = HostPacket::new(100, 41);
        packet.set_len(30);
        assert_eq!(outer.push(&mut packet), Err(DropReason::BufferRoom));
        assert_eq!(packet.bytes().len(), 30);
    }
}
