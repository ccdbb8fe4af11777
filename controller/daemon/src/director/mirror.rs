//! What a dataplane's tables should hold, what they do hold, and the updates between the two.
//!
//! Problem: sessions change while writes are under way, writes are refused one by one, and a dataplane may come back with
//! all of its entries, some, none, or a stranger's. Idea: no log of changes, but two states for each member, wanted and
//! known. What differs is in a queue; an update is made from the difference at the moment it is sent, and what is known
//! changes only by what the dataplane says.
//!
//! ```text
//!  want(member, …) ──► wanted ─┐ differ? ──► queue ──► batch of ≤ 1,000 updates ──► dataplane
//!  entries read ─────► known ──┘                                                       │
//!                        ▲────────────────── result of each update ────────────────────┘
//!                                            refused: again after a pause, which doubles
//! ```
//!
//! One batch is under way at a time; the next one takes what has gathered meanwhile. So a lone change waits for nothing,
//! and under load batches fill up by themselves. Costs: O(1) a change; about 100 octets a member.

use super::MAX_UPDATES;
use crate::southbound::{Change, Entries, Refused, SenderEntry, SessionEntry, Update};
use kith_director::Time;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

/// The first pause after a refusal; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Doublings at most: 1.6 s.
const MAX_DOUBLINGS: u8 = 5;

/// A member's entries as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Table `sender`.
    pub sender: SenderEntry,
    /// Table `session`; none for a member that only sends.
    pub session: Option<SessionEntry>,
}

/// What is known of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known<T> {
    Absent,
    Is(T),
    /// There is one, and nobody knows which.
    Some,
}

#[derive(Debug)]
struct Row {
    wanted: Option<Wanted>,
    sender: Known<SenderEntry>,
    session: Known<SessionEntry>,
    /// It is in the queue, or waits for another try.
    queued: bool,
    /// Updates of it are under way: what is known is about to change.
    writing: bool,
    failures: u8,
}

/// How many updates of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference {
    /// Entries that are missing.
    pub missing: usize,
    /// Entries that are other ones.
    pub changed: usize,
    /// Entries that nobody here wants.
    pub strangers: usize,
    /// Entries that are as they should be.
    pub same: usize,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Members for whom the dataplane has no place, and why.
    pub refused: Vec<(u32, Refused)>,
    /// Somebody else is primary.
    pub deposed: bool,
}

/// Both sides of one dataplane's tables.
#[derive(Debug, Default)]
pub struct Mirror {
    rows: HashMap<u32, Row>,
    queue: VecDeque<u32>,
    later: BTreeSet<(Time, u32)>,
    under_way: Vec<Update>,
    /// Members whose entries have become as wanted.
    settled: Vec<u32>,
    /// The dataplane's entries have been read on this connection.
    known: bool,
}

impl Mirror {
    /// From now on a member's entries should be these.
    pub fn want(&mut self, member: u32, wanted: Option<Wanted>) {
        let row = self.rows.entry(member).or_insert_with(Row::absent);
        row.wanted = wanted;
        self.review(member);
    }

    /// What a member's entries should be.
    #[must_use]
    pub fn wanted(&self, member: u32) -> Option<&Wanted> {
        self.rows.get(&member)?.wanted.as_ref()
    }

    /// Does the dataplane have what is wanted for this member?
    #[must_use]
    pub fn is_settled(&self, member: u32) -> bool {
        self.known && self.rows.get(&member).is_none_or(Row::is_settled)
    }

    /// The connection is gone, and with it all knowledge.
    pub fn forget(&mut self) {
        self.known = false;
        self.queue.clear();
        self.later.clear();
        self.under_way.clear();
        self.settled.clear();
        self.rows.retain(|_, row| row.wanted.is_some());
        for row in self.rows.values_mut() {
            *row = Row {
                wanted: row.wanted,
                ..Row::absent()
            };
        }
    }

