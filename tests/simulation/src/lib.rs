//! A whole network in one process, thousands of times: the manager's core over a store that can crash, directors, and two hundred agents.
//!
//! Problem: what is promised must hold whatever a network, a disk and people do at the same time, and what goes wrong once in ten thousand hours must be found
//! before it happens. Idea: all machines here are functions of what they are told, so time, randomness, network, disks and users are the simulation's. A seed
//! decides everything: a story that went wrong is told again, word for word, by its number.
//!
//! ```text
//!   device: Enrolment ► Membership, Session ──┐  loss, copies, delay, other orders, cuts, NATs that forget, sites that move
//!   device ...   (200, in 8 sites and outside)┼───────────────────────────────────────────────────────────┐
//!   operator: invites, revokes, deletes, ─────┘   director ×3: sessions, journal          manager: core ► store
//!             policies, pools                     killed, journal torn or lost            killed at any transaction, disk refuses one
//!                                                        ▲ grants                             │      │
//!                                                        └────────────────────────────────────┘      ▼
//!                     promises: one holder an address, nothing acknowledged is lost, told are exactly those whom it concerns,
//!                               nobody is out without a cause, tables and queues are bounded; in the end all are joined or know why not
//! ```
//!
//! Two minutes of storm, then until all is well. What is real: all machines, all messages, all keys of registration and joins. What is not: TLS, gRPC and
//! the ciphers inside the tunnel, which have tests of their own.
//!
//! Cost: see `tests/seeds.rs`.
#![forbid(unsafe_code)]

mod chaos;
mod convert;
mod device;
mod dice;
mod director;
mod hub;
mod mirror;
mod net;
mod operator;
mod pushes;
mod seat;
mod server;
mod story;
mod verdict;
mod world;

pub use net::Violation;
pub use story::{Ending, run, tell};
