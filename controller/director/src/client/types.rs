//! What a client is told at its start, and what it tells.

use crate::DirectorKey;
use core::net::SocketAddrV4;
use core::time::Duration;
use kith_wire::Malformed;
use kith_wire::control::{KeyId, Status};
use kith_wire::shim::PseudoIp;

/// Keep-alives are never sent more often than this, whoever asks.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// A member's settings for one director. No `Debug`: it holds a key.
pub struct ClientConfig {
    /// Where the director listens, as members name it in the shim.
    pub director: SocketAddrV4,
    /// How messages name the key.
    pub key_id: KeyId,
    /// The key both sides authenticate with.
    pub key: DirectorKey,
    /// This member is reached at its public address and only sends through the director.
    pub sender_only: bool,
    /// Counters start above this: microseconds of wall-clock time. A value too low costs nothing but a repeated request,
    /// because the director's challenge tells from where to go on.
    pub first_counter: u64,
    /// Send keep-alives at least this often, if the director asks for fewer: for NATs that forget soon.
    pub keep_alive_at_most: Option<Duration>,
    /// The first pause before a message is repeated.
    pub first_retry: Duration,
    /// The longest.
    pub longest_retry: Duration,
    /// Keep-alives sent without an answer until the session counts as lost.
    pub keep_alive_tries: u32,
    /// Leaves sent without an answer until the member has left all the same.
    pub leave_tries: u32,
    /// Any random number: spreads timers of members apart.
    pub entropy: u64,
}

impl ClientConfig {
    /// Sensible settings around the necessary ones.
    #[must_use]
    pub fn new(
        director: SocketAddrV4,
        key_id: KeyId,
        key: DirectorKey,
        first_counter: u64,
        entropy: u64,
    ) -> Self {
        Self {
            director,
            key_id,
            key,
            sender_only: false,
            first_counter,
            keep_alive_at_most: None,
            first_retry: Duration::from_millis(250),
            longest_retry: Duration::from_secs(8),
            keep_alive_tries: 5,
            leave_tries: 4,
            entropy,
        }
    }
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Idle,
    /// Asked for an address.
    Requesting,
    /// Asked again with the director's cookie.
    Challenged,
    /// Has a session.
    Bound,
    /// Gave the session back, not confirmed yet.
    Leaving,
    /// Has left.
    Left,
}

/// Why a session was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The director did not answer keep-alives. The pseudo address may well come back.
    Silent,
    /// The director knows of no session.
    NoSession,
}

/// What a member should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// There is a session.
    Bound {
        /// This member's name at the director.
        pseudo: PseudoIp,
        /// How long the director keeps the session without a keep-alive.
        lifetime: Duration,
        /// How often keep-alives are sent.
        keep_alive: Duration,
        /// Where the director sees this member.
        observed: SocketAddrV4,
    },
    /// The director sees this member at another address now, and has moved the session there.
    Rebound {
        /// Where.
        observed: SocketAddrV4,
    },
    /// The session is gone; another one is being asked for already.
    Lost {
        /// Why.
        reason: Lost,
    },
    /// The director refused an address; it will be asked again.
    Refused {
        /// What it said.
        status: Status,
    },
    /// The member has left.
    Left {
        /// The director said so. Otherwise the session ends by itself when its lifetime is over.
        confirmed: bool,
    },
}

/// Why a datagram changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It did not come from the director.
    #[error("a control message from {0}, which is not the director")]
    Source(SocketAddrV4),
    /// It is no control message.
    #[error("no control message: {0}")]
    Malformed(#[from] Malformed),
    /// It names another key.
    #[error("a control message for key id {:#x}, which is another member's", .0.0)]
    Key(KeyId),
    /// It was not made with the key.
    #[error("bad authenticator; do both sides have the same key?")]
    Authenticator,
    /// It is a request, names another director, or answers what was not asked.
    #[error("not an answer that was waited for")]
    Unexpected,
    /// It answers an older question, or is a repetition.
    #[error("an answer to an older question")]
    Outdated,
    /// Another challenge was answered a moment ago.
    #[error("too many challenges")]
    RateLimited,
}
