//! ARP (RFC 826), and packets whose next hop is not known yet.

use super::{Slow, Waiting, endpoint};
use crate::neighbor::{Ask, Held};
use kith_pipeline::counters::DirectCounters;
use kith_pipeline::packet::Packet;
use kith_pipeline::path::Path;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::units::{Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::arp::{self, Arp, Operation};
use kith_wire::ethernet::{self, ETHERTYPE_ARP, Ethernet, MacAddr};
use kith_wire::ipv4;
use kith_wire::shim::Shim;
use kith_wire::udp;
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// Octets of a frame with ARP in it.
const FRAME: usize = ethernet::HEADER_LEN + arp::LEN;

impl<P: Packet> Slow<P> {
    pub(super) fn arp(&mut self, now: Nanos, ingress: PortIndex, mut packet: P) {
        let heard = packet
            .bytes()
            .get(ethernet::HEADER_LEN..)
            .and_then(|payload| Arp::parse(payload).ok().copied());
        let tables = self.publisher.current();
        let (director, _) = endpoint(&tables);
        let (Some(arp), Some(port)) = (heard, self.network(ingress)) else {
            return self.refuse();
        };
        let ((station, sender), (_, target)) = (arp.sender(), arp.target());
        let own = port.mac;
        let ours = target == port.address || target == director && port.on_link(target);
        // RFC 5227 section 2.1.1: who looks whether an address is free has none himself. He is answered, and not learnt.
        let probe = sender.is_unspecified();
        let possible = probe || port.on_link(sender) && sender != port.address && sender != director;
        if station.is_group() || station == MacAddr::ZERO || !possible {
            return self.refuse();
        }
        let asks_us = ours && arp.operation() == Operation::Request;
        if !probe {
            let released = self.neighbors.seen(now, ingress, sender, station, asks_us);
            self.publish_if_changed();
            for waiting in released {
                self.forward(now, waiting);
            }
        }
        if !asks_us {
            return self.counts.consumed.add(1);
        }
        let answer = Arp::new(Operation::Reply, (own, target), (station, sender));
        if write(&mut packet, station, own, &answer) {
            self.send(ingress, packet);
        } else {
            self.refuse();
        }
    }

    pub(super) fn send_request(&mut self, ask: Ask, make: &mut dyn FnMut() -> Option<P>) {
        let Some(port) = self.network(ask.port) else {
            return;
        };
        // No buffer: the next tick asks again.
        let Some(mut packet) = make() else { return };
        let request = Arp::new(
            Operation::Request,
            (port.mac, port.address),
            (MacAddr::ZERO, ask.target),
        );
        let to = ask.station.unwrap_or(MacAddr::BROADCAST);
        let station = port.mac;
        if packet.grow_back(FRAME) && write(&mut packet, to, station, &request) {
            self.counts.originated.add(1);
            self.send(ask.port, packet);
        }
    }

    pub(super) fn neighbor_miss(
        &mut self,
        now: Nanos,
        ingress: PortIndex,
        packet: P,
        make: &mut dyn FnMut() -> Option<P>,
    ) {
        let tables = self.publisher.current();
        let next = receiver(packet.bytes())
            .and_then(|pseudo| tables.session.relay_to(tables.session.pool().index(pseudo)))
            .and_then(|to| tables.route.next(Ipv4Addr::from_bits(to.binding.address())));
        let Some(next) = next else {
            // The session ended meanwhile.
            return self.dropped(DropReason::DestinationUnknown, 1);
        };
        match self
            .neighbors
            .hold(now, next.port, next.hop, Waiting { ingress, packet })
        {
            Held::Waits(None) => {}
            Held::Waits(Some(ask)) => self.send_request(ask, make),
            Held::Known(waiting) => self.forward(now, waiting),
            Held::Full(_) => self.dropped(DropReason::NeighborUnresolved, 1),
        }
    }

    /// Once more through the relay, now that the neighbour is known: everything else may have changed while it waited.
    fn forward(&mut self, now: Nanos, Waiting { ingress, mut packet }: Waiting<P>) {
        let tables = self.publisher.current();
        let shared = self.counts.shared.clone();
        // The worker has counted it for its session.
        let none = DirectCounters::none();
        let mut path = Path::new(&shared.counters, &none);
        let mut verdicts = [Verdict::Drop(DropReason::NeighborUnresolved); BURST];
        let burst = std::slice::from_mut(&mut packet);
        path.process(&tables, ingress, now, burst, &mut verdicts);
        match verdicts[0] {
            Verdict::Transmit(port) => self.send(port, packet),
            // The relay has counted it.
            Verdict::Drop(_) => {}
            Verdict::Punt(PuntReason::SourceMismatch) => self.source_mismatch(now, ingress, packet),
            Verdict::Punt(PuntReason::MtuExceeded) => self.mtu_exceeded(now, ingress, packet),
            Verdict::Punt(_) => self.dropped(DropReason::NeighborUnresolved, 1),
        }
    }
}

/// The destination member of a data packet that the relay has parsed.
fn receiver(frame: &[u8]) -> Option<u32> {
    let data = frame.get(ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN..)?;
    Some(Shim::parse(data).ok()?.0.destination_member.get())
}

/// Writes a whole frame into a packet that is at least as long, and cuts it to that.
fn write<P: Packet>(packet: &mut P, to: MacAddr, from: MacAddr, arp: &Arp) -> bool {
    let Some(excess) = packet.bytes().len().checked_sub(FRAME) else {
        return false;
    };
    let header = Ethernet {
        destination: to,
        source: from,
        ethertype: U16::new(ETHERTYPE_ARP),
    };
    if !packet.shrink_back(excess) {
        return false;
    }
    let (head, body) = packet.bytes_mut().split_at_mut(ethernet::HEADER_LEN);
    head.copy_from_slice(header.as_bytes());
    body.copy_from_slice(arp.as_bytes());
    true
}
