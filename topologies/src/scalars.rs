//! Single values: names, prefixes, durations, numbers. Each type's `parse` is its grammar; `values` reads them from a file.

use serde::Serialize;
use std::{fmt, net::Ipv4Addr, time::Duration};

/// The name of a node: a DNS label in lower case, at most 15 characters so that a namespace or interface can bear it (IFNAMSIZ).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// The longest name, in characters.
    pub const MAX: usize = 15;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        label(text)?;
        if text.len() > Self::MAX {
            return Err(format!(
                "has {} characters, and names of nodes have at most {}",
                text.len(),
                Self::MAX
            ));
        }
        Ok(Self(text.into()))
    }
}

/// A fully qualified domain name in lower case, without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Fqdn(String);

impl Fqdn {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first dot.
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// Whether this name is inside `domain`, and not the domain itself.
    pub fn is_in(&self, domain: &Fqdn) -> bool {
        self.0
            .strip_suffix(domain.as_str())
            .is_some_and(|before| before.len() > 1 && before.ends_with('.'))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // RFC 1035, section 2.3.4: 255 octets on the wire, which is 253 characters.
        if text.len() > 253 {
            return Err(format!(
                "has {} characters, and a domain name has at most 253",
                text.len()
            ));
        }
        text.split('.').try_for_each(label)?;
        if !text.contains('.') {
            return Err("has only one label; a full name has a domain, like `alice.acme.example`".into());
        }
        Ok(Self(text.into()))
    }
}

/// RFC 1035, section 2.3.1, with digits in front as RFC 1123, section 2.1, allows.
fn label(text: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text {
        "" => Err("has an empty label".into()),
        _ if text.len() > 63 => Err(format!(
            "has a label of {} characters, and a label has at most 63",
            text.len()
        )),
        _ if text.chars().any(|c| c.is_ascii_uppercase()) => {
            Err("has capital letters; write it in lower case".into())
        }
        _ => match text.chars().find(|&c| !good(c)) {
            Some(odd) => Err(format!(
                "has the character {odd:?}; only a-z, 0-9 and `-` may stand in a label"
            )),
            None if text.starts_with('-') || text.ends_with('-') => {
                Err("has a `-` at the edge of a label".into())
            }
            None => Ok(()),
        },
    }
}

/// An IPv4 network: address and length, no bit set behind the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: Ipv4Addr,
    len: u8,
}

impl Prefix {
    /// The prefix of `len` bits that `address` is in; `None` if `len` is above 32.
    pub fn around(address: Ipv4Addr, len: u8) -> Option<Self> {
        (len <= 32).then(|| Self {
            network: Ipv4Addr::from_bits(address.to_bits() & mask(len)),
            len,
        })
    }

    /// Its first address.
    pub fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Its last address.
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.len))
    }

    /// Its length in bits, 0 to 32.
    #[allow(clippy::len_without_is_empty)] // A prefix is never empty.
    pub fn len(self) -> u8 {
        self.len
    }

    /// Its length as a mask.
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.len))
    }

    /// Whether `address` is one of its addresses.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.len) == self.network.to_bits()
    }

    /// Whether some address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// Whether a host may have `address`: inside, and neither the first nor the last address.
    pub fn is_host(self, address: Ipv4Addr) -> bool {
        self.contains(address) && (self.len >= 31 || (address != self.network && address != self.broadcast()))
    }

    /// How many hosts it has room for.
    pub fn hosts(self) -> u64 {
        let all = 1u64 << (32 - u32::from(self.len));
        if self.len >= 31 { all } else { all - 2 }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        let shape = || {
            (
                "is not an address and a length".to_owned(),
                "write it like 192.168.1.0/24".to_owned(),
            )
        };
        let (address, len) = text.split_once('/').ok_or_else(shape)?;
        let address: Ipv4Addr = address.parse().map_err(|_| shape())?;
        let digits = len.len() <= 2 && len.bytes().all(|c| c.is_ascii_digit());
        let prefix = len
            .parse()
            .ok()
            .filter(|_| digits)
            .and_then(|len| Self::around(address, len))
            .ok_or_else(shape)?;
        if prefix.network != address {
            return Err((
                format!("has bits set behind its /{}", prefix.len),
                format!("did you mean {prefix}?"),
            ));
        }
        Ok(prefix)
    }
}

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

macro_rules! shown {
    ($($ty:ty),*) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}
shown!(Name, Fqdn, DirectorName);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A name that refers to something: checked against what there is, not against a grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

/// A director's name, as its own configuration and the manager allow it. A lab wants a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectorName(pub(crate) String);

impl DirectorName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let good = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('.') {
            return Ok(Self(text.into()));
        }
        let help = "use 1 to 64 letters, digits, `-`, `_` and `.`, with no dot in front";
        Err(("cannot be a director's name", help))
    }
}

/// A policy's name in its community, as the manager allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyId(pub(crate) String);

