//! Entries, history and leases as rows.
//!
//! Keys are compared as octets, here as in Rust. Numbers of ours fit 63 bits: revisions and leases grow by one, times are in milliseconds.

use crate::apply::Stamp;
use crate::{Change, Entry, Key, Lease, Page, Revision, WatchEvent, hub};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use std::time::Duration;

/// When a key came and was last written.
pub(super) fn stamp(connection: &Connection, key: &Key) -> Result<Option<Stamp>> {
    connection
        .prepare_cached("SELECT created, modified FROM entries WHERE key = ?1")?
        .query_row([key.as_str()], |row| {
            Ok(Stamp {
                created: revision(row, 0)?,
                modified: revision(row, 1)?,
            })
        })
        .optional()
}

pub(super) fn put(connection: &Connection, entry: &Entry) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            entry.key.as_str(),
            entry.value,
            int(entry.created.0),
            int(entry.modified.0),
            entry.lease.map(|lease| int(lease.0))
        ])
        .map(drop)
}

pub(super) fn delete(connection: &Connection, key: &Key) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM entries WHERE key = ?1")?
        .execute([key.as_str()])
        .map(drop)
}

/// One entry, or none.
pub(super) fn get(connection: &Connection, key: &Key) -> Result<Option<Entry>> {
    connection
        .prepare_cached("SELECT key, value, created, modified, lease FROM entries WHERE key = ?1")?
        .query_row([key.as_str()], entry)
        .optional()
}

/// A part of a range. For a picture of one revision the caller holds a transaction.
pub(super) fn range(
    connection: &Connection,
    prefix: &Key,
    after: Option<&Key>,
    limit: usize,
) -> Result<Page> {
    let (sql, from) = match after {
        Some(after) if after >= prefix => (
            "SELECT key, value, created, modified, lease FROM entries WHERE key > ?1 ORDER BY key",
            after,
        ),
        _ => (
            "SELECT key, value, created, modified, lease FROM entries WHERE key >= ?1 ORDER BY key",
            prefix,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([from.as_str()])?;
    let (mut entries, mut more) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        if !row.get_ref(0)?.as_str()?.starts_with(prefix.as_str()) {
            break;
        }
        if entries.len() == limit {
            more = true;
            break;
        }
        entries.push(entry(row)?);
    }
    Ok(Page {
        entries,
        more,
        revision: number(connection, "revision").map(Revision)?,
    })
}

/// Under a lease.
pub(super) fn keys_of(connection: &Connection, lease: Lease) -> Result<Vec<Key>> {
    connection
        .prepare_cached("SELECT key FROM entries WHERE lease = ?1")?
        .query_map([int(lease.0)], |row| row.get::<_, String>(0).map(Key::new))?
        .collect()
}

/// The last number given out under a name.
pub(super) fn number(connection: &Connection, name: &str) -> Result<u64> {
    connection
        .prepare_cached("SELECT number FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0).map(nat))
}

pub(super) fn set_number(connection: &Connection, name: &str, to: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE meta SET number = ?2 WHERE name = ?1")?
        .execute(params![name, int(to)])
        .map(drop)
}

pub(super) fn leases(connection: &Connection) -> Result<Vec<(Lease, Duration)>> {
    connection
        .prepare_cached("SELECT id, ttl FROM leases")?
        .query_map([], |row| {
            Ok((Lease(nat(row.get(0)?)), Duration::from_millis(nat(row.get(1)?))))
        })?
        .collect()
}

pub(super) fn add_lease(connection: &Connection, lease: Lease, ttl: Duration) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO leases VALUES (?1, ?2)")?
        .execute([int(lease.0), i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)])
        .map(drop)
}

pub(super) fn remove_lease(connection: &Connection, lease: Lease) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM leases WHERE id = ?1")?
        .execute([int(lease.0)])
        .map(drop)
}

/// Notes what a revision changed.
pub(super) fn note(connection: &Connection, of: Revision, changes: &[Change]) -> Result<()> {
    let mut statement = connection.prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for change in changes {
        match change {
            Change::Put(entry) => statement.execute(params![
                int(of.0),
                entry.key.as_str(),
                entry.value,
                int(entry.created.0),
                entry.lease.map(|lease| int(lease.0))
            ])?,
            Change::Deleted(key) => statement.execute(params![
                int(of.0),
                key.as_str(),
                None::<Vec<u8>>,
                None::<i64>,
                None::<i64>
            ])?,
        };
    }
    Ok(())
}

/// Forgets the past up to and with a revision.
pub(super) fn forget(connection: &Connection, until: Revision) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM history WHERE revision <= ?1")?
        .execute([int(until.0)])
        .map(drop)
}

/// The revisions of the past and their weights.
pub(super) fn past(connection: &Connection) -> Result<Vec<(Revision, usize)>> {
    connection
        .prepare(
            "SELECT revision, sum(length(CAST(key AS BLOB)) + coalesce(length(value), 0)) FROM history
             GROUP BY revision ORDER BY revision",
        )?
        .query_map([], |row| {
            Ok((
                revision(row, 0)?,
                usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
            ))
        })?
        .collect()
}

/// What a watcher of a prefix is owed since a revision.
pub(super) fn since(connection: &Connection, prefix: &Key, after: Revision) -> Result<Vec<WatchEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, value, created, revision, lease FROM history WHERE revision > ?1 ORDER BY revision, key",
    )?;
    let mut rows = statement.query([int(after.0)])?;
    let (mut events, mut changes, mut of) = (Vec::new(), Vec::new(), after);
    while let Some(row) = rows.next()? {
        let next = revision(row, 3)?;
        if next != of {
            events.extend(hub::event(prefix, of, &changes));
            changes.clear();
            of = next;
        }
        if row.get_ref(0)?.as_str()?.starts_with(prefix.as_str()) {
            changes.push(match row.get_ref(2)? {
                rusqlite::types::ValueRef::Null => Change::Deleted(Key::new(row.get::<_, String>(0)?)),
                _ => Change::Put(entry(row)?),
            });
        }
    }
    events.extend(hub::event(prefix, of, &changes));
    Ok(events)
}

/// As SQLite has it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn nat(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn revision(row: &Row<'_>, column: usize) -> Result<Revision> {
    row.get(column).map(nat).map(Revision)
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry {
        key: Key::new(row.get::<_, String>(0)?),
        value: row.get(1)?,
        created: revision(row, 2)?,
        modified: revision(row, 3)?,
        lease: row.get::<_, Option<i64>>(4)?.map(|lease| Lease(nat(lease))),
    })
}
