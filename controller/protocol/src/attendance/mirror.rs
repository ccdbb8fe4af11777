//! The director's end: what it holds, and what the next order makes of it.

use super::Grant;
use crate::director::{self, DirectorOrder, change, director_order::Order};
use crate::secret::Secret32;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// What the manager grants, as far as it was told. It outlives streams: a director goes on with it while the manager is away.
#[derive(Default)]
pub struct Mirror {
    grants: BTreeMap<u64, Grant>,
    /// What all of `grants` is of; zeros while that is not known.
    epoch: u64,
    sequence: u64,
    stream: Stream,
}

#[derive(Default)]
enum Stream {
    /// No welcome yet.
    #[default]
    Begun,
    /// In a snapshot of this epoch: these were in its pages.
    Filling { epoch: u64, seen: BTreeSet<u64> },
    /// Behind the snapshot.
    Following,
}

/// What an order makes of what is held. No `Debug`: grants hold keys.
pub enum News {
    /// This is granted from now on.
    Added(u64, Grant),
    /// Nothing is granted under this key id any more.
    Removed(u64),
    /// From here on all that the manager grants is held.
    Complete,
}

/// An order that makes no sense here: the stream is given up and the director attends anew, from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disorder {
    /// It has no content that this program knows.
    #[error("an order without content; is the manager newer than this program?")]
    Empty,
    /// It comes where it should not.
    #[error("a {0} where none may be")]
    Unexpected(&'static str),
    /// A change is missing, or comes twice.
    #[error("change {got} after {last}")]
    Sequence {
        /// The last one.
        last: u64,
        /// What came instead of the one behind it.
        got: u64,
    },
    /// The manager goes on with something that we do not hold.
    #[error("the manager goes on behind a state that is not held here")]
    Epoch,
    /// A grant is malformed.
    #[error("a grant is not whole")]
    Grant,
}

impl Mirror {
    /// Another stream begins: epoch and sequence number for its hello.
    pub fn begin(&mut self) -> (u64, u64) {
        self.stream = Stream::Begun;
        (self.epoch, self.sequence)
    }

    /// Key ids and what is granted under them.
    pub fn held(&self) -> impl Iterator<Item = (u64, &Grant)> {
        self.grants.iter().map(|(key_id, grant)| (*key_id, grant))
    }

    /// The last change that is part of what is held.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next order of the stream.
    ///
    /// # Errors
    /// If it cannot be the next. What is held stays, and the next stream begins with a snapshot.
    pub fn order(&mut self, order: DirectorOrder, news: &mut Vec<News>) -> Result<(), Disorder> {
        let outcome = self.obey(order, news);
        if outcome.is_err() {
            (self.epoch, self.sequence) = (0, 0);
        }
        outcome
    }

    fn obey(&mut self, order: DirectorOrder, news: &mut Vec<News>) -> Result<(), Disorder> {
        match (order.order.ok_or(Disorder::Empty)?, &mut self.stream) {
            (Order::Welcome(welcome), Stream::Begun) if welcome.snapshot => {
                // Until its end what is held is neither the old state nor the new.
                (self.epoch, self.sequence) = (0, 0);
                self.stream = Stream::Filling {
                    epoch: welcome.epoch,
                    seen: BTreeSet::new(),
                };
            }
            (Order::Welcome(welcome), Stream::Begun) => {
                if self.epoch == 0 || welcome.epoch != self.epoch {
                    return Err(Disorder::Epoch);
                }
                self.stream = Stream::Following;
                news.push(News::Complete);
            }
            (Order::Page(page), Stream::Filling { seen, .. }) => {
                for message in page.grants {
                    let (key_id, grant) = grant(message)?;
                    seen.insert(key_id);
                    put(&mut self.grants, key_id, grant, news);
                }
            }
            (Order::End(end), Stream::Filling { epoch, seen }) => {
                let over = self.grants.keys().filter(|key_id| !seen.contains(key_id));
                let over: Vec<u64> = over.copied().collect();
                for key_id in over {
                    take(&mut self.grants, key_id, news);
                }
                (self.epoch, self.sequence) = (*epoch, end.sequence);
                self.stream = Stream::Following;
                news.push(News::Complete);
            }
            (Order::Change(change), Stream::Following) => {
                let (last, got) = (self.sequence, change.sequence);
                if last.checked_add(1) != Some(got) {
                    return Err(Disorder::Sequence { last, got });
                }
                match change.change.ok_or(Disorder::Empty)? {
                    change::Change::Add(message) => {
                        let (key_id, grant) = grant(message)?;
                        put(&mut self.grants, key_id, grant, news);
                    }
                    change::Change::Remove(key_id) => take(&mut self.grants, key_id, news),
                }
                self.sequence = got;
            }
            (Order::Welcome(_), _) => return Err(Disorder::Unexpected("welcome")),
            (Order::Page(_), _) => return Err(Disorder::Unexpected("page")),
            (Order::End(_), _) => return Err(Disorder::Unexpected("snapshot's end")),
            (Order::Change(_), _) => return Err(Disorder::Unexpected("change")),
        }
        Ok(())
    }
}

/// What is held already is no news: telling it again would end a session for nothing.
fn put(grants: &mut BTreeMap<u64, Grant>, key_id: u64, grant: Grant, news: &mut Vec<News>) {
    if grants.get(&key_id) != Some(&grant) {
        grants.insert(key_id, grant.clone());
        news.push(News::Added(key_id, grant));
    }
}

fn take(grants: &mut BTreeMap<u64, Grant>, key_id: u64, news: &mut Vec<News>) {
    if grants.remove(&key_id).is_some() {
        news.push(News::Removed(key_id));
    }
}

fn grant(message: director::Grant) -> Result<(u64, Grant), Disorder> {
    let octets = Zeroizing::new(message.key);
    let key = Secret32::from_slice(&octets).ok_or(Disorder::Grant)?;
    let community = u16::try_from(message.community).map_err(|_| Disorder::Grant)?;
    if community == 0 || message.name.is_empty() || message.name.len() > 255 {
        return Err(Disorder::Grant);
    }
    let grant = Grant {
        key,
        community,
        name: message.name.into(),
    };
    Ok((message.key_id, grant))
}
