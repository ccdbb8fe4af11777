//! From a LAN into a tunnel.

use super::{Context, translate};
use crate::Verdict;
use crate::counters::AssociationCounters;
use crate::egress::{LastWay, Way};
use crate::host::{self, transport};
use crate::outer::Outer;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::table::local::{FromMember, InCommunity};
use crate::table::member::{Pair, SealTo, Tunnel};
use crate::table::neighbor::OnLink;
use crate::table::policy::Decision;
use crate::units::PortIndex;
use kith_esp::aead::Aead;
use kith_esp::{Outbound, sealed_overhead};
use kith_wire::ethernet;
use kith_wire::ipv4::{self, Ipv4};
use kith_wire::shim::{self, DataType, PseudoIp, Shim};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::network_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

/// A packet that may go, and how.
struct Cleared {
    total_len: usize,
    from: FromMember,
    /// Virtual address of the member it is for.
    to: Ipv4Addr,
    tunnel: SealTo,
    way: Way,
    /// Of the port that it leaves by.
    address: Ipv4Addr,
}

/// Decides about a frame whose Ethernet and IPv4 headers are sound, and which is not for the gateway itself.
pub(super) fn process<P: Packet, A: Aead>(
    sas: &mut [Option<Box<Outbound<A>>>],
    seen: &AssociationCounters,
    context: &Context<'_>,
    last_way: &mut LastWay,
    packet: &mut P,
) -> Result<PortIndex, Verdict> {
    let cleared = clear(context, last_way, packet.bytes())?;
    let sa = sas.get_mut(cleared.tunnel.sa.0 as usize).and_then(Option::as_mut);
    let sa = sa.ok_or(Verdict::Drop(DropReason::KeysMissing))?;
    send(sa, context, &cleared, packet).map_err(Verdict::Drop)?;
    if let Some(seen) = seen.outbound(cleared.tunnel.sa) {
        seen.show(sa.usage());
    }
    Ok(cleared.way.port)
}

/// All that may punt; reads only.
fn clear(context: &Context<'_>, last_way: &mut LastWay, frame: &[u8]) -> Result<Cleared, Verdict> {
    let drop = Verdict::Drop;
    let tables = context.tables;
    let rest = frame.get(ethernet::HEADER_LEN..).unwrap_or_default();
    let (ip, payload) = Ipv4::parse(rest).map_err(|why| drop(DropReason::outer_ipv4(why)))?;

    let port = context.ingress;
    let address = ip.destination();
    let to = tables.local_destination.get(OnLink { port, address });
    let to = to.ok_or(drop(DropReason::Ipv4NotOurs))?;
    let source = InCommunity {
        port,
        community: to.community,
        address: ip.source(),
    };
    let from = tables.local_source.get(source);
    let from = *from.ok_or(drop(DropReason::LocalUnknown))?;

    let pair = Pair {
        community: to.community,
        source: from.address,
        destination: to.address,
    };
    if tables.policy.decide(translate::flow(pair, ip, payload)) == Decision::Deny {
        return Err(drop(DropReason::PolicyDenied));
    }
    let (tunnel, index) = tables.member.get(pair).ok_or(drop(DropReason::MemberUnknown))?;
    let Tunnel::SealTo(tunnel) = *tunnel else {
        return Err(Verdict::Punt(PuntReason::KeysMissing));
    };
    // RFC 1812 section 5.3.1. A gateway is a hop on the way out; so every loop of gateways ends.
    if ip.ttl() <= 1 {
        return Err(drop(DropReason::TtlExpired));
    }
    if outer_len(payload.len()) > usize::from(tunnel.mtu) {
        return Err(Verdict::Punt(PuntReason::MtuExceeded));
    }
    context.owner.check(tunnel.sa)?;
    context
        .direct
        .member
        .add(index as usize, u64::from(ip.total_len()));
    let way = last_way.to(tables, *tunnel.address.ip())?;
    let leaves_by = tables.ingress_port.get(way.port);
    Ok(Cleared {
        total_len: usize::from(ip.total_len()),
        from,
        to: to.address,
        tunnel,
        way,
        address: leaves_by.ok_or(drop(DropReason::RouteUnknown))?.address,
    })
}

/// Octets of the outer packet around a payload of so many.
fn outer_len(payload_len: usize) -> usize {
    shim::OUTER_OVERHEAD + ipv4::HEADER_LEN + payload_len + sealed_overhead(payload_len)
}

/// The packet as it goes.
fn send<P: Packet, A: Aead>(
    sa: &mut Outbound<A>,
    context: &Context<'_>,
    cleared: &Cleared,
    packet: &mut P,
) -> Result<(), DropReason> {
    let Cleared {
        from, tunnel, way, ..
    } = cleared;
    // Octets behind the total length are link padding.
    let padding = packet
        .bytes()
        .len()
        .checked_sub(ethernet::HEADER_LEN + cleared.total_len);
    if !packet.shrink_back(padding.ok_or(DropReason::Ipv4Length)?)
        || !packet.shrink_front(ethernet::HEADER_LEN)
    {
        return Err(DropReason::Ipv4Length);
    }
    if let Ok((ip, _)) = Ipv4::mut_from_prefix(packet.bytes_mut()) {
        ip.decrement_ttl();
    }
    let mss = host::mss(tunnel.mtu);
    translate::translate(packet.bytes_mut(), (from.address, cleared.to), mss)?;
    // That the keys are to be renewed soon is for their owner to see.
    let _lifetime = transport::seal(packet, sa, context.now)?;

    let pseudo = |address: Option<PseudoIp>| U32::new(address.map_or(0, PseudoIp::to_bits));
    let mut shim = Shim::new(DataType::Virtual);
    shim.source_director = U32::new(from.director.to_bits());
    shim.destination_director = U32::new(tunnel.director.to_bits());
    shim.source_member = pseudo(from.pseudo);
    shim.destination_member = pseudo(tunnel.pseudo);
    if !packet.grow_front(shim::LEN) {
        return Err(DropReason::BufferRoom);
    }
    packet.bytes_mut()[..shim::LEN].copy_from_slice(shim.as_bytes());
    let outer = Outer {
        source: (way.station, SocketAddrV4::new(cleared.address, context.udp_port)),
        destination: (way.next, tunnel.address),
        checksum: false,
    };
    outer.push(packet)
}
