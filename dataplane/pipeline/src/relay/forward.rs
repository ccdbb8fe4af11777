//! Second and third stage: may it go there, and the packet that goes.

use super::{Candidate, Headers, Next, Tables};
use crate::Verdict;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::table::session::Binding;
use crate::units::{Nanos, PortIndex};
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// The receiver's binding, if this sender may send this packet to it.
#[inline(always)]
pub(super) fn authorise(tables: &Tables, now: Nanos, packet: &Candidate) -> Result<Binding, Verdict> {
    // Only authorised senders: the session that the shim names must be bound to where the packet really came from.
    let source = tables.sessions.binding(packet.source_session as usize);
    let source = source.ok_or(Verdict::Drop(DropReason::SourceUnknown))?;
    if !source.is_at(packet.source, packet.source_port) {
        return Err(Verdict::Punt(PuntReason::SourceMismatch));
    }
    if let Some(rate) = tables.sender_rate
        && !tables.sessions.admit(packet.source_session as usize, rate, now)
    {
        return Err(Verdict::Drop(DropReason::SourceLimited));
    }
    let destination = tables.sessions.binding(packet.destination_session as usize);
    let destination = destination.ok_or(Verdict::Drop(DropReason::DestinationUnknown))?;
    let path = tables.sessions.path(packet.destination_session as usize);
    if path.sender_only {
        return Err(Verdict::Drop(DropReason::DestinationUnknown));
    }
    if !source.same_community(destination) {
        return Err(Verdict::Drop(DropReason::CommunityMismatch));
    }
    // RFC 1812 section 5.3.1. The time to live goes on counting through a director, so a loop of directors ends.
    if packet.ttl <= 1 {
        return Err(Verdict::Drop(DropReason::TtlExpired));
    }
    if packet.total_len > path.mtu {
        return Err(Verdict::Punt(PuntReason::MtuExceeded));
    }
    Ok(destination)
}

/// The station of the hop before: bursts go through few, so nearly all look-ups are this one comparison.
#[derive(Default)]
pub(super) struct LastHop(Option<(Ipv4Addr, MacAddr)>);

impl LastHop {
    #[inline(always)]
    fn station(&mut self, tables: &Tables, hop: Ipv4Addr) -> Option<MacAddr> {
        match self.0 {
            Some((last, station)) if last == hop => Some(station),
            _ => {
                let station = *tables.neighbors.get(hop)?;
                self.0 = Some((hop, station));
                Some(station)
            }
        }
    }
}

/// Rewrites the outer headers to the receiver's and gives the port to leave by.
#[inline(always)]
pub(super) fn forward<P: Packet>(
    tables: &Tables,
    last_hop: &mut LastHop,
    packet: &mut P,
    to: Binding,
) -> Result<PortIndex, Verdict> {
    let address = Ipv4Addr::from_bits(to.address());
    let (Next { port: index, hop }, port) = tables
        .route_by(address)
        .ok_or(Verdict::Drop(DropReason::RouteUnknown))?;
    let station = last_hop
        .station(tables, hop)
        .ok_or(Verdict::Punt(PuntReason::NeighborMiss))?;
    // The frame was parsed, so it has all headers; if not it is no frame of ours.
    let Ok((
        Headers {
            ethernet, ip, udp, ..
        },
        _,
    )) = Headers::mut_from_prefix(packet.bytes_mut())
    else {
        return Err(Verdict::Drop(DropReason::EthernetTruncated));
    };

    ethernet.source = port.mac;
    ethernet.destination = station;
    let old = (ip.source().to_bits(), ip.destination().to_bits());
    ip.relay(tables.director, address);
    udp.readdress(
        old,
        (tables.director.to_bits(), to.address()),
        tables.udp_port,
        to.port(),
    );
    Ok(index)
}
