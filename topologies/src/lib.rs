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
pub mod managed;
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

use check::Purpose;
use diagnostic::Sink;
use managed::Managed;
use std::{fs::File, io::Read as _, ops::Range, path::Path};

/// The largest topology file that is read, in octets.
pub const MAX_BYTES: usize = 1 << 22;

/// The most devices, and the most memberships, that one topology with wiring may have.
pub const MAX_MEMBERS: usize = 512;

/// The most that a file without wiring may have.
pub const MAX_LISTED: usize = 20_000;

/// What a good topology file gives.
#[derive(Debug)]
pub struct Loaded {
    /// The network, everything resolved.
    pub topology: compiled::Topology,
    /// What will work but is likely not what was meant.
    pub warnings: Diagnostics,
}

/// What a good topology file gives that need not have wiring.
#[derive(Debug)]
pub struct Listed {
    /// What a manager is to know.
    pub managed: Managed,
    /// The whole network, if the file has wiring.
    pub topology: Option<compiled::Topology>,
    /// What will work but is likely not what was meant.
    pub warnings: Diagnostics,
}

/// Reads, validates and compiles the file at `path`, which must have wiring: for a lab. The error carries all mistakes found, not only the first.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let (file, bytes) = octets(path)?;
    parse_bytes(&file, &bytes)
}

/// Like [`load`], for a manager: a file without wiring is good too.
pub fn load_listed(path: &Path) -> Result<Listed, Diagnostics> {
    let (file, bytes) = octets(path)?;
    parse_listed_bytes(&file, &bytes)
}

fn octets(path: &Path) -> Result<(String, Vec<u8>), Diagnostics> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    match File::open(path).and_then(|f| f.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)) {
        Ok(_) => Ok((file, bytes)),
        Err(error) => {
            let mut sink = Sink::new(&file, "");
            let message = format!("the file cannot be read: {error}");
            sink.error(0..0, Code::File, message, "check the path and its permissions");
            Err(sink.finish())
        }
    }
}

/// Like [`load`], for octets already at hand; `file` is only the name that diagnostics show.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Loaded, Diagnostics> {
    parse(file, utf8(file, bytes)?)
}

fn utf8<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Diagnostics> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let mut sink = Sink::new(file, good);
        let at = good.len();
        sink.error(
            at..at,
            Code::File,
            "the file is not UTF-8 text from here on",
            "save it as UTF-8",
        );
        sink.finish()
    })
}

/// Like [`load`], for text already at hand; `file` is only the name that diagnostics show.
pub fn parse(file: &str, text: &str) -> Result<Loaded, Diagnostics> {
    let (read, diagnostics) = read(file, text, Purpose::Lab);
    match read.and_then(|(_, topology)| topology) {
        Some(topology) if !diagnostics.has_errors() => Ok(Loaded {
            topology,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

/// Like [`load_listed`], for text already at hand; `file` is only the name that diagnostics show.
pub fn parse_listed(file: &str, text: &str) -> Result<Listed, Diagnostics> {
    let (read, diagnostics) = read(file, text, Purpose::Manager);
    match read {
        Some((managed, topology)) if !diagnostics.has_errors() => Ok(Listed {
            managed,
            topology,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

/// Like [`parse_listed`], for octets.
pub fn parse_listed_bytes(file: &str, bytes: &[u8]) -> Result<Listed, Diagnostics> {
    parse_listed(file, utf8(file, bytes)?)
}

type Whole = (Managed, Option<compiled::Topology>);

fn read(file: &str, text: &str, purpose: Purpose) -> (Option<Whole>, Diagnostics) {
    let mut sink = Sink::new(file, text);
    let read = written(text, &mut sink)
        .and_then(|(w, start)| check::check(&w, start, purpose, &mut sink))
        .map(|(managed, whole)| {
            (
                managed.clone(),
                whole.map(|whole| compile::compile(whole, managed)),
            )
        });
    (read, sink.finish())
}

fn written(text: &str, sink: &mut Sink<'_>) -> Option<(written::Topology, Range<usize>)> {
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
    let start = root.span.clone();
    <written::Topology as read::Value>::read(&root, sink).map(|w| (w, start))
}
