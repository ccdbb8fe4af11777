//! What happened how often: for metrics and for tests that count messages.

use super::input::Call;
use super::output::Answer;
use kith_protocol::member::refusal;
use std::collections::BTreeMap;

/// Counters by kind and outcome. There are as many as words in this program: they do not grow with members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<(&'static str, &'static str), u64>);

impl Counts {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        self.0
            .iter()
            .map(|((kind, outcome), count)| (*kind, *outcome, *count))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, kind: &str, outcome: &str) -> u64 {
        let found = self.iter().find(|(a, b, _)| (*a, *b) == (kind, outcome));
        found.map_or(0, |(_, _, count)| count)
    }

    pub(super) fn add(&mut self, kind: &'static str, outcome: &'static str) {
        *self.0.entry((kind, outcome)).or_default() += 1;
    }

    pub(super) fn call(&mut self, call: Call, outcome: &'static str) {
        self.add(call.word(), outcome);
    }
}

/// As counters name an answer.
pub(super) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Refused(refused) => match refused.code() {
            refusal::Code::Unspecified => "refused",
            refusal::Code::AlreadyRegistered => "already_registered",
            refusal::Code::NotRegistering => "not_registering",
            refusal::Code::WrongCode => "wrong_code",
            refusal::Code::NotRegistered => "not_registered",
            refusal::Code::Revoked => "revoked",
            refusal::Code::MailFailed => "mail_failed",
            refusal::Code::TooLate => "too_late",
            refusal::Code::StaleToken => "stale_token",
            refusal::Code::NoDirector => "no_director",
            refusal::Code::AddressesExhausted => "addresses_exhausted",
            refusal::Code::NotJoined => "not_joined",
            refusal::Code::UnknownName => "unknown_name",
            refusal::Code::Busy => "busy",
            refusal::Code::Superseded => "superseded",
            refusal::Code::Store => "store",
            refusal::Code::Denied => "denied",
            refusal::Code::Expired => "expired",
        },
        Answer::Dropped(cause) => cause.word(),
        _ => "granted",
    }
}
