//! A new IKE SA instead of an old one (RFC 7296 sections 1.3.2, 2.8, 2.8.2 and 2.18).

use super::child::Collision;
use super::context::Context;
use super::established::{Established, IkeSa};
use super::followup::{Followup, Unfinished};
use super::hello::error;
use super::protection::Protection;
use super::tasks::{Pending, Task};
use crate::codec::{Exchange, IkeSpi, KeyExchange, Notify, NotifyKind, Payload, Proposal};
use crate::event::Event;
use crate::suite::{self, Ephemeral, Group, IkeSuite, Nonces, SharedSecret, Spis};
use crate::units::{AssociationId, Path, Role};

/// What we ask for.
pub(crate) struct IkeOffer {
    pub(crate) spi: IkeSpi,
    /// The peer asked for the same at the same time, and was answered; the SPI of ours in it.
    pub(crate) collision: Option<Collision<IkeSpi>>,
    /// All is agreed but a second secret.
    pub(crate) followup: Option<Followup<IkeAgreement>>,
    nonce: Vec<u8>,
    proposals: Vec<Proposal>,
    ephemeral: Ephemeral,
    /// The peer has asked for another group once.
    changed: bool,
}

/// What both ends agree on. A secret may be still to come.
pub(crate) struct IkeAgreement {
    role: Role,
    pub(crate) suite: IkeSuite,
    spis: Spis,
    /// The initiator's and the responder's.
    nonces: [Vec<u8>; 2],
    shared: Vec<SharedSecret>,
}

impl IkeAgreement {
    /// The SPI of ours.
    pub(crate) fn local_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.spis.initiator,
            Role::Responder => self.spis.responder,
        }
    }

    /// RFC 9370 section 2.2.4: the secret that is still to come in IKE_FOLLOWUP_KE.
    fn lacks(&self) -> Option<Group> {
        self.suite.additional.filter(|_| self.shared.len() < 2)
    }

    pub(crate) fn add(&mut self, shared: SharedSecret) {
        self.shared.push(shared);
    }

    fn lowest(&self) -> &[u8] {
        let [initiator, responder] = &self.nonces;
        initiator.min(responder)
    }
}

impl IkeOffer {
    /// `None` if the answer is none to what was offered.
    fn agree(&self, payloads: &[Payload]) -> Option<IkeAgreement> {
        let (proposals, responder, share) = read(payloads)?;
        let (suite, theirs) = suite::accept_ike(&self.proposals, proposals).ok()?;
        let same = suite.group == self.ephemeral.group() && share.group == suite.group.id();
        let shared = same.then(|| self.ephemeral.finish(&share.data).ok())??;
        Some(IkeAgreement {
            role: Role::Initiator,
            suite,
            spis: Spis {
                initiator: self.spi,
                responder: theirs?,
            },
            nonces: [self.nonce.clone(), responder.to_vec()],
            shared: vec![shared],
        })
    }

    pub(crate) fn new(context: &mut Context<'_>, id: AssociationId) -> Option<Self> {
        let group = *context.config.ike.groups.first()?;
        Self::with(context, id, group)
    }

    fn with(context: &mut Context<'_>, id: AssociationId, group: Group) -> Option<Self> {
        let ephemeral = Ephemeral::offer(group, &mut |out| context.host.entropy(out)).ok()?;
        let spi = context.take_ike_spi(id);
        Some(Self {
            spi,
            collision: None,
            followup: None,
            nonce: context.nonce(),
            proposals: context.config.ike.proposals(Some(spi)),
            ephemeral,
            changed: false,
        })
    }

    pub(crate) fn payloads(&self) -> Vec<Payload> {
        vec![
            Payload::Sa(self.proposals.clone()),
            Payload::Nonce(self.nonce.clone()),
            Payload::KeyExchange(KeyExchange {
                group: self.ephemeral.group().id(),
                data: self.ephemeral.public().to_vec(),
            }),
        ]
    }
}

/// SA, nonce and KE of a request or an answer.
fn read(payloads: &[Payload]) -> Option<(&[Proposal], &[u8], &KeyExchange)> {
    let (mut sa, mut nonce, mut share) = (None, None, None);
    for payload in payloads {
        match payload {
            Payload::Sa(one) => sa = Some(one.as_slice()),
            Payload::Nonce(one) => nonce = Some(one.as_slice()),
            Payload::KeyExchange(one) => share = Some(one),
            _ => {}
        }
    }
    Some((sa?, nonce?, share?))
}

