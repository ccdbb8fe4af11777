//! What stores are asked and answer.

use std::fmt;

/// Grows by one with every transaction that changed something. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// A key: readable, parts divided by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Of its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key's value and history. No `Debug`: values hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Vec<u8>,
    /// Since when it is there.
    pub created: Revision,
    /// When it was last written.
    pub modified: Revision,
    /// Under which lease.
    pub lease: Option<Lease>,
}

/// A part of a range.
pub struct Page {
    /// Entries in order of their keys.
    pub entries: Vec<Entry>,
    /// There are more behind the last.
    pub more: bool,
    /// What it is a picture of.
    pub revision: Revision,
}

/// Names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(pub u64);

/// What must be so for a transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Of this key.
    pub key: Key,
    /// What.
    pub is: Compare,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// There is no such key.
    Absent,
    /// There is one.
    Present,
    /// It was last written at this revision.
    ModifiedAt(Revision),
}

/// A change to a key. No `Debug`: values hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Set it.
    Put {
        /// The key.
        key: Key,
        /// The value.
        value: Vec<u8>,
        /// Under this lease.
        lease: Option<Lease>,
    },
    /// Remove it; nothing happens if it is not there.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Operation {
    /// Sets a key, without a lease.
    pub fn put(key: impl Into<String>, value: Vec<u8>) -> Self {
        Self::Put {
            key: Key::new(key),
            value,
            lease: None,
        }
    }

    /// Removes a key.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: Key::new(key) }
    }

    /// Which key.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Conditions and operations: all of it or nothing. A key stands in at most one operation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Then all happen.
    pub operations: Vec<Operation>,
}

/// A transaction is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The revision that it made, or the present one if it changed nothing.
    pub revision: Revision,
}

/// A key that changed.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Entry),
    /// It is gone.
    Deleted(Key),
}

/// What a watcher hears.
#[derive(Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All that one revision changed of what is watched.
    Changed {
        /// Which revision.
        revision: Revision,
        /// In order of keys.
        changes: Vec<Change>,
    },
    /// Something was missed: read the range again and watch from its revision. The last event.
    Resync,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition does not hold; nothing was changed.
    #[error("{key} is not as expected; read it again")]
    Conflict {
        /// The first such key.
        key: Key,
    },
    /// The transaction makes no sense.
    #[error("a transaction names {key} twice")]
    Twice {
        /// Which key.
        key: Key,
    },
    /// There is no such lease, or it has ended.
    #[error("there is no lease {}", .0.0)]
    NoLease(Lease),
    /// The file cannot be opened or is no store.
    #[error("cannot open the store {path}: {why}")]
    Open {
        /// Which file.
        path: String,
        /// Why not.
        why: String,
    },
    /// Reading or writing failed; nothing of the transaction was kept.
    #[error("the store failed: {0}; is the disk full or gone?")]
    Failed(String),
    /// The store is closed: it was dropped, or the disk failed in a commit. A transaction so answered was kept whole or not at all;
    /// open the store again and look.
    #[error("the store is closed; open it again")]
    Closed,
}
