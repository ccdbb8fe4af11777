//! Reading configuration files and what belongs to them, and writing files that hold keys.

use super::Mistake;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not YAML of this shape.
    #[error("{path}:{place}{what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and column, as `3:7: `, if known.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Others may read what is secret.
    #[error("{path} holds {secret} and can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What is in it: `a key`, `keys`.
        secret: &'static str,
    },
    /// The values cannot be used.
    #[error("{path}: {} wrong:{}", count(.mistakes), list(.mistakes))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        mistakes: Vec<Mistake>,
    },
}

/// Reads a file with a key in it, which nobody but its owner may read.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let (mode, text) = read(path)?;
    private(path, mode, "a key")?;
    Ok(text)
}

/// What is secret is for its owner's eyes only.
pub fn private(path: &Path, mode: u32, secret: &'static str) -> Result<(), ConfigError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(ConfigError::Exposed {
        path: path.to_owned(),
        mode: mode & 0o7777,
        secret,
    })
}

/// Reads a file, and its permissions.
pub fn read(path: &Path) -> Result<(u32, Zeroizing<String>), ConfigError> {
    let fail = |error| ConfigError::Read {
        path: path.to_owned(),
        error,
    };
    // The permissions of the file that is read, not of one put in its place afterwards.
    let mut file = File::open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    let mut text = Zeroizing::new(String::with_capacity(about.len() as usize + 1));
    file.read_to_string(&mut text).map_err(fail)?;
    Ok((about.permissions().mode(), text))
}

/// Takes what is written in YAML; `path` is for the message.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map_or_else(String::new, |at| format!("{}:{}: ", at.line(), at.column()));
        // Without the lines around the mistake: they may hold keys.
        let what = error.without_snippet().to_string();
        let what = what
            .rsplit_once(" at line ")
            .map_or(what.as_str(), |(what, _)| what)
            .to_owned();
        let path = path.to_owned();
        ConfigError::Syntax { path, place, what }
    })
}

/// The configuration, unless there are mistakes in its values.
pub fn checked<C>(path: &Path, config: C, mistakes: Vec<Mistake>) -> Result<C, ConfigError> {
    if mistakes.is_empty() {
        Ok(config)
    } else {
        let path = path.to_owned();
        Err(ConfigError::Invalid { path, mistakes })
    }
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // A file that was there keeps its old mode otherwise.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

fn count(mistakes: &[Mistake]) -> String {
    match mistakes.len() {
        1 => "1 value is".into(),
        more => format!("{more} values are"),
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}
