//! The store: keys, values, one revision for all, watches, leases.
//!
//! Problem: what the manager has acknowledged must survive `kill -9` and power cuts, whole; every change must reach those whom it
//! concerns exactly once; and one manager with a file must behave like several with a cluster. Idea: the few operations that etcd has,
//! and nothing else: get, range, a transaction of conditions and operations, watch from a revision, leases.
//!
//! ```text
//!  transact ──► queue ──► one writer: many transactions, one commit to disk ──► revision ──► watchers, answers
//! ```
//!
//! A transaction's answer comes after its commit is on disk. [`sqlite::Sqlite`] is the embedded store, [`memory::Memory`] one for tests
//! that can be killed at any point.
#![forbid(unsafe_code)]

mod apply;
mod hub;
mod lease;
pub mod memory;
mod options;
mod retention;
pub mod sqlite;
mod types;

pub use options::{Faults, History, Options, Point};
pub use types::{
    Change, Committed, Compare, Condition, Entry, Key, Lease, Operation, Page, Revision, StoreError,
    Transaction, WatchEvent,
};

use futures_util::future::BoxFuture;
use std::path::Path;
use std::time::Duration;

/// A store. Cheap to share behind an `Arc`; every call may come from any task.
pub trait Store: Send + Sync + 'static {
    /// The entry of a key, and the revision that the answer is of.
    fn get(&self, key: Key) -> BoxFuture<'_, Result<(Option<Entry>, Revision), StoreError>>;

    /// Entries whose key begins with `prefix`, in order of keys, behind `after` if given; at most `limit`. All of one revision.
    fn range(&self, prefix: Key, after: Option<Key>, limit: usize)
    -> BoxFuture<'_, Result<Page, StoreError>>;

    /// All operations if all conditions hold, or none. The answer comes when the change is on disk.
    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// Every change of keys with this prefix after revision `after`, each revision once and whole, in order. If `after` is too old, or the
    /// watcher too slow, it gets [`WatchEvent::Resync`] and the watch ends.
    fn watch(
        &self,
        prefix: Key,
        after: Revision,
    ) -> BoxFuture<'_, Result<flume::Receiver<WatchEvent>, StoreError>>;

    /// A lease: keys put under it are deleted when it was not kept alive for `ttl`.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, StoreError>>;

    /// Keeps a lease alive for its whole time again.
    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a lease and deletes its keys.
    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes a copy of one revision to a new file while the store goes on.
    fn backup<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Revision, StoreError>>;
}
