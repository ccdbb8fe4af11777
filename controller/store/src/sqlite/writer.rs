//! The thread that writes: takes what waits, makes it one commit, tells watchers, answers.
//!
//! ```text
//!  queue ──► batch: t1 t2 grant t3 revoke … ──► BEGIN, each whole or refused, COMMIT ──► publish ──► answers
//!                                                 └─ a write fails: ROLLBACK, each again alone
//! ```
//!
//! What the thread itself remembers (revision, leases, how far the past reaches) changes after a commit and not before.

use super::{Reply, copy, rows, schema};
use crate::apply::{self, Stamp, Table};
use crate::hub::{self, Hub};
use crate::lease::Leases;
use crate::options::{Faults, Point};
use crate::retention::Retention;
use crate::{
    Change, Committed, Entry, Key, Lease, Operation, Options, Revision, StoreError, Transaction, WatchEvent,
};
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Calls that share a commit at most, and octets of values after which no more are taken.
const BATCH: (usize, usize) = (1024, 8 << 20);

/// After this, a lease that could not be ended is ended again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the writer is asked.
pub(super) enum Job {
    /// All or nothing.
    Transact(Transaction, Reply<Committed>),
    /// A new lease.
    Grant(Duration, Reply<Lease>),
    /// The end of a lease; nobody waits for it if its time is over.
    Revoke(Lease, Option<Reply<()>>),
    /// More time for a lease.
    KeepAlive(Lease, Reply<()>),
    /// A watch.
    Watch(Key, Revision, Reply<flume::Receiver<WatchEvent>>),
    /// Everything from a copy.
    Restore(PathBuf, Reply<Revision>),
}

/// The writing side of a store.
pub(super) struct Writer {
    connection: Connection,
    revision: Revision,
    last_lease: u64,
    leases: Leases,
    past: Retention,
    hub: Hub,
    faults: Faults,
    started: Instant,
    _lock: schema::Lock,
}

/// What became of a job in a batch that is not committed yet.
enum Done {
    Changed(Revision, Vec<Change>),
    Granted(Lease, Duration),
    Revoked(Lease, Revision, Vec<Change>),
    Refused(StoreError),
}

