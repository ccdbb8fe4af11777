//! From a tunnel onto a LAN. The time to live stays: it was counted on the way out.

use super::{Context, translate};
use crate::Verdict;
use crate::counters::AssociationCounters;
use crate::egress::{LastWay, Way};
use crate::host;
use crate::host::decap::{IKE_PORT, KEYING_PORT};
use crate::host::transport::{self, Opened};
use crate::outer;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::table::association::OpenWith;
use crate::table::local::InCommunity;
use crate::table::member::Pair;
use crate::table::policy::Decision;
use crate::table::virtual_address::VirtualAddress;
use crate::units::PortIndex;
use kith_esp::Inbound;
use kith_esp::aead::Aead;
use kith_wire::esp;
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP, PROTOCOL_UDP};
use kith_wire::{shim, udp};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// What stands before the virtual packet.
const FRONT: usize = outer::LEN + shim::LEN;

/// A packet that may be opened, and where it goes if it may pass.
struct Cleared {
    /// Octets of the virtual packet, as sealed.
    total_len: usize,
    association: OpenWith,
    /// The address that stands in for the sender on the LAN, and the device's own.
    addresses: (Ipv4Addr, Ipv4Addr),
    way: Way,
}

/// Decides about a frame whose outer headers and shim are sound and for this gateway.
pub(super) fn process<P: Packet, A: Aead>(
    sas: &mut [Option<Box<Inbound<A>>>],
    seen: &AssociationCounters,
    context: &Context<'_>,
    last_way: &mut LastWay,
    packet: &mut P,
) -> Result<PortIndex, Verdict> {
    let cleared = clear(context, last_way, packet.bytes())?;
    let sa = sas
        .get_mut(cleared.association.sa.0 as usize)
        .and_then(Option::as_mut);
    let sa = sa.ok_or(Verdict::Drop(DropReason::EspSpiUnknown))?;
    let delivered = deliver(sa, context, &cleared, packet);
    if let Some(seen) = seen.inbound(cleared.association.sa) {
        seen.show(sa.usage());
        if delivered == Err(DropReason::EspDummy) {
            seen.dummies.add(1);
        }
    }
    delivered.map_err(Verdict::Drop)?;
    Ok(cleared.way.port)
}

/// All that may punt; reads only.
fn clear(context: &Context<'_>, last_way: &mut LastWay, frame: &[u8]) -> Result<Cleared, Verdict> {
    let drop = Verdict::Drop;
    let tables = context.tables;
    let (ip, payload) = inner(frame).map_err(drop)?;
    match ip.protocol() {
        PROTOCOL_ESP => {}
        PROTOCOL_UDP if is_keying(payload) => return Err(Verdict::Punt(PuntReason::Keying)),
        _ => return Err(drop(DropReason::CleartextRefused)),
    }
    if payload.len() < esp::HEADER_LEN {
        return Err(drop(DropReason::EspTruncated));
    }
    let spi = payload.first_chunk().map_or(0, |spi| u32::from_be_bytes(*spi));
    let (association, index) = tables
        .association
        .get(spi)
        .ok_or(drop(DropReason::EspSpiUnknown))?;
    let OpenWith {
        community,
        source,
        destination,
        ..
    } = *association;
    if ip.destination() != destination {
        return Err(drop(DropReason::VirtualNotOurs));
    }
    // In transport mode nothing but the association says who sent it.
    if ip.source() != source {
        return Err(drop(DropReason::VirtualSourceSpoofed));
    }
    context.owner.check(association.sa)?;
    context
        .direct
        .association
        .add(index as usize, u64::from(ip.total_len()));

    let member = VirtualAddress {
        community,
        address: destination,
    };
    let device = tables.virtual_destination.get(member);
    let device = *device.ok_or(drop(DropReason::VirtualNotOurs))?;
    let sender = InCommunity {
        port: device.port,
        community,
        address: source,
    };
    let stand_in = tables.virtual_source.get(sender);
    let stand_in = *stand_in.ok_or(drop(DropReason::MemberUnknown))?;
    Ok(Cleared {
        total_len: usize::from(ip.total_len()),
        association: *association,
        addresses: (stand_in, device.address),
        way: last_way.on_link(tables, device)?,
    })
}

/// The virtual packet behind a shim. It is all there is: octets behind it are not padding, they are a lie.
fn inner(frame: &[u8]) -> Result<(&Ipv4, &[u8]), DropReason> {
    let outer = frame.get(ethernet::HEADER_LEN..).unwrap_or_default();
    let (_, payload) = Ipv4::parse(outer).map_err(DropReason::outer_ipv4)?;
    let body = payload.get(udp::HEADER_LEN + shim::LEN..);
    let body = body.ok_or(DropReason::ShimTruncated)?;
    let (ip, payload) = Ipv4::parse(body).map_err(DropReason::virtual_ipv4)?;
    if usize::from(ip.total_len()) != body.len() {
        return Err(DropReason::VirtualLength);
    }
    Ok((ip, payload))
}

/// Key agreement comes in clear. Whether its length and checksum are right, its receiver judges.
fn is_keying(payload: &[u8]) -> bool {
    let port = payload
        .get(2..4)
        .map(|port| u16::from_be_bytes([port[0], port[1]]));
    payload.len() >= udp::HEADER_LEN && matches!(port, Some(IKE_PORT | KEYING_PORT))
}

/// Opens, and makes the frame for the LAN.
fn deliver<P: Packet, A: Aead>(
    sa: &mut Inbound<A>,
    context: &Context<'_>,
    cleared: &Cleared,
    packet: &mut P,
) -> Result<(), DropReason> {
    let padding = packet.bytes().len().checked_sub(FRONT + cleared.total_len);
    if !packet.shrink_back(padding.ok_or(DropReason::VirtualLength)?) || !packet.shrink_front(FRONT) {
        return Err(DropReason::VirtualLength);
    }
    match transport::open(packet, sa, context.now)? {
        Opened::Packet => {}
        Opened::Fragment => return Err(DropReason::VirtualFragment),
        // Nothing for a device: it said that its sender is alive.
        Opened::Dummy => return Err(DropReason::EspDummy),
    }
    let association = &cleared.association;
    let pair = Pair {
        community: association.community,
        source: association.source,
        destination: association.destination,
    };
    let bytes = packet.bytes_mut();
    let (ip, payload) = Ipv4::parse(bytes).map_err(DropReason::virtual_ipv4)?;
    if context.tables.policy.decide(translate::flow(pair, ip, payload)) == Decision::Deny {
        return Err(DropReason::PolicyDenied);
    }
    // What our side may send that way is as narrow as what the member may send.
    translate::translate(bytes, cleared.addresses, host::mss(association.mtu))?;
    if !packet.grow_front(ethernet::HEADER_LEN) {
        return Err(DropReason::BufferRoom);
    }
    let header = Ethernet {
        destination: cleared.way.next,
        source: cleared.way.station,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    packet.bytes_mut()[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
    Ok(())
}

const _: () = assert!(FRONT == ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN + shim::LEN);
