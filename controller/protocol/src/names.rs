//! Names of members and communities: lower case, letters, digits and hyphens, at most 253 octets, no dot at the end.
//!
//! A community is named by a domain, a member by host labels in front of it (source document 001: "FQDN VCN offset" is where they meet).
//!
//! ```text
//!  printer.floor2.acme.example
//!  └─── host ───┘ └─ domain ─┘
//! ```

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Octets of a name at most (RFC 1035 2.3.4, in text form).
pub const MAX_NAME: usize = 253;
/// Octets of a label at most (RFC 1035 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Octets of a community's domain at most: a host label of full length fits in front.
pub const MAX_DOMAIN: usize = MAX_NAME - MAX_LABEL - 1;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Too long as a whole.
    #[error("the name has {0} characters; {1} are allowed")]
    TooLong(usize, usize),
    /// Two dots in a row, or a dot at an end.
    #[error("{0:?}: there is nothing between two dots, or before or after one")]
    EmptyLabel(String),
    /// One label is too long.
    #[error("{0:?} has more than 63 characters; make it shorter")]
    LabelTooLong(String),
    /// A character that names do not have.
    #[error("{0:?}: {1:?} is not allowed; names have lower case letters, digits and hyphens")]
    Character(String, char),
    /// A hyphen first or last in a label.
    #[error("{0:?} begins or ends with a hyphen")]
    Hyphen(String),
    /// One label only.
    #[error("{0:?} has no dot; a full name is needed, as acme.example or laptop.acme.example")]
    OneLabel(String),
    /// It would be taken for an address.
    #[error("{0:?} ends in a number and would be taken for an address")]
    LooksLikeAddress(String),
    /// The name is not inside the domain.
    #[error("{0:?} is not a name in {1:?}")]
    NotInDomain(String, String),
}

/// A full name: of a member, or of a community.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fqdn(String);

impl Fqdn {
    /// As it stands in messages and records: lower case, no dot at the end, two labels at least.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, MAX_NAME)?;
        Ok(Self(text.to_owned()))
    }

    /// As people and DNS write it: upper case and a dot at the end are taken away first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn normalise(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::parse(&text.to_ascii_lowercase())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host labels, if this is a name inside the domain.
    #[must_use]
    pub fn host_in(&self, domain: &str) -> Option<&str> {
        host_in(&self.0, domain)
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Fqdn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl AsRef<str> for Fqdn {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A member's name, apart: host labels and the community's domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName {
    fqdn: Fqdn,
    host: usize,
}

impl MemberName {
    /// A full name in a known domain.
    ///
    /// # Errors
    /// If it is no name, or not inside the domain.
    pub fn parse(fqdn: &str, domain: &str) -> Result<Self, NameError> {
        let fqdn = Fqdn::parse(fqdn)?;
        match fqdn.host_in(domain).map(str::len) {
            Some(host) => Ok(Self { fqdn, host }),
            None => Err(NameError::NotInDomain(fqdn.0, domain.to_owned())),
        }
    }

    /// From host and domain.
    ///
    /// # Errors
    /// If together they are no name.
    pub fn new(host: &str, domain: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{host}.{domain}"), domain)
    }

    /// The whole.
    #[must_use]
    pub fn fqdn(&self) -> &Fqdn {
        &self.fqdn
    }

    /// "printer.floor2"
    #[must_use]
    pub fn host(&self) -> &str {
        &self.fqdn.0[..self.host]
    }

    /// "acme.example"
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.fqdn.0[self.host + 1..]
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fqdn.fmt(f)
    }
}

/// Is it good as a community's domain? Every name with one host label fits in front of it.
///
/// # Errors
/// What is wrong with it.
pub fn check_domain(domain: &str) -> Result<(), NameError> {
    check(domain, MAX_DOMAIN)
}

/// The labels of `fqdn` in front of `domain`, without a copy; `None` if it is not inside, or the domain itself.
#[must_use]
pub fn host_in<'a>(fqdn: &'a str, domain: &str) -> Option<&'a str> {
    let host = fqdn.strip_suffix(domain)?.strip_suffix('.')?;
    (!host.is_empty()).then_some(host)
}

fn check(text: &str, most: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > most {
        return Err(NameError::TooLong(text.len(), most));
    }
    text.split('.').try_for_each(|label| check_label(text, label))?;
    let Some((_, last)) = text.rsplit_once('.') else {
        return Err(NameError::OneLabel(text.to_owned()));
    };
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(NameError::LooksLikeAddress(text.to_owned()));
    }
    Ok(())
}

fn check_label(text: &str, label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel(text.to_owned()));
    }
    if label.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong(label.to_owned()));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    if let Some(other) = label.chars().find(|c| !allowed(c)) {
        return Err(NameError::Character(text.to_owned(), other));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen(label.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_apart_at_its_domain() {
        let name = MemberName::parse("printer.floor2.acme.example", "acme.example").expect("a name");
        assert_eq!((name.host(), name.domain()), ("printer.floor2", "acme.example"));
        assert_eq!(
            MemberName::new("printer.floor2", "acme.example").as_ref(),
            Ok(&name)
        );
        for other in ["acme.example", "xacme.example", "a.acme.example.org"] {
            assert!(
                matches!(
                    MemberName::parse(other, "acme.example"),
                    Err(NameError::NotInDomain(..))
                ),
                "{other}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let label = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".") + ".b";
        assert_eq!(Fqdn::parse(""), Err(NameError::Empty));
        assert_eq!(Fqdn::parse(&long), Err(NameError::TooLong(long.len(), 253)));
        assert!(matches!(
            Fqdn::parse(&format!("{label}.b")),
            Err(NameError::LabelTooLong(_))
        ));
        for text in [".a.b", "a..b", "a.b."] {
            assert!(
                matches!(Fqdn::parse(text), Err(NameError::EmptyLabel(_))),
                "{text}"
            );
        }
        for (text, what) in [
            ("A.b", 'A'),
            ("a_b.c", '_'),
            ("a b.c", ' '),
            ("ä.b", 'ä'),
            ("a/b.c", '/'),
            ("a\0.b", '\0'),
        ] {
            assert_eq!(Fqdn::parse(text), Err(NameError::Character(text.into(), what)));
        }
        assert!(matches!(Fqdn::parse("-a.b"), Err(NameError::Hyphen(_))));
        assert!(matches!(Fqdn::parse("printer"), Err(NameError::OneLabel(_))));
        assert!(matches!(
            Fqdn::parse("10.77.0.1"),
            Err(NameError::LooksLikeAddress(_))
        ));
    }

    #[test]
    fn people_may_write_capitals_and_a_dot_at_the_end() {
        assert_eq!(
            Fqdn::normalise(" Printer.ACME.example. ").map(|name| name.to_string()),
            Ok("printer.acme.example".into())
        );
        assert!(Fqdn::normalise("printer.acme.example..").is_err());
    }

    #[test]
    fn a_host_of_full_length_fits_in_front_of_the_longest_domain() {
        let domain = format!("{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(61));
        assert_eq!(domain.len(), MAX_DOMAIN);
        assert_eq!(check_domain(&domain), Ok(()));
        assert!(MemberName::new(&"h".repeat(63), &domain).is_ok());
        assert!(check_domain(&format!("x{domain}")).is_err());
    }
}
