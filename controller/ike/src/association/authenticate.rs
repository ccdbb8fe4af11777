//! IKE_AUTH: both ends prove who they are and that nobody changed what was said before (RFC 7296 sections 1.2 and 2.15).

use super::child::{Child, Offer};
use super::context::Context;
use super::hello::{self, Negotiated, note};
use super::intermediate;
use super::nat;
use super::proof::{check, proof};
use super::tasks::Pending;
use super::window::{Due, Window};
use crate::codec::{Datagram, Delete, Exchange, Identity, NotifyKind, Payload};
use crate::endpoint::Drop;
use crate::event::{Down, NewChild};
use crate::suite::Ephemeral;
use crate::terms::{Connection, Terms};
use crate::units::{Path, Role};
use kith_esp::Spi;
use std::sync::Arc;

/// The initiator has keys and is proving who it is.
pub(crate) struct Authenticating {
    pub(crate) connection: Connection,
    pub(crate) path: Path,
    negotiated: Negotiated,
    window: Window<Pending>,
    since: u64,
    rtt: Option<u64>,
}

/// What an input led to.
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// Both have proved who they are.
    Up(Box<Conclusion>),
    /// It cannot be.
    Down(Down),
}

/// Who the peer is, and what came with the proof.
pub(crate) struct Conclusion {
    pub(crate) peer: Identity,
    pub(crate) terms: Arc<Terms>,
    pub(crate) path: Path,
    pub(crate) mobike: bool,
    pub(crate) initial_contact: bool,
    pub(crate) whereabouts: Option<Vec<u8>>,
    /// The first pair of ESP SAs, or why there is none.
    pub(crate) child: Result<(NewChild, Child), NotifyKind>,
    /// A pair that the peer made and that we do not take: the SPI that we offered for it.
    pub(crate) rejected: Option<Spi>,
    /// The responder's answer, to be sent when the host has been given the keys.
    pub(crate) reply: Vec<Vec<u8>>,
}

impl Conclusion {
    pub(super) fn new(
        (peer, terms, path): (&Identity, &Arc<Terms>, Path),
        payloads: &[Payload],
        child: Result<(NewChild, Child), NotifyKind>,
    ) -> Self {
        let noted = |kind| hello::noted(payloads, kind);
        Self {
            peer: peer.clone(),
            terms: terms.clone(),
            path,
            mobike: noted(NotifyKind::MOBIKE_SUPPORTED).is_some(),
            initial_contact: noted(NotifyKind::INITIAL_CONTACT).is_some(),
            whereabouts: noted(NotifyKind::KITH_WHEREABOUTS).map(|notify| notify.data.clone()),
            child,
            rejected: None,
            reply: Vec::new(),
        }
    }
}

impl Authenticating {
    pub(crate) fn begin(
        context: &mut Context<'_>,
        (connection, since): (Connection, u64),
        (negotiated, rtt): (Negotiated, Option<u64>),
    ) -> Result<Self, Down> {
        // RFC 7296 section 2.23: with a translator between, all that follows goes through port 4500. RFC 4555 section 3.3: without one too, if
        // both ends look for them and change addresses, so that no port has to change later. Whether the peer does the latter it says too late.
        let path = if negotiated.detects {
            nat::float(connection.path)
        } else {
            connection.path
        };
        let mut this = Self {
            connection,
            path,
            negotiated,
            window: Window::new(1, 0),
            since,
            rtt,
        };
        match this.negotiated.suite.additional {
            Some(group) => {
                let ephemeral = Ephemeral::offer(group, &mut |out| context.host.entropy(out))
                    .map_err(|_| Down::Exhausted)?;
                let said = [intermediate::payload(group, ephemeral.public().to_vec())];
                let header = this
                    .negotiated
                    .protection
                    .header(Exchange::IkeIntermediate, false, 1);
                this.negotiated.absorb_own(&header, &said);
                this.ask(
                    context,
                    Exchange::IkeIntermediate,
                    &said,
                    Pending::Intermediate(ephemeral),
                )?;
            }
            None => this.prove(context)?,
        }
        Ok(this)
    }

