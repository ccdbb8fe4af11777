//! How a store is set up, and how tests make it fail.

use std::fmt;
use std::sync::Arc;

/// How a store is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much of the past is kept for those who watch from an old revision.
    pub history: History,
    /// Events that may wait in a watcher's queue before it is told to resync.
    pub watch_events: usize,
    /// Threads that read, each with its own connection. Memory has none.
    pub readers: usize,
    /// The file may not grow beyond this many octets. Memory knows no limit.
    pub largest: Option<u64>,
    /// The log is brought into the file when it has so many octets. That costs two more syncs and many scattered writes, so it is better
    /// done seldom; what is not in the file yet is read again at the start.
    pub log: u64,
    /// Failures for tests.
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History::default(),
            watch_events: 1024,
            readers: 2,
            largest: None,
            log: 16 << 20,
            faults: Faults::default(),
        }
    }
}

/// Bounds of the past: whichever is reached first. The last revision is always kept.
///
/// Watchers live in the process that has the store. Who reads a range and then watches from its revision needs what happens in between; who
/// falls behind further is told to resync. Every revision of the past is written twice and erased, so none is kept that nobody can need.
#[derive(Debug, Clone, Copy)]
pub struct History {
    /// At most so many revisions.
    pub revisions: usize,
    /// At most so many octets of keys and values.
    pub octets: usize,
}

impl Default for History {
    fn default() -> Self {
        Self {
            revisions: 1_000,
            octets: 4 << 20,
        }
    }
}

/// Where a store can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// At an operation, when those before it in its transaction have been done. Nothing is kept.
    Write,
    /// At the commit. Nothing is kept.
    Commit,
    /// Between commit and answer: all is kept, the store closes, callers hear [`crate::StoreError::Closed`].
    Answer,
}

/// Decides at every [`Point`] whether to fail there. By default nothing fails.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<dyn Fn(Point) -> bool + Send + Sync>>);

impl Faults {
    /// Fails where the function says so.
    pub fn new(at: impl Fn(Point) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(at)))
    }

    /// Whether to fail here.
    pub(crate) fn hit(&self, point: Point) -> bool {
        self.0.as_ref().is_some_and(|at| at(point))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Faults(some)"
        } else {
            "Faults(none)"
        })
    }
}
