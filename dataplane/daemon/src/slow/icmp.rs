//! ICMP: echo, and path MTU in both directions (RFC 1191).

use super::{ERRORS, Slow, time};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::DropReason;
use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet};
use kith_wire::icmp::{self, ECHO_REQUEST, Icmp, TooBig};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::Shim;
use kith_wire::udp;
use std::net::SocketAddrV4;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// Octets quoted of a packet that is too big: outer header, UDP, shim, virtual header, SPI and sequence number, and some more. What
/// follows is ciphertext, which tells the sender nothing.
const QUOTE: usize = 128;

impl<P: Packet> Slow<P> {
    pub(super) fn icmp(&mut self, now: Nanos, ingress: PortIndex, packet: P) {
        let packet_bytes = packet.bytes().get(ethernet::HEADER_LEN..).unwrap_or_default();
        let Ok((_, payload)) = Ipv4::parse(packet_bytes) else {
            return self.refuse();
        };
        let Ok((header, data)) = Icmp::parse(payload) else {
            return self.refuse();
        };
        if (header.kind, header.code) == (ECHO_REQUEST, 0) {
            return self.echo(ingress, packet);
        }
        match header.too_big(data) {
            Some(Ok(told)) if self.lower_path_mtu(now, &told) => self.counts.consumed.add(1),
            // It speaks of a packet that we did not send, or of one that would have fit: forged, or of no use.
            Some(_) => self.refuse(),
            // Other messages ask nothing of a director.
            None => self.counts.consumed.add(1),
        }
    }

    fn echo(&mut self, ingress: PortIndex, mut packet: P) {
        let frame = packet.bytes_mut();
        let answered = frame
            .get_mut(ethernet::HEADER_LEN..)
            .is_some_and(|ip| icmp::reply_to_echo(ip).is_ok());
        if answered && self.turn_around(ingress, &mut packet) {
            self.send(ingress, packet);
        } else {
            self.refuse();
        }
    }

    /// Does a router speak of a packet that this director sent, and did that change or confirm a path MTU?
    fn lower_path_mtu(&mut self, now: Nanos, told: &TooBig<'_>) -> bool {
        let tables = self.publisher.current();
        let port = |at: usize| {
            told.quoted_payload
                .get(at..at + 2)
                .map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
        };
        let from_us = told.quoted.source() == tables.director
            && told.quoted.protocol() == PROTOCOL_UDP
            && port(0) == Some(tables.udp_port);
        // RFC 5927 section 7.2: a packet that was too big was bigger than what would have fit.
        if !from_us || told.quoted.total_len() <= told.mtu {
            return false;
        }
        let Some(to) = port(2).map(|port| SocketAddrV4::new(told.quoted.destination(), port)) else {
            return false;
        };
        let Some(&pseudo) = self.bound.get(&to) else {
            return false;
        };
        let lowered = self.director.path_mtu(time(now), pseudo, told.mtu);
        self.obey_director();
        lowered
    }

    /// Tells the sender of a packet how large it may be.
    pub(super) fn mtu_exceeded(&mut self, now: Nanos, ingress: PortIndex, mut packet: P) {
        // The packet is gone; what is sent is another one, in its buffer.
        self.dropped(DropReason::MtuExceeded, 1);
        let tables = self.publisher.current();
        let Some(offending) = packet.bytes().get(ethernet::HEADER_LEN..) else {
            return;
        };
        let Ok((ip, payload)) = Ipv4::parse(offending) else {
            return;
        };
        let shim = payload
            .get(udp::HEADER_LEN..)
            .and_then(|data| Shim::parse(data).ok());
        let Some((shim, _)) = shim else { return };
        // RFC 1812 section 4.3.3: only who forbade fragments is told. RFC 1191 section 4: with the size that fits.
        if !ip.dont_fragment() || !self.errors.admit(ERRORS, now, 1) {
            return;
        }
        let index = tables.sessions.index(shim.destination_member.get());
        let mtu = tables.sessions.path(index).mtu;
        let quote = &offending[..offending.len().min(QUOTE)];
        let mut error = [0u8; icmp::HEADER_LEN + ipv4::HEADER_LEN + QUOTE];
        let Ok(len) = icmp::write_too_big(&mut error, ip.destination(), ip.source(), mtu, quote) else {
            return;
        };
        let excess = packet.bytes().len().checked_sub(ethernet::HEADER_LEN + len);
        if !excess.is_some_and(|excess| packet.shrink_back(excess)) {
            return;
        }
        packet.bytes_mut()[ethernet::HEADER_LEN..].copy_from_slice(&error[..len]);
        if self.turn_around(ingress, &mut packet) {
            self.counts.originated.add(1);
            self.send(ingress, packet);
        }
    }

    /// Addresses a frame to the station it came from.
    pub(super) fn turn_around(&self, ingress: PortIndex, packet: &mut P) -> bool {
        let tables = self.publisher.current();
        let (Some(port), Ok((old, _))) = (tables.port(ingress), Ethernet::parse(packet.bytes())) else {
            return false;
        };
        let header = Ethernet {
            destination: old.source,
            source: port.mac,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        if header.destination.is_group() {
            return false;
        }
        packet.bytes_mut()[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
        true
    }
}
