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
use crate::keying::{Moment, PairSecret, Roles, Whereabouts};
use crate::members::{Grant, One, Standing};
use crate::orders::Report;
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::member::Location;
use kith_protocol::ticket::{self, TicketBody};
use std::net::{Ipv4Addr, SocketAddrV4};

impl Control {
    /// A message that claims to be from a member, perhaps with a ticket.
    pub(super) fn receive(&mut self, now: Moment, member: MemberIndex, data: &[u8]) {
        let Some((message, ticket)) = split(data) else {
            return;
        };
        if !ticket.is_empty() {
            self.renew_by_ticket(now, member, ticket);
        }
        self.agreement.receive(now, member, message);
    }

    /// An initiation from a virtual address that is nobody's.
    pub(super) fn introduce(&mut self, now: Moment, source: Ipv4Addr, data: &[u8]) {
        let Some((message, ticket)) = split(data) else {
            return;
        };
        // Another of its messages may have been faster.
        if let Some(member) = self.thread.parts.members.find(source) {
            return self.receive(now, member, data);
        }
        let outcome = self
            .open(source, ticket)
            .and_then(|body| self.let_in(now, source, message, body));
        match (outcome, &mut self.thread.parts.management) {
            (Ok(index), Some(management)) => {
                management.report(Report::Introduced(source));
                tracing::info!(peer = self.name(index), address = %source, "member introduced itself");
                self.agreement.receive(now, index, message);
            }
            (Err(name), Some(management)) => {
                tracing::debug!(%source, why = name, "introduction refused");
                management.refuse(name);
            }
            (_, None) => {}
        }
    }

    fn let_in(
        &mut self,
        now: Moment,
        source: Ipv4Addr,
        message: &[u8; LEN],
        body: TicketBody,
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
        let location = whereabouts(&body.initiator_location).ok_or("ticket_malformed")?;
        let standing = Standing::Granted(Grant {
            sequence: body.sequence,
            expires_ms: body.expires_ms,
            ticket: Vec::new(),
            told: None,
            since: now.millis(),
        });
        let index = self
            .enter(body.initiator, source, location, standing)
            .ok_or("members_full")?;
        self.agreement.add(index, source, secret);
        self.arrived(source);
        Ok(index)
    }

    fn renew_by_ticket(&mut self, now: Moment, member: MemberIndex, ticket: &[u8]) {
        let Some(one) = self.thread.parts.members.get(member) else {
            return;
        };
        let (address, known) = (one.address, one.grant().map(|grant| grant.sequence));
        // The manager needs no ticket, and who is configured has a secret.
        let Some(known) = known else { return };
        let body = match self.open(address, ticket) {
            Ok(body) => body,
            Err(name) => {
                // The secret that we have may be good all the same.
                if let Some(management) = &mut self.thread.parts.management {
                    management.refuse(name);
                }
                return;
            }
        };
        if body.sequence == known {
            return;
        }
        let secret = PairSecret::new(Secret::new(*body.shared_key.expose()));
        let is_newer = body.sequence > known;
        self.agreement.renew(now, member, secret, is_newer);
        if is_newer && let Some(grant) = self.thread.parts.members.get_mut(member).and_then(One::grant_mut) {
            (grant.sequence, grant.expires_ms, grant.told) = (body.sequence, body.expires_ms, None);
        }
    }

    /// A ticket that is good, for us, and brought by whom it names; else the name of what is wrong.
    fn open(&mut self, source: Ipv4Addr, ticket: &[u8]) -> Result<TicketBody, &'static str> {
        let own = self.thread.parts.members.own();
        let management = self.thread.parts.management.as_mut().ok_or("ticket_unexpected")?;
        let now_ms = management.manager_ms();
        let joined = management.joined.as_ref().ok_or("ticket_not_joined")?;
        let key = management.ticket_key.as_ref().ok_or("ticket_not_joined")?;
        let body = ticket::open(key, &joined.fqdn, own, now_ms, ticket).map_err(name)?;
        if body.initiator_virtual != source {
            return Err("ticket_not_theirs");
        }
        management.replay.check(source, body.sequence).map_err(name)?;
        Ok(body)
    }
}

fn name(refusal: ticket::TicketRefusal) -> &'static str {
    use ticket::TicketRefusal as R;
    match refusal {
        R::Altered => "ticket_altered",
        R::Foreign => "ticket_foreign",
        R::Expired => "ticket_expired",
        R::NotYet => "ticket_not_yet",
        R::WrongTarget => "ticket_wrong_target",
        R::Malformed => "ticket_malformed",
        R::Replayed => "ticket_replayed",
    }
}

/// Where a ticket says that its bearer is.
fn whereabouts(location: &Location) -> Option<Whereabouts> {
    let address = Ipv4Addr::from_bits(location.address);
    let port = |number: u32| u16::try_from(number).ok().filter(|port| *port != 0);
    if address.is_unspecified() {
        return None;
    }
    Some(match location.director {
        0 => Whereabouts::Public(SocketAddrV4::new(address, port(location.port)?)),
        director => Whereabouts::Director {
            director: SocketAddrV4::new(Ipv4Addr::from_bits(director), port(location.director_port)?),
            pseudo: address,
        },
    })
}
