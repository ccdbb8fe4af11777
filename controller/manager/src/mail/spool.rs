//! Letters as files in a folder.
//!
//! A letter is written beside its place, brought to disk, and renamed: whoever reads the folder sees whole letters only. Names sort by
//! time. Only the owner may read them: they hold codes.

use super::MailError;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Octets of a recipient that a file's name shows.
const SHOWN: usize = 80;

pub(super) struct Spool {
    folder: Arc<Path>,
    count: AtomicU64,
}

impl Spool {
    pub(super) fn open(folder: PathBuf) -> Result<Self, MailError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed(&folder))?;
        let count = AtomicU64::new(0);
        Ok(Self {
            folder: folder.into(),
            count,
        })
    }

    pub(super) async fn put(&self, to: &str, letter: Vec<u8>) -> Result<(), MailError> {
        let letter = Zeroizing::new(letter);
        let name = self.name(to);
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &letter)).await;
        written.unwrap_or_else(|panic| Err(failed(&self.folder)(io::Error::other(panic))))
    }

    /// Sorts by time; two letters of one millisecond by their number; readable.
    fn name(&self, to: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "@.-_+".contains(c) {
                c
            } else {
                '_'
            }
        };
        let to: String = to.chars().take(SHOWN).map(plain).collect();
        format!(
            "{:013}-{:010}-{number:06}-{to}.eml",
            now.as_millis(),
            std::process::id()
        )
    }
}

fn write(folder: &Path, name: &str, letter: &[u8]) -> Result<(), MailError> {
    let (new, path) = (folder.join(format!(".{name}.new")), folder.join(name));
    let put = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(letter)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    put().map_err(|error| {
        // Half a letter is of no use; that it could not be written is what is told.
        drop(fs::remove_file(&new));
        failed(&path)(error)
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> MailError + use<> {
    let path = path.to_owned();
    move |error| MailError::Spool { path, error }
}
