//! The initiator's IKE_SA_INIT: ask, perhaps again with a cookie or another group, and have keys.

use super::context::Context;
use super::hello::{self, Hello, Negotiated, note};
use super::nat;
use super::protection::Protection;
use super::window::{Due, Repeater};
use crate::auth::IntAuth;
use crate::codec::{
    Body, Datagram, Exchange, Header, IkeSpi, KeyExchange, MessageId, NotifyKind, Payload, Proposal,
    encode_clear,
};
use crate::event::Down;
use crate::suite::{self, Additional, Ephemeral, Group, IkeKeys, Nonces, Spis};
use crate::terms::Connection;
use crate::units::{AssociationId, Role};

/// Requests at most: cookie, another group, a cookie again (RFC 7296 section 2.6.1), and one to spare.
const ROUNDS: u8 = 4;

/// IKE_SA_INIT is sent.
pub(crate) struct Initiating {
    pub(crate) connection: Connection,
    pub(crate) spi: IkeSpi,
    pub(crate) since: u64,
    nonce: Vec<u8>,
    offered: Vec<Proposal>,
    group: Group,
    ephemeral: Ephemeral,
    cookie: Option<Vec<u8>>,
    octets: Vec<u8>,
    repeater: Repeater,
    rounds: u8,
    /// Anyone on the path can make this: it counts only if nothing better has come by the next repetition (section 2.21.1).
    refusal: Option<Down>,
}

/// What an answer led to.
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// Keys; and the round trip.
    Keys(Box<Negotiated>, Option<u64>),
    /// It cannot be.
    Down(Down),
}

impl Initiating {
    pub(crate) fn begin(
        context: &mut Context<'_>,
        id: AssociationId,
        connection: Connection,
    ) -> Result<Self, Down> {
        let spi = context.take_ike_spi(id);
        let offered = context.config.ike.proposals(None);
        let group = context
            .config
            .ike
            .groups
            .first()
            .copied()
            .ok_or(Down::NoProposal)?;
        let ephemeral =
            Ephemeral::offer(group, &mut |out| context.host.entropy(out)).map_err(|_| Down::Exhausted)?;
        let timing = &context.config.timing;
        let mut this = Self {
            connection,
            spi,
            since: context.now.millis,
            nonce: context.nonce(),
            offered,
            group,
            ephemeral,
            cookie: None,
            octets: Vec::new(),
            repeater: Repeater::new(Vec::new(), context.now, timing),
            rounds: 0,
            refusal: None,
        };
        this.ask(context)?;
        Ok(this)
    }

    /// Sends the request as it is now, for the first time or anew.
    fn ask(&mut self, context: &mut Context<'_>) -> Result<(), Down> {
        self.rounds += 1;
        let mut payloads = Vec::new();
        // RFC 7296 section 2.6: the cookie comes first, and all else stays as it was.
        payloads.extend(self.cookie.clone().map(|cookie| note(NotifyKind::COOKIE, cookie)));
        payloads.push(Payload::Sa(self.offered.clone()));
        payloads.push(Payload::KeyExchange(KeyExchange {
            group: self.group.id(),
            data: self.ephemeral.public().to_vec(),
        }));
        payloads.push(Payload::Nonce(self.nonce.clone()));
        let spis = (self.spi, IkeSpi::ZERO);
        let intermediate = context.config.ike.additional != Additional::Off;
        payloads.extend(hello::extras(
            context.config.nat,
            spis,
            self.connection.path,
            intermediate,
        ));
        if let Some(ticket) = &self.connection.ticket {
            let ticket = ticket
                .encode()
                .map_err(|_| Down::Protocol("our ticket has no layout"))?;
            payloads.push(note(NotifyKind::KITH_TICKET, ticket));
        }
        let header = Header {
            initiator_spi: self.spi,
            responder_spi: IkeSpi::ZERO,
            exchange: Exchange::IkeSaInit,
            from_initiator: true,
            response: false,
            message_id: MessageId(0),
        };
        self.octets = encode_clear(&header, &payloads);
        self.repeater = Repeater::new(vec![self.octets.clone()], context.now, &context.config.timing);
        context.send(self.connection.path, self.repeater.datagrams());
        Ok(())
    }

