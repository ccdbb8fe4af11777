//! Between a LAN's addresses and virtual ones, with the checksums over and under them.

use crate::reason::DropReason;
use crate::table::member::Pair;
use crate::table::policy::Flow;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::tcp;
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// A payload whose header is all there; of others nothing is known but the protocol.
enum Transport {
    Tcp,
    Udp,
    Other,
}

impl Transport {
    fn of(protocol: u8, payload_len: usize) -> Self {
        match protocol {
            PROTOCOL_TCP if payload_len >= tcp::MIN_HEADER => Self::Tcp,
            PROTOCOL_UDP if payload_len >= udp::HEADER_LEN => Self::Udp,
            _ => Self::Other,
        }
    }
}

/// What a packet between two members is to the policy. Ports are 0 where there are none.
pub(super) fn flow(pair: Pair, ip: &Ipv4, payload: &[u8]) -> Flow {
    let (source_port, destination_port) =
        match (Transport::of(ip.protocol(), payload.len()), payload.first_chunk()) {
            (Transport::Tcp | Transport::Udp, Some([s0, s1, d0, d1])) => {
                (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]))
            }
            _ => (0, 0),
        };
    Flow {
        community: pair.community.get(),
        source: pair.source.to_bits(),
        destination: pair.destination.to_bits(),
        protocol: ip.protocol(),
        source_port,
        destination_port,
    }
}

/// Gives a packet, all of it and no more, a new source and destination, and a TCP SYN a segment size that fits. Checksums are updated
/// (RFC 1624); that of UDP, if it is absent, stays absent.
pub(super) fn translate(
    packet: &mut [u8],
    (source, destination): (Ipv4Addr, Ipv4Addr),
    mss: u16,
) -> Result<(), DropReason> {
    let (header, payload) = packet
        .split_at_mut_checked(ipv4::HEADER_LEN)
        .ok_or(DropReason::Ipv4Truncated)?;
    let ip = Ipv4::mut_from_bytes(header).map_err(|_| DropReason::Ipv4Truncated)?;
    let old = (ip.source().to_bits(), ip.destination().to_bits());
    let new = (source.to_bits(), destination.to_bits());
    ip.readdress(source, destination);
    match Transport::of(ip.protocol(), payload.len()) {
        Transport::Tcp => {
            tcp::clamp_first_mss(payload, mss);
            tcp::readdress(payload, old, new);
        }
        Transport::Udp => {
            if let Ok((udp, _)) = Udp::mut_from_prefix(payload) {
                let ports = (udp.source.get(), udp.destination.get());
                udp.readdress(old, new, ports.0, ports.1);
            }
        }
        Transport::Other => {}
    }
    Ok(())
}