    fn ask(
        &mut self,
        context: &mut Context<'_>,
        exchange: Exchange,
        said: &[Payload],
        pending: Pending,
    ) -> Result<(), Down> {
        let id = self.window.next_out().ok_or(Down::Exhausted)?;
        let protection = &mut self.negotiated.protection;
        let header = protection.header(exchange, false, id);
        let datagrams = protection.seal(&header, said).map_err(|_| Down::Exhausted)?;
        context.send(self.path, &datagrams);
        self.window
            .sent(pending, datagrams, context.now, &context.config.timing);
        Ok(())
    }

    /// Says who we are, whom we want, and for which traffic.
    fn prove(&mut self, context: &mut Context<'_>) -> Result<(), Down> {
        let terms = self.connection.terms.clone();
        let id = self.window.next_out().ok_or(Down::Exhausted)?;
        let spi = context.host.take_spi().ok_or(Down::Exhausted)?;
        let offer = Offer::first(spi, &terms.child);
        let mut said = vec![Payload::IdInitiator(terms.own.clone())];
        said.extend(proof(&self.negotiated, Role::Initiator, (&terms, id))?);
        said.push(Payload::IdResponder(self.connection.peer.clone()));
        // Section 2.4: whoever restarted says so, and the peer forgets what it had.
        let wanted = &self.connection.peer;
        if !context.desk.peers.values().any(|peer| peer.same(wanted)) {
            said.push(note(NotifyKind::INITIAL_CONTACT, Vec::new()));
        }
        said.push(note(NotifyKind::MOBIKE_SUPPORTED, Vec::new()));
        if self.negotiated.kith && !context.desk.announcement.is_empty() {
            said.push(note(
                NotifyKind::KITH_WHEREABOUTS,
                context.desk.announcement.clone(),
            ));
        }
        said.extend(offer.payloads());
        self.ask(context, Exchange::IkeAuth, &said, Pending::Auth(Box::new(offer)))
    }

    pub(crate) fn answer(&mut self, context: &mut Context<'_>, datagram: &Datagram<'_>) -> Step {
        let header = datagram.header;
        let expected = self.window.outstanding().map(|outstanding| outstanding.id);
        if !header.response || expected != Some(header.message_id.0) {
            context.drop(Drop::OutOfWindow);
            return Step::Wait;
        }
        let Some(plain) = context.opened(self.negotiated.protection.open(context.now.millis, datagram))
        else {
            return Step::Wait;
        };
        let Some(outstanding) = self.window.answer_to(header.message_id.0) else {
            return Step::Wait;
        };
        // Section 2.5: a critical payload that we do not know makes as little sense as octets that are none.
        let readable = |payloads: &Vec<Payload>| hello::critical(payloads).is_none();
        let Some(payloads) = plain.payloads().ok().filter(readable) else {
            if let Pending::Auth(offer) = &outstanding.what {
                context.host.give_back_spi(offer.spi);
                // RFC 7296 section 2.21.2: the responder believes that it is up.
                self.tell(context, &note(NotifyKind::INVALID_SYNTAX, Vec::new()));
            }
            return Step::Down(Down::Protocol("an answer that makes no sense"));
        };
        match outstanding.what {
            Pending::Intermediate(ephemeral) => {
                self.negotiated.absorb(&header, &plain);
                let group = ephemeral.group();
                let shared = intermediate::share(&payloads, group).map(|share| ephemeral.finish(share));
                let Some(Ok(shared)) = shared else {
                    return refused(&payloads);
                };
                match self.negotiated.renew(&shared) {
                    Some(()) => self.prove(context).map_or_else(Step::Down, |()| Step::Wait),
                    None => Step::Down(Down::Exhausted),
                }
            }
            Pending::Auth(offer) => self.conclude(context, &offer, &payloads),
            _ => Step::Wait,
        }
    }

