//! Performance harness: what `make bench` runs.
//!
//! Problem: say what the packet path costs on a shared, noisy machine, against anchors that anybody can rebuild. Idea:
//! everything is a ratio or a difference of loops that ran in turns ([`measure`]); the output bytes of every loop are
//! checked between the turns; what could not be measured is a row that says why.
//!
//! ```text
//!  kith-bench all ─┬─ P1      worker ........ empty loop ÷ dpdk-testpmd io
//!                  ├─ P2, P3  relay ......... relay − same loop without it
//!                  ├─ P2      checksum ...... the same, with UDP checksums
//!                  ├─ P4      wrap .......... outer headers and shim, on and off
//!                  ├─ P6      esp ........... cipher alone ÷ whole path
//!                  ├─ P8      sas ........... many security associations ÷ one
//!                  ├─ P12     push .......... who is told of a change, and when
//!                  ├─ P13     joins ......... durable joins of the manager ÷ writes of etcd
//!                  ├─ P14     names ......... DNS answers of the manager ÷ NSD
//!                  ├─ P15     memory ........ an agent; the manager, for each member
//!                  ├─ D2, P15 southbound .... P4Runtime writes while relaying
//!                  └─ P9, P10 overlay ....... two agents over veth against five overlays
//!                        ▼
//!                  report: table, JSON, plot
//! ```
#![forbid(unsafe_code)]

pub mod around;
pub mod checksum;
pub mod esp;
pub mod flows;
pub mod handshakes;
pub mod manager;
pub mod measure;
pub mod names;
pub mod overlay;
mod pin;
pub mod plot;
pub mod port;
pub mod relay;
pub mod report;
pub mod sas;
pub mod southbound;
pub mod testpmd;
pub mod worker;
pub mod world;
pub mod wrap;
pub mod writer;

/// Why a measurement did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The environment.
    #[error(transparent)]
    Eal(#[from] kith_dpdk::EalError),
    /// The thread.
    #[error(transparent)]
    Thread(#[from] kith_dpdk::ThreadError),
    /// The pool.
    #[error(transparent)]
    Mempool(#[from] kith_dpdk::MempoolError),
    /// A port.
    #[error(transparent)]
    Port(#[from] kith_dpdk::PortError),
    /// The tables of a measurement.
    #[error("table: {0}")]
    Table(#[from] kith_pipeline::table::TableError),
    /// A loop that moved no packet.
    #[error("loop {0:?} moved no packet: the port gives none, or its pool is empty")]
    Idle(&'static str),
    /// A loop whose output is not what it should be: its time means nothing.
    #[error("loop {which:?}: {what}; expected {expected:02x?}, got {got:02x?}")]
    Wrong {
        /// The loop.
        which: &'static str,
        /// What is wrong.
        what: &'static str,
        /// These bytes.
        expected: Vec<u8>,
        /// Those bytes.
        got: Vec<u8>,
    },
    /// A program that is measured against did not do what it should.
    #[error("{program}: {what}")]
    Program {
        /// Which.
        program: String,
        /// What happened.
        what: String,
    },
    /// A file or process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The plot.
    #[error("plot: {0}")]
    Plot(String),
}

impl BenchError {
    /// Names what was tried when the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The loop put out `got` where `expected` should be.
    pub(crate) fn wrong(which: &'static str, what: &'static str, expected: &[u8], got: &[u8]) -> Self {
        Self::Wrong {
            which,
            what,
            expected: expected.to_vec(),
            got: got.to_vec(),
        }
    }
}
