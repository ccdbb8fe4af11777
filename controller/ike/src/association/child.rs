//! A pair of ESP SAs: offered, answered, agreed (RFC 7296 sections 1.3, 2.9, 2.17).

use super::context::Context;
use super::hello::{note, noted};
use super::selectors::{narrow, within};
use crate::codec::{KeyExchange, Notify, NotifyKind, Payload, Proposal, Protocol, Selector};
use crate::event::NewChild;
use crate::suite::{self, ChildKeys, Ephemeral, EspSuite, Group, IkeKeys, Nonces};
use crate::terms::{ChildTerms, Mode};
use crate::units::{ChildId, Role};
use kith_esp::Spi;

/// What we ask for.
pub(crate) struct Offer {
    pub(crate) spi: Spi,
    pub(crate) nonce: Vec<u8>,
    pub(crate) replaces: Option<ChildId>,
    /// The peer asked for the same at the same time, and was answered (section 2.8.1).
    pub(crate) collision: Option<Collision<ChildId>>,
    /// Pairs unknown to us that the peer closed meanwhile, by the SPI that it received on: ours may be among them.
    pub(crate) closed: Vec<u32>,
    proposals: Vec<Proposal>,
    ephemeral: Option<Ephemeral>,
    mode: Mode,
    local: Vec<Selector>,
    remote: Vec<Selector>,
}

/// The other of two simultaneous exchanges.
pub(crate) struct Collision<T> {
    pub(crate) theirs: T,
    /// The lower of its two nonces.
    pub(crate) lowest: Vec<u8>,
}

/// One that is agreed.
pub(crate) struct Child {
    pub(crate) id: ChildId,
    /// The peer writes it.
    pub(crate) inbound: Spi,
    /// We write it.
    pub(crate) outbound: Spi,
    /// The host was told to seal with it.
    pub(crate) sending: bool,
    pub(crate) fate: Fate,
}

/// What is to become of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is used.
    Live,
    /// The peer made another at the same time, and that one stays: we are about to close this one.
    Redundant,
    /// Another is there instead; one of the ends will close this one.
    Replaced(ChildId),
    /// We are closing it.
    Deleting(Option<ChildId>),
    /// It is closed, and opens late packets until then.
    Lingering(u64, Option<ChildId>),
}

/// An answer to what a peer asks for.
pub(crate) struct Responded {
    pub(crate) said: Vec<Payload>,
    pub(crate) new: NewChild,
    pub(crate) child: Child,
    /// The lower nonce of the two.
    pub(crate) lowest: Vec<u8>,
}

impl Offer {
    /// For IKE_AUTH: no nonce and no group of its own.
    pub(crate) fn first(spi: Spi, terms: &ChildTerms) -> Self {
        Self::new(spi, terms, Vec::new(), None, None)
    }

    /// For CREATE_CHILD_SA.
    pub(crate) fn later(
        context: &mut Context<'_>,
        spi: Spi,
        terms: &ChildTerms,
        replaces: Option<ChildId>,
    ) -> Option<Self> {
        let ephemeral = match terms.suites.groups.first().copied() {
            Some(group) => Some(Ephemeral::offer(group, &mut |out| context.host.entropy(out)).ok()?),
            None => None,
        };
        Some(Self::new(spi, terms, context.nonce(), ephemeral, replaces))
    }

    fn new(
        spi: Spi,
        terms: &ChildTerms,
        nonce: Vec<u8>,
        ephemeral: Option<Ephemeral>,
        replaces: Option<ChildId>,
    ) -> Self {
        // RFC 9370 section 2.2.4 wants IKE_FOLLOWUP_KE for an additional exchange here, which we do not have: so none is offered.
        let proposals = if nonce.is_empty() {
            // Section 1.2: the SA payload of IKE_AUTH has no groups.
            terms.suites.without_exchange().proposals(spi)
        } else {
            terms.suites.without_additional().proposals(spi)
        };
        Self {
            spi,
            nonce,
            replaces,
            collision: None,
            closed: Vec::new(),
            proposals,
            ephemeral,
            mode: terms.mode,
            local: terms.local.clone(),
            remote: terms.remote.clone(),
        }
    }

    /// Which pair is to be replaced: the SPI that we receive on (section 1.3.3).
    pub(crate) fn replacing(inbound: Spi) -> Payload {
        Payload::Notify(Notify {
            protocol: Protocol::Esp,
            spi: inbound.get().to_be_bytes().to_vec(),
            kind: NotifyKind::REKEY_SA,
            data: Vec::new(),
        })
    }

    pub(crate) fn payloads(&self) -> Vec<Payload> {
        let mut out = Vec::new();
        if self.mode == Mode::Transport {
            out.push(note(NotifyKind::USE_TRANSPORT_MODE, Vec::new()));
        }
        out.push(Payload::Sa(self.proposals.clone()));
        if !self.nonce.is_empty() {
            out.push(Payload::Nonce(self.nonce.clone()));
        }
        if let Some(ephemeral) = &self.ephemeral {
            out.push(Payload::KeyExchange(KeyExchange {
                group: ephemeral.group().id(),
                data: ephemeral.public().to_vec(),
            }));
        }
        out.push(Payload::SelectorsInitiator(self.local.clone()));
        out.push(Payload::SelectorsResponder(self.remote.clone()));
        out
    }

