//! ARP (RFC 826), and packets whose next hop is not known yet.

use super::way::{Way, is_on_link, is_ours};
use super::{Slow, Submitted, Waiting};
use crate::neighbor::{Ask, Held};
use kith_pipeline::packet::Packet;
use kith_pipeline::path::Path;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::route::Next;
use kith_pipeline::units::{Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::arp::{self, Arp, Operation};
use kith_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::Ipv4;
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
        let tables = self.control.tables();
        let (Some(arp), Some(port)) = (heard, tables.ingress_port.get(ingress)) else {
            return self.refuse();
        };
        let ((station, sender), (_, target)) = (arp.sender(), arp.target());
        let ours = is_ours(&tables, ingress, target);
        // RFC 5227 section 2.1.1: who looks whether an address is free has none himself. He is answered, and not learnt.
        let probe = sender.is_unspecified();
        let possible = probe || is_on_link(&tables, ingress, sender) && !is_ours(&tables, ingress, sender);
        if station.is_group() || station == MacAddr::ZERO || !possible {
            return self.refuse();
        }
        let asks_us = ours && arp.operation() == Operation::Request;
        if !probe {
            self.seen(now, ingress, sender, station, asks_us);
        }
        if !asks_us {
            return self.counts.consumed.add(1);
        }
        let answer = Arp::new(Operation::Reply, (port.station, target), (station, sender));
        if write(&mut packet, station, port.station, &answer) {
            self.send(ingress, packet);
        } else {
            self.refuse();
        }
    }

    /// A neighbour showed its station: the table learns it, and who waited for it goes on.
    fn seen(&mut self, now: Nanos, port: PortIndex, address: Ipv4Addr, station: MacAddr, create: bool) {
        let neighbor = OnLink { port, address };
        let seen = self.neighbors.seen(now, neighbor, station, create);
        if seen.is_new && !self.control.learn(neighbor, station) {
            // The table is full. It stays unknown, and is asked for again when it is needed.
            self.neighbors.forget(neighbor);
        }
        for waiting in seen.released {
            self.forward(now, waiting);
        }
    }

    pub(super) fn send_request(&mut self, ask: Ask, make: &mut dyn FnMut() -> Option<P>) {
        let tables = self.control.tables();
        let Some(port) = tables.ingress_port.get(ask.neighbor.port) else {
            return;
        };
        // No buffer: the next tick asks again.
        let Some(mut packet) = make() else { return };
        let request = Arp::new(
            Operation::Request,
            (port.station, port.address),
            (MacAddr::ZERO, ask.neighbor.address),
        );
        let to = ask.station.unwrap_or(MacAddr::BROADCAST);
        if packet.grow_back(FRAME) && write(&mut packet, to, port.station, &request) {
            self.counts.originated.add(1);
            self.send(ask.neighbor.port, packet);
        }
    }

    pub(super) fn neighbor_miss(
        &mut self,
        now: Nanos,
        ingress: PortIndex,
        packet: P,
        make: &mut dyn FnMut() -> Option<P>,
    ) {
        let tables = self.control.tables();
        let next = Way::of(&tables, ingress, packet.bytes()).and_then(|way| way.next(&tables));
        let Some(Next { port, hop }) = next else {
            // The entry that led there is gone meanwhile.
            return self.dropped(DropReason::NeighborUnresolved, 1);
        };
        let neighbor = OnLink { port, address: hop };
        let ingress = Some(ingress);
        self.wait(now, neighbor, Waiting { ingress, packet }, make);
    }

    /// A packet of the controller's for whom the tables lead to: stations are filled in, and it goes.
    pub(super) fn route(&mut self, now: Nanos, mut packet: P, make: &mut dyn FnMut() -> Option<P>) {
        match self.way(&packet) {
            Err(reason) => self.dropped(reason, 1),
            Ok((hop, None)) => {
                let waiting = Waiting {
                    ingress: None,
                    packet,
                };
                self.wait(now, hop, waiting, make);
            }
            Ok((hop, Some(header))) => {
                packet.bytes_mut()[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
                self.send(hop.port, packet);
            }
        }
    }

    /// The next hop of an IPv4 packet behind an Ethernet header of no meaning, and the header to reach it with, if its station is known.
    fn way(&self, packet: &P) -> Result<(OnLink, Option<Ethernet>), DropReason> {
        let frame = packet.bytes();
        let ip = frame
            .get(ethernet::HEADER_LEN..)
            .ok_or(DropReason::EthernetTruncated)?;
        let (ip, _) = Ipv4::parse(ip).map_err(DropReason::outer_ipv4)?;
        let tables = self.control.tables();
        let next = tables
            .route
            .next(ip.destination())
            .ok_or(DropReason::RouteUnknown)?;
        if ip.total_len() > self.control.mtu(next.port) {
            return Err(DropReason::MtuExceeded);
        }
        let hop = OnLink {
            port: next.port,
            address: next.hop,
        };
        let Some(destination) = tables.neighbor.get(hop) else {
            return Ok((hop, None));
        };
        let leaves_by = tables.egress_port.get(hop.port).ok_or(DropReason::RouteUnknown)?;
        let header = Ethernet {
            destination: *destination,
            source: leaves_by.station,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        Ok((hop, Some(header)))
    }

    fn wait(
        &mut self,
        now: Nanos,
        neighbor: OnLink,
        waiting: Waiting<P>,
        make: &mut dyn FnMut() -> Option<P>,
    ) {
        if self.control.tables().neighbor.get(neighbor).is_none() {
            // A controller deleted what was learnt: it is to be learnt anew.
            self.neighbors.forget(neighbor);
        }
        match self.neighbors.hold(now, neighbor, waiting) {
            Held::Waits(None) => {}
            Held::Waits(Some(ask)) => self.send_request(ask, make),
            Held::Known(waiting) => self.forward(now, waiting),
            Held::Full(_) => self.dropped(DropReason::NeighborUnresolved, 1),
        }
    }

    /// Once more through the pipeline, now that the neighbour is known: everything else may have changed while it waited.
    /// A gateway's goes back to a worker: only workers have keys.
    pub(super) fn forward(&mut self, now: Nanos, Waiting { ingress, mut packet }: Waiting<P>) {
        let tables = self.control.tables();
        let Some(ingress) = ingress else {
            // It has been asked for already; a neighbour that is gone again at once is not waited for twice.
            return self.route(now, packet, &mut || None);
        };
        if let Role::Gateway { .. } = tables.endpoint {
            return self.submitted.push(Submitted {
                ingress,
                packet,
                counted: true,
            });
        }
        let shared = self.counts.shared.clone();
        let mut path = Path::new(&shared.counters, &shared.direct);
        let mut verdicts = [Verdict::Drop(DropReason::NeighborUnresolved); BURST];
        let burst = std::slice::from_mut(&mut packet);
        path.process(&tables, ingress, now, burst, &mut verdicts);
        match verdicts[0] {
            Verdict::Transmit(port) => self.send(port, packet),
            // The pipeline has counted it.
            Verdict::Drop(_) => {}
            Verdict::Punt(reason @ PuntReason::SourceMismatch) => self.hand_over(ingress, reason, packet),
            Verdict::Punt(reason @ (PuntReason::Keying | PuntReason::KeysMissing)) => {
                self.hand_over(ingress, reason, packet);
            }
            Verdict::Punt(PuntReason::MtuExceeded) => self.mtu_exceeded(now, ingress, packet),
            Verdict::Punt(_) | Verdict::HandOver(_) => self.dropped(DropReason::NeighborUnresolved, 1),
        }
    }
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
