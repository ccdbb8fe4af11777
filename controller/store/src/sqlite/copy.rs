//! Copies of a store: made while it goes on, and put in its place again.
//!
//! A copy is one file of one revision, readable by its owner alone. It is written beside its place under another name, checked, synced,
//! and then renamed: under its name there is a whole copy or none.
//!
//! Restoring is one revision that writes everything: larger than any before, so that nobody who saw an earlier state takes the restored one
//! for it. The past is forgotten; whoever watches is told to resync.

use super::rows;
use super::schema;
use crate::{Entry, Lease, Options, Revision, StoreError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Added to the copy's revision when there is no store any more that says how far revisions had come.
const GAP: u64 = 1 << 32;

/// Copies a store that is in use.
pub(crate) fn back_up(store: &Path, to: &Path) -> Result<Revision, StoreError> {
    let source = schema::open_reader(store)?;
    make(to, |copy| {
        // All pages in one step: readers of the write-ahead log see one revision and hold up no writer.
        let backup = Backup::new(&source, copy)?;
        loop {
            match backup.step(-1)? {
                StepResult::Done => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    })
}

/// Writes a copy of a store that is no file.
pub(crate) fn write<'a>(
    to: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    leases: &[(Lease, Duration)],
    last_lease: u64,
    revision: Revision,
) -> Result<Revision, StoreError> {
    make(to, |copy| {
        schema::create(copy)?;
        let transaction = copy.transaction()?;
        for entry in entries {
            rows::put(&transaction, entry)?;
        }
        for (lease, ttl) in leases {
            rows::add_lease(&transaction, *lease, *ttl)?;
        }
        rows::set_number(&transaction, "lease", last_lease)?;
        rows::set_number(&transaction, "revision", revision.0)?;
        transaction.commit()
    })
}

/// Puts a copy in the place of a store that is not running; there need not be one any more.
pub fn restore(from: &Path, to: &Path) -> Result<Revision, StoreError> {
    let _lock = schema::lock(to)?;
    // A copy that is none, or is damaged, must not leave an empty store behind: the manager would start with it as if all were well.
    drop(checked(from)?);
    let new = !to.exists();
    let replaced = schema::open_writer(to, &Options::default()).and_then(|store| replace(&store, from));
    if replaced.is_err() && new {
        for path in [
            to.to_owned(),
            schema::with_suffix(to, "-wal"),
            schema::with_suffix(to, "-shm"),
        ] {
            // It may not have come so far as to be there.
            let _ = std::fs::remove_file(path);
        }
    }
    replaced
}

/// A copy that is whole.
fn checked(from: &Path) -> Result<Connection, StoreError> {
    if !from.exists() {
        return Err(schema::cannot(from, "there is no such file".to_owned()));
    }
    schema::open_copy(from)
}

/// Replaces all that a store has by what a copy has, in one transaction.
pub(super) fn replace(store: &Connection, from: &Path) -> Result<Revision, StoreError> {
    let copied = number(&checked(from)?, "revision")?;
    let present = number(store, "revision")?;
    let revision = Revision(if present == 0 {
        copied + GAP
    } else {
        copied.max(present) + 1
    });
    let path = from
        .to_str()
        .ok_or_else(|| schema::cannot(from, "its name is not UTF-8".to_owned()))?;
    store.execute("ATTACH ?1 AS copy", [path]).map_err(failed)?;
    let replaced = exchange(store, revision).map_err(failed);
    if replaced.is_err() && !store.is_autocommit() {
        // What failed is told; that this failed too adds nothing.
        let _ = store.execute_batch("ROLLBACK");
    }
    store.execute_batch("DETACH copy").map_err(failed)?;
    replaced.map(|()| revision)
}

fn exchange(store: &Connection, revision: Revision) -> Result<(), rusqlite::Error> {
    store.execute_batch(
        "BEGIN IMMEDIATE;
         DELETE FROM main.entries; DELETE FROM main.history; DELETE FROM main.leases;
         INSERT INTO main.leases SELECT id, ttl FROM copy.leases;",
    )?;
    store.execute(
        "INSERT INTO main.entries SELECT key, value, created, ?1, lease FROM copy.entries",
        params![rows::int(revision.0)],
    )?;
    store.execute_batch(
        "UPDATE main.meta SET number = max(number, (SELECT number FROM copy.meta WHERE name = 'lease')) WHERE name = 'lease';",
    )?;
    rows::set_number(store, "revision", revision.0)?;
    store.execute_batch("COMMIT")
}

/// Makes a file: filled under another name, checked, synced, renamed.
fn make(
    to: &Path,
    fill: impl FnOnce(&mut Connection) -> Result<(), rusqlite::Error>,
) -> Result<Revision, StoreError> {
    if to.exists() {
        return Err(schema::cannot(
            to,
            "it is there already; a backup overwrites nothing".to_owned(),
        ));
    }
    let part = Part::new(to)?;
    let mut copy = Connection::open(&part.0).map_err(failed)?;
    fill(&mut copy).map_err(failed)?;
    // One file without companions; it is synced below.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(failed)?;
    if let Some(damage) = schema::whole(&copy).map_err(failed)? {
        return Err(StoreError::Failed(format!("the copy is damaged: {damage}")));
    }
    let revision = number(&copy, "revision")?;
    copy.close().map_err(|(_, why)| failed(why))?;
    let finish = || -> std::io::Result<()> {
        std::fs::File::open(&part.0)?.sync_all()?;
        std::fs::rename(&part.0, to)?;
        schema::sync_folder(to)
    };
    finish().map_err(|why| schema::cannot(to, why.to_string()))?;
    Ok(Revision(revision))
}

/// A file that is not finished; removed unless it was renamed.
struct Part(PathBuf);

impl Part {
    fn new(to: &Path) -> Result<Self, StoreError> {
        let path = schema::with_suffix(to, ".part");
        schema::private(&path, true).map_err(|why| {
            schema::cannot(
                &path,
                format!("{why}; if no other backup is being made, remove it"),
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a rename there is nothing under this name.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn number(connection: &Connection, name: &str) -> Result<u64, StoreError> {
    rows::number(connection, name).map_err(failed)
}

pub(super) fn failed(why: rusqlite::Error) -> StoreError {
    StoreError::Failed(why.to_string())
}
