//! Memory runs ahead of disk; what others are told does not.
//!
//! ```text
//!  input ──► memory changes ──► Commit 7 ───────────────► store
//!       └──► answers, pushes, mails ──► held behind 7 ◄── Committed 7
//!                                            └──► poll()
//! ```
//!
//! What an input leads to is held until the newest transaction is on disk that it can depend on, its own or an earlier one. That is the newest
//! of all, unless the input said that it is of one member and looked at nothing that others write ([`Outbox::own_alone`]: init, refresh). Then
//! it is the newest that has to do with that member:
//!
//! ```text
//!  a transaction has to do with     whose records it writes: member, session, address, accounting
//!                                   whom what is held behind it tells something
//!                                   everybody, if it writes anything of operators (communities, policies, directors, credentials, audit),
//!                                   or tells something that no member asked for
//! ```
//!
//! So nobody is ever told of something that a crash could take back, and what one member is told comes in the order in which it happened.

use super::ids::{CommitId, MemberId, StreamId};
use super::output::{Answer, Output, StreamEnd};
use super::{AdminError, AdminReply};
use kith_protocol::member::{Refusal, Update, refusal};
use kith_store::{Revision, Transaction};
use std::collections::{BTreeSet, VecDeque};

/// Something to be done when the disk has caught up.
pub(super) enum Held {
    /// As it is, but for the revision.
    Output(Output),
    /// To whatever stream the member has by then.
    Push(MemberId, Update),
    /// To this stream of the member's, if it still is that.
    Tell(StreamId, MemberId, Update),
}

/// What is held, and what may go.
#[derive(Default)]
pub(super) struct Outbox {
    batch: Vec<Held>,
    waiting: VecDeque<Waiting>,
    ready: VecDeque<Output>,
    issued: CommitId,
    /// Who asked for what is in the batch.
    asker: Option<MemberId>,
    /// And it is of the asker alone.
    alone: bool,
}

/// Behind a transaction that the store has not answered yet.
struct Waiting {
    id: CommitId,
    concerns: Concerns,
    batch: Vec<Held>,
}

/// Whom a transaction has to do with, and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concerns {
    /// Perhaps each of them.
    Everybody,
    /// These.
    Members(BTreeSet<MemberId>),
}

impl Concerns {
    fn has(&self, id: MemberId) -> bool {
        match self {
            Self::Everybody => true,
            Self::Members(members) => members.contains(&id),
        }
    }

    /// And those who are told something by this.
    fn told(&mut self, asker: Option<MemberId>, batch: &[Held]) {
        let Self::Members(members) = self else { return };
        let Some(asker) = asker else {
            if !batch.is_empty() {
                *self = Self::Everybody;
            }
            return;
        };
        members.insert(asker);
        members.extend(batch.iter().filter_map(|held| match held {
            Held::Push(to, _) | Held::Tell(_, to, _) => Some(*to),
            Held::Output(_) => None,
        }));
    }
}

/// What may go, with the revision that it is of.
pub(super) struct Released {
    pub(super) held: Held,
    pub(super) revision: Revision,
}

impl Outbox {
    pub(super) fn hold(&mut self, held: Held) {
        self.batch.push(held);
    }

    /// This member asks for what comes now, or somebody in its name.
    pub(super) fn asked_by(&mut self, asker: Option<MemberId>) {
        self.asker = asker;
    }

    /// What the input leads to depends on nothing that others than the asker write, and operators.
    pub(super) fn own_alone(&mut self) {
        self.alone = true;
    }