    /// The dataplane has exactly these entries.
    pub fn learn(&mut self, entries: &Entries) -> Difference {
        self.forget();
        self.known = true;
        for &(member, entry) in &entries.senders {
            self.rows.entry(member).or_insert_with(Row::absent).sender = Known::Is(entry);
        }
        for &(member, entry) in &entries.sessions {
            self.rows.entry(member).or_insert_with(Row::absent).session = Known::Is(entry);
        }
        let mut difference = Difference::default();
        let mut strangers = VecDeque::new();
        for (&member, row) in &mut self.rows {
            let changes = [
                change(row.wanted.map(|it| it.sender), row.sender).map(|it| kind(&it)),
                change(row.wanted.and_then(|it| it.session), row.session).map(|it| kind(&it)),
            ];
            difference.missing += changes.iter().filter(|&&it| it == Some(Kind::Insert)).count();
            difference.changed += changes.iter().filter(|&&it| it == Some(Kind::Modify)).count();
            difference.strangers += changes.iter().filter(|&&it| it == Some(Kind::Delete)).count();
            let there = [row.sender != Known::Absent, row.session != Known::Absent];
            difference.same += changes
                .iter()
                .zip(there)
                .filter(|&(it, there)| it.is_none() && there)
                .count();
            if changes == [None, None] {
                continue;
            }
            row.queued = true;
            // First what makes packets flow.
            match row.wanted {
                Some(_) => self.queue.push_back(member),
                None => strangers.push_back(member),
            }
        }
        self.queue.append(&mut strangers);
        difference
    }

    /// The next updates to send, at most [`MAX_UPDATES`]; none while others are under way.
    pub fn batch(&mut self, now: Time) -> Option<Vec<Update>> {
        if !self.known || !self.under_way.is_empty() {
            return None;
        }
        while let Some(&(due, member)) = self.later.first() {
            if due > now {
                break;
            }
            self.later.pop_first();
            self.queue.push_back(member);
        }
        // A member has two entries.
        while self.under_way.len() + 2 <= MAX_UPDATES {
            let Some(member) = self.queue.pop_front() else {
                break;
            };
            let Some(row) = self.rows.get_mut(&member) else {
                continue;
            };
            row.queued = false;
            // Whoever may send is entered last and removed first: what comes of it always has a way to go.
            let session = change(row.wanted.and_then(|it| it.session), row.session)
                .map(|change| Update::Session { member, change });
            let sender = change(row.wanted.map(|it| it.sender), row.sender)
                .map(|change| Update::Sender { member, change });
            let updates = match row.wanted {
                Some(_) => [session, sender],
                None => [sender, session],
            };
            row.writing = session.is_some() || sender.is_some();
            if !row.writing {
                // It changed there and back.
                self.settle(member);
                continue;
            }
            self.under_way.extend(updates.into_iter().flatten());
        }
        (!self.under_way.is_empty()).then(|| self.under_way.clone())
    }

