//! Packets that the agent makes itself: key agreement in clear virtual UDP, and the virtual packet that becomes an ESP dummy.

use crate::keying::{Method, message};
use kith_esp::NO_NEXT_HEADER;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, Shim};
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;

/// Octets of a datagram of the two-message exchange without a ticket: shim, virtual IPv4, UDP, message.
pub const KEYING_LEN: usize = shim::LEN + ipv4::HEADER_LEN + udp::HEADER_LEN + message::LEN;

/// The datagram that carries a key agreement message from `own` to `peer`; `None` if the message is longer than any datagram.
#[must_use]
pub fn keying(shim: &Shim, own: Ipv4Addr, peer: Ipv4Addr, method: Method, message: &[u8]) -> Option<Vec<u8>> {
    let port = method.port();
    let mut udp = Udp::new(port, port, message.len())?;
    let total = u16::try_from(ipv4::HEADER_LEN + udp::HEADER_LEN + message.len()).ok()?;
    let ip = Ipv4::new(own, peer, PROTOCOL_UDP, total);
    udp.fill_checksum(&ip, message);
    Some([shim.as_bytes(), ip.as_bytes(), udp.as_bytes(), message].concat())
}

/// A message of the two-message exchange. Behind an initiation stands the ticket, unless it is empty or longer than a ticket may be.
#[must_use]
pub fn with_ticket(message: &[u8], ticket: &[u8]) -> Vec<u8> {
    let is_initiation = message.try_into().is_ok_and(message::is_initiation);
    let takes_ticket = is_initiation && (1..=message::MAX_TICKET).contains(&ticket.len());
    let mut data = message.to_vec();
    if takes_ticket && let Ok(len) = u16::try_from(ticket.len()) {
        data.extend_from_slice(&len.to_be_bytes());
        data.extend_from_slice(ticket);
    }
    data
}

/// The virtual packet that sealing makes an ESP dummy (RFC 4303 section 2.6): a header, no payload, next header 59.
#[must_use]
pub fn dummy(own: Ipv4Addr, peer: Ipv4Addr) -> [u8; ipv4::HEADER_LEN] {
    let mut out = [0; ipv4::HEADER_LEN];
    out.copy_from_slice(Ipv4::new(own, peer, NO_NEXT_HEADER, ipv4::HEADER_LEN as u16).as_bytes());
    out
}
