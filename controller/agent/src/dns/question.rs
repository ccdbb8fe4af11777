//! What is asked, and of whom it should be asked: without I/O.

use super::zones::{Zone, Zones};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::Ipv4Addr;

/// What is done about a query.
pub enum Decision {
    /// Nothing: it is none, or too damaged to be answered.
    Drop,
    /// It is answered thus.
    Reply(Box<Message>),
    /// The manager of this community is asked.
    Ask(Box<Message>, Box<Zone>),
    /// It is no business of ours.
    Elsewhere(Box<Message>),
}

/// The largest answer that we take and give over UDP.
pub const PAYLOAD: u16 = 1232;
/// Answers about members are kept no longer, seconds.
pub const MOST_TTL: u32 = 30;
/// And that there is none of a kind, not even so long.
const NO_DATA_TTL: u32 = 5;

/// Decides about a query.
#[must_use]
pub fn decide(octets: &[u8], zones: &Zones) -> Decision {
    // RFC 1035 4.1.1: a header of 12 octets; what is a response itself must not be answered.
    let (Some(id), Some(flags)) = (octets.first_chunk::<2>(), octets.get(2)) else {
        return Decision::Drop;
    };
    if octets.len() < 12 || flags & 0x80 != 0 {
        return Decision::Drop;
    }
    let Ok(query) = Message::from_vec(octets) else {
        let id = u16::from_be_bytes(*id);
        return reply(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
    };
    if query.metadata.op_code != OpCode::Query {
        return reply(answer(&query, ResponseCode::NotImp));
    }
    let [question] = query.queries.as_slice() else {
        return reply(answer(&query, ResponseCode::FormErr));
    };
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return reply(answer(&query, ResponseCode::BADVERS));
    }
    if question.query_class() != DNSClass::IN {
        return Decision::Elsewhere(Box::new(query));
    }
    let kind = question.query_type();
    if let Some(zone) = plain(question.name()).and_then(|name| zones.of_name(&name)) {
        // The manager has addresses. That there is nothing else we know ourselves (RFC 2308 2.2: NODATA).
        if kind == RecordType::A {
            return Decision::Ask(Box::new(query), Box::new(zone));
        }
        return reply(no_data(&query, &zone));
    }
    if kind == RecordType::PTR
        && let Some(zone) = reverse(question.name()).and_then(|address| zones.of_address(address))
    {
        return Decision::Ask(Box::new(query), Box::new(zone));
    }
    Decision::Elsewhere(Box::new(query))
}

/// An answer to this query, without records.
#[must_use]
pub fn answer(query: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::error_msg(query.metadata.id, query.metadata.op_code, code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&query.queries);
    // RFC 6891 6.1.1: who asks with an OPT record is answered with one.
    if query.edns.is_some() {
        answer.set_edns(edns());
    }
    answer
}

/// Our OPT record.
#[must_use]
pub fn edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    edns
}

/// The one question of a query that was decided about.
#[must_use]
pub fn question(query: &Message) -> Query {
    query.queries.first().cloned().unwrap_or_default()
}

/// The name in lower case without a dot at the end; `None` if it has other octets than names of members have.
#[must_use]
pub fn plain(name: &Name) -> Option<String> {
    let good = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-' || *octet == b'_';
    if !name.iter().all(|label| label.iter().all(good)) {
        return None;
    }
    let text = name.to_ascii().to_ascii_lowercase();
    Some(text.trim_end_matches('.').to_owned())
}

/// The address whose name is asked for (RFC 1035 3.5).
fn reverse(name: &Name) -> Option<Ipv4Addr> {
    let name = plain(name)?;
    let mut octets = [0; 4];
    let mut labels = name.strip_suffix(".in-addr.arpa")?.split('.');
    for octet in octets.iter_mut().rev() {
        *octet = labels.next()?.parse().ok()?;
    }
    labels.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn no_data(query: &Message, zone: &Zone) -> Message {
    let mut answer = answer(query, ResponseCode::NoError);
    if let Ok(apex) = Name::from_ascii(format!("{}.", zone.domain)) {
        // RFC 2308 3: the SOA says how long "none" may be kept.
        let soa = SOA::new(apex.clone(), apex.clone(), 1, 60, 60, 60, NO_DATA_TTL);
        answer.add_authority(Record::from_rdata(apex, NO_DATA_TTL, RData::SOA(soa)));
    }
    answer
}

fn reply(message: Message) -> Decision {
    debug_assert_eq!(message.metadata.message_type, MessageType::Response);
    Decision::Reply(Box::new(message))
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
