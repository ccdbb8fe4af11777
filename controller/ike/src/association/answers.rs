//! What the peer answers while the association is up.

use super::child::{Agreement, Fate, Offer};
use super::context::Context;
use super::established::Established;
use super::followup::Followup;
use super::hello::{critical, error};
use super::tasks::{Pending, Task};
use crate::codec::{Exchange, Notify, NotifyKind, Payload};
use crate::event::{Down, Event, Forgotten};
use crate::suite::Plain;
use crate::units::ChildId;

impl Established {
    pub(super) fn answer(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        asked: Pending,
        plain: &Plain,
    ) -> Option<Down> {
        // RFC 7296 section 2.5: a critical payload that we do not know makes as little sense as octets that are none.
        let readable = |payloads: &Vec<Payload>| critical(payloads).is_none();
        let Some(payloads) = plain.payloads().ok().filter(readable) else {
            self.undo(context, asked);
            return Some(Down::Protocol("an answer that makes no sense"));
        };
        match asked {
            Pending::Child(offer) => self.child_answered(context, at, *offer, &payloads),
            Pending::Rekey(offer) => self.ike_answered(context, at, *offer, &payloads),
            Pending::DeleteChildren(ids) => {
                for id in ids {
                    self.retire_child(context, id);
                }
            }
            Pending::DeleteSa => self.end_sa(context, at),
            Pending::Close(why) => return Some(why),
            Pending::Reject(spi) => self.release(context, spi),
            Pending::Move(path) => {
                // RFC 7296 section 3.10.1: any error, known or not, says that the request has failed.
                if error(&payloads).is_none() && path == self.path {
                    context.tell(self.id, Event::Moved(path));
                }
            }
            Pending::Inform | Pending::Intermediate(_) | Pending::Auth(_) => {}
        }
        None
    }

    fn child_answered(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        mut offer: Offer,
        payloads: &[Payload],
    ) {
        if let Some(error) = error(payloads) {
            return self.child_refused(context, at, offer, error);
        }
        (self.temporary, self.full) = (0, false);
        let agreed = match offer.followup.take() {
            None => offer.agree(None, payloads),
            Some(followup) => {
                let agreed = followup.finish(payloads).map(|(mut agreement, shared)| {
                    agreement.add(shared);
                    agreement
                });
                agreed.ok_or(NotifyKind::INVALID_SYNTAX)
            }
        };
        match agreed {
            Err(why) => {
                self.reject(context, offer.spi);
                let replaces = offer.replaces;
                context.tell(self.id, Event::ChildRefused { replaces, why });
            }
            Ok(agreement) if agreement.lacks().is_some() => {
                self.follow_up_child(context, at, (offer, agreement), payloads);
            }
            Ok(agreement) => {
                let lowest = agreement.lowest().to_vec();
                let (new, child) = agreement.make(context, &self.sas[at].keys);
                let id = child.id;
                // RFC 7296 section 2.8.1: of two that replaced the same, the one with the lowest nonce goes, closed by whoever made it.
                let closed = offer.closed.contains(&child.outbound.get());
                let redundant = offer
                    .collision
                    .as_ref()
                    .is_some_and(|collision| lowest < collision.lowest);
                self.add_child(context, new, child, !redundant && !closed);
                if redundant {
                    if let Some(child) = self.children.iter_mut().find(|child| child.id == id) {
                        child.fate = Fate::Redundant;
                    }
                    self.tasks.add(context.now.millis, Task::DeleteChild(id));
                } else if let Some(old) = offer.replaces {
                    self.supersede(context, old, id);
                }
                if closed {
                    self.retire_child(context, id);
                }
            }
        }
    }

