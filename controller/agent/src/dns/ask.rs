//! Asks a community's manager, through the tunnel: an ordinary socket at our virtual address.
//!
//! ```text
//!  ours:random ── A printer.acme.example ──► manager's virtual address:53
//!              ◄─ A 10.77.0.3, TXT facts ── or "truncated": the same over TCP
//! ```
//!
//! The tunnel authenticates both ends and every packet, so an answer needs no more than to fit the question.

use super::question::{self, MOST_TTL};
use super::zones::Zone;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use kith_protocol::facts;
use kith_protocol::member::Peer;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

/// DNS.
const PORT: u16 = 53;
/// So long an answer to each attempt is awaited. Together it is less than what applications wait (5 s).
const ATTEMPTS_MS: [u64; 3] = [700, 1_300, 2_000];
/// An answer over TCP takes no longer.
const TCP: Duration = Duration::from_secs(2);

/// Answers a query about our community: the member it names is in force when this returns.
pub async fn manager(query: &Message, zone: &Zone) -> Message {
    manager_at(query, zone, SocketAddrV4::new(zone.manager, PORT)).await
}

async fn manager_at(query: &Message, zone: &Zone, manager: SocketAddrV4) -> Message {
    let question = question::question(query);
    match exchange(&question, zone, manager).await {
        Ok(said) => {
            if let Some(peer) = peer(&said, &question) {
                zone.found(peer).await;
            }
            relay(query, &said)
        }
        Err(error) => {
            tracing::debug!(%error, name = %question.name(), "the manager does not answer");
            question::answer(query, ResponseCode::ServFail)
        }
    }
}

async fn exchange(question: &Query, zone: &Zone, manager: SocketAddrV4) -> io::Result<Message> {
    let mut asked = Message::new(random_id(), MessageType::Query, OpCode::Query);
    asked.add_query(question.clone());
    asked.set_edns(question::edns());
    let octets = asked.to_vec().map_err(io::Error::other)?;
    let socket = UdpSocket::bind((zone.own, 0)).await?;
    socket.connect(manager).await?;
    let mut buffer = [0; question::PAYLOAD as usize];
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for wait in ATTEMPTS_MS.map(Duration::from_millis) {
        // A refusal by the network counts as an attempt: the adapter may be there in a moment.
        if let Err(error) = socket.send(&octets).await {
            tokio::time::sleep(wait).await;
            last = error;
            continue;
        }
        let answered = tokio::time::timeout(wait, async {
            loop {
                let len = socket.recv(&mut buffer).await?;
                if let Some(said) = fitting(&buffer[..len], &asked) {
                    return io::Result::Ok(said);
                }
            }
        });
        match answered.await {
            // RFC 7766 5: a truncated answer is asked for again over TCP.
            Ok(Ok(said)) if said.metadata.truncation => {
                return over_tcp(&octets, &asked, zone, manager).await;
            }
            Ok(Ok(said)) => return Ok(said),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
    Err(last)
}

async fn over_tcp(octets: &[u8], asked: &Message, zone: &Zone, manager: SocketAddrV4) -> io::Result<Message> {
    let answered = tokio::time::timeout(TCP, async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((zone.own, 0)))?;
        let mut stream = socket.connect(manager.into()).await?;
        let len = u16::try_from(octets.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes(), octets].concat()).await?;
        let len = stream.read_u16().await?;
        let mut answer = vec![0; len.into()];
        stream.read_exact(&mut answer).await?;
        fitting(&answer, asked).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    });
    answered.await?
}

/// The answer to this question, if it is one.
pub(super) fn fitting(octets: &[u8], asked: &Message) -> Option<Message> {
    let said = Message::from_vec(octets).ok()?;
    let fits = said.metadata.message_type == MessageType::Response
        && said.metadata.id == asked.metadata.id
        && said.queries == asked.queries;
    fits.then_some(said)
}

/// The member that the answer tells of: its address is the one that was asked for.
fn peer(said: &Message, question: &Query) -> Option<Peer> {
    let address = addresses(said, question).next()?;
    let strings = said.additionals.iter().find_map(|record| match &record.data {
        RData::TXT(text) => Some(&text.txt_data),
        _ => None,
    })?;
    let peer = match facts::parse(strings) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(%error, name = %question.name(), "the manager's facts cannot be read");
            return None;
        }
    };
    let named = question::plain(question.name()).is_some_and(|name| name == peer.fqdn);
    (named && peer.virtual_address == address.to_bits()).then_some(peer)
}

fn addresses<'a>(said: &'a Message, question: &'a Query) -> impl Iterator<Item = Ipv4Addr> + 'a {
    said.answers
        .iter()
        .filter(|record| record.name == *question.name())
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
}

/// What the application is told of it: names and addresses, no facts and no tickets.
fn relay(query: &Message, said: &Message) -> Message {
    let code = match said.metadata.response_code {
        code @ (ResponseCode::NoError | ResponseCode::NXDomain) => code,
        _ => ResponseCode::ServFail,
    };
    let question = question::question(query);
    let mut answer = question::answer(query, code);
    let told = said.answers.iter().filter(|record| {
        record.name == *question.name()
            && record.record_type() == question.query_type()
            && matches!(record.record_type(), RecordType::A | RecordType::PTR)
    });
    for record in told.take(8) {
        let ttl = record.ttl.min(MOST_TTL);
        answer.add_answer(Record::from_rdata(record.name.clone(), ttl, record.data.clone()));
    }
    answer
}

fn random_id() -> u16 {
    let mut id = [0; 2];
    crate::entropy::fill(&mut id);
    u16::from_ne_bytes(id)
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
