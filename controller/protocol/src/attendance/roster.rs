//! The manager's end: what a director is granted, and what changed last.

use super::{Grant, LOG, PAGE};
use crate::director::{
    Change, DirectorOrder, EndOfSnapshot, GrantPage, Welcome, change, director_order::Order,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// What one director is granted.
pub struct Roster {
    epoch: u64,
    /// Of the last change.
    sequence: u64,
    grants: BTreeMap<u64, Grant>,
    /// The key ids that the last changes touched; the newest one is the back.
    log: VecDeque<u64>,
    /// While all is told again: the key ids that were.
    again: Option<BTreeSet<u64>>,
}

/// How far one stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(At);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a snapshot: behind this key id; changes since this sequence number come after it.
    Snapshot { after: Option<u64>, base: u64 },
    /// Behind this change.
    Changes { sequence: u64 },
}

/// What comes next on a stream. No `Debug`: orders hold keys.
pub enum Next {
    /// This.
    Order(DirectorOrder),
    /// Nothing, until something changes.
    Idle,
    /// Changes that it lacks are not remembered any more: it must begin anew.
    Behind,
}

impl Roster {
    /// An empty one. The epoch is a random number other than zero: it names this roster, so that nobody goes on behind another's changes.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch: epoch.max(1),
            sequence: 0,
            grants: BTreeMap::new(),
            log: VecDeque::new(),
            again: None,
        }
    }

    /// This is granted from now on. False if it was already: then there is nothing to be told.
    pub fn add(&mut self, key_id: u64, grant: Grant) -> bool {
        if let Some(again) = &mut self.again {
            again.insert(key_id);
        }
        if self.grants.get(&key_id) == Some(&grant) {
            return false;
        }
        self.grants.insert(key_id, grant);
        self.changed(key_id);
        true
    }

    /// Nothing is granted under this key id any more. False if nothing was.
    pub fn remove(&mut self, key_id: u64) -> bool {
        if let Some(again) = &mut self.again {
            again.remove(&key_id);
        }
        let was = self.grants.remove(&key_id).is_some();
        if was {
            self.changed(key_id);
        }
        was
    }

    /// From here on everything is told again.
    pub fn begin(&mut self) {
        self.again = Some(BTreeSet::new());
    }

    /// Everything was told again: what was not is over. These.
    pub fn end(&mut self) -> Vec<u64> {
        let Some(again) = self.again.take() else {
            return Vec::new();
        };
        let over = self.grants.keys().filter(|key_id| !again.contains(key_id));
        let over: Vec<u64> = over.copied().collect();
        for key_id in &over {
            self.remove(*key_id);
        }
        over
    }

    /// How many are granted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Is nothing granted?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// A stream for one who holds what this epoch was at this sequence number; for one who holds nothing, zeros.
    #[must_use]
    pub fn attend(&self, epoch: u64, sequence: u64) -> (Welcome, Cursor) {
        let goes_on = epoch == self.epoch && sequence <= self.sequence && self.remembers(sequence);
        let welcome = Welcome {
            epoch: self.epoch,
            snapshot: !goes_on,
            interval_ms: u32::try_from(super::INTERVAL.as_millis()).unwrap_or(u32::MAX),
        };
        let at = if goes_on {
            At::Changes { sequence }
        } else {
            At::Snapshot {
                after: None,
                base: self.sequence,
            }
        };
        (welcome, Cursor(at))
    }

    /// What comes next; the cursor is behind it then.
    pub fn next(&self, cursor: &mut Cursor) -> Next {
        let order = match cursor.0 {
            At::Snapshot { after, base } => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let page = self.grants.range((from, Bound::Unbounded)).take(PAGE);
                let grants: Vec<_> = page.map(|(key_id, grant)| grant.message(*key_id)).collect();
                if let Some(last) = grants.last() {
                    cursor.0 = At::Snapshot {
                        after: Some(last.key_id),
                        base,
                    };
                    Order::Page(GrantPage { grants })
                } else {
                    cursor.0 = At::Changes { sequence: base };
                    Order::End(EndOfSnapshot { sequence: base })
                }
            }
            At::Changes { sequence } if sequence >= self.sequence => return Next::Idle,
            At::Changes { sequence } if !self.remembers(sequence) => return Next::Behind,
            At::Changes { sequence } => {
                let oldest = self.sequence - self.log.len() as u64;
                let touched = usize::try_from(sequence - oldest).ok();
                let Some(&key_id) = touched.and_then(|at| self.log.get(at)) else {
                    return Next::Behind;
                };
                cursor.0 = At::Changes {
                    sequence: sequence + 1,
                };
                // How it stands now, which may be what a later change made of it: that one will say the same again.
                let stands = self.grants.get(&key_id);
                Order::Change(Change {
                    sequence: sequence + 1,
                    change: Some(match stands {
                        Some(grant) => change::Change::Add(grant.message(key_id)),
                        None => change::Change::Remove(key_id),
                    }),
                })
            }
        };
        Next::Order(DirectorOrder { order: Some(order) })
    }

    fn changed(&mut self, key_id: u64) {
        self.sequence += 1;
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(key_id);
    }

    /// Every change behind this one is in the log.
    fn remembers(&self, sequence: u64) -> bool {
        self.sequence - sequence.min(self.sequence) <= self.log.len() as u64
    }
}
