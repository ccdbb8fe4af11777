//! What a query says: header, question, EDNS. Names are kept as they were written and compared in lower case.

use super::{Outcome, Target};
use hickory_proto::op::{Header, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use std::net::Ipv4Addr;

/// Octets of the longest name as text (RFC 1035 section 2.3.4: 255 on the wire).
pub(super) const MAX_NAME: usize = 255;

/// A query that will be answered in one way or another.
pub(super) struct Parsed {
    pub(super) id: u16,
    pub(super) op_code: OpCode,
    pub(super) recursion_desired: bool,
    pub(super) checking_disabled: bool,
    pub(super) question: Read,
    /// Behind the question is something that is not as it should be.
    pub(super) malformed: bool,
    pub(super) edns: Option<Edns>,
}

/// What became of the question section.
pub(super) enum Read {
    /// Exactly one question.
    One(Question),
    /// None, several (RFC 9619 section 4), or no question at all.
    Malformed,
}

/// The question.
pub(super) struct Question(pub(super) Query);

/// What the client says about EDNS (RFC 6891).
#[derive(Clone, Copy)]
pub(super) struct Edns {
    pub(super) version: u8,
    pub(super) payload: u16,
    pub(super) dnssec_ok: bool,
}

/// Reads a message. What is no query at all is named.
pub(super) fn read(bytes: &[u8]) -> Result<Parsed, Outcome> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).map_err(|_| Outcome::NotDns)?;
    let about = header.metadata;
    if about.message_type == MessageType::Response {
        return Err(Outcome::Response);
    }
    let mut parsed = Parsed {
        id: about.id,
        op_code: about.op_code,
        recursion_desired: about.recursion_desired,
        checking_disabled: about.checking_disabled,
        question: Read::Malformed,
        malformed: false,
        edns: None,
    };
    // What follows the header of another opcode need not be a question. If it is, it comes back, and so does EDNS (RFC 6891 section 7).
    let counts = header.counts;
    if counts.queries == 1
        && let Ok(question) = Query::read(&mut decoder)
    {
        parsed.question = Read::One(Question(question));
    }
    // A query has nothing in answer and authority sections; where the question does not end, nothing behind it can be read.
    let readable = match parsed.question {
        Read::One(_) => true,
        Read::Malformed => counts.queries == 0,
    };
    if !readable || counts.answers != 0 || counts.authorities != 0 {
        parsed.malformed = true;
        return Ok(parsed);
    }
    let additional =
        Message::read_records(&mut decoder, usize::from(counts.additionals), true, OpCode::Query);
    match additional {
        Ok((_, edns, _)) if decoder.is_empty() => {
            parsed.edns = edns.map(|edns| Edns {
                version: edns.version(),
                payload: edns.max_payload(),
                dnssec_ok: edns.flags().dnssec_ok,
            });
        }
        // Two OPT records are refused by the codec (RFC 6891 section 6.1.1).
        _ => parsed.malformed = true,
    }
    Ok(parsed)
}

impl Parsed {
    /// Neither IQUERY nor STATUS nor anything later.
    pub(super) fn is_standard(&self) -> bool {
        self.op_code == OpCode::Query
    }
}

impl Question {
    /// Of the classes and types that are answered here?
    pub(super) fn is_implemented(&self) -> bool {
        self.0.query_class == DNSClass::IN && matches!(self.0.query_type, RecordType::A | RecordType::PTR)
    }

    /// Who is asked for. `None`: a PTR question that names no IPv4 address.
    pub(super) fn target<'t>(&self, text: &'t mut [u8; MAX_NAME]) -> Option<Target<'t>> {
        let name = lower_case(&self.0.name, text)?;
        match self.0.query_type {
            RecordType::PTR => reverse(name).map(Target::Address),
            _ => Some(Target::Name(name)),
        }
    }
}

/// The name as text without a dot at the end. Octets that no name of ours has, dots among them, become `?`: such a name keeps its
/// community and is found nowhere.
fn lower_case<'t>(name: &Name, text: &'t mut [u8; MAX_NAME]) -> Option<&'t str> {
    let mut len = 0;
    for label in name.iter() {
        if len > 0 {
            *text.get_mut(len)? = b'.';
            len += 1;
        }
        for octet in label {
            *text.get_mut(len)? = match octet {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => *octet,
                b'A'..=b'Z' => octet.to_ascii_lowercase(),
                _ => b'?',
            };
            len += 1;
        }
    }
    std::str::from_utf8(&text[..len]).ok()
}

/// The address in `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5), each octet written in its one way.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let mut labels = name.strip_suffix(".in-addr.arpa")?.split('.');
    let mut octets = [0; 4];
    for octet in octets.iter_mut().rev() {
        let label = labels.next()?;
        let canonical =
            label.bytes().all(|b| b.is_ascii_digit()) && (label == "0" || !label.starts_with('0'));
        *octet = label.parse().ok().filter(|_| canonical)?;
    }
    labels.next().is_none().then(|| Ipv4Addr::from(octets))
}
