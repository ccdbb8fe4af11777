//! What a store in memory would have on its disk: entries, leases, and a past that can be undone.

use crate::apply::{self, Stamp, Table};
use crate::hub;
use crate::options::{Faults, Point};
use crate::retention::Retention;
use crate::{Change, Entry, Key, Lease, Options, Page, Revision, StoreError, Transaction, WatchEvent};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

/// All that survives a crash.
#[derive(Clone)]
pub(super) struct Disk {
    pub entries: BTreeMap<Key, Entry>,
    pub revision: Revision,
    pub leases: BTreeMap<Lease, Duration>,
    pub last_lease: u64,
    past: VecDeque<Past>,
    retention: Retention,
}

/// A revision: what it changed, and what was there before.
#[derive(Clone)]
struct Past {
    revision: Revision,
    changes: Vec<Change>,
    before: Vec<(Key, Option<Entry>)>,
    ended: Option<(Lease, Duration)>,
}

impl Disk {
    pub fn new(options: &Options) -> Self {
        Self {
            entries: BTreeMap::new(),
            revision: Revision(0),
            leases: BTreeMap::new(),
            last_lease: 0,
            past: VecDeque::new(),
            retention: Retention::new(options.history),
        }
    }

    /// All of a transaction or nothing; `ended` is the lease that ends with it. Gives what changed.
    pub fn write(
        &mut self,
        transaction: &Transaction,
        ended: Option<Lease>,
        faults: &Faults,
    ) -> Result<Vec<Change>, StoreError> {
        let now = self.revision;
        let mut draft = Draft {
            disk: self,
            before: Vec::new(),
            faults,
        };
        let result = apply::apply(&mut draft, transaction, now);
        let before = draft.before;
        let result = result.and_then(|changes| match faults.hit(Point::Commit) {
            true => Err(StoreError::Failed("a fault of the commit was injected".into())),
            false => Ok(changes),
        });
        let changes = match result {
            Ok(changes) => changes,
            Err(why) => {
                self.undo(before);
                return Err(why);
            }
        };
        let ended = ended.and_then(|lease| self.leases.remove_entry(&lease));
        if !changes.is_empty() {
            self.revision = Revision(now.0 + 1);
            self.retention.push(self.revision, hub::octets(&changes));
            self.past.push_back(Past {
                revision: self.revision,
                changes: changes.clone(),
                before,
                ended,
            });
            self.trim();
        }
        Ok(changes)
    }

    /// The store as it was at a revision, if the past reaches so far.
    pub fn at(&self, revision: Revision) -> Option<Self> {
        if !self.retention.reaches(revision, self.revision) {
            return None;
        }
        let mut disk = self.clone();
        while let Some(past) = disk.past.pop_back_if(|past| past.revision > revision) {
            disk.undo(past.before);
            disk.leases.extend(past.ended);
        }
        disk.revision = revision;
        disk.retention.truncate(revision);
        Some(disk)
    }

    /// What a watcher of a prefix is owed since a revision; nothing if the past does not reach so far.
    pub fn since(&self, prefix: &Key, after: Revision) -> Option<Vec<WatchEvent>> {
        self.retention.reaches(after, self.revision).then(|| {
            let later = self.past.iter().filter(|past| past.revision > after);
            later
                .filter_map(|past| hub::event(prefix, past.revision, &past.changes))
                .collect()
        })
    }

    pub fn range(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Page {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut inside = self
            .entries
            .range::<Key, _>((from, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|entry| entry.key.as_str().starts_with(prefix.as_str()));
        Page {
            entries: inside.by_ref().take(limit).cloned().collect(),
            more: inside.next().is_some(),
            revision: self.revision,
        }
    }

    /// Under a lease.
    pub fn keys_of(&self, lease: Lease) -> Vec<Key> {
        let under = self.entries.values().filter(|entry| entry.lease == Some(lease));
        under.map(|entry| entry.key.clone()).collect()
    }

    fn trim(&mut self) {
        if let Some(until) = self.retention.surplus() {
            self.retention.forget(until);
            while self.past.pop_front_if(|past| past.revision <= until).is_some() {}
        }
    }

    fn undo(&mut self, before: Vec<(Key, Option<Entry>)>) {
        for (key, entry) in before.into_iter().rev() {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }
}

/// A transaction that is being done.
struct Draft<'a> {
    disk: &'a mut Disk,
    before: Vec<(Key, Option<Entry>)>,
    faults: &'a Faults,
}

impl Draft<'_> {
    fn note(&mut self, key: &Key, before: Option<Entry>) -> Result<(), StoreError> {
        self.before.push((key.clone(), before));
        match self.faults.hit(Point::Write) {
            true => Err(StoreError::Failed("a fault of a write was injected".into())),
            false => Ok(()),
        }
    }
}

impl Table for Draft<'_> {
    fn stamp(&mut self, key: &Key) -> Result<Option<Stamp>, StoreError> {
        Ok(self.disk.entries.get(key).map(|entry| Stamp {
            created: entry.created,
            modified: entry.modified,
        }))
    }

    fn has_lease(&mut self, lease: Lease) -> bool {
        self.disk.leases.contains_key(&lease)
    }

    fn put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let before = self.disk.entries.insert(entry.key.clone(), entry.clone());
        self.note(&entry.key, before)
    }

    fn delete(&mut self, key: &Key) -> Result<(), StoreError> {
        let before = self.disk.entries.remove(key);
        self.note(key, before)
    }
}
