//! The P4 program as a thing to build: sources, compiler, compiled outputs, picture.
//!
//! The compiler is in no package registry, so what it makes is kept in the repository beside the source, and a manifest
//! says what it was made from:
//!
//! ```text
//!  kith.p4, kith/*.p4 ──p4c-dpdk──► compiled/kith.spec, kith.p4info.txt ──► manifest.json (SHA-256 of all)
//!        │                                 │
//!        └── source (stages, drops) ───────┴── spec (order), p4info (keys, actions) ──► pipeline.svg
//! ```
//!
//! `kith-p4 check` needs no compiler: it compares hashes and the picture. With the compiler on PATH it compiles again
//! and compares that too.

#![forbid(unsafe_code)]

pub mod check;
pub mod compile;
pub mod draw;
mod error;
pub mod info;
pub mod manifest;
pub mod reasons;
pub mod source;
pub mod spec;
mod svg;
mod textproto;

pub use error::Error;

use std::path::{Path, PathBuf};

/// The P4 program's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that holds `kith.p4`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder of this crate's own source: where tests and `cargo run` find the program.
    #[must_use]
    pub fn of_this_crate() -> Self {
        Self(PathBuf::from(env!("CARGO_MANIFEST_DIR")))
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a file of it.
    pub fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.0.join(name);
        std::fs::write(&path, content).map_err(|source| Error::Write { path, source })
    }
}

/// The compiled program, in the language of DPDK's software pipeline.
pub const SPEC: &str = "compiled/kith.spec";
/// What P4Runtime clients are told: tables, actions, identifiers.
pub const P4INFO: &str = "compiled/kith.p4info.txt";
/// What P4Runtime clients are told of extern instances, which the compiler leaves out.
pub const EXTERNS: &str = "kith/externs.p4info.txt";
/// What the two were made from.
pub const MANIFEST: &str = "compiled/manifest.json";
/// The picture.
pub const PICTURE: &str = "pipeline.svg";