impl PolicyId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let good = |octet: u8| {
            octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'_' | b'.')
        };
        let edge = text
            .bytes()
            .next()
            .is_some_and(|octet| octet.is_ascii_alphanumeric());
        if text.len() <= 63 && text.bytes().all(good) && edge {
            return Ok(Self(text.into()));
        }
        let help = "use at most 63 of a-z, 0-9, `-`, `_` and `.`, a letter or a digit in front";
        Err(("cannot be a policy's name", help))
    }
}

/// A word that things are selected by: tags of members, sites that a director serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) String);

impl Tag {
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == ',';
        if text.is_empty() || text.len() > 63 || text.contains(bad) {
            return Err((
                "is no word",
                "write one word of at most 63 characters, without commas",
            ));
        }
        Ok(Self(text.into()))
    }
}

/// What a director takes sessions over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A line of text that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) String);

impl Line {
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        match text.chars().count() {
            0 => Err(("is empty", "write something, or leave it out")),
            201.. => Err(("is too long", "write at most 200 characters")),
            _ if text.chars().any(|c| c.is_ascii_control()) => {
                Err(("has control characters", "write it on one line"))
            }
            _ => Ok(Self(text.into())),
        }
    }
}

/// A mail address, as far as a form can be told from none: the mail server knows the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail(pub(crate) String);

impl Mail {
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let halves = text.split_once('@').filter(|(user, host)| {
            let good =
                |half: &str| !half.is_empty() && !half.contains(|c: char| c == '@' || c.is_whitespace());
            good(user) && good(host) && text.len() <= 254 && !text.chars().any(char::is_control)
        });
        match halves {
            Some(_) => Ok(Self(text.into())),
            None => Err(("is no mail address", "write it like alice@acme.example")),
        }
    }
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

/// Where a policy stands among those of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Priority(pub(crate) i32);

/// A duration such as `10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

impl Period {
    const UNITS: [(&'static str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at(digits);
        let (_, millis) = Self::UNITS.into_iter().find(|(name, _)| *name == unit)?;
        Some(Self(Duration::from_millis(
            count.parse::<u64>().ok()?.checked_mul(millis)?,
        )))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, size) = Self::UNITS
            .into_iter()
            .rev()
            .find(|(_, size)| millis.is_multiple_of(u128::from(*size)))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / u128::from(size))
    }
}

/// A whole number between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number<const MIN: u32, const MAX: u32>(pub(crate) u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_that_fit_an_interface() {
        for good in ["a", "site-a", "0x", "abcdefghijklmno"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", "abcdefghijklmnop"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn full_names_have_a_domain() {
        let name = |text| Fqdn::parse(text);
        let domain = name("acme.example").unwrap();
        assert!(name("alice.acme.example").unwrap().is_in(&domain));
        assert!(!name("alice.notacme.example").unwrap().is_in(&domain));
        assert!(!domain.is_in(&domain));
        for bad in [
            "alice",
            "alice.",
            ".acme",
            "a..b",
            &"a.".repeat(127),
            &format!("{}.b", "a".repeat(64)),
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_has_no_host_bits() {
        assert_eq!(
            Prefix::parse("192.168.1.9/24").unwrap_err().1,
            "did you mean 192.168.1.0/24?"
        );
        for bad in [
            "192.168.1.0",
            "192.168.1.0/33",
            "192.168.1/24",
            "192.168.1.0/+8",
            "192.168.1.0/",
            "/24",
            "1.2.3.4/256",
        ] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_know_their_edges() {
        let prefix = |text| Prefix::parse(text).unwrap();
        let lan = prefix("10.0.0.0/30");
        let hosts = (0..=4)
            .filter(|n| lan.is_host(Ipv4Addr::new(10, 0, 0, *n)))
            .collect::<Vec<_>>();
        assert_eq!(
            (hosts, lan.hosts(), lan.broadcast()),
            (vec![1, 2], 2, Ipv4Addr::new(10, 0, 0, 3))
        );
        assert_eq!(
            (prefix("0.0.0.0/0").hosts(), prefix("1.2.3.4/32").hosts()),
            ((1 << 32) - 2, 1)
        );
        assert_eq!(prefix("240.0.0.0/12").netmask(), Ipv4Addr::new(255, 240, 0, 0));
        assert!(prefix("10.0.0.0/8").overlaps(prefix("10.77.0.0/24")));
        assert!(prefix("10.77.0.0/24").overlaps(prefix("10.0.0.0/8")));
        assert!(!prefix("10.77.0.0/24").overlaps(prefix("10.77.1.0/24")));
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            let period = Period::parse(text).unwrap();
            assert_eq!(
                (period.0.as_millis(), period.to_string().as_str()),
                (millis, text)
            );
        }
        for bad in [
            "10",
            "s",
            "10 s",
            "1.5s",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615h",
            "1d",
            "",
        ] {
            assert!(Period::parse(bad).is_none(), "{bad}");
        }
    }
}
