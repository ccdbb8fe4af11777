//! One worker's path: what becomes of each frame of a burst, whatever the node is.
//!
//! ```text
//!  burst ► of a director: beyond doubt one to relay? ─ yes ─► all sessions touched ► relay ─┐
//!            │ no                                                  ▲                         ├─► verdicts, counted
//!            └► own station ► ipv4 ► own address? ─┬ director ─────┘                         │
//!               arp, icmp, control, ping: punt      └ gateway ─► outbound, inbound ──────────┘
//! ```
//!
//! What a director relays takes the short way, in which no header is looked at twice; everything else takes the long one, which knows both
//! roles and has a name for all that is wrong. Both give the same candidates. What is punted goes up as it came, so that the slow
//! path sees it.

use crate::counters::{Counters, DirectCounters};
use crate::egress::LastWay;
use crate::gateway::{Context, Gateway};
use crate::meter::Bucket;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::receive::{Arrived, receive};
use crate::relay::{self, Candidate, Director};
use crate::table::endpoint::Role;
use crate::tables::Tables;
use crate::units::{Nanos, PortIndex};
use crate::{BURST, Verdict};
use kith_esp::Millis;
use kith_esp::aead::{Aead, DefaultAead};

/// One worker's path.
pub struct Path<'a, A: Aead = DefaultAead> {
    counters: &'a Counters,
    direct: &'a DirectCounters,
    /// For packets whose entries have counted them before.
    uncounted: DirectCounters,
    punts: [Bucket; PuntReason::COUNT],
    gateway: Gateway<A>,
}

impl<'a> Path<'a> {
    /// A path that counts here, with room for no security association.
    #[must_use]
    pub fn new(counters: &'a Counters, direct: &'a DirectCounters) -> Self {
        Self::with_gateway(counters, direct, Gateway::new(0))
    }
}

impl<'a, A: Aead> Path<'a, A> {
    /// A path that counts here, and seals and opens with the security associations of this gateway.
    #[must_use]
    pub fn with_gateway(counters: &'a Counters, direct: &'a DirectCounters, gateway: Gateway<A>) -> Self {
        Self {
            counters,
            direct,
            uncounted: DirectCounters::none(),
            punts: std::array::from_fn(|_| Bucket::default()),
            gateway,
        }
    }

    /// Its security associations, to install and remove between bursts.
    pub fn gateway(&mut self) -> &mut Gateway<A> {
        &mut self.gateway
    }

    /// Decides about each packet of a burst, at most [`BURST`] of them, that came in on one port. Those to transmit are rewritten.
    ///
    /// The verdicts of the packets stand at the same places; drops and punts are counted.
    #[inline]
    pub fn process<P: Packet>(
        &mut self,
        tables: &Tables,
        ingress: PortIndex,
        now: Nanos,
        burst: &mut [P],
        verdicts: &mut [Verdict; BURST],
    ) {
        self.decide(tables, ingress, now, burst, verdicts, false);
    }

    /// As [`Path::process`], for packets of a gateway's that waited for a neighbour: their entries have counted them.
    pub fn process_again<P: Packet>(
        &mut self,
        tables: &Tables,
        ingress: PortIndex,
        now: Nanos,
        burst: &mut [P],
        verdicts: &mut [Verdict; BURST],
    ) {
        self.decide(tables, ingress, now, burst, verdicts, true);
    }

    #[inline(always)]
    fn decide<P: Packet>(
        &mut self,
        tables: &Tables,
        ingress: PortIndex,
        now: Nanos,
        burst: &mut [P],
        verdicts: &mut [Verdict; BURST],
        again: bool,
    ) {
        let burst = if burst.len() > BURST {
            &mut burst[..BURST]
        } else {
            burst
        };
        match tables.endpoint {
            Role::Director { address, udp_port } => {
                let director = Director {
                    tables,
                    address,
                    udp_port,
                };
                self.relay(&director, ingress, now, burst, verdicts);
            }
            Role::Gateway { udp_port } => {
                let context = Context {
                    tables,
                    direct: if again { &self.uncounted } else { self.direct },
                    udp_port,
                    ingress,
                    now: Millis(now.0 / 1_000_000),
                    owner: self.gateway.owner(),
                };
                let mut last_way = LastWay::default();
                for (packet, verdict) in burst.iter_mut().zip(verdicts.iter_mut()) {
                    let decided = receive(tables, ingress, packet).and_then(|arrived| match arrived {
                        Arrived::Outbound => self.gateway.outbound(&context, &mut last_way, packet),
                        Arrived::Inbound => self.gateway.inbound(&context, &mut last_way, packet),
                        Arrived::Relay(_) => Err(Verdict::Drop(DropReason::DirectorNotOurs)),
                    });
                    *verdict = self.count(tables, now, decided.map_or_else(|why| why, Verdict::Transmit));
                }
            }
            Role::Nothing => {
                for (packet, verdict) in burst.iter().zip(verdicts.iter_mut()) {
                    let decided = receive(tables, ingress, packet);
                    let decided = decided.map_or_else(|why| why, |_| Verdict::Drop(DropReason::Ipv4NotOurs));
                    *verdict = self.count(tables, now, decided);
                }
            }
        }
    }

