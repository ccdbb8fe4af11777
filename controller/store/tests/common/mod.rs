//! Both stores behind one face, and words that the tests share.
#![allow(dead_code, reason = "each test takes what it needs")]

use kith_store::memory::Memory;
use kith_store::sqlite::Sqlite;
use kith_store::{
    Change, Compare, Condition, Entry, Key, Lease, Operation, Options, Revision, Store, StoreError,
    Transaction, WatchEvent,
};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A store under test.
#[allow(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub enum Subject {
    Sqlite {
        store: Option<Sqlite>,
        options: Options,
        folder: TempDir,
    },
    Memory {
        store: Memory,
        folder: TempDir,
    },
}

impl Subject {
    pub fn sqlite(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path().join("store"), options.clone()).expect("a new store");
        Self::Sqlite {
            store: Some(store),
            options,
            folder,
        }
    }

    pub fn memory(options: Options) -> Self {
        Self::Memory {
            store: Memory::with(options),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Sqlite { store, .. } => store.as_ref().expect("it is open"),
            Self::Memory { store, .. } => store,
        }
    }

    /// The store after an orderly end and a new start.
    pub fn restarted(self) -> Self {
        match self {
            Self::Sqlite {
                store,
                options,
                folder,
            } => {
                drop(store);
                let store =
                    Sqlite::open(folder.path().join("store"), options.clone()).expect("it opens again");
                Self::Sqlite {
                    store: Some(store),
                    options,
                    folder,
                }
            }
            Self::Memory { store, folder } => Self::Memory {
                store: store.crash(0),
                folder,
            },
        }
    }

    /// Lets time pass.
    pub fn pass(&self, by: Duration) {
        match self {
            Self::Sqlite { .. } => std::thread::sleep(by),
            Self::Memory { store, .. } => store.advance(by),
        }
    }

    /// A file that is not there yet.
    pub fn file(&self, name: &str) -> PathBuf {
        match self {
            Self::Sqlite { folder, .. } | Self::Memory { folder, .. } => folder.path().join(name),
        }
    }

    pub fn do_(&self, operations: Vec<Operation>) -> Revision {
        self.try_(Vec::new(), operations).expect("it is done")
    }

    pub fn try_(
        &self,
        conditions: Vec<Condition>,
        operations: Vec<Operation>,
    ) -> Result<Revision, StoreError> {
        let transaction = Transaction {
            conditions,
            operations,
        };
        wait(self.store().transact(transaction)).map(|committed| committed.revision)
    }

    pub fn get(&self, name: &str) -> Option<Entry> {
        wait(self.store().get(key(name))).expect("it is read").0
    }

    /// Keys and values under a prefix.
    pub fn all(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let page = wait(self.store().range(key(prefix), None, usize::MAX)).expect("it is read");
        page.entries
            .into_iter()
            .map(|entry| (entry.key.to_string(), entry.value))
            .collect()
    }

    pub fn revision(&self) -> Revision {
        wait(self.store().get(key("-"))).expect("it is read").1
    }

    pub fn watch(&self, prefix: &str, after: Revision) -> flume::Receiver<WatchEvent> {
        wait(self.store().watch(key(prefix), after)).expect("a watch")
    }

    pub fn grant(&self, ttl: Duration) -> Lease {
        wait(self.store().grant(ttl)).expect("a lease")
    }
}

/// Runs a test on both stores.
pub fn both(test: impl Fn(Subject)) {
    both_with(Options::default(), test);
}

/// Runs a test on both stores, set up so.
pub fn both_with(options: Options, test: impl Fn(Subject)) {
    test(Subject::sqlite(options.clone()));
    test(Subject::memory(options));
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

pub fn key(text: &str) -> Key {
    Key::new(text)
}

pub fn put(name: &str, value: &str) -> Operation {
    Operation::put(name, value.as_bytes().to_vec())
}

pub fn leased(name: &str, lease: Lease) -> Operation {
    Operation::Put {
        key: key(name),
        value: b"leased".to_vec(),
        lease: Some(lease),
    }
}

pub fn when(name: &str, is: Compare) -> Condition {
    Condition { key: key(name), is }
}

/// The next event as text: `5: +a=1 -b`, or `resync`, or `end`, or `nothing`.
pub fn next(watch: &flume::Receiver<WatchEvent>) -> String {
    match watch.recv_timeout(Duration::from_millis(1500)) {
        Ok(event) => told(&event),
        Err(flume::RecvTimeoutError::Timeout) => "nothing".to_owned(),
        Err(flume::RecvTimeoutError::Disconnected) => "end".to_owned(),
    }
}

pub fn told(event: &WatchEvent) -> String {
    let WatchEvent::Changed { revision, changes } = event else {
        return "resync".to_owned();
    };
    let mut text = format!("{}:", revision.0);
    for change in changes {
        match change {
            Change::Put(entry) => {
                assert_eq!(
                    entry.modified, *revision,
                    "an event carries what its revision wrote"
                );
                text += &format!(" +{}={}", entry.key, String::from_utf8_lossy(&entry.value));
            }
            Change::Deleted(key) => text += &format!(" -{key}"),
        }
    }
    text
}

/// Small random numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