    fn conclude(&mut self, context: &mut Context<'_>, offer: &Offer, payloads: &[Payload]) -> Step {
        let peer = payloads.iter().find_map(|payload| match payload {
            Payload::IdResponder(identity) => Some(identity),
            _ => None,
        });
        let Some(peer) = peer else {
            context.host.give_back_spi(offer.spi);
            return refused(payloads);
        };
        let terms = &self.connection.terms.clone();
        let id = self.window.next_out().map_or(0, |next| next - 1);
        let checked = if peer.same(&self.connection.peer) {
            check(
                context,
                &self.negotiated,
                Role::Initiator,
                (terms, id),
                (peer, payloads),
            )
        } else {
            Err(Down::Protocol("somebody else answers"))
        };
        if let Err(down) = checked {
            context.host.give_back_spi(offer.spi);
            // RFC 7296 section 2.21.2: the responder believes that it is up, and is told that it is not.
            self.tell(context, &note(NotifyKind::AUTHENTICATION_FAILED, Vec::new()));
            return Step::Down(down);
        }
        if let Some(error) = hello::error(payloads) {
            context.host.give_back_spi(offer.spi);
            return self.refused_in_part(context, (peer, terms), error.kind, payloads);
        }
        let agreed = offer.agree(Some(&self.negotiated.nonces), payloads);
        let child = agreed.map(|agreement| agreement.make(context, &self.negotiated.keys));
        // Section 1.2: the IKE SA stands, without a child.
        let rejected = child.is_err().then_some(offer.spi);
        let mut conclusion = Conclusion::new((peer, terms, self.path), payloads, child);
        conclusion.rejected = rejected;
        Step::Up(Box::new(conclusion))
    }

    /// The responder has proved who it is, and says that something failed.
    fn refused_in_part(
        &mut self,
        context: &mut Context<'_>,
        (peer, terms): (&Identity, &Arc<Terms>),
        kind: NotifyKind,
        payloads: &[Payload],
    ) -> Step {
        match kind {
            // RFC 7296 section 2.21.2: with these there is no IKE SA, and nobody to be told so.
            NotifyKind::AUTHENTICATION_FAILED
            | NotifyKind::INVALID_SYNTAX
            | NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD => Step::Down(Down::RefusedByPeer(kind)),
            // Section 1.2: it is the child that failed.
            _ if kind.name().is_some() => Step::Up(Box::new(Conclusion::new(
                (peer, terms, self.path),
                payloads,
                Err(kind),
            ))),
            // RFC 7296 section 3.10.1: an error that we do not know says that all of the request failed. The responder may see it otherwise.
            _ => {
                self.tell(context, &Payload::Delete(Delete::Ike));
                Step::Down(Down::RefusedByPeer(kind))
            }
        }
    }

    /// Said once, before all of this is forgotten.
    fn tell(&mut self, context: &mut Context<'_>, what: &Payload) {
        let Some(id) = self.window.next_out() else { return };
        let protection = &mut self.negotiated.protection;
        let header = protection.header(Exchange::Informational, false, id);
        if let Ok(datagrams) = protection.seal(&header, std::slice::from_ref(what)) {
            context.send(self.path, &datagrams);
        }
    }

    pub(crate) fn into_parts(self) -> (Negotiated, Window<Pending>, Option<u64>) {
        (self.negotiated, self.window, self.rtt)
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Option<Down> {
        if context.now.millis >= self.since + context.config.timing.handshake {
            return Some(Down::Silent);
        }
        let outstanding = self.window.outstanding_mut()?;
        match outstanding.repeater.due(context.now, &context.config.timing) {
            Due::Nothing => None,
            Due::GiveUp => Some(Down::Silent),
            Due::Repeat => {
                context.send(self.path, outstanding.repeater.datagrams());
                None
            }
        }
    }

    pub(crate) fn hurry(&mut self, context: &Context<'_>) {
        if let Some(outstanding) = self.window.outstanding_mut() {
            outstanding.repeater.hurry(context.now);
        }
    }

    pub(crate) fn deadline(&self, handshake: u64) -> u64 {
        let repeat = self
            .window
            .outstanding()
            .map(|outstanding| outstanding.repeater.deadline());
        repeat.unwrap_or(u64::MAX).min(self.since + handshake)
    }

    /// What must be given back when it ends here.
    pub(crate) fn abandon(&mut self, context: &mut Context<'_>) {
        context.give_back_ike_spi(self.negotiated.protection.local_spi());
        if let Some(Pending::Auth(offer)) = self.window.forget().map(|outstanding| outstanding.what) {
            context.host.give_back_spi(offer.spi);
        }
    }
}

/// The initiator was refused, or answered without proof.
fn refused(payloads: &[Payload]) -> Step {
    Step::Down(
        hello::error(payloads).map_or(Down::Protocol("an answer without proof"), |error| {
            Down::RefusedByPeer(error.kind)
        }),
    )
}
