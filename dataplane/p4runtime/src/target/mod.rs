//! What the service serves: something with tables.
//!
//! ```text
//!  service ──Update, Query──► Target
//!                               └ Store<B>: rules of batches, rows of the snapshot tables
//!                                    └ Backend: where packets see it   (Pipeline; Memory and Faulty for tests)
//! ```

mod associations;
mod backend;
mod faulty;
mod memory;
mod pipeline;
mod store;

pub use associations::{Associations, Installed, Ledger, Resting, Used};
pub use backend::{Backend, BackendError, Outlet, Rows, SenderRow, Stored};
pub use faulty::Faulty;
pub use memory::Memory;
pub use pipeline::{Parts, Pipeline};
pub use store::Store;

use crate::association::AssociationKey;
use crate::entry::EntryError;
use crate::packet::PacketOut;
use crate::query::{Answer, Query};
use crate::update::Update;
use std::ops::ControlFlow;
use tonic::Code;

/// What a batch that fails leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Atomicity {
    /// Each update by itself, in order.
    #[default]
    Continue,
    /// All or none.
    Rollback,
    /// All or none, and a packet sees all or none: snapshot tables only.
    Dataplane,
}

/// Why an update did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// It is wrong as written.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// There is an entry with this key.
    #[error("table {table}: an entry with this key exists; modify it instead")]
    Exists {
        /// The table.
        table: &'static str,
    },
    /// There is no entry with this key.
    #[error("table {table}: no entry has this key; insert it first")]
    Missing {
        /// The table.
        table: &'static str,
    },
    /// The table is full.
    #[error("table {table}: it is full with {size} entries; delete some first")]
    Full {
        /// The table.
        table: &'static str,
        /// Its size.
        size: usize,
    },
    /// A value that the P4 program would take and this dataplane cannot.
    #[error("table {table}: {what} {value} is not one of this dataplane; {advice}")]
    Outside {
        /// The table.
        table: &'static str,
        /// Port, pseudo address, …
        what: &'static str,
        /// The value, as one writes it.
        value: String,
        /// What is possible.
        advice: &'static str,
    },
    /// There is a security association in this place.
    #[error("security_associations: {key} is taken; delete it in an earlier batch, or take another index")]
    AssociationExists {
        /// Which.
        key: AssociationKey,
    },
    /// There is no such security association.
    #[error("security_associations: {key} is not there; insert it first")]
    AssociationMissing {
        /// Which.
        key: AssociationKey,
    },
    /// The key of this security association was installed before.
    #[error(
        "security_associations: {key}: this key was installed before, and a key serves once; agree on another"
    )]
    KeyServed {
        /// Which.
        key: AssociationKey,
    },
    /// The worker did not obey in time.
    #[error(
        "security_associations: {key}: worker {worker} did not obey in time, nothing was done; is it alive?"
    )]
    NotObeyed {
        /// Which.
        key: AssociationKey,
        /// Whose it is.
        worker: u16,
    },
    /// Not in one step: the batch is for tables that change in place.
    #[error(
        "sender, session and security_associations change entry by entry; use ROLLBACK_ON_ERROR, or a batch without them"
    )]
    NotAtomic,
    /// The dataplane refused; nothing of it is left.
    #[error("the dataplane did not take it: {0}; try again")]
    Backend(#[from] BackendError),
    /// Another update of the batch failed, so this one was taken back or not tried.
    #[error("another update of the batch failed; correct that one and send the batch again")]
    RolledBack,
}

impl UpdateError {
    /// The canonical gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Entry(error) => error.code(),
            Self::Exists { .. } | Self::AssociationExists { .. } => Code::AlreadyExists,
            Self::Missing { .. } | Self::AssociationMissing { .. } => Code::NotFound,
            Self::KeyServed { .. } => Code::FailedPrecondition,
            Self::NotObeyed { .. } => Code::DeadlineExceeded,
            Self::Full { .. } => Code::ResourceExhausted,
            Self::Outside { .. } => Code::OutOfRange,
            Self::NotAtomic => Code::Unimplemented,
            Self::Backend(_) => Code::Unavailable,
            Self::RolledBack => Code::Aborted,
        }
    }
}

/// Why a packet was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketOutError {
    /// The port does not exist.
    #[error("egress port {0} is none of this dataplane's; see table egress_port")]
    Port(u16),
    /// The frame is too short or too long.
    #[error("a frame of {0} octets cannot be sent; send 14 to 65535")]
    Length(usize),
    /// A routed packet that is not IPv4, or to nowhere.
    #[error("{0}")]
    NotRouted(&'static str),
    /// The queue to the workers is full.
    #[error("the queue to the port is full; send more slowly")]
    Full,
}

/// What an update or query came to.
pub type Outcome = Result<(), UpdateError>;

/// Tables behind the service. Every call may block for as long as a batch takes; none waits for the network.
pub trait Target: Send + Sync + 'static {
    /// Carries out a batch; gives an outcome for each update.
    ///
    /// # Errors
    /// If the batch as a whole cannot be done; then nothing was.
    fn write(&self, updates: &[Update], atomicity: Atomicity) -> Result<Vec<Outcome>, UpdateError>;

    /// Answers queries, all from one state of the tables, in pieces of at most [`CHUNK`]; gives an outcome for each query. Ends early
    /// when the sink breaks.
    fn read(&self, queries: &[Query], sink: &mut dyn FnMut(Vec<Answer>) -> ControlFlow<()>) -> Vec<Outcome>;

    /// Sends a frame.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn packet_out(&self, packet: PacketOut) -> Result<(), PacketOutError>;

    /// Back to the entries that the dataplane started with.
    ///
    /// # Errors
    /// If the dataplane refused; then nothing changed.
    fn reset(&self) -> Result<(), UpdateError>;
}

/// The most answers that are given in one piece.
pub const CHUNK: usize = 1000;
