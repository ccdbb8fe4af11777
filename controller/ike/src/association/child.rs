//! A pair of ESP SAs: offered, answered, agreed (RFC 7296 sections 1.3, 2.9, 2.17).

use super::context::Context;
use super::followup::Followup;
use super::hello::{note, noted};
use super::selectors::{narrow, within};
use crate::codec::{KeyExchange, Notify, NotifyKind, Payload, Proposal, Protocol, Selector};
use crate::event::NewChild;
use crate::suite::{self, Ephemeral, EspSuite, Group, IkeKeys, Nonces, SharedSecret};
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
    /// All is agreed but a second secret.
    pub(crate) followup: Option<Followup<Agreement>>,
    proposals: Vec<Proposal>,
    ephemeral: Option<Ephemeral>,
    /// The peer has asked for another group once.
    changed: bool,
    mode: Mode,
    local: Vec<Selector>,
    remote: Vec<Selector>,
}

/// The other of two simultaneous exchanges.
pub(crate) struct Collision<T> {
    /// `None`: not made yet.
    pub(crate) theirs: Option<T>,
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

/// What both ends agree on. A secret may be still to come.
pub(crate) struct Agreement {
    role: Role,
    pub(crate) replaces: Option<ChildId>,
    /// Inbound and outbound.
    spis: (Spi, Spi),
    pub(crate) suite: EspSuite,
    /// The initiator's and the responder's.
    nonces: [Vec<u8>; 2],
    shared: Vec<SharedSecret>,
    mode: Mode,
    /// Ours and the peer's.
    selectors: [Vec<Selector>; 2],
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
        let proposals = if nonce.is_empty() {
            // Section 1.2: the SA payload of IKE_AUTH has no groups.
            terms.suites.without_exchange().proposals(spi)
        } else {
            terms.suites.proposals(spi)
        };
        Self {
            spi,
            nonce,
            replaces,
            collision: None,
            closed: Vec::new(),
            followup: None,
            proposals,
            ephemeral,
            changed: false,
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

    /// Another group, which the responder asked for; `None` if it is not one of ours, or not the first that it asked for.
    pub(crate) fn with_group(
        &self,
        context: &mut Context<'_>,
        terms: &ChildTerms,
        group: u16,
    ) -> Option<Self> {
        let group = Group::from_id(group).filter(|group| terms.suites.groups.contains(group))?;
        if self.changed || self.ephemeral.as_ref().is_none_or(|ours| ours.group() == group) {
            return None;
        }
        let ephemeral = Ephemeral::offer(group, &mut |out| context.host.entropy(out)).ok()?;
        let nonce = context.nonce();
        Some(Self {
            changed: true,
            ..Self::new(self.spi, terms, nonce, Some(ephemeral), self.replaces)
        })
    }

    /// What the responder's answer makes of it.
    pub(crate) fn agree(
        &self,
        first: Option<&[Vec<u8>; 2]>,
        answer: &[Payload],
    ) -> Result<Agreement, NotifyKind> {
        let read = Read::of(answer).ok_or(NotifyKind::INVALID_SYNTAX)?;
        let (suite, spi) =
            suite::accept_esp(&self.proposals, read.proposals).map_err(|_| NotifyKind::NO_PROPOSAL_CHOSEN)?;
        let transport = noted(answer, NotifyKind::USE_TRANSPORT_MODE).is_some();
        // RFC 7296 section 1.3.1: the responder may fall back to tunnel mode; whoever asked closes what it does not want.
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
                vec![shared.map_err(|_| NotifyKind::INVALID_SYNTAX)?]
            }
            (_, None, None) => Vec::new(),
            _ => return Err(NotifyKind::INVALID_SYNTAX),
        };
        let nonces = match (first, read.nonce) {
            (Some(first), _) => first.clone(),
            (None, Some(responder)) => [self.nonce.clone(), responder.to_vec()],
            (None, None) => return Err(NotifyKind::INVALID_SYNTAX),
        };
        Ok(Agreement {
            role: Role::Initiator,
            replaces: self.replaces,
            spis: (self.spi, spi),
            suite,
            nonces,
            shared,
            mode: self.mode,
            selectors: [read.initiator.to_vec(), read.responder.to_vec()],
        })
    }
}

impl Agreement {
    /// The SPI of ours.
    pub(crate) fn inbound(&self) -> Spi {
        self.spis.0
    }

    /// RFC 9370 section 2.2.4: the secret that is still to come in IKE_FOLLOWUP_KE.
    pub(crate) fn lacks(&self) -> Option<Group> {
        self.suite.additional.filter(|_| self.shared.len() < 2)
    }

