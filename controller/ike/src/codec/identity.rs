//! Who someone claims to be (RFC 7296 3.5).

use super::reader::{Fault, Malformed, Reader};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

const WHAT: &str = "identification payload";

/// Whom a peer claims to be. Compared octet for octet but for letter case of names (see [`Identity::same`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// 1: an IPv4 address.
    Ipv4(Ipv4Addr),
    /// 2: a fully qualified domain name.
    Fqdn(String),
    /// 3: an e-mail address (RFC 822).
    Email(String),
    /// 5: an IPv6 address.
    Ipv6(Ipv6Addr),
    /// 9: a distinguished name, DER.
    DerDn(Vec<u8>),
    /// 11: octets that mean something to the two sides only.
    KeyId(Vec<u8>),
    /// Any other type, with its octets.
    Other(u8, Vec<u8>),
}

impl Identity {
    /// The payload without its generic header: type, three zero octets, the identity. This is what AUTH covers
    /// (RFC 7296 2.15, "RestOfInitIDPayload"); a sender that put anything but zeros there authenticates in vain.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let (kind, value): (u8, &[u8]) = match self {
            Self::Ipv4(address) => (1, &address.octets()),
            Self::Fqdn(name) => (2, name.as_bytes()),
            Self::Email(address) => (3, address.as_bytes()),
            Self::Ipv6(address) => (5, &address.octets()),
            Self::DerDn(name) => (9, name),
            Self::KeyId(id) => (11, id),
            Self::Other(kind, value) => (*kind, value),
        };
        let mut body = Vec::with_capacity(4 + value.len());
        body.extend_from_slice(&[kind, 0, 0, 0]);
        body.extend_from_slice(value);
        body
    }

    /// Whether both name the same: domain names without regard to case, everything else exactly.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fqdn(ours), Self::Fqdn(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => self == other,
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let start = *reader;
        let [kind, _, _, _] = reader.array(WHAT)?;
        let value = reader.rest();
        let address = |fault| start.refuse("address of an identity", fault);
        match kind {
            1 => Ok(Self::Ipv4(
                <[u8; 4]>::try_from(value)
                    .map_err(|_| address(Fault::Length))?
                    .into(),
            )),
            2 => name(value, start).map(Self::Fqdn),
            3 => name(value, start).map(Self::Email),
            5 => Ok(Self::Ipv6(
                <[u8; 16]>::try_from(value)
                    .map_err(|_| address(Fault::Length))?
                    .into(),
            )),
            9 => Ok(Self::DerDn(value.to_vec())),
            11 => Ok(Self::KeyId(value.to_vec())),
            other => Ok(Self::Other(other, value.to_vec())),
        }
    }
}

/// RFC 7296 3.5: a name holds no terminators (NUL, CR and the like). Nor may it be empty, or it would name everyone.
fn name(value: &[u8], start: Reader<'_>) -> Result<String, Malformed> {
    let refusal = || start.refuse("name of an identity", Fault::Value);
    let name = std::str::from_utf8(value).map_err(|_| refusal())?;
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(refusal());
    }
    Ok(name.to_owned())
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex =
            |f: &mut fmt::Formatter<'_>, octets: &[u8]| octets.iter().try_for_each(|o| write!(f, "{o:02x}"));
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            // What another wrote is shown to operators: no octet of it may steer a terminal.
            Self::Fqdn(name) | Self::Email(name) => write!(f, "{}", name.escape_default()),
            Self::DerDn(name) => f.write_str("dn:").and_then(|()| hex(f, name)),
            Self::KeyId(id) => f.write_str("keyid:").and_then(|()| hex(f, id)),
            Self::Other(kind, value) => write!(f, "type{kind}:").and_then(|()| hex(f, value)),
        }
    }
}
