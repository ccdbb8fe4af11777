//! An association that is up: its IKE SAs, its pairs of ESP SAs, what is to be done with them.
//!
//! ```text
//!  sas:       old ── rekeyed ──► current         (a moment both exist; requests are taken on either)
//!  children:  Live ── rekeyed ──► Replaced ──► Deleting ──► Lingering ──► forgotten
//!  tasks:     at most one exchange of ours is under way on each IKE SA (a window of one message)
//! ```
//!
//! Pairs belong to the association and not to one of its IKE SAs: whichever survives a rekeying has them (RFC 7296 section 2.18).

use super::authenticate::Conclusion;
use super::child::Child;
use super::context::Context;
use super::followup::Half;
use super::hello::Negotiated;
use super::protection::Protection;
use super::tasks::{Pending, Task, Tasks};
use super::window::{Arrival, Window};
use crate::codec::{Datagram, Exchange, Identity, IkeSpi, NotifyKind, Payload};
use crate::endpoint::Drop;
use crate::event::{Down, Event, Forgotten, NatFound, Up};
use crate::suite::{IkeKeys, IkeSuite};
use crate::terms::Terms;
use crate::units::{AssociationId, ChildId, Path, Role};
use kith_esp::Spi;
use std::sync::Arc;

/// Refusals for the moment in a row before the ends are taken to disagree for good (section 2.25).
const TEMPORARY_MOST: u32 = 24;

/// Both ends have proved who they are.
pub(crate) struct Established {
    pub(super) id: AssociationId,
    pub(crate) peer: Identity,
    /// Who began.
    pub(crate) role: Role,
    pub(crate) since: u64,
    pub(super) terms: Arc<Terms>,
    pub(crate) path: Path,
    pub(crate) nat: NatFound,
    pub(super) kith: bool,
    pub(super) mobike: bool,
    pub(super) sas: Vec<IkeSa>,
    /// SPI of ours of the IKE SA on which exchanges of ours begin.
    pub(super) current: IkeSpi,
    pub(super) children: Vec<Child>,
    /// SPIs of ours of pairs that the peer made and that we did not take: free again when the peer knows.
    pub(super) rejected: Vec<Spi>,
    pub(super) tasks: Tasks,
    pub(crate) heard: u64,
    /// The peer has made a request since it was told that it is up: it agrees.
    pub(super) confirmed: bool,
    pub(super) temporary: u32,
    /// The peer had no room for another pair, and the old one was closed to make some.
    pub(super) full: bool,
}

/// One IKE SA under one set of keys.
pub(crate) struct IkeSa {
    pub(super) protection: Protection,
    pub(crate) suite: IkeSuite,
    pub(super) keys: IkeKeys,
    pub(super) window: Window<Pending>,
    pub(crate) since: u64,
    /// The peer is to follow up.
    pub(super) half: Option<Half>,
    /// It is over, and answers the peer's last request again until then.
    pub(super) ended: Option<u64>,
}

impl IkeSa {
    pub(super) fn new(protection: Protection, suite: IkeSuite, keys: IkeKeys, now: u64) -> Self {
        Self {
            protection,
            suite,
            keys,
            window: Window::new(0, 0),
            since: now,
            half: None,
            ended: None,
        }
    }

    pub(crate) fn local_spi(&self) -> IkeSpi {
        self.protection.local_spi()
    }
}

impl Established {
    /// Tells the host that it is up, and of its first pair, which opens packets and seals none before [`Self::start`].
    pub(crate) fn new(
        context: &mut Context<'_>,
        (id, role): (AssociationId, Role),
        (negotiated, window, rtt): (Negotiated, Window<Pending>, Option<u64>),
        conclusion: Conclusion,
    ) -> Self {
        let Negotiated {
            protection,
            suite,
            keys,
            nat,
            kith,
            ..
        } = negotiated;
        let now = context.now.millis;
        let mut sa = IkeSa::new(protection, suite, keys, now);
        sa.window = window;
        let mut this = Self {
            id,
            peer: conclusion.peer,
            role,
            since: now,
            terms: conclusion.terms,
            path: conclusion.path,
            nat,
            kith,
            mobike: conclusion.mobike,
            current: sa.local_spi(),
            sas: vec![sa],
            children: Vec::new(),
            rejected: Vec::new(),
            tasks: Tasks::default(),
            heard: now,
            confirmed: role == Role::Initiator,
            temporary: 0,
            full: false,
        };
        let up = Up {
            peer: this.peer.clone(),
            role,
            suite,
            path: this.path,
            nat,
            kith,
            rtt,
        };
        context.tell(id, Event::Up(Box::new(up)));
        if let Some(whereabouts) = conclusion.whereabouts.filter(|_| kith) {
            context.tell(id, Event::Whereabouts(whereabouts));
        }
        match conclusion.child {
            Ok((new, child)) => this.add_child(context, new, child, false),
            Err(why) => context.tell(id, Event::ChildRefused { replaces: None, why }),
        }
        if let Some(spi) = conclusion.rejected {
            this.reject(context, spi);
        }
        context.send(this.path, &conclusion.reply);
        this.work(context);
        this
    }

