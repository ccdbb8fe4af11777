//! Mails on their way. A registration's answer waits until its code was handed over: if that fails, the member is told at once
//! (figure 12, "the send e-mail operation fails"), and nothing was used up.

use super::Manager;
use super::authentic::refusal;
use super::ids::{MemberId, Time, Token};
use super::input::Call;
use super::output::{Answer, Mail, Output};
use super::state::Standing;
use kith_protocol::member::refusal::Code;
use std::collections::BTreeMap;

/// Mails on their way.
#[derive(Default)]
pub(super) struct Mails {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    member: MemberId,
    until: Time,
    /// Whose answer depends on it, if anybody's.
    code: Option<Awaited>,
}

/// An answer that goes when the code has gone.
struct Awaited {
    token: Token,
    hash: [u8; 32],
    answer: Box<Answer>,
}

impl Mails {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Numbers grow and so do times: the first is the first to be overdue.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.until)
    }

    /// Forgets all; answers with whoever waited.
    pub(super) fn take_all(&mut self) -> Vec<Token> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_values()
            .filter_map(|waiting| Some(waiting.code?.token))
            .collect()
    }

    fn insert(&mut self, waiting: Waiting) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, waiting);
        self.last
    }
}

impl Manager {
    /// Sends a member a mail that nobody waits for. If it fails, operators hear of it.
    pub fn mail(&mut self, now: Time, member: MemberId, mail: Mail) {
        self.send_mail(now, member, mail, None);
    }

    /// Sends a code, and the answer when it was handed over.
    pub(super) fn mail_code(
        &mut self,
        now: Time,
        member: MemberId,
        mail: Mail,
        hash: [u8; 32],
        token: Token,
        answer: Answer,
    ) {
        let answer = Box::new(answer);
        self.send_mail(now, member, mail, Some(Awaited { token, hash, answer }));
    }

    pub(super) fn mailed(&mut self, now: Time, id: u64, result: Result<(), String>) {
        let Some(waiting) = self.mails.waiting.remove(&id) else {
            return;
        };
        self.counts
            .add("mail", if result.is_ok() { "sent" } else { "failed" });
        if let Err(why) = &result {
            self.mail_failed(now, waiting.member, why);
        }
        let Some(code) = waiting.code else { return };
        let answer = match result {
            Ok(()) => *code.answer,
            Err(_) => {
                self.undo_registration(waiting.member, code.hash);
                let reason = "the mail with the confirmation code could not be sent; try again later, or ask the operator";
                Answer::Refused(refusal(Code::MailFailed, reason))
            }
        };
        self.answer(code.token, Call::Register, answer);
    }

    pub(super) fn mails_overdue(&mut self, now: Time) {
        while let Some((id, _)) = self
            .mails
            .waiting
            .first_key_value()
            .filter(|(_, waiting)| waiting.until <= now)
        {
            self.mailed(now, *id, Err("the mail server does not answer".to_owned()));
        }
    }

    fn send_mail(&mut self, now: Time, member: MemberId, mail: Mail, code: Option<Awaited>) {
        let until = now.plus(self.settings.times.mail);
        let id = self.mails.insert(Waiting { member, until, code });
        self.emit(Output::Mail { id, mail });
    }

    fn mail_failed(&mut self, now: Time, id: MemberId, why: &str) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (community, fqdn) = (member.community, member.fqdn.clone());
        self.event(now, "mail.failed", community, &fqdn, why);
    }

    /// As if it had not begun, unless something else has happened since.
    fn undo_registration(&mut self, id: MemberId, code_hash: [u8; 32]) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let this = member
            .registering
            .as_deref()
            .is_some_and(|registering| registering.code_hash == code_hash);
        if member.standing != Standing::Registering || !this {
            return;
        }
        if let Some(member) = self.state.member_mut(id) {
            member.standing = Standing::NotRegistered;
            member.registering = None;
            if let Some(password) = member.password.as_deref_mut() {
                password.uses = password.uses.saturating_sub(1);
            }
        }
    }
}
