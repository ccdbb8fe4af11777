//! Entries of tables as text: what a listing shows, what a batch file holds, what a command line says.
//!
//! ```text
//!  words, YAML, JSON ─► Entry ─ encode ─► TableEntry ─► target
//!              JSON  ◄─ Entry ◄─ decode ─ TableEntry ◄─ target
//! ```
//!
//! What a listing prints as JSON can be written again as it is: `kith -o json dataplane table policy | kith dataplane write -f -`.

use super::matching::{self, MatchError};
use super::rates::{Count, Rates};
use super::schema::{Field, Schema, Table, Unknown};
use super::value::{self, Kind, ValueError};
use kith_p4runtime::proto::v1;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use v1::table_action::Type as ActionType;

/// A value in a file: `1500` or `240.0.0.7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Number(u64),
    Text(String),
}

/// Values by the names of their fields.
pub(super) type Words = BTreeMap<String, Word>;

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    #[default]
    Insert,
    Modify,
    Delete,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// In a batch, what to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) update: Option<Verb>,
    pub(super) table: String,
    /// It is what happens where no other entry matches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) default: bool,
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) key: Words,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) params: Words,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meter: Option<Rates>,
    /// Listed; of no meaning when written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counter: Option<Count>,
}

/// Why something is no entry of the target's program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A name that the program does not have.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A value that does not fit its field.
    #[error("{place}: {field}: {source}")]
    Value {
        /// Table or action.
        place: String,
        /// The field.
        field: String,
        /// What is wrong.
        source: ValueError,
    },
    /// A match that its field does not take.
    #[error("table `{table}`: {field}: {source}")]
    Match {
        /// The table.
        table: String,
        /// The field.
        field: String,
        /// What is wrong.
        source: MatchError,
    },
    /// A value that is not there.
    #[error("{place}: {field} is missing; write {field}=VALUE")]
    Missing {
        /// Table or action.
        place: String,
        /// The field.
        field: String,
    },
    /// No action where one is needed.
    #[error("table `{table}`: say what the entry does; it can {}", .known.join(", "))]
    NoAction {
        /// The table.
        table: String,
        /// Its actions.
        known: Vec<String>,
    },
    /// A priority too few or too many.
    #[error("table `{table}`: {what}")]
    Priority {
        /// The table.
        table: String,
        /// What is wrong, and what to write.
        what: &'static str,
    },
    /// A word that cannot stand where it does.
    #[error("{0}")]
    Grammar(String),
}

impl Entry {
    /// The message that does `verb` with this entry.
    pub(super) fn update(&self, schema: &Schema) -> Result<v1::Update, EntryError> {
        let verb = self.update.unwrap_or_default();
        // The default entry is always there: it can be changed only.
        let kind = match verb {
            _ if self.default => v1::update::Type::Modify,
            Verb::Insert => v1::update::Type::Insert,
            Verb::Modify => v1::update::Type::Modify,
            Verb::Delete => v1::update::Type::Delete,
        };
        let entry = self.encode(schema, kind == v1::update::Type::Insert)?;
        let entity = v1::entity::Entity::TableEntry(entry);
        Ok(v1::Update {
            r#type: kind.into(),
            entity: Some(v1::Entity { entity: Some(entity) }),
        })
    }

    fn encode(&self, schema: &Schema, whole: bool) -> Result<v1::TableEntry, EntryError> {
        let table = schema.table(&self.table)?;
        let action = self
            .action
            .as_deref()
            .map(|name| self.encode_action(table, name))
            .transpose()?;
        if whole && action.is_none() {
            return Err(EntryError::NoAction {
                table: self.table.clone(),
                known: table
                    .actions()
                    .filter(|(_, only)| !only)
                    .map(|(action, _)| action.name().into())
                    .collect(),
            });
        }
        let priority = self.priority.unwrap_or(0);
        let wrong = |what| EntryError::Priority {
            table: self.table.clone(),
            what,
        };
        match (table.has_priority() && !self.default, priority > 0) {
            (true, false) => {
                return Err(wrong(
                    "its entries have a priority above 0; write priority=NUMBER",
                ));
            }
            (false, true) => return Err(wrong("its entries have no priority; leave it out")),
            _ => {}
        }
        Ok(v1::TableEntry {
            table_id: table.id(),
            r#match: self.encode_key(table)?,
            action,
            priority,
            meter_config: self.meter.map(Rates::encode),
            is_default_action: self.default,
            ..v1::TableEntry::default()
        })
    }

