//! The route director's path: frames in, frames out (source document 001, figure 7, steps 673 to 677).
//!
//! ```text
//!  frame ► ethernet ► ipv4 ► own station ► udp ► shim ► virtual  │ parse: is it a packet we relay?
//!        ► source session ► destination session                  │ look up: all of a burst, so that misses overlap
//!        ► sender ► community ► rate ► ttl ► mtu                 │ authorise: may it go there?
//!        ► route ► neighbour ► rewrite                           │ forward
//! ```
//!
//! What only looks up reads nothing it has not checked; what rewrites changes nothing of a packet that is punted or
//! dropped, so that the slow path sees what came.

mod forward;
mod parse;
mod tables;
#[cfg(all(test, not(loom)))]
mod tests;

use forward::LastHop;
pub use tables::{Next, Port, PuntRates, Tables};

use crate::counters::{Counters, SessionCounters};
use crate::meter::Bucket;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::units::{Nanos, PortIndex};
use crate::{BURST, Verdict};
use kith_wire::ethernet::Ethernet;
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::Shim;
use kith_wire::udp::Udp;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A packet that parsed as data to relay: all that the later stages want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    source: u32,
    source_port: u16,
    total_len: u16,
    source_session: u32,
    destination_session: u32,
    ttl: u8,
}

impl Candidate {
    const NONE: Self = Self {
        source: 0,
        source_port: 0,
        total_len: 0,
        source_session: 0,
        destination_session: 0,
        ttl: 0,
    };

    /// Was there one? An IPv4 packet is never 0 octets long.
    #[inline]
    fn is_some(&self) -> bool {
        self.total_len != 0
    }
}

/// All headers of a frame to relay, in one piece.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
    shim: Shim,
    inner: Ipv4,
}

/// One worker's relay.
#[derive(Debug)]
pub struct Relay<'a> {
    counters: &'a Counters,
    sessions: &'a SessionCounters,
    punts: [Bucket; PuntReason::COUNT],
}

impl<'a> Relay<'a> {
    /// A relay that counts here.
    #[must_use]
    pub fn new(counters: &'a Counters, sessions: &'a SessionCounters) -> Self {
        Self {
            counters,
            sessions,
            punts: std::array::from_fn(|_| Bucket::default()),
        }
    }

    /// Decides about each packet of a burst, at most [`BURST`] of them, that came in on one port. Those to transmit are rewritten.
    ///
    /// The verdicts of the packets stand at the same places; drops and punts are counted.
    pub fn process<P: Packet>(
        &self,
        tables: &Tables,
        ingress: PortIndex,
        now: Nanos,
        burst: &mut [P],
        verdicts: &mut [Verdict; BURST],
    ) {
        let burst = if burst.len() > BURST {
            &mut burst[..BURST]
        } else {
            burst
        };
        let mut candidates = [Candidate::NONE; BURST];

        let port = tables.port(ingress);
        for ((packet, candidate), verdict) in burst.iter().zip(&mut candidates).zip(verdicts.iter_mut()) {
            if let Some(parsed) = port.and_then(|port| parse::relayable(tables, port, packet)) {
                *candidate = parsed;
                continue;
            }
            // Frames that came by no port of ours are for no station of ours.
            let port = port.ok_or(Verdict::Drop(DropReason::EthernetNotOurs));
            match port.and_then(|port| parse::parse(tables, port, packet)) {
                Ok(parsed) => *candidate = parsed,
                Err(decided) => *verdict = decided,
            }
        }
        // The first touch of all sessions of a burst stands together and depends on nothing, so that their cache misses
        // overlap; the look-ups themselves, below, hit.
        let mut touched = 0;
        for candidate in &candidates[..burst.len()] {
            touched ^= tables.sessions.touch(candidate.source_session as usize);
            touched ^= tables.sessions.touch(candidate.destination_session as usize);
            touched ^= self.sessions.touch(candidate.destination_session as usize);
        }
        std::hint::black_box(touched);
        let mut last_hop = LastHop::default();
        for ((packet, candidate), verdict) in burst.iter_mut().zip(&candidates).zip(verdicts.iter_mut()) {
            if candidate.is_some() {
                *verdict = match forward::authorise(tables, now, candidate)
                    .and_then(|destination| forward::forward(tables, &mut last_hop, packet, destination))
                {
                    Ok(port) => {
                        self.sessions.add(
                            candidate.destination_session as usize,
                            u64::from(candidate.total_len),
                        );
                        Verdict::Transmit(port)
                    }
                    Err(decided) => decided,
                };
            }
            *verdict = self.count(tables, now, *verdict);
        }
    }

    /// Counts a decision, and turns a punt above its rate into a drop.
    #[inline]
    fn count(&self, tables: &Tables, now: Nanos, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Transmit(_) => verdict,
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
        PuntReason::Arp | PuntReason::IcmpLocal | PuntReason::Control | PuntReason::Ping => {
            DropReason::PuntLimited
        }
    }
}
