//! Frames that the dataplane hands up, and those that it is to send.

use crate::keying::Method;
use kith_wire::control;
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::shim::Shim;
use kith_wire::udp::{self, Udp};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// A key agreement message, from and to virtual addresses.
pub(super) struct Keying<'a> {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) method: Method,
    pub(super) data: &'a [u8],
}

/// Reads a frame with a key agreement message. The dataplane has looked at the headers in front, and at the port; not behind.
pub(super) fn keying(frame: &[u8]) -> Option<Keying<'_>> {
    let (_, outer) = datagram(frame)?;
    let (_, body) = Shim::parse(outer).ok()?;
    let (ip, payload) = Ipv4::parse(body).ok()?;
    let (header, data) = udp_of(ip, payload)?;
    Some(Keying {
        source: ip.source(),
        destination: ip.destination(),
        method: Method::of(header.destination.get())?,
        data,
    })
}

/// Reads a frame with a director's message: from where, and what.
pub(super) fn control(frame: &[u8]) -> Option<(SocketAddrV4, &[u8; control::LEN])> {
    let (from, data) = datagram(frame)?;
    Some((from, data.try_into().ok()?))
}

/// From and to whom a device's packet is, in addresses of the LAN.
pub(super) fn device(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (ip, _) = ip(frame)?;
    Some((ip.source(), ip.destination()))
}

/// A frame whose stations and port the dataplane finds; none if the data is longer than any datagram.
pub(super) fn routed(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Option<Vec<u8>> {
    let mut udp = Udp::new(from.port(), to.port(), data.len())?;
    let total = u16::try_from(kith_wire::ipv4::HEADER_LEN + udp::HEADER_LEN + data.len()).ok()?;
    let ip = Ipv4::new(*from.ip(), *to.ip(), PROTOCOL_UDP, total);
    udp.fill_checksum(&ip, data);
    let ethernet = Ethernet {
        destination: MacAddr::ZERO,
        source: MacAddr::ZERO,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    Some([ethernet.as_bytes(), ip.as_bytes(), udp.as_bytes(), data].concat())
}

fn ip(frame: &[u8]) -> Option<(&Ipv4, &[u8])> {
    Ipv4::parse(frame.get(ethernet::HEADER_LEN..)?).ok()
}

fn datagram(frame: &[u8]) -> Option<(SocketAddrV4, &[u8])> {
    let (ip, payload) = ip(frame)?;
    let (header, data) = udp_of(ip, payload)?;
    Some((SocketAddrV4::new(ip.source(), header.source.get()), data))
}

fn udp_of<'a>(ip: &Ipv4, payload: &'a [u8]) -> Option<(&'a Udp, &'a [u8])> {
    let (header, data) = Udp::parse(payload).ok()?;
    header.verify(ip, data).ok()?;
    (ip.protocol() == PROTOCOL_UDP).then_some((header, data))
}