    pub(crate) fn add(&mut self, shared: SharedSecret) {
        self.shared.push(shared);
    }

    /// The lower of the two nonces (section 2.8.1).
    pub(crate) fn lowest(&self) -> &[u8] {
        let [initiator, responder] = &self.nonces;
        initiator.min(responder)
    }

    /// The pair itself, when nothing lacks.
    pub(crate) fn make(self, context: &mut Context<'_>, keys: &IkeKeys) -> (NewChild, Child) {
        let [initiator, responder] = &self.nonces;
        let nonces = Nonces { initiator, responder };
        let shared: Vec<&SharedSecret> = self.shared.iter().collect();
        let keys = keys.child_keys(self.suite, nonces, &shared);
        let (to_us, from_us) = match self.role {
            Role::Initiator => (keys.responder_to_initiator, keys.initiator_to_responder),
            Role::Responder => (keys.initiator_to_responder, keys.responder_to_initiator),
        };
        let (id, (inbound, outbound)) = (context.child_id(), self.spis);
        let [local, remote] = self.selectors;
        let new = NewChild {
            id,
            replaces: self.replaces,
            role: self.role,
            inbound: (inbound, to_us),
            outbound: (outbound, from_us),
            suite: self.suite,
            mode: self.mode,
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
}

/// Answers what a peer asks for: what is said, and what is agreed by it.
pub(crate) fn respond(
    context: &mut Context<'_>,
    terms: &ChildTerms,
    first: Option<&[Vec<u8>; 2]>,
    (asked, replaces): (&[Payload], Option<ChildId>),
) -> Result<(Vec<Payload>, Agreement), Notify> {
    let spi = context
        .host
        .take_spi()
        .ok_or_else(|| plain(NotifyKind::NO_ADDITIONAL_SAS))?;
    let responded = respond_with(context, (spi, terms), first, (asked, replaces));
    if responded.is_err() {
        context.host.give_back_spi(spi);
    }
    responded
}

fn respond_with(
    context: &mut Context<'_>,
    (spi, terms): (Spi, &ChildTerms),
    first: Option<&[Vec<u8>; 2]>,
    (asked, replaces): (&[Payload], Option<ChildId>),
) -> Result<(Vec<Payload>, Agreement), Notify> {
    let read = Read::of(asked).ok_or_else(|| plain(NotifyKind::INVALID_SYNTAX))?;
    let suites = match first {
        Some(_) => &terms.suites.without_exchange(),
        None => &terms.suites,
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
    // RFC 7296 section 3.3.6: with the group NONE a KE payload that came is ignored, and none is sent.
    let mut exchanged = None;
    if let Some(group) = chosen.suite.group {
        let theirs = read
            .share
            .filter(|share| share.group == group.id())
            .ok_or_else(|| {
                // RFC 7296 sections 1.3 and 3.4: the group that we would have chosen.
                Notify::new(NotifyKind::INVALID_KE_PAYLOAD, group.id().to_be_bytes().to_vec())
            })?;
        let answer = suite::answer(group, &theirs.data, &mut |out| context.host.entropy(out));
        exchanged = Some((group, answer.map_err(|_| plain(NotifyKind::INVALID_SYNTAX))?));
    }
    let own = context.nonce();
    let nonces = match (first, read.nonce) {
        (Some(first), _) => first.clone(),
        (None, Some(initiator)) => [initiator.to_vec(), own.clone()],
        (None, None) => return Err(plain(NotifyKind::INVALID_SYNTAX)),
    };
    let mut said = Vec::new();
    if transport {
        said.push(note(NotifyKind::USE_TRANSPORT_MODE, Vec::new()));
    }
    said.push(Payload::Sa(vec![chosen.answer]));
    if first.is_none() {
        said.push(Payload::Nonce(own));
    }
    let mut shared = Vec::new();
    if let Some((group, (data, secret))) = exchanged {
        let group = group.id();
        said.push(Payload::KeyExchange(KeyExchange { group, data }));
        shared.push(secret);
    }
    said.push(Payload::SelectorsInitiator(remote.clone()));
    said.push(Payload::SelectorsResponder(local.clone()));
    let agreement = Agreement {
        role: Role::Responder,
        replaces,
        spis: (spi, chosen.peer_spi),
        suite: chosen.suite,
        nonces,
        shared,
        mode: terms.mode,
        selectors: [local, remote],
    };
    Ok((said, agreement))
}

fn plain(kind: NotifyKind) -> Notify {
    Notify::new(kind, Vec::new())
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