/// Why a batch was not committed.
enum Failure {
    /// Nothing of it is kept.
    Back(StoreError),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Writer {
    /// On an open file, with what is in it.
    pub fn new(connection: Connection, options: &Options, lock: schema::Lock) -> Result<Self, StoreError> {
        let mut writer = Self {
            connection,
            revision: Revision(0),
            last_lease: 0,
            leases: Leases::default(),
            past: Retention::new(options.history),
            hub: Hub::new(options.watch_events),
            faults: options.faults.clone(),
            started: Instant::now(),
            _lock: lock,
        };
        writer.load().map_err(copy::failed)?;
        Ok(writer)
    }

    /// Works until nobody can ask any more and the queue is empty, or the disk failed in a commit.
    pub fn run(mut self, queue: &flume::Receiver<Job>) {
        while let Some(batch) = self.next(queue) {
            let mut writes = Vec::with_capacity(batch.len());
            for job in batch {
                match job {
                    Job::Transact(..) | Job::Grant(..) | Job::Revoke(..) => writes.push(job),
                    // These need no disk, and what waits does not concern them: a watch hears it when it is committed.
                    Job::KeepAlive(lease, reply) => answer(reply, self.keep_alive(lease)),
                    Job::Watch(prefix, after, reply) => answer(reply, self.watch(prefix, after)),
                    Job::Restore(from, reply) => {
                        if !self.write(std::mem::take(&mut writes)) {
                            return;
                        }
                        answer(reply, self.restore(&from));
                    }
                }
            }
            if !self.write(writes) {
                return;
            }
        }
    }

    /// The next jobs, those of leases that are over first; `None` at the end.
    fn next(&self, queue: &flume::Receiver<Job>) -> Option<Vec<Job>> {
        let deadline = self.leases.next().and_then(|end| self.started.checked_add(end));
        let first = match deadline {
            Some(deadline) => match queue.recv_deadline(deadline) {
                Ok(job) => Some(job),
                Err(flume::RecvTimeoutError::Timeout) => None,
                Err(flume::RecvTimeoutError::Disconnected) => return None,
            },
            None => Some(queue.recv().ok()?),
        };
        let over = self.leases.over(self.started.elapsed());
        let mut batch: Vec<Job> = over.into_iter().map(|lease| Job::Revoke(lease, None)).collect();
        let mut octets = first.as_ref().map_or(0, weight);
        batch.extend(first);
        while batch.len() < BATCH.0 && octets < BATCH.1 {
            let Ok(job) = queue.try_recv() else { break };
            octets += weight(&job);
            batch.push(job);
        }
        Some(batch)
    }

    /// Commits jobs together, or each alone if they cannot be together. False: the store must close.
    fn write(&mut self, mut jobs: Vec<Job>) -> bool {
        if jobs.is_empty() {
            return true;
        }
        match self.commit(&jobs) {
            Ok(done) => {
                for (job, done) in jobs.into_iter().zip(done) {
                    self.finish(job, done);
                }
                true
            }
            // One of them may be the cause, too large for the disk perhaps. The others shall not pay for it.
            Err(Failure::Back(_)) if jobs.len() > 1 => jobs.into_iter().all(|job| self.write(vec![job])),
            Err(Failure::Back(why)) => {
                tracing::warn!(%why, "a transaction was not written");
                self.finish(jobs.remove(0), Done::Refused(why));
                true
            }
            // Unanswered, the callers hear that the store is closed.
            Err(Failure::Unknown(why)) => {
                tracing::error!(%why, "the disk failed in a commit; the store closes, open it again");
                false
            }
        }
    }

    /// Does jobs in one commit.
    fn commit(&mut self, jobs: &[Job]) -> Result<Vec<Done>, Failure> {
        let drafted = self
            .draft(jobs)
            .and_then(|done| match self.faults.hit(Point::Commit) {
                true => Err(StoreError::Failed("a fault of the commit was injected".into())),
                false => Ok(done),
            });
        let failed = match drafted {
            Ok(done) => match self.connection.execute_batch("COMMIT") {
                Ok(()) if self.faults.hit(Point::Answer) => {
                    return Err(Failure::Unknown("a fault of the answer was injected".to_owned()));
                }
                Ok(()) => return Ok(done),
                Err(why) => match why.sqlite_error_code() {
                    Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => copy::failed(why),
                    // The log may or may not be on disk.
                    _ => return Err(Failure::Unknown(why.to_string())),
                },
            },
            Err(why) => why,
        };
        self.past.truncate(self.revision);
        if !self.connection.is_autocommit()
            && let Err(why) = self.connection.execute_batch("ROLLBACK")
        {
            return Err(Failure::Unknown(why.to_string()));
        }
        Err(Failure::Back(failed))
    }

    /// Everything of a commit but the commit.
    fn draft(&mut self, jobs: &[Job]) -> Result<Vec<Done>, StoreError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(copy::failed)?;
        let mut draft = Draft {
            connection: &self.connection,
            leases: &self.leases,
            faults: &self.faults,
            ended: Vec::new(),
            revision: self.revision,
            last_lease: self.last_lease,
        };
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            let one = match draft.one(job) {
                Err(why @ StoreError::Failed(_)) => return Err(why),
                Err(refusal) => Done::Refused(refusal),
                Ok(one) => one,
            };
            if let Done::Changed(revision, changes) | Done::Revoked(_, revision, changes) = &one
                && !changes.is_empty()
            {
                self.past.push(*revision, hub::octets(changes));
            }
            done.push(one);
        }
        draft
            .numbers(self.revision, self.last_lease)
            .map_err(copy::failed)?;
        if let Some(until) = self.past.surplus() {
            rows::forget(&self.connection, until).map_err(copy::failed)?;
        }
        Ok(done)
    }

    /// A job is on disk, or refused.
    fn finish(&mut self, job: Job, done: Done) {
        match (job, done) {
            (Job::Transact(_, reply), Done::Changed(revision, changes)) => {
                self.happened(revision, &changes);
                answer(reply, Ok(Committed { revision }));
            }
            (Job::Grant(_, reply), Done::Granted(lease, ttl)) => {
                self.last_lease = lease.0;
                self.leases.add(lease, ttl, self.started.elapsed());
                answer(reply, Ok(lease));
            }
            (Job::Revoke(_, reply), Done::Revoked(lease, revision, changes)) => {
                self.leases.remove(lease);
                self.happened(revision, &changes);
                if let Some(reply) = reply {
                    answer(reply, Ok(()));
                }
            }
            (Job::Transact(_, reply), Done::Refused(why)) => answer(reply, Err(why)),
            (Job::Grant(_, reply), Done::Refused(why)) => answer(reply, Err(why)),
            (Job::Revoke(_, Some(reply)), Done::Refused(why)) => answer(reply, Err(why)),
            (Job::Revoke(lease, None), Done::Refused(_)) => {
                self.leases
                    .postpone(lease, self.started.elapsed().saturating_add(AGAIN));
            }
            _ => unreachable!("every job has one kind of outcome"),
        }
    }

    fn happened(&mut self, revision: Revision, changes: &[Change]) {
        self.revision = revision;
        if let Some(until) = self.past.surplus() {
            self.past.forget(until);
        }
        if !changes.is_empty() {
            self.hub.publish(revision, changes);
        }
    }

    fn keep_alive(&mut self, lease: Lease) -> Result<(), StoreError> {
        match self.leases.keep(lease, self.started.elapsed()) {
            true => Ok(()),
            false => Err(StoreError::NoLease(lease)),
        }
    }

    fn watch(&mut self, prefix: Key, after: Revision) -> Result<flume::Receiver<WatchEvent>, StoreError> {
        let owed = match self.past.reaches(after, self.revision) {
            true => Some(rows::since(&self.connection, &prefix, after).map_err(copy::failed)?),
            false => None,
        };
        Ok(self.hub.start(prefix, owed))
    }

    fn restore(&mut self, from: &Path) -> Result<Revision, StoreError> {
        let revision = copy::replace(&self.connection, from)?;
        self.load().map_err(copy::failed)?;
        self.hub.resync();
        Ok(revision)
    }

    /// Remembers what is on disk.
    fn load(&mut self) -> Result<(), rusqlite::Error> {
        self.revision = Revision(rows::number(&self.connection, "revision")?);
        self.last_lease = rows::number(&self.connection, "lease")?;
        self.leases = Leases::load(rows::leases(&self.connection)?, self.started.elapsed());
        self.past.clear();
        for (revision, octets) in rows::past(&self.connection)? {
            self.past.push(revision, octets);
        }
        Ok(())
    }
}

