//! DPDK's software pipeline (SWX): a P4 program's instructions, run in this process.
//!
//! # Problem
//!
//! `librte_pipeline` executes what p4c's DPDK back end writes, but trusts it wholly. A program that sends to a port that does not
//! exist, or jumps back to an `extract`, writes outside its memory; a table entry is a pointer to octets whose order depends on what
//! the program does with them; a failed commit can free a table that is in use.
//!
//! # Idea
//!
//! ```text
//!  Builder: struct_type, header, metadata, action, table, … ── instructions are checked and guarded (instructions.rs)
//!     │ build
//!     ▼
//!  Pipeline ── submit(port, tag, octets) ─► slot ─► rte_swx_pipeline_run ─► slot ─► departures ── take(|exit, tag, octets|)
//!     └─────── apply(changes), registers, meters, statistics: numbers by field name (layout.rs puts them in DPDK's order)
//! ```
//!
//! Packets are in slots of one block of memory that lives as long as the pipeline, for a reason: a header that a packet does not have
//! keeps pointing where an earlier packet on the same SWX thread had it, and a program may read and write there. That is a wrong
//! result, but with slots that stay it is never a wrong access.
//!
//! # What 22.11 does, and what is made of it
//!
//! - `extract` never looks at the packet's length: octets after the frame are zeroes here, [`Builder::instructions`] knows how many a
//!   program can ask for, and every slot has as many behind the largest frame. Lengths go below zero meanwhile and come back with `emit`.
//! - `tx` to a port out of range is a jump through memory that is not a port. A guard before every `tx` sends such packets to
//!   [`Exit::OutOfRange`].
//! - `drop` gives the packet to a port of DPDK's own that frees it as an mbuf. It is replaced by a `tx` to a port of ours,
//!   [`Exit::Dropped`], which is what it means.
//! - Fields are read and written 64 bits at a time, beyond the end of the last one: metadata and headers are followed by a pad.
//! - An operand's offset has eight bits: in a struct of more than 256 octets, another field is meant. Such structs are refused.
//! - `meter` takes the length from a field only, though p4c writes a number: it is moved to the pad first.
//! - Metadata is not cleared between packets, and there are 16 threads of it.
//! - The match type `lpm` exists in name only: such a table is a wildcard table, in which the rank decides. [`Match::Prefix`] sets it.
//! - The wildcard table's entries do not have their rank as part of their identity: same match, other rank is the same entry.
//!   Of such entries it gets to know the one with the lowest rank only, and the next when that goes.
//! - A commit that fails in one table frees the new state of wildcard tables that come later, even if it is not new yet.
//!   What can fail is checked before (capacity, existence), and wildcard tables are configured first.
//! - Pipeline and control object share the wildcard tables, and each frees them: the pipeline is made to forget them first.
//! - A batch that deletes and inserts needs room for both at once: SWX inserts first.
//! - Entry identifiers count from 1; 0 is the default entry's. Register and meter arrays have a power of two of cells, and
//!   the index is cut to that.
//! - A meter that was never set answers green. Colours are numbered green 0, yellow 1, red 2, otherwise than in P4's PNA.

mod builder;
mod config;
mod describe;
mod entry;
mod handle;
mod instructions;
mod layout;
mod meter;
mod pipeline;
mod ports;

pub use builder::Builder;
pub use config::{Field, LearnerConfig, MatchField, MatchKind, Ports, SelectorConfig, TableConfig};
pub use entry::{Action, Change, Key, Match};
pub use layout::MAX_RANK;
pub use meter::Rates;
pub use pipeline::{Pipeline, TableStats};
pub use ports::Exit;

use crate::Errno;
use std::ffi::CString;

/// Why the software pipeline does not do it.
#[derive(Debug, thiserror::Error)]
pub enum SwxError {
    /// DPDK refused.
    #[error("DPDK refuses {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What DPDK says.
        reason: Errno,
    },
    /// DPDK could not make something, most likely for want of memory.
    #[error("DPDK has not enough memory for {what}; give the environment more, or make the tables smaller")]
    Memory {
        /// What was asked for.
        what: &'static str,
    },
    /// Names are 1 to 63 octets without NUL.
    #[error("{0:?} is no name: 1 to 63 octets, no NUL")]
    Name(String),
    /// An instruction that could harm the process, or that this wrapper does not serve.
    #[error("instruction `{instruction}` is refused: {why}")]
    Instruction {
        /// As written.
        instruction: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing has that name.
    #[error("there is no {what} {name}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A configuration that contradicts itself.
    #[error("{what}: {why}")]
    Config {
        /// What is configured.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A number does not fit its field.
    #[error("{value:#x} does not fit {field}, which has {bits} bits")]
    Range {
        /// The field, with its table or action.
        field: String,
        /// The number.
        value: u64,
        /// Width of the field.
        bits: u32,
    },
    /// The way a field is matched is not the table's.
    #[error("table {table}: field {field} is not matched that way")]
    MatchKind {
        /// The table.
        table: String,
        /// The field.
        field: String,
    },
    /// An entry with this match is there.
    #[error("table {0} has an entry with this match")]
    Exists(String),
    /// No entry with this match is there.
    #[error("table {0} has no entry with this match")]
    Absent(String),
    /// No room. Entries that the same batch deletes count until it is through.
    #[error("table {table} has room for {size} entries, those that are being deleted included")]
    Full {
        /// The table.
        table: String,
        /// Its capacity.
        size: u32,
    },
    /// All slots are in use.
    #[error("all {0} packet slots are in use: run, and take what leaves")]
    Busy(usize),
    /// The packet is larger than a slot.
    #[error("a packet of {length} octets exceeds the largest, {largest}")]
    TooLong {
        /// Octets.
        length: usize,
        /// The limit.
        largest: usize,
    },
    /// Packets are still inside after more instructions than any program needs.
    #[error("{0} packets do not leave the pipeline")]
    Stuck(usize),
}

/// A name as DPDK wants it.
fn c_name(name: &str) -> Result<CString, SwxError> {
    let fits = (1..64).contains(&name.len());
    CString::new(name)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| SwxError::Name(name.to_owned()))
}

/// The outcome of a call that returns 0 or a negative errno; `what` is only made up on failure.
fn check(code: i32, what: impl FnOnce() -> String) -> Result<(), SwxError> {
    Errno::check(code).map_err(|reason| SwxError::Refused { what: what(), reason })
}
