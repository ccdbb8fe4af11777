//! A new IKE SA instead of an old one (RFC 7296 sections 1.3.2, 2.8, 2.8.2 and 2.18).

use super::child::Collision;
use super::context::Context;
use super::established::{Established, IkeSa};
use super::hello::error;
use super::protection::Protection;
use super::tasks::{Pending, Task};
use crate::codec::{Exchange, IkeSpi, KeyExchange, Notify, NotifyKind, Payload, Proposal};
use crate::event::Event;
use crate::suite::{
    self, Additional, Ephemeral, Group, IkePreferences, IkeSuite, Nonces, SharedSecret, Spis,
};
use crate::units::{AssociationId, Path, Role};

/// What we ask for.
pub(crate) struct IkeOffer {
    pub(crate) spi: IkeSpi,
    /// The peer asked for the same at the same time, and was answered; the SPI of ours in it.
    pub(crate) collision: Option<Collision<IkeSpi>>,
    nonce: Vec<u8>,
    proposals: Vec<Proposal>,
    ephemeral: Ephemeral,
}

/// Keys of the old one stand in those of the new one: what the additional exchange of the handshake gave stays in them (section 2.18).
fn preferences(context: &Context<'_>) -> IkePreferences {
    IkePreferences {
        additional: Additional::Off,
        ..context.config.ike.clone()
    }
}

impl IkeOffer {
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
            nonce: context.nonce(),
            proposals: preferences(context).proposals(Some(spi)),
            ephemeral,
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
            )
        });
        if busy || sa.local_spi() != self.current || sa.ended.is_some() {
            return self.refuse(context, at, to, NotifyKind::TEMPORARY_FAILURE);
        }
        let spi = context.take_ike_spi(self.id);
        match self.respond_rekey(context, at, spi, payloads) {
            Err(error) => {
                context.give_back_ike_spi(spi);
                self.reply(context, at, to, &[Payload::Notify(error)]);
            }
            Ok((said, new, lowest)) => {
                let suite = new.suite;
                self.sas.push(new);
                self.reply(context, at, to, &said);
                if let Some(outstanding) = self.sas[at].window.outstanding_mut()
                    && let Pending::Rekey(offer) = &mut outstanding.what
                {
                    // Section 2.8.2: nonces decide when our answer comes.
                    offer.collision = Some(Collision { theirs: spi, lowest });
                    return;
                }
                self.survive(context, spi, (Role::Responder, suite));
            }
        }
    }

    fn respond_rekey(
        &self,
        context: &mut Context<'_>,
        at: usize,
        spi: IkeSpi,
        payloads: &[Payload],
    ) -> Result<(Vec<Payload>, IkeSa, Vec<u8>), Notify> {
        let plain = |kind| Notify::new(kind, Vec::new());
        let (proposals, initiator, share) =
            read(payloads).ok_or_else(|| plain(NotifyKind::INVALID_SYNTAX))?;
        let chosen = suite::choose_ike(&preferences(context), proposals, Some(share.group), Some(spi))
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
        let nonces = Nonces {
            initiator,
            responder: &responder,
        };
        let new = self.successor(
            context,
            at,
            Role::Responder,
            (chosen.suite, (theirs, spi)),
            (nonces, &shared),
        );
        let new = new.ok_or_else(|| plain(NotifyKind::TEMPORARY_FAILURE))?;
        let lowest = initiator.min(&responder).to_vec();
        let said = vec![
            Payload::Sa(vec![chosen.answer]),
            Payload::Nonce(responder),
            Payload::KeyExchange(KeyExchange {
                group: group.id(),
                data: public,
            }),
        ];
        Ok((said, new, lowest))
    }

    fn successor(
        &self,
        context: &Context<'_>,
        at: usize,
        role: Role,
        (suite, (initiator, responder)): (IkeSuite, (IkeSpi, IkeSpi)),
        (nonces, shared): (Nonces<'_>, &SharedSecret),
    ) -> Option<IkeSa> {
        let old = &self.sas[at];
        let spis = Spis { initiator, responder };
        let keys = old.keys.rekeyed(suite.prf, suite.cipher, nonces, &[shared], spis);
        // The old keys stand in the new ones, and with them what an additional exchange gave.
        let suite = IkeSuite {
            additional: old.suite.additional,
            ..suite
        };
        let (fragments, max) = (old.protection.fragments(), context.config.max_datagram);
        let protection = Protection::new(role, (initiator, responder), &keys, fragments, max).ok()?;
        Some(IkeSa::new(protection, suite, keys, context.now.millis))
    }

    pub(super) fn ike_answered(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        offer: IkeOffer,
        payloads: &[Payload],
    ) {
        let old = self.sas[at].local_spi();
        if let Some(error) = error(payloads) {
            return self.ike_refused(context, at, offer, error);
        }
        self.temporary = 0;
        let agreed = read(payloads).and_then(|(proposals, responder, share)| {
            let (suite, theirs) = suite::accept_ike(&offer.proposals, proposals).ok()?;
            let same = suite.group == offer.ephemeral.group() && share.group == suite.group.id();
            let shared = same.then(|| offer.ephemeral.finish(&share.data).ok())??;
            let nonces = Nonces {
                initiator: &offer.nonce,
                responder,
            };
            let new = (suite, (offer.spi, theirs?));
            let new = self.successor(context, at, Role::Initiator, new, (nonces, &shared))?;
            Some((new, responder.min(&offer.nonce).to_vec()))
        });
        let Some((new, lowest)) = agreed else {
            context.give_back_ike_spi(offer.spi);
            return self.settle_rekey(context, offer.collision);
        };
        let suite = new.suite;
        self.sas.push(new);
        match offer.collision {
            // Section 2.8.2: the one with the lowest nonce is closed by whoever made it, the other has the pairs.
            Some(collision) if lowest < collision.lowest => {
                self.tasks.add(context.now.millis, Task::DeleteSa(offer.spi));
                self.settle_rekey(context, Some(collision));
            }
            _ => {
                self.survive(context, offer.spi, (Role::Initiator, suite));
                self.tasks.add(context.now.millis, Task::DeleteSa(old));
            }
        }
    }

    fn ike_refused(&mut self, context: &mut Context<'_>, at: usize, offer: IkeOffer, error: &Notify) {
        context.give_back_ike_spi(offer.spi);
        if offer.collision.is_some() {
            return self.settle_rekey(context, offer.collision);
        }
        let wanted = <[u8; 2]>::try_from(error.data.as_slice()).map(u16::from_be_bytes);
        let group = wanted.ok().and_then(Group::from_id).filter(|group| {
            error.kind == NotifyKind::INVALID_KE_PAYLOAD
                && *group != offer.ephemeral.group()
                && context.config.ike.groups.contains(group)
        });
        if let Some(again) = group.and_then(|group| IkeOffer::with(context, self.id, group)) {
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
    fn settle_rekey(&mut self, context: &mut Context<'_>, collision: Option<Collision<IkeSpi>>) {
        match collision.and_then(|collision| self.place(collision.theirs)) {
            Some(at) => {
                let (spi, suite) = (self.sas[at].local_spi(), self.sas[at].suite);
                self.survive(context, spi, (Role::Responder, suite));
            }
            None => self.later(context, Task::RekeyIke),
        }
    }

    /// This one has the pairs from now on.
    fn survive(&mut self, context: &mut Context<'_>, spi: IkeSpi, (by, suite): (Role, IkeSuite)) {
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