    /// By itself: what a gateway does beside it is not to cost it registers.
    #[inline(never)]
    fn relay<P: Packet>(
        &self,
        director: &Director<'_>,
        ingress: PortIndex,
        now: Nanos,
        burst: &mut [P],
        verdicts: &mut [Verdict; BURST],
    ) {
        let tables = director.tables;
        let mut candidates = [Candidate::NONE; BURST];
        let port = tables.ingress_port.get(ingress);
        for ((packet, candidate), verdict) in burst.iter().zip(&mut candidates).zip(verdicts.iter_mut()) {
            if let Some(parsed) = port.and_then(|port| director.relayable(port, packet)) {
                *candidate = parsed;
                continue;
            }
            match receive(tables, ingress, packet) {
                Ok(Arrived::Relay(parsed)) => *candidate = parsed,
                Ok(Arrived::Outbound | Arrived::Inbound) => {
                    *verdict = Verdict::Drop(DropReason::Ipv4NotOurs);
                }
                Err(decided) => *verdict = decided,
            }
        }
        // The first touch of all sessions of a burst stands together and depends on nothing, so that their cache misses
        // overlap; the look-ups themselves, below, hit.
        let mut touched = 0;
        for candidate in &candidates[..burst.len()] {
            touched ^= tables.sender.touch(candidate.sender as usize);
            touched ^= tables.session.touch(candidate.session as usize);
            touched ^= self.direct.session.touch(candidate.session as usize);
        }
        std::hint::black_box(touched);
        let limited = tables.sender.any_limited();
        let mut last_way = LastWay::default();
        for ((packet, candidate), verdict) in burst.iter_mut().zip(&candidates).zip(verdicts.iter_mut()) {
            if candidate.is_some() {
                let decided = relay::authorise(director, limited, now, candidate).and_then(|to| {
                    let octets = u64::from(candidate.total_len);
                    self.direct.session.add(candidate.session as usize, octets);
                    relay::forward(director, &mut last_way, packet, to)
                });
                *verdict = decided.map_or_else(|why| why, Verdict::Transmit);
            }
            *verdict = self.count(tables, now, *verdict);
        }
    }

    /// Counts a decision, and turns a punt above its rate into a drop.
    #[inline]
    fn count(&self, tables: &Tables, now: Nanos, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Transmit(_) | Verdict::HandOver(_) => verdict,
            Verdict::Drop(reason) => {
                self.counters.dropped(reason).add(1);
                verdict
            }
            Verdict::Punt(reason) => {
                if self.punts[reason as usize].admit(tables.punt_rates[reason as usize], now, 1) {
                    self.counters.punted(reason).add(1);
                    return verdict;
                }
                let dropped = drop_of_limited(reason);
                self.counters.dropped(dropped).add(1);
                Verdict::Drop(dropped)
            }
        }
    }
}

/// What a packet is dropped as when the slow path is not to see more of its kind: a wrong packet keeps its own name.
fn drop_of_limited(reason: PuntReason) -> DropReason {
    match reason {
        PuntReason::SourceMismatch => DropReason::SourceMismatch,
        PuntReason::MtuExceeded => DropReason::MtuExceeded,
        PuntReason::NeighborMiss => DropReason::NeighborUnresolved,
        PuntReason::KeysMissing => DropReason::KeysMissing,
        PuntReason::Arp
        | PuntReason::IcmpLocal
        | PuntReason::Control
        | PuntReason::Ping
        | PuntReason::Keying => DropReason::PuntLimited,
    }
}
