//! Table entries as callers say them: numbers by field name.

/// How one field of a key is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// All bits are compared.
    Exact(u64),
    /// Bits that are set in the mask are compared.
    Masked {
        /// The bits to be found.
        value: u64,
        /// Which count.
        mask: u64,
    },
    /// The highest `length` bits are compared; the longest prefix wins.
    Prefix {
        /// The bits to be found.
        value: u64,
        /// How many count.
        length: u32,
    },
    /// Nothing is compared. In a field matched by prefix this is the shortest one.
    Any,
}

/// Which entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The table.
    pub table: String,
    /// A match for each field of the key, by name, in any order.
    pub fields: Vec<(String, Match)>,
    /// In a wildcard table: of entries that match, the one with the lowest rank wins. Otherwise 0.
    pub rank: u32,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// The action.
    pub name: String,
    /// A number for each argument, by name, in any order.
    pub arguments: Vec<(String, u64)>,
}

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A new entry.
    Insert(Key, Action),
    /// Another action for an entry that exists. It keeps its identifier, hence its counters and its meter.
    Modify(Key, Action),
    /// The entry goes.
    Delete(Key),
    /// What a table does when nothing matches.
    Default(String, Action),
}