impl Established {
    /// The peer asks for a new IKE SA instead of the one at this place.
    pub(super) fn rekey_for_peer(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        to: (Path, Exchange),
        payloads: &[Payload],
    ) {
        let sa = &self.sas[at];
        let ours = sa.window.outstanding().map(|outstanding| &outstanding.what);
        // Section 2.25: exchanges of ours about pairs must end first, on the IKE SA on which they began.
        let busy = ours.is_some_and(|ours| {
            matches!(
                ours,
                Pending::Child(_) | Pending::DeleteChildren(_) | Pending::DeleteSa | Pending::Close(_)
            ) || matches!(ours, Pending::Rekey(offer) if offer.followup.is_some())
        });
        if busy || sa.local_spi() != self.current || sa.ended.is_some() {
            return self.refuse(context, at, to, NotifyKind::TEMPORARY_FAILURE);
        }
        let spi = context.take_ike_spi(self.id);
        match Self::respond_rekey(context, spi, payloads) {
            Err(error) => {
                context.give_back_ike_spi(spi);
                self.reply(context, at, to, &[Payload::Notify(error)]);
            }
            Ok((mut said, agreement)) if agreement.lacks().is_some() => {
                self.meet(at, (None, agreement.lowest()));
                said.push(self.keep_half(context, at, Unfinished::Ike(Box::new(agreement))));
                self.reply(context, at, to, &said);
            }
            Ok((said, agreement)) => {
                let lowest = agreement.lowest().to_vec();
                let Some(new) = self.successor(context, at, agreement) else {
                    context.give_back_ike_spi(spi);
                    return self.refuse(context, at, to, NotifyKind::TEMPORARY_FAILURE);
                };
                let suite = new.suite;
                self.sas.push(new);
                self.reply(context, at, to, &said);
                if !self.meet(at, (Some(spi), &lowest)) {
                    self.survive(context, spi, (Role::Responder, suite));
                }
            }
        }
    }

    /// The peer asks for the same as we do, if we do. Section 2.8.2: nonces decide when our answer comes.
    fn meet(&mut self, at: usize, (theirs, lowest): (Option<IkeSpi>, &[u8])) -> bool {
        let outstanding = self.sas[at].window.outstanding_mut();
        let Some(Pending::Rekey(offer)) = outstanding.map(|outstanding| &mut outstanding.what) else {
            return false;
        };
        let lowest = lowest.to_vec();
        offer.collision = Some(Collision { theirs, lowest });
        true
    }

    fn respond_rekey(
        context: &mut Context<'_>,
        spi: IkeSpi,
        payloads: &[Payload],
    ) -> Result<(Vec<Payload>, IkeAgreement), Notify> {
        let plain = |kind| Notify::new(kind, Vec::new());
        let (proposals, initiator, share) =
            read(payloads).ok_or_else(|| plain(NotifyKind::INVALID_SYNTAX))?;
        let chosen = suite::choose_ike(&context.config.ike, proposals, Some(share.group), Some(spi))
            .map_err(|_| plain(NotifyKind::NO_PROPOSAL_CHOSEN))?;
        let theirs = chosen.peer_spi.ok_or_else(|| plain(NotifyKind::INVALID_SYNTAX))?;
        let group = chosen.suite.group;
        if share.group != group.id() {
            let wanted = group.id().to_be_bytes().to_vec();
            return Err(Notify::new(NotifyKind::INVALID_KE_PAYLOAD, wanted));
        }
        let (public, shared) = suite::answer(group, &share.data, &mut |out| context.host.entropy(out))
            .map_err(|_| plain(NotifyKind::INVALID_SYNTAX))?;
        let responder = context.nonce();
        let agreement = IkeAgreement {
            role: Role::Responder,
            suite: chosen.suite,
            spis: Spis {
                initiator: theirs,
                responder: spi,
            },
            nonces: [initiator.to_vec(), responder.clone()],
            shared: vec![shared],
        };
        let said = vec![
            Payload::Sa(vec![chosen.answer]),
            Payload::Nonce(responder),
            Payload::KeyExchange(KeyExchange {
                group: group.id(),
                data: public,
            }),
        ];
        Ok((said, agreement))
    }

    pub(super) fn successor(
        &self,
        context: &Context<'_>,
        at: usize,
        agreement: IkeAgreement,
    ) -> Option<IkeSa> {
        let old = &self.sas[at];
        let (suite, spis) = (agreement.suite, agreement.spis);
        let [initiator, responder] = &agreement.nonces;
        let nonces = Nonces { initiator, responder };
        let shared: Vec<&SharedSecret> = agreement.shared.iter().collect();
        let keys = old.keys.rekeyed(suite.prf, suite.cipher, nonces, &shared, spis);
        // The old keys stand in the new ones, and with them what an additional exchange gave (section 2.18).
        let suite = IkeSuite {
            additional: suite.additional.or(old.suite.additional),
            ..suite
        };
        let (fragments, max) = (old.protection.fragments(), context.config.max_datagram);
        let both = (spis.initiator, spis.responder);
        let protection = Protection::new(agreement.role, both, &keys, fragments, max).ok()?;
        Some(IkeSa::new(protection, suite, keys, context.now.millis))
    }

