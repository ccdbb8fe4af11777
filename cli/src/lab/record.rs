//! The record of a lab: what exists, so that it can be asked and undone, by another process and after a crash.
//!
//! ```text
//!  /run/kith/lab/NAME.lock            held while somebody changes the lab
//!  /run/kith/lab/NAME/lab.json        this record, replaced whole, written before the first namespace is made
//!                     topology.yaml   a copy of the file
//!                     hosts           names inside
//!                     NODE.yaml  NODE.sock  NODE.log    a daemon's configuration, where it is asked, what it says
//!                     NODE.p4                           where a dataplane takes P4Runtime connections
//!                     NODE.state/                       what the controller keeps; registrations of a device
//!                     NODE.resolv                       a device's resolv.conf
//!                     admin.sock  manager.mail/         where the manager is asked, and its outgoing letters
//! ```

use super::plan::{Kind, Node};
use super::process::Process;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where labs keep their files.
pub const FOLDER: &str = "/run/kith/lab";

/// How far a lab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being built, or its building was broken off.
    Building,
    /// Complete.
    Up,
}

/// What a lab is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The lab's name.
    pub name: String,
    /// The topology's own name.
    pub topology: String,
    /// How far it is.
    pub phase: Phase,
    /// Logs stay when it is removed.
    pub keep_logs: bool,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its daemons.
    pub processes: Vec<Process>,
}

impl Record {
    /// The record of a lab, if there is one.
    pub fn read(name: &str) -> Result<Option<Self>, Error> {
        let path = file(name, "lab.json");
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(record) => Ok(Some(record)),
                Err(source) => Err(Error::Record { path, source }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io("read", &path, source)),
        }
    }

    /// Writes it in place of the old one: a reader sees one or the other.
    pub fn write(&self) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(Error::Json)?;
        let (new, path) = (file(&self.name, "lab.json.new"), file(&self.name, "lab.json"));
        write_private(&new, &text)?;
        fs::rename(&new, &path).map_err(|source| io("replace", &path, source))
    }

    /// The node of this name, or of this full name.
    pub fn node(&self, name: &str) -> Result<&Node, Error> {
        let found = self
            .nodes
            .iter()
            .find(|node| node.name == name || node.members.iter().any(|fqdn| fqdn == name));
        found.ok_or_else(|| Error::UnknownNode {
            lab: self.name.clone(),
            node: name.to_owned(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// The daemon of a node.
    #[must_use]
    pub fn process(&self, node: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.node == node)
    }

    /// Nodes of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.kind == kind)
    }

    /// A file of this lab.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        file(&self.name, name)
    }
}

/// The names of all labs that have a record, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("lab.json").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The lab of this name; without one, the only lab there is.
pub fn choose(name: Option<&str>) -> Result<Record, Error> {
    let standing = names();
    let name = match (name, standing.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => return Err(Error::NoLab),
        (None, several) => return Err(Error::SeveralLabs(several.to_vec())),
    };
    check_name(name)?;
    Record::read(name)?.ok_or_else(|| Error::UnknownLab {
        name: name.to_owned(),
        standing: standing.clone(),
    })
}

/// A lab's name is part of paths and of namespaces' names: it must be a DNS label that leaves room.
pub fn check_name(name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > 15 {
        "it has more than 15 characters"
    } else if name.starts_with('-') || name.ends_with('-') {
        "it has a `-` at an edge"
    } else if !name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        "it has other characters than a-z, 0-9 and `-`"
    } else {
        return Ok(());
    };
    Err(Error::BadName {
        name: name.to_owned(),
        why,
    })
}

/// A file of the lab of this name.
#[must_use]
pub fn file(lab: &str, name: &str) -> PathBuf {
    Path::new(FOLDER).join(lab).join(name)
}

/// Makes the folder of a lab, for root's eyes only.
pub fn make_folder(lab: &str) -> Result<(), Error> {
    let parent = Path::new(FOLDER);
    fs::create_dir_all(parent).map_err(|source| io("make", parent, source))?;
    let folder = parent.join(lab);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => Err(io("make", &folder, source)),
        _ => Ok(()),
    }
}

/// Writes a file that only root can read.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| io("write", path, source))
}

/// The right to change a lab, until dropped.
#[derive(Debug)]
pub struct Lock {
    lab: String,
    path: PathBuf,
    _held: File,
}

impl Lock {
    /// Takes it, or says that somebody has it.
    pub fn take(lab: &str) -> Result<Self, Error> {
        let folder = Path::new(FOLDER);
        fs::create_dir_all(folder).map_err(|source| io("make", folder, source))?;
        let path = folder.join(format!("{lab}.lock"));
        loop {
            let file = File::create(&path).map_err(|source| io("open", &path, source))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(Error::Busy(lab.to_owned())),
                Err(fs::TryLockError::Error(source)) => return Err(io("lock", &path, source)),
            }
            // Who held it before may have removed the file between our opening and our locking: then ours locks nothing.
            let number = |about: std::io::Result<fs::Metadata>| about.map(|about| about.ino()).ok();
            if number(file.metadata()) == number(fs::metadata(&path)) {
                return Ok(Self {
                    lab: lab.to_owned(),
                    path,
                    _held: file,
                });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !file(&self.lab, "lab.json").exists() {
            // The lab is gone, so is its lock; held to the last, see `take`.
            let _best_effort = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_the_folder_or_an_interface_is_refused() {
        for wrong in ["", "../etc", "a/b", "A", "-a", "a-", "a.b", "abcdefghijklmnop"] {
            assert!(matches!(check_name(wrong), Err(Error::BadName { .. })), "{wrong}");
        }
        for good in ["a", "quickstart", "t-123", "abcdefghijklmno"] {
            check_name(good).unwrap();
        }
    }
}
