//! The way to the store: transactions in the order in which the core made them, many under way at a time.
//!
//! The store shares one sync of the disk among all that were submitted meanwhile, so nobody waits for the one before. Answers come in the
//! order of submission. After a failure nothing more of that manager is submitted: what it made afterwards was made of what is not on disk.

use super::host::Host;
use crate::core::{CommitId, Input, Manager};
use futures_util::future::BoxFuture;
use kith_store::{Committed, StoreError, Transaction};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

/// Transactions under way at a time.
const UNDER_WAY: usize = 1_024;

/// Where transactions are put. The queue is bounded by what may be asked at a time: see `Limits::calls`.
pub(super) struct Committer(mpsc::UnboundedSender<Work>);

/// A transaction.
pub(super) struct Job {
    pub(super) generation: u64,
    pub(super) id: CommitId,
    pub(super) transaction: Transaction,
}

enum Work {
    Commit(Job),
    /// Tell when everything before has been answered.
    Settle(oneshot::Sender<()>),
}

/// The other end, for [`work`].
pub(super) struct Jobs(mpsc::UnboundedReceiver<Work>);

struct Waiting<'a> {
    generation: u64,
    id: CommitId,
    since: Instant,
    answer: BoxFuture<'a, Result<Committed, StoreError>>,
}

pub(super) fn committer() -> (Committer, Jobs) {
    let (put, take) = mpsc::unbounded_channel();
    (Committer(put), Jobs(take))
}

impl Committer {
    pub(super) fn put(&self, job: Job) {
        // The other end lives as long as the host serves; afterwards nobody is answered.
        drop(self.0.send(Work::Commit(job)));
    }

    /// Waits until all that was put before has been answered by the store.
    pub(super) async fn settle(&self) {
        let (settled, is_settled) = oneshot::channel();
        if self.0.send(Work::Settle(settled)).is_ok() {
            drop(is_settled.await);
        }
    }
}

/// Works until the host is gone or `stop` comes; then all that was put is on disk.
pub(super) async fn work(host: Arc<Host>, Jobs(mut jobs): Jobs, mut stop: oneshot::Receiver<()>) {
    let store = host.store.clone();
    let mut waiting: VecDeque<Waiting<'_>> = VecDeque::new();
    let mut settling: Option<oneshot::Sender<()>> = None;
    // The manager whose transactions are refused: a former one of it failed.
    let mut failed: Option<u64> = None;
    let mut stopping = false;
    loop {
        if waiting.is_empty() {
            if let Some(settled) = settling.take() {
                settled.send(()).ok();
            }
            if stopping && jobs.is_empty() {
                return;
            }
        }
        let room = waiting.len() < UNDER_WAY && settling.is_none();
        tokio::select! {
            biased;
            answer = front(&mut waiting) => {
                let Some(done) = waiting.pop_front() else { continue };
                host.metrics.commit(done.since.elapsed(), answer.is_ok());
                if let Some(generation) = tell(&host, &done, answer) {
                    failed = Some(generation);
                }
            }
            work = jobs.recv(), if room => match work {
                None => return,
                Some(Work::Settle(settled)) => settling = Some(settled),
                Some(Work::Commit(job)) if failed == Some(job.generation) => {}
                Some(Work::Commit(Job { generation, id, transaction })) => {
                    let answer = store.transact(transaction);
                    waiting.push_back(Waiting { generation, id, since: Instant::now(), answer });
                }
            },
            _ = &mut stop, if !stopping => stopping = true,
        }
    }
}

/// The answer to the first that waits; never, if none does.
async fn front(waiting: &mut VecDeque<Waiting<'_>>) -> Result<Committed, StoreError> {
    match waiting.front_mut() {
        Some(first) => (&mut first.answer).await,
        None => std::future::pending().await,
    }
}

/// Tells the core; answers with the manager that has failed now.
fn tell(host: &Arc<Host>, done: &Waiting<'_>, answer: Result<Committed, StoreError>) -> Option<u64> {
    let (id, generation) = (done.id, done.generation);
    match answer {
        Ok(Committed { revision }) => {
            host.of_generation(generation, |now, manager| {
                manager.input(now, Input::Committed { id, revision })
            });
            None
        }
        Err(problem) => {
            let why = problem.to_string();
            let failed = |now, manager: &mut Manager| manager.input(now, Input::CommitFailed { id, why });
            if host.of_generation(generation, failed).is_some() {
                error!(%problem, "a change was not kept; everything is read again from the store");
                host.discard();
                tokio::spawn(host.clone().reload());
            }
            Some(generation)
        }
    }
}
