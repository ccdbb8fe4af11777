//! Table entries as Rust types ⇄ `TableEntry` messages.
//!
//! Problem: a `TableEntry` is numbers and byte strings; mistakes in it should be found once, at the door, with words. Idea: each
//! table is declared once ([`tables`]), and from the declaration come its key, its action and its codec.
//!
//! ```text
//!  TableEntry { table_id, match[], action, priority }  ⇄  Entry::Session(SessionKey { .. }, RelayTo { .. })
//! ```
//!
//! What [`decode`] accepts, [`encode`] gives back in canonical form (read-write symmetry, specification 1.4 section 8.2).
//! Cost: about a microsecond an entry, off the packet path.

#[macro_use]
mod macros;
mod codec;
mod error;
mod matching;
#[cfg(test)]
mod refused;
mod tables;
#[cfg(test)]
mod tests;
mod value;

pub use error::{EntryError, ValueError};
pub use matching::{MatchField, Ones, Prefix, Ternary};
pub use tables::*;
pub use value::{Scalar, from_bytes, to_bytes};

pub(crate) use matching::scalar;

use crate::proto::v1::{self, table_action::Type};
use kith_pipeline::units::PortIndex;

/// The table that a message is about.
///
/// # Errors
/// If there is none with its id.
pub fn table_of(given: &v1::TableEntry) -> Result<Table, EntryError> {
    Table::from_id(given.table_id).ok_or(EntryError::UnknownTable { id: given.table_id })
}

/// Reads the key of an entry: table, match fields, priority.
///
/// # Errors
/// If it is none of a table of ours.
pub fn decode_key(given: &v1::TableEntry) -> Result<Key, EntryError> {
    let table = table_of(given)?;
    let place = table.name();
    if given.is_default_action && table != Table::Endpoint {
        let what = "its default action is constant; leave is_default_action out";
        return Err(EntryError::Forbidden { table: place, what });
    }
    if !given.is_default_action && table == Table::Endpoint {
        let what = "it has no key and so no entries; modify its default action (is_default_action)";
        return Err(EntryError::Invalid { place, what });
    }
    Key::of(table, given)
}

/// Reads an entry: key and action.
///
/// # Errors
/// If it is none of a table of ours.
pub fn decode(given: &v1::TableEntry) -> Result<Entry, EntryError> {
    let key = decode_key(given)?;
    let table = key.table().name();
    match given.action.as_ref().and_then(|action| action.r#type.as_ref()) {
        Some(Type::Action(action)) => Entry::of(key, action),
        Some(_) => Err(EntryError::Invalid {
            place: table,
            what: "it has no action profile; give the action itself",
        }),
        None => Err(EntryError::NoAction { table }),
    }
}

/// Writes a key; the message has neither action nor resources.
#[must_use]
pub fn encode_key(key: &Key) -> v1::TableEntry {
    let (matches, priority) = key.parts();
    v1::TableEntry {
        table_id: key.table().id(),
        r#match: matches,
        priority,
        is_default_action: key.table() == Table::Endpoint,
        ..Default::default()
    }
}

/// Writes an entry: key and action.
#[must_use]
pub fn encode(entry: &Entry) -> v1::TableEntry {
    let action = v1::TableAction {
        r#type: Some(Type::Action(entry.action())),
    };
    v1::TableEntry {
        action: Some(action),
        ..encode_key(&entry.key())
    }
}

impl Entry {
    /// The ports that it names: in its key, in its action.
    #[must_use]
    pub fn ports(&self) -> [Option<PortIndex>; 2] {
        match *self {
            Self::IngressPort(key, _) => [Some(key.port), None],
            Self::LocalDestination(key, _) => [Some(key.port), None],
            Self::LocalSource(key, _) => [Some(key.port), None],
            Self::VirtualDestination(_, action) => [None, Some(action.port)],
            Self::VirtualSource(key, _) => [Some(key.port), None],
            Self::Route(_, RouteAction::OnLink { port } | RouteAction::Via { port, .. }) => {
                [None, Some(port)]
            }
            Self::Neighbor(key, _) => [Some(key.port), None],
            Self::EgressPort(key, action) => [Some(key.port), Some(action.port)],
            Self::Endpoint(..) | Self::Sender(..) | Self::Session(..) => [None, None],
            Self::Association(..) | Self::Policy(..) | Self::Member(..) => [None, None],
        }
    }

    /// The MTU that it sets.
    #[must_use]
    pub fn mtu(&self) -> Option<u16> {
        match *self {
            Self::Session(_, RelayTo { mtu, .. }) => Some(mtu),
            Self::Association(_, OpenWith { mtu, .. }) => Some(mtu),
            Self::Member(_, MemberAction::SealTo { mtu, .. }) => Some(mtu),
            _ => None,
        }
    }
}