    fn encode_key(&self, table: Table<'_>) -> Result<Vec<v1::FieldMatch>, EntryError> {
        if self.default {
            return match self.key.keys().next() {
                None => Ok(Vec::new()),
                Some(name) => {
                    let why = format!(
                        "the default entry of `{}` has no key: leave {name}= out",
                        self.table
                    );
                    Err(EntryError::Grammar(why))
                }
            };
        }
        for name in self.key.keys() {
            table.field(name)?;
        }
        let mut out = Vec::new();
        for field in table.fields() {
            let (table, name) = (self.table.clone(), field.name.to_owned());
            let Some(word) = self.key.get(field.name) else {
                if matching::needs_value(field) {
                    let place = format!("table `{table}`");
                    return Err(EntryError::Missing { place, field: name });
                }
                continue;
            };
            let matched = matching::parse(field, &word.to_string());
            out.extend(matched.map_err(|source| EntryError::Match {
                table,
                field: name,
                source,
            })?);
        }
        Ok(out)
    }

    fn encode_action(&self, table: Table<'_>, name: &str) -> Result<v1::TableAction, EntryError> {
        let action = table.action(name)?;
        for name in self.params.keys() {
            action.param(name)?;
        }
        let mut params = Vec::new();
        for param in action.params() {
            let (place, field) = (format!("action `{name}`"), param.name.to_owned());
            let Some(word) = self.params.get(param.name) else {
                return Err(EntryError::Missing { place, field });
            };
            let value = value::parse(&word.to_string(), param.bits);
            let value = value.map_err(|source| EntryError::Value { place, field, source })?;
            params.push(v1::action::Param {
                param_id: param.id,
                value,
            });
        }
        let action = v1::Action {
            action_id: action.id(),
            params,
        };
        Ok(v1::TableAction {
            r#type: Some(ActionType::Action(action)),
        })
    }

    /// The entry of a message. What the program does not know is shown by its number.
    pub(super) fn decode(schema: &Schema, given: &v1::TableEntry) -> Self {
        let mut entry = Self {
            table: unnamed(given.table_id),
            default: given.is_default_action,
            priority: (given.priority != 0).then_some(given.priority),
            meter: given.meter_config.as_ref().map(Rates::decode),
            counter: given.counter_data.as_ref().map(Count::decode),
            ..Self::default()
        };
        let table = schema.table_by_id(given.table_id);
        if let Some(table) = table {
            table.name().clone_into(&mut entry.table);
        }
        for one in &given.r#match {
            let field = table.and_then(|table| table.fields().find(|field| field.id == one.field_id));
            let name = field.map_or_else(|| unnamed(one.field_id), |field| field.name.to_owned());
            entry.key.insert(name, matching::show(field, one));
        }
        if let Some(ActionType::Action(call)) =
            given.action.as_ref().and_then(|action| action.r#type.as_ref())
        {
            let action = schema.action_by_id(call.action_id);
            entry.action =
                Some(action.map_or_else(|| unnamed(call.action_id), |action| action.name().to_owned()));
            for param in &call.params {
                let field =
                    action.and_then(|action| action.params().find(|field| field.id == param.param_id));
                let name = field.map_or_else(|| unnamed(param.param_id), |field| field.name.to_owned());
                entry.params.insert(name, Word::of(field, &param.value));
            }
        }
        entry
    }
}

/// `session destination_member=240.0.0.7 relay_to address=… port=…`, as a command line would say it.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table)?;
        if self.default {
            f.write_str(" (default)")?;
        }
        let priority = self.priority.map(|priority| ("priority", priority.to_string()));
        let key = self
            .key
            .iter()
            .map(|(name, word)| (name.as_str(), word.to_string()));
        for (name, word) in key.chain(priority) {
            write!(f, " {name}={word}")?;
        }
        if let Some(action) = &self.action {
            write!(f, " {action}")?;
        }
        for (name, word) in &self.params {
            write!(f, " {name}={word}")?;
        }
        Ok(())
    }
}

