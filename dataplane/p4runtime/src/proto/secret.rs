//! Messages that can hold keys: they wipe themselves, wherever they are dropped, and print nothing of what is inside.

use super::{kith, v1};
use std::fmt;
use zeroize::Zeroize;

impl v1::ExternEntry {
    /// An entry of an extern instance. Messages that wipe themselves cannot be built on others with `..`.
    #[must_use]
    pub fn of(extern_type_id: u32, extern_id: u32, entry: prost_types::Any) -> Self {
        Self {
            extern_type_id,
            extern_id,
            entry: Some(entry),
        }
    }
}

impl Drop for v1::ExternEntry {
    fn drop(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.value.zeroize();
        }
    }
}

impl fmt::Debug for v1::ExternEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternEntry")
            .field("extern_type_id", &self.extern_type_id)
            .field("extern_id", &self.extern_id)
            .field("entry", &self.entry.as_ref().map(|entry| &entry.type_url))
            .finish_non_exhaustive()
    }
}

impl kith::SecurityAssociation {
    /// An association of which nothing is known but its name.
    #[must_use]
    pub fn new(direction: kith::Direction, index: Option<u32>) -> Self {
        let mut new = Self::default();
        new.set_direction(direction);
        new.index = index;
        new
    }
}

impl Drop for kith::SecurityAssociation {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

impl fmt::Debug for kith::SecurityAssociation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityAssociation")
            .field("direction", &self.direction)
            .field("index", &self.index)
            .field("spi", &self.spi)
            .field("soft", &self.soft)
            .field("hard", &self.hard)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