    /// Goes at once: what it says depends on nothing.
    pub(super) fn now(&mut self, output: Output) {
        self.ready.push_back(output);
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    /// Transactions that the store has not answered yet.
    pub(super) fn commits_under_way(&self) -> usize {
        self.waiting.len()
    }

    /// The transaction of this input, if it leads to one.
    pub(super) fn next(&self) -> CommitId {
        CommitId(self.issued.0 + 1)
    }

    /// Is everything up to this transaction on disk?
    pub(super) fn is_on_disk(&self, id: CommitId) -> bool {
        self.waiting.front().is_none_or(|waiting| id < waiting.id)
    }

    /// The input is done. Answers with what may go at once.
    pub(super) fn close_batch(
        &mut self,
        transaction: Option<(Transaction, Concerns)>,
        disk: Revision,
    ) -> Vec<Released> {
        let batch = std::mem::take(&mut self.batch);
        let (asker, alone) = (self.asker.take(), std::mem::take(&mut self.alone));
        if let Some((transaction, mut concerns)) = transaction {
            self.issued = CommitId(self.issued.0 + 1);
            let id = self.issued;
            self.ready.push_back(Output::Commit { id, transaction });
            concerns.told(asker, &batch);
            self.waiting.push_back(Waiting { id, concerns, batch });
            return Vec::new();
        }
        let mut waiting = self.waiting.iter_mut().rev();
        let behind = match asker.filter(|_| alone) {
            Some(asker) => waiting.find(|waiting| waiting.concerns.has(asker)),
            None => waiting.next(),
        };
        match behind {
            Some(behind) => {
                behind.concerns.told(asker, &batch);
                behind.batch.extend(batch);
                Vec::new()
            }
            None => released(batch, disk),
        }
    }

    /// The store has taken everything up to this.
    pub(super) fn committed(&mut self, id: CommitId, revision: Revision) -> Vec<Released> {
        let mut out = Vec::new();
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.id <= id) {
            out.extend(released(waiting.batch, revision));
        }
        out
    }

    /// Nothing held will ever be true: whoever waits is told that the store failed.
    pub(super) fn fail(&mut self, why: &str) {
        let batch = std::mem::take(&mut self.batch);
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().flat_map(|waiting| waiting.batch);
        let held = waiting.chain(batch);
        for held in held {
            let Held::Output(output) = held else { continue };
            let instead = match output {
                Output::Answer { token, .. } => Output::Answer {
                    token,
                    answer: Answer::Refused(store_refusal()),
                },
                Output::AdminAnswer { token, .. } => Output::AdminAnswer {
                    token,
                    answer: Err(AdminError::Store(why.to_owned())),
                },
                Output::StreamEnd { stream, .. } => stream_failed(stream),
                _ => continue,
            };
            self.ready.push_back(instead);
        }
    }
}

pub(super) fn stream_failed(stream: StreamId) -> Output {
    Output::StreamEnd {
        stream,
        why: StreamEnd::Store,
    }
}

/// To everybody whose request the store could not take.
pub(crate) fn store_refusal() -> Refusal {
    Refusal {
        code: refusal::Code::Store.into(),
        reason: "the manager cannot keep anything at the moment; try again in a few seconds".to_owned(),
        retry_after_ms: 2000,
        attempts_left: 0,
    }
}

/// Gives everything its revision. A member that is told several things of one revision must not believe before the last that it has them
/// all, so only that one carries the revision: if its stream ends between them, it asks from where it was before.
fn released(batch: Vec<Held>, revision: Revision) -> Vec<Released> {
    let mut told = BTreeSet::new();
    let mut out: Vec<Released> = batch
        .into_iter()
        .rev()
        .map(|held| stamped(held, revision, &mut told))
        .collect();
    out.reverse();
    out
}

fn stamped(mut held: Held, revision: Revision, told: &mut BTreeSet<MemberId>) -> Released {
    let mut last_of = |member| if told.insert(member) { revision.0 } else { 0 };
    match &mut held {
        Held::Push(member, update) | Held::Tell(_, member, update) => update.revision = last_of(*member),
        Held::Output(Output::Event(event)) => event.revision = revision.0,
        Held::Output(Output::Answer { answer, .. }) => match answer {
            Answer::Join(ack) if ack.revision == 0 => ack.revision = last_of(MemberId(ack.member_id)),
            Answer::Move(ack) => ack.revision = revision.0,
            _ => {}
        },
        Held::Output(Output::AdminAnswer {
            answer: Ok(AdminReply::Applied(applied)),
            ..
        }) if applied.applied => applied.revision = revision.0,
        Held::Output(_) => {}
    }
    Released { held, revision }
}