    pub(super) fn ike_answered(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        mut offer: IkeOffer,
        payloads: &[Payload],
    ) {
        let old = self.sas[at].local_spi();
        if let Some(error) = error(payloads) {
            return self.ike_refused(context, at, offer, error);
        }
        self.temporary = 0;
        let agreed = match offer.followup.take() {
            None => offer.agree(payloads),
            Some(followup) => followup.finish(payloads).map(|(mut agreement, shared)| {
                agreement.add(shared);
                agreement
            }),
        };
        let Some(agreement) = agreed else {
            context.give_back_ike_spi(offer.spi);
            return self.settle_rekey(context, old, offer.collision);
        };
        // Section 2.8.2: of two the one with the lowest nonce goes. The peer's may be there already, because it did not see ours in time.
        let lowest = agreement.lowest();
        let collision = offer.collision.as_ref();
        let lost = collision.is_some_and(|theirs| lowest < &theirs.lowest[..]) || self.current != old;
        if agreement.lacks().is_some() {
            return self.follow_up_ike(context, at, (offer, agreement, lost), payloads);
        }
        let Some(new) = self.successor(context, at, agreement) else {
            context.give_back_ike_spi(offer.spi);
            return self.settle_rekey(context, old, offer.collision);
        };
        let suite = new.suite;
        self.sas.push(new);
        if lost {
            // It is closed by whoever made it, the other has the pairs.
            self.tasks.add(context.now.millis, Task::DeleteSa(offer.spi));
            self.settle_rekey(context, old, offer.collision);
        } else {
            self.survive(context, offer.spi, (Role::Initiator, suite));
            self.tasks.add(context.now.millis, Task::DeleteSa(old));
        }
    }

    /// The IKE SA lacks its second secret.
    fn follow_up_ike(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        (mut offer, agreement, lost): (IkeOffer, IkeAgreement, bool),
        payloads: &[Payload],
    ) {
        let old = self.sas[at].local_spi();
        if lost {
            // RFC 9370 section 2.2.4: it is not followed up, and so there is nothing to close.
            context.give_back_ike_spi(offer.spi);
            return self.settle_rekey(context, old, offer.collision);
        }
        // Nor does the peer follow up its own.
        self.drop_half(context, at);
        let group = agreement.lacks();
        offer.followup = group.and_then(|group| Followup::new(context, group, agreement, payloads));
        let Some(followup) = &offer.followup else {
            context.give_back_ike_spi(offer.spi);
            return self.settle_rekey(context, old, None);
        };
        let said = followup.payloads();
        let pending = Pending::Rekey(Box::new(offer));
        if let Err(pending) = self.ask(context, at, (Exchange::IkeFollowupKe, &said), pending) {
            self.undo(context, pending);
        }
    }

    fn ike_refused(&mut self, context: &mut Context<'_>, at: usize, offer: IkeOffer, error: &Notify) {
        let old = self.sas[at].local_spi();
        context.give_back_ike_spi(offer.spi);
        if offer.collision.is_some() {
            return self.settle_rekey(context, old, offer.collision);
        }
        let wanted = <[u8; 2]>::try_from(error.data.as_slice()).map(u16::from_be_bytes);
        let group = wanted.ok().and_then(Group::from_id).filter(|group| {
            error.kind == NotifyKind::INVALID_KE_PAYLOAD
                && offer.followup.is_none()
                && !offer.changed
                && *group != offer.ephemeral.group()
                && context.config.ike.groups.contains(group)
        });
        if let Some(mut again) = group.and_then(|group| IkeOffer::with(context, self.id, group)) {
            again.changed = true;
            let said = again.payloads();
            let asked = self.ask(
                context,
                at,
                (Exchange::CreateChildSa, &said),
                Pending::Rekey(Box::new(again)),
            );
            if let Err(pending) = asked {
                self.undo(context, pending);
            }
            return;
        }
        if error.kind == NotifyKind::NO_ADDITIONAL_SAS {
            return self.start_over(context, error.kind);
        }
        self.later(context, Task::RekeyIke);
    }

    /// Ours came to nothing; the peer's, if there is one, goes on.
    fn settle_rekey(&mut self, context: &mut Context<'_>, old: IkeSpi, collision: Option<Collision<IkeSpi>>) {
        if self.current != old {
            return;
        }
        let theirs = collision.as_ref().and_then(|collision| collision.theirs);
        match theirs.and_then(|theirs| self.place(theirs)) {
            // The peer is to follow up. If it does not, we try again.
            None if collision.is_some_and(|collision| collision.theirs.is_none()) => {
                self.tasks.add(context.now.millis, Task::RekeyIke);
            }
            Some(at) => {
                let (spi, suite) = (self.sas[at].local_spi(), self.sas[at].suite);
                self.survive(context, spi, (Role::Responder, suite));
            }
            None => self.later(context, Task::RekeyIke),
        }
    }

    /// This one has the pairs from now on.
    pub(super) fn survive(&mut self, context: &mut Context<'_>, spi: IkeSpi, (by, suite): (Role, IkeSuite)) {
        let old = std::mem::replace(&mut self.current, spi);
        self.tasks.drop(&Task::RekeyIke);
        if by == Role::Responder {
            // The peer closes the old one when it has our answer. If it never does, we do.
            let at = context.now.after(2 * context.config.timing.patience());
            self.tasks.add(at, Task::DeleteSa(old));
        }
        context.tell(self.id, Event::Rekeyed { by, suite });
    }
}
