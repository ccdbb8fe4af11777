//! The packet inside a tunnel, as far as selectors look at it (RFC 4301 4.4.1.1).

use kith_ike::codec::Selector;
use std::net::Ipv4Addr;

/// Of a selector that does not look at ports (RFC 7296 3.13.1).
const ANY_PORT: (u16, u16) = (0, u16::MAX);
const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
const SCTP: u8 = 132;

/// What selectors see of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    protocol: u8,
    /// Source and destination; none if the protocol has none, or this is not the first fragment.
    ports: Option<(u16, u16)>,
}

impl Flow {
    /// Of an IPv4 packet, and the packet's length, which may be less than that of `octets`. None: it is none, or not whole.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, usize)> {
        let header: &[u8; 20] = octets.first_chunk()?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_len < 20 || len < header_len {
            return None;
        }
        let packet = octets.get(..len)?;
        let protocol = header[9];
        let first = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
        let has_ports = matches!(protocol, TCP | UDP | UDP_LITE | SCTP);
        let ports = packet[header_len..].first_chunk().filter(|_| first && has_ports);
        let address =
            |at: usize| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let flow = Self {
            source: address(12),
            destination: address(16),
            protocol,
            ports: ports.map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        };
        Some((flow, len))
    }

    /// Is it from one of these to one of those?
    pub(super) fn is_between(&self, from: &[Selector], to: &[Selector]) -> bool {
        let (source_port, destination_port) = self.ports.unzip();
        let any = |selectors: &[Selector], address, port| {
            selectors
                .iter()
                .any(|selector| self.is_in(selector, address, port))
        };
        any(from, self.source, source_port) && any(to, self.destination, destination_port)
    }

    fn is_in(&self, selector: &Selector, address: Ipv4Addr, port: Option<u16>) -> bool {
        let protocol = selector.protocol == 0 || selector.protocol == self.protocol;
        // A packet whose ports cannot be seen is within no range of them but all.
        let (first, last) = selector.ports;
        let port = selector.ports == ANY_PORT || port.is_some_and(|port| (first..=last).contains(&port));
        protocol && port && selector.covers(address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, fragment: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend([10, 0, 1, 1, 10, 0, 2, 1, 0x30, 0x39, 0, 80]);
        packet
    }

    fn selector(from: &str, to: &str, protocol: u8, ports: (u16, u16)) -> Selector {
        let addresses = Selector::v4(from.parse().unwrap(), to.parse().unwrap());
        Selector {
            protocol,
            ports,
            ..addresses
        }
    }

    #[test]
    fn a_packet_is_read_only_if_it_is_whole() {
        let whole = packet(TCP, 0);
        let (flow, len) = Flow::read(&whole).unwrap();
        assert_eq!((flow.ports, len), (Some((12345, 80)), 24));
        assert!((0..24).all(|len| Flow::read(&whole[..len]).is_none()));
        let mut longer = whole.clone();
        longer.extend([0; 5]);
        assert_eq!(
            Flow::read(&longer),
            Some((flow, 24)),
            "padding behind it is not the packet's"
        );
        for (at, octet) in [(0, 0x65), (0, 0x44), (3, 19)] {
            let mut wrong = whole.clone();
            wrong[at] = octet;
            assert_eq!(Flow::read(&wrong), None);
        }
    }

    #[test]
    fn selectors_look_at_addresses_protocol_and_ports() {
        let here = [selector("10.0.1.0", "10.0.1.255", 0, ANY_PORT)];
        let there = |protocol, ports| [selector("10.0.2.1", "10.0.2.1", protocol, ports)];
        let (tcp, _) = Flow::read(&packet(TCP, 0)).unwrap();
        assert!(tcp.is_between(&here, &there(0, ANY_PORT)));
        assert!(tcp.is_between(&here, &there(TCP, (80, 80))));
        assert!(!tcp.is_between(&here, &there(TCP, (81, 90))));
        assert!(!tcp.is_between(&here, &there(UDP, ANY_PORT)));
        assert!(!tcp.is_between(&there(0, ANY_PORT), &here), "the other direction");
        let (fragment, _) = Flow::read(&packet(TCP, 10)).unwrap();
        assert!(fragment.is_between(&here, &there(TCP, ANY_PORT)));
        assert!(!fragment.is_between(&here, &there(TCP, (80, 80))));
        let (icmp, _) = Flow::read(&packet(1, 0)).unwrap();
        assert!(icmp.is_between(&here, &there(0, ANY_PORT)));
    }
}