    /// The pair lacks its second secret.
    fn follow_up_child(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        (mut offer, agreement): (Offer, Agreement),
        payloads: &[Payload],
    ) {
        let lost = offer
            .collision
            .as_ref()
            .is_some_and(|collision| agreement.lowest() < &collision.lowest[..]);
        if lost {
            // RFC 9370 section 2.2.4: the one with the lowest nonce is not followed up. If the other is not either, we try again.
            context.host.give_back_spi(offer.spi);
            let task = offer.replaces.map(Task::RekeyChild);
            return task.map_or((), |task| self.tasks.add(context.now.millis, task));
        }
        // Nor does the peer follow up its own.
        self.drop_half(context, at);
        let group = agreement.lacks();
        offer.followup = group.and_then(|group| Followup::new(context, group, agreement, payloads));
        let Some(followup) = &offer.followup else {
            context.host.give_back_spi(offer.spi);
            let (replaces, why) = (offer.replaces, NotifyKind::INVALID_SYNTAX);
            return context.tell(self.id, Event::ChildRefused { replaces, why });
        };
        let said = followup.payloads();
        let pending = Pending::Child(Box::new(offer));
        if let Err(pending) = self.ask(context, at, (Exchange::IkeFollowupKe, &said), pending) {
            self.undo(context, pending);
        }
    }

    /// RFC 7296 section 4: a minimal peer makes nothing new on an IKE SA that there is. All of it is closed, and whoever has data begins anew.
    pub(super) fn start_over(&mut self, context: &mut Context<'_>, why: NotifyKind) {
        self.tasks.clear();
        self.tasks
            .add(context.now.millis, Task::Close(Down::RefusedByPeer(why)));
    }

    /// Packets of the peer that are under way still come on the old one: it is closed a moment later.
    fn supersede(&mut self, context: &mut Context<'_>, old: ChildId, new: ChildId) {
        let at = context.now.after(context.config.timing.handover);
        if let Some(child) = self.children.iter_mut().find(|child| child.id == old)
            && matches!(child.fate, Fate::Live | Fate::Replaced(_))
        {
            child.fate = Fate::Replaced(new);
            self.tasks.add(at, Task::DeleteChild(old));
        }
    }

    fn child_refused(&mut self, context: &mut Context<'_>, at: usize, offer: Offer, error: &Notify) {
        let task = offer.replaces.map_or(Task::Create, Task::RekeyChild);
        if error.kind == NotifyKind::INVALID_KE_PAYLOAD
            && offer.collision.is_none()
            && offer.followup.is_none()
        {
            // Section 1.3: the same again with the group that the peer wants.
            let group = <[u8; 2]>::try_from(error.data.as_slice()).map(u16::from_be_bytes);
            let terms = self.terms.clone();
            let again = group
                .ok()
                .and_then(|group| offer.with_group(context, &terms.child, group));
            if let Some(again) = again {
                if let Err(pending) = self.ask_for_child(context, at, again) {
                    self.undo(context, pending);
                }
                return;
            }
        }
        context.host.give_back_spi(offer.spi);
        // The peer's own one took the place of what we asked for; or will, or we try again.
        if let Some(collision) = &offer.collision {
            if collision.theirs.is_none() {
                self.tasks.add(context.now.millis, task);
            }
            return;
        }
        match (error.kind, offer.replaces) {
            // RFC 9370 section 2.2.4: a peer that knows nothing of the first half has all of it again.
            (NotifyKind::TEMPORARY_FAILURE | NotifyKind::STATE_NOT_FOUND, _) => self.later(context, task),
            (NotifyKind::NO_ADDITIONAL_SAS, Some(old)) => {
                // RFC 7296 section 4: the old one is closed first, and then a new one is made.
                self.full = true;
                self.tasks.add(context.now.millis, Task::DeleteChild(old));
                self.tasks.add(context.now.millis, Task::Create);
            }
            (NotifyKind::NO_ADDITIONAL_SAS, None) if self.full => self.start_over(context, error.kind),
            (NotifyKind::CHILD_SA_NOT_FOUND, Some(old)) => {
                // Section 2.25: ours is of no use any more; a new one from scratch, unless the peer has made one meanwhile.
                let live = self.children.iter().find(|child| child.id == old);
                if live.is_some_and(|child| child.fate == Fate::Live) {
                    self.forget_child(context, old, Forgotten::Closed);
                    self.tasks.add(context.now.millis, Task::Create);
                }
            }
            (why, replaces) => {
                context.tell(self.id, Event::ChildRefused { replaces, why });
                if replaces.is_some() {
                    self.later(context, task);
                }
            }
        }
    }
}
