//! The file behind the director's journal.
//!
//! Appended as sessions come and go, without waiting for the disk: the system keeps what a killed process wrote. What a
//! crashed machine loses costs its members one exchange each. Synced when the controller stops in order.

use kith_director::journal::{self, Entry, NotAJournal, Read};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The journal's name in the state folder.
pub const FILE: &str = "sessions.journal";
const NEW: &str = "sessions.journal.new";
const LOCK: &str = "lock";

/// An open journal, this process's alone.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    len: usize,
    _lock: File,
}

/// Why sessions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or a file in it.
    #[error(
        "cannot use {path} for sessions: {error}; state_dir must be a folder that kith-controller may write to"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Two of us.
    #[error("another kith-controller uses state_dir {path}; stop it, or give each its own")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{path}: {error}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        error: NotAJournal,
    },
}

impl Journal {
    /// Opens the journal of a folder, making both if need be, and reads it.
    pub fn open(folder: &Path) -> Result<(Self, Read), JournalError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock = folder.join(LOCK);
        let held = options().open(&lock).map_err(at(&lock))?;
        held.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse {
                path: folder.to_owned(),
            },
            TryLockError::Error(error) => at(&lock)(error),
        })?;
        let path = folder.join(FILE);
        let octets = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(at(&path))?,
        };
        let read = journal::read(&octets).map_err(|error| JournalError::Foreign {
            path: path.clone(),
            error,
        })?;
        let mut file = options().append(true).open(&path).map_err(at(&path))?;
        // Appending goes on behind the last good record. Nothing waits for the disk: every moment until packets flow counts.
        file.set_len(read.good_len as u64).map_err(at(&path))?;
        let mut len = read.good_len;
        if len == 0 {
            file.write_all(&journal::MAGIC).map_err(at(&path))?;
            len = journal::MAGIC.len();
        }
        let folder = folder.to_owned();
        let journal = Self {
            folder,
            file,
            len,
            _lock: held,
        };
        Ok((journal, read))
    }

    /// Appends what happened.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let octets: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        self.file
            .write_all(&octets)
            .map_err(at(&self.folder.join(FILE)))?;
        self.len += octets.len();
        Ok(())
    }

    /// Is it mostly about the past?
    #[must_use]
    pub fn wants_compaction(&self, sessions: usize) -> bool {
        journal::wants_compaction(self.len, sessions)
    }

    /// Puts a journal of these entries alone in its place: the old one or the new one is there at any time.
    pub fn replace(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), JournalError> {
        let (new, path) = (self.folder.join(NEW), self.folder.join(FILE));
        let octets = journal::encode_all(entries);
        let mut file = options().truncate(true).open(&new).map_err(at(&new))?;
        file.write_all(&octets).map_err(at(&new))?;
        file.sync_data().map_err(at(&new))?;
        fs::rename(&new, &path).map_err(at(&path))?;
        self.file = OpenOptions::new().append(true).open(&path).map_err(at(&path))?;
        self.len = octets.len();
        Ok(())
    }

    /// Waits until the disk has it.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(at(&self.folder.join(FILE)))
    }
}

/// Where members are is nobody else's business.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600);
    options
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |error| JournalError::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_director::journal::{self, Binding};
    use kith_wire::control::KeyId;
    use kith_wire::shim::PseudoIp;

    fn binding(number: u32) -> Entry {
        Entry::Bound(Binding {
            pseudo: PseudoIp::new(0xf000_0000 + number).unwrap(),
            key_id: KeyId(number.into()),
            bound: "203.0.113.21:4000".parse().unwrap(),
            community: 1,
            counter: 9,
            sender_only: false,
        })
    }

    #[test]
    fn what_was_appended_is_read_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, read) = Journal::open(folder.path()).unwrap();
        assert!(read.bindings.is_empty());
        journal.append(&[binding(1), binding(2)]).unwrap();
        journal
            .append(&[Entry::Unbound(PseudoIp::new(0xf000_0001).unwrap())])
            .unwrap();
        drop(journal); // no sync: as a kill leaves it
        let (mut journal, read) = Journal::open(folder.path()).unwrap();
        assert_eq!((read.bindings.len(), read.freed.len()), (1, 1));
        journal.replace([binding(2)]).unwrap();
        journal.append(&[binding(3)]).unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path()).unwrap().1.bindings.len(), 2);
    }

    #[test]
    fn a_record_cut_off_is_lost_and_the_next_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.append(&[binding(1), binding(2)]).unwrap();
        drop(journal);
        let path = folder.path().join(FILE);
        let octets = fs::read(&path).unwrap();
        fs::write(&path, &octets[..octets.len() - 1]).unwrap();
        let (mut journal, read) = Journal::open(folder.path()).unwrap();
        assert_eq!((read.bindings.len(), read.lost_len), (1, journal::RECORD_LEN - 1));
        journal.append(&[binding(3)]).unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path()).unwrap().1.bindings.len(), 2);
    }

    #[test]
    fn a_folder_has_one_user_and_a_foreign_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        assert!(matches!(
            Journal::open(folder.path()),
            Err(JournalError::InUse { .. })
        ));
        drop(journal);
        let path = folder.path().join(FILE);
        fs::write(&path, b"something of somebody's").unwrap();
        assert!(matches!(
            Journal::open(folder.path()),
            Err(JournalError::Foreign { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"something of somebody's");
    }
}
