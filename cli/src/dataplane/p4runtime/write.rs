//! `kith dataplane write`: one update from the command line, or a batch from a file.
//!
//! A target lets the primary write and nobody else, and a dataplane's controller is its primary. So a write finds out first who
//! decides:
//!
//! ```text
//!  stream without an id ─┬─ nobody is primary ──► again with the highest id so far ───────────────► write, leave
//!                        └─ somebody is ─┬─ --take-over: again with the highest id so far + 1 ────► write, leave
//!                                        └─ otherwise: nothing is written, and why
//! ```
//!
//! When we leave, nobody is primary until somebody shows an id as high as ours was; `kith-controller` does that by itself after some
//! seconds, and then reads and mends what it finds.

use super::cells::meter_update;
use super::entry::{Entry, EntryError};
use super::link::{Link, Standing, code_word, refused};
use super::schema::Schema;
use super::words::{self, Change};
use crate::error::Error;
use crate::output::{self, Format};
use clap::{Args, ValueEnum};
use kith_p4runtime::client::{Failure as Failed, Session};
use kith_p4runtime::proto::v1;
use kith_p4runtime::target::Atomicity as Wanted;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use tonic::Code;

/// What to write.
#[derive(Debug, Clone, Args)]
pub struct Writing {
    /// insert, modify, delete, default or meter, and what: see the examples.
    #[arg(required_unless_present = "file", value_name = "WORD")]
    pub words: Vec<String>,
    /// A batch: a YAML or JSON file with a list of entries; `-` for the standard input.
    #[arg(short, long, conflicts_with = "words")]
    pub file: Option<PathBuf>,
    /// What a batch does when one of its updates fails.
    #[arg(short, long, value_enum, default_value = "continue")]
    pub atomicity: Atomicity,
    /// Our election id: the client with the highest one is primary, and writes.
    #[arg(long, value_name = "NUMBER", conflicts_with = "take_over")]
    pub election_id: Option<u128>,
    /// Take the controller's place for this write.
    #[arg(long)]
    pub take_over: bool,
}

/// What a batch does when one of its updates fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Atomicity {
    /// Go on with the others.
    Continue,
    /// Undo those that were done.
    Rollback,
    /// All at once for every packet, or none.
    DataplaneAtomic,
}

/// What became of a batch.
#[derive(Debug, Serialize)]
struct Written {
    updates: usize,
    failed: Vec<Failure>,
}

/// An update that was not done.
#[derive(Debug, Serialize)]
struct Failure {
    /// From 1 on.
    update: usize,
    what: String,
    code: &'static str,
    message: String,
    help: &'static str,
}

/// An update, and what it says.
type Labelled = (String, v1::Update);

/// `kith dataplane write`. Exit status 1 if an update failed.
pub(super) fn run(link: &mut Link, writing: &Writing, format: Format) -> Result<u8, Error> {
    let schema = link.schema()?;
    let (labels, updates): (Vec<_>, Vec<_>) = updates(&schema, writing)?.into_iter().unzip();
    let (_stream, election) = become_primary(link, writing)?;
    let atomicity = match writing.atomicity {
        Atomicity::Continue => Wanted::Continue,
        Atomicity::Rollback => Wanted::Rollback,
        Atomicity::DataplaneAtomic => Wanted::Dataplane,
    };
    let failed = link.write(election, updates, atomicity)?;
    let written = Written {
        updates: labels.len(),
        failed: failed
            .iter()
            .map(|failed| failure(failed, labels.get(failed.index)))
            .collect(),
    };
    output::show(format, &written, |written| render(written, writing.atomicity))?;
    Ok(u8::from(!written.failed.is_empty()))
}

fn updates(schema: &Schema, writing: &Writing) -> Result<Vec<Labelled>, Error> {
    let Some(file) = &writing.file else {
        return Ok(vec![match words::parse(&writing.words)? {
            Change::Entry(entry) => labelled(schema, &entry)?,
            Change::Meter { name, cell, rates } => {
                let update = meter_update(schema, &name, &cell, rates)?;
                (format!("meter {name} {cell}"), update)
            }
        }]);
    };
    batch(schema, &read(file)?).map_err(|error| match error {
        Error::Batch { why, .. } => Error::Batch {
            file: file.clone(),
            why,
        },
        other => other,
    })
}

fn batch(schema: &Schema, text: &str) -> Result<Vec<Labelled>, Error> {
    let wrong = |why: String| Error::Batch {
        file: PathBuf::new(),
        why,
    };
    let entries: Vec<Entry> =
        serde_saphyr::from_str(text).map_err(|error| wrong(error.without_snippet().to_string()))?;
    if entries.is_empty() {
        return Err(wrong("it has no entry".into()));
    }
    let labelled = |(at, entry): (usize, &Entry)| {
        labelled(schema, entry).map_err(|error| wrong(format!("entry {}: {error}", at + 1)))
    };
    entries.iter().enumerate().map(labelled).collect()
}

fn labelled(schema: &Schema, entry: &Entry) -> Result<Labelled, EntryError> {
    let verb = match entry.update.unwrap_or_default() {
        _ if entry.default => "modify",
        super::entry::Verb::Insert => "insert",
        super::entry::Verb::Modify => "modify",
        super::entry::Verb::Delete => "delete",
    };
    Ok((format!("{verb} {entry}"), entry.update(schema)?))
}

fn read(file: &Path) -> Result<String, Error> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|source| Error::Io {
        doing: "read",
        path: file.to_owned(),
        source,
    })
}

/// What is asked of the target by a stream.
const TAKE: &str = "take this client";