    /// Members whose entries have become as wanted since the last call.
    pub fn take_settled(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.settled)
    }

    /// Are updates under way?
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Members whose entries differ from what is wanted, or whose updates are under way.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.queue.len() + self.later.len() + self.under_way.len().div_ceil(2)
    }

    /// When refused updates are tried again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.later.first().map(|&(due, _)| due)
    }

    /// What became of the updates under way.
    pub fn written(&mut self, now: Time, results: &[Result<(), Refused>]) -> Outcome {
        let updates = std::mem::take(&mut self.under_way);
        let mut outcome = Outcome::default();
        let mut members: Vec<u32> = Vec::with_capacity(updates.len());
        for (at, update) in updates.iter().enumerate() {
            // An answer that is too short says nothing of the rest.
            let result = results.get(at).copied().unwrap_or(Err(Refused::Failed));
            let member = match *update {
                Update::Sender { member, change } => self.note(member, result, |row| {
                    row.sender = after(change, row.sender, result);
                }),
                Update::Session { member, change } => self.note(member, result, |row| {
                    row.session = after(change, row.session, result);
                }),
                Update::Endpoint { .. } | Update::PuntRate { .. } => None,
            };
            let Some(member) = member else { continue };
            if let Err(why @ (Refused::Full | Refused::OutOfRange)) = result {
                outcome.refused.push((member, why));
            }
            outcome.deposed |= result == Err(Refused::NotPrimary);
            if members.last() != Some(&member) {
                members.push(member);
            }
        }
        for member in members {
            let Some(row) = self.rows.get_mut(&member) else {
                continue;
            };
            row.writing = false;
            if row.is_settled() {
                self.settle(member);
            } else if !row.queued {
                row.queued = true;
                // The first surprise is answered at once.
                match row.failures.checked_sub(2) {
                    None => self.queue.push_back(member),
                    Some(times) => {
                        let pause = FIRST_PAUSE * (1 << times.min(MAX_DOUBLINGS));
                        self.later.insert((now.after(pause), member));
                    }
                }
            }
        }
        outcome
    }

    fn settle(&mut self, member: u32) {
        self.settled.push(member);
        match self.rows.get_mut(&member) {
            Some(row) if row.wanted.is_some() => row.failures = 0,
            _ => drop(self.rows.remove(&member)),
        }
    }

    fn note(
        &mut self,
        member: u32,
        result: Result<(), Refused>,
        change: impl FnOnce(&mut Row),
    ) -> Option<u32> {
        let row = self.rows.get_mut(&member)?;
        change(row);
        row.failures = row.failures.saturating_add(u8::from(result.is_err()));
        Some(member)
    }

    /// Queues a member whose entries differ, if it is not queued.
    fn review(&mut self, member: u32) {
        if !self.known {
            // Everything is compared when the entries have been read.
            return;
        }
        let Some(row) = self.rows.get_mut(&member) else {
            return;
        };
        if row.queued || row.writing {
            return;
        }
        if !row.is_settled() {
            row.queued = true;
            self.queue.push_back(member);
        } else if row.wanted.is_none() {
            self.rows.remove(&member);
        }
    }
}

impl Row {
    fn absent() -> Self {
        Self {
            wanted: None,
            sender: Known::Absent,
            session: Known::Absent,
            queued: false,
            writing: false,
            failures: 0,
        }
    }

    fn is_settled(&self) -> bool {
        !self.writing
            && change(self.wanted.map(|it| it.sender), self.sender).is_none()
            && change(self.wanted.and_then(|it| it.session), self.session).is_none()
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Insert,
    Modify,
    Delete,
}

fn kind<T>(change: &Change<T>) -> Kind {
    match change {
        Change::Insert(_) => Kind::Insert,
        Change::Modify(_) => Kind::Modify,
        Change::Delete => Kind::Delete,
    }
}

/// What makes the known entry the wanted one.
fn change<T: Copy + PartialEq>(wanted: Option<T>, known: Known<T>) -> Option<Change<T>> {
    match (wanted, known) {
        (None, Known::Absent) => None,
        (Some(wanted), Known::Is(known)) if wanted == known => None,
        (Some(wanted), Known::Absent) => Some(Change::Insert(wanted)),
        (Some(wanted), Known::Is(_) | Known::Some) => Some(Change::Modify(wanted)),
        (None, Known::Is(_) | Known::Some) => Some(Change::Delete),
    }
}

/// What is known of an entry after a change was tried.
fn after<T>(change: Change<T>, before: Known<T>, result: Result<(), Refused>) -> Known<T> {
    match (result, change) {
        (Ok(()), Change::Insert(entry) | Change::Modify(entry)) => Known::Is(entry),
        (Ok(()), Change::Delete) => Known::Absent,
        (Err(Refused::Exists), _) => Known::Some,
        (Err(Refused::NotFound), _) => Known::Absent,
        (Err(_), _) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: u32 = 0xf000_0001;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn wanted(port: u16) -> Wanted {
        let bound = std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(203, 0, 113, 21), port);
        Wanted {
            sender: SenderEntry {
                bound,
                community: 1,
                rate: None,
            },
            session: None,
        }
    }

    fn known() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.learn(&Entries::default());
        mirror
    }

    fn insert(port: u16) -> Update {
        Update::Sender {
            member: MEMBER,
            change: Change::Insert(wanted(port).sender),
        }
    }

