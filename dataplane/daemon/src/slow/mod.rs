//! The slow path: everything a worker cannot decide, without I/O.
//!
//! ```text
//!  punt ─┬─ arp ─────────────► neighbours ─► answer, learn, let waiting packets go        see `arp`
//!        ├─ neighbor_miss ───► neighbours: wait, ask                                      see `arp`
//!        ├─ icmp_local ──────► echo answered; too-big to the controller                   see `icmp`
//!        ├─ mtu_exceeded ────► the sender is told                                         see `icmp`
//!        └─ control, ping, source_mismatch, keying, keys_missing ──► the controller       see `punt`
//! ```
//!
//! What keeps links alive stays here, and works while the controller is away: neighbours, echo, path MTU. All that needs a
//! decision about members goes to the controller as packet-in. A gateway's packet that waited goes back to a worker, who has the keys. The
//! host gives packets and time, and then sees to [`Slow::out`], [`Slow::submitted`] and [`Slow::up`]. Answers go back to the station they came from: that keeps no state for a sender who has proved
//! nothing, and needs no ARP.
//!
//! Packets are conserved: `taken + originated = sent + consumed + dropped + held`.

mod arp;
#[cfg(test)]
mod gateway_tests;
mod icmp;
#[cfg(test)]
mod neighbor_tests;
mod punt;
#[cfg(test)]
mod tests;
mod way;

use crate::control::{Control, Written};
use crate::neighbor::{Ask, Limits, Neighbors};
use crate::worker::Shared;
use kith_pipeline::counters::Counter;
use kith_pipeline::meter::{Bucket, Rate};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::route::Hop;
use kith_pipeline::tables::{PuntRates, Tables};
use kith_pipeline::units::{Nanos, PortIndex};
use kith_wire::ethernet::MacAddr;
use std::sync::Arc;

pub use punt::{HandOver, PacketIn};

/// How many packets of each reason a worker may send up.
#[must_use]
pub fn punt_rates() -> PuntRates {
    let mut rates = [Rate {
        per_second: 2_000,
        burst: 256,
    }; PuntReason::COUNT];
    // The controller has finer limits of its own; these only keep one kind from filling the ring.
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
    /// Read, and of no more use, or the controller's.
    pub consumed: Counter,
    /// Handed to the controller, by reason. Those of `source_mismatch` are copies: the packet itself is a drop.
    pub packet_ins: [Counter; PuntReason::COUNT],
    /// Made by the controller; also among [`Counts::originated`].
    pub packet_outs: Counter,
    /// Drops, and sessions' packets that waited for a neighbour.
    pub shared: Arc<Shared>,
}

/// The slow path of one dataplane.
pub struct Slow<P> {
    neighbors: Neighbors<Waiting<P>>,
    control: Arc<Control>,
    /// What controllers wrote when it was last looked at.
    written: Arc<Written>,
    errors: Bucket,
    counts: Counts,
    /// Packets to send, in order.
    pub out: Vec<(PortIndex, P)>,
    /// Packets for a worker to decide about, in order.
    pub submitted: Vec<Submitted<P>>,
    /// Packets for the controller, in order.
    pub up: Vec<PacketIn<P>>,
}

/// A packet that waits for its next hop's station.
#[derive(Debug)]
struct Waiting<P> {
    /// Where it came in; none for one of the controller's that is routed.
    ingress: Option<PortIndex>,
    packet: P,
}

/// A packet that goes through the pipeline as if it had come in there.
#[derive(Debug)]
pub struct Submitted<P> {
    /// By this port.
    pub ingress: PortIndex,
    /// The whole frame.
    pub packet: P,
    /// Have its entries counted it before?
    pub counted: bool,
}

impl<P: Packet> Slow<P> {
    /// The slow path of these tables, which counts here.
    #[must_use]
    pub fn new(control: Arc<Control>, shared: Arc<Shared>, neighbors: Limits) -> Self {
        Self {
            neighbors: Neighbors::new(neighbors),
            written: control.written(),
            control,
            errors: Bucket::default(),
            counts: Counts {
                taken: Counter::default(),
                originated: Counter::default(),
                sent: Counter::default(),
                consumed: Counter::default(),
                packet_ins: std::array::from_fn(|_| Counter::default()),
                packet_outs: Counter::default(),
                shared,
            },
            out: Vec::new(),
            submitted: Vec::new(),
            up: Vec::new(),
        }
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
        self.obey(now);
        match reason {
            PuntReason::Arp => self.arp(now, ingress, packet),
            PuntReason::NeighborMiss => self.neighbor_miss(now, ingress, packet, make),
            PuntReason::IcmpLocal => self.icmp(ingress, packet),
            PuntReason::MtuExceeded => self.mtu_exceeded(now, ingress, packet),
            PuntReason::Control
            | PuntReason::Ping
            | PuntReason::SourceMismatch
            | PuntReason::Keying
            | PuntReason::KeysMissing => {
                self.hand_over(ingress, reason, packet);
            }
        }
    }

    /// Time passes. To be called about ten times a second.
    pub fn tick(&mut self, now: Nanos, make: &mut dyn FnMut() -> Option<P>) {
        self.obey(now);
        let (mut asks, mut lost, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        self.neighbors.tick(now, &mut asks, &mut lost, &mut gone);
        for neighbor in gone {
            self.control.forget(neighbor);
        }
        for ask in asks {
            self.send_request(ask, make);
        }
        self.dropped(DropReason::NeighborUnresolved, lost.len() as u64);
        self.control.reclaim();
    }

    /// Says on every link who is there, and asks for the gateways, so that the first packets need not wait.
    pub fn start(&mut self, now: Nanos, make: &mut dyn FnMut() -> Option<P>) {
        let tables = self.control.tables();
        for (port, own) in tables.ingress_port.iter() {
            let announcement = Ask {
                neighbor: OnLink {
                    port,
                    address: own.address,
                },
                station: None,
            };
            self.send_request(announcement, make);
        }
        for (_, hop) in tables.route.iter() {
            let Hop::Via { port, gateway } = hop else { continue };
            let neighbor = OnLink {
                port,
                address: gateway,
            };
            if let Some(ask) = self.neighbors.prepare(now, neighbor) {
                self.send_request(ask, make);
            }
        }
    }

    /// The tables that workers use now.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.control.tables()
    }

    /// Neighbours for listings: who, which station if known, state in a word.
    pub fn neighbors(&self) -> impl Iterator<Item = (OnLink, Option<MacAddr>, &'static str)> {
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

    /// A packet of [`Slow::out`] or [`Slow::submitted`] is on its way to a worker, or could not be given to one.
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

    /// Looks whether controllers wrote or took back neighbours meanwhile.
    fn obey(&mut self, now: Nanos) {
        let written = self.control.written();
        if Arc::ptr_eq(&written, &self.written) {
            return;
        }
        let before = std::mem::replace(&mut self.written, written.clone());
        for neighbor in before.keys().filter(|neighbor| !written.contains_key(neighbor)) {
            self.neighbors.write(*neighbor, None);
        }
        let new = written
            .iter()
            .filter(|(key, station)| before.get(key) != Some(station));
        for (neighbor, station) in new {
            for waiting in self.neighbors.write(*neighbor, Some(*station)) {
                self.forward(now, waiting);
            }
        }
    }
}
