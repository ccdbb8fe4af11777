//! What can go wrong between an operator and a manager: one sentence for what, one for what to do. Causes of causes stay inside.

use std::path::PathBuf;
use tonic::{Code, Status};

/// What was shown to prove who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing; on a Unix socket the system itself says who asks.
    Nothing,
    /// The token in this file.
    Token(PathBuf),
    /// The certificate in this file.
    Certificate(PathBuf),
}

/// Why a command to a manager failed.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// Neither a socket of this computer nor a lab's.
    #[error("no manager runs on this computer, and no lab has one")]
    Nobody,
    /// More than one, and none named.
    #[error("there are several managers: {}", .0.join(", "))]
    Several(Vec<String>),
    /// A lab without one.
    #[error("lab `{0}` has no manager to ask")]
    NotInLab(String),
    /// Not the form of a place.
    #[error("`{place}` is no place of a manager: {why}")]
    Place {
        /// What was written.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Over the network, but whom to believe is not said.
    #[error("nothing says which manager to believe at {0}")]
    NoFingerprint(String),
    /// Not the form of a fingerprint.
    #[error("`{0}` is no fingerprint: that is `sha256:` and 64 hexadecimal digits")]
    BadFingerprint(String),
    /// No socket, or nobody behind it.
    #[error("no manager runs at {0}")]
    NotRunning(String),
    /// The socket is not for this user.
    #[error("you may not ask the manager at {0}")]
    Forbidden(String),
    /// Somebody else's key.
    #[error("who answers at {0} is not the manager with this fingerprint: nothing was sent to it")]
    Stranger(String),
    /// Nobody answers there.
    #[error("the manager at {at} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// What the system says.
        why: String,
    },
    /// Unknown or expired.
    #[error("{}", nobody_known(.at, .shown))]
    Unknown {
        /// Who refuses.
        at: String,
        /// What it was shown.
        shown: Shown,
    },
    /// The manager's own words.
    #[error("{words}")]
    Refused {
        /// What is wrong and what to do.
        words: String,
        /// It was asked wrongly: not the manager's state, but the request has a mistake.
        wrong: bool,
    },
    /// It is not there.
    #[error("there is no {kind} {name}")]
    Missing {
        /// Member, community.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// It is there, and is not to be replaced.
    #[error("there is a {kind} {name} already, and it is different")]
    Exists {
        /// Policy, director.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A service or a method that it does not have.
    #[error("the manager at {at} does not know how to {doing}")]
    Version {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
    },
    /// No answer in time.
    #[error("the manager at {at} did not answer in time when asked to {doing}")]
    Silent {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
    },
    /// The connection ended before the answer.
    #[error("the connection to the manager at {at} was lost when it was asked to {doing}")]
    Lost {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
    },
    /// It has a fault of its own.
    #[error("the manager at {at} failed to {doing}: {words}")]
    Failed {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
        /// What it says.
        words: String,
    },
    /// A file of ours.
    #[error("{}: {why}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A list of members has mistakes.
    #[error("nobody was invited: {} has mistakes\n{}", .file.display(), .mistakes.join("\n"))]
    List {
        /// Which.
        file: PathBuf,
        /// Each with its line.
        mistakes: Vec<String>,
    },
    /// A copy cannot be put in place.
    #[error("the store was not restored: {0}")]
    Restore(String),
    /// The store is in use.
    #[error("the manager that keeps its state in {} is running", .0.display())]
    Running(PathBuf),
    /// Somebody else was quicker.
    #[error("nothing was changed: the network changed since the plan")]
    Stale,
    /// No terminal, and nothing said in its place.
    #[error("nothing was changed: this needs a yes, and there is no terminal to ask at")]
    NobodyToAsk,
    /// The user thought better of it.
    #[error("nothing was changed")]
    Declined,
}

impl ManagerError {
    /// From an answer that is none.
    pub(super) fn of(at: &str, shown: &Shown, doing: &'static str, status: &Status) -> Self {
        let at = at.to_owned();
        let words = status.message().trim().to_owned();
        // What comes from the manager has no cause on our side; what the connection did has one.
        let ours = std::error::Error::source(status).is_some();
        match status.code() {
            Code::Unauthenticated => Self::Unknown {
                at,
                shown: shown.clone(),
            },
            Code::InvalidArgument | Code::OutOfRange => Self::Refused { words, wrong: true },
            Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Aborted
                if !words.is_empty() =>
            {
                Self::Refused { words, wrong: false }
            }
            Code::Unimplemented => Self::Version { at, doing },
            Code::DeadlineExceeded => Self::Silent { at, doing },
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal if ours => {
                Self::Lost { at, doing }
            }
            Code::Cancelled => Self::Lost { at, doing },
            _ => Self::Failed { at, doing, words },
        }
    }

    /// 2 for what was asked wrongly, 1 for what went wrong.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Place { .. }
            | Self::Several(_)
            | Self::NoFingerprint(_)
            | Self::BadFingerprint(_)
            | Self::Refused { wrong: true, .. }
            | Self::NobodyToAsk
            | Self::List { .. } => 2,
            _ => 1,
        }
    }

    /// Asking again later may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NotRunning(_)
                | Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Lost { .. }
                | Self::Failed { .. }
        )
    }

    /// What to do; the manager's own words have it in them.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Nobody => {
                "start kith-controller; or say where it is, with `--manager unix:/PATH` or `--manager https://HOST:PORT`"
            }
            Self::Several(_) => {
                "say which with `--lab NAME`, or with `--manager unix:/run/kith/admin.sock` for this computer's own"
            }
            Self::NotInLab(_) => "its topology must have a `manager` node; see `kith lab status`",
            Self::Place { .. } => "write `unix:/run/kith/admin.sock` or `https://HOST:PORT`",
            Self::NoFingerprint(_) => {
                "give `--fingerprint sha256:…` (or KITH_FINGERPRINT); `kith manager status` shows it on the manager's own computer"
            }
            Self::BadFingerprint(_) => "`kith manager status` shows it on the manager's own computer",
            Self::NotRunning(_) => {
                "start it with `systemctl start kith-controller`, or say where it is with `--manager`"
            }
            Self::Forbidden(_) => {
                "run it with sudo, or have your user given a role under `manager.local_users` of the controller's configuration"
            }
            Self::Stranger(_) => {
                "compare with what `kith manager status` shows on the manager's own computer; if that is another fingerprint, use it; \
                 if it is the same, somebody is between you and the manager"
            }
            Self::Unreachable { .. } => {
                "are host and port right, is the manager running, does a firewall let TCP through?"
            }
            Self::Unknown { shown, .. } => match shown {
                Shown::Nothing => {
                    "give `--token-file FILE` (or KITH_TOKEN_FILE), or `--certificate FILE --key FILE`"
                }
                _ => "an admin makes a new one with `kith credential create NAME --role ROLE`",
            },
            Self::Missing { kind: "member", .. } => "`kith member list` shows those that are",
            Self::Missing {
                kind: "community", ..
            } => "`kith community list` shows those that are",
            Self::Missing { .. } => "`kith director list` shows those that are",
            Self::Exists { kind: "policy", .. } => "take another name with `--id`, or add `--replace`",
            Self::Exists { .. } => "change it with `kith director update`",
            Self::Version { .. } => {
                "is it of the same version as this program? `kith manager status` and `kith --version` say"
            }
            Self::Silent { .. } => "see how it is with `kith manager status`, and what it says in its log",
            Self::Lost { .. } => "whether it was done is not known: look, and ask again",
            Self::Failed { .. } => "its log says more: `journalctl -u kith-controller`",
            Self::List { .. } => {
                "each line is `NAME EMAIL`, then `user=…`, `platform=…`, `address=…`, `tag=…` as needed; `#` begins a comment"
            }
            Self::Stale => "run `kith topology plan` again, look at what it says now, and apply that",
            Self::NobodyToAsk => "add `--yes`; `kith topology plan` shows before what would be done",
            Self::Running(_) => "stop it first: `systemctl stop kith-controller`",
            Self::Refused { .. } | Self::File { .. } | Self::Restore(_) | Self::Declined => return None,
        })
    }
}

