//! Refusals in people's words: what is wrong, and what to do.

use kith_protocol::member::Refusal;
use kith_protocol::member::refusal::Code;
use std::fmt;

/// A refusal of the manager's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub code: Code,
    /// What the manager adds.
    pub reason: String,
    /// When to try again, if it said so.
    pub retry_after_ms: Option<u64>,
    /// How many codes may still be tried.
    pub attempts_left: u32,
}

/// A sentence or two for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub String);

/// The longest reason that is taken over: it is shown on a terminal.
const LONGEST_REASON: usize = 400;
/// Nobody is told to wait for longer.
const LONGEST_WAIT_MS: u32 = 3_600_000;

impl Refused {
    /// Reads what the manager said.
    #[must_use]
    pub fn read(refusal: &Refusal) -> Self {
        let reason = refusal.reason.chars().filter(|letter| !letter.is_control());
        Self {
            code: refusal.code(),
            reason: reason.take(LONGEST_REASON).collect(),
            retry_after_ms: match refusal.retry_after_ms {
                0 => None,
                wait => Some(wait.min(LONGEST_WAIT_MS).into()),
            },
            attempts_left: refusal.attempts_left,
        }
    }

    /// Will the same request never be granted to this device, whatever time passes?
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self.code,
            Code::AlreadyRegistered
                | Code::NotRegistered
                | Code::Revoked
                | Code::StaleToken
                | Code::Superseded
                | Code::Expired
        )
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn words(&self) -> Words {
        let known = match self.code {
            Code::AlreadyRegistered => {
                "another device has registered under this name already. If that was not you, tell who invited you; \
                 else ask for a new invitation"
            }
            Code::NotRegistering => {
                "the confirmation code came too late. Start again: a new one will be sent"
            }
            Code::WrongCode => "that is not the code that was sent",
            Code::NotRegistered => {
                "the manager has no registration of this device any more. Ask for a new invitation and enrol again"
            }
            Code::Revoked => "this member has been revoked. Ask who runs the community",
            Code::MailFailed => {
                "the manager could not send the mail with the code. Ask who runs the community"
            }
            Code::TooLate => "the join took longer than the manager waits",
            Code::StaleToken => {
                "this registration has been replaced by a newer one. Is there a copy of it on another device? \
                 Ask for a new invitation and enrol again"
            }
            Code::NoDirector => {
                "this computer is behind an address translator, and no route director of the community can serve it"
            }
            Code::AddressesExhausted => {
                "the community has no virtual address left that does not clash with the networks of this computer"
            }
            Code::NotJoined => "the manager does not count this device as joined",
            Code::UnknownName => "there is no such member, or it is not joined",
            Code::Busy => "the manager has too much to do at the moment",
            Code::Superseded => {
                "the same registration has joined from another device or another run of the agent"
            }
            Code::Store => "the manager cannot keep anything at the moment",
            Code::Denied => "a policy of the community forbids it",
            Code::Expired => "the invitation is too old. Ask for a new one",
            Code::Unspecified => "the manager refuses",
        };
        match self.reason.trim() {
            "" => Words(known.into()),
            reason => Words(format!("{known} (the manager says: {reason})")),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_something_of_its_own() {
        let words: Vec<String> = (0..=17)
            .map(|code| {
                Refused::read(&Refusal {
                    code,
                    ..Refusal::default()
                })
                .to_string()
            })
            .collect();
        let mut unique = words.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), words.len());
    }

    #[test]
    fn a_refusal_cannot_write_to_the_terminal_what_it_likes_nor_make_us_wait_for_ever() {
        let hostile = Refusal {
            code: Code::Busy.into(),
            reason: format!("\u{1b}[2Jgone{}", "x".repeat(100_000)),
            retry_after_ms: u32::MAX,
            attempts_left: 0,
        };
        let refused = Refused::read(&hostile);
        assert!(!refused.to_string().contains('\u{1b}') && refused.to_string().len() < 1_000);
        assert_eq!(refused.retry_after_ms, Some(3_600_000));
        assert!(!refused.is_final());
    }

    #[test]
    fn an_unknown_code_of_a_newer_manager_is_an_unspecified_refusal() {
        let refused = Refused::read(&Refusal {
            code: 999,
            ..Refusal::default()
        });
        assert_eq!((refused.code, refused.is_final()), (Code::Unspecified, false));
    }
}
