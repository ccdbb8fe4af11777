//! Proposals: which algorithms someone offers or has chosen (RFC 7296 3.3).
//!
//! ```text
//!  ┌ proposal: last 0|2, zero, length u16, number, protocol, SPI length, transforms, SPI
//!  │  ├ transform: last 0|3, zero, length u16, type, zero, id u16, attributes
//!  │  └ transform …
//!  └ proposal …
//! ```

use super::limits;
use super::reader::{Fault, Malformed, Reader};

const PROPOSAL_HEADER: usize = 8;
const TRANSFORM_HEADER: usize = 8;
/// Attribute 14, key length, in the short form (RFC 7296 3.3.5).
const KEY_LENGTH: u16 = 0x8000 | 14;

/// What a security association is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// 0: said where there is no SPI.
    None,
    /// 1
    Ike,
    /// 2
    Ah,
    /// 3
    Esp,
    /// Any other: never chosen.
    Other(u8),
}

impl Protocol {
    /// From the number on the wire.
    #[must_use]
    pub fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Ike,
            2 => Self::Ah,
            3 => Self::Esp,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Ike => 1,
            Self::Ah => 2,
            Self::Esp => 3,
            Self::Other(other) => other,
        }
    }
}

/// One offer: of each kind of transform one is to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// From 1 on; the answer carries the number of what it chose.
    pub number: u8,
    /// What for.
    pub protocol: Protocol,
    /// The sender's SPI for it; empty in IKE_SA_INIT.
    pub spi: Vec<u8>,
    /// The alternatives of every kind.
    pub transforms: Vec<Transform>,
}

/// One algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transform {
    /// What it does.
    pub kind: TransformKind,
    /// Which one, in the registry of its kind.
    pub id: u16,
    /// Bits of key, where the algorithm leaves it open.
    pub key_bits: Option<u16>,
    /// It came with an attribute that we do not know: it is not chosen (RFC 7296 3.3.6). Never sent.
    pub unknown_attribute: bool,
}

impl Transform {
    /// One without a key length.
    #[must_use]
    pub fn new(kind: TransformKind, id: u16) -> Self {
        Self {
            kind,
            id,
            key_bits: None,
            unknown_attribute: false,
        }
    }
}

/// What a transform does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransformKind(pub u8);

impl TransformKind {
    /// Encryption.
    pub const ENCR: Self = Self(1);
    /// Pseudorandom function.
    pub const PRF: Self = Self(2);
    /// Integrity; none with an AEAD cipher.
    pub const INTEG: Self = Self(3);
    /// Key exchange.
    pub const KE: Self = Self(4);
    /// Sequence numbers of 32 (0) or 64 (1) bits.
    pub const ESN: Self = Self(5);
    /// First additional key exchange (RFC 9370).
    pub const ADDKE1: Self = Self(6);
    /// Last additional key exchange (RFC 9370).
    pub const ADDKE7: Self = Self(12);

    /// Whether it is one of the seven additional key exchanges.
    #[must_use]
    pub fn is_additional(self) -> bool {
        (Self::ADDKE1..=Self::ADDKE7).contains(&self)
    }
}

/// All proposals of a payload.
pub(crate) fn parse_all(reader: &mut Reader<'_>) -> Result<Vec<Proposal>, Malformed> {
    const WHAT: &str = "proposal";
    let mut proposals = Vec::new();
    loop {
        if proposals.len() == limits::PROPOSALS {
            return Err(reader.refuse(WHAT, Fault::TooMany(limits::PROPOSALS)));
        }
        let (more, mut inner) = substructure(reader, 2, WHAT)?;
        proposals.push(proposal(&mut inner)?);
        if !more {
            reader.end("security association payload")?;
            return Ok(proposals);
        }
    }
}

