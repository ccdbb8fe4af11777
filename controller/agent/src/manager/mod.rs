//! What the agent and its manager agree on, as state machines without I/O.
//!
//! Problem: registration and membership run for months over networks that lose, delay and cut, against managers that
//! restart, and the user should hear of it only when there is something for the user to do. Idea: two machines.
//! [`enrolment`] turns an invitation and a code into a registration file (figure 12); [`membership`] joins with that file, stays
//! joined, and turns what the manager says into orders for the datapath (figures 13 and 14). Clocks, randomness, sockets and
//! people are outside: the same machines run by the hundred in a simulated network.
//!
//! ```text
//!              ┌──────────── host: supervisor, or a simulation ────────────┐
//!   answers ──►│ input(now, …)                        poll() ──► Request   │──► gRPC
//!   updates ──►│ tick(now)  ◄── deadline()                   ──► Order     │──► control thread
//!   reports ──►│                                             ──► Event     │──► people, status
//!              └────────────────────────────────────────────────────────────┘
//! ```
//!
//! Cost: a request or an update costs one HMAC, a join two X25519 operations; nothing is allocated while nothing happens but
//! heartbeats.

pub mod backoff;
pub mod channel;
pub mod convert;
pub mod credentials;
pub mod enrolment;
pub mod membership;
pub mod refusal;
pub mod request;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod fake_server;

pub use credentials::Credentials;
pub use refusal::{Refused, Words};
pub use request::{Answer, Call, Failure, Manager, Patience, Request, RequestId, StreamId};

/// Fills with randomness fit for keys.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;
