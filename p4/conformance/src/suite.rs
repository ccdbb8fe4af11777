//! The cases of this crate, and how a test runs both sides.

use crate::case::{Book, Case, CaseError};
use crate::entry::Program;
use crate::world::{Input, World};
use std::path::{Path, PathBuf};

/// All files of cases; later ones know the worlds and frames of earlier ones.
pub const FILES: [&str; 4] = ["director.cases", "link.cases", "gateway.cases", "found.cases"];

/// Everything that is read once.
pub struct Suite {
    /// Tables, to read entries by.
    pub tables: Program,
    /// The compiled program.
    pub compiled: kith_p4_runner::Program,
    /// All cases.
    pub cases: Vec<Case>,
    book: Book,
}

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The P4Info cannot be read.
    #[error(transparent)]
    Tables(#[from] kith_p4::Error),
    /// The program cannot be read.
    #[error(transparent)]
    Compiled(#[from] kith_p4_runner::ProgramError),
    /// A file of cases has a mistake.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// A file of cases cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
}

impl Suite {
    /// Reads program and cases of this repository.
    pub fn load() -> Result<Self, SuiteError> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tables = Program::load()?;
        let compiled = kith_p4_runner::Program::read(&here.join("../compiled/kith.spec"))?;
        let (mut book, mut cases) = (Book::default(), Vec::new());
        for file in FILES {
            let path = here.join("cases").join(file);
            let text = std::fs::read_to_string(&path).map_err(|why| SuiteError::Read { path, why })?;
            cases.extend(book.read(&tables, file, &text)?);
        }
        Ok(Self {
            tables,
            compiled,
            cases,
            book,
        })
    }

    /// A world by its name.
    #[must_use]
    pub fn world(&self, name: &str) -> Option<&World> {
        self.book.world_named(name)
    }

    /// All packets of cases that run in a world like this: what the generator bends.
    #[must_use]
    pub fn packets(&self, endpoint: &str) -> Vec<Input> {
        let role = |case: &&Case| case.world.entries.iter().any(|entry| entry.action == endpoint);
        let packets = self.cases.iter().filter(role).flat_map(|case| &case.packets);
        packets.map(|(input, _)| input.clone()).collect()
    }
}