/// Both substructures begin alike: whether another follows (`marker`) or not (0), a zero, the length of the whole. Gives the
/// rest of it.
fn substructure<'a>(
    reader: &mut Reader<'a>,
    marker: u8,
    what: &'static str,
) -> Result<(bool, Reader<'a>), Malformed> {
    let start = *reader;
    let [last, _] = reader.array(what)?;
    let length = usize::from(reader.u16(what)?);
    if last != 0 && last != marker {
        return Err(start.refuse(what, Fault::Value));
    }
    let inner = length
        .checked_sub(4)
        .ok_or_else(|| start.refuse(what, Fault::Length))?;
    Ok((last == marker, reader.part(inner, what)?))
}

fn proposal(reader: &mut Reader<'_>) -> Result<Proposal, Malformed> {
    const WHAT: &str = "proposal";
    let [number, protocol, spi_len, count] = reader.array(WHAT)?;
    let spi = reader.take(spi_len.into(), "SPI of a proposal")?.to_vec();
    if usize::from(count) > limits::TRANSFORMS {
        return Err(reader.refuse("transform", Fault::TooMany(limits::TRANSFORMS)));
    }
    let mut transforms = Vec::with_capacity(count.into());
    for left in (0..count).rev() {
        let start = *reader;
        let (more, mut inner) = substructure(reader, 3, "transform")?;
        if more != (left > 0) {
            return Err(start.refuse("transform", Fault::Value));
        }
        transforms.push(transform(&mut inner)?);
    }
    reader.end(WHAT)?;
    Ok(Proposal {
        number,
        protocol: Protocol::from_u8(protocol),
        spi,
        transforms,
    })
}

/// RFC 7296 3.3.2: what is reserved is ignored, here and in the proposal.
fn transform(reader: &mut Reader<'_>) -> Result<Transform, Malformed> {
    const WHAT: &str = "transform";
    let [kind, _] = reader.array(WHAT)?;
    let mut transform = Transform::new(TransformKind(kind), reader.u16(WHAT)?);
    while !reader.is_empty() {
        const WHAT: &str = "transform attribute";
        let kind = reader.u16(WHAT)?;
        let value = reader.u16(WHAT)?;
        // RFC 7296 3.3: no attribute twice; RFC 7296 3.3.5: the key length in its short form only.
        if kind == KEY_LENGTH && transform.key_bits.is_none() {
            transform.key_bits = Some(value);
            continue;
        }
        transform.unknown_attribute = true;
        if kind & 0x8000 == 0 {
            reader.take(value.into(), WHAT)?;
        }
    }
    Ok(transform)
}

pub(crate) fn encode_all(proposals: &[Proposal], out: &mut Vec<u8>) {
    for (index, proposal) in proposals.iter().enumerate() {
        let start = out.len();
        out.extend_from_slice(&[if index + 1 < proposals.len() { 2 } else { 0 }, 0, 0, 0]);
        let (spi_len, count) = (octet(proposal.spi.len()), octet(proposal.transforms.len()));
        out.extend_from_slice(&[proposal.number, proposal.protocol.to_u8(), spi_len, count]);
        debug_assert_eq!(out.len() - start, PROPOSAL_HEADER);
        out.extend_from_slice(&proposal.spi);
        for (index, transform) in proposal.transforms.iter().enumerate() {
            let last = if index + 1 < proposal.transforms.len() {
                3
            } else {
                0
            };
            encode_transform(transform, last, out);
        }
        let length = u16::try_from(out.len() - start)
            .unwrap_or_else(|_| unreachable!("255 transforms of 12 octets and an SPI of 255 fit"));
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn encode_transform(transform: &Transform, last: u8, out: &mut Vec<u8>) {
    let length = octet(TRANSFORM_HEADER + if transform.key_bits.is_some() { 4 } else { 0 });
    out.extend_from_slice(&[last, 0, 0, length, transform.kind.0, 0]);
    out.extend_from_slice(&transform.id.to_be_bytes());
    if let Some(bits) = transform.key_bits {
        out.extend_from_slice(&KEY_LENGTH.to_be_bytes());
        out.extend_from_slice(&bits.to_be_bytes());
    }
}

fn octet(count: usize) -> u8 {
    u8::try_from(count).unwrap_or_else(|_| unreachable!("we never make {count} of it: one octet counts them"))
}
