//! The end of a session (source document 001, figure 14): the member leaves, falls silent, is replaced by a newer run, or is thrown out.
//!
//! All of it is one change: accounting, address book, grants, keys; and those whom it dealt with are told at once.

use super::Manager;
use super::authentic::{Denial, refusal};
use super::ids::{MemberId, Time};
use super::outbox::Held;
use super::output::{Answer, ChannelOp, Output, StreamEnd};
use kith_protocol::authenticator::Kind;
use kith_protocol::member::peer_gone::Why;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Envelope, LeaveAck, LeaveRequest, Refusal, Update};
use std::net::SocketAddrV4;

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The member said so.
    Left,
    /// It was not heard for too long.
    Silent,
    /// An operator threw it out, and said why.
    Revoked(String),
    /// An operator changed what it was told when it joined, and what; it may join again at once.
    Changed(String),
    /// Another registration took its place.
    Superseded,
}

impl Manager {
    pub(super) fn leave(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        let (id, _) = self.by_session::<LeaveRequest>(now, from, Kind::Leave, envelope)?;
        self.end_session(now, id, Ended::Left);
        Ok(Answer::Leave(LeaveAck {}))
    }

    /// Ends a member's session, if it has one. Revoking, deleting or inviting again begins with this.
    pub fn end_session(&mut self, now: Time, id: MemberId, why: Ended) {
        self.forget_init(id);
        let Some(member) = self.state.member(id) else {
            return;
        };
        let Some(session) = member.session() else { return };
        let (community, fqdn) = (member.community, member.fqdn.clone());
        let (address, director, stream) = (
            session.virtual_address,
            session.director.clone(),
            session.live.stream,
        );
        // Who fell silent was there until it was last heard.
        let until = if why == Ended::Silent {
            Time(session.live.heard_ms)
        } else {
            now
        };
        self.account(until, id);
        self.push_gone(now, id, address, why.told());
        let related = self
            .state
            .live_mut(id)
            .map(|live| std::mem::take(&mut live.relations))
            .unwrap_or_default();
        for other in related.at(Time(0)) {
            self.state
                .live_mut(other)
                .into_iter()
                .for_each(|live| live.relations.forget(id));
        }
        if let Some(stream) = stream {
            self.end_stream(stream, why.refusal());
        }
        if let Some(director) = director {
            self.ungrant(id, &director);
        }
        self.state.end_session(id);
        self.emit(Output::Channel(ChannelOp::Remove { member: id }));
        self.event(now, why.event(), community, &fqdn, why.detail());
    }

    /// A newer run of the member takes over its session: the older one is told on its stream.
    pub(super) fn superseded(&mut self, now: Time, id: MemberId) {
        self.account(now, id);
        let Some(stream) = self.state.live_mut(id).and_then(|live| live.stream) else {
            return;
        };
        self.end_stream(stream, Ended::Superseded.refusal());
        self.state.detach_stream(stream);
    }

    /// The last words on a stream.
    fn end_stream(&mut self, stream: super::StreamId, refusal: Option<Refusal>) {
        let why = if refusal.is_some() {
            StreamEnd::Told
        } else {
            StreamEnd::Left
        };
        if let Some(refusal) = refusal {
            let update = Update {
                revision: 0,
                change: Some(Change::Ended(refusal)),
            };
            self.outbox.hold(Held::Output(Output::Push { stream, update }));
        }
        self.emit(Output::StreamEnd { stream, why });
    }
}

impl Ended {
    /// What the others are told.
    fn told(&self) -> Why {
        match self {
            Self::Left | Self::Changed(_) | Self::Superseded => Why::Left,
            Self::Silent => Why::Silent,
            Self::Revoked(_) => Why::Revoked,
        }
    }

    /// What the member itself is told.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Left => None,
            Self::Silent => Some(refusal(
                Code::NotJoined,
                "the manager has not heard this member for too long; join again",
            )),
            Self::Revoked(why) if why.is_empty() => {
                Some(refusal(Code::Revoked, "an operator has revoked this member"))
            }
            Self::Revoked(why) => Some(refusal(
                Code::Revoked,
                format!("an operator has revoked this member: {why}"),
            )),
            Self::Changed(what) => Some(refusal(
                Code::NotJoined,
                format!("an operator has changed this member: {what}; join again"),
            )),
            Self::Superseded => Some(refusal(
                Code::Superseded,
                "another run or device has joined under this name",
            )),
        }
    }

    fn event(&self) -> &'static str {
        match self {
            Self::Left => "member.left",
            Self::Silent => "member.silent",
            Self::Revoked(_) | Self::Changed(_) => "member.out",
            Self::Superseded => "member.superseded",
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Revoked(why) | Self::Changed(why) => why,
            _ => "",
        }
    }
}
