//! How somebody we do not know becomes a member: by a ticket of the manager's in front of the door.
//!
//! ```text
//!  initiation, ticket ─► opens under our ticket key, for us, in time? ─► no replay? ─► brought by whom it names? ─► initiation
//!                        authentic under the ticket's key? ─► a place ─► key agreement answers
//! ```
//!
//! Nothing is kept of who fails, and nothing is answered. Of a member that is known, a ticket with a higher sequence brings the newer secret; one with
//! a lower sequence that is no replay, from a member that has not heard of the newer secret yet, is taken beside it.

use super::Control;
use crate::config::Secret;
use crate::keying::message::{Kind, LEN, Message, split};
use crate::keying::{KeyAgreement, Known, Method, Moment, PairSecret, Roles, door};
use crate::members::{Grant, One, Standing};
use crate::orders::Report;
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::ticket::TicketBody;
use std::net::Ipv4Addr;
use std::sync::Arc;

impl Control {
    /// A message that claims to be from a member, perhaps with a ticket.
    pub(super) fn receive(&mut self, now: Moment, method: Method, member: MemberIndex, data: &[u8]) {
        if method == Method::Ike {
            return self.agreement.receive(now, method, member, data);
        }
        let Some((message, ticket)) = split(data) else {
            return;
        };
        if !ticket.is_empty() {
            self.renew_by_ticket(now, member, ticket);
        }
        self.agreement.receive(now, method, member, message);
    }

    /// An initiation from a virtual address that is nobody's.
    pub(super) fn introduce(&mut self, now: Moment, source: Ipv4Addr, data: &[u8]) {
        let Some((message, ticket)) = split(data) else {
            return;
        };
        // Another of its messages may have been faster.
        if let Some(member) = self.thread.parts.members.find(source) {
            return self.receive(now, Method::Ticket, member, data);
        }
        let door = self.agreement.door();
        let outcome = door
            .open(now, source, ticket)
            .and_then(|body| self.let_in(now, source, message, &body));
        match outcome {
            Ok(index) => {
                self.introduced(source);
                self.agreement.receive(now, Method::Ticket, index, message);
            }
            Err(name) => self.refuse(name),
        }
    }

    fn let_in(
        &mut self,
        now: Moment,
        source: Ipv4Addr,
        message: &[u8; LEN],
        body: &TicketBody,
    ) -> Result<MemberIndex, &'static str> {
        let secret = PairSecret::new(Secret::new(*body.shared_key.expose()));
        // A ticket that was overheard is of no use without the key in it.
        let roles = Roles {
            initiator: source,
            responder: self.thread.parts.members.own(),
        };
        let claimed = Message::parse(message).filter(|message| message.kind() == Kind::Initiation);
        let authentic = claimed.and_then(|claimed| {
            claimed.authenticate(|covered, tag| secret.verify(roles, None, covered, tag))
        });
        authentic.ok_or("introduction_forged")?;
        self.agreement.door().mark(source, body.sequence)?;
        self.give_place(now, body)
    }

    fn renew_by_ticket(&mut self, now: Moment, member: MemberIndex, ticket: &[u8]) {
        let Some(one) = self.thread.parts.members.get(member) else {
            return;
        };
        let (address, known) = (one.address, one.grant().map(|grant| grant.sequence));
        // The manager needs no ticket, and who is configured has a secret.
        let Some(known) = known else { return };
        let door = self.agreement.door();
        let opened = door.open(now, address, ticket);
        match opened.and_then(|body| door.mark(address, body.sequence).map(|()| body)) {
            Ok(body) if body.sequence == known => {}
            Ok(body) => self.take_secret(now, member, &body, body.sequence > known),
            // The secret that we have may be good all the same.
            Err(name) => self.refuse(name),
        }
    }

    /// Who brought this ticket in a handshake of IKE has proved itself there.
    pub(super) fn welcome(&mut self, now: Moment, body: &TicketBody) {
        let source = body.initiator_virtual;
        if let Err(name) = self.give_place(now, body) {
            self.refuse(name);
        } else {
            self.introduced(source);
        }
    }

    /// The same, of somebody who is known: perhaps under an older secret.
    pub(super) fn renewed(&mut self, now: Moment, member: MemberIndex, body: &TicketBody) {
        let known = self.thread.parts.members.get(member).and_then(One::grant);
        if let Some(known) = known.map(|grant| grant.sequence)
            && body.sequence != known
        {
            self.take_secret(now, member, body, body.sequence > known);
        }
    }

    pub(super) fn refuse(&mut self, name: &'static str) {
        tracing::debug!(why = name, "introduction refused");
        if let Some(management) = &mut self.thread.parts.management {
            management.refuse(name);
        }
    }

    fn introduced(&mut self, source: Ipv4Addr) {
        if let Some(management) = &self.thread.parts.management {
            management.report(Report::Introduced(source));
        }
        let name = self
            .thread
            .parts
            .members
            .find(source)
            .map(|index| self.name(index));
        tracing::info!(peer = name, address = %source, "member introduced itself");
    }

    /// A place for who has proved to know the key in a ticket.
    fn give_place(&mut self, now: Moment, body: &TicketBody) -> Result<MemberIndex, &'static str> {
        let source = body.initiator_virtual;
        let location = door::whereabouts(&body.initiator_location).ok_or("ticket_malformed")?;
        let standing = Standing::Granted(Grant {
            sequence: body.sequence,
            expires_ms: body.expires_ms,
            ticket: Vec::new(),
            told: None,
            since: now.millis(),
        });
        let index = self
            .enter(body.initiator.clone(), source, location, standing)
            .ok_or("members_full")?;
        let known = Known {
            address: source,
            name: body.initiator.clone(),
            secret: Arc::new(PairSecret::new(Secret::new(*body.shared_key.expose()))),
            ticket: Vec::new(),
        };
        self.agreement.add(now, index, known);
        self.arrived(source);
        Ok(index)
    }

    fn take_secret(&mut self, now: Moment, member: MemberIndex, body: &TicketBody, is_newer: bool) {
        let secret = Arc::new(PairSecret::new(Secret::new(*body.shared_key.expose())));
        self.agreement.renew(now, member, (secret, None), is_newer);
        if is_newer && let Some(grant) = self.thread.parts.members.get_mut(member).and_then(One::grant_mut) {
            (grant.sequence, grant.expires_ms, grant.told) = (body.sequence, body.expires_ms, None);
            // It has the older secret in it.
            grant.ticket.clear();
        }
    }
}
