//! Topology YAML: from a file that an operator wrote to a network that programs can run.
//!
//! **Problem.** A network that is only half right fails late and far away: a pool that clashes with a LAN shows up as a dropped
//! packet. **Idea.** Three types, one per step, and a step is taken only if the whole of the one before holds:
//!
//! ```text
//!   text ── yaml ──► node tree ── read ──► written ── check ──► validated ── compile ──► compiled
//!                    (positions)           (Field<T>)           (plain values,           (names in place of
//!        │                 │                    │                references are           indexes)
//!        ▼                 ▼                    ▼                indexes, every
//!                                                                node has an address)
//!      one list of diagnostics: file, line, column, what is wrong, what to do
//! ```
//!
//! A value that cannot be read leaves a hole in `written`, not an end to the reading, so one run reports every mistake.
//! **Cost.** Linear in the text but for a few checks of all pairs, which [`MAX_MEMBERS`] bounds; files over [`MAX_BYTES`] are refused.
//!
//! A file has neither keys nor virtual addresses: the manager gives them to those who enrol.
#![forbid(unsafe_code)]

mod check;
mod compile;
pub mod compiled;
mod diagnostic;
mod policy;
mod read;
mod render;
mod scalars;
mod schema;
mod validated;
mod values;
mod written;
mod yaml;

pub use diagnostic::{Code, Diagnostic, Diagnostics, Severity};
pub use scalars::{Fqdn, Name, Prefix};
pub use schema::schema;

use diagnostic::Sink;
use std::{fs::File, io::Read as _, path::Path};

/// The largest topology file that is read, in octets.
pub const MAX_BYTES: usize = 1 << 20;

/// The most devices, and the most memberships, that one topology may have.
pub const MAX_MEMBERS: usize = 512;

/// What a good topology file gives.
#[derive(Debug)]
pub struct Loaded {
    /// The network, everything resolved.
    pub topology: compiled::Topology,
    /// What will work but is likely not what was meant.
    pub warnings: Diagnostics,
}

/// Reads, validates and compiles the file at `path`. The error carries all mistakes found, not only the first.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|f| f.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = opened {
        let mut sink = Sink::new(&file, "");
        sink.error(
            0..0,
            Code::File,
            format!("the file cannot be read: {error}"),
            "check the path and its permissions",
        );
        return Err(sink.finish());
    }
    parse_bytes(&file, &bytes)
}

/// Like [`load`], for octets already at hand; `file` is only the name that diagnostics show.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Loaded, Diagnostics> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let mut sink = Sink::new(file, good);
            let at = good.len();
            sink.error(
                at..at,
                Code::File,
                "the file is not UTF-8 text from here on",
                "save it as UTF-8",
            );
            Err(sink.finish())
        }
    }
}

/// Like [`load`], for text already at hand; `file` is only the name that diagnostics show.
pub fn parse(file: &str, text: &str) -> Result<Loaded, Diagnostics> {
    let mut sink = Sink::new(file, text);
    let topology = written(text, &mut sink)
        .and_then(|w| check::check(&w, &mut sink))
        .map(compile::compile);
    let diagnostics = sink.finish();
    match topology {
        Some(topology) if !diagnostics.has_errors() => Ok(Loaded {
            topology,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

fn written(text: &str, sink: &mut Sink<'_>) -> Option<written::Topology> {
    if text.len() > MAX_BYTES {
        let help =
            format!("a topology file has at most {MAX_BYTES} octets; split the network into several files");
        sink.error(0..0, Code::File, "the file is too large", help);
        return None;
    }
    let root = yaml::tree(text, sink)?;
    if let Some(span) = read::version_one(&root) {
        let help = "write `version: 2`; take out every key, `virtual_ip`, `director` and `pseudo`; add `manager: { name: manager }`; call \
                    `pool: …` of a community `pools: […]`, and write each member as a device: \
                    `- { name: alice, site: …, members: [alice.acme.example], email: alice@acme.example }`";
        sink.error(
            span,
            Code::OldVersion,
            "this is version 1 of the format: there, keys stood in the file; now the manager hands them out",
            help,
        );
        return None;
    }
    <written::Topology as read::Value>::read(&root, sink)
}
