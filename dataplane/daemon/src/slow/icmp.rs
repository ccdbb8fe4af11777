//! ICMP: echo, and path MTU in both directions (RFC 1191).

use super::{ERRORS, Slow, endpoint, time};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::session::RelayTo;
use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::icmp::{self, ECHO_REQUEST, Icmp, TooBig};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{PseudoIp, Shim};
use kith_wire::udp::{self, Udp};
use std::net::SocketAddrV4;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

/// Octets quoted of a packet that is too big: outer header, UDP, shim, virtual header, SPI and sequence number, and some more. What
/// follows is ciphertext, which tells the sender nothing.
const QUOTE: usize = 128;
/// Octets of an ICMP error that quotes so much.
const ERROR_LEN: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN + QUOTE;

/// An ICMP error, and the way it takes.
struct Report {
    error: [u8; ERROR_LEN],
    len: usize,
    port: PortIndex,
    station: MacAddr,
}

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
            Some(Ok(told)) if self.lower_path_mtu(now, &told) => {
                let report = self.report_to_sender(now, &told);
                self.counts.consumed.add(1);
                if let Some(report) = report {
                    self.pass_on(report, packet);
                }
            }
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
        let (director, udp_port) = endpoint(&tables);
        let from_us = told.quoted.source() == director
            && told.quoted.protocol() == PROTOCOL_UDP
            && port(0) == Some(udp_port);
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

    /// What to tell the member whose packet a router found too big: the router told us, for the outer header is ours. If it
    /// quotes enough, the shim says whose packet it was; so the sender learns by its first loss, not by its second.
    fn report_to_sender(&self, now: Nanos, told: &TooBig<'_>) -> Option<Report> {
        let tables = self.publisher.current();
        let quoted = told
            .quoted_payload
            .get(..told.quoted_payload.len().min(QUOTE - ipv4::HEADER_LEN))?;
        let (shim, _) = Shim::parse(quoted.get(udp::HEADER_LEN..)?).ok()?;
        let (director, udp_port) = endpoint(&tables);
        let sender = tables
            .sender
            .get(PseudoIp::new(shim.source_member.get())?)?
            .socket_addr();
        let path = tables
            .session
            .get(PseudoIp::new(shim.destination_member.get())?)?;
        let next = tables.route.next(*sender.ip())?;
        let station = *tables.neighbor.get(OnLink {
            port: next.port,
            address: next.hop,
        })?;
        if !told.quoted.dont_fragment() || !self.errors.admit(ERRORS, now, 1) {
            return None;
        }
        // The packet as its sender knows it: from its own address to ours.
        let mut quote = [0u8; QUOTE];
        let len = ipv4::HEADER_LEN + quoted.len();
        let (head, rest) = quote.split_at_mut(ipv4::HEADER_LEN);
        let mut ip = *told.quoted;
        ip.readdress(*sender.ip(), director);
        head.copy_from_slice(ip.as_bytes());
        rest[..quoted.len()].copy_from_slice(quoted);
        let (udp, _) = Udp::mut_from_prefix(rest).ok()?;
        let addresses = |ip: &Ipv4| (ip.source().to_bits(), ip.destination().to_bits());
        udp.readdress(addresses(told.quoted), addresses(&ip), sender.port(), udp_port);
        let mut error = [0u8; ERROR_LEN];
        let len = icmp::write_too_big(&mut error, director, *sender.ip(), path.mtu, &quote[..len]).ok()?;
        Some(Report {
            error,
            len,
            port: next.port,
            station,
        })
    }

    /// Sends a report in the buffer of the one that caused it, which is as long or longer.
    fn pass_on(&mut self, report: Report, mut packet: P) {
        let excess = packet
            .bytes()
            .len()
            .checked_sub(ethernet::HEADER_LEN + report.len);
        let (Some(port), Some(excess)) = (self.network(report.port), excess) else {
            return;
        };
        if !packet.shrink_back(excess) {
            return;
        }
        let header = Ethernet {
            destination: report.station,
            source: port.mac,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        let (head, rest) = packet.bytes_mut().split_at_mut(ethernet::HEADER_LEN);
        head.copy_from_slice(header.as_bytes());
        rest.copy_from_slice(&report.error[..report.len]);
        self.counts.originated.add(1);
        self.send(report.port, packet);
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
        let index = tables.session.pool().index(shim.destination_member.get());
        // A session that ended meanwhile: nothing to tell.
        let Some(RelayTo { mtu, .. }) = tables.session.relay_to(index) else {
            return;
        };
        let quote = &offending[..offending.len().min(QUOTE)];
        let mut error = [0u8; ERROR_LEN];
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
        let (Some(port), Ok((old, _))) = (self.network(ingress), Ethernet::parse(packet.bytes())) else {
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
