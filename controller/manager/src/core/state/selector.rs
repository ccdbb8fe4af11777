//! Whom a policy is about: `any`, `user:NAME`, `machine:FQDN`, `tag:WORD`.

use super::Member;
use std::fmt;
use std::str::FromStr;

/// Whom a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Every member of the community.
    Any,
    /// Every machine of a user.
    User(Box<str>),
    /// One machine.
    Machine(Box<str>),
    /// Machines with a tag.
    Tag(Box<str>),
}

/// Text that selects nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names nobody; write any, user:NAME, machine:FULL.NAME or tag:WORD")]
pub struct SelectorError(pub String);

impl Selector {
    /// Is it about this member?
    #[must_use]
    pub fn matches(&self, member: &Member) -> bool {
        match self {
            Self::Any => true,
            Self::User(user) => member.owner() == &**user,
            Self::Machine(fqdn) => *member.fqdn == **fqdn,
            Self::Tag(word) => member.tags.iter().any(|tag| tag == word),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let wrong = || SelectorError(text.chars().take(64).collect());
        if text == "any" {
            return Ok(Self::Any);
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            return Err(wrong());
        }
        match kind {
            "user" => Ok(Self::User(name.into())),
            "machine" => Ok(Self::Machine(name.to_ascii_lowercase().into())),
            "tag" => Ok(Self::Tag(name.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Machine(name) => write!(f, "machine:{name}"),
            Self::Tag(name) => write!(f, "tag:{name}"),
        }
    }
}