impl Word {
    /// A value of a field: numbers are numbers, everything else is text.
    pub(super) fn of(field: Option<Field<'_>>, octets: &[u8]) -> Self {
        let kind = field.map_or(Kind::Hex, |field| field.kind());
        match (kind, value::number(octets).map(u64::try_from)) {
            (Kind::Decimal, Some(Ok(number))) => Self::Number(number),
            _ => Self::Text(value::show(kind, octets)),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn unnamed(id: u32) -> String {
    format!("#{id:#010x}")
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::kith;
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> Words {
        pairs
            .iter()
            .map(|(name, word)| ((*name).to_owned(), Word::Text((*word).to_owned())))
            .collect()
    }

    fn session() -> Entry {
        Entry {
            table: "session".into(),
            key: words(&[("destination_member", "240.0.0.7")]),
            action: Some("relay_to".into()),
            params: words(&[
                ("address", "203.0.113.21"),
                ("port", "4000"),
                ("community", "1"),
                ("mtu", "1500"),
            ]),
            ..Entry::default()
        }
    }

    fn sent(entry: &Entry) -> v1::TableEntry {
        let update = entry.update(&kith()).unwrap();
        match update.entity.unwrap().entity.unwrap() {
            v1::entity::Entity::TableEntry(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was_sent() {
        let back = Entry::decode(&kith(), &sent(&session()));
        let json = serde_json::to_value(&back).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "table": "session",
                "match": {"destination_member": "240.0.0.7"},
                "action": "relay_to",
                "params": {"address": "203.0.113.21", "port": 4000, "community": 1, "mtu": 1500},
            })
        );
        let again: Entry = serde_json::from_value(json).unwrap();
        assert_eq!(sent(&again), sent(&session()));
    }

    #[test]
    fn an_entry_that_is_not_whole_is_refused_with_what_is_missing() {
        let schema = kith();
        let wrong = |change: &dyn Fn(&mut Entry)| {
            let mut entry = session();
            change(&mut entry);
            entry.update(&schema).unwrap_err().to_string()
        };
        insta::assert_snapshot!(
            [
                wrong(&|entry| entry.table = "sessions".into()),
                wrong(&|entry| entry.key.clear()),
                wrong(&|entry| entry.key = words(&[("member", "1")])),
                wrong(&|entry| entry.key = words(&[("destination_member", "240.0.0.0/8")])),
                wrong(&|entry| entry.action = None),
                wrong(&|entry| entry.action = Some("authorise".into())),
                wrong(&|entry| drop(entry.params.remove("mtu"))),
                wrong(&|entry| drop(entry.params.insert("port".into(), Word::Number(70_000)))),
                wrong(&|entry| drop(entry.params.insert("ttl".into(), Word::Number(1)))),
                wrong(&|entry| entry.priority = Some(1)),
                wrong(&|entry| entry.default = true),
            ]
            .join("\n")
        );
    }

    #[test]
    fn deleting_needs_the_key_only_and_a_default_no_key() {
        let mut gone = session();
        (gone.action, gone.params, gone.update) = (None, Words::new(), Some(Verb::Delete));
        assert_eq!(gone.update(&kith()).unwrap().r#type(), v1::update::Type::Delete);
        let nothing = Entry {
            table: "endpoint".into(),
            default: true,
            action: Some("act_as_nothing".into()),
            ..Entry::default()
        };
        assert!(sent(&nothing).is_default_action);
        assert_eq!(
            nothing.update(&kith()).unwrap().r#type(),
            v1::update::Type::Modify
        );
    }

    #[test]
    fn what_the_program_does_not_know_is_shown_by_number() {
        let strange = v1::TableEntry {
            table_id: 7,
            ..v1::TableEntry::default()
        };
        assert_eq!(Entry::decode(&kith(), &strange).to_string(), "#0x00000007");
    }
}
