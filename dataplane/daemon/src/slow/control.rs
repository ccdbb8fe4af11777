//! The director's side of the slow path: its datagrams, and what it wants done.

use super::{Slow, time};
use kith_director::server::{Event, Output, TableOp};
use kith_pipeline::outer::{self, Outer};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::pool::Binding;
use kith_pipeline::table::session::RelayTo;
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex};
use kith_wire::ethernet::{self, Ethernet, MacAddr};
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{PseudoIp, Shim};
use kith_wire::udp::Udp;
use std::net::SocketAddrV4;
use tracing::{info, warn};

/// Who sent a datagram, and to which of our addresses.
struct Envelope {
    station: MacAddr,
    from: SocketAddrV4,
    to: SocketAddrV4,
    /// Octets of UDP data.
    len: usize,
}

impl<P: Packet> Slow<P> {
    pub(super) fn control(&mut self, now: Nanos, ingress: PortIndex, mut packet: P) {
        let Some(envelope) = open(&mut packet) else {
            return self.refuse();
        };
        let verdict = self
            .director
            .datagram(time(now), envelope.from, packet.bytes_mut());
        self.obey_director();
        if verdict.is_answered() && self.close(ingress, &envelope, &mut packet) {
            self.send(ingress, packet);
        } else {
            self.refuse();
        }
    }

    /// A data packet whose sender is bound elsewhere: forged, or its NAT changed. It is gone; if a member sent it, it learns
    /// from the challenge that it must show itself.
    pub(super) fn source_mismatch(&mut self, now: Nanos, ingress: PortIndex, mut packet: P) {
        self.dropped(DropReason::SourceMismatch, 1);
        let Some(envelope) = open(&mut packet) else { return };
        let pseudo = Shim::parse(packet.bytes())
            .ok()
            .and_then(|(shim, _)| PseudoIp::new(shim.source_member.get()));
        let Some(pseudo) = pseudo else { return };
        let Ok(challenge) = self
            .director
            .rebound(time(now), envelope.from, pseudo, envelope.len)
        else {
            return;
        };
        // Never longer than what it answers.
        let excess = envelope.len.checked_sub(challenge.len());
        if !excess.is_some_and(|excess| packet.shrink_back(excess)) {
            return;
        }
        packet.bytes_mut().copy_from_slice(&challenge);
        if self.close(ingress, &envelope, &mut packet) {
            self.counts.originated.add(1);
            self.send(ingress, packet);
        }
    }

    /// Does what the director wants done.
    pub(super) fn obey_director(&mut self) {
        while let Some(output) = self.director.poll() {
            match output {
                Output::Journal(entry) => self.journal.push(entry),
                Output::Table(change) => self.apply(change),
                Output::Event(event) => tell(event),
            }
        }
    }

    fn apply(&mut self, change: TableOp) {
        let tables = self.publisher.current();
        let pseudo = match change {
            TableOp::Bind { pseudo, .. } | TableOp::Unbind { pseudo } => pseudo,
        };
        let old = tables.sender.get(pseudo);
        if let Some(old) = old.map(Binding::socket_addr)
            && self.bound.get(&old) == Some(&pseudo)
        {
            self.bound.remove(&old);
        }
        match change {
            TableOp::Bind {
                pseudo,
                bound,
                community,
                mtu,
                sender_only,
            } => {
                // Configurations with community 0 are refused.
                let Some(community) = CommunityIndex::new(community) else {
                    return;
                };
                self.bound.insert(bound, pseudo);
                let binding = Binding::new(bound, community);
                let to = RelayTo { binding, mtu };
                // The director's pool is the tables': an address outside cannot be.
                let _entered = match old {
                    Some(_) => tables.sender.modify(pseudo, binding).map(drop),
                    None => tables.sender.insert(pseudo, binding, self.sender_rate),
                };
                let _entered = match (tables.session.get(pseudo), sender_only) {
                    (None, true) => Ok(()),
                    (Some(_), true) => tables.session.remove(pseudo).map(drop),
                    (Some(_), false) => tables.session.modify(pseudo, to).map(drop),
                    (None, false) => tables.session.insert(pseudo, to),
                };
            }
            TableOp::Unbind { pseudo } => {
                // Nothing is there any more of one who only sent.
                let _gone = tables.session.remove(pseudo);
                let _gone = tables.sender.remove(pseudo);
            }
        }
    }

    /// Puts headers around UDP data: back to where the envelope came from.
    fn close(&self, ingress: PortIndex, envelope: &Envelope, packet: &mut P) -> bool {
        let Some(port) = self.network(ingress) else {
            return false;
        };
        let outer = Outer {
            source: (port.mac, envelope.to),
            destination: (envelope.station, envelope.from),
            checksum: true,
        };
        !envelope.station.is_group() && outer.push(packet).is_ok()
    }
}

/// Takes a frame's headers and padding off; what remains is UDP data.
fn open<P: Packet>(packet: &mut P) -> Option<Envelope> {
    let (ethernet, rest) = Ethernet::parse(packet.bytes()).ok()?;
    let (ip, payload) = Ipv4::parse(rest).ok()?;
    let (udp, data) = Udp::parse(payload).ok()?;
    let envelope = Envelope {
        station: ethernet.source,
        from: SocketAddrV4::new(ip.source(), udp.source.get()),
        to: SocketAddrV4::new(ip.destination(), udp.destination.get()),
        len: data.len(),
    };
    let frame = ethernet::HEADER_LEN + usize::from(ip.total_len());
    let padding = packet.bytes().len().checked_sub(frame)?;
    (packet.shrink_back(padding) && packet.shrink_front(outer::LEN)).then_some(envelope)
}

fn tell(event: Event) {
    match event {
        Event::Opened {
            pseudo,
            key_id,
            bound,
        } => info!(%pseudo, key_id = key_id.0, %bound, "session opened"),
        Event::Moved { pseudo, from, to } => info!(%pseudo, %from, %to, "session moved"),
        Event::Ended { pseudo, key_id, why } => {
            info!(%pseudo, key_id = key_id.0, ?why, "session ended");
        }
        Event::PoolExhausted => warn!("every pseudo address is taken; enlarge director.pseudo_pool"),
    }
}
