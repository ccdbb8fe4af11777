//! ARP for IPv4 over Ethernet (RFC 826).

use crate::Malformed;
use crate::ethernet::MacAddr;
use core::net::Ipv4Addr;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of an ARP packet for IPv4 over Ethernet.
pub const LEN: usize = 28;

/// What an ARP packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Who has this address?
    Request,
    /// I have it.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Arp {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: U32,
    target_mac: MacAddr,
    target_ip: U32,
}

impl Arp {
    /// Reads an ARP packet; anything but IPv4 over Ethernet, request or reply, is refused.
    pub fn parse(bytes: &[u8]) -> Result<&Self, Malformed> {
        let (arp, _padding) = Self::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let ipv4_over_ethernet = arp.hardware.get() == 1
            && arp.protocol.get() == crate::ethernet::ETHERTYPE_IPV4
            && arp.hardware_len == 6
            && arp.protocol_len == 4;
        if !ipv4_over_ethernet || !(1..=2).contains(&arp.operation.get()) {
            return Err(Malformed::Field);
        }
        Ok(arp)
    }

    /// A packet to send.
    #[must_use]
    pub fn new(operation: Operation, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        Self {
            hardware: U16::new(1),
            protocol: U16::new(crate::ethernet::ETHERTYPE_IPV4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(match operation {
                Operation::Request => 1,
                Operation::Reply => 2,
            }),
            sender_mac: sender.0,
            sender_ip: U32::new(sender.1.to_bits()),
            target_mac: target.0,
            target_ip: U32::new(target.1.to_bits()),
        }
    }

    /// Request or reply.
    #[must_use]
    pub fn operation(&self) -> Operation {
        if self.operation.get() == 1 {
            Operation::Request
        } else {
            Operation::Reply
        }
    }

    /// Who says it.
    #[must_use]
    pub fn sender(&self) -> (MacAddr, Ipv4Addr) {
        (self.sender_mac, Ipv4Addr::from_bits(self.sender_ip.get()))
    }

    /// Whom it asks for or answers.
    #[must_use]
    pub fn target(&self) -> (MacAddr, Ipv4Addr) {
        (self.target_mac, Ipv4Addr::from_bits(self.target_ip.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; LEN] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 203, 0, 113, 1, 0, 0, 0, 0, 0, 0, 203, 0, 113, 10,
    ];

    #[test]
    fn golden_request_both_ways() {
        let arp = Arp::parse(&REQUEST).unwrap();
        assert_eq!(arp.operation(), Operation::Request);
        assert_eq!(
            arp.sender(),
            (MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(203, 0, 113, 1))
        );
        assert_eq!(arp.target().1, Ipv4Addr::new(203, 0, 113, 10));
        let built = Arp::new(Operation::Request, arp.sender(), arp.target());
        assert_eq!(built.as_bytes(), REQUEST);
    }

    #[test]
    fn other_kinds_of_arp_are_refused() {
        for (at, value) in [(1, 6), (2, 9), (4, 8), (5, 16), (7, 3), (7, 0)] {
            let mut bytes = REQUEST;
            bytes[at] = value;
            assert_eq!(Arp::parse(&bytes), Err(Malformed::Field), "octet {at}");
        }
        assert_eq!(Arp::parse(&REQUEST[..27]), Err(Malformed::Truncated));
    }
}
