//! The file: its tables, how it is opened, and which files are refused.
//!
//! ```text
//!  entries  key → value, created, modified, lease         what is there
//!  history  (revision, key) → value or deletion           the last revisions, for those who watch from one of them
//!  leases   id → ttl                                      deadlines are not kept
//!  meta     revision, lease → number                      the last of each that was given out
//! ```

use crate::{Options, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Marks our files: "KITH".
const APPLICATION: i64 = 0x4B49_5448;
/// The newest format that this program writes and reads.
const FORMAT: i64 = 1;

/// KiB of pages that the writer keeps. What is not among them the system has, a microsecond away; a commit has few.
const WRITER_CACHE: i64 = 2048;
/// KiB of pages that a reader keeps: it reads each once, at the start or for a listing.
const READER_CACHE: i64 = 256;

const TABLES: &str = "
CREATE TABLE entries (
    key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL,
    created INTEGER NOT NULL, modified INTEGER NOT NULL, lease INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX leased ON entries (lease) WHERE lease IS NOT NULL;
CREATE TABLE history (
    revision INTEGER NOT NULL, key TEXT NOT NULL,
    value BLOB, created INTEGER, lease INTEGER,
    PRIMARY KEY (revision, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 0), ('lease', 0);
";

/// Says that one process, and within it one store, has the file. SQLite's own locks are for single transactions.
///
/// It stands on a file beside the store: closing any descriptor of the store itself would drop SQLite's locks.
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock.
pub(crate) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let beside = with_suffix(path, ".lock");
    let file = private(&beside, false).map_err(|why| cannot(path, format!("{}: {why}", beside.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(cannot(path, "another process or store has it open".to_owned())),
        Err(TryLockError::Error(why)) => Err(cannot(path, format!("{}: {why}", beside.display()))),
    }
}

/// The writing connection. Makes the file if there is none; its owner alone may read it.
pub(crate) fn open_writer(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    if path.exists() {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(|why| cannot(path, why.to_string()))?;
    } else {
        private(path, true)
            .and_then(|_| sync_folder(path))
            .map_err(|why| cannot(path, why.to_string()))?;
    }
    let open = || -> Result<Connection, rusqlite::Error> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "secure_delete", true)?;
        Ok(connection)
    };
    let connection = open().map_err(|why| cannot(path, why.to_string()))?;
    if format(&connection, path)? == 0 {
        create(&connection).map_err(|why| cannot(path, why.to_string()))?;
    }
    let tune = || -> Result<String, rusqlite::Error> {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        // With a write-ahead log, FULL is one sync of the log for each commit: the commit is on disk when it returns.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = |octets: u64| (i64::try_from(octets).unwrap_or(i64::MAX) / page.max(1)).max(1);
        connection.pragma_update_and_check(None, "wal_autocheckpoint", pages(options.log), |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
        if let Some(largest) = options.largest {
            connection.pragma_update_and_check(None, "max_page_count", pages(largest), |_| Ok(()))?;
        }
        Ok(mode)
    };
    match tune().map_err(|why| cannot(path, why.to_string()))?.as_str() {
        "wal" => Ok(connection),
        mode => Err(cannot(
            path,
            format!("its file system has no write-ahead log (mode {mode}); use a local disk"),
        )),
    }
}

/// A connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> Result<Connection, rusqlite::Error> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -READER_CACHE)?;
        Ok(connection)
    };
    open().map_err(|why| cannot(path, why.to_string()))
}

/// The connection to a copy that is to be restored: it must be whole and ours.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    let connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|why| cannot(path, why.to_string()))?;
    if format(&connection, path)? == 0 {
        return Err(cannot(path, "it is empty".to_owned()));
    }
    match whole(&connection) {
        Ok(None) => Ok(connection),
        Ok(Some(damage)) => Err(cannot(path, format!("it is damaged: {damage}"))),
        Err(why) => Err(cannot(path, why.to_string())),
    }
}

/// Makes the tables, all at once.
pub(crate) fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

/// What is wrong with a file, if anything.
pub(crate) fn whole(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// A file that its owner alone may read; `new`: that is not there yet.
pub(crate) fn private(path: &Path, new: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if new {
        options.create_new(true)
    } else {
        options.create(true).truncate(false)
    }
    .open(path)
}

/// Makes a new, renamed or removed file last.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// The path with something behind it.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Why a file was not opened.
pub(crate) fn cannot(path: &Path, why: String) -> StoreError {
    StoreError::Open {
        path: path.display().to_string(),
        why,
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// The file's format, 0 if it is new; an error if it is not ours or from a later program.
fn format(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let read = || -> Result<(i64, i64, i64), rusqlite::Error> {
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    match read().map_err(|why| cannot(path, why.to_string()))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION, format @ 1..=FORMAT, _) => Ok(format),
        (APPLICATION, format, _) => Err(cannot(
            path,
            format!(
                "it has format {format} and this program knows none above {FORMAT}; use the newer program that wrote it"
            ),
        )),
        _ => Err(cannot(path, "it is a database of something else".to_owned())),
    }
}
