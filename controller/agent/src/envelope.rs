//! Packets that the agent makes itself: key agreement in clear virtual UDP, and the virtual packet that becomes an ESP dummy.

use crate::keying::message;
use kith_esp::NO_NEXT_HEADER;
use kith_pipeline::host::decap::KEYING_PORT;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, Shim};
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;

/// Octets of a key agreement datagram without a ticket: shim, virtual IPv4, UDP, message.
pub const KEYING_LEN: usize = shim::LEN + ipv4::HEADER_LEN + udp::HEADER_LEN + message::LEN;

/// The datagram that carries a key agreement message from `own` to `peer`. Behind an initiation stands the ticket, unless it is empty or
/// longer than a ticket may be.
#[must_use]
pub fn keying(
    shim: &Shim,
    own: Ipv4Addr,
    peer: Ipv4Addr,
    message: &[u8; message::LEN],
    ticket: &[u8],
) -> Vec<u8> {
    let takes_ticket = message::is_initiation(message) && (1..=message::MAX_TICKET).contains(&ticket.len());
    let mut data = message.to_vec();
    if takes_ticket && let Ok(len) = u16::try_from(ticket.len()) {
        data.extend_from_slice(&len.to_be_bytes());
        data.extend_from_slice(ticket);
    }
    let total = (ipv4::HEADER_LEN + udp::HEADER_LEN + data.len()) as u16;
    let ip = Ipv4::new(own, peer, PROTOCOL_UDP, total);
    let mut udp = Udp::new(KEYING_PORT, KEYING_PORT, data.len())
        .unwrap_or_else(|| unreachable!("a message of 128 octets and a ticket of 1,024 fit a UDP datagram"));
    udp.fill_checksum(&ip, &data);
    [shim.as_bytes(), ip.as_bytes(), udp.as_bytes(), &data].concat()
}

/// The virtual packet that sealing makes an ESP dummy (RFC 4303 section 2.6): a header, no payload, next header 59.
#[must_use]
pub fn dummy(own: Ipv4Addr, peer: Ipv4Addr) -> [u8; ipv4::HEADER_LEN] {
    let mut out = [0; ipv4::HEADER_LEN];
    out.copy_from_slice(Ipv4::new(own, peer, NO_NEXT_HEADER, ipv4::HEADER_LEN as u16).as_bytes());
    out
}
