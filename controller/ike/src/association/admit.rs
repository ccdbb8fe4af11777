//! The responder's side of IKE_INTERMEDIATE and IKE_AUTH: who is it, and may it come (RFC 7296 section 1.2)?

use super::authenticate::{Conclusion, Step};
use super::child;
use super::context::Context;
use super::hello::{self, note};
use super::intermediate;
use super::proof::{check, proof};
use super::respond::Responding;
use super::window::Arrival;
use crate::codec::{Datagram, Exchange, NotifyKind, Payload};
use crate::endpoint::Drop;
use crate::event::Down;
use crate::host::Claim;
use crate::suite;
use crate::units::{Path, Role};

impl Responding {
    /// A request of the initiator that is not up yet.
    pub(crate) fn request(&mut self, context: &mut Context<'_>, path: Path, datagram: &Datagram<'_>) -> Step {
        let header = datagram.header;
        match self.window.arrival(header.message_id.0) {
            Arrival::New => {}
            Arrival::Again if !self.negotiated.protection.is_again(datagram) => {
                context.drop(Drop::NotAuthentic);
                return Step::Wait;
            }
            Arrival::Again => {
                context.send(path, self.window.again(context.now));
                return Step::Wait;
            }
            Arrival::Other => {
                context.drop(Drop::OutOfWindow);
                return Step::Wait;
            }
        }
        let Some(plain) = context.opened(self.negotiated.protection.open(context.now.millis, datagram))
        else {
            return Step::Wait;
        };
        let payloads = plain.payloads();
        if let Some(kind) = payloads
            .as_ref()
            .ok()
            .and_then(|payloads| hello::critical(payloads))
        {
            // Section 2.5 and 3.10.1: refused by its number, in this exchange as in any other.
            let said = [note(NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD, vec![kind])];
            self.reply(context, path, datagram, &said);
            return Step::Down(Down::Protocol("a critical payload that we do not know"));
        }
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
            // RFC 9242 section 3.2: not before all of IKE_INTERMEDIATE is done.
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
            _ => {
                context.drop(Drop::WrongStage);
                Step::Wait
            }
        }
    }

    fn conclude(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
        payloads: &[Payload],
    ) -> Step {
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
        let first = Some(&self.negotiated.nonces);
        let child = match child::respond(context, &terms.child, first, (payloads, None)) {
            Ok((answer, agreement)) => {
                said.extend(answer);
                Ok(agreement.make(context, &self.negotiated.keys))
            }
            Err(error) => {
                let kind = error.kind;
                said.push(Payload::Notify(error));
                Err(kind)
            }
        };
        let Some(datagrams) = self.seal_reply(context, datagram, &said) else {
            return Step::Down(Down::Exhausted);
        };
        // The peer's first packet may be faster than our host: the answer leaves when the host has the keys.
        let mut conclusion = Conclusion::new((peer, &terms, path), payloads, child);
        conclusion.reply = datagrams;
        Step::Up(Box::new(conclusion))
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
        let datagrams = self.seal_reply(context, datagram, said);
        if let Some(datagrams) = &datagrams {
            context.send(path, datagrams);
        }
        datagrams.is_some()
    }

    fn seal_reply(
        &mut self,
        context: &Context<'_>,
        datagram: &Datagram<'_>,
        said: &[Payload],
    ) -> Option<Vec<Vec<u8>>> {
        let asked = datagram.header;
        let protection = &mut self.negotiated.protection;
        let header = protection.header(asked.exchange, true, asked.message_id.0);
        let datagrams = protection.seal(&header, said).ok()?;
        self.window.answered(datagrams.clone(), context.now);
        Some(datagrams)
    }
}
