//! The slow path: everything a worker cannot decide, without I/O.
//!
//! ```text
//!  punt ─┬─ arp ────────────► neighbours ─► answer, learn, let waiting packets go        see `arp`
//!        ├─ neighbor_miss ──► neighbours: wait, ask                                      see `arp`
//!        ├─ icmp_local ─────► echo answered; too-big lowers a session's path MTU         see `icmp`
//!        ├─ mtu_exceeded ───► the sender is told                                         see `icmp`
//!        ├─ control, ping ──► director ─► answer, session table, journal                 see `control`
//!        └─ source_mismatch ► director ─► a challenge to where the packet came from      see `control`
//! ```
//!
//! The host gives packets and time, and then does what stands in [`Slow::journal`] and [`Slow::out`], in this order. Answers go back
//! to the station they came from: that keeps no state for a sender who has proved nothing, and needs no ARP.
//!
//! Packets are conserved: `taken + originated = sent + consumed + dropped + held`.

mod arp;
mod control;
mod icmp;
#[cfg(test)]
mod tests;

use crate::link::Network;
use crate::neighbor::{Ask, Limits, Neighbors};
use crate::worker::Shared;
use kith_director::Time;
use kith_director::journal::Entry;
use kith_director::server::Director;
use kith_pipeline::counters::Counter;
use kith_pipeline::meter::{Bucket, Rate};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::exact::ExactTable;
use kith_pipeline::table::snapshot::{Publisher, Reader};
use kith_pipeline::tables::{PuntRates, Tables};
use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::shim::PseudoIp;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// How many packets of each reason a worker may send up.
#[must_use]
pub fn punt_rates() -> PuntRates {
    let mut rates = [Rate {
        per_second: 2_000,
        burst: 256,
    }; PuntReason::COUNT];
    // The director has finer limits of its own; these only keep one kind from filling the ring.
    rates[PuntReason::Control as usize] = Rate {
        per_second: 50_000,
        burst: 512,
    };
    rates[PuntReason::Ping as usize] = Rate {
        per_second: 20_000,
        burst: 512,
    };
    rates[PuntReason::NeighborMiss as usize] = Rate {
        per_second: 20_000,
        burst: 512,
    };
    rates
}

/// ICMP errors sent at most (RFC 1812 section 4.3.2.8).
const ERRORS: Rate = Rate {
    per_second: 500,
    burst: 100,
};

/// What the slow path counts, beside drops.
#[derive(Debug)]
pub struct Counts {
    /// From workers.
    pub taken: Counter,
    /// Made here.
    pub originated: Counter,
    /// To workers.
    pub sent: Counter,
    /// Read, and of no more use.
    pub consumed: Counter,
    /// Drops, and sessions' packets that waited for a neighbour.
    pub shared: Arc<Shared>,
}

/// The slow path of one dataplane.
pub struct Slow<P> {
    director: Director,
    networks: Vec<Network>,
    sender_rate: Option<Rate>,
    neighbors: Neighbors<Waiting<P>>,
    publisher: Publisher<Tables>,
    generation: u64,
    /// Which session is bound to an address: routers quote no more of a packet than that.
    bound: HashMap<SocketAddrV4, PseudoIp>,
    errors: Bucket,
    counts: Counts,
    /// Packets to send, in order.
    pub out: Vec<(PortIndex, P)>,
    /// What to append to the journal before anything of `out` is sent.
    pub journal: Vec<Entry>,
}

/// A packet that waits for its next hop's station.
#[derive(Debug)]
struct Waiting<P> {
    ingress: PortIndex,
    packet: P,
}

impl<P: Packet> Slow<P> {
    /// The slow path of these tables on these networks, whose sessions are what the director says.
    #[must_use]
    pub fn new(
        tables: Tables,
        networks: Vec<Network>,
        sender_rate: Option<Rate>,
        director: Director,
        neighbors: Limits,
    ) -> Self {
        let shared = Shared::new(tables.session.pool().size());
        let mut slow = Self {
            director,
            networks,
            sender_rate,
            neighbors: Neighbors::new(neighbors),
            publisher: Publisher::new(tables),
            generation: 1,
            bound: HashMap::new(),
            errors: Bucket::default(),
            counts: Counts {
                taken: Counter::default(),
                originated: Counter::default(),
                sent: Counter::default(),
                consumed: Counter::default(),
                shared,
            },
            out: Vec::new(),
            journal: Vec::new(),
        };
        // A director that was restored has sessions to enter.
        slow.obey_director();
        slow.journal.clear();
        slow
    }

