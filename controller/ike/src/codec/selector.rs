//! Traffic selectors: which packets a child is for (RFC 7296 3.13).

use super::limits;
use super::reader::{Fault, Malformed, Reader};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4: u8 = 7;
const V6: u8 = 8;
const WHAT: &str = "traffic selector";

/// Packets of one protocol, between two addresses and two ports, ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// IP protocol; 0: any.
    pub protocol: u8,
    /// First and last port; (0, 65535) any, (65535, 0) none to be seen ("opaque").
    pub ports: (u16, u16),
    /// First and last address.
    pub addresses: Range,
}

/// Addresses from the first to the last, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// 7
    V4(Ipv4Addr, Ipv4Addr),
    /// 8
    V6(Ipv6Addr, Ipv6Addr),
    /// A type that we do not know, with all that follows its length: it matches nothing. `protocol` is the octet after the
    /// type, whatever it means there; `ports` are (0, 0).
    Other(u8, Vec<u8>),
}

impl Selector {
    /// Everything from `first` to `last`. RFC 7296 3.13.1: of any protocol, so from port 0 to 65535.
    #[must_use]
    pub fn v4(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        Self {
            protocol: 0,
            ports: (0, u16::MAX),
            addresses: Range::V4(first, last),
        }
    }

    /// Everything from `first` to `last`.
    #[must_use]
    pub fn v6(first: Ipv6Addr, last: Ipv6Addr) -> Self {
        Self {
            protocol: 0,
            ports: (0, u16::MAX),
            addresses: Range::V6(first, last),
        }
    }

    /// Whether an address is in its range.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        match (&self.addresses, address) {
            (Range::V4(first, last), IpAddr::V4(address)) => (*first..=*last).contains(&address),
            (Range::V6(first, last), IpAddr::V6(address)) => (*first..=*last).contains(&address),
            _ => false,
        }
    }

    /// What both allow, if anything: how a responder narrows (RFC 7296 2.9).
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let protocol = match (self.protocol, other.protocol) {
            (0, any) | (any, 0) => any,
            (ours, theirs) if ours == theirs => ours,
            _ => return None,
        };
        let ports = if self.ports == other.ports {
            self.ports
        } else {
            between(self.ports.0.max(other.ports.0), self.ports.1.min(other.ports.1))?
        };
        let addresses = match (&self.addresses, &other.addresses) {
            (Range::V4(a, b), Range::V4(c, d)) => between(*a.max(c), *b.min(d)).map(|(a, b)| Range::V4(a, b)),
            (Range::V6(a, b), Range::V6(c, d)) => between(*a.max(c), *b.min(d)).map(|(a, b)| Range::V6(a, b)),
            _ => None,
        }?;
        Some(Self {
            protocol,
            ports,
            addresses,
        })
    }
}

fn between<T: PartialOrd>(first: T, last: T) -> Option<(T, T)> {
    (first <= last).then_some((first, last))
}

pub(crate) fn parse_all(reader: &mut Reader<'_>) -> Result<Vec<Selector>, Malformed> {
    let [count, _, _, _] = reader.array("traffic selector payload")?;
    if usize::from(count) > limits::SELECTORS {
        return Err(reader.refuse(WHAT, Fault::TooMany(limits::SELECTORS)));
    }
    let selectors = (0..count).map(|_| selector(reader)).collect::<Result<_, _>>()?;
    reader.end("traffic selector payload")?;
    Ok(selectors)
}

fn selector(reader: &mut Reader<'_>) -> Result<Selector, Malformed> {
    let start = *reader;
    let [kind, protocol] = reader.array(WHAT)?;
    let length = usize::from(reader.u16(WHAT)?);
    let inner = length
        .checked_sub(4)
        .ok_or_else(|| start.refuse(WHAT, Fault::Length))?;
    let mut inner = reader.part(inner, WHAT)?;
    if kind != V4 && kind != V6 {
        return Ok(Selector {
            protocol,
            ports: (0, 0),
            addresses: Range::Other(kind, inner.rest().to_vec()),
        });
    }
    let ports = (inner.u16(WHAT)?, inner.u16(WHAT)?);
    let addresses = if kind == V4 {
        Range::V4(inner.array::<4>(WHAT)?.into(), inner.array::<4>(WHAT)?.into())
    } else {
        Range::V6(inner.array::<16>(WHAT)?.into(), inner.array::<16>(WHAT)?.into())
    };
    inner.end(WHAT)?;
    Ok(Selector {
        protocol,
        ports,
        addresses,
    })
}

pub(crate) fn encode_all(selectors: &[Selector], out: &mut Vec<u8>) {
    let count =
        u8::try_from(selectors.len()).unwrap_or_else(|_| unreachable!("one octet counts our selectors"));
    out.extend_from_slice(&[count, 0, 0, 0]);
    for selector in selectors {
        let start = out.len();
        let (kind, ports) = match &selector.addresses {
            Range::V4(..) => (V4, Some(selector.ports)),
            Range::V6(..) => (V6, Some(selector.ports)),
            Range::Other(kind, _) => (*kind, None),
        };
        out.extend_from_slice(&[kind, selector.protocol, 0, 0]);
        if let Some((first, last)) = ports {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&last.to_be_bytes());
        }
        match &selector.addresses {
            Range::V4(first, last) => [first, last]
                .iter()
                .for_each(|a| out.extend_from_slice(&a.octets())),
            Range::V6(first, last) => [first, last]
                .iter()
                .for_each(|a| out.extend_from_slice(&a.octets())),
            Range::Other(_, data) => out.extend_from_slice(data),
        }
        let length =
            u16::try_from(out.len() - start).unwrap_or_else(|_| unreachable!("it was parsed from as much"));
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.addresses {
            Range::V4(first, last) => write!(f, "{first}-{last}")?,
            Range::V6(first, last) => write!(f, "{first}-{last}")?,
            Range::Other(kind, _) => return write!(f, "type{kind}"),
        }
        if self.protocol != 0 {
            write!(f, " protocol {}", self.protocol)?;
        }
        match self.ports {
            (0, u16::MAX) => Ok(()),
            (first, last) => write!(f, " ports {first}-{last}"),
        }
    }
}