    /// It is not about to give way to another: its pairs are used.
    pub(crate) fn start(&mut self, context: &mut Context<'_>) {
        let ids: Vec<ChildId> = self.children().collect();
        ids.into_iter().for_each(|id| self.use_child(context, id));
    }

    /// A datagram under one of its IKE SAs; `Some` if it is over.
    pub(crate) fn datagram(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
    ) -> Option<Down> {
        let header = datagram.header;
        let spi = if header.from_initiator {
            header.responder_spi
        } else {
            header.initiator_spi
        };
        let at = self.sas.iter().position(|sa| sa.local_spi() == spi)?;
        let sa = &mut self.sas[at];
        // RFC 7296 section 3.1: the flag says who began this IKE SA.
        if header.from_initiator == (sa.protection.role == Role::Initiator) {
            context.drop(Drop::NotAuthentic);
            return None;
        }
        if header.response {
            let expected = sa.window.outstanding().map(|outstanding| outstanding.id);
            if expected != Some(header.message_id.0) {
                context.drop(Drop::OutOfWindow);
                return None;
            }
            let plain = context.opened(sa.protection.open(context.now.millis, datagram))?;
            let outstanding = sa.window.answer_to(header.message_id.0)?;
            self.heard = context.now.millis;
            let down = self.answer(context, at, outstanding.what, &plain);
            self.work(context);
            return down.or_else(|| self.left());
        }
        match sa.window.arrival(header.message_id.0) {
            Arrival::Other => {
                context.drop(Drop::OutOfWindow);
                return None;
            }
            Arrival::Again => {
                // RFC 7296 section 2.11: an answer goes to where its request came from, here and in `reply`.
                if sa.protection.is_again(datagram) {
                    context.send(path, sa.window.again(context.now));
                } else {
                    context.drop(Drop::NotAuthentic);
                }
                return None;
            }
            Arrival::New => {}
        }
        let plain = context.opened(sa.protection.open(context.now.millis, datagram))?;
        self.heard = context.now.millis;
        self.follow(context, path);
        let down = self.request(context, at, (path, header.exchange), &plain);
        self.confirmed = true;
        self.work(context);
        down.or_else(|| self.left())
    }

    /// The IKE SA that went on was closed before we knew that it was the one.
    fn left(&self) -> Option<Down> {
        let goes_on = self.current().is_some_and(|sa| sa.ended.is_none());
        (!goes_on).then_some(Down::ClosedByPeer)
    }

    /// Section 2.23: behind a translator the peer is where its newest authentic request came from. With MOBIKE it says so itself.
    fn follow(&mut self, context: &mut Context<'_>, path: Path) {
        if path != self.path && self.nat.theirs && !self.nat.ours && !self.mobike {
            self.path = path;
            context.tell(self.id, Event::Moved(path));
        }
    }

    /// Answers a request on the SA at this place.
    pub(super) fn reply(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        (path, exchange): (Path, Exchange),
        said: &[Payload],
    ) {
        let sa = &mut self.sas[at];
        let header = sa.protection.header(exchange, true, sa.window.next_in());
        if let Ok(datagrams) = sa.protection.seal(&header, said) {
            context.send(path, &datagrams);
            sa.window.answered(datagrams, context.now);
        }
    }

