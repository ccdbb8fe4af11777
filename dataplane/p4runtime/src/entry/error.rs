//! What is wrong with an update or a query as it is written, before any table is asked.

use tonic::Code;

/// A value that does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No octet at all.
    #[error("the value is empty; zero is one octet 0")]
    Empty,
    /// A bit is set above the field's width.
    #[error("the value needs more than {bits} bits; send what fits")]
    TooWide {
        /// The width that the P4Info gives.
        bits: u32,
    },
    /// The width fits, yet the value means nothing here.
    #[error("{value} is not {expected}; send one that is")]
    Meaningless {
        /// What was sent.
        value: u64,
        /// What would be right.
        expected: &'static str,
    },
}

/// What is wrong with an entry, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The table does not exist.
    #[error(
        "no table has the id {id:#010x}; take ids from the P4Info that GetForwardingPipelineConfig gives"
    )]
    UnknownTable {
        /// The id.
        id: u32,
    },
    /// The table has no such match field.
    #[error("table {table}: no match field has the id {id}; take ids from the P4Info")]
    UnknownField {
        /// The table.
        table: &'static str,
        /// The id.
        id: u32,
    },
    /// A match field, parameter or metadata field is there twice.
    #[error("{place}: {field} is given twice; give it once")]
    Repeated {
        /// Table, action or packet header.
        place: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A match field, parameter or metadata field is not there.
    #[error("{place}: {field} is missing; it has no default")]
    Missing {
        /// Table, action or packet header.
        place: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The match is of another kind.
    #[error("table {table}: {field} takes {expected} match; send that kind")]
    MatchKind {
        /// The table.
        table: &'static str,
        /// The field.
        field: &'static str,
        /// The kind, with its article.
        expected: &'static str,
    },
    /// A match that says nothing must be left out (section 9.1.1).
    #[error("table {table}: {field} matches everything; leave the field out instead")]
    MatchesAll {
        /// The table.
        table: &'static str,
        /// The field.
        field: &'static str,
    },
    /// Bits outside the mask or behind the prefix are set (section 9.1.1).
    #[error("table {table}: {field} has bits set that its mask or prefix leaves out; clear them")]
    UnmaskedBits {
        /// The table.
        table: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A prefix longer than the field.
    #[error("table {table}: {field} has a prefix of {length} bits; 1 to {bits} are possible")]
    PrefixLength {
        /// The table.
        table: &'static str,
        /// The field.
        field: &'static str,
        /// What was sent.
        length: i32,
        /// The field's width.
        bits: u32,
    },
    /// A value that does not fit.
    #[error("{place}: {field}: {problem}")]
    Value {
        /// Table, action or packet header.
        place: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// A ternary table's entries have a priority above 0 (section 9.1).
    #[error("table {table}: priority {priority}; a ternary table needs one above 0")]
    PriorityNeeded {
        /// The table.
        table: &'static str,
        /// What was sent.
        priority: i32,
    },
    /// Other tables' entries have none (section 9.1).
    #[error("table {table}: priority {priority}; a table without ternary fields takes none, leave it 0")]
    PriorityRefused {
        /// The table.
        table: &'static str,
        /// What was sent.
        priority: i32,
    },
    /// An entry without action.
    #[error("table {table}: the entry has no action; give one of the table's")]
    NoAction {
        /// The table.
        table: &'static str,
    },
    /// The action is none of the table's.
    #[error("table {table}: it has no action {id:#010x}; take one of its action_refs in the P4Info")]
    UnknownAction {
        /// The table.
        table: &'static str,
        /// The id.
        id: u32,
    },
    /// The action has no such parameter.
    #[error("action {action}: it has no parameter {id}; take ids from the P4Info")]
    UnknownParam {
        /// The action.
        action: &'static str,
        /// The id.
        id: u32,
    },
    /// The packet header has no such metadata.
    #[error("{place}: it has no metadata {id}; take ids from controller_packet_metadata in the P4Info")]
    UnknownMetadata {
        /// The packet header.
        place: &'static str,
        /// The id.
        id: u32,
    },
    /// The action may only be a table's default, or the default may not be changed.
    #[error("table {table}: {what}")]
    Forbidden {
        /// The table.
        table: &'static str,
        /// What is not allowed, and what is instead.
        what: &'static str,
    },
    /// A combination that the standard or this target excludes.
    #[error("{place}: {what}")]
    Invalid {
        /// Table or entity.
        place: &'static str,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// An entity or feature that this target does not have.
    #[error("{what} are not part of this program; see its P4Info for what is")]
    Unimplemented {
        /// The entity, plural.
        what: &'static str,
    },
    /// A counter, meter or packet header that does not exist.
    #[error("no {what} has the id {id:#010x}; take ids from the P4Info")]
    UnknownObject {
        /// Counter, meter, …
        what: &'static str,
        /// The id.
        id: u32,
    },
    /// An index outside a counter or meter array.
    #[error("{place}: index {index} is outside 0..{size}; take one inside")]
    Index {
        /// The array.
        place: &'static str,
        /// What was sent.
        index: i64,
        /// How many cells there are.
        size: usize,
    },
}

impl EntryError {
    /// The canonical gRPC code, as the standard assigns it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownTable { .. } | Self::UnknownObject { .. } => Code::NotFound,
            // Section 8.3: a byte string that is empty or too wide is out of range.
            Self::Value { .. } => Code::OutOfRange,
            Self::Forbidden { .. } => Code::PermissionDenied,
            Self::Unimplemented { .. } => Code::Unimplemented,
            // Section 9.3.2: negative is invalid, too large is out of range.
            Self::Index { index, .. } if *index >= 0 => Code::OutOfRange,
            _ => Code::InvalidArgument,
        }
    }
}
