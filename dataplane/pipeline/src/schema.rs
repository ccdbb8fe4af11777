//! The tables as the P4 program has them: names, keys, actions, in the order in which a packet meets them.
//!
//! Problem: what a controller writes through P4Runtime must mean the same to this pipeline as to the compiled program.
//! Idea: each table says beside its code what it is in P4; [`TABLES`] collects that, and a test on the P4 side compares it with the
//! compiled program's P4Info.

use crate::table::{
    association, endpoint, local, member, neighbor, policy, port, route, sender, session, virtual_address,
};

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// As in P4Info, and the field of [`crate::tables::Tables`] that holds it.
    pub name: &'static str,
    /// Match fields: name, kind, bits.
    pub keys: &'static [(&'static str, Match, u32)],
    /// What entries may do.
    pub actions: &'static [Action],
    /// What happens to a packet that no entry matches, if the program names an action for it.
    pub default_action: Option<&'static str>,
    /// How many entries fit; 0 for a table that has a default action only. `sender` and `session` may be configured smaller.
    pub size: usize,
}

/// How a field is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The whole value.
    Exact,
    /// Its first bits; the longest prefix wins.
    Lpm,
    /// The bits under a mask; the highest priority wins.
    Ternary,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// As in P4Info.
    pub name: &'static str,
    /// Parameters: name, bits.
    pub params: &'static [(&'static str, u32)],
}

/// All tables, in order of apply.
pub const TABLES: &[Table] = &[
    endpoint::SCHEMA,
    port::INGRESS_SCHEMA,
    sender::SCHEMA,
    session::SCHEMA,
    local::DESTINATION_SCHEMA,
    local::SOURCE_SCHEMA,
    association::SCHEMA,
    policy::SCHEMA,
    member::SCHEMA,
    virtual_address::DESTINATION_SCHEMA,
    virtual_address::SOURCE_SCHEMA,
    route::SCHEMA,
    neighbor::SCHEMA,
    port::EGRESS_SCHEMA,
];

/// The table with this name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_name_is_given_twice() {
        let tables: HashSet<_> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(tables.len(), TABLES.len());
        let actions: Vec<_> = TABLES
            .iter()
            .flat_map(|table| table.actions)
            .map(|action| action.name)
            .collect();
        assert_eq!(actions.iter().collect::<HashSet<_>>().len(), actions.len());
    }

    #[test]
    fn a_default_action_is_one_of_the_table() {
        for table in TABLES {
            let known = |name| table.actions.iter().any(|action| action.name == name);
            assert!(table.default_action.is_none_or(known), "{}", table.name);
        }
    }
}