/// Makes us primary if nobody else is, or if that was asked for. The stream must stay open while we write.
fn become_primary(link: &mut Link, writing: &Writing) -> Result<(Session, u128), Error> {
    // Without an id we are a backup in any case, and learn who decides.
    let (mut stream, standing) = link.arbitrate(None)?;
    let (highest, somebody) = match standing {
        Standing::Backup { highest, somebody } => (highest, somebody),
        // A target that takes no id for an id.
        Standing::Primary => (None, false),
        Standing::Refused(status) => return Err(refused(link, TAKE, status)),
    };
    let election = match (writing.election_id, somebody) {
        (Some(wanted), _) => wanted,
        // No higher than it must be: who comes back with the id it had is primary again.
        (None, false) => highest.unwrap_or(1),
        (None, true) if writing.take_over => highest.unwrap_or(0).saturating_add(1),
        (None, true) => {
            return Err(Error::NotPrimary {
                at: link.place(),
                highest,
            });
        }
    };
    if somebody && writing.take_over {
        eprintln!("kith: taking the controller's place for this write, with election id {election}");
    }
    match link.again(&mut stream, election)? {
        Standing::Primary => Ok((stream, election)),
        Standing::Backup { highest, .. } => Err(Error::NotPrimary {
            at: link.place(),
            highest,
        }),
        Standing::Refused(status) => Err(refused(link, TAKE, status)),
    }
}

fn failure(failed: &Failed, what: Option<&String>) -> Failure {
    let code = failed.code;
    Failure {
        update: failed.index + 1,
        what: what.cloned().unwrap_or_default(),
        code: code_word(code),
        message: failed.message.clone(),
        help: match code {
            Code::AlreadyExists => "an entry with this key is there: modify it, or delete it first",
            Code::NotFound => {
                "no entry has this key: insert it, or list the table with `kith dataplane table NAME`"
            }
            Code::ResourceExhausted => {
                "the table is full: `kith dataplane tables` shows how full; delete what is of no use"
            }
            Code::InvalidArgument | Code::OutOfRange => {
                "`kith dataplane tables` shows names and widths; `kith dataplane status` ports and pools"
            }
            Code::PermissionDenied => "the program does not let a controller change this",
            Code::Unimplemented => {
                "the target cannot do this; tables `sender` and `session` are left out of dataplane-atomic batches"
            }
            Code::Aborted => "it was undone, or never tried, because another update of the batch failed",
            _ => "try again; `kith lab logs` or the dataplane's log may say more",
        },
    }
}

fn render(written: &Written, atomicity: Atomicity) -> String {
    let (all, failed) = (written.updates, written.failed.len());
    if failed == 0 {
        return format!("{all} written\n");
    }
    let mut out = String::new();
    for failure in &written.failed {
        out += &format!(
            "update {} of {all}: {}\n  {}: {}\n  help: {}\n",
            failure.update, failure.what, failure.code, failure.message, failure.help
        );
    }
    out + &match atomicity {
        Atomicity::Continue => format!("{} written, {failed} not\n", all - failed),
        Atomicity::Rollback | Atomicity::DataplaneAtomic => "nothing written\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::kith;
    use super::*;

    const BATCH: &str = "
- { table: session, match: { destination_member: 240.0.0.7 }, action: relay_to,
    params: { address: 203.0.113.21, port: 4000, community: 1, mtu: 1500 } }
- { update: delete, table: sender, match: { source_member: 240.0.0.7 } }
- { table: endpoint, default: true, action: act_as_nothing }
";

    #[test]
    fn a_batch_is_a_list_of_entries() {
        let schema = kith();
        let labels: Vec<_> = batch(&schema, BATCH)
            .unwrap()
            .into_iter()
            .map(|(label, _)| label)
            .collect();
        assert_eq!(
            labels,
            [
                "insert session destination_member=240.0.0.7 relay_to address=203.0.113.21 community=1 mtu=1500 port=4000",
                "delete sender source_member=240.0.0.7",
                "modify endpoint (default) act_as_nothing",
            ]
        );
    }

    #[test]
    fn a_batch_that_is_none_says_which_entry_is_wrong() {
        let schema = kith();
        let texts = [
            "",
            "[]",
            "- {}",
            "- { table: session, colour: red }",
            "- { table: nothing, action: a }",
            "{",
        ];
        for text in texts {
            assert!(matches!(batch(&schema, text), Err(Error::Batch { .. })), "{text}");
        }
        let second = format!("{BATCH}\n- {{ update: delete, table: sender }}");
        let Err(Error::Batch { why, .. }) = batch(&schema, &second) else {
            panic!("it was taken");
        };
        assert!(
            why.starts_with("entry 4: table `sender`: source_member is missing"),
            "{why}"
        );
    }

    #[test]
    fn every_failed_update_is_shown_with_what_to_do() {
        let failed = |index, code, message: &str| Failed {
            index,
            code,
            message: message.into(),
        };
        let what = [
            "insert session destination_member=240.0.0.7 relay_to",
            "delete sender source_member=240.0.0.9",
        ];
        let what = what.map(str::to_owned);
        let written = Written {
            updates: 3,
            failed: vec![
                failure(
                    &failed(0, Code::AlreadyExists, "session: the key exists"),
                    Some(&what[0]),
                ),
                failure(&failed(2, Code::NotFound, "sender: no such key"), Some(&what[1])),
            ],
        };
        insta::assert_snapshot!(
            [Atomicity::Continue, Atomicity::Rollback]
                .map(|how| render(&written, how))
                .join("\n")
        );
    }
}
