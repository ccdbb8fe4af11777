//! What a P4 program shows to controllers: P4Info in protobuf's text form.
//!
//! Only the form is general ([`Message`]); of the contents, what entries, counters and meters need is kept.

use std::collections::HashMap;

/// Why a text is no P4Info.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum P4InfoError {
    /// The text is not protobuf's text form.
    #[error("line {line}: {what}")]
    Form {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Something lacks a part, or has one of another kind.
    #[error("{of} has no proper {part}")]
    Part {
        /// What.
        of: &'static str,
        /// The part.
        part: &'static str,
    },
    /// An identifier that nothing has.
    #[error("{of} refers to {id}, which is not there")]
    Dangling {
        /// What refers to it.
        of: String,
        /// The identifier.
        id: u32,
    },
}

/// A P4Info, as far as it is needed. Everything is in the order of the text, which is the compiler's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "P4Info's words")]
pub struct P4Info {
    pub tables: Vec<TableInfo>,
    pub actions: HashMap<u32, ActionInfo>,
    pub counters: Vec<Indexed>,
    pub meters: Vec<Indexed>,
    pub direct_counters: HashMap<u32, Named>,
    pub direct_meters: HashMap<u32, Named>,
}

/// What everything has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "P4Info's words")]
pub struct Named {
    pub id: u32,
    pub name: String,
    pub alias: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "P4Info's words")]
pub struct TableInfo {
    pub named: Named,
    pub match_fields: Vec<MatchInfo>,
    pub actions: Vec<ActionRef>,
    pub direct_resources: Vec<u32>,
    pub size: u32,
}

/// A field of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "P4Info's words")]
pub struct MatchInfo {
    pub name: String,
    pub bits: u32,
    pub match_type: String,
}

/// An action that a table may execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "P4Info's words")]
pub struct ActionRef {
    pub id: u32,
    pub default_only: bool,
    pub table_only: bool,
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionInfo {
    /// Its names.
    pub named: Named,
    /// Name and width of each parameter.
    pub params: Vec<(String, u32)>,
}

/// Counters or meters with an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Their names.
    pub named: Named,
    /// How many.
    pub size: u32,
}

impl P4Info {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, P4InfoError> {
        let root = Message::parse(text)?;
        let mut info = Self::default();
        for table in root.all("tables") {
            let mut actions = Vec::new();
            for action in table.all("action_refs") {
                actions.push(ActionRef {
                    id: action.number("id", "an action reference")?,
                    default_only: action.text("scope") == Some("DEFAULT_ONLY"),
                    table_only: action.text("scope") == Some("TABLE_ONLY"),
                });
            }
            let mut match_fields = Vec::new();
            for field in table.all("match_fields") {
                match_fields.push(MatchInfo {
                    name: field.required("name", "a match field")?,
                    bits: field.number("bitwidth", "a match field")?,
                    match_type: field.required("match_type", "a match field")?,
                });
            }
            info.tables.push(TableInfo {
                named: named(table, "a table")?,
                match_fields,
                actions,
                direct_resources: table.numbers("direct_resource_ids"),
                size: table.number("size", "a table")?,
            });
        }
        for action in root.all("actions") {
            let mut params = Vec::new();
            for param in action.all("params") {
                params.push((
                    param.required("name", "a parameter")?,
                    param.number("bitwidth", "a parameter")?,
                ));
            }
            let named = named(action, "an action")?;
            info.actions.insert(named.id, ActionInfo { named, params });
        }
        for (list, into) in [("counters", &mut info.counters), ("meters", &mut info.meters)] {
            for array in root.all(list) {
                into.push(Indexed {
                    named: named(array, "a counter or meter")?,
                    size: array.number("size", "a counter or meter")?,
                });
            }
        }
        let direct = [
            ("direct_counters", &mut info.direct_counters),
            ("direct_meters", &mut info.direct_meters),
        ];
        for (list, into) in direct {
            for resource in root.all(list) {
                let named = named(resource, "a direct counter or meter")?;
                into.insert(named.id, named);
            }
        }
        Ok(info)
    }

    /// The action that a table refers to.
    pub fn action(&self, table: &TableInfo, reference: ActionRef) -> Result<&ActionInfo, P4InfoError> {
        self.actions
            .get(&reference.id)
            .ok_or_else(|| P4InfoError::Dangling {
                of: format!("table {}", table.named.alias),
                id: reference.id,
            })
    }
}

fn named(of: &Message, what: &'static str) -> Result<Named, P4InfoError> {
    let part = "preamble";
    let preamble = of.all(part).next().ok_or(P4InfoError::Part { of: what, part })?;
    Ok(Named {
        id: preamble.number("id", what)?,
        name: preamble.required("name", what)?,
        alias: preamble.required("alias", what)?,
    })
}

/// A protobuf message in text form: names, and scalars or messages.
#[derive(Debug, Default)]
struct Message {
    scalars: Vec<(String, String)>,
    messages: Vec<(String, Message)>,
}

impl Message {
    fn parse(text: &str) -> Result<Self, P4InfoError> {
        // Of the text form, what p4c writes: a field or a brace a line.
        let mut open: Vec<(String, Self)> = vec![(String::new(), Self::default())];
        let mut last = 0;
        for (index, line) in text.lines().enumerate() {
            last = index + 1;
            let fail = |what| P4InfoError::Form {
                line: index + 1,
                what,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_suffix('{') {
                let name = name.trim().trim_end_matches(':').trim_end();
                open.push((name.to_owned(), Self::default()));
            } else if line == "}" {
                let (name, message) = open.pop().ok_or_else(|| fail("a brace too many"))?;
                let (_, parent) = open.last_mut().ok_or_else(|| fail("a brace too many"))?;
                parent.messages.push((name, message));
            } else {
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| fail("neither a field nor a brace"))?;
                let value = value.trim();
                let value = value
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
                    .unwrap_or(value);
                let (_, message) = open.last_mut().ok_or_else(|| fail("a brace too many"))?;
                message.scalars.push((name.trim().to_owned(), value.to_owned()));
            }
        }
        let whole = open.pop().filter(|_| open.is_empty());
        whole.map(|(_, message)| message).ok_or(P4InfoError::Form {
            line: last,
            what: "a brace too few",
        })
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.messages
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, message)| message)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.scalars
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, part: &'static str, of: &'static str) -> Result<String, P4InfoError> {
        self.text(part)
            .map(str::to_owned)
            .ok_or(P4InfoError::Part { of, part })
    }

    fn number(&self, part: &'static str, of: &'static str) -> Result<u32, P4InfoError> {
        let value = self.text(part).and_then(|value| value.parse().ok());
        value.ok_or(P4InfoError::Part { of, part })
    }

    fn numbers(&self, name: &str) -> Vec<u32> {
        let values = self.scalars.iter().filter(|(found, _)| found == name);
        values.filter_map(|(_, value)| value.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brace_too_few_or_too_many_is_reported_with_its_line() {
        let few = P4Info::parse("tables {\n  preamble {\n  }\n").expect_err("open");
        assert_eq!(few.to_string(), "line 3: a brace too few");
        let many = P4Info::parse("pkg_info {\n}\n}\n").expect_err("closed");
        assert_eq!(many.to_string(), "line 3: a brace too many");
    }

    #[test]
    fn a_table_without_a_name_is_refused() {
        let nameless = P4Info::parse("tables {\n  size: 4\n}\n").expect_err("nameless");
        assert_eq!(nameless.to_string(), "a table has no proper preamble");
    }
}
