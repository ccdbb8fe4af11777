//! Packets that the agent makes itself: key agreement in clear virtual UDP, and the virtual packet that becomes an ESP dummy.

use crate::keying::message;
use kith_esp::NO_NEXT_HEADER;
use kith_pipeline::host::decap::KEYING_PORT;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, Shim};
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;

/// Octets of a key agreement datagram: shim, virtual IPv4, UDP, message.
pub const KEYING_LEN: usize = shim::LEN + ipv4::HEADER_LEN + udp::HEADER_LEN + message::LEN;

/// The datagram that carries a key agreement message from `own` to `peer`.
#[must_use]
pub fn keying(shim: &Shim, own: Ipv4Addr, peer: Ipv4Addr, message: &[u8; message::LEN]) -> [u8; KEYING_LEN] {
    const UDP_LEN: u16 = (udp::HEADER_LEN + message::LEN) as u16;
    let ip = Ipv4::new(own, peer, PROTOCOL_UDP, ipv4::HEADER_LEN as u16 + UDP_LEN);
    let mut udp = Udp::new(KEYING_PORT, KEYING_PORT, message::LEN)
        .unwrap_or_else(|| unreachable!("a message of 128 octets fits a UDP datagram"));
    udp.fill_checksum(&ip, message);
    let mut out = [0; KEYING_LEN];
    let mut at = 0;
    for part in [shim.as_bytes(), ip.as_bytes(), udp.as_bytes(), message] {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    out
}

/// The virtual packet that sealing makes an ESP dummy (RFC 4303 section 2.6): a header, no payload, next header 59.
#[must_use]
pub fn dummy(own: Ipv4Addr, peer: Ipv4Addr) -> [u8; ipv4::HEADER_LEN] {
    let mut out = [0; ipv4::HEADER_LEN];
    out.copy_from_slice(Ipv4::new(own, peer, NO_NEXT_HEADER, ipv4::HEADER_LEN as u16).as_bytes());
    out
}
