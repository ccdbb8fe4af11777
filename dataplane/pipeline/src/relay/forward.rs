//! Second and third stage: may it go there, and the packet that goes.

use super::{Candidate, Director, Headers};
use crate::Verdict;
use crate::egress::LastWay;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::table::pool::Binding;
use crate::units::{Nanos, PortIndex};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// The receiver's binding, if this sender may send this packet to it. `limited`: some sender has a limit.
#[inline(always)]
pub(crate) fn authorise(
    director: &Director<'_>,
    limited: bool,
    now: Nanos,
    packet: &Candidate,
) -> Result<Binding, Verdict> {
    let tables = director.tables;
    // Only authorised senders: whom the shim names must be bound to where the packet really came from.
    let sender = tables.sender.binding(packet.sender as usize);
    let sender = sender.ok_or(Verdict::Drop(DropReason::SourceUnknown))?;
    if !sender.is_at(packet.source, packet.source_port) {
        return Err(Verdict::Punt(PuntReason::SourceMismatch));
    }
    if limited && !tables.sender.admit(packet.sender as usize, now) {
        return Err(Verdict::Drop(DropReason::SourceLimited));
    }
    let session = tables.session.relay_to(packet.session as usize);
    let session = session.ok_or(Verdict::Drop(DropReason::DestinationUnknown))?;
    if !sender.same_community(session.binding) {
        return Err(Verdict::Drop(DropReason::CommunityMismatch));
    }
    // RFC 1812 section 5.3.1. The time to live goes on counting through a director, so a loop of directors ends.
    if packet.ttl <= 1 {
        return Err(Verdict::Drop(DropReason::TtlExpired));
    }
    if packet.total_len > session.mtu {
        return Err(Verdict::Punt(PuntReason::MtuExceeded));
    }
    Ok(session.binding)
}

/// Rewrites the outer headers to the receiver's and gives the port to leave by.
#[inline(always)]
pub(crate) fn forward<P: Packet>(
    director: &Director<'_>,
    last_way: &mut LastWay,
    packet: &mut P,
    to: Binding,
) -> Result<PortIndex, Verdict> {
    let address = Ipv4Addr::from_bits(to.address());
    let way = last_way.to(director.tables, address)?;
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

    ethernet.source = way.station;
    ethernet.destination = way.next;
    let old = (ip.source().to_bits(), ip.destination().to_bits());
    ip.relay(director.address, address);
    udp.readdress(
        old,
        (director.address.to_bits(), to.address()),
        director.udp_port,
        to.port(),
    );
    Ok(way.port)
}
