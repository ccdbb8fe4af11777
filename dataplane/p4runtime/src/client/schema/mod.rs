//! Words ⇄ messages, for any P4 program: names and values by the P4Info that the target gives.
//!
//! ```text
//!  "route" "destination=10.0.0.0/8" "via port=1 gateway=192.0.2.1"  ⇄  TableEntry { table_id, match[], action }
//! ```
//!
//! Nothing of our own program is known here: a [`Schema`] is built from whatever P4Info comes.

mod entry;
mod value;

pub use entry::Shown;
pub use value::{format as format_value, parse as parse_value};

use crate::proto::config::match_field::{Match, MatchType};
use crate::proto::config::{self, P4Info};

/// A word that means nothing to the program, or a value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A name.
    #[error("there is no {what} {name:?}; there are: {}", known.join(", "))]
    Unknown {
        /// Table, match field, …
        what: &'static str,
        /// What was written.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A value.
    #[error("{field}: {text:?} is no value of {bits} bits; write {advice}")]
    Value {
        /// The field.
        field: String,
        /// What was written.
        text: String,
        /// The field's width.
        bits: u32,
        /// What is possible.
        advice: &'static str,
    },
    /// A match.
    #[error("{field}: {text:?} is no {kind} match; write {advice}")]
    Match {
        /// The field.
        field: String,
        /// What was written.
        text: String,
        /// Exact, ternary, …
        kind: &'static str,
        /// What is possible.
        advice: &'static str,
    },
    /// A field or parameter that must be there.
    #[error("{of}: {name} is missing; write {name}=VALUE")]
    Missing {
        /// Table or action.
        of: String,
        /// The field.
        name: String,
    },
    /// A field or parameter twice.
    #[error("{of}: {name} is there twice; write it once")]
    Repeated {
        /// Table or action.
        of: String,
        /// The field.
        name: String,
    },
    /// A priority where there is none, or none where there must be one.
    #[error("table {table}: {what}")]
    Priority {
        /// The table.
        table: String,
        /// What to do.
        what: &'static str,
    },
}

/// How a field is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The value.
    Exact,
    /// The longest prefix.
    Lpm,
    /// Some bits.
    Ternary,
    /// From here to there.
    Range,
    /// The value, or any.
    Optional,
    /// Something of the architecture's own: cannot be written here.
    Other,
}

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As a number.
    Number,
    /// As 192.0.2.1.
    Ipv4,
    /// As 2001:db8::1.
    Ipv6,
    /// As 02:00:00:00:00:01.
    Mac,
}

/// A match field or a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its width; 0: text.
    pub bits: u32,
    /// How it is shown.
    pub style: Style,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Vec<Field>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its id.
    pub id: u32,
    /// Its name: the shortest that is unique.
    pub name: String,
    /// Its match fields, and how they are matched.
    pub fields: Vec<(Field, Kind)>,
    /// The ids of the actions that its entries can have.
    pub actions: Vec<u32>,
    /// The ids of the actions that its default can be.
    pub default_actions: Vec<u32>,
    /// Can its default action not be changed?
    pub constant_default: bool,
    /// How many entries it has room for.
    pub size: u64,
    /// Does each entry have a counter?
    pub counter: bool,
    /// Does each entry have a meter?
    pub meter: bool,
}

/// An array of counters or meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its cells.
    pub size: u64,
}

/// A program, as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its tables, in the order of the P4Info.
    pub tables: Vec<Table>,
    /// Its actions.
    pub actions: Vec<Action>,
    /// Its counter arrays.
    pub counters: Vec<Array>,
    /// Its meter arrays.
    pub meters: Vec<Array>,
}

impl Schema {
    /// From what the target gives.
    #[must_use]
    pub fn new(info: &P4Info) -> Self {
        let actions = info.actions.iter().map(|action| {
            let (id, name) = named(action.preamble.as_ref());
            let params = action.params.iter().map(|param| {
                let bits = width(info, param.bitwidth, param.type_name.as_ref());
                field(param.id, &param.name, bits, &param.annotations)
            });
            Action {
                id,
                name,
                params: params.collect(),
            }
        });
        let array = |preamble: Option<&config::Preamble>, size: i64| {
            let (id, name) = named(preamble);
            Array {
                id,
                name,
                size: u64::try_from(size).unwrap_or(0),
            }
        };
        Self {
            tables: info.tables.iter().map(|one| table(info, one)).collect(),
            actions: actions.collect(),
            counters: info
                .counters
                .iter()
                .map(|one| array(one.preamble.as_ref(), one.size))
                .collect(),
            meters: info
                .meters
                .iter()
                .map(|one| array(one.preamble.as_ref(), one.size))
                .collect(),
        }
    }

