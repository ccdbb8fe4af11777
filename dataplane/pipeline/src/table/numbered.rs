//! An exact-match table whose entries have direct counters.
//!
//! Problem: counters belong to workers, entries to generations of a snapshot. Idea: an entry keeps one number from its insertion to its
//! removal, and each worker has an array of counters by these numbers. A number that becomes free waits behind all other free ones, so that a
//! worker that still counts for the old entry is done long before a new one has it. Counters go on from where the number's
//! last owner left them; whoever shows an entry's counters remembers where they stood at its insertion.

use super::TableError;
use super::exact::{ExactTable, Key};
use std::collections::VecDeque;

/// Exact match from `K` to `V`, and an index for counters.
#[derive(Debug, Clone)]
pub struct NumberedTable<K, V> {
    entries: ExactTable<K, (V, u32)>,
    free: VecDeque<u32>,
    unused: u32,
}

impl<K: Key, V: Copy> NumberedTable<K, V> {
    /// An empty table that takes no more than `limit` entries; their indices are below that.
    #[must_use]
    pub fn bounded(limit: usize) -> Self {
        Self {
            entries: ExactTable::bounded(limit),
            free: VecDeque::new(),
            unused: 0,
        }
    }

    /// Enters a key that is not there yet, and gives its index.
    pub fn insert(&mut self, key: K, value: V) -> Result<u32, TableError> {
        // Numbers that were never used first: the others rest as long as possible.
        let limit = u32::try_from(self.entries.limit()).unwrap_or(u32::MAX);
        let fresh = (self.unused < limit).then_some(self.unused);
        let index = fresh.or_else(|| self.free.front().copied());
        let index = match index {
            Some(index) => index,
            // None is free: full, or there already, which is said first.
            None if self.entries.get(key).is_some() => return Err(TableError::Exists),
            None => return Err(TableError::Full(self.entries.limit())),
        };
        self.entries.insert(key, (value, index))?;
        if fresh.is_some() {
            self.unused += 1;
        } else {
            self.free.pop_front();
        }
        Ok(index)
    }

    /// Changes the entry of a key that is there, and gives what it was; its index stays.
    pub fn modify(&mut self, key: K, value: V) -> Result<V, TableError> {
        let &(_, index) = self.entries.get(key).ok_or(TableError::Missing)?;
        self.entries.modify(key, (value, index)).map(|(old, _)| old)
    }

    /// Takes an entry out, and gives what it was.
    pub fn remove(&mut self, key: K) -> Result<V, TableError> {
        let (old, index) = self.entries.remove(key)?;
        self.free.push_back(index);
        Ok(old)
    }

    /// The entry of `key`, and its index.
    #[inline]
    #[must_use]
    pub fn get(&self, key: K) -> Option<(&V, u32)> {
        self.entries.get(key).map(|(value, index)| (value, *index))
    }

    /// All entries and their indices, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V, u32)> {
        self.entries
            .iter()
            .map(|(key, (value, index))| (key, value, *index))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none? Then every look-up misses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.entries.limit()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_index_stays_with_its_entry_and_is_used_again_as_late_as_possible() {
        let mut table = NumberedTable::bounded(3);
        assert_eq!(table.insert(10u32, 'a'), Ok(0));
        assert_eq!(table.insert(10, 'b'), Err(TableError::Exists));
        assert_eq!(table.modify(10, 'b'), Ok('a'));
        assert_eq!(table.get(10), Some((&'b', 0)));
        assert_eq!(table.remove(10), Ok('b'));
        assert_eq!(table.remove(10), Err(TableError::Missing));
        assert_eq!(table.insert(10, 'c'), Ok(1), "0 rests");
        assert_eq!(table.insert(11, 'd'), Ok(2));
        assert_eq!(table.insert(12, 'e'), Ok(0));
        assert_eq!(table.insert(12, 'e'), Err(TableError::Exists));
        assert_eq!(table.insert(13, 'f'), Err(TableError::Full(3)));
        assert_eq!(table.len(), 3);
    }
}