    /// Deals with a packet that a worker sent up. `make` gives empty packets with headroom, as long as there are any.
    pub fn packet(
        &mut self,
        now: Nanos,
        ingress: PortIndex,
        reason: PuntReason,
        packet: P,
        make: &mut dyn FnMut() -> Option<P>,
    ) {
        self.counts.taken.add(1);
        match reason {
            PuntReason::Arp => self.arp(now, ingress, packet),
            PuntReason::NeighborMiss => self.neighbor_miss(now, ingress, packet, make),
            PuntReason::IcmpLocal => self.icmp(now, ingress, packet),
            PuntReason::MtuExceeded => self.mtu_exceeded(now, ingress, packet),
            PuntReason::Control | PuntReason::Ping => self.control(now, ingress, packet),
            PuntReason::SourceMismatch => self.source_mismatch(now, ingress, packet),
            // A gateway's; this is a director.
            PuntReason::Keying | PuntReason::KeysMissing => self.refuse(),
        }
        self.publish_if_changed();
    }

    /// Time passes. To be called about ten times a second.
    pub fn tick(&mut self, now: Nanos, make: &mut dyn FnMut() -> Option<P>) {
        self.director.tick(time(now));
        self.obey_director();
        let (mut asks, mut lost) = (Vec::new(), Vec::new());
        self.neighbors.tick(now, &mut asks, &mut lost);
        for ask in asks {
            self.send_request(ask, make);
        }
        self.dropped(DropReason::NeighborUnresolved, lost.len() as u64);
        self.publish_if_changed();
        self.publisher.reclaim();
    }

    /// Says on every link who is there, and asks for the gateways, so that the first packets need not wait.
    pub fn start(&mut self, now: Nanos, make: &mut dyn FnMut() -> Option<P>) {
        for (index, network) in (0u8..).zip(self.networks.clone()) {
            let port_index = PortIndex(index);
            let announcement = Ask {
                port: port_index,
                target: network.address,
                station: None,
            };
            self.send_request(announcement, make);
            let ask = network
                .gateway
                .and_then(|gateway| self.neighbors.prepare(now, port_index, gateway));
            if let Some(ask) = ask {
                self.send_request(ask, make);
            }
        }
    }

    /// A reader of the tables, for a worker.
    #[must_use]
    pub fn reader(&self) -> Reader<Tables> {
        self.publisher.reader()
    }

    /// The tables that workers use now.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.publisher.current()
    }

    /// Their number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The ports and their networks.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    fn network(&self, port: PortIndex) -> Option<&Network> {
        self.networks.get(usize::from(port.0))
    }

    /// The director.
    #[must_use]
    pub fn director(&self) -> &Director {
        &self.director
    }

    /// Neighbours for listings.
    pub fn neighbors(
        &self,
    ) -> impl Iterator<
        Item = (
            std::net::Ipv4Addr,
            PortIndex,
            Option<kith_wire::ethernet::MacAddr>,
            &'static str,
        ),
    > {
        self.neighbors.list()
    }

    /// How many neighbours there can be.
    #[must_use]
    pub fn neighbor_capacity(&self) -> usize {
        self.neighbors.capacity()
    }

    /// What is counted here.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Packets that wait for neighbours.
    #[must_use]
    pub fn held(&self) -> usize {
        self.neighbors.held()
    }

    /// A packet of [`Slow::out`] is on its way to a worker, or could not be given to one.
    pub fn delivered(&self, taken: bool) {
        if taken {
            self.counts.sent.add(1);
        } else {
            self.dropped(DropReason::TransmitQueueFull, 1);
        }
    }

    fn send(&mut self, port: PortIndex, packet: P) {
        self.out.push((port, packet));
    }

    fn dropped(&self, reason: DropReason, count: u64) {
        self.counts.shared.counters.dropped(reason).add(count);
    }

    fn refuse(&self) {
        self.dropped(DropReason::SlowPathRefused, 1);
    }

    fn publish_if_changed(&mut self) {
        if !self.neighbors.take_changed() {
            return;
        }
        let current = self.publisher.current();
        let next = Tables {
            neighbor: ExactTable::new(self.neighbors.stations()),
            ..Tables::clone(&current)
        };
        drop(current);
        self.publisher.publish(next);
        self.generation += 1;
    }
}

/// The director's public address and its port.
fn endpoint(tables: &Tables) -> (std::net::Ipv4Addr, u16) {
    match tables.endpoint {
        Role::Director { address, udp_port } => (address, udp_port),
        Role::Gateway { .. } | Role::Nothing => (std::net::Ipv4Addr::UNSPECIFIED, 0),
    }
}

/// The director's clock has milliseconds.
fn time(now: Nanos) -> Time {
    Time::from_millis(now.0 / 1_000_000)
}
