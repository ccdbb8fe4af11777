//! Director sessions, both ends, as sans-I/O state machines (source document 001, figure 21 and columns 24 to 27).
//!
//! Problem: a member behind a NAT can be reached only through a mapping that the NAT made, may change at any time, and
//! forgets when idle; and whoever could forge the messages that register such a mapping could take over, end, or drown
//! somebody else's. Idea: every control message is authenticated under a key of that one member, a source address is
//! believed only after it echoed a cookie, and until then the director keeps no state and answers no more octets than
//! it was sent.
//!
//! ```text
//!  member: client::Client                            director: server::Director
//!    │ address request                                 │  parse → key id → limits → authenticator
//!    ├────────────────────────────────────────────────►│
//!    │◄────────────────────────────────────────────────┤  challenge: cookie, last counter       (no state kept)
//!    │ address request, cookie                         │
//!    ├────────────────────────────────────────────────►│  session: pseudo address ↔ (address, port) → TableOp::Bind
//!    │◄────────────────────────────────────────────────┤  ok: pseudo address, lifetime, interval, observed address
//!    │ keep-alive … leave                              │  extended, moved (cookie again), ended → TableOp::Unbind
//! ```
//!
//! Both ends are functions of what they are given: time ([`Time`]), datagrams, and entropy at construction. There is no
//! socket, clock or random number in here, so that the tests run both ends through thousands of bad networks a second.
//!
//! Two things this crate fixes beyond the layout in [`kith_wire::control`]:
//! - In a *challenge to an address request* the lifetime and interval fields together hold the counter that the director
//!   last accepted under this key (high half in the lifetime). A member whose clock went backwards would otherwise be
//!   refused as a replay until its clock caught up; it continues behind that counter instead.
//! - *No session* carries a cookie too, so that the request that follows needs no challenge of its own.
#![forbid(unsafe_code)]

mod auth;
pub mod client;
pub mod journal;
mod limits;
pub mod server;
mod time;

pub use auth::DirectorKey;
pub use limits::Rate;
pub use time::Time;
