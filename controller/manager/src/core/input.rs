//! What the core is told.

use super::command::{Actor, Command};
use super::ids::{CommitId, MemberId, RunId, StreamId, Token};
use super::state::Place;
pub use kith_protocol::call::Call;
use kith_protocol::member::Envelope;
use kith_store::Revision;
use std::net::SocketAddrV4;

/// What the core is told.
pub enum Input {
    /// A member asks.
    Call {
        /// Whom to answer.
        token: Token,
        /// Where it came from.
        from: SocketAddrV4,
        /// What.
        call: Call,
        /// The request.
        envelope: Envelope,
    },
    /// A member wants to hear of changes. Answered by updates, or by the stream's end.
    Watch {
        /// The stream.
        stream: StreamId,
        /// Where it came from.
        from: SocketAddrV4,
        /// The request.
        envelope: Envelope,
    },
    /// The stream is gone; nothing more may be pushed to it.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// The host's queue for this stream is full: an update was lost. The core has the stream end with a resync.
    StreamFull {
        /// Which.
        stream: StreamId,
    },
    /// An operator asks.
    Admin {
        /// Whom to answer.
        token: Token,
        /// Who asks.
        actor: Actor,
        /// What.
        command: Command,
    },
    /// A heartbeat came through the tunnel.
    Heartbeat {
        /// From this member.
        member: MemberId,
        /// From this run of it.
        run_id: RunId,
        /// Octets that the run has sent.
        sent: u64,
        /// Octets that the run has received.
        received: u64,
        /// Where the packet came from.
        from: SocketAddrV4,
    },
    /// How a director is.
    DirectorHealth {
        /// Which.
        name: String,
        /// It works.
        healthy: bool,
        /// Sessions that it has.
        sessions: u64,
        /// It takes UDP.
        udp: bool,
        /// It takes TCP.
        tcp: bool,
    },
    /// Where a director's process is. May be said again as it is.
    DirectorPlace {
        /// Which.
        name: String,
        /// Where.
        place: Place,
        /// Sessions that it has room for; 0 if it has not said.
        room: u64,
    },
    /// Somebody who may attend for a director was turned away.
    DirectorRefused {
        /// Which director it wanted to be.
        name: String,
        /// Who.
        actor: String,
        /// Why not.
        why: String,
    },
    /// A mail was handed over, or could not be.
    Mail {
        /// Which.
        id: u64,
        /// What became of it.
        result: Result<(), String>,
    },
    /// A transaction is on disk.
    Committed {
        /// Which.
        id: CommitId,
        /// What it made.
        revision: Revision,
    },
    /// A transaction is not on disk and will not be. The core takes nothing more: the host loads another from the store.
    CommitFailed {
        /// Which.
        id: CommitId,
        /// Why.
        why: String,
    },
}
