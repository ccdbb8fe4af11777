//! IKE_FOLLOWUP_KE: what is made by CREATE_CHILD_SA has a second secret, by an exchange of its own (RFC 9370 section 2.2.4).
//!
//! ```text
//!  initiator ── CREATE_CHILD_SA: SA Ni KE ──────────► responder
//!            ◄─ SA Nr KE N(ADDITIONAL_KEY_EXCHANGE) ─           keeps what is agreed as a half, for a while
//!            ── IKE_FOLLOWUP_KE: KE(1) N(the same) ──►          the half becomes a pair, or an IKE SA
//!            ◄─ KE(1) ───────────────────────────────           and here it does
//! ```
//!
//! Nothing exists before the last message: a half seals no packet, and what it is to replace goes on as if nothing was. So of two halves for the
//! same the one with the lowest nonce is not followed up, and there is nothing to close (RFC 9370 section 2.2.4; RFC 7296 section 2.8.1).

use super::child::{Agreement, Fate};
use super::context::Context;
use super::established::Established;
use super::hello::note;
use super::intermediate;
use super::rekey::IkeAgreement;
use super::tasks::{Pending, Task};
use crate::codec::{Exchange, NotifyKind, Payload};
use crate::suite::{self, Ephemeral, Group, SharedSecret};
use crate::units::{ChildId, Path, Role};

/// A half that is not followed up is forgotten after so long, milliseconds: RFC 9370 section 2.2.4 finds 5 to 20 seconds fit.
const PATIENCE: u64 = 20_000;

/// An initiator's part, from the answer to CREATE_CHILD_SA on.
pub(crate) struct Followup<A> {
    agreement: A,
    ephemeral: Ephemeral,
    /// The responder knows by it which half is meant.
    link: Vec<u8>,
}

/// A responder's part.
pub(crate) struct Half {
    link: Vec<u8>,
    until: u64,
    what: Unfinished,
}

/// What lacks its second secret.
pub(crate) enum Unfinished {
    Child(Box<Agreement>),
    Ike(Box<IkeAgreement>),
}

impl<A> Followup<A> {
    /// `None` if the answer has no link.
    pub(crate) fn new(
        context: &mut Context<'_>,
        group: Group,
        agreement: A,
        answer: &[Payload],
    ) -> Option<Self> {
        let link = link(answer)?.to_vec();
        let ephemeral = Ephemeral::offer(group, &mut |out| context.host.entropy(out)).ok()?;
        Some(Self {
            agreement,
            ephemeral,
            link,
        })
    }

    pub(crate) fn payloads(&self) -> [Payload; 2] {
        // RFC 9370 section 2.2.4: the link goes back as it came.
        [
            intermediate::payload(self.ephemeral.group(), self.ephemeral.public().to_vec()),
            note(NotifyKind::ADDITIONAL_KEY_EXCHANGE, self.link.clone()),
        ]
    }

    /// What was agreed, and the secret that was still to come.
    pub(crate) fn finish(self, answer: &[Payload]) -> Option<(A, SharedSecret)> {
        let share = intermediate::share(answer, self.ephemeral.group())?;
        let shared = self.ephemeral.finish(share).ok()?;
        Some((self.agreement, shared))
    }
}

impl Half {
    pub(crate) fn until(&self) -> u64 {
        self.until
    }

    /// What would meet the peer's followup half-way waits until that has come or does not come any more.
    pub(crate) fn lets(&self, task: &Task) -> bool {
        let about_pairs = matches!(
            task,
            Task::Create | Task::RekeyChild(_) | Task::DeleteChild(_) | Task::Reject(_)
        );
        match (&self.what, task) {
            (_, Task::RekeyIke) => false,
            // RFC 7296 section 2.25: exchanges about pairs end on the IKE SA on which they began, and this one is about to go.
            (Unfinished::Ike(_), _) if about_pairs => false,
            (Unfinished::Child(agreement), Task::RekeyChild(id)) => agreement.replaces != Some(*id),
            _ => true,
        }
    }

    fn group(&self) -> Option<Group> {
        match &self.what {
            Unfinished::Child(agreement) => agreement.suite.additional,
            Unfinished::Ike(agreement) => agreement.suite.additional,
        }
    }
}

/// The one link that there must be.
fn link(payloads: &[Payload]) -> Option<&[u8]> {
    let mut links = payloads.iter().filter_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind == NotifyKind::ADDITIONAL_KEY_EXCHANGE => Some(&notify.data),
        _ => None,
    });
    let link = links.next()?;
    links.next().is_none().then_some(link)
}

