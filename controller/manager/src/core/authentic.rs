//! Whose request it is. Nothing is decoded, looked up twice or answered before this.
//!
//! A request of nobody costs what one of a member costs and looks the same from outside: its authenticator is computed too, and does not count.

use super::Manager;
use super::ids::{MemberId, RunId, Time};
use super::output::DropCause;
use super::state::{Member, Session, Standing};
use kith_protocol::authenticator::{AuthKey, Kind, PasswordKey, verify, verify_signature};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{Envelope, Refusal};
use kith_protocol::names::Fqdn;
use kith_protocol::secret::Secret32;
use prost::Message;
use std::net::SocketAddrV4;

/// No request is longer.
const MAX_PAYLOAD: usize = 8 << 10;

/// A request is not granted.
pub(super) enum Denial {
    /// And is told why.
    Refused(Refusal),
    /// And is told nothing.
    Dropped(DropCause),
}

impl Denial {
    pub(super) fn refused(code: Code, reason: impl Into<String>) -> Self {
        Self::Refused(refusal(code, reason))
    }

    pub(super) fn busy(reason: impl Into<String>, retry_after_ms: u32) -> Self {
        Self::Refused(Refusal {
            retry_after_ms,
            ..refusal(Code::Busy, reason)
        })
    }
}

impl From<DropCause> for Denial {
    fn from(cause: DropCause) -> Self {
        Self::Dropped(cause)
    }
}

pub(super) fn refusal(code: Code, reason: impl Into<String>) -> Refusal {
    Refusal {
        code: code.into(),
        reason: reason.into(),
        retry_after_ms: 0,
        attempts_left: 0,
    }
}

/// The request inside.
pub(super) fn payload<M: Message + Default>(envelope: &Envelope) -> Result<M, Denial> {
    M::decode(envelope.payload.as_slice()).map_err(|_| DropCause::Abnormal.into())
}

/// Octets of a fixed number.
pub(super) fn exactly<const N: usize>(octets: &[u8]) -> Result<[u8; N], Denial> {
    octets.try_into().map_err(|_| DropCause::Abnormal.into())
}

/// Words that members say about themselves: short and printable.
pub(super) fn word(text: &str) -> Result<&str, Denial> {
    let good = text.len() <= 64 && !text.chars().any(char::is_control);
    good.then_some(text).ok_or_else(|| DropCause::Abnormal.into())
}

/// A request by a run that has joined.
pub(super) trait OfRun: Message + Default {
    fn run_id(&self) -> &[u8];
}

macro_rules! of_run {
    ($($request:ident),*) => { $(impl OfRun for kith_protocol::member::$request {
        fn run_id(&self) -> &[u8] {
            &self.run_id
        }
    })* };
}
of_run!(
    MoveRequest,
    RefreshRequest,
    LocateRequest,
    QueryRequest,
    LeaveRequest,
    WatchRequest
);

impl Manager {
    /// What can be said before anything is looked at: figure 12's and 13's "abnormal", and too many of one source.
    pub(super) fn admit(&mut self, now: Time, from: SocketAddrV4, envelope: &Envelope) -> Result<(), Denial> {
        let rate = self.settings.limits.source;
        let taken = self.sources.take(*from.ip(), rate, now);
        taken.map_err(|wait| Denial::busy("too many requests come from this address; wait", wait))?;
        let named = Fqdn::parse(&envelope.fqdn).is_ok();
        let signed = matches!(envelope.signature.len(), 0 | 64);
        let fits = envelope.payload.len() <= MAX_PAYLOAD && envelope.authenticator.len() == 32 && signed;
        (named && fits)
            .then_some(())
            .ok_or_else(|| DropCause::Abnormal.into())
    }

