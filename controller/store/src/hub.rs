//! Watchers: each revision once, whole and in order, or the word that something was missed.
//!
//! Problem: a watcher may be slow or gone, and the store must neither wait for it nor keep for it what it does not fetch. Idea: each has
//! a bounded queue with one place more than events may wait, and only the hub fills it; when the events' places are taken, the last
//! place takes [`WatchEvent::Resync`] and the watch ends.
//!
//! ```text
//!  revision ──► prefix? ──► [ e e e e . . . | R ] ──► watcher
//! ```
//!
//! Cost: a comparison per watcher and change; a copy of the change for those who watch it.

use crate::{Change, Key, Revision, WatchEvent};

/// All watchers of a store.
pub(crate) struct Hub {
    watchers: Vec<Watcher>,
    events: usize,
}

struct Watcher {
    prefix: Key,
    to: flume::Sender<WatchEvent>,
    limit: usize,
}

impl Hub {
    /// Each watcher may leave so many events unfetched.
    pub fn new(events: usize) -> Self {
        Self {
            watchers: Vec::new(),
            events: events.max(1),
        }
    }

    /// A watch, beginning with what happened since the revision that it asks from; `None` is: that is not known any more.
    ///
    /// What it is owed at its beginning comes on top of its bound, and is itself bounded by the history.
    pub fn start(&mut self, prefix: Key, owed: Option<Vec<WatchEvent>>) -> flume::Receiver<WatchEvent> {
        let limit = self.events + owed.as_ref().map_or(0, Vec::len);
        let (to, from) = flume::bounded(limit + 1);
        match owed {
            None => end(&to),
            Some(owed) => {
                for event in owed {
                    let _ = to.try_send(event);
                }
                self.watchers.push(Watcher { prefix, to, limit });
            }
        }
        from
    }

    /// A revision happened.
    pub fn publish(&mut self, revision: Revision, changes: &[Change]) {
        self.watchers.retain(|watcher| {
            if watcher.to.is_disconnected() {
                return false;
            }
            let Some(event) = event(&watcher.prefix, revision, changes) else {
                return true;
            };
            // Nobody else sends: a place that is free now stays free.
            if watcher.to.len() < watcher.limit {
                return watcher.to.try_send(event).is_ok();
            }
            end(&watcher.to);
            false
        });
    }

    /// Everything changed: all watches end.
    pub fn resync(&mut self) {
        for watcher in self.watchers.drain(..) {
            end(&watcher.to);
        }
    }
}

/// What a watcher of this prefix hears of a revision.
pub(crate) fn event(prefix: &Key, revision: Revision, changes: &[Change]) -> Option<WatchEvent> {
    let changes: Vec<Change> = changes
        .iter()
        .filter(|change| key(change).as_str().starts_with(prefix.as_str()))
        .cloned()
        .collect();
    (!changes.is_empty()).then_some(WatchEvent::Changed { revision, changes })
}

/// Which key a change is of.
pub(crate) fn key(change: &Change) -> &Key {
    match change {
        Change::Put(entry) => &entry.key,
        Change::Deleted(key) => key,
    }
}

/// What a change weighs in the history.
pub(crate) fn octets(changes: &[Change]) -> usize {
    let of = |change: &Change| match change {
        Change::Put(entry) => entry.key.as_str().len() + entry.value.len(),
        Change::Deleted(key) => key.as_str().len(),
    };
    changes.iter().map(of).sum()
}

fn end(to: &flume::Sender<WatchEvent>) {
    // The last place is kept for this; a watcher that is gone needs no word.
    let _ = to.try_send(WatchEvent::Resync);
}
