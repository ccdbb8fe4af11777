//! First stage: is this a packet we relay, one for the slow path, or nothing for us?

use super::{Candidate, Headers, Port, Tables};
use crate::Verdict;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use kith_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ICMP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, OUTER_OVERHEAD, Shim};
use kith_wire::udp::Udp;
use zerocopy::FromBytes;

/// The candidate of a frame that is beyond doubt one to relay: what nearly all are. It is `None` for all others, and
/// for those with a UDP checksum that nobody has verified; [`parse`] says about them what is to be said, and gives the same
/// candidates.
#[inline(always)]
pub(super) fn relayable<P: Packet>(tables: &Tables, port: &Port, packet: &P) -> Option<Candidate> {
    let frame = packet.bytes();
    // All lengths in one comparison: no header is looked for twice.
    let (
        Headers {
            ethernet,
            ip,
            udp,
            shim,
            ..
        },
        _,
    ) = Headers::ref_from_prefix(frame).ok()?;
    let (source, total) = (ip.source(), usize::from(ip.total_len()));
    let ours = packet.is_contiguous()
        && ethernet.ethertype.get() == ETHERTYPE_IPV4
        && ethernet.destination == port.mac
        && ip.is_sound(frame.len() - ethernet::HEADER_LEN)
        && ip.protocol() == PROTOCOL_UDP
        && !is_martian(source.to_bits())
        && source != tables.director
        && (ip.destination() == tables.director || ip.destination() == port.address)
        && usize::from(udp.len()) == total - ipv4::HEADER_LEN
        && udp.destination.get() == tables.udp_port
        && (udp.checksum() == 0 || packet.checksums_verified())
        && shim.carries(DataType::Virtual)
        && shim.destination_director.get() == tables.director.to_bits()
        && total >= OUTER_OVERHEAD + ipv4::HEADER_LEN;
    ours.then(|| candidate(tables, ip, udp, shim))
}

/// Parses a frame down to the virtual packet; everything that is not data to relay is decided here.
#[cold]
pub(super) fn parse<P: Packet>(tables: &Tables, port: &Port, packet: &P) -> Result<Candidate, Verdict> {
    if !packet.is_contiguous() {
        return Err(Verdict::Drop(DropReason::Segmented));
    }
    let (ethernet, payload) =
        Ethernet::parse(packet.bytes()).map_err(|_| Verdict::Drop(DropReason::EthernetTruncated))?;
    match ethernet.ethertype.get() {
        ETHERTYPE_IPV4 if ethernet.destination == port.mac => {}
        ETHERTYPE_ARP if ethernet.destination == port.mac || ethernet.destination == MacAddr::BROADCAST => {
            return Err(Verdict::Punt(PuntReason::Arp));
        }
        ETHERTYPE_IPV4 | ETHERTYPE_ARP => return Err(Verdict::Drop(DropReason::EthernetNotOurs)),
        _ => return Err(Verdict::Drop(DropReason::EthertypeUnknown)),
    }
    let (ip, payload) = Ipv4::parse(payload).map_err(|why| Verdict::Drop(DropReason::outer_ipv4(why)))?;
    let source = ip.source().to_bits();
    if is_martian(source) || ip.source() == tables.director {
        return Err(Verdict::Drop(DropReason::Ipv4Martian));
    }
    if ip.destination() != port.address && ip.destination() != tables.director {
        return Err(Verdict::Drop(DropReason::Ipv4NotOurs));
    }
    match ip.protocol() {
        PROTOCOL_UDP => parse_udp(tables, ip, payload, packet.checksums_verified()),
        PROTOCOL_ICMP => Err(Verdict::Punt(PuntReason::IcmpLocal)),
        _ => Err(Verdict::Drop(DropReason::ProtocolUnknown)),
    }
}

#[inline]
fn parse_udp(tables: &Tables, ip: &Ipv4, payload: &[u8], verified: bool) -> Result<Candidate, Verdict> {
    let (udp, data) = Udp::parse(payload).map_err(|why| Verdict::Drop(DropReason::udp(why)))?;
    if udp.destination.get() != tables.udp_port {
        return Err(Verdict::Drop(DropReason::UdpPortUnknown));
    }
    if !verified {
        udp.verify(ip, data)
            .map_err(|why| Verdict::Drop(DropReason::udp(why)))?;
    }
    let (shim, body) = Shim::parse(data).map_err(|why| Verdict::Drop(DropReason::shim(why)))?;
    match shim.data_type() {
        Some(DataType::Virtual) => {}
        Some(DataType::AddressRequest | DataType::KeepAlive | DataType::Leave) => {
            return Err(Verdict::Punt(PuntReason::Control));
        }
        Some(DataType::Ping) => return Err(Verdict::Punt(PuntReason::Ping)),
        Some(DataType::AddressResponse | DataType::TcpInit) | None => {
            return Err(Verdict::Drop(DropReason::ShimTypeUnknown));
        }
    }
    if shim.destination_director.get() != tables.director.to_bits() {
        return Err(Verdict::Drop(DropReason::DirectorNotOurs));
    }
    // The director is blind to what the virtual packet says, but not to whether there is one.
    if body.len() < ipv4::HEADER_LEN {
        return Err(Verdict::Drop(DropReason::VirtualTruncated));
    }
    Ok(candidate(tables, ip, udp, shim))
}

#[inline(always)]
fn candidate(tables: &Tables, ip: &Ipv4, udp: &Udp, shim: &Shim) -> Candidate {
    let index = |pseudo: u32| u32::try_from(tables.sessions.index(pseudo)).unwrap_or(u32::MAX);
    Candidate {
        source: ip.source().to_bits(),
        source_port: udp.source.get(),
        total_len: ip.total_len(),
        source_session: index(shim.source_member.get()),
        destination_session: index(shim.destination_member.get()),
        ttl: ip.ttl(),
    }
}

/// Can no packet on a wire come from this address? (RFC 1122 section 3.2.1.3: this network, loopback, multicast and above.)
#[inline]
fn is_martian(source: u32) -> bool {
    let first = source >> 24;
    first == 0 || first == 127 || first >= 224
}
