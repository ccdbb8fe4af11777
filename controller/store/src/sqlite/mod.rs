//! The embedded store: one SQLite file, one thread that writes, a few that read.
//!
//! Problem: a sync of the disk costs milliseconds and a transaction microseconds, and every transaction must be on disk before its answer.
//! Idea: group commit. While the disk syncs, transactions gather in a queue; then all of them are one commit with one sync. Conditions
//! are checked in the order of the queue, so a transaction sees those before it although none is on disk yet, and is answered after all.
//!
//! ```text
//!  callers ──► queue ──► writer: BEGIN t1 t2 … tn COMMIT (one sync) ──► watchers ──► answers
//!  callers ──► queue ──► readers, each with its own connection: a read sees one revision and waits for no writer
//! ```
//!
//! A call is in the queue when the function returns, before its future is polled: calls made in an order happen in that order, and
//! happen even if their futures are dropped.
//!
//! Failures: [`StoreError::Failed`] is certain, nothing was kept. If the disk fails in a commit, nobody knows; the store closes, callers hear
//! [`StoreError::Closed`], and whoever opens it again finds each transaction whole or not at all.

pub(crate) mod copy;
mod reader;
mod rows;
mod schema;
mod writer;

pub use copy::restore;

use crate::{
    Committed, Entry, Key, Lease, Options, Page, Revision, Store, StoreError, Transaction, WatchEvent,
};
use futures_util::future::BoxFuture;
use reader::Read;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use writer::{Job, Writer};

/// Calls that may wait. More are refused: the disk is far behind, and memory is not its buffer.
const QUEUE: usize = 65_536;

/// A store in a file. Dropping it finishes what is in its queue, and waits for that.
pub struct Sqlite {
    path: PathBuf,
    jobs: Option<flume::Sender<Job>>,
    reads: Option<flume::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

/// Where a call's answer goes.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

impl Sqlite {
    /// Opens a store, or makes it. Blocks; refuses a file that is in use, of something else, or of a later format.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let lock = schema::lock(&path)?;
        let writer = Writer::new(schema::open_writer(&path, &options)?, &options, lock)?;
        let (jobs, queue) = flume::bounded(QUEUE);
        let (reads, asked) = flume::bounded(QUEUE);
        let mut store = Self {
            path,
            jobs: Some(jobs),
            reads: Some(reads),
            threads: Vec::new(),
        };
        for _ in 0..options.readers.max(1) {
            let (connection, asked) = (schema::open_reader(&store.path)?, asked.clone());
            let work = move |asked: &flume::Receiver<Read>| reader::run(&connection, asked);
            store.spawn("kith-store-r", asked, work)?;
        }
        store.spawn("kith-store-w", queue, move |queue| writer.run(queue))?;
        Ok(store)
    }

    /// Replaces everything by what a backup has, while the store goes on: one revision. Every watcher is told to resync.
    pub fn restore(&self, from: &Path) -> BoxFuture<'_, Result<Revision, StoreError>> {
        let from = from.to_owned();
        self.job(|reply| Job::Restore(from, reply))
    }

    /// Starts a thread that works on a queue. When the work ends, calls that wait and calls to come hear that the store is closed: a
    /// queue keeps what is in it until its last sender is gone, so somebody has to take it out.
    fn spawn<Q: Send + 'static>(
        &mut self,
        name: &str,
        queue: flume::Receiver<Q>,
        work: impl FnOnce(&flume::Receiver<Q>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // A panic has been reported by its hook; what the work had, it dropped.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| work(&queue)));
            for unanswered in queue {
                drop(unanswered);
            }
        });
        self.threads
            .push(thread.map_err(|why| schema::cannot(&self.path, why.to_string()))?);
        Ok(())
    }

    /// Puts a call into the writer's queue.
    fn job<T: Send + 'static>(
        &self,
        make: impl FnOnce(Reply<T>) -> Job,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        ask(self.jobs.as_ref(), make)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        (self.jobs, self.reads) = (None, None);
        for thread in self.threads.drain(..) {
            // It ends in order even if its work panicked.
            let _ = thread.join();
        }
    }
}

impl Store for Sqlite {
    fn get(&self, key: Key) -> BoxFuture<'_, Result<(Option<Entry>, Revision), StoreError>> {
        ask(self.reads.as_ref(), |reply| Read::Get(key, reply))
    }

    fn range(
        &self,
        prefix: Key,
        after: Option<Key>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, StoreError>> {
        ask(self.reads.as_ref(), |reply| Read::Range {
            prefix,
            after,
            limit,
            reply,
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.job(|reply| Job::Transact(transaction, reply))
    }

    fn watch(
        &self,
        prefix: Key,
        after: Revision,
    ) -> BoxFuture<'_, Result<flume::Receiver<WatchEvent>, StoreError>> {
        self.job(|reply| Job::Watch(prefix, after, reply))
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, StoreError>> {
        self.job(|reply| Job::Grant(ttl, reply))
    }

    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.job(|reply| Job::KeepAlive(lease, reply))
    }

    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        self.job(|reply| Job::Revoke(lease, Some(reply)))
    }

    fn backup<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Revision, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let (store, to) = (self.path.clone(), to.to_owned());
        // A thread of its own: it reads the whole file, and neither reads nor writes may wait for that.
        let thread = std::thread::Builder::new()
            .name("kith-store-b".to_owned())
            .spawn(move || {
                // A caller that no longer waits has its copy all the same.
                let _ = reply.send(copy::back_up(&store, &to));
            });
        Box::pin(async move {
            thread.map_err(|why| StoreError::Failed(why.to_string()))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }
}

fn ask<T: Send + 'static, Q>(
    queue: Option<&flume::Sender<Q>>,
    make: impl FnOnce(Reply<T>) -> Q,
) -> BoxFuture<'static, Result<T, StoreError>> {
    let (reply, answer) = oneshot::channel();
    let sent = match queue.map(|queue| queue.try_send(make(reply))) {
        Some(Ok(())) => Ok(()),
        Some(Err(flume::TrySendError::Full(_))) => {
            Err(StoreError::Failed(format!("{QUEUE} calls are waiting already")))
        }
        Some(Err(flume::TrySendError::Disconnected(_))) | None => Err(StoreError::Closed),
    };
    Box::pin(async move {
        sent?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    })
}