    /// Whose registration it is. `code` is of the registration under way, for phase two.
    pub(super) fn by_password(&self, kind: Kind, envelope: &Envelope) -> Result<&Member, Denial> {
        let member = self.state.member_named(&envelope.fqdn);
        let password = member.and_then(|member| member.password.as_deref());
        let key = password.map_or_else(nobody, |password| password.key.clone());
        let authentic = verify(kind, envelope, &PasswordKey::from_secret(key), None);
        let (Some(member), Some(_)) = (member, password) else {
            return Err(DropCause::Unknown.into());
        };
        if !authentic || envelope.token_timestamp != 0 {
            return Err(DropCause::NotAuthentic.into());
        }
        Ok(member)
    }

    /// Whose request it is, of those that have registered.
    pub(super) fn by_token(&self, kind: Kind, envelope: &Envelope) -> Result<&Member, Denial> {
        let member = self.state.member_named(&envelope.fqdn);
        let token = member.and_then(|member| member.token.as_ref());
        let key = token.map_or_else(nobody, |token| token.key.clone());
        let authentic = verify(kind, envelope, &AuthKey::of(&key), None);
        // Whatever is not authentic costs one signature, known or not.
        let identity = member.and_then(|member| member.identity);
        let by_device = || verify_signature(kind, envelope, &identity.unwrap_or(self.nobody));
        let signed = kind.signed() && by_device() && identity.is_some();
        let (Some(member), Some(token)) = (member, token) else {
            return Err(DropCause::Unknown.into());
        };
        if !authentic || envelope.token_timestamp != token.timestamp {
            // The device itself, with an older registration file: that can be told.
            if signed && envelope.token_timestamp < token.timestamp {
                let reason = "this device has registered again since; use the newer registration file";
                return Err(Denial::refused(Code::StaleToken, reason));
            }
            return Err(DropCause::NotAuthentic.into());
        }
        match member.standing {
            Standing::Revoked => return Err(Denial::Refused(revoked(member))),
            Standing::NotRegistered | Standing::Registering => {
                let reason = "this device is not registered any more; ask for a new invitation";
                return Err(Denial::refused(Code::NotRegistered, reason));
            }
            Standing::Registered => {}
        }
        if kind.signed() && !signed {
            return Err(DropCause::BadSignature.into());
        }
        Ok(member)
    }

    /// Whose request it is, of those that are joined; the run must be the one that joined last. It counts as a sign of life.
    pub(super) fn by_session<M: OfRun>(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        kind: Kind,
        envelope: &Envelope,
    ) -> Result<(MemberId, M), Denial> {
        self.admit(now, from, envelope)?;
        let member = self.by_token(kind, envelope)?;
        let id = member.id;
        let request: M = payload(envelope)?;
        let run_id = RunId(exactly(request.run_id())?);
        same_run(member.session(), run_id)?;
        self.heard(now, id);
        Ok((id, request))
    }

    /// A token of the member's own bucket.
    pub(super) fn spend(&mut self, now: Time, id: MemberId) -> Result<(), Denial> {
        let rate = self.settings.limits.member;
        let Some(member) = self.state.fleeting_mut(id) else {
            return Ok(());
        };
        let taken = member.allowance.take(rate, now);
        taken.map_err(|wait| Denial::busy("this member asks too often; wait", wait))
    }
}

pub(super) fn revoked(member: &Member) -> Refusal {
    let reason = match member.revoked_reason.as_deref() {
        Some(reason) => format!("an operator has revoked this member: {reason}"),
        None => "an operator has revoked this member".to_owned(),
    };
    refusal(Code::Revoked, reason)
}

fn same_run(session: Option<&Session>, run_id: RunId) -> Result<(), Denial> {
    match session {
        Some(session) if session.run_id == run_id => Ok(()),
        Some(_) => {
            let reason = "another run of this member has joined since";
            Err(Denial::refused(Code::Superseded, reason))
        }
        None => Err(Denial::refused(
            Code::NotJoined,
            "this member is not joined; join first",
        )),
    }
}

/// For names that have none: what it verifies does not count.
fn nobody() -> Secret32 {
    Secret32::new([0; 32])
}
