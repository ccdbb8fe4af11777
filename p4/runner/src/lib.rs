//! Runs the compiled P4 program, packet by packet, on DPDK's software pipeline.
//!
//! # Problem
//!
//! The P4 program says what a packet is due. To hold the dataplane to it, somebody must be able to run it: with the same entries
//! and the same packets, on a laptop, without a switch, without privileges.
//!
//! # Idea
//!
//! ```text
//!   kith.spec ───► Spec ────┐                     entries by P4 names ─► Runner::write
//!   kith.p4info.txt ► P4Info┴► Program (names) ─► Runner ─► pipeline (kith-dpdk, swx)
//!
//!   frame ─► descriptor ─► pipeline ─┬─ port 0…5 ──────────────► leaves
//!                            ▲       ├─ 6, the CPU ────────────► leaves, as packet-in
//!                            │       └─ 7 ─► CryptoBlock ─┐
//!                            └─────────────────────────────┘
//! ```
//!
//! Names are not written down twice: p4c gives tables, actions and arrays other names in the `.spec`, and [`Program`] finds out which,
//! from the order in which both texts have them, and compares widths, kinds and parameters on the way.
//!
//! # Cost
//!
//! Interpreted, one packet at a time: about a microsecond each. Environment: 256 MiB of ordinary memory, no huge pages, no root.

#![forbid(unsafe_code)]

pub mod p4info;
pub mod spec;

mod crypto;
mod entry;
mod frame;
mod load;
mod program;
mod runner;

pub use crypto::{CryptoBlock, CryptoDrop};
pub use entry::{Deed, Entry, Update};
pub use frame::PacketIn;
pub use kith_dpdk::swx::{Match, Rates, SwxError};
pub use program::{Program, ProgramError};
pub use runner::{Output, Runner, RunnerConfig, RunnerError, environment};
