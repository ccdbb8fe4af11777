//! The group agent's gateway: packets of devices that run nothing of ours, into and out of the tunnels (source document 001, figures
//! 22 to 26).
//!
//! ```text
//!  LAN ► local destination ► local source ► policy ► member ► ttl ► mtu ► route ► neighbor ► egress │ ► translate ► mss ► seal ► tunnel
//!  LAN ◄ mss ◄ translate ◄ policy ◄ open │ ◄ egress ◄ neighbor ◄ virtual source ◄ virtual destination ◄ association ◄ inner ipv4 ◄ tunnel
//! ```
//!
//! Two LANs may use the same addresses: each sees the members of the other under addresses that are free on it, and between gateways there
//! are only virtual ones. All that may send a packet up stands before the bar: behind it the packet is changed, and goes or
//! is dropped. So what goes up is the frame as it came, no sequence number is spent on it, and the replay window has not moved: the
//! same frame can be given to the gateway again.
//!
//! Of several workers one has an association: its sequence numbers, or its replay window. The others hand its packets over, as they
//! came, before anything is counted or spent: association `i` is worker `i % workers`'s.
//!
//! Cost: seven look-ups in hash tables, one walk over the policy, and the cipher.

mod inbound;
mod outbound;
#[cfg(all(test, not(loom)))]
mod tests;
mod translate;

use crate::Verdict;
use crate::counters::{AssociationCounters, DirectCounters};
use crate::egress::LastWay;
use crate::packet::Packet;
use crate::table::TableError;
use crate::tables::Tables;
use crate::units::{PortIndex, SaIndex, WorkerIndex};
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{Inbound, Millis, Outbound, Usage};
use std::sync::Arc;

/// One worker's security associations, by the numbers that the entries of `member` and `association` name.
///
/// They are in boxes, so that a worker neither makes room for them nor frees them: who installs one gets back the one before.
pub struct Gateway<A: Aead = DefaultAead> {
    outbound: Box<[Option<Box<Outbound<A>>>]>,
    inbound: Box<[Option<Box<Inbound<A>>>]>,
    seen: Arc<AssociationCounters>,
    owner: Owner,
}

/// Which associations are a worker's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    worker: u16,
    workers: u16,
}

impl Owner {
    /// Is this one the worker's own?
    #[inline(always)]
    pub(crate) fn check(self, at: SaIndex) -> Result<(), Verdict> {
        if self.workers == 1 {
            return Ok(());
        }
        let owner = owner(at, self.workers);
        if owner.0 == self.worker {
            return Ok(());
        }
        Err(Verdict::HandOver(owner))
    }
}

/// The worker that has an association, of so many (at least one).
#[inline]
#[must_use]
pub fn owner(at: SaIndex, workers: u16) -> WorkerIndex {
    // The remainder is below a u16.
    WorkerIndex((at.0 % u32::from(workers.max(1))) as u16)
}

impl<A: Aead> Gateway<A> {
    /// A gateway without any keys, for security associations with numbers below `capacity`: nothing is sealed or opened.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::of_worker(WorkerIndex(0), 1, Arc::new(AssociationCounters::new(capacity)))
    }

    /// The gateway of one of so many workers (at least one), which count here together.
    #[must_use]
    pub fn of_worker(worker: WorkerIndex, workers: u16, seen: Arc<AssociationCounters>) -> Self {
        let capacity = seen.capacity();
        Self {
            outbound: (0..capacity).map(|_| None).collect(),
            inbound: (0..capacity).map(|_| None).collect(),
            seen,
            owner: Owner {
                worker: worker.0,
                workers: workers.max(1),
            },
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// From now on packets of entries that name `at` are sealed with this; gives what was there before.
    pub fn install_outbound(
        &mut self,
        at: SaIndex,
        sa: Box<Outbound<A>>,
    ) -> Result<Option<Box<Outbound<A>>>, TableError> {
        if let Some(seen) = self.seen.outbound(at) {
            seen.show(Usage::default());
        }
        let place = self.outbound.get_mut(at.0 as usize);
        Ok(place.ok_or(TableError::OutOfRange)?.replace(sa))
    }

    /// From now on packets of entries that name `at` are opened with this; gives what was there before.
    pub fn install_inbound(
        &mut self,
        at: SaIndex,
        sa: Box<Inbound<A>>,
    ) -> Result<Option<Box<Inbound<A>>>, TableError> {
        if let Some(seen) = self.seen.inbound(at) {
            seen.show(Usage::default());
            seen.dummies.set(0);
        }
        let place = self.inbound.get_mut(at.0 as usize);
        Ok(place.ok_or(TableError::OutOfRange)?.replace(sa))
    }

    /// Takes an outbound security association out.
    pub fn remove_outbound(&mut self, at: SaIndex) -> Option<Box<Outbound<A>>> {
        self.outbound.get_mut(at.0 as usize)?.take()
    }

    /// Takes an inbound security association out.
    pub fn remove_inbound(&mut self, at: SaIndex) -> Option<Box<Inbound<A>>> {
        self.inbound.get_mut(at.0 as usize)?.take()
    }

    /// Decides about a frame from a LAN. One to transmit is rewritten.
    pub(crate) fn outbound<P: Packet>(
        &mut self,
        context: &Context<'_>,
        last_way: &mut LastWay,
        packet: &mut P,
    ) -> Result<PortIndex, Verdict> {
        outbound::process(&mut self.outbound, &self.seen, context, last_way, packet)
    }

    /// Decides about a frame with a virtual packet. One to transmit is rewritten.
    pub(crate) fn inbound<P: Packet>(
        &mut self,
        context: &Context<'_>,
        last_way: &mut LastWay,
        packet: &mut P,
    ) -> Result<PortIndex, Verdict> {
        inbound::process(&mut self.inbound, &self.seen, context, last_way, packet)
    }
}

/// What a gateway works with.
pub(crate) struct Context<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) direct: &'a DirectCounters,
    pub(crate) udp_port: u16,
    pub(crate) ingress: PortIndex,
    pub(crate) now: Millis,
    pub(crate) owner: Owner,
}
