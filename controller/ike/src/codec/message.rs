//! Whole messages: the chain of payloads, and the encrypted payload that ends it (RFC 7296 3.2, 3.14; RFC 7383 2.5).

use super::header::{HEADER_LEN, Header};
use super::limits;
use super::payload::{Payload, PayloadKind};
use super::reader::{Fault, Malformed, Reader};

/// Octets of the generic header of a payload.
pub const GENERIC_LEN: usize = 4;
const WHAT: &str = "payload";

/// A datagram that is an IKE message in form. Nothing in it has been authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub body: Body<'a>,
    /// All of it, as AUTH and the protection of SK cover it.
    pub octets: &'a [u8],
}

/// What follows a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Payloads that everyone may read.
    Clear(Vec<Payload>),
    /// Payloads under the protection of the security association.
    Sealed(Sealed<'a>),
    /// A fragment of such.
    Fragment(Fragment<'a>),
}

/// SK, still closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Kind of the first payload inside.
    pub first: PayloadKind,
    /// Octets before its content, to be authenticated with it: header and generic header (RFC 5282 5.1).
    pub associated: &'a [u8],
    /// Initialisation vector, ciphertext, tag.
    pub content: &'a [u8],
}

/// SKF, still closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Kind of the first payload inside the whole, in the first fragment; `NONE` in the others.
    pub first: PayloadKind,
    /// From 1 on.
    pub number: u16,
    /// How many there are; `number` is not above it.
    pub total: u16,
    /// Octets before its content, to be authenticated with it: up to and with `total` (RFC 7383 2.5).
    pub associated: &'a [u8],
    /// Initialisation vector, ciphertext, tag.
    pub content: &'a [u8],
}

/// Reads a whole datagram. Without the non-ESP marker of port 4500.
///
/// # Errors
/// If it is no IKEv2 message, with what and where.
pub fn parse(octets: &[u8]) -> Result<Datagram<'_>, Malformed> {
    let mut reader = Reader::new(octets, 0);
    let (header, first) = Header::parse(&mut reader)?;
    let body = match first {
        PayloadKind::SK => sealed(octets, &mut reader)?,
        PayloadKind::SKF => fragment(octets, &mut reader)?,
        first => Body::Clear(chain(first, &mut reader)?),
    };
    Ok(Datagram { header, body, octets })
}

/// Reads a chain of payloads that was inside SK; `first` is the kind that SK named.
///
/// # Errors
/// If it is none, with what and where in `octets`.
pub fn parse_chain(first: PayloadKind, octets: &[u8]) -> Result<Vec<Payload>, Malformed> {
    chain(first, &mut Reader::new(octets, 0))
}

/// A whole message in the clear.
#[must_use]
pub fn encode_clear(header: &Header, payloads: &[Payload]) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN];
    let first = append_chain(payloads, &mut out);
    let length =
        u32::try_from(out.len()).unwrap_or_else(|_| unreachable!("64 payloads of 64 KiB fit in 32 bits"));
    out[..HEADER_LEN].copy_from_slice(&header.encode(first, length));
    out
}

/// A chain of payloads, to be put inside SK, and the kind of the first.
#[must_use]
pub fn encode_chain(payloads: &[Payload]) -> (PayloadKind, Vec<u8>) {
    let mut out = Vec::new();
    let first = append_chain(payloads, &mut out);
    (first, out)
}

fn append_chain(payloads: &[Payload], out: &mut Vec<u8>) -> PayloadKind {
    for (index, payload) in payloads.iter().enumerate() {
        let next = payloads.get(index + 1).map_or(PayloadKind::NONE, Payload::kind);
        let start = out.len();
        out.extend_from_slice(&[next.0, if payload.critical() { 0x80 } else { 0 }, 0, 0]);
        payload.encode(out);
        let length = u16::try_from(out.len() - start)
            .unwrap_or_else(|_| unreachable!("{:?}: a payload of ours is short", payload.kind()));
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    payloads.first().map_or(PayloadKind::NONE, Payload::kind)
}

fn chain(first: PayloadKind, reader: &mut Reader<'_>) -> Result<Vec<Payload>, Malformed> {
    let mut payloads = Vec::new();
    let mut kind = first;
    while kind != PayloadKind::NONE {
        if payloads.len() == limits::PAYLOADS {
            return Err(reader.refuse(WHAT, Fault::TooMany(limits::PAYLOADS)));
        }
        // Payloads beside SK would be read by everyone and believed by us; SK inside SK has no meaning.
        if kind == PayloadKind::SK || kind == PayloadKind::SKF {
            return Err(reader.refuse("encrypted payload", Fault::Misplaced));
        }
        let (next, critical, mut inner) = generic(reader)?;
        payloads.push(Payload::parse(kind, critical, &mut inner)?);
        inner.end(WHAT)?;
        kind = next;
    }
    reader.end("message")?;
    Ok(payloads)
}

/// The generic header (RFC 7296 3.2): the next kind, whether this one is critical, and the rest of this one.
fn generic<'a>(reader: &mut Reader<'a>) -> Result<(PayloadKind, bool, Reader<'a>), Malformed> {
    let start = *reader;
    let [next, flags] = reader.array(WHAT)?;
    let length = usize::from(reader.u16(WHAT)?);
    let inner = length
        .checked_sub(GENERIC_LEN)
        .ok_or_else(|| start.refuse(WHAT, Fault::Length))?;
    Ok((PayloadKind(next), flags & 0x80 != 0, reader.part(inner, WHAT)?))
}

fn sealed<'a>(octets: &'a [u8], reader: &mut Reader<'a>) -> Result<Body<'a>, Malformed> {
    let (first, _, mut inner) = generic(reader)?;
    // RFC 7296 3.14: it must be the last payload of the message.
    reader.end("message after SK")?;
    let associated = &octets[..inner.at()];
    Ok(Body::Sealed(Sealed {
        first,
        associated,
        content: inner.rest(),
    }))
}

fn fragment<'a>(octets: &'a [u8], reader: &mut Reader<'a>) -> Result<Body<'a>, Malformed> {
    const WHAT: &str = "fragment";
    let start = *reader;
    let (first, _, mut inner) = generic(reader)?;
    reader.end("message after SKF")?;
    let (number, total) = (inner.u16(WHAT)?, inner.u16(WHAT)?);
    // RFC 7383 2.5: numbers from 1 up to the total; only the first names the kind that follows.
    if number == 0 || number > total || (number > 1 && first != PayloadKind::NONE) {
        return Err(start.refuse(WHAT, Fault::Value));
    }
    let associated = &octets[..inner.at()];
    Ok(Body::Fragment(Fragment {
        first,
        number,
        total,
        associated,
        content: inner.rest(),
    }))
}