    /// The table with this name, or the end of it behind a dot.
    ///
    /// # Errors
    /// If there is none.
    pub fn table(&self, name: &str) -> Result<&Table, SchemaError> {
        find("table", name, &self.tables, |table| &table.name)
    }

    /// The counter array with this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn counter(&self, name: &str) -> Result<&Array, SchemaError> {
        find("counter", name, &self.counters, |array| &array.name)
    }

    /// The meter array with this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn meter(&self, name: &str) -> Result<&Array, SchemaError> {
        find("meter", name, &self.meters, |array| &array.name)
    }

    /// The action with this id.
    #[must_use]
    pub fn action(&self, id: u32) -> Option<&Action> {
        self.actions.iter().find(|action| action.id == id)
    }
}

impl Table {
    /// Do its entries have priorities?
    #[must_use]
    pub fn has_priority(&self) -> bool {
        self.fields
            .iter()
            .any(|(_, kind)| matches!(kind, Kind::Ternary | Kind::Range | Kind::Optional))
    }
}

/// What has this name, or ends in it behind a dot.
fn find<'a, T>(
    what: &'static str,
    name: &str,
    among: &'a [T],
    of: impl Fn(&T) -> &String,
) -> Result<&'a T, SchemaError> {
    let exact = among.iter().find(|one| of(one) == name);
    let short = || {
        let mut found = among
            .iter()
            .filter(|one| of(one).rsplit('.').next() == Some(name));
        found.next().filter(|_| found.next().is_none())
    };
    exact.or_else(short).ok_or_else(|| SchemaError::Unknown {
        what,
        name: name.to_owned(),
        known: among.iter().map(|one| of(one).clone()).collect(),
    })
}

fn named(preamble: Option<&config::Preamble>) -> (u32, String) {
    preamble.map_or((0, String::new()), |it| {
        (
            it.id,
            if it.alias.is_empty() {
                it.name.clone()
            } else {
                it.alias.clone()
            },
        )
    })
}

fn table(info: &P4Info, table: &config::Table) -> Table {
    use config::action_ref::Scope;
    let (id, name) = named(table.preamble.as_ref());
    let fields = table.match_fields.iter().map(|one| {
        let kind = match one.r#match {
            Some(Match::MatchType(kind)) => match MatchType::try_from(kind) {
                Ok(MatchType::Exact) => Kind::Exact,
                Ok(MatchType::Lpm) => Kind::Lpm,
                Ok(MatchType::Ternary) => Kind::Ternary,
                Ok(MatchType::Range) => Kind::Range,
                Ok(MatchType::Optional) => Kind::Optional,
                Ok(MatchType::Unspecified) | Err(_) => Kind::Other,
            },
            Some(Match::OtherMatchType(_)) | None => Kind::Other,
        };
        let bits = width(info, one.bitwidth, one.type_name.as_ref());
        (field(one.id, &one.name, bits, &one.annotations), kind)
    });
    let actions = |not: Scope| {
        let fitting = table.action_refs.iter().filter(move |one| one.scope() != not);
        fitting.map(|one| one.id).collect()
    };
    let has = |ids: Vec<u32>| ids.iter().any(|id| table.direct_resource_ids.contains(id));
    let ids = |preamble: &Option<config::Preamble>| preamble.as_ref().map_or(0, |it| it.id);
    Table {
        id,
        name,
        fields: fields.collect(),
        actions: actions(Scope::DefaultOnly),
        default_actions: actions(Scope::TableOnly),
        constant_default: table.const_default_action_id != 0,
        size: u64::try_from(table.size).unwrap_or(0),
        counter: has(info
            .direct_counters
            .iter()
            .map(|one| ids(&one.preamble))
            .collect()),
        meter: has(info.direct_meters.iter().map(|one| ids(&one.preamble)).collect()),
    }
}

/// A type that the controller sees in another form has that form's width; text has none.
fn width(info: &P4Info, bits: i32, name: Option<&config::P4NamedType>) -> u32 {
    use config::p4_new_type_spec::Representation;
    use config::p4_new_type_translation::SdnType;
    let types = info.type_info.as_ref().map(|types| &types.new_types);
    let named = name
        .and_then(|name| types?.get(&name.name))
        .and_then(|one| one.representation.as_ref());
    let bits = match named {
        Some(Representation::TranslatedType(translated)) => match translated.sdn_type {
            Some(SdnType::SdnBitwidth(bits)) => bits,
            Some(SdnType::SdnString(_)) => 0,
            None => bits,
        },
        _ => bits,
    };
    u32::try_from(bits).unwrap_or(0)
}

fn field(id: u32, name: &str, bits: u32, annotations: &[String]) -> Field {
    Field {
        id,
        name: name.to_owned(),
        bits,
        style: value::style(name, bits, annotations),
    }
}