/// A commit that is being made.
struct Draft<'a> {
    connection: &'a Connection,
    leases: &'a Leases,
    faults: &'a Faults,
    ended: Vec<Lease>,
    revision: Revision,
    last_lease: u64,
}

impl Draft<'_> {
    fn one(&mut self, job: &Job) -> Result<Done, StoreError> {
        match job {
            Job::Transact(transaction, _) => {
                let changes = self.transact(transaction)?;
                Ok(Done::Changed(self.revision, changes))
            }
            Job::Grant(ttl, _) => {
                self.last_lease += 1;
                let lease = Lease(self.last_lease);
                rows::add_lease(self.connection, lease, *ttl).map_err(copy::failed)?;
                Ok(Done::Granted(lease, *ttl))
            }
            Job::Revoke(lease, _) => {
                if !self.has_lease(*lease) {
                    return Err(StoreError::NoLease(*lease));
                }
                let keys = rows::keys_of(self.connection, *lease).map_err(copy::failed)?;
                let changes = self.transact(&apply::end_of_lease(keys))?;
                rows::remove_lease(self.connection, *lease).map_err(copy::failed)?;
                self.ended.push(*lease);
                Ok(Done::Revoked(*lease, self.revision, changes))
            }
            Job::KeepAlive(..) | Job::Watch(..) | Job::Restore(..) => unreachable!("it is not written"),
        }
    }

    fn transact(&mut self, transaction: &Transaction) -> Result<Vec<Change>, StoreError> {
        let now = self.revision;
        let changes = apply::apply(self, transaction, now)?;
        if !changes.is_empty() {
            self.revision = Revision(now.0 + 1);
            rows::note(self.connection, self.revision, &changes).map_err(copy::failed)?;
        }
        Ok(changes)
    }

    /// Writes the last numbers given out, where there are new ones.
    fn numbers(&self, revision: Revision, lease: u64) -> Result<(), rusqlite::Error> {
        if self.revision != revision {
            rows::set_number(self.connection, "revision", self.revision.0)?;
        }
        if self.last_lease != lease {
            rows::set_number(self.connection, "lease", self.last_lease)?;
        }
        Ok(())
    }

    fn fault(&self) -> Result<(), StoreError> {
        match self.faults.hit(Point::Write) {
            true => Err(StoreError::Failed("a fault of a write was injected".into())),
            false => Ok(()),
        }
    }
}

impl Table for Draft<'_> {
    fn stamp(&mut self, key: &Key) -> Result<Option<Stamp>, StoreError> {
        rows::stamp(self.connection, key).map_err(copy::failed)
    }

    fn has_lease(&mut self, lease: Lease) -> bool {
        self.leases.has(lease) && !self.ended.contains(&lease)
    }

    fn put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        rows::put(self.connection, entry).map_err(copy::failed)?;
        self.fault()
    }

    fn delete(&mut self, key: &Key) -> Result<(), StoreError> {
        rows::delete(self.connection, key).map_err(copy::failed)?;
        self.fault()
    }
}

/// Octets of values that a job brings.
fn weight(job: &Job) -> usize {
    let Job::Transact(transaction, _) = job else {
        return 0;
    };
    let of = |operation: &Operation| match operation {
        Operation::Put { value, .. } => value.len(),
        Operation::Delete { .. } => 0,
    };
    transaction.operations.iter().map(of).sum()
}

fn answer<T>(reply: Reply<T>, with: Result<T, StoreError>) {
    // A caller that no longer waits needs no answer.
    let _ = reply.send(with);
}
