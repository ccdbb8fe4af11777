//! What a pipeline is made of, as callers say it.

/// Ports and the memory behind them.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// How many input ports: a power of two. SWX polls them in turn.
    pub inputs: u32,
    /// How many output ports a program may name.
    pub outputs: u32,
    /// How many packets may be inside at once.
    pub packets: usize,
    /// Octets of the largest packet that goes in.
    pub largest: usize,
}

/// A field of a struct. Widths are whole octets, at most 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its width.
    pub bits: u32,
}

/// How a field of a key is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    /// All bits.
    Exact,
    /// The longest prefix.
    Prefix,
    /// Any bits, by rank.
    Wildcard,
}

/// A field of a table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchField {
    /// `h.header.field` or `m.field`.
    pub name: String,
    /// How it is matched.
    pub kind: MatchKind,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Its name.
    pub name: String,
    /// Its key. Without one, only the default action is ever executed.
    pub key: Vec<MatchField>,
    /// Actions, and whether they may be an entry's, and the default entry's.
    pub actions: Vec<(String, bool, bool)>,
    /// What happens when nothing matches; one of the actions.
    pub default_action: String,
    /// Its arguments: `name value name value`, if it has any.
    pub default_arguments: Option<String>,
    /// Whether the default action is for ever.
    pub default_is_const: bool,
    /// The hash function's name, if not DPDK's choice.
    pub hash: Option<String>,
    /// The table type's name, if not DPDK's choice.
    pub kind: Option<String>,
    /// Arguments for the table type.
    pub arguments: Option<String>,
    /// How many entries.
    pub size: u32,
}

/// A table that packets write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerConfig {
    /// As in a table, with a key that is matched exactly and has a field at least.
    pub table: TableConfig,
    /// How long entries live: the timeouts a program chooses from, in seconds.
    pub timeouts: Vec<u32>,
}

/// A table that chooses a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorConfig {
    /// Its name.
    pub name: String,
    /// The field that says which group.
    pub group: String,
    /// Fields that choose in the group.
    pub fields: Vec<String>,
    /// The field that is set to the member.
    pub member: String,
    /// How many groups.
    pub groups: u32,
    /// How many members each.
    pub members: u32,
}
