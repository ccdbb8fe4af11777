//! What goes back: header, the question as it was asked, the answer, what it says beside it, EDNS.
//!
//! ```text
//!  | header | question | A or PTR | TXT with facts and ticket | OPT |
//!                                   └ left out if it does not fit
//! ```
//!
//! TC is never set: question and answer together, with the longest of names, fit the 512 octets that every client takes, and what is
//! said beside an answer must not set it (RFC 2181 section 9). A client that misses the TXT asks again over TCP.
//!
//! The answer names its owner by a pointer to the question, so that the letters' case comes back as it went out: resolvers put
//! randomness there.

use super::question::{Parsed, Read};
use super::{MAX_TCP, MAX_UDP, TTL_S, Transport};
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use kith_protocol::{facts, member::Peer};
use std::net::Ipv4Addr;

/// Octets of an OPT record without options (RFC 6891 section 6.1.2).
const OPT_LEN: usize = 11;
/// What a client without EDNS takes over UDP (RFC 1035 section 4.2.1).
const PLAIN_UDP: usize = 512;

/// Writes the answer to `parsed`.
pub(super) fn write(
    out: &mut Vec<u8>,
    parsed: &Parsed,
    transport: Transport,
    code: ResponseCode,
    peer: Option<&Peer>,
) -> Result<(), ProtoError> {
    out.clear();
    // OPT comes last and always fits.
    let room = limit(parsed, transport) - if parsed.edns.is_some() { OPT_LEN } else { 0 };
    let mut encoder = BinEncoder::new(out);
    let place = encoder.place::<Header>()?;
    let mut counts = HeaderCounts::default();
    if let Read::One(question) = &parsed.question {
        let query = &question.0;
        query.emit(&mut encoder)?;
        counts.queries = 1;
        if let Some(peer) = peer {
            let [answer, beside] = records(&query.name, query.query_type, peer).ok_or(
                ProtoError::Message("what is known of the target is nothing that a message can carry"),
            )?;
            answer.emit(&mut encoder)?;
            counts.answers = 1;
            counts.additionals += u16::from(fits(&mut encoder, &beside, room)?);
        }
    }
    if let Some(asked) = parsed.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP)
            .set_dnssec_ok(asked.dnssec_ok)
            .set_rcode_high(code.high());
        Record::from(&edns).emit(&mut encoder)?;
        counts.additionals += 1;
    }
    place.replace(
        &mut encoder,
        Header {
            metadata: metadata(parsed, code),
            counts,
        },
    )
}

/// The longest message that this client takes this way.
fn limit(parsed: &Parsed, transport: Transport) -> usize {
    match (transport, parsed.edns) {
        (Transport::Tcp, _) => MAX_TCP,
        (Transport::Udp, None) => PLAIN_UDP,
        // Less than 512 means 512 (RFC 6891 section 6.2.3).
        (Transport::Udp, Some(edns)) => usize::from(edns.payload).clamp(PLAIN_UDP, usize::from(MAX_UDP)),
    }
}

fn metadata(parsed: &Parsed, code: ResponseCode) -> Metadata {
    let mut about = Metadata::new(parsed.id, MessageType::Response, parsed.op_code);
    about.recursion_desired = parsed.recursion_desired;
    // RFC 4035 section 3.2.2: copied.
    about.checking_disabled = parsed.checking_disabled;
    about.response_code = code;
    about.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    about
}

/// The answer, and what is said beside it.
fn records(owner: &Name, kind: RecordType, peer: &Peer) -> Option<[Record; 2]> {
    let facts = RData::TXT(TXT::new(facts::encode(peer).ok()?));
    let (answer, about) = if kind == RecordType::PTR {
        let mut name = Name::from_ascii(&peer.fqdn).ok()?;
        name.set_fqdn(true);
        (RData::PTR(PTR(name.clone())), name)
    } else {
        (
            RData::A(A(Ipv4Addr::from_bits(peer.virtual_address))),
            owner.clone(),
        )
    };
    Some([
        Record::from_rdata(owner.clone(), TTL_S, answer),
        Record::from_rdata(about, TTL_S, facts),
    ])
}

/// Emits a record if the message is no longer than `room` with it, else nothing of it. The codec writes a name whole before it looks for
/// a pointer in its place, so that its own limit refuses what fits.
fn fits(encoder: &mut BinEncoder<'_>, record: &Record, room: usize) -> Result<bool, ProtoError> {
    let before = encoder.offset();
    record.emit(encoder)?;
    let fits = encoder.offset() <= room;
    if !fits {
        encoder.set_offset(before);
        encoder.trim();
    }
    Ok(fits)
}
