//! The long way in: is a frame sound, is it for this node, and for which of its roles? Every length is compared with the frame's before a
//! field behind it is believed.

use crate::Verdict;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::relay::Candidate;
use crate::table::endpoint::Role;
use crate::table::port::AcceptBy;
use crate::tables::Tables;
use crate::units::PortIndex;
use kith_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ICMP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, Shim};
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;

/// A frame that is for one of the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// For a director to relay.
    Relay(Candidate),
    /// For a gateway: from a LAN, and not to the gateway itself.
    Outbound,
    /// For a gateway: a virtual packet behind a shim.
    Inbound,
}

/// Takes a frame apart; everything that is not for a role is decided here.
#[inline(never)]
pub(crate) fn receive<P: Packet>(
    tables: &Tables,
    ingress: PortIndex,
    packet: &P,
) -> Result<Arrived, Verdict> {
    // Frames that came by no port of ours are for no station of ours.
    let port = tables.ingress_port.get(ingress);
    let port = port.ok_or(Verdict::Drop(DropReason::EthernetNotOurs))?;
    if !packet.is_contiguous() {
        return Err(Verdict::Drop(DropReason::Segmented));
    }
    let (ethernet, payload) =
        Ethernet::parse(packet.bytes()).map_err(|_| Verdict::Drop(DropReason::EthernetTruncated))?;
    let own = ethernet.destination == port.station;
    match ethernet.ethertype.get() {
        ETHERTYPE_IPV4 if own => {}
        ETHERTYPE_ARP if own || ethernet.destination == MacAddr::BROADCAST => {
            return Err(Verdict::Punt(PuntReason::Arp));
        }
        ETHERTYPE_IPV4 | ETHERTYPE_ARP => return Err(Verdict::Drop(DropReason::EthernetNotOurs)),
        _ => return Err(Verdict::Drop(DropReason::EthertypeUnknown)),
    }
    let (ip, payload) = Ipv4::parse(payload).map_err(|why| Verdict::Drop(DropReason::outer_ipv4(why)))?;
    let director = director_of(tables);
    if is_martian(ip.source().to_bits()) || director == Some(ip.source()) {
        return Err(Verdict::Drop(DropReason::Ipv4Martian));
    }
    if !is_own(port, director, ip.destination()) {
        return match tables.endpoint {
            Role::Gateway { .. } => Ok(Arrived::Outbound),
            Role::Director { .. } | Role::Nothing => Err(Verdict::Drop(DropReason::Ipv4NotOurs)),
        };
    }
    match ip.protocol() {
        PROTOCOL_UDP => tunnel(tables, ip, payload, packet.checksums_verified()),
        PROTOCOL_ICMP => Err(Verdict::Punt(PuntReason::IcmpLocal)),
        _ => Err(Verdict::Drop(DropReason::ProtocolUnknown)),
    }
}

/// UDP and shim of a packet to this node. The port is ours if the role has one.
fn tunnel(tables: &Tables, ip: &Ipv4, payload: &[u8], verified: bool) -> Result<Arrived, Verdict> {
    let (udp, data) = Udp::parse(payload).map_err(|why| Verdict::Drop(DropReason::udp(why)))?;
    let ours = match tables.endpoint {
        Role::Director { udp_port, .. } | Role::Gateway { udp_port } => udp.destination.get() == udp_port,
        Role::Nothing => false,
    };
    if !ours {
        return Err(Verdict::Drop(DropReason::UdpPortUnknown));
    }
    if !verified {
        udp.verify(ip, data)
            .map_err(|why| Verdict::Drop(DropReason::udp(why)))?;
    }
    let director = director_of(tables);
    let (shim, body) = Shim::parse(data).map_err(|why| Verdict::Drop(DropReason::shim(why)))?;
    match shim.data_type() {
        Some(DataType::Virtual) => {}
        Some(DataType::Ping) => return Err(Verdict::Punt(PuntReason::Ping)),
        Some(DataType::KeepAlive | DataType::Leave) => return Err(Verdict::Punt(PuntReason::Control)),
        // A director is asked; a gateway, a member itself, is answered.
        Some(DataType::AddressRequest) if director.is_some() => {
            return Err(Verdict::Punt(PuntReason::Control));
        }
        Some(DataType::AddressResponse) if director.is_none() => {
            return Err(Verdict::Punt(PuntReason::Control));
        }
        Some(DataType::AddressRequest | DataType::AddressResponse | DataType::TcpInit) | None => {
            return Err(Verdict::Drop(DropReason::ShimTypeUnknown));
        }
    }
    let Some(director) = director else {
        return Ok(Arrived::Inbound);
    };
    if shim.destination_director.get() != director.to_bits() {
        return Err(Verdict::Drop(DropReason::DirectorNotOurs));
    }
    // The director is blind to what the virtual packet says, but not to whether there is one.
    if body.len() < ipv4::HEADER_LEN {
        return Err(Verdict::Drop(DropReason::VirtualTruncated));
    }
    Ok(Arrived::Relay(Candidate::of(tables, ip, udp, shim)))
}

/// The director's own public address, of a node that is one.
fn director_of(tables: &Tables) -> Option<Ipv4Addr> {
    match tables.endpoint {
        Role::Director { address, .. } => Some(address),
        Role::Gateway { .. } | Role::Nothing => None,
    }
}

fn is_own(port: &AcceptBy, director: Option<Ipv4Addr>, address: Ipv4Addr) -> bool {
    address == port.address || director == Some(address)
}

/// Can no packet on a wire come from this address? (RFC 1122 section 3.2.1.3: this network, loopback, multicast and above.)
#[inline]
pub(crate) fn is_martian(source: u32) -> bool {
    let first = source >> 24;
    first == 0 || first == 127 || first >= 224
}