    /// Another group, which the responder asked for; `None` if it is not one of ours.
    pub(crate) fn with_group(
        &self,
        context: &mut Context<'_>,
        terms: &ChildTerms,
        group: u16,
    ) -> Option<Self> {
        let group = Group::from_id(group).filter(|group| terms.suites.groups.contains(group))?;
        if self.ephemeral.as_ref().is_none_or(|ours| ours.group() == group) {
            return None;
        }
        let ephemeral = Ephemeral::offer(group, &mut |out| context.host.entropy(out)).ok()?;
        Some(Self::new(
            self.spi,
            terms,
            context.nonce(),
            Some(ephemeral),
            self.replaces,
        ))
    }

    /// What the responder's answer makes of it.
    pub(crate) fn finish(
        &self,
        context: &mut Context<'_>,
        (keys, first): (&IkeKeys, Option<Nonces<'_>>),
        answer: &[Payload],
    ) -> Result<(NewChild, Child), NotifyKind> {
        let read = Read::of(answer).ok_or(NotifyKind::INVALID_SYNTAX)?;
        let (suite, spi) =
            suite::accept_esp(&self.proposals, read.proposals).map_err(|_| NotifyKind::NO_PROPOSAL_CHOSEN)?;
        let transport = noted(answer, NotifyKind::USE_TRANSPORT_MODE).is_some();
        // Section 1.3.1: the responder may fall back to tunnel mode; whoever asked closes what it does not want.
        if (self.mode == Mode::Transport) != transport {
            return Err(NotifyKind::NO_PROPOSAL_CHOSEN);
        }
        if !within(read.initiator, &self.local) || !within(read.responder, &self.remote) {
            return Err(NotifyKind::TS_UNACCEPTABLE);
        }
        let shared = match (&self.ephemeral, read.share, suite.group) {
            (Some(ours), Some(theirs), Some(group))
                if theirs.group == group.id() && ours.group() == group =>
            {
                let shared = ours.finish(&theirs.data);
                Some(shared.map_err(|_| NotifyKind::INVALID_SYNTAX)?)
            }
            (_, None, None) => None,
            _ => return Err(NotifyKind::INVALID_SYNTAX),
        };
        let nonces = match (first, read.nonce) {
            (Some(first), _) => first,
            (None, Some(responder)) => Nonces {
                initiator: &self.nonce,
                responder,
            },
            (None, None) => return Err(NotifyKind::INVALID_SYNTAX),
        };
        let keys = keys.child_keys(suite, nonces, shared.as_ref().as_slice());
        let traffic = (self.mode, read.initiator.to_vec(), read.responder.to_vec());
        let spis = (self.spi, spi);
        Ok(agreed(
            context,
            (Role::Initiator, self.replaces),
            spis,
            (suite, keys),
            traffic,
        ))
    }

    /// The lower of our nonce and the one in the answer (section 2.8.1).
    pub(crate) fn lowest<'a>(&'a self, answer: &'a [Payload]) -> &'a [u8] {
        let theirs = answer.iter().find_map(|payload| match payload {
            Payload::Nonce(nonce) => Some(nonce.as_slice()),
            _ => None,
        });
        theirs.map_or(&self.nonce, |theirs| theirs.min(&self.nonce))
    }
}

/// Answers what a peer asks for. The new pair opens packets from now on.
pub(crate) fn respond(
    context: &mut Context<'_>,
    terms: &ChildTerms,
    (keys, first): (&IkeKeys, Option<Nonces<'_>>),
    (asked, replaces): (&[Payload], Option<ChildId>),
) -> Result<Responded, Notify> {
    let spi = context
        .host
        .take_spi()
        .ok_or_else(|| plain(NotifyKind::NO_ADDITIONAL_SAS))?;
    let responded = respond_with(context, (spi, terms), (keys, first), (asked, replaces));
    if responded.is_err() {
        context.host.give_back_spi(spi);
    }
    responded
}

fn respond_with(
    context: &mut Context<'_>,
    (spi, terms): (Spi, &ChildTerms),
    (keys, first): (&IkeKeys, Option<Nonces<'_>>),
    (asked, replaces): (&[Payload], Option<ChildId>),
) -> Result<Responded, Notify> {
    let read = Read::of(asked).ok_or_else(|| plain(NotifyKind::INVALID_SYNTAX))?;
    let suites = match first {
        Some(_) => &terms.suites.without_exchange(),
        // RFC 9370 section 2.2.4: nor is one taken.
        None => &terms.suites.without_additional(),
    };
    let sent = read.share.map(|share| share.group);
    let chosen = suite::choose_esp(suites, read.proposals, sent, spi)
        .map_err(|_| plain(NotifyKind::NO_PROPOSAL_CHOSEN))?;
    let transport = noted(asked, NotifyKind::USE_TRANSPORT_MODE).is_some();
    if transport != (terms.mode == Mode::Transport) {
        return Err(plain(NotifyKind::NO_PROPOSAL_CHOSEN));
    }
    // Seen from here, the initiator's side is the remote one.
    let (remote, local) = (
        narrow(read.initiator, &terms.remote),
        narrow(read.responder, &terms.local),
    );
    if remote.is_empty() || local.is_empty() {
        return Err(plain(NotifyKind::TS_UNACCEPTABLE));
    }
    let mut exchanged = None;
    if let Some(group) = chosen.suite.group {
        let theirs = read
            .share
            .filter(|share| share.group == group.id())
            .ok_or_else(|| {
                // Section 1.3: the group that we would have chosen.
                Notify::new(NotifyKind::INVALID_KE_PAYLOAD, group.id().to_be_bytes().to_vec())
            })?;
        let answer = suite::answer(group, &theirs.data, &mut |out| context.host.entropy(out));
        exchanged = Some((group, answer.map_err(|_| plain(NotifyKind::INVALID_SYNTAX))?));
    }
    let own = context.nonce();
    let nonces = match (first, read.nonce) {
        (Some(first), _) => first,
        (None, Some(initiator)) => Nonces {
            initiator,
            responder: &own,
        },
        (None, None) => return Err(plain(NotifyKind::INVALID_SYNTAX)),
    };
    let shared = exchanged.as_ref().map(|(_, (_, shared))| shared);
    let keys = keys.child_keys(chosen.suite, nonces, shared.as_slice());
    let lowest = nonces.initiator.min(nonces.responder).to_vec();
    let mut said = Vec::new();
    if transport {
        said.push(note(NotifyKind::USE_TRANSPORT_MODE, Vec::new()));
    }
    said.push(Payload::Sa(vec![chosen.answer]));
    if first.is_none() {
        said.push(Payload::Nonce(own));
    }
    said.extend(exchanged.map(|(group, (data, _))| {
        Payload::KeyExchange(KeyExchange {
            group: group.id(),
            data,
        })
    }));
    said.push(Payload::SelectorsInitiator(remote.clone()));
    said.push(Payload::SelectorsResponder(local.clone()));
    let (roles, spis) = ((Role::Responder, replaces), (spi, chosen.peer_spi));
    let (new, child) = agreed(
        context,
        roles,
        spis,
        (chosen.suite, keys),
        (terms.mode, local, remote),
    );
    Ok(Responded {
        said,
        new,
        child,
        lowest,
    })
}

fn plain(kind: NotifyKind) -> Notify {
    Notify::new(kind, Vec::new())
}

fn agreed(
    context: &mut Context<'_>,
    (role, replaces): (Role, Option<ChildId>),
    (inbound, outbound): (Spi, Spi),
    (suite, keys): (EspSuite, ChildKeys),
    (mode, local, remote): (Mode, Vec<Selector>, Vec<Selector>),
) -> (NewChild, Child) {
    let (to_us, from_us) = match role {
        Role::Initiator => (keys.responder_to_initiator, keys.initiator_to_responder),
        Role::Responder => (keys.initiator_to_responder, keys.responder_to_initiator),
    };
    let id = context.child_id();
    let new = NewChild {
        id,
        replaces,
        role,
        inbound: (inbound, to_us),
        outbound: (outbound, from_us),
        suite,
        mode,
        local,
        remote,
    };
    let child = Child {
        id,
        inbound,
        outbound,
        sending: false,
        fate: Fate::Live,
    };
    (new, child)
}

/// The payloads that a child is agreed with.
struct Read<'a> {
    proposals: &'a [Proposal],
    nonce: Option<&'a [u8]>,
    share: Option<&'a KeyExchange>,
    initiator: &'a [Selector],
    responder: &'a [Selector],
}

impl<'a> Read<'a> {
    /// `None` if one is missing or there twice.
    fn of(payloads: &'a [Payload]) -> Option<Self> {
        let (mut sa, mut nonce, mut share) = (None, None, None);
        let (mut initiator, mut responder) = (None, None);
        for payload in payloads {
            let twice = match payload {
                Payload::Sa(one) => sa.replace(one).is_some(),
                Payload::Nonce(one) => nonce.replace(one.as_slice()).is_some(),
                Payload::KeyExchange(one) => share.replace(one).is_some(),
                Payload::SelectorsInitiator(one) => initiator.replace(one).is_some(),
                Payload::SelectorsResponder(one) => responder.replace(one).is_some(),
                _ => false,
            };
            if twice {
                return None;
            }
        }
        let proposals: &[Proposal] = sa?;
        proposals
            .iter()
            .all(|proposal| proposal.protocol == Protocol::Esp)
            .then_some(())?;
        Some(Self {
            proposals,
            nonce,
            share,
            initiator: initiator?,
            responder: responder?,
        })
    }
}
