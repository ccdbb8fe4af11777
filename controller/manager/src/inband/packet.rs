//! Virtual packets: what is in those that were opened, and those that go back.

use super::counters::Refused;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::icmp::{self, ECHO_REQUEST, Icmp};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;

/// Room for the largest datagram, and for what is put in front and behind.
const CAPACITY: usize = 2048;
const HEADROOM: usize = 128;
/// Octets of a TCP header without options.
const TCP_LEN: usize = 20;
const TCP_SYN_ONLY: u8 = 0x02;
const TCP_SYN_ACK: u8 = 0x12;

/// What a virtual packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// An echo request.
    Echo,
    /// UDP from this port to that one; the data begins and ends there.
    Udp {
        from: u16,
        to: u16,
        data: (usize, usize),
    },
    /// TCP to this port.
    Tcp { to: u16, opens: bool },
}

/// Looks into a packet that was opened.
pub(super) fn content(packet: &[u8]) -> Result<Content, Refused> {
    let malformed = |_| Refused::InnerMalformed;
    let (ip, payload) = Ipv4::parse(packet).map_err(malformed)?;
    match ip.protocol() {
        PROTOCOL_UDP => {
            let (udp, data) = Udp::parse(payload).map_err(malformed)?;
            udp.verify(ip, data).map_err(malformed)?;
            let begin = ipv4::HEADER_LEN + udp::HEADER_LEN;
            Ok(Content::Udp {
                from: udp.source.get(),
                to: udp.destination.get(),
                data: (begin, begin + data.len()),
            })
        }
        PROTOCOL_TCP if payload.len() >= TCP_LEN => Ok(Content::Tcp {
            to: u16::from_be_bytes([payload[2], payload[3]]),
            opens: payload[13] & TCP_SYN_ACK == TCP_SYN_ONLY,
        }),
        PROTOCOL_TCP => Err(Refused::InnerMalformed),
        PROTOCOL_ICMP => match Icmp::parse(payload).map_err(malformed)? {
            (icmp, _) if (icmp.kind, icmp.code) == (ECHO_REQUEST, 0) => Ok(Content::Echo),
            _ => Err(Refused::IcmpUnknown),
        },
        _ => Err(Refused::InnerProtocol),
    }
}

/// Makes an echo request its reply.
pub(super) fn echo(packet: &mut HostPacket) -> Result<(), Refused> {
    icmp::reply_to_echo(packet.bytes_mut()).map_err(|_| Refused::InnerMalformed)
}

/// An empty buffer.
pub(super) fn buffer() -> HostPacket {
    HostPacket::new(CAPACITY, HEADROOM)
}

/// Fills a buffer with a UDP packet. False if it does not fit.
pub(super) fn write_udp(
    packet: &mut HostPacket,
    (from, from_port): (Ipv4Addr, u16),
    (to, to_port): (Ipv4Addr, u16),
    data: &[u8],
) -> bool {
    let header = ipv4::HEADER_LEN + udp::HEADER_LEN;
    let Some(mut udp) = Udp::new(from_port, to_port, data.len()) else {
        return false;
    };
    let Ok(total) = u16::try_from(header + data.len()) else {
        return false;
    };
    let ip = Ipv4::new(from, to, PROTOCOL_UDP, total);
    udp.fill_checksum(&ip, data);
    write(packet, &[ip.as_bytes(), udp.as_bytes(), data])
}

/// Fills a buffer with these parts. False if they do not fit.
pub(super) fn write(packet: &mut HostPacket, parts: &[&[u8]]) -> bool {
    let mut room = packet.refill(HEADROOM);
    let mut len = 0;
    for part in parts {
        let Some((here, rest)) = std::mem::take(&mut room).split_at_mut_checked(part.len()) else {
            return false;
        };
        here.copy_from_slice(part);
        (room, len) = (rest, len + part.len());
    }
    packet.set_len(len);
    true
}
