//! An exact-match table that is built whole and then only read.
//!
//! Open addressing with linear probing at a load of at most one half: a hit is one multiplication and, nearly always, one cache line. The
//! build counts how far an entry may lie from its place, so that a miss ends as early as a hit.

/// A key of a table: its bits are what is hashed and compared.
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
    slots: Box<[Option<(K, V)>]>,
    shift: u32,
    probes: usize,
    len: usize,
}

impl<K: Key, V: Copy> ExactTable<K, V> {
    /// A table of these entries; of equal keys the last one counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut table = Self {
            slots: vec![None; size].into_boxed_slice(),
            shift: 64 - size.trailing_zeros(),
            probes: 1,
            len: 0,
        };
        for (key, value) in entries {
            table.insert(key, value);
        }
        table
    }

    fn insert(&mut self, key: K, value: V) {
        let home = self.home(key);
        for distance in 0..self.slots.len() {
            let at = (home + distance) & (self.slots.len() - 1);
            match &mut self.slots[at] {
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
        let home = self.home(key);
        for distance in 0..self.probes {
            match self.slots.get((home + distance) & (self.slots.len() - 1))? {
                Some((there, value)) if *there == key => return Some(value),
                Some(_) => {}
                None => return None,
            }
        }
        None
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

    /// Is there none? Then every look-up misses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fibonacci hashing: the high bits of a product with 2^64 / φ.
    #[inline]
    fn home(&self, key: K) -> usize {
        (key.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }
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
    }
}
