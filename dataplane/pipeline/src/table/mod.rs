//! Tables: one file for each of the P4 program's, and what they are made of.
//!
//! Most are part of one immutable snapshot a generation ([`crate::tables::Tables`], published by [`snapshot`]); a change copies what it
//! touches and is published as a whole. Two are large and change in place, under a rule that [`pool`] states and a model checker
//! verifies: [`sender`] and [`session`].
//!
//! ```text
//!  made of:     exact (hash)   numbered (exact, with counters)   pool (array over pseudo addresses)   port (array over ports)
//!  both roles:  endpoint  ingress_port                                    route  neighbor  egress_port
//!  director:                           sender  session
//!  gateway:         local_destination  local_source  association  policy  member  virtual_destination  virtual_source
//! ```

pub mod association;
pub mod endpoint;
pub mod exact;
pub mod local;
pub mod member;
pub mod neighbor;
pub mod numbered;
pub mod policy;
pub mod pool;
pub mod port;
pub mod route;
pub mod sender;
pub mod session;
pub mod snapshot;
pub mod virtual_address;

/// Why a table refuses a change. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// An insert of a key that is there.
    #[error("there is an entry with this key: modify it, or delete it first")]
    Exists,
    /// A change of a key that is not there.
    #[error("there is no entry with this key")]
    Missing,
    /// No room.
    #[error("the table is full: it takes {0} entries")]
    Full(usize),
    /// A pseudo address of no place in the table, or a prefix longer than an address.
    #[error("the key lies outside the table's range")]
    OutOfRange,
}
