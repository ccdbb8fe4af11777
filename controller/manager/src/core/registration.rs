//! Registration, phase one (source document 001, figure 12): a device shows the initial password, both agree on a key for the registration
//! file, and a code goes out by mail.
//!
//! ```text
//!  not registered ──register──► registering ──confirm──► registered
//!        ▲  ▲                     │    │ └─ register by the same device: the answer again, or a new code
//!        │  └─── mail failed ─────┘    │
//!        └── too late, or wrong codes ─┘
//! ```
//!
//! The first device that shows the password has it: until it is too late for it, every other is refused.

use super::Manager;
use super::authentic::{Denial, exactly, payload, revoked, word};
use super::ids::{MemberId, Time, Token};
use super::output::{Answer, DropCause, Mail};
use super::state::{Member, Registering, Standing};
use kith_protocol::authenticator::{Kind, PasswordKey, verify_signature};
use kith_protocol::letter;
use kith_protocol::member::refusal::Code as Refused;
use kith_protocol::member::{Envelope, RegisterRequest};
use kith_protocol::registration::{Code, FileKey, seal_ack};
use kith_protocol::share::KeyShare;
use std::net::SocketAddrV4;

/// What phase one agreed.
struct Agreed {
    member_share: [u8; 32],
    identity: [u8; 32],
    share: KeyShare,
    file_key: FileKey,
}

impl Manager {
    pub(super) fn register(
        &mut self,
        now: Time,
        token: Token,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Option<Answer>, Denial> {
        self.admit(now, from, envelope)?;
        let id = self.by_password(Kind::Register, envelope)?.id;
        let request: RegisterRequest = payload(envelope)?;
        let identity = exactly(&request.identity)?;
        if !verify_signature(Kind::Register, envelope, &identity) {
            return Err(DropCause::BadSignature.into());
        }
        let (platform, program) = (word(&request.platform)?, word(&request.program)?);
        self.expire_registration(now, id);
        let Some(member) = self.state.member(id) else {
            return Ok(None);
        };
        let renewed = may_register(member, &identity, now, self.settings.limits.password_uses)?;
        self.spend(now, id)?;
        let recent = renewed
            .filter(|sent| now.0 < sent.saturating_add(self.settings.times.code))
            .is_some();

        let agreed = self.agree(&request, identity, envelope)?;
        if let Some(same) = recent.then(|| self.again(now, id, agreed.member_share)).flatten() {
            return Ok(Some(same));
        }
        if let Some(member) = self.state.member_mut(id) {
            member.program = program.into();
            if !platform.is_empty() {
                member.platform = platform.into();
            }
        }
        if recent {
            // A new run of the same device: new shares, but the code that it has been sent stays good.
            self.rekey(id, agreed);
            let share = exactly(&request.key_share)?;
            return Ok(self.again(now, id, share));
        }
        self.send_code(now, token, id, agreed, renewed.is_some())?;
        Ok(None)
    }

    /// Too late for phase two.
    pub(super) fn expire_registration(&mut self, now: Time, id: MemberId) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let over = member
            .registering
            .as_deref()
            .is_some_and(|registering| registering.until_ms <= now.0);
        let over = over && member.standing == Standing::Registering;
        // What was agreed stays until the next time, so that the device can be told that it is too late.
        if over && let Some(member) = self.state.member_mut(id) {
            member.standing = Standing::NotRegistered;
        }
    }

    fn agree(
        &mut self,
        request: &RegisterRequest,
        identity: [u8; 32],
        envelope: &Envelope,
    ) -> Result<Agreed, Denial> {
        let member_share = exactly(&request.key_share)?;
        let share = KeyShare::generate(&mut *self.entropy.0);
        let file_key = FileKey::at_manager(&share, &member_share, &envelope.fqdn);
        let file_key = file_key.map_err(|_| DropCause::Abnormal)?;
        Ok(Agreed {
            member_share,
            identity,
            share,
            file_key,
        })
    }

    /// The answer that was given before, if this is the same agreement.
    fn again(&self, now: Time, id: MemberId, member_share: [u8; 32]) -> Option<Answer> {
        let member = self.state.member(id)?;
        let registering = member.registering.as_deref()?;
        let same = registering.member_share == member_share;
        same.then(|| acknowledge(member, registering, now)).flatten()
    }

    fn rekey(&mut self, id: MemberId, agreed: Agreed) {
        let member = self.state.member_mut(id);
        if let Some(registering) = member.and_then(|member| member.registering.as_deref_mut()) {
            registering.member_share = agreed.member_share;
            registering.manager_share = agreed.share.public();
            registering.file_key = agreed.file_key.secret().clone();
        }
    }

