//! The P4 program and the Rust pipeline, side by side.
//!
//! Problem: the dataplane is programmed by a P4 program's tables, and forwards packets with Rust. Both must do the same. Idea: give both
//! the same entries and the same packets, and compare all that can be seen.
//!
//! ```text
//!                       ┌─► Rust   P4Runtime messages, kith-pipeline ───────┐
//!   World, Input ───────┤                                                   ├─► Outcome, Counted ─► difference
//!   (cases, generator)  └─► P4     compiled program, SWX, crypto block ──────┘
//! ```
//!
//! [`case`] reads cases that people wrote or the generator found; [`generate`] makes packets from theirs. Neither builder nor
//! judge ([`layout`], [`frame`], [`dissect`], [`compare`]) uses a header type of the two that are judged.

#![forbid(unsafe_code)]

pub mod case;
pub mod compare;
pub mod crypto;
pub mod dissect;
pub mod entry;
pub mod frame;
pub mod generate;
pub mod layout;
pub mod message;
pub mod p4;
pub mod rust;
pub mod seal;
pub mod suite;
pub mod watch;
pub mod world;
