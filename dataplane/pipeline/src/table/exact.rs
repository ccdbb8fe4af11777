//! An exact-match table for a snapshot.
//!
//! Open addressing with linear probing at a load of at most one half: a hit is one multiplication and, nearly always, one cache line. The
//! table knows how far an entry may lie from its place, so that a miss ends as early as a hit. Clones share the entries until one of them
//! changes: the next generation copies only the tables it touches.

use super::TableError;
use std::sync::Arc;

/// A key of a table: its bits are what is hashed.
pub trait Key: Copy + Eq {
    /// The key as a number; equal keys give equal numbers.
    fn bits(self) -> u64;
}

impl Key for std::net::Ipv4Addr {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl Key for u32 {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self)
    }
}

/// Exact match from `K` to `V`.
#[derive(Debug, Clone)]
pub struct ExactTable<K, V> {
    slots: Arc<[Option<(K, V)>]>,
    shift: u32,
    probes: usize,
    len: usize,
    limit: usize,
}

impl<K: Key, V: Copy> ExactTable<K, V> {
    /// A table of these entries, as large as it needs to be; of equal keys the last one counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut table = Self::sized(entries.len(), usize::MAX);
        for (key, value) in entries {
            table.put(key, value);
        }
        table
    }

    /// An empty table that takes no more than `limit` entries.
    #[must_use]
    pub fn bounded(limit: usize) -> Self {
        Self::sized(0, limit)
    }

    /// An empty table with room for `entries`.
    fn sized(entries: usize, limit: usize) -> Self {
        let size = (entries * 2).next_power_of_two().max(2);
        Self {
            slots: vec![None; size].into(),
            shift: 64 - size.trailing_zeros(),
            probes: 1,
            len: 0,
            limit,
        }
    }

    /// Enters a key that is not there yet.
    pub fn insert(&mut self, key: K, value: V) -> Result<(), TableError> {
        if self.get(key).is_some() {
            return Err(TableError::Exists);
        }
        if self.len >= self.limit {
            return Err(TableError::Full(self.limit));
        }
        if (self.len + 1) * 2 > self.slots.len() {
            let mut larger = Self::sized(self.len + 1, self.limit);
            for (key, value) in self.iter() {
                larger.put(*key, *value);
            }
            *self = larger;
        }
        self.put(key, value);
        Ok(())
    }

    /// Changes the entry of a key that is there, and gives what it was.
    pub fn modify(&mut self, key: K, value: V) -> Result<V, TableError> {
        let at = self.find(key).ok_or(TableError::Missing)?;
        let slot = &mut Arc::make_mut(&mut self.slots)[at];
        slot.replace((key, value))
            .map(|(_, old)| old)
            .ok_or(TableError::Missing)
    }

    /// Takes an entry out, and gives what it was.
    pub fn remove(&mut self, key: K) -> Result<V, TableError> {
        let mut hole = self.find(key).ok_or(TableError::Missing)?;
        let mask = self.slots.len() - 1;
        let (shift, slots) = (self.shift, Arc::make_mut(&mut self.slots));
        let (_, old) = slots[hole].take().ok_or(TableError::Missing)?;
        self.len -= 1;
        // Entries behind the hole that do not stand in their own place move up, so that a miss may still end at a gap.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some((key, _)) = slots[at] else {
                return Ok(old);
            };
            let from_home = at.wrapping_sub(home(key, shift)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                slots[hole] = slots[at].take();
                hole = at;
            }
        }
    }

    /// Enters or changes; there is room.
    fn put(&mut self, key: K, value: V) {
        let home = home(key, self.shift);
        let slots = Arc::make_mut(&mut self.slots);
        for distance in 0..slots.len() {
            let at = (home + distance) & (slots.len() - 1);
            match &mut slots[at] {
                Some((there, old)) if *there == key => return *old = value,
                Some(_) => {}
                empty => {
                    *empty = Some((key, value));
                    self.probes = self.probes.max(distance + 1);
                    self.len += 1;
                    return;
                }
            }
        }
    }

    /// The entry of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        let home = home(key, self.shift);
        for distance in 0..self.probes {
            match self.slots.get((home + distance) & (self.slots.len() - 1))? {
                Some((there, value)) if *there == key => return Some(value),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    fn find(&self, key: K) -> Option<usize> {
        let (home, mask) = (home(key, self.shift), self.slots.len() - 1);
        (0..self.probes)
            .map(|distance| (home + distance) & mask)
            .find(|at| matches!(&self.slots[*at], Some((there, _)) if *there == key))
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().flatten().map(|(key, value)| (key, value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Is there none? Then every look-up misses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Fibonacci hashing: the high bits of a product with 2^64 / φ.
#[inline]
fn home<K: Key>(key: K, shift: u32) -> usize {
    (key.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

impl<K: Key, V: Copy> Default for ExactTable<K, V> {
    fn default() -> Self {
        Self::new([])
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn an_empty_table_misses() {
        assert_eq!(ExactTable::<u32, u8>::default().get(0), None);
    }

    #[test]
    fn a_full_table_says_so_and_how_full() {
        let mut table = ExactTable::bounded(2);
        table.insert(1u32, 'a').unwrap();
        table.insert(2, 'b').unwrap();
        assert_eq!(table.insert(3, 'c'), Err(TableError::Full(2)));
        assert_eq!(table.insert(2, 'c'), Err(TableError::Exists));
        assert_eq!(table.remove(1), Ok('a'));
        assert_eq!(table.insert(3, 'c'), Ok(()));
    }

    #[test]
    fn a_clone_does_not_see_what_changes_later() {
        let mut next = ExactTable::new([(1u32, 'a')]);
        let published = next.clone();
        next.modify(1, 'b').unwrap();
        assert_eq!((published.get(1), next.get(1)), (Some(&'a'), Some(&'b')));
    }

    proptest! {
        #[test]
        fn equals_a_map(entries in proptest::collection::vec((0u32..500, any::<u16>()), 0..400)) {
            let map: HashMap<u32, u16> = entries.iter().copied().collect();
            let table = ExactTable::new(entries);
            prop_assert_eq!(table.len(), map.len());
            for key in 0..500 {
                prop_assert_eq!(table.get(key), map.get(&key));
            }
        }

        #[test]
        fn changes_are_those_of_a_map(steps in proptest::collection::vec((0u8..3, 0u32..60, any::<u16>()), 0..400)) {
            let (mut map, mut table) = (HashMap::new(), ExactTable::bounded(40));
            for (step, key, value) in steps {
                let there = map.contains_key(&key);
                match step {
                    0 if there => prop_assert_eq!(table.insert(key, value), Err(TableError::Exists)),
                    0 if map.len() == 40 => prop_assert_eq!(table.insert(key, value), Err(TableError::Full(40))),
                    0 => {
                        map.insert(key, value);
                        prop_assert_eq!(table.insert(key, value), Ok(()));
                    }
                    1 if there => prop_assert_eq!(table.modify(key, value).ok(), map.insert(key, value)),
                    1 => prop_assert_eq!(table.modify(key, value), Err(TableError::Missing)),
                    _ => prop_assert_eq!(table.remove(key).ok(), map.remove(&key)),
                }
                prop_assert_eq!(table.len(), map.len());
                for key in 0..60 {
                    prop_assert_eq!(table.get(key), map.get(&key));
                }
            }
        }
    }
}
