//! Copies of all that a manager keeps: made over its connection, put back into its folder.
//!
//! ```text
//!  manager ── pieces ──► FILE.part, 0600, new ──► synced ──► FILE        under its name there is a whole copy or none
//!  FILE ─────────────────────────────────────────────────► DIR/store.db  one transaction; only while no manager has it
//! ```

use super::confirm::Yes;
use super::error::ManagerError;
use super::link::Link;
use super::place::{Reach, file_error};
use super::words::volume;
use crate::error::Error;
use crate::output::{self, Format};
use kith_protocol::admin;
use kith_store::{StoreError, sqlite};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

/// The store's name in a manager's state folder.
const STORE: &str = "store.db";
/// What every copy begins with (SQLite file format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

#[derive(Serialize)]
struct Copied {
    file: PathBuf,
    octets: u64,
}

#[derive(Serialize)]
struct Restored {
    store: PathBuf,
    revision: u64,
}

pub(super) fn make(file: &Path, reach: &Reach, format: Format) -> Result<u8, Error> {
    const DOING: &str = "copy its store";
    if file.exists() {
        return Err(file_error(file, "it is there already; a backup overwrites nothing").into());
    }
    let mut link = Link::connect(reach)?;
    let mut part = Part::new(file)?;
    let written = link.run(async |client, place| -> Result<u64, Error> {
        let refusal = |status| place.refusal(DOING, &status);
        let mut pieces = client
            .backup(admin::Empty {})
            .await
            .map_err(refusal)?
            .into_inner();
        let mut octets = 0;
        while let Some(piece) = pieces.message().await.map_err(refusal)? {
            part.write(&piece.data)?;
            octets += piece.data.len() as u64;
        }
        Ok(octets)
    });
    let octets = written?;
    part.finish(file)?;
    let copied = Copied {
        file: file.to_owned(),
        octets,
    };
    output::show(format, &copied, |copied| {
        format!(
            "{}: {}, with every key of the manager in it\n",
            copied.file.display(),
            volume(copied.octets)
        )
    })?;
    Ok(0)
}

pub(super) fn restore(file: &Path, folder: &Path, yes: Yes, format: Format) -> Result<u8, Error> {
    let about = fs::metadata(folder).map_err(|error| file_error(folder, error))?;
    if !about.is_dir() {
        return Err(file_error(folder, "it is no folder").into());
    }
    let mut magic = [0; 16];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if &magic == MAGIC => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(file_error(file, error).into());
        }
        _ => return Err(file_error(file, "it is no backup of a manager").into()),
    }
    let store = folder.join(STORE);
    let (from, to) = (file.display(), store.display());
    yes.sure(&format!("Replace all that {to} has by what {from} has?"))?;
    let revision = sqlite::restore(file, &store).map_err(|error| match error {
        StoreError::Open { why, .. } if why.contains("has it open") => {
            ManagerError::Running(folder.to_owned())
        }
        other => ManagerError::Restore(other.to_string()),
    })?;
    hand_over(&store, about.uid(), about.gid());
    let restored = Restored {
        store,
        revision: revision.0,
    };
    output::show(format, &restored, |restored| {
        format!(
            "{}: restored, at revision {}; the manager can be started\n",
            restored.store.display(),
            restored.revision
        )
    })?;
    Ok(0)
}

/// The manager may run as another user than whoever restores: the folder's.
fn hand_over(store: &Path, user: u32, group: u32) {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut path = store.as_os_str().to_owned();
        path.push(suffix);
        // Not all of them need be there. Where it is not allowed, the owner is right already, or the manager will say that it is not.
        let _best_effort = chown(path, Some(user), Some(group));
    }
}

/// A copy that is not whole; removed unless it becomes so.
struct Part {
    path: PathBuf,
    file: File,
    begin: Vec<u8>,
}

impl Part {
    fn new(file: &Path) -> Result<Self, ManagerError> {
        let mut path = file.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(|error| file_error(&path, error))?;
        Ok(Self {
            path,
            file,
            begin: Vec::new(),
        })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), ManagerError> {
        let missing = MAGIC.len().saturating_sub(self.begin.len());
        self.begin.extend_from_slice(&piece[..missing.min(piece.len())]);
        self.file
            .write_all(piece)
            .map_err(|error| file_error(&self.path, error))
    }

    /// Gives it its name, unless somebody else has taken that meanwhile.
    fn finish(self, to: &Path) -> Result<(), ManagerError> {
        if self.begin != MAGIC {
            return Err(file_error(to, "what the manager sent is no copy of a store"));
        }
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let named = self
            .file
            .sync_all()
            .and_then(|()| fs::hard_link(&self.path, to))
            .and_then(|()| File::open(folder)?.sync_all());
        named.map_err(|error| file_error(to, error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `finish` the copy has another name as well.
        let _best_effort = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_store::Options;

    #[test]
    fn a_store_that_is_in_use_is_not_restored() {
        let folder = tempfile::tempdir().unwrap();
        let (state, copy) = (folder.path().join("state"), folder.path().join("copy.db"));
        fs::create_dir(&state).unwrap();
        let restore = || restore(&copy, &state, Yes::default(), Format::Json);
        // A copy is a store's file.
        drop(sqlite::Sqlite::open(&copy, Options::default()).unwrap());
        let running = sqlite::Sqlite::open(&state.join(STORE), Options::default()).unwrap();
        assert!(matches!(restore(), Err(Error::Manager(ManagerError::Running(_)))));
        drop(running);
        assert_eq!(restore().unwrap(), 0);
        fs::write(&copy, "text").unwrap();
        let error = restore().unwrap_err().to_string();
        assert!(
            error.ends_with("copy.db: it is no backup of a manager"),
            "{error}"
        );
    }

    #[test]
    fn a_copy_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy.db");
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let mut part = Part::new(&to).unwrap();
        part.write(b"not a store, but long enough").unwrap();
        assert!(part.finish(&to).is_err());
        assert_eq!(files(), 0);
        let mut part = Part::new(&to).unwrap();
        part.write(&MAGIC[..5]).unwrap();
        part.write(&MAGIC[5..]).unwrap();
        part.write(b"rest").unwrap();
        part.finish(&to).unwrap();
        assert_eq!((files(), fs::metadata(&to).unwrap().mode() & 0o777), (1, 0o600));
    }
}
