//! IKEv2 (RFC 7296): how two members agree on keys that nobody else has, and know who the other is.
//!
//! **Problem.** ESP needs fresh keys for each pair of members, agreed over a network that reads, loses, reorders, repeats and
//! invents messages, with peers of which some are not ours.
//!
//! **Idea.** RFC 7296 without a socket, a clock or global randomness: octets, time and random octets come in, octets and keys
//! go out. (The exceptions: ML-KEM and ECDSA draw on the generator of their library.) Each layer knows only those below it.
//!
//! **Picture.**
//!
//! ```text
//!   datagram ──► codec::parse ──► header, payloads   or   SK, still sealed
//!                                                          │ suite::Opener
//!                                                          ▼
//!                                                        payloads ──► auth::PeerProof::check
//! ```
//!
//! **Cost.** Parsing copies each payload once. A handshake costs what its key exchange and signatures cost; the rest is some ten
//! HMACs. What a stranger can make us do before a cookie is bounded by the limits in [`codec::limits`].
#![forbid(unsafe_code)]

mod association;
pub mod auth;
pub mod codec;
mod endpoint;
mod event;
mod host;
pub mod suite;
mod terms;
mod units;

pub use endpoint::{Counters, Drop, Endpoint, View};
pub use event::{Down, Event, Forgotten, NatFound, NewChild, Output, Up};
pub use host::{Claim, Host, Refused};
pub use terms::{ChildTerms, Config, Connection, Mode, Nat, Terms, Timing};
pub use units::{AssociationId, ChildId, Moment, Path, Role};

#[cfg(test)]
mod golden;

// The differential test is also part of a fuzz target, where this crate has its name.
#[cfg(test)]
extern crate self as kith_ike;
