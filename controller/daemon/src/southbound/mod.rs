//! What a director asks of a dataplane, and what it hears from it: P4Runtime in the director's own terms.
//!
//! Problem: the director's side must be tested through thousands of lost connections and refused writes a second, and must
//! not care about message formats. Idea: a handful of requests and events; one implementation speaks P4Runtime
//! ([`p4runtime`]), another is a table in memory that fails as it is told to (the tests').
//!
//! ```text
//!            Request: read, write, packet-out, reconnect
//!   Core ──────────────────────────────────────────────► Southbound ──► dataplane
//!        ◄──────────────────────────────────────────────
//!            Event: primary, backup, away, entries, results of a write, packet-in
//! ```
//!
//! Order: writes are carried out in the order of their requests; events of a connection come after the one that says that
//! there is a connection, and none comes after the one that says that it is gone. A request goes to the connection of which
//! [`Southbound::event`] has told last: nothing that was meant for the old one reaches the new one.

#[cfg(test)]
pub mod fake;

pub mod p4runtime;

use kith_pipeline::meter::Rate;
use kith_pipeline::reason::PuntReason;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A way to one dataplane. It connects by itself, and again when the connection breaks.
pub trait Southbound: Send {
    /// Asks for something. It comes back if nothing can come of it: there is no connection, or no room for another packet-out.
    fn submit(&mut self, request: Request) -> Result<(), Request>;

    /// The next thing that happened. May be dropped before it is ready: nothing is lost.
    fn event(&mut self) -> impl Future<Output = Event> + Send;

    /// The next thing that happened already.
    fn ready(&mut self) -> Option<Event>;
}

/// What a director asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// All `sender` and `session` entries: [`Event::Entries`].
    Read,
    /// These updates, each by itself, in order: [`Event::Written`].
    Write {
        /// Repeated in the event.
        number: u64,
        /// At most [`MAX_UPDATES`](crate::director::MAX_UPDATES).
        updates: Vec<Update>,
    },
    /// Send this frame.
    PacketOut {
        /// Out of this port.
        port: u16,
        /// From the Ethernet header on.
        frame: Vec<u8>,
    },
    /// Give this connection up, whatever its state, and make another.
    Reconnect,
}

/// One change of a dataplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Table `endpoint`, default action `act_as_director`.
    Endpoint {
        /// The director's public address.
        address: Ipv4Addr,
        /// The encapsulation port.
        udp_port: u16,
    },
    /// Meter `punt_meter`: how many packets come up for this reason.
    PuntRate {
        /// Why they come up.
        reason: PuntReason,
        /// How many.
        rate: Rate,
    },
    /// Table `sender`.
    Sender {
        /// Key: the member's pseudo address.
        member: u32,
        /// What happens to its entry.
        change: Change<SenderEntry>,
    },
    /// Table `session`.
    Session {
        /// Key: the member's pseudo address.
        member: u32,
        /// What happens to its entry.
        change: Change<SessionEntry>,
    },
}

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<T> {
    /// It was not there.
    Insert(T),
    /// It was there, and is another one now.
    Modify(T),
    /// It goes.
    Delete,
}

/// Who may send, from where: action `authorise`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderEntry {
    /// The only source that the member's packets may have.
    pub bound: SocketAddrV4,
    /// Whom it may send to.
    pub community: u16,
    /// `sender_meter`: how many packets a second; without it, any number.
    pub rate: Option<Rate>,
}

/// Where a member's packets go: action `relay_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEntry {
    /// Where it is.
    pub bound: SocketAddrV4,
    /// Who may send to it.
    pub community: u16,
    /// The largest outer packet, octets.
    pub mtu: u16,
}

/// Every entry that a director writes, as a dataplane has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Table `sender`, by key.
    pub senders: Vec<(u32, SenderEntry)>,
    /// Table `session`, by key.
    pub sessions: Vec<(u32, SessionEntry)>,
}

/// Why an update did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// There is an entry with this key.
    Exists,
    /// There is none.
    NotFound,
    /// The table is full.
    Full,
    /// The dataplane has no place for this key or these values: its pool is not this director's.
    OutOfRange,
    /// Another controller is primary.
    NotPrimary,
    /// It may work another time.
    Failed,
}

/// What a dataplane says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a connection, and this controller decides.
    Primary,
    /// There is a connection, and another controller decides.
    Backup,
    /// There is no connection.
    Away {
        /// Why, for people.
        why: String,
    },
    /// To [`Request::Read`].
    Entries(Entries),
    /// To [`Request::Write`].
    Written {
        /// The request's.
        number: u64,
        /// One for each update, in order.
        results: Vec<Result<(), Refused>>,
    },
    /// A packet that the dataplane cannot decide.
    PacketIn {
        /// Where it came in.
        port: u16,
        /// Why it comes up, as the dataplane numbers it.
        reason: u16,
        /// From the Ethernet header on.
        frame: Vec<u8>,
    },
}
