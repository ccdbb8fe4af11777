//! Where packets leave a worker: ports, the slow path, other workers, nowhere.

use super::{AGAIN, FRESH, HEADER, PUNT_HEADER};
use kith_dpdk::{Burst, Mbuf, Producer, TxQueue};
use kith_pipeline::Verdict;
use kith_pipeline::counters::Counters;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::units::{PortIndex, WorkerIndex};

/// All of them.
pub(super) struct Exits {
    out: Vec<Out>,
    up: Producer,
    /// By worker; none to itself.
    others: Vec<Option<Other>>,
    dead: Burst,
}

/// A transmit queue, and what is to be sent through it.
struct Out {
    queue: TxQueue,
    burst: Burst,
}

/// The way to another worker, and what is to go there.
struct Other {
    ring: Producer,
    burst: Burst,
}

impl Exits {
    pub(super) fn new(tx: Vec<TxQueue>, up: Producer) -> Self {
        let out = |queue| Out {
            queue,
            burst: Burst::new(),
        };
        Self {
            out: tx.into_iter().map(out).collect(),
            up,
            others: Vec::new(),
            dead: Burst::new(),
        }
    }

    pub(super) fn lead_to(&mut self, others: Vec<Option<Producer>>) {
        let other = |ring| Other {
            ring,
            burst: Burst::new(),
        };
        self.others = others.into_iter().map(|ring| ring.map(other)).collect();
    }

    /// Sees to it that a packet gets where its verdict says. `again`: its entries have counted it.
    #[inline]
    pub(super) fn settle(
        &mut self,
        ingress: PortIndex,
        verdict: Verdict,
        packet: Mbuf,
        again: bool,
        counters: &Counters,
    ) {
        match verdict {
            Verdict::Transmit(port) => self.transmit(port, packet, counters),
            Verdict::Punt(reason) => self.punt(ingress, reason, packet, counters),
            Verdict::Drop(_) => self.discard(packet),
            Verdict::HandOver(worker) => self.hand_over(worker, ingress, packet, again, counters),
        }
    }

    /// Puts a packet into the burst of its port.
    #[inline]
    pub(super) fn transmit(&mut self, port: PortIndex, packet: Mbuf, counters: &Counters) {
        let Some(out) = self.out.get_mut(usize::from(port.0)) else {
            counters.dropped(DropReason::RouteUnknown).add(1);
            return self.discard(packet);
        };
        if out.burst.is_full() {
            out.flush(counters);
        }
        if let Err(packet) = out.burst.push(packet) {
            counters.dropped(DropReason::TransmitQueueFull).add(1);
            self.discard(packet);
        }
    }

    /// Hands a packet to the slow path, and with it where it came in and why it goes up.
    #[inline]
    fn punt(&mut self, ingress: PortIndex, reason: PuntReason, mut packet: Mbuf, counters: &Counters) {
        if packet.grow_front(PUNT_HEADER)
            && let [port, why, ..] = packet.bytes_mut()
        {
            (*port, *why) = (ingress.0, reason as u8);
            match self.up.push(packet) {
                Ok(()) => return,
                Err(back) => packet = back,
            }
        }
        // Counted as a punt already: whoever adds up takes this one off again.
        counters.dropped(DropReason::PuntQueueFull).add(1);
        self.discard(packet);
    }

    /// Hands a packet to another worker, as it came, and with it where it came in.
    #[inline]
    fn hand_over(
        &mut self,
        worker: WorkerIndex,
        ingress: PortIndex,
        mut packet: Mbuf,
        again: bool,
        counters: &Counters,
    ) {
        let other = self
            .others
            .get_mut(usize::from(worker.0))
            .and_then(Option::as_mut);
        if let Some(other) = other
            && packet.grow_front(HEADER)
            && let [kind, port, ..] = packet.bytes_mut()
        {
            (*kind, *port) = (if again { AGAIN } else { FRESH }, ingress.0);
            if other.burst.is_full() {
                other.flush(counters);
            }
            match other.burst.push(packet) {
                Ok(()) => return,
                Err(back) => packet = back,
            }
        }
        counters.dropped(DropReason::HandOverQueueFull).add(1);
        self.discard(packet);
    }

    /// Keeps a packet to be freed with others.
    #[inline]
    pub(super) fn discard(&mut self, packet: Mbuf) {
        if self.dead.is_full() {
            self.dead.clear();
        }
        // There is room; were there none, the packet would be freed by itself.
        drop(self.dead.push(packet));
    }

    /// Sends all that waits.
    #[inline]
    pub(super) fn flush(&mut self, counters: &Counters) {
        for out in &mut self.out {
            out.flush(counters);
        }
        for other in self.others.iter_mut().flatten() {
            other.flush(counters);
        }
        self.dead.clear();
    }
}

impl Out {
    /// Sends all, and drops what the port does not take.
    #[inline]
    fn flush(&mut self, counters: &Counters) {
        if self.burst.is_empty() {
            return;
        }
        let all = octets(&self.burst);
        let sent = self.queue.tx_burst(&mut self.burst);
        counters.transmitted.add(sent as u64);
        counters
            .transmitted_bytes
            .add(all.saturating_sub(octets(&self.burst)));
        if !self.burst.is_empty() {
            counters
                .dropped(DropReason::TransmitQueueFull)
                .add(self.burst.len() as u64);
            self.burst.clear();
        }
    }
}

impl Other {
    /// Sends all, and drops what the other worker's queue has no room for.
    #[inline]
    fn flush(&mut self, counters: &Counters) {
        if self.burst.is_empty() {
            return;
        }
        let sent = self.ring.send(&mut self.burst);
        counters.handed_over.add(sent as u64);
        if !self.burst.is_empty() {
            counters
                .dropped(DropReason::HandOverQueueFull)
                .add(self.burst.len() as u64);
            self.burst.clear();
        }
    }
}

#[inline]
pub(super) fn octets(packets: &[Mbuf]) -> u64 {
    packets.iter().map(|packet| packet.bytes().len() as u64).sum()
}