    fn modify(port: u16) -> Update {
        Update::Sender {
            member: MEMBER,
            change: Change::Modify(wanted(port).sender),
        }
    }

    const DELETE: Update = Update::Sender {
        member: MEMBER,
        change: Change::Delete,
    };

    #[test]
    fn nothing_is_written_before_the_entries_were_read() {
        let mut mirror = Mirror::default();
        mirror.want(MEMBER, Some(wanted(1)));
        assert_eq!(mirror.batch(at(0)), None);
        assert!(!mirror.is_settled(MEMBER));
        mirror.learn(&Entries {
            senders: vec![(MEMBER, wanted(1).sender)],
            sessions: vec![],
        });
        assert_eq!(mirror.batch(at(0)), None);
        assert!(mirror.is_settled(MEMBER));
    }

    #[test]
    fn one_batch_is_under_way_and_what_changes_meanwhile_is_in_the_next() {
        let mut mirror = known();
        mirror.want(MEMBER, Some(wanted(1)));
        assert_eq!(mirror.batch(at(0)), Some(vec![insert(1)]));
        mirror.want(MEMBER, None);
        assert!(!mirror.is_settled(MEMBER), "the insert is under way");
        assert_eq!(mirror.batch(at(0)), None);
        mirror.written(at(1), &[Ok(())]);
        assert!(mirror.take_settled().is_empty());
        assert_eq!(mirror.batch(at(1)), Some(vec![DELETE]));
        mirror.written(at(2), &[Ok(())]);
        assert_eq!((mirror.take_settled(), mirror.unsettled()), (vec![MEMBER], 0));
        assert!(mirror.rows.is_empty(), "nothing is left of who left");
    }

    #[test]
    fn a_change_there_and_back_settles_without_a_write() {
        let mut mirror = known();
        mirror.want(MEMBER, Some(wanted(1)));
        mirror.want(MEMBER, None);
        assert_eq!(mirror.batch(at(0)), None);
        assert_eq!(mirror.take_settled(), [MEMBER]);
        assert!(mirror.rows.is_empty());
    }

    #[test]
    fn what_the_dataplane_teaches_is_used_at_once() {
        let mut mirror = known();
        mirror.want(MEMBER, Some(wanted(1)));
        mirror.batch(at(0));
        mirror.written(at(0), &[Err(Refused::Exists)]);
        assert_eq!(mirror.batch(at(0)), Some(vec![modify(1)]));
        mirror.written(at(0), &[Ok(())]);
        assert!(mirror.is_settled(MEMBER));
        mirror.want(MEMBER, Some(wanted(2)));
        mirror.batch(at(0));
        mirror.written(at(0), &[Err(Refused::NotFound)]);
        assert_eq!(mirror.batch(at(0)), Some(vec![insert(2)]));
    }

    #[test]
    fn what_is_refused_again_and_again_is_tried_ever_more_rarely() {
        let mut mirror = known();
        mirror.want(MEMBER, Some(wanted(1)));
        let mut tries = Vec::new();
        for millis in 0..10_000 {
            if mirror.batch(at(millis)).is_some() {
                tries.push(millis);
                let outcome = mirror.written(at(millis), &[Err(Refused::Full)]);
                assert_eq!(outcome.refused, [(MEMBER, Refused::Full)]);
            }
        }
        assert_eq!(tries[..8], [0, 1, 51, 151, 351, 751, 1551, 3151]);
        assert_eq!(mirror.unsettled(), 1);
    }

    #[test]
    fn an_answer_that_is_too_short_says_nothing_of_the_rest() {
        let mut mirror = known();
        mirror.want(MEMBER, Some(wanted(1)));
        mirror.want(MEMBER + 1, Some(wanted(1)));
        assert_eq!(mirror.batch(at(0)).unwrap().len(), 2);
        mirror.written(at(0), &[Ok(())]);
        assert_eq!(mirror.take_settled(), [MEMBER]);
        assert_eq!(mirror.unsettled(), 1);
    }
}