    fn send_code(
        &mut self,
        now: Time,
        token: Token,
        id: MemberId,
        agreed: Agreed,
        renewed: bool,
    ) -> Result<(), Denial> {
        let Some(member) = self.state.member(id) else {
            return Ok(());
        };
        let (fqdn, community) = (member.fqdn.clone(), member.community);
        let to = mail_address(member).map(str::to_owned).ok_or_else(|| {
            let reason = "no mail address is known for this member; ask the operator to enter one";
            Denial::refused(Refused::MailFailed, reason)
        })?;
        if self.mails.len() >= self.settings.limits.mails {
            return Err(Denial::busy("too many mails are on their way; wait", 5000));
        }
        let code = Code::generate(&mut *self.entropy.0);
        let code_hash = code.hash(&fqdn);
        let old = member.registering.as_deref().filter(|_| renewed);
        // A new code gives neither more time nor more attempts.
        let until_ms = old.map_or(now.plus(self.settings.times.registration).0, |old| old.until_ms);
        let attempts_left = old.map_or(self.settings.limits.code_attempts, |old| old.attempts_left);
        // A repeated request stays of its agreement: the device may hold the first answer, and never hear of a second one.
        let same = old.filter(|old| old.member_share == agreed.member_share);
        let registering = Registering {
            member_share: agreed.member_share,
            manager_share: same.map_or(agreed.share.public(), |same| same.manager_share),
            file_key: same
                .map_or(agreed.file_key.secret(), |same| &same.file_key)
                .clone(),
            identity: agreed.identity,
            code_hash,
            until_ms,
            attempts_left,
            code_sent_ms: now.0,
        };
        let Some(answer) = acknowledge(member, &registering, now) else {
            return Ok(());
        };
        if let Some(member) = self.state.member_mut(id) {
            member.standing = Standing::Registering;
            member.registering = Some(Box::new(registering));
            if let Some(password) = member.password.as_deref_mut().filter(|_| !renewed) {
                password.uses += 1;
            }
        }
        self.look(id, Time(until_ms));
        let letter = letter::code(&fqdn, &code, seconds_left(until_ms, now));
        let mail = Mail {
            to,
            subject: letter.subject,
            body: letter.body,
        };
        self.event(now, "member.registering", community, &fqdn, "");
        self.mail_code(now, id, mail, code_hash, token, answer);
        Ok(())
    }
}

/// May this device register? If it is registering already: when its code was sent.
fn may_register(member: &Member, identity: &[u8; 32], now: Time, uses: u32) -> Result<Option<u64>, Denial> {
    match (member.standing, member.registering.as_deref()) {
        (Standing::Revoked, _) => return Err(Denial::Refused(revoked(member))),
        (Standing::Registered, _) if member.identity.as_ref() == Some(identity) => {
            return Err(already(
                "this device has registered; join with its registration file",
            ));
        }
        (Standing::Registered, _) => {
            return Err(already(
                "another device has registered under this name; ask for an invitation of your own",
            ));
        }
        (Standing::Registering, Some(registering)) if registering.identity == *identity => {
            return Ok(Some(registering.code_sent_ms));
        }
        (Standing::Registering, _) => {
            return Err(already("another device is registering under this name"));
        }
        (Standing::NotRegistered, _) => {}
    }
    let Some(password) = member.password.as_deref() else {
        return Err(DropCause::Unknown.into());
    };
    if password.expires_ms <= now.0 {
        return Err(expired("the invitation is too old; ask for a new one"));
    }
    if password.uses >= uses {
        return Err(expired(
            "the invitation was used too often without being confirmed; ask for a new one",
        ));
    }
    Ok(None)
}

fn already(reason: &str) -> Denial {
    Denial::refused(Refused::AlreadyRegistered, reason)
}

fn expired(reason: &str) -> Denial {
    Denial::refused(Refused::Expired, reason)
}

fn acknowledge(member: &Member, registering: &Registering, now: Time) -> Option<Answer> {
    let key = PasswordKey::from_secret(member.password.as_deref()?.key.clone());
    let seconds = seconds_left(registering.until_ms, now);
    let hint = hint(mail_address(member)?);
    let ack = seal_ack(
        &key,
        &registering.member_share,
        seconds,
        registering.manager_share,
        hint,
    );
    Some(Answer::Register(ack))
}

fn seconds_left(until_ms: u64, now: Time) -> u32 {
    u32::try_from(Time(until_ms).since(now) / 1000).unwrap_or(u32::MAX)
}

fn mail_address(member: &Member) -> Option<&str> {
    [&*member.email, &*member.user]
        .into_iter()
        .find(|text| text.contains('@'))
}

/// Enough for whoever owns the address: "a…@acme.example".
fn hint(address: &str) -> String {
    let (name, host) = address.split_once('@').unwrap_or((address, ""));
    let first: String = name.chars().take(1).collect();
    format!("{first}…@{host}")
}
