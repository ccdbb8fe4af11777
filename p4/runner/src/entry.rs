//! Table entries as a controller says them: P4 names, and numbers.

use kith_dpdk::swx::Match;

/// An action and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// The action's alias.
    pub action: String,
    /// A number for each parameter, by name.
    pub parameters: Vec<(String, u64)>,
}

/// A table entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The table's alias.
    pub table: String,
    /// Matches by name of the field. Ternary and prefix fields may be left out: they match everything then.
    pub fields: Vec<(String, Match)>,
    /// In a ternary table: greater than 0, and of entries that match, the highest wins. Otherwise 0.
    pub priority: u32,
    /// What happens. Not looked at when the entry is only named (to delete it, to read its counter).
    pub deed: Deed,
}

impl Entry {
    /// An entry of a table, to be completed.
    pub fn of(table: &str) -> Self {
        Self {
            table: table.into(),
            ..Self::default()
        }
    }

    /// All bits of a field are compared.
    pub fn exact(self, field: &str, value: u64) -> Self {
        self.matching(field, Match::Exact(value))
    }

    /// Bits of a field are compared.
    pub fn ternary(self, field: &str, value: u64, mask: u64) -> Self {
        self.matching(field, Match::Masked { value, mask })
    }

    /// The first bits of a field are compared.
    pub fn prefix(self, field: &str, value: u64, length: u32) -> Self {
        self.matching(field, Match::Prefix { value, length })
    }

    /// A field is compared in some way.
    pub fn matching(mut self, field: &str, how: Match) -> Self {
        self.fields.push((field.into(), how));
        self
    }

    /// Of ternary entries that match, the highest priority wins.
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// What happens.
    pub fn does(mut self, action: &str, parameters: &[(&str, u64)]) -> Self {
        self.deed = Deed::new(action, parameters);
        self
    }
}

impl Deed {
    /// An action with parameters by name.
    pub fn new(action: &str, parameters: &[(&str, u64)]) -> Self {
        Self {
            action: action.into(),
            parameters: parameters
                .iter()
                .map(|&(name, value)| (name.into(), value))
                .collect(),
        }
    }
}

/// A step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A new entry; its counter begins at 0, its meter lets everything pass.
    Insert(Entry),
    /// An entry that is there does something else; its counter goes on.
    Modify(Entry),
    /// An entry goes.
    Delete(Entry),
    /// What a table does when nothing matches.
    Default {
        /// The table's alias.
        table: String,
        /// What it does.
        deed: Deed,
    },
}
