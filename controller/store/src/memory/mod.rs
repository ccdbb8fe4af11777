//! A store in memory, for simulations: time, commits and crashes happen when the simulation says so.
//!
//! Problem: a simulation must be able to lose exactly what a crash can lose, and never what was acknowledged; and it wants no runtime,
//! no clock and no threads. Idea: what would be on disk is one value; transactions that are submitted but not committed stand beside
//! it in order, as in the queue of a store whose disk is slow. A crash takes the value, as many of the waiting transactions as the
//! simulation says reached the disk before their answer was sent, and nothing else.
//!
//! ```text
//!  submit ──► [ t4 t3 t2 ] ──► commit_next ──► disk: entries, leases, past ──► answer, watchers
//!                   │                           │
//!                   └────── crash(1) ───────────┴──► a new store: the disk and t2; t3 and t4 are lost, and none was answered
//! ```
//!
//! Everything asked through [`crate::Store`] is done at the call, not when its future is polled; unless commits are held
//! ([`Memory::hold`]), then transactions wait for [`Memory::commit_next`]. Readers see what is committed. Leases end when
//! [`Memory::advance`] says that their time has passed, and at no other time.

mod disk;
mod store;

use crate::hub::Hub;
use crate::lease::Leases;
use crate::options::Point;
use crate::{
    Change, Committed, Entry, Key, Lease, Options, Page, Revision, StoreError, Transaction, WatchEvent, apply,
};
use disk::Disk;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A store in memory.
pub struct Memory {
    inner: Mutex<Inner>,
}

/// Names a submitted transaction; they grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

type Outcome = Result<Committed, StoreError>;

struct Inner {
    options: Options,
    disk: Disk,
    leases: Leases,
    hub: Hub,
    now: Duration,
    held: bool,
    closed: bool,
    waiting: VecDeque<Waiting>,
    tickets: u64,
}