impl Established {
    /// Keeps what is answered and lacks a secret, and gives the link to it. A peer with a window of one that asks for something else meanwhile
    /// has given up what it asked for before.
    pub(super) fn keep_half(&mut self, context: &mut Context<'_>, at: usize, what: Unfinished) -> Payload {
        self.drop_half(context, at);
        let mut link = vec![0; 8];
        context.host.entropy(&mut link);
        self.sas[at].half = Some(Half {
            link: link.clone(),
            until: context.now.after(PATIENCE),
            what,
        });
        note(NotifyKind::ADDITIONAL_KEY_EXCHANGE, link)
    }

    /// RFC 9370 section 2.2.4: a peer that never follows up leaves nothing behind.
    pub(super) fn drop_half(&mut self, context: &mut Context<'_>, at: usize) {
        if let Some(half) = self.sas[at].half.take() {
            give_back(context, &half.what);
        }
    }

    /// The peer follows up.
    pub(super) fn followed_up(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        path: Path,
        payloads: &[Payload],
    ) {
        let to = (path, Exchange::IkeFollowupKe);
        let Some(link) = link(payloads) else {
            return self.refuse(context, at, to, NotifyKind::INVALID_SYNTAX);
        };
        let sa = &mut self.sas[at];
        let here = sa.local_spi() == self.current && sa.ended.is_none();
        // RFC 7296 section 2.25.2: nothing new on an IKE SA that we are closing.
        let ours = sa.window.outstanding().map(|outstanding| &outstanding.what);
        let closing = matches!(ours, Some(Pending::DeleteSa | Pending::Close(_)));
        let Some(half) = sa.half.take_if(|half| half.link == link) else {
            // RFC 9370 section 2.2.4: the peer begins from the start.
            return self.refuse(context, at, to, NotifyKind::STATE_NOT_FOUND);
        };
        // What it is to replace may be closed by now.
        let wanted = match &half.what {
            Unfinished::Ike(_) => true,
            Unfinished::Child(agreement) => agreement.replaces.is_none_or(|old| self.is_live(old)),
        };
        if !here || closing || !wanted {
            give_back(context, &half.what);
            return self.refuse(context, at, to, NotifyKind::STATE_NOT_FOUND);
        }
        let answer = half.group().and_then(|group| {
            let share = intermediate::share(payloads, group)?;
            let answer = suite::answer(group, share, &mut |out| context.host.entropy(out)).ok();
            answer.map(|(public, shared)| ([intermediate::payload(group, public)], shared))
        });
        let Some((said, shared)) = answer else {
            give_back(context, &half.what);
            return self.refuse(context, at, to, NotifyKind::INVALID_SYNTAX);
        };
        match half.what {
            Unfinished::Child(mut agreement) => {
                agreement.add(shared);
                self.child_agreed(context, at, to, (said.into(), *agreement));
            }
            Unfinished::Ike(mut agreement) => {
                agreement.add(shared);
                let spi = agreement.local_spi();
                let Some(new) = self.successor(context, at, *agreement) else {
                    context.give_back_ike_spi(spi);
                    return self.refuse(context, at, to, NotifyKind::TEMPORARY_FAILURE);
                };
                let suite = new.suite;
                self.sas.push(new);
                self.reply(context, at, to, &said);
                // Section 2.8.2: the peer knew our nonces and went on, so if we asked for the same it is ours that was lost.
                self.survive(context, spi, (Role::Responder, suite));
            }
        }
    }

    /// The peer asks for the same as we do. If it makes it later than now, what it makes has no name yet.
    pub(super) fn meet_child(&mut self, at: usize, old: ChildId, (theirs, lowest): (Option<ChildId>, &[u8])) {
        if let Some(outstanding) = self.sas[at].window.outstanding_mut()
            && let Pending::Child(offer) = &mut outstanding.what
            && offer.replaces == Some(old)
        {
            let lowest = lowest.to_vec();
            offer.collision = Some(super::child::Collision { theirs, lowest });
        }
    }

    pub(super) fn is_live(&self, id: ChildId) -> bool {
        self.children
            .iter()
            .any(|child| child.id == id && child.fate == Fate::Live)
    }
}

fn give_back(context: &mut Context<'_>, what: &Unfinished) {
    match what {
        Unfinished::Child(agreement) => context.host.give_back_spi(agreement.inbound()),
        Unfinished::Ike(agreement) => context.give_back_ike_spi(agreement.local_spi()),
    }
}