    pub(crate) fn answer(&mut self, context: &mut Context<'_>, datagram: &Datagram<'_>) -> Step {
        let Body::Clear(payloads) = &datagram.body else {
            return Step::Wait;
        };
        if datagram.header.exchange != Exchange::IkeSaInit || datagram.header.message_id != MessageId(0) {
            return Step::Wait;
        }
        // Section 2.5: a response with a critical payload that we do not know is rejected, wherever it came from.
        if hello::critical(payloads).is_some() {
            return Step::Wait;
        }
        if let Some(cookie) = hello::noted(payloads, NotifyKind::COOKIE)
            && datagram.header.responder_spi == IkeSpi::ZERO
        {
            // Section 2.6: 1 to 64 octets. The same one again was no answer to what we sent.
            if !(1..=64).contains(&cookie.data.len()) || self.cookie.as_ref() == Some(&cookie.data) {
                return Step::Wait;
            }
            if self.restless() {
                return Step::Wait;
            }
            self.cookie = Some(cookie.data.clone());
            return self.ask(context).map_or_else(Step::Down, |()| Step::Wait);
        }
        if let Some(error) = hello::error(payloads) {
            if error.kind == NotifyKind::INVALID_KE_PAYLOAD {
                return self.other_group(context, &error.data);
            }
            self.refusal = Some(refused(error.kind));
            return Step::Wait;
        }
        let Some(hello) = hello::read(payloads) else {
            return Step::Wait;
        };
        self.negotiate(context, datagram, payloads, hello)
            .unwrap_or(Step::Wait)
    }

    /// It was asked for anew often enough; or that was somebody on the path, and the responder's own answer may come yet.
    fn restless(&mut self) -> bool {
        let restless = self.rounds >= ROUNDS;
        if restless {
            self.refusal = Some(Down::Protocol("it asks for ever new first messages"));
        }
        restless
    }

    /// Section 1.3: the responder wants another of the groups that we offered.
    fn other_group(&mut self, context: &mut Context<'_>, data: &[u8]) -> Step {
        let wanted = <[u8; 2]>::try_from(data).ok().map(u16::from_be_bytes);
        let Some(group) = wanted.and_then(Group::from_id) else {
            return Step::Wait;
        };
        if group == self.group || !context.config.ike.groups.contains(&group) || self.restless() {
            return Step::Wait;
        }
        let Ok(ephemeral) = Ephemeral::offer(group, &mut |out| context.host.entropy(out)) else {
            return Step::Down(Down::Exhausted);
        };
        (self.group, self.ephemeral) = (group, ephemeral);
        self.ask(context).map_or_else(Step::Down, |()| Step::Wait)
    }

    /// `None` if the answer is none that an honest peer gives: a forger's, so we wait for the real one.
    fn negotiate(
        &mut self,
        context: &mut Context<'_>,
        datagram: &Datagram<'_>,
        payloads: &[Payload],
        hello: Hello,
    ) -> Option<Step> {
        let responder = datagram.header.responder_spi;
        if responder == IkeSpi::ZERO || hello.share.group != self.group.id() {
            return None;
        }
        let (suite, _) = suite::accept_ike(&self.offered, &hello.proposals).ok()?;
        // RFC 9370 section 2.2.1: additional exchanges need IKE_INTERMEDIATE.
        if suite.group != self.group || suite.additional.is_some() && !hello.intermediate {
            return None;
        }
        let shared = self.ephemeral.finish(&hello.share.data).ok()?;
        let spis = (self.spi, responder);
        let nonces = Nonces {
            initiator: &self.nonce,
            responder: &hello.nonce,
        };
        let (initiator, responder) = spis;
        let keys = IkeKeys::first(
            suite.prf,
            suite.cipher,
            nonces,
            &shared,
            Spis { initiator, responder },
        );
        let max = context.config.max_datagram;
        let protection = Protection::new(Role::Initiator, spis, &keys, hello.fragments, max).ok()?;
        let path = self.connection.path;
        let found = nat::found(payloads, context.config.nat, spis, path);
        Some(Step::Keys(
            Box::new(Negotiated {
                protection,
                suite,
                keys,
                nonces: [self.nonce.clone(), hello.nonce],
                transcript: [std::mem::take(&mut self.octets), datagram.octets.to_vec()],
                peer_hashes: hello.hashes,
                nat: found.unwrap_or_default(),
                detects: found.is_some(),
                kith: hello.kith,
                intermediate: IntAuth::default(),
            }),
            self.repeater.rtt(context.now),
        ))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Option<Down> {
        if context.now.millis >= self.since + context.config.timing.handshake {
            return Some(self.refusal.take().unwrap_or(Down::Silent));
        }
        match self.repeater.due(context.now, &context.config.timing) {
            Due::Nothing => {}
            Due::GiveUp => return Some(self.refusal.take().unwrap_or(Down::Silent)),
            Due::Repeat => match self.refusal.take() {
                Some(down) => return Some(down),
                None => context.send(self.connection.path, self.repeater.datagrams()),
            },
        }
        None
    }

    pub(crate) fn deadline(&self, handshake: u64) -> u64 {
        self.repeater.deadline().min(self.since + handshake)
    }

    pub(crate) fn hurry(&mut self, context: &Context<'_>) {
        self.repeater.hurry(context.now);
    }
}

fn refused(kind: NotifyKind) -> Down {
    match kind {
        NotifyKind::NO_PROPOSAL_CHOSEN => Down::NoProposal,
        kind => Down::RefusedByPeer(kind),
    }
}
