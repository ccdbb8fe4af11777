//! Registration, phase two (source document 001, figures 12 and 12B): the device shows the code and gets its registration file.
//!
//! The code is part of what the authenticator covers. So a wrong code looks like a forgery, but for the device's signature: that tells the two
//! apart, and only the device itself can use up its attempts.

use super::Manager;
use super::authentic::{Denial, exactly, payload, refusal, revoked};
use super::ids::{MemberId, Time};
use super::leave::Ended;
use super::output::{Answer, DropCause};
use super::state::{Confirmed, Member, Standing, Token};
use kith_protocol::authenticator::{Kind, PasswordKey, request_hash, verify, verify_signature};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{ConfirmAck, ConfirmRequest, Envelope, Refusal, RegistrationFile};
use kith_protocol::registration::FileKey;
use kith_protocol::secret::Secret32;
use std::net::SocketAddrV4;

/// The way that registration files are sealed.
const CRYPTO_TYPE: u32 = 1;

impl Manager {
    pub(super) fn confirm(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        self.admit(now, from, envelope)?;
        let hash = request_hash(Kind::Confirm, envelope);
        let id = self.may_confirm(now, envelope, hash)?;
        if let Some(again) = self.confirmed_before(now, id, hash) {
            return Ok(again);
        }
        let request: ConfirmRequest = payload(envelope)?;
        let (share, identity): ([u8; 32], [u8; 32]) =
            (exactly(&request.key_share)?, exactly(&request.identity)?);
        let member = self.state.member(id).ok_or(DropCause::Unknown)?;
        let registering = member.registering.as_deref().ok_or(DropCause::Unknown)?;
        if registering.member_share != share || registering.identity != identity {
            return Err(DropCause::Abnormal.into());
        }
        let file_key = FileKey::from_secret(registering.file_key.clone());
        // Newer than any before it, whatever the clock says.
        let timestamp = member
            .token
            .as_ref()
            .map_or(now.0, |token| now.0.max(token.timestamp + 1));
        let file = RegistrationFile {
            version: 1,
            fqdn: envelope.fqdn.clone(),
            community: self.state.domain(member.community).to_owned(),
            token_key: self.random::<32>().to_vec(),
            token_timestamp: timestamp,
            member_id: id.0,
            managers: self.settings.managers.clone(),
            managers_version: self.settings.managers_version,
        };
        let ack = file_key.seal(&envelope.fqdn, &file, &mut *self.entropy.0);
        let confirmed = Confirmed {
            request_hash: hash,
            sealed: ack.sealed.clone().into(),
            until_ms: now.plus(self.settings.times.confirmed).0,
        };
        self.registered(now, id, identity, file, confirmed);
        Ok(Answer::Confirm(ack))
    }

    /// Is it the device that is registering, in time, with the code?
    fn may_confirm(&mut self, now: Time, envelope: &Envelope, hash: [u8; 32]) -> Result<MemberId, Denial> {
        let member = self.state.member_named(&envelope.fqdn);
        let password = member.and_then(|member| member.password.as_deref());
        let registering = member.and_then(|member| member.registering.as_deref());
        let key = password.map_or_else(|| Secret32::new([0; 32]), |password| password.key.clone());
        let code = registering.map_or([0; 32], |registering| registering.code_hash);
        let authentic = verify(
            Kind::Confirm,
            envelope,
            &PasswordKey::from_secret(key),
            Some(&code),
        );
        // By whoever registered, or is registering: the code no longer counts in other states, but who asks must be known. A name that is not
        // known costs the same.
        let identity = registering.map(|registering| registering.identity);
        let identity = identity.or(member.and_then(|member| member.identity));
        let signed = verify_signature(Kind::Confirm, envelope, &identity.unwrap_or(self.nobody));
        let (Some(member), Some(_)) = (member, password) else {
            return Err(DropCause::Unknown.into());
        };
        let id = member.id;
        if self.confirmed_before(now, id, hash).is_some() {
            return Ok(id);
        }
        if identity.is_none() {
            return Err(DropCause::NotAuthentic.into());
        }
        if !signed {
            return Err(DropCause::BadSignature.into());
        }
        in_state(member, now)?;
        if !authentic || envelope.token_timestamp != 0 {
            return Err(self.wrong_code(id));
        }
        Ok(id)
    }

    /// The same request within a while gets the same answer: the first one may have been lost.
    fn confirmed_before(&self, now: Time, id: MemberId, hash: [u8; 32]) -> Option<Answer> {
        let confirmed = self.state.member(id)?.confirmed.as_deref()?;
        let same = confirmed.request_hash == hash && now.0 < confirmed.until_ms;
        same.then(|| {
            Answer::Confirm(ConfirmAck {
                crypto_type: CRYPTO_TYPE,
                sealed: confirmed.sealed.to_vec(),
            })
        })
    }

    fn wrong_code(&mut self, id: MemberId) -> Denial {
        let Some(member) = self.state.member_mut(id) else {
            return DropCause::Unknown.into();
        };
        let Some(registering) = member.registering.as_deref_mut() else {
            return DropCause::Unknown.into();
        };
        registering.attempts_left = registering.attempts_left.saturating_sub(1);
        let attempts_left = registering.attempts_left;
        let reason = match attempts_left {
            0 => "the code is wrong, and was wrong too often; register again",
            _ => "the code is wrong",
        };
        if attempts_left == 0 {
            member.standing = Standing::NotRegistered;
        }
        Denial::Refused(Refusal {
            attempts_left,
            ..refusal(Code::WrongCode, reason)
        })
    }

    fn registered(
        &mut self,
        now: Time,
        id: MemberId,
        identity: [u8; 32],
        file: RegistrationFile,
        confirmed: Confirmed,
    ) {
        // A device that registered before is out.
        self.end_session(now, id, Ended::Superseded);
        self.forget_init(id);
        let director_key = (u64::from_be_bytes(self.random()), Secret32::new(self.random()));
        let until = Time(confirmed.until_ms);
        let Some(member) = self.state.member_mut(id) else {
            return;
        };
        member.standing = Standing::Registered;
        member.registered_ms = now.0;
        member.registering = None;
        member.identity = Some(identity);
        member.token = Secret32::from_slice(&file.token_key).map(|key| Token {
            key,
            timestamp: file.token_timestamp,
        });
        member.director_key = Some(director_key);
        member.confirmed = Some(Box::new(confirmed));
        let (community, fqdn) = (member.community, member.fqdn.clone());
        self.look(id, until);
        self.event(now, "member.registered", community, &fqdn, "");
    }
}

fn in_state(member: &Member, now: Time) -> Result<(), Denial> {
    let reason = match member.standing {
        Standing::Revoked => return Err(Denial::Refused(revoked(member))),
        Standing::Registered => "this device has registered; join with its registration file",
        Standing::NotRegistered => "the registration has ended; register again",
        Standing::Registering => {
            let registering = member.registering.as_deref();
            if registering.is_some_and(|registering| now.0 < registering.until_ms) {
                return Ok(());
            }
            "the code came too late; register again"
        }
    };
    Err(Denial::refused(Code::NotRegistering, reason))
}
