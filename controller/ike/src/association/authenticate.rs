//! IKE_AUTH: both ends prove who they are and that nobody changed what was said before (RFC 7296 sections 1.2 and 2.15).

use super::child::{self, Child, Offer};
use super::context::Context;
use super::hello::{self, Negotiated, note};
use super::intermediate;
use super::nat;
use super::protection::Opened;
use super::respond::Responding;
use super::tasks::Pending;
use super::window::{Arrival, Due, Window};
use crate::auth::{self, PeerProof};
use crate::codec::{Datagram, Exchange, Identity, MessageId, NotifyKind, Payload};
use crate::event::{Down, NewChild};
use crate::host::Claim;
use crate::suite::{self, Ephemeral, Nonces};
use crate::terms::{Connection, Terms};
use crate::units::{Path, Role};
use std::sync::Arc;

/// Certificate encoding: X.509, DER (RFC 7296 section 3.6).
pub(super) const X509: u8 = 4;

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
}

impl Conclusion {
    fn new(
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
        }
    }
}

impl Authenticating {
    pub(crate) fn begin(
        context: &mut Context<'_>,
        (connection, since): (Connection, u64),
        (negotiated, rtt): (Negotiated, Option<u64>),
    ) -> Result<Self, Down> {
        // RFC 7296 section 2.23: with a translator between, all that follows goes through port 4500.
        let path = if negotiated.nat.any() {
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
            return Step::Wait;
        }
        let Opened::Message(plain) = self.negotiated.protection.open(datagram) else {
            return Step::Wait;
        };
        let Some(outstanding) = self.window.answer_to(header.message_id.0) else {
            return Step::Wait;
        };
        let Ok(payloads) = plain.payloads() else {
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
            return Step::Down(down);
        }
        let [initiator, responder] = &self.negotiated.nonces;
        let nonces = Nonces { initiator, responder };
        let child = offer.finish(context, (&self.negotiated.keys, Some(nonces)), payloads);
        let child = child.map_err(|why| {
            context.host.give_back_spi(offer.spi);
            // Section 1.2: the IKE SA stands, without a child.
            hello::error(payloads).map_or(why, |error| error.kind)
        });
        Step::Up(Box::new(Conclusion::new(
            (peer, terms, self.path),
            payloads,
            child,
        )))
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

impl Responding {
    /// A request of the initiator that is not up yet.
    pub(crate) fn request(&mut self, context: &mut Context<'_>, path: Path, datagram: &Datagram<'_>) -> Step {
        let header = datagram.header;
        match self.window.arrival(header.message_id.0) {
            Arrival::New => {}
            Arrival::Again if !self.negotiated.protection.is_again(datagram) => return Step::Wait,
            Arrival::Again => {
                context.send(path, self.window.again(context.now));
                return Step::Wait;
            }
            Arrival::Other => return Step::Wait,
        }
        let Opened::Message(plain) = self.negotiated.protection.open(datagram) else {
            return Step::Wait;
        };
        let payloads = plain.payloads();
        match (header.exchange, self.additional) {
            (Exchange::IkeIntermediate, Some(group)) => {
                let share = payloads
                    .as_ref()
                    .ok()
                    .and_then(|payloads| intermediate::share(payloads, group));
                let answer =
                    share.map(|share| suite::answer(group, share, &mut |out| context.host.entropy(out)));
                let Some(Ok((public, shared))) = answer else {
                    return Step::Down(Down::Protocol("no additional key exchange"));
                };
                self.negotiated.absorb(&header, &plain);
                let said = [intermediate::payload(group, public)];
                let header = self
                    .negotiated
                    .protection
                    .header(header.exchange, true, header.message_id.0);
                self.negotiated.absorb_own(&header, &said);
                if !self.reply(context, path, datagram, &said) {
                    return Step::Down(Down::Exhausted);
                }
                self.additional = None;
                self.negotiated
                    .renew(&shared)
                    .map_or(Step::Down(Down::Exhausted), |()| Step::Wait)
            }
            (Exchange::IkeAuth, None) => match payloads {
                Ok(payloads) => self.conclude(context, path, datagram, &payloads),
                Err(_) => self.refuse(
                    context,
                    path,
                    datagram,
                    NotifyKind::INVALID_SYNTAX,
                    "IKE_AUTH makes no sense",
                ),
            },
            _ => Step::Wait,
        }
    }

    fn conclude(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
        payloads: &[Payload],
    ) -> Step {
        if let Some(_kind) = hello::critical(payloads) {
            let kind = NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD;
            return self.refuse(
                context,
                path,
                datagram,
                kind,
                "a critical payload that we do not know",
            );
        }
        let (mut peer, mut wanted) = (None, None);
        for payload in payloads {
            match payload {
                Payload::IdInitiator(identity) => peer = Some(identity),
                Payload::IdResponder(identity) => wanted = Some(identity),
                _ => {}
            }
        }
        let Some(peer) = peer else {
            return self.refuse(
                context,
                path,
                datagram,
                NotifyKind::INVALID_SYNTAX,
                "it does not say who it is",
            );
        };
        let claim = Claim {
            path,
            peer,
            wanted,
            ticket: self.ticket.as_ref(),
        };
        let admitted = context.host.admit(context.now, &claim);
        let id = datagram.header.message_id.0;
        let checked = admitted.map_err(Down::Refused).and_then(|terms| {
            check(
                context,
                &self.negotiated,
                Role::Responder,
                (&terms, id),
                (peer, payloads),
            )?;
            let said = proof(&self.negotiated, Role::Responder, (&terms, id))?;
            Ok((terms, said))
        });
        let (terms, mut said) = match checked {
            Ok(good) => good,
            Err(down) => {
                // Section 2.21.2: it hears that, and nothing of the reason.
                self.reply(
                    context,
                    path,
                    datagram,
                    &[note(NotifyKind::AUTHENTICATION_FAILED, Vec::new())],
                );
                return Step::Down(down);
            }
        };
        said.insert(0, Payload::IdResponder(terms.own.clone()));
        if hello::noted(payloads, NotifyKind::MOBIKE_SUPPORTED).is_some() {
            said.push(note(NotifyKind::MOBIKE_SUPPORTED, Vec::new()));
        }
        if self.negotiated.kith && !context.desk.announcement.is_empty() {
            said.push(note(
                NotifyKind::KITH_WHEREABOUTS,
                context.desk.announcement.clone(),
            ));
        }
        let [initiator, responder] = &self.negotiated.nonces;
        let first = Some(Nonces { initiator, responder });
        let keys = &self.negotiated.keys;
        let child = match child::respond(context, &terms.child, (keys, first), (payloads, None)) {
            Ok(responded) => {
                said.extend(responded.said);
                Ok((responded.new, responded.child))
            }
            Err(error) => {
                let kind = error.kind;
                said.push(Payload::Notify(error));
                Err(kind)
            }
        };
        if !self.reply(context, path, datagram, &said) {
            return Step::Down(Down::Exhausted);
        }
        Step::Up(Box::new(Conclusion::new((peer, &terms, path), payloads, child)))
    }

    pub(crate) fn abandon(&mut self, context: &mut Context<'_>) {
        context.give_back_ike_spi(self.negotiated.protection.local_spi());
    }

    fn refuse(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
        kind: NotifyKind,
        why: &'static str,
    ) -> Step {
        self.reply(context, path, datagram, &[note(kind, Vec::new())]);
        Step::Down(Down::Protocol(why))
    }

    fn reply(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
        said: &[Payload],
    ) -> bool {
        let asked = datagram.header;
        let protection = &mut self.negotiated.protection;
        let header = protection.header(asked.exchange, true, asked.message_id.0);
        let Ok(datagrams) = protection.seal(&header, said) else {
            return false;
        };
        context.send(path, &datagrams);
        self.window.answered(datagrams, context.now);
        true
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

/// Certificates and AUTH of ours.
fn proof(
    negotiated: &Negotiated,
    ours: Role,
    (terms, message_id): (&Terms, u32),
) -> Result<Vec<Payload>, Down> {
    let octets = covered(negotiated, ours, &terms.own, message_id);
    let prf = negotiated.keys.prf();
    let (method, data) = terms
        .proof
        .prove(&octets, prf, &negotiated.peer_hashes)
        .map_err(Down::NotAuthentic)?;
    let chain = terms.proof.chain().iter();
    let mut out: Vec<Payload> = chain
        .map(|certificate| Payload::Certificate {
            encoding: X509,
            data: certificate.clone(),
        })
        .collect();
    if let PeerProof::Certificate(anchors) = &terms.peer_proof {
        out.push(Payload::CertificateRequest {
            encoding: X509,
            data: anchors.request(),
        });
    }
    out.push(Payload::Auth { method, data });
    Ok(out)
}

/// Whether the peer is who it says.
fn check(
    context: &Context<'_>,
    negotiated: &Negotiated,
    ours: Role,
    (terms, message_id): (&Terms, u32),
    (peer, payloads): (&Identity, &[Payload]),
) -> Result<(), Down> {
    let proof = payloads.iter().find_map(|payload| match payload {
        Payload::Auth { method, data } => Some((*method, data)),
        _ => None,
    });
    let (method, data) = proof.ok_or(Down::Protocol("no proof"))?;
    let chain: Vec<Vec<u8>> = payloads
        .iter()
        .filter_map(|payload| match payload {
            Payload::Certificate { encoding, data } if *encoding == X509 => Some(data.clone()),
            _ => None,
        })
        .collect();
    let theirs = match ours {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    };
    let octets = covered(negotiated, theirs, peer, message_id);
    let (prf, now) = (negotiated.keys.prf(), context.now.unix_secs);
    terms
        .peer_proof
        .check(peer, method, data, &octets, prf, &chain, &hello::OWN_HASHES, now)
        .map_err(Down::NotAuthentic)
}

/// What one side's AUTH covers (section 2.15; RFC 9242 section 3.3.2 for what came between).
fn covered(
    negotiated: &Negotiated,
    of: Role,
    identity: &Identity,
    message_id: u32,
) -> zeroize::Zeroizing<Vec<u8>> {
    let initiator = of == Role::Initiator;
    let (own, other) = if initiator { (0, 1) } else { (1, 0) };
    let between = negotiated.intermediate.finish(MessageId(message_id));
    auth::signed_octets(
        &negotiated.transcript[own],
        &negotiated.nonces[other],
        negotiated.keys.prf(),
        negotiated.keys.prove(initiator),
        &identity.body(),
        between.as_deref(),
    )
}
