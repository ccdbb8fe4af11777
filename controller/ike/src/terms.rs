//! What an endpoint is set up with, and on which terms it deals with a peer.

use crate::auth::{Anchors, OwnProof, PeerProof};
use crate::codec::{Identity, Selector, Ticket};
use crate::suite::{EspPreferences, IkePreferences};
use crate::units::Path;
use std::sync::Arc;

/// What holds for all peers.
#[derive(Clone)]
pub struct Config {
    /// Algorithms for IKE SAs, the best first; no other is taken (RFC 7296 section 3.3.4).
    pub ike: IkePreferences,
    /// When things happen.
    pub timing: Timing,
    /// Octets of UDP payload that fit every path; longer messages are cut into fragments (RFC 7383).
    pub max_datagram: usize,
    /// With so many handshakes begun by strangers and not finished, newcomers must return a cookie (RFC 7296 section 2.6).
    pub cookies_from: usize,
    /// So many such handshakes are kept at most.
    pub half_open_most: usize,
    /// Associations altogether.
    pub associations_most: usize,
    /// How addresses are treated.
    pub nat: Nat,
    /// Under which authorities the certificates of peers may be. A peer that begins is told of them in our first answer: before it says who
    /// it is, because some send a certificate only if they are asked for one.
    pub authorities: Option<Arc<Anchors>>,
}

/// How address translation is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Between the ends there is never one: inside the tunnel. Datagrams stay on the port they were begun on.
    Never,
    /// Look for one, and move to port 4500 if it is there (RFC 7296 section 2.23).
    Detect,
    /// Behave as if there was one: ESP must travel in UDP.
    Pretend,
}

/// When things happen, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first repetition of a request; each further one waits twice as long.
    pub repeat_first: u64,
    /// The longest wait between two.
    pub repeat_most: u64,
    /// Repetitions before the peer is taken for dead.
    pub repeat_tries: u32,
    /// A handshake is given up after so long.
    pub handshake: u64,
    /// Nothing authentic heard for so long: ask whether the peer is alive.
    pub liveness: u64,
    /// An IKE SA is replaced after so long.
    pub ike_soft: u64,
    /// It ends after so long, whatever happens.
    pub ike_hard: u64,
    /// Keys that were replaced open packets for so long, because the network reorders them.
    pub linger: u64,
    /// A pair that was replaced is closed so long after: the peer may still be sealing with it.
    pub handover: u64,
    /// A refused or failed exchange is tried again after so long.
    pub retry: u64,
}

impl Timing {
    /// A request is repeated for so long, then the peer is taken for dead.
    #[must_use]
    pub fn patience(&self) -> u64 {
        let wait = |tries: u32| {
            self.repeat_first
                .saturating_mul(1 << tries.min(16))
                .min(self.repeat_most)
        };
        (0..=self.repeat_tries).map(wait).sum()
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            repeat_first: 500,
            repeat_most: 8_000,
            repeat_tries: 7,
            handshake: 30_000,
            liveness: 30_000,
            ike_soft: 3_600_000,
            ike_hard: 4_200_000,
            linger: 5_000,
            handover: 1_000,
            retry: 5_000,
        }
    }
}

impl Config {
    /// With what suits most: every algorithm there is, moderate bounds.
    #[must_use]
    pub fn new(ike: IkePreferences, nat: Nat) -> Self {
        Self {
            ike,
            timing: Timing::default(),
            max_datagram: 1200,
            cookies_from: 32,
            half_open_most: 512,
            associations_most: 65_536,
            nat,
            authorities: None,
        }
    }
}

/// What we are to one peer, and what it must prove.
pub struct Terms {
    /// Who we say we are.
    pub own: Identity,
    /// How we prove it.
    pub proof: OwnProof,
    /// How the peer proves who it is.
    pub peer_proof: PeerProof,
    /// What its traffic may be, and how it is protected.
    pub child: ChildTerms,
}

/// What one pair of ESP SAs is for.
#[derive(Clone)]
pub struct ChildTerms {
    /// Algorithms, the best first.
    pub suites: EspPreferences,
    /// What is inside ESP.
    pub mode: Mode,
    /// Our side of the traffic.
    pub local: Vec<Selector>,
    /// The peer's side.
    pub remote: Vec<Selector>,
}

/// What is inside ESP (RFC 4301 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The payload of the packet.
    Transport,
    /// The whole packet.
    Tunnel,
}

/// A peer to connect to.
#[derive(Clone)]
pub struct Connection {
    /// Where it is.
    pub path: Path,
    /// Who must answer.
    pub peer: Identity,
    /// On which terms.
    pub terms: Arc<Terms>,
    /// The ticket that introduces us, if the peer needs one.
    pub ticket: Option<Ticket>,
}
