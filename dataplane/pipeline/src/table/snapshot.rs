//! One snapshot, one generation: how tables reach workers.
//!
//! A worker holds a [`Reader`] and takes the current generation between bursts; a packet never sees two. The publisher
//! keeps every generation until no reader holds it, so that the memory of a large table is freed by the publisher and
//! never by a worker in the middle of its work.

use arc_swap::{ArcSwap, Cache};
use std::sync::Arc;

/// Gives out generations of `T`. There is one.
#[derive(Debug)]
pub struct Publisher<T> {
    current: Arc<ArcSwap<T>>,
    retired: Vec<Arc<T>>,
}

/// Sees the newest generation.
#[derive(Debug, Clone)]
pub struct Reader<T>(Cache<Arc<ArcSwap<T>>, Arc<T>>);

impl<T> Publisher<T> {
    /// Begins with a first generation.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
            retired: Vec::new(),
        }
    }

    /// A reader for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        Reader(Cache::new(self.current.clone()))
    }

    /// The generation that is current now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Makes `next` the current generation, and frees those that no reader holds any more.
    pub fn publish(&mut self, next: T) {
        self.retired.push(self.current.swap(Arc::new(next)));
        self.reclaim();
    }

    /// Frees generations that no reader holds; gives how many are still held.
    pub fn reclaim(&mut self) -> usize {
        // A count of one is ours alone; it cannot grow, for readers only take the current generation.
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        self.retired.len()
    }
}

impl<T> Reader<T> {
    /// The newest generation: one atomic load when nothing changed.
    #[inline]
    pub fn load(&mut self) -> &Arc<T> {
        self.0.load()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_moves_on_when_it_asks_and_the_publisher_frees() {
        let mut publisher = Publisher::new(1);
        let mut reader = publisher.reader();
        let held = reader.load().clone();
        publisher.publish(2);
        assert_eq!((*held, publisher.reclaim()), (1, 1), "a held generation stays");
        assert_eq!(**reader.load(), 2);
        drop(held);
        assert_eq!(publisher.reclaim(), 0);
    }
}
