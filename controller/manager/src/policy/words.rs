//! The words of a policy: whom it is about, and which service.

use std::fmt;
use std::str::FromStr;

/// ICMP (RFC 792), as IPv4 numbers it.
pub const ICMP: u8 = 1;
/// TCP (RFC 9293), as IPv4 numbers it.
pub const TCP: u8 = 6;
/// UDP (RFC 768), as IPv4 numbers it.
pub const UDP: u8 = 17;

/// What policies know of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    /// Its full name.
    pub fqdn: &'a str,
    /// To whom it belongs.
    pub user: &'a str,
    /// Its tags.
    pub tags: &'a [Box<str>],
    /// Its virtual address; none before it first joins.
    pub address: Option<std::net::Ipv4Addr>,
}

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
pub enum SelectorError {
    /// Not one of the four forms.
    #[error("\"{0}\" names nobody; write any, user:NAME, machine:FULL.NAME or tag:WORD")]
    Form(String),
    /// Nothing behind the colon, or blanks in it.
    #[error("\"{0}\": behind the colon must stand one word without blanks")]
    Word(String),
}

/// Which packets a policy is about: those of a conversation that begins at this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// All.
    Any,
    /// All of an IPv4 protocol.
    Protocol(u8),
    /// Conversations with a port: to it, and back from it.
    Port {
        /// TCP or UDP.
        protocol: u8,
        /// The port that is asked.
        port: u16,
    },
}

/// Text that is no service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Not one of the forms.
    #[error("\"{0}\" is no service; write any, icmp, tcp, udp, or a port as tcp/22 or udp/53")]
    Form(String),
    /// Several ports at once.
    #[error(
        "\"{0}\": ranges of ports are not possible; write every port by itself (tcp/8000, tcp/8001), or tcp for all"
    )]
    Range(String),
    /// No port.
    #[error("\"{0}\": a port is a number from 1 to 65535")]
    Port(String),
    /// ICMP has none.
    #[error("\"{0}\": icmp has no ports; write icmp")]
    NoPorts(String),
}

/// Which policies are asked first: those about a machine, then those about a user, then those about the whole domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Asked first.
    Machine,
    /// Asked next.
    User,
    /// Asked last.
    Domain,
}

/// Text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no level; write domain, user or machine, or leave it out")]
pub struct LevelError(pub String);

impl Selector {
    /// Is it about this member?
    #[must_use]
    pub fn matches(&self, who: &Who<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::User(user) => who.user == &**user,
            Self::Machine(fqdn) => who.fqdn == &**fqdn,
            Self::Tag(word) => who.tags.contains(word),
        }
    }
}

impl Service {
    /// IPv4 protocol and port that is asked; 0 for any.
    #[must_use]
    pub fn numbers(self) -> (u8, u16) {
        match self {
            Self::Any => (0, 0),
            Self::Protocol(protocol) => (protocol, 0),
            Self::Port { protocol, port } => (protocol, port),
        }
    }

    /// Is everything that `other` names also meant by this?
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        let ((protocol, port), (others, others_port)) = (self.numbers(), other.numbers());
        (protocol == 0 || protocol == others) && (port == 0 || port == others_port)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let (kind, name) = text
            .split_once(':')
            .ok_or_else(|| SelectorError::Form(short(text)))?;
        let selector = match kind {
            "user" => Self::User(name.into()),
            "machine" => Self::Machine(name.trim_end_matches('.').to_ascii_lowercase().into()),
            "tag" => Self::Tag(name.into()),
            _ => return Err(SelectorError::Form(short(text))),
        };
        if !is_word(name) {
            return Err(SelectorError::Word(short(text)));
        }
        Ok(selector)
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

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let lower = text.to_ascii_lowercase();
        let (word, port) = match lower.split_once('/') {
            Some((word, port)) => (word, Some(port)),
            None => (lower.as_str(), None),
        };
        let protocol = match word {
            "any" if port.is_none() => return Ok(Self::Any),
            "icmp" => ICMP,
            "tcp" => TCP,
            "udp" => UDP,
            _ => return Err(ServiceError::Form(short(text))),
        };
        let Some(port) = port else {
            return Ok(Self::Protocol(protocol));
        };
        if protocol == ICMP {
            return Err(ServiceError::NoPorts(short(text)));
        }
        if port.contains(['-', ':', ',', '*']) {
            return Err(ServiceError::Range(short(text)));
        }
        let digits = !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits && port != 0 => Ok(Self::Port { protocol, port }),
            _ => Err(ServiceError::Port(short(text))),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Protocol(protocol) => f.write_str(protocol_word(*protocol)),
            Self::Port { protocol, port } => write!(f, "{}/{port}", protocol_word(*protocol)),
        }
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        let levels = [Self::Machine, Self::User, Self::Domain];
        let level = levels.into_iter().find(|level| level.to_string() == text);
        level.ok_or_else(|| LevelError(short(text)))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "machine",
            Self::User => "user",
            Self::Domain => "domain",
        })
    }
}

/// One word of at most 253 printable characters: users, tags.
#[must_use]
pub fn is_word(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == ',';
    !text.is_empty() && text.len() <= 253 && !text.contains(bad)
}

/// What people wrote, for a message: the beginning will do.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn protocol_word(protocol: u8) -> &'static str {
    match protocol {
        ICMP => "icmp",
        TCP => "tcp",
        _ => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_are_read() {
        for text in [
            "any",
            "user:alice@acme.example",
            "machine:printer.acme.example",
            "tag:servers",
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
        for text in ["any", "icmp", "tcp", "udp", "tcp/22", "udp/53", "tcp/65535"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        for text in ["domain", "user", "machine"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        let selector = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        let service = |text: &str| text.parse::<Service>().unwrap_err().to_string();
        for text in ["", "alice", "group:x", "any:x"] {
            assert!(selector(text).contains("write any, user:NAME"), "{text}");
        }
        for text in ["user:", "tag:two words", "machine:", "tag:a,b"] {
            assert!(selector(text).contains("one word without blanks"), "{text}");
        }
        for text in ["tcp/8000-8010", "udp/1:2", "tcp/80,443", "tcp/*"] {
            assert!(service(text).contains("write every port by itself"), "{text}");
        }
        for text in ["tcp/0", "tcp/65536", "tcp/+1", "udp/", "tcp/http"] {
            assert!(service(text).contains("1 to 65535"), "{text}");
        }
        for text in ["", "ssh", "any/22", "22", "sctp"] {
            assert!(service(text).contains("write any, icmp, tcp, udp"), "{text}");
        }
        assert!(service("icmp/8").contains("no ports"));
        assert!(
            "high"
                .parse::<Level>()
                .unwrap_err()
                .to_string()
                .contains("domain, user or machine")
        );
    }

    #[test]
    fn a_service_covers_what_is_narrower() {
        let of = |text: &str| text.parse::<Service>().unwrap();
        assert!(
            of("any").covers(of("tcp/22"))
                && of("tcp").covers(of("tcp/22"))
                && of("tcp/22").covers(of("tcp/22"))
        );
        assert!(
            !of("tcp").covers(of("any"))
                && !of("tcp/22").covers(of("tcp"))
                && !of("udp").covers(of("tcp/22"))
        );
    }
}