struct Waiting {
    ticket: Ticket,
    transaction: Transaction,
    answer: Option<oneshot::Sender<Outcome>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// An empty store, set up so.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let disk = Disk::new(&options);
        Self::of(disk, options)
    }

    /// The present revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.lock().disk.revision
    }

    /// As [`crate::Store::get`].
    pub fn get_now(&self, key: &Key) -> Result<(Option<Entry>, Revision), StoreError> {
        let inner = self.open()?;
        Ok((inner.disk.entries.get(key).cloned(), inner.disk.revision))
    }

    /// As [`crate::Store::range`].
    pub fn range_now(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Page, StoreError> {
        Ok(self.open()?.disk.range(prefix, after, limit))
    }

    /// As [`crate::Store::transact`], behind all that waits, even while commits are held.
    pub fn transact_now(&self, transaction: &Transaction) -> Outcome {
        let mut inner = self.open()?;
        inner.commit_all();
        inner.transact(transaction)
    }

    /// As [`crate::Store::watch`].
    pub fn watch_now(&self, prefix: Key, after: Revision) -> Result<flume::Receiver<WatchEvent>, StoreError> {
        let mut inner = self.open()?;
        let owed = inner.disk.since(&prefix, after);
        Ok(inner.hub.start(prefix, owed))
    }

    /// As [`crate::Store::grant`]. Never waits: a lease alone changes nothing that anyone sees.
    pub fn grant_now(&self, ttl: Duration) -> Result<Lease, StoreError> {
        let inner = &mut *self.open()?;
        inner.disk.last_lease += 1;
        let lease = Lease(inner.disk.last_lease);
        inner.disk.leases.insert(lease, ttl);
        inner.leases.add(lease, ttl, inner.now);
        Ok(lease)
    }

    /// As [`crate::Store::keep_alive`].
    pub fn keep_alive_now(&self, lease: Lease) -> Result<(), StoreError> {
        let inner = &mut *self.open()?;
        match inner.leases.keep(lease, inner.now) {
            true => Ok(()),
            false => Err(StoreError::NoLease(lease)),
        }
    }

    /// As [`crate::Store::revoke`], behind all that waits.
    pub fn revoke_now(&self, lease: Lease) -> Result<(), StoreError> {
        let mut inner = self.open()?;
        inner.commit_all();
        inner.end_lease(lease).map(|_| ())
    }

    /// Time passes. Leases whose time is over end, each in a revision of its own.
    pub fn advance(&self, by: Duration) {
        let inner = &mut *self.lock();
        inner.now = inner.now.saturating_add(by);
        for lease in inner.leases.over(inner.now) {
            // An injected fault leaves the lease for the next time.
            let _ = inner.end_lease(lease);
        }
    }

    /// Holds commits from now on, or no longer; then those that wait are committed.
    pub fn hold(&self, held: bool) {
        let mut inner = self.lock();
        inner.held = held;
        if !held {
            inner.commit_all();
        }
    }

    /// Puts a transaction into the queue, held or not.
    pub fn submit(&self, transaction: Transaction) -> Ticket {
        self.lock().submit(transaction, None)
    }

    /// What is submitted and neither committed nor refused yet, in order.
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<Ticket> {
        self.lock().waiting.iter().map(|waiting| waiting.ticket).collect()
    }

    /// Commits the oldest submitted transaction and answers it; `None` if none waits.
    pub fn commit_next(&self) -> Option<(Ticket, Outcome)> {
        self.lock().commit_next()
    }

    /// The machine dies: the store that is found afterwards. The first `kept` unacknowledged transactions had reached the disk without an
    /// answer, the others had not. This store is closed, its watches end, its callers hear [`StoreError::Closed`]. Leases have their
    /// whole time again.
    #[must_use]
    pub fn crash(&self, kept: usize) -> Self {
        let mut inner = self.lock();
        let mut disk = inner.disk.clone();
        let waiting = std::mem::take(&mut inner.waiting);
        for lost in waiting.iter().take(kept) {
            // A refused transaction changes nothing, here as there; the answer is lost either way.
            let _ = disk.write(&lost.transaction, None, &crate::Faults::default());
        }
        inner.close();
        Self::of(disk, inner.options.clone())
    }

    /// Another store, as this one was at a revision, if its history reaches so far. Nothing is shared with it, nothing waits in it.
    #[must_use]
    pub fn fork_at(&self, revision: Revision) -> Option<Self> {
        let inner = self.lock();
        Some(Self::of(inner.disk.at(revision)?, inner.options.clone()))
    }

    fn of(disk: Disk, options: Options) -> Self {
        let leases = Leases::load(
            disk.leases.iter().map(|(lease, ttl)| (*lease, *ttl)),
            Duration::ZERO,
        );
        Self {
            inner: Mutex::new(Inner {
                hub: Hub::new(options.watch_events),
                options,
                disk,
                leases,
                now: Duration::ZERO,
                held: false,
                closed: false,
                waiting: VecDeque::new(),
                tickets: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let inner = self.lock();
        if inner.closed {
            Err(StoreError::Closed)
        } else {
            Ok(inner)
        }
    }
}

impl Inner {
    fn submit(&mut self, transaction: Transaction, answer: Option<oneshot::Sender<Outcome>>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push_back(Waiting {
            ticket,
            transaction,
            answer,
        });
        ticket
    }

    fn commit_all(&mut self) {
        while self.commit_next().is_some() {}
    }

    fn commit_next(&mut self) -> Option<(Ticket, Outcome)> {
        let Waiting {
            ticket,
            transaction,
            answer,
        } = self.waiting.pop_front()?;
        let outcome = self.transact(&transaction);
        if let Some(answer) = answer {
            // A caller that no longer waits needs no answer.
            let _ = answer.send(again(&outcome));
        }
        Some((ticket, outcome))
    }

    fn transact(&mut self, transaction: &Transaction) -> Outcome {
        if self.closed {
            return Err(StoreError::Closed);
        }
        let changes = self.disk.write(transaction, None, &self.options.faults)?;
        self.done(&changes)
    }

    fn end_lease(&mut self, lease: Lease) -> Outcome {
        if !self.leases.has(lease) {
            return Err(StoreError::NoLease(lease));
        }
        let deletion = apply::end_of_lease(self.disk.keys_of(lease));
        let changes = self.disk.write(&deletion, Some(lease), &self.options.faults)?;
        self.leases.remove(lease);
        self.done(&changes)
    }

    fn done(&mut self, changes: &[Change]) -> Outcome {
        if self.options.faults.hit(Point::Answer) {
            self.close();
            return Err(StoreError::Closed);
        }
        let revision = self.disk.revision;
        if !changes.is_empty() {
            self.hub.publish(revision, changes);
        }
        Ok(Committed { revision })
    }

    fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.hub = Hub::new(self.options.watch_events);
    }
}

/// The same outcome for a second hearer.
fn again(outcome: &Outcome) -> Outcome {
    match outcome {
        Ok(committed) => Ok(*committed),
        Err(StoreError::Conflict { key }) => Err(StoreError::Conflict { key: key.clone() }),
        Err(StoreError::Twice { key }) => Err(StoreError::Twice { key: key.clone() }),
        Err(StoreError::NoLease(lease)) => Err(StoreError::NoLease(*lease)),
        Err(StoreError::Failed(why)) => Err(StoreError::Failed(why.clone())),
        Err(StoreError::Open { path, why }) => Err(StoreError::Open {
            path: path.clone(),
            why: why.clone(),
        }),
        Err(StoreError::Closed) => Err(StoreError::Closed),
    }
}