    /// Begins an exchange on the SA at this place; gives the matter back if it cannot be.
    pub(super) fn ask(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        (exchange, said): (Exchange, &[Payload]),
        pending: Pending,
    ) -> Result<(), Pending> {
        let sa = &mut self.sas[at];
        let Some(id) = sa.window.next_out() else {
            return Err(pending);
        };
        let header = sa.protection.header(exchange, false, id);
        match sa.protection.seal(&header, said) {
            Ok(datagrams) => {
                context.send(self.path, &datagrams);
                sa.window
                    .sent(pending, datagrams, context.now, &context.config.timing);
                Ok(())
            }
            Err(_) => Err(pending),
        }
    }

    pub(super) fn place(&self, spi: IkeSpi) -> Option<usize> {
        self.sas.iter().position(|sa| sa.local_spi() == spi)
    }

    /// The IKE SA on which exchanges of ours begin.
    pub(crate) fn current(&self) -> Option<&IkeSa> {
        self.sas.iter().find(|sa| sa.local_spi() == self.current)
    }

    /// What a request that will not be answered has reserved is free again.
    pub(super) fn undo(&mut self, context: &mut Context<'_>, pending: Pending) {
        match pending {
            Pending::Child(offer) | Pending::Auth(offer) => context.host.give_back_spi(offer.spi),
            Pending::Rekey(offer) => context.give_back_ike_spi(offer.spi),
            Pending::DeleteChildren(ids) => {
                for id in ids {
                    self.retire_child(context, id);
                }
            }
            Pending::Reject(spi) => self.release(context, spi),
            _ => {}
        }
    }

    /// Section 2.25: not at once again, and not for ever.
    pub(super) fn later(&mut self, context: &mut Context<'_>, task: Task) {
        self.temporary += 1;
        if self.temporary >= TEMPORARY_MOST {
            self.start_over(context, NotifyKind::TEMPORARY_FAILURE);
        } else {
            // Two ends that refused each other must not meet again and again.
            let retry = context.config.timing.retry;
            let wait = retry / 2 + context.below(retry);
            self.tasks.add(context.now.after(wait), task);
        }
    }

    /// The IKE SA at this place is over; another goes on.
    pub(super) fn end_sa(&mut self, context: &mut Context<'_>, at: usize) {
        let until = context.now.after(context.config.timing.linger);
        let sa = &mut self.sas[at];
        sa.ended.get_or_insert(until);
        self.drop_half(context, at);
        let sa = &mut self.sas[at];
        let pending = sa.window.forget();
        self.tasks.drop(&Task::DeleteSa(self.sas[at].local_spi()));
        if let Some(outstanding) = pending {
            self.undo(context, outstanding.what);
        }
    }

    /// The other end may be reached otherwise from now on.
    pub(crate) fn moved(&mut self, context: &mut Context<'_>, path: Path) {
        self.path = path;
        for sa in &mut self.sas {
            if let Some(outstanding) = sa.window.outstanding_mut() {
                outstanding.repeater.hurry(context.now);
            }
        }
        if self.mobike {
            self.add_task(context, Task::Move(path));
        }
    }

    /// Who we are to the peer.
    pub(crate) fn own(&self) -> &Identity {
        &self.terms.own
    }

    /// Tells the peer that it is over, next of all.
    pub(crate) fn close(&mut self, context: &mut Context<'_>) {
        self.tasks.clear();
        self.add_task(context, Task::Close(Down::Closed));
    }

    pub(crate) fn announce(&mut self, context: &mut Context<'_>) {
        if self.kith {
            self.add_task(context, Task::Announce);
        }
    }

    /// It is over: everything that it had is given back and forgotten.
    pub(crate) fn end(&mut self, context: &mut Context<'_>) {
        self.tasks.clear();
        for at in 0..self.sas.len() {
            self.drop_half(context, at);
            if let Some(outstanding) = self.sas[at].window.forget() {
                match outstanding.what {
                    Pending::Child(offer) => context.host.give_back_spi(offer.spi),
                    Pending::Rekey(offer) => context.give_back_ike_spi(offer.spi),
                    _ => {}
                }
            }
            context.give_back_ike_spi(self.sas[at].local_spi());
        }
        for spi in std::mem::take(&mut self.rejected) {
            context.host.give_back_spi(spi);
        }
        for child in std::mem::take(&mut self.children) {
            context.host.give_back_spi(child.inbound);
            context.tell(self.id, Event::Forget(child.id, Forgotten::Down));
        }
    }
}
