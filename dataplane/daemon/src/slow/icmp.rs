//! ICMP: echo, and path MTU (RFC 1191).

use super::way::Way;
use super::{ERRORS, Slow};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet};
use kith_wire::icmp::{self, ECHO_REQUEST, Icmp};
use kith_wire::ipv4::{self, Ipv4};
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// Octets quoted of a packet that is too big: outer header, UDP, shim, virtual header, SPI and sequence number, and some more. What
/// follows is ciphertext, which tells the sender nothing.
const QUOTE: usize = 128;
/// Octets of an ICMP error that quotes so much.
const ERROR_LEN: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN + QUOTE;

impl<P: Packet> Slow<P> {
    pub(super) fn icmp(&mut self, ingress: PortIndex, packet: P) {
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
            // RFC 5927 section 7.2: a packet that was too big was bigger than what would have fit. Which session it was
            // of, if any, the controller knows.
            Some(Ok(told)) if told.quoted.total_len() > told.mtu => {
                self.hand_over(ingress, PuntReason::IcmpLocal, packet);
            }
            Some(_) => self.refuse(),
            // Other messages ask nothing of a dataplane.
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

    /// Tells the sender of a packet how large it may be.
    pub(super) fn mtu_exceeded(&mut self, now: Nanos, ingress: PortIndex, mut packet: P) {
        // The packet is gone; what is sent is another one, in its buffer.
        self.dropped(DropReason::MtuExceeded, 1);
        let tables = self.control.tables();
        let Some(offending) = packet.bytes().get(ethernet::HEADER_LEN..) else {
            return;
        };
        let Ok((ip, _)) = Ipv4::parse(offending) else {
            return;
        };
        let way = Way::of(&tables, ingress, packet.bytes());
        let (Some(mtu), Some(port)) = (way.and_then(|way| way.mtu()), tables.ingress_port.get(ingress))
        else {
            return;
        };
        // RFC 1812 section 4.3.3: only who forbade fragments is told. RFC 1191 section 4: with the size that fits.
        if !ip.dont_fragment() || !self.errors.admit(ERRORS, now, 1) {
            return;
        }
        // Members know their director's address; a device behind a gateway hears its router.
        let from = match way {
            Some(Way::Relayed(_)) => ip.destination(),
            _ => port.address,
        };
        let quote = &offending[..offending.len().min(QUOTE)];
        let mut error = [0u8; ERROR_LEN];
        let Ok(len) = icmp::write_too_big(&mut error, from, ip.source(), mtu, quote) else {
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
        let tables = self.control.tables();
        let (Some(port), Ok((old, _))) = (tables.ingress_port.get(ingress), Ethernet::parse(packet.bytes()))
        else {
            return false;
        };
        let header = Ethernet {
            destination: old.source,
            source: port.station,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        if header.destination.is_group() {
            return false;
        }
        packet.bytes_mut()[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
        true
    }
}
