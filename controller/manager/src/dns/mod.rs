//! Names, answered: one query in, one decision out.
//!
//! **Problem.** A member asks for another one by name and has to learn where it is and how to talk to it, with the resolvers that every
//! system has. **Idea.** Plain DNS (RFC 1035) by the manager as the authority, decided in the order of figure 15 of source document 001;
//! the address is the answer, all else rides as TXT in the additional section. Pure: octets in, octets out; who asks and what is
//! known come from the caller through [`Names`].
//!
//! ```text
//!  shorter than a header, or a response .............. dropped, under a name            1522
//!  opcode other than QUERY ........................... NOTIMP                           1524
//!  EDNS version above 0 .............................. BADVERS (RFC 6891 section 6.1.3)
//!  class other than IN, type other than A and PTR .... NOTIMP                           1524
//!  asker no member; name not ours; PTR of nobody ..... SERVFAIL                         1540
//!  no question or several, malformed ................. FORMERR                          1550
//!  target not joined ................................. NXDOMAIN                         1560
//!  else .............................................. A or PTR; additional: TXT, OPT   1570
//! ```
//!
//! No answer carries an SOA record: a member that has not joined may do so in a second, and without one nobody may cache that it has not
//! (RFC 2308 section 5).
//!
//! **Cost.** One pass over the query, a lookup by the caller, one buffer; a handful of small allocations by the codec.

mod question;
mod reply;
#[cfg(test)]
mod tests;

pub use crate::core::{MemberId, Target};
use hickory_proto::op::ResponseCode;
use kith_protocol::member::Peer;
use question::{Parsed, Read};

/// How long an address may be cached, seconds. Members are told of every change by push; this is for applications.
pub const TTL_S: u32 = 30;
/// The longest answer over UDP, whatever the client takes: it passes every path of ours in one piece.
pub const MAX_UDP: u16 = 1232;
/// The longest answer over TCP: the longest that is ever made fits by far.
pub const MAX_TCP: usize = 4094;

/// Why a target is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unlocated {
    /// Who asks is no member, or no longer joined.
    #[error("who asks is no joined member")]
    AskerUnknown,
    /// The name is in no community that the asker may ask about, or the address is nobody's.
    #[error("the target is in no community of the asker")]
    NotOurs,
    /// The target is known but has not joined, is not known in a community of ours, or may not be talked to.
    #[error("the target has not joined")]
    NotJoined,
    /// It cannot be said now.
    #[error("the manager cannot tell now")]
    Unable,
}

/// What is known about members: the manager.
pub trait Names {
    /// Is the target in a community of the asker, joined or not? Nothing is noted.
    fn ours(&self, asker: MemberId, target: Target<'_>) -> bool;
    /// Where and who the target is, as `asker` may know it; `now_ms` counts from 1970.
    fn locate(&mut self, now_ms: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated>;
}

/// How the query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a stream.
    Tcp,
}

/// A query, and what the caller knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// Who asks, if it is a member.
    pub asker: Option<MemberId>,
    /// How it came.
    pub transport: Transport,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

/// What was decided; one counter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The target's address.
    Address,
    /// The target's name.
    Name,
    /// The target has not joined (NXDOMAIN).
    NotJoined,
    /// No question or several, or malformed (FORMERR).
    Malformed,
    /// Not for us to answer (SERVFAIL).
    ServerFailure,
    /// Opcode, class or type that is not done here (NOTIMP).
    NotImplemented,
    /// A later EDNS (BADVERS).
    EdnsVersion,
    /// No DNS header: dropped.
    NotDns,
    /// A response: dropped, or two servers would talk for ever.
    Response,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Address,
        Self::Name,
        Self::NotJoined,
        Self::Malformed,
        Self::ServerFailure,
        Self::NotImplemented,
        Self::EdnsVersion,
        Self::NotDns,
        Self::Response,
    ];

    /// The word for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Name => "name",
            Self::NotJoined => "not_joined",
            Self::Malformed => "malformed",
            Self::ServerFailure => "server_failure",
            Self::NotImplemented => "not_implemented",
            Self::EdnsVersion => "edns_version",
            Self::NotDns => "not_dns",
            Self::Response => "response",
        }
    }
}

/// Decides one query. The answer replaces what is in `out`; it stays empty if the query is dropped.
pub fn answer(query: &Query<'_>, names: &mut dyn Names, out: &mut Vec<u8>) -> Outcome {
    out.clear();
    let parsed = match question::read(query.bytes) {
        Ok(parsed) => parsed,
        Err(dropped) => return dropped,
    };
    let (outcome, code, peer) = match decide(query, &parsed, names) {
        Ok((outcome, peer)) => (outcome, ResponseCode::NoError, Some(peer)),
        Err(outcome) => (outcome, code_of(outcome), None),
    };
    if reply::write(out, &parsed, query.transport, code, peer.as_ref()).is_ok() {
        return outcome;
    }
    // What is known of the target is no name or address that a message can carry.
    if reply::write(out, &parsed, query.transport, ResponseCode::ServFail, None).is_err() {
        out.clear();
    }
    Outcome::ServerFailure
}

/// Figure 15, from step 1524 on. What is refused is an error.
fn decide(query: &Query<'_>, parsed: &Parsed, names: &mut dyn Names) -> Result<(Outcome, Peer), Outcome> {
    if !parsed.is_standard() {
        return Err(Outcome::NotImplemented);
    }
    // A later version may mean something else by all the rest.
    if parsed.edns.is_some_and(|edns| edns.version > 0) {
        return Err(Outcome::EdnsVersion);
    }
    let question = match &parsed.question {
        Read::One(question) if !question.is_implemented() => return Err(Outcome::NotImplemented),
        Read::One(question) => Some(question),
        Read::Malformed => None,
    };
    let asker = query.asker.ok_or(Outcome::ServerFailure)?;
    let question = question.ok_or(Outcome::Malformed)?;
    let mut text = [0; question::MAX_NAME];
    let target = question.target(&mut text).ok_or(Outcome::ServerFailure)?;
    // Step 1540 comes before 1550: what a malformed query asks for is looked at, and nothing is noted of it.
    if parsed.malformed {
        let ours = names.ours(asker, target);
        return Err(if ours {
            Outcome::Malformed
        } else {
            Outcome::ServerFailure
        });
    }
    match names.locate(query.now_ms, asker, target) {
        Ok(peer) if matches!(target, Target::Name(_)) => Ok((Outcome::Address, peer)),
        Ok(peer) => Ok((Outcome::Name, peer)),
        Err(Unlocated::NotJoined) => Err(Outcome::NotJoined),
        Err(Unlocated::AskerUnknown | Unlocated::NotOurs | Unlocated::Unable) => Err(Outcome::ServerFailure),
    }
}

fn code_of(refused: Outcome) -> ResponseCode {
    match refused {
        Outcome::NotJoined => ResponseCode::NXDomain,
        Outcome::Malformed => ResponseCode::FormErr,
        Outcome::NotImplemented => ResponseCode::NotImp,
        Outcome::EdnsVersion => ResponseCode::BADVERS,
        _ => ResponseCode::ServFail,
    }
}