fn nobody_known(at: &str, shown: &Shown) -> String {
    let what = match shown {
        Shown::Nothing => return format!("the manager at {at} wants to know who asks"),
        Shown::Token(file) => format!("the token in {}", file.display()),
        Shown::Certificate(file) => format!("the certificate in {}", file.display()),
    };
    format!(
        "the manager at {at} does not take {what}: it has expired, was removed, or is for another manager"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &Status) -> (String, u8) {
        let error = ManagerError::of("unix:/a", &Shown::Nothing, "list members", status);
        (error.to_string(), error.exit_code())
    }

    #[test]
    fn the_managers_own_words_are_the_message() {
        for (status, exit) in [
            (Status::invalid_argument("a is no name; write b"), 2),
            (Status::not_found("a is no name; write b"), 1),
            (Status::already_exists("a is no name; write b"), 1),
            (Status::failed_precondition("a is no name; write b"), 1),
            (Status::resource_exhausted("a is no name; write b"), 1),
            (Status::permission_denied("a is no name; write b"), 1),
        ] {
            assert_eq!(told(&status), ("a is no name; write b".to_owned(), exit));
        }
    }

    #[test]
    fn what_has_no_words_of_its_own_says_what_was_asked() {
        let told = |status| told(&status).0;
        assert_eq!(
            told(Status::unimplemented("x")),
            "the manager at unix:/a does not know how to list members"
        );
        assert_eq!(
            told(Status::internal("disk gone")),
            "the manager at unix:/a failed to list members: disk gone"
        );
        assert_eq!(
            told(Status::deadline_exceeded("x")),
            "the manager at unix:/a did not answer in time when asked to list members"
        );
        assert_eq!(
            told(Status::unauthenticated("x")),
            "the manager at unix:/a wants to know who asks"
        );
        assert!(told(Status::from_error(Box::new(std::io::Error::other("reset")))).contains("was lost"));
    }
}
