//! What a transaction means, for every store.
//!
//! Problem: stores that keep their entries differently must agree about conditions, revisions and leases. Idea: the rules are written
//! once, over the four things that a table of entries can do. First everything that can refuse is asked, then everything is done; what
//! fails after that is the disk, and the table takes all of it back.

use crate::{Change, Compare, Entry, Key, Lease, Operation, Revision, StoreError, Transaction};

/// When an entry came and when it was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub created: Revision,
    pub modified: Revision,
}

/// A table of entries, within a transaction of its own kind.
pub(crate) trait Table {
    fn stamp(&mut self, key: &Key) -> Result<Option<Stamp>, StoreError>;
    fn has_lease(&mut self, lease: Lease) -> bool;
    fn put(&mut self, entry: &Entry) -> Result<(), StoreError>;
    fn delete(&mut self, key: &Key) -> Result<(), StoreError>;
}

/// Does a transaction as revision `now + 1`, or nothing. Gives what it changed, in order of keys; nothing changed is no revision.
pub(crate) fn apply(
    table: &mut impl Table,
    transaction: &Transaction,
    now: Revision,
) -> Result<Vec<Change>, StoreError> {
    let mut operations: Vec<&Operation> = transaction.operations.iter().collect();
    operations.sort_by(|a, b| a.key().cmp(b.key()));
    if let Some(pair) = operations.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
        return Err(StoreError::Twice {
            key: pair[0].key().clone(),
        });
    }
    check(table, transaction)?;
    let next = Revision(now.0 + 1);
    let mut changes = Vec::with_capacity(operations.len());
    for operation in operations {
        let before = table.stamp(operation.key())?;
        match operation {
            Operation::Put { key, value, lease } => {
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created: before.map_or(next, |stamp| stamp.created),
                    modified: next,
                    lease: *lease,
                };
                table.put(&entry)?;
                changes.push(Change::Put(entry));
            }
            Operation::Delete { key } if before.is_some() => {
                table.delete(key)?;
                changes.push(Change::Deleted(key.clone()));
            }
            Operation::Delete { .. } => {}
        }
    }
    Ok(changes)
}

/// The transaction that ends a lease.
pub(crate) fn end_of_lease(keys: Vec<Key>) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        operations: keys.into_iter().map(|key| Operation::Delete { key }).collect(),
    }
}

fn check(table: &mut impl Table, transaction: &Transaction) -> Result<(), StoreError> {
    for condition in &transaction.conditions {
        let stamp = table.stamp(&condition.key)?;
        let holds = match condition.is {
            Compare::Absent => stamp.is_none(),
            Compare::Present => stamp.is_some(),
            Compare::ModifiedAt(revision) => stamp.is_some_and(|stamp| stamp.modified == revision),
        };
        if !holds {
            return Err(StoreError::Conflict {
                key: condition.key.clone(),
            });
        }
    }
    for operation in &transaction.operations {
        if let Operation::Put {
            lease: Some(lease), ..
        } = operation
            && !table.has_lease(*lease)
        {
            return Err(StoreError::NoLease(*lease));
        }
    }
    Ok(())
}
