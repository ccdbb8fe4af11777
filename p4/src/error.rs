//! What can go wrong with the program's files.

use std::io;
use std::path::PathBuf;

/// Why a command of `kith-p4` failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no compiler to call.
    #[error("cannot run p4c-dpdk: {0}; put p4c-dpdk (release {release}) on PATH", release = crate::compile::RELEASE)]
    NoCompiler(io::Error),
    /// The compiler does not like the program.
    #[error("p4c-dpdk refused the program:\n{0}")]
    Refused(String),
    /// A file of ours does not read as what it should be.
    #[error("{file}, line {line}: {what}")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// The manifest is no JSON of ours.
    #[error("{}: {source}; run `kith-p4 compile`", crate::MANIFEST)]
    Manifest {
        /// What the reader says.
        source: serde_json::Error,
    },
}
