//! Table entries from text, checked against the P4Info: both sides get the same numbers under the same names.
//!
//! ```text
//!  session destination_member=240.0.0.2 relay_to address=203.0.113.22 port=40002 community=1 mtu=1500
//!  policy priority=10 protocol=6 destination_port=22/0xffff deny
//!  route destination=203.0.113.0/24 on_link port=0
//! ```
//!
//! A ternary field that is not named matches anything; without a mask it matches the whole value.

use crate::frame::value;
use kith_p4::info::{self, Field, Table};
use kith_p4::{Error, Folder};

/// An entry: names as in P4Info, all key fields and parameters in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The table.
    pub table: String,
    /// Its key.
    pub key: Vec<Part>,
    /// Larger first; 0 where the table has none.
    pub priority: u32,
    /// The action.
    pub action: String,
    /// Its parameters.
    pub parameters: Vec<(String, u64)>,
}

/// A field of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The field.
    pub name: String,
    /// What it must be,
    pub value: u64,
    /// where this has ones. All of the field's width for exact fields, the first bits for prefixes.
    pub mask: u64,
    /// Bits.
    pub width: u32,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No table of that name.
    #[error("there is no table `{0}`")]
    Table(String),
    /// The table has no such action.
    #[error("table `{0}` has no action `{1}`")]
    Action(String, String),
    /// A field or parameter that there is not.
    #[error("`{0}` has no `{1}`")]
    Name(String, String),
    /// One that is missing.
    #[error("`{0}` wants `{1}`")]
    Missing(String, String),
    /// A value that is none, or is too wide.
    #[error("`{0}` is no value of {1} bits")]
    Value(String, u32),
}

/// The program's tables, to read entries by.
#[derive(Debug, Clone)]
pub struct Program(Vec<Table>);

impl Program {
    /// The program of this repository.
    pub fn load() -> Result<Self, Error> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        info::read(&Folder::at(folder)).map(Self)
    }

    /// Its tables.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.0
    }

    /// Does a table of this name exist?
    #[must_use]
    pub fn has_table(&self, name: &str) -> bool {
        self.0.iter().any(|table| table.name == name)
    }

    /// Reads an entry.
    pub fn entry(&self, line: &str) -> Result<Entry, EntryError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, rest) = words
            .split_first()
            .ok_or_else(|| EntryError::Table(String::new()))?;
        let table = self.0.iter().find(|table| table.name == *name);
        let table = table.ok_or_else(|| EntryError::Table((*name).to_owned()))?;
        let at = rest
            .iter()
            .position(|word| !word.contains('='))
            .unwrap_or(rest.len());
        let (key, call) = rest.split_at(at);
        let (action, given) = call.split_first().unwrap_or((&"", &[]));
        let declared = table.actions.iter().find(|is| is.name == *action);
        let declared =
            declared.ok_or_else(|| EntryError::Action(table.name.clone(), (*action).to_owned()))?;

        let known = |word: &&&str| {
            let name = word.split('=').next().unwrap_or("");
            name != "priority" && !table.key.iter().any(|field| field.name == name)
        };
        if let Some(word) = key.iter().find(known) {
            return Err(EntryError::Name(table.name.clone(), (*word).to_owned()));
        }
        let parts = table
            .key
            .iter()
            .map(|field| part(table, field, said(key, &field.name)));
        let unknown = |word: &&&str| {
            let name = word.split('=').next().unwrap_or("");
            !declared.parameters.iter().any(|(is, _)| is == name)
        };
        if let Some(word) = given.iter().find(unknown) {
            return Err(EntryError::Name(declared.name.clone(), (*word).to_owned()));
        }
        let parameter = |(name, width): &(String, u32)| {
            let text =
                said(given, name).ok_or_else(|| EntryError::Missing(declared.name.clone(), name.clone()))?;
            Ok((name.clone(), number(text, *width)?))
        };
        Ok(Entry {
            table: table.name.clone(),
            key: parts.collect::<Result<_, _>>()?,
            priority: match said(key, "priority") {
                Some(text) => u32::try_from(number(text, 31)?).unwrap_or(0),
                None => 0,
            },
            action: declared.name.clone(),
            parameters: declared
                .parameters
                .iter()
                .map(parameter)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Entry {
    /// A parameter's value, 0 if the action has none of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> u64 {
        self.parameters
            .iter()
            .find(|(is, _)| is == name)
            .map_or(0, |(_, value)| *value)
    }

    /// A key field's value, 0 if the table has none of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> u64 {
        self.part(name).map_or(0, |part| part.value)
    }

    /// The entry as it is read.
    #[must_use]
    pub fn text(&self) -> String {
        let mut words = vec![self.table.clone()];
        if self.priority != 0 {
            words.push(format!("priority={}", self.priority));
        }
        for part in self
            .key
            .iter()
            .filter(|part| part.mask != 0 || self.table == "route")
        {
            let ones = u64::MAX >> (64 - part.width);
            words.push(match self.table.as_str() {
                "route" => format!("{}={:#x}/{}", part.name, part.value, part.mask.count_ones()),
                _ if part.mask == ones => format!("{}={:#x}", part.name, part.value),
                _ => format!("{}={:#x}/{:#x}", part.name, part.value, part.mask),
            });
        }
        words.push(self.action.clone());
        words.extend(
            self.parameters
                .iter()
                .map(|(name, value)| format!("{name}={value:#x}")),
        );
        words.join(" ")
    }

    /// A key field.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.key.iter().find(|part| part.name == name)
    }
}

fn said<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn number(text: &str, width: u32) -> Result<u64, EntryError> {
    let wrong = || EntryError::Value(text.to_owned(), width);
    let value = value(text).ok_or_else(wrong)?;
    if value >> width == 0 {
        Ok(value)
    } else {
        Err(wrong())
    }
}

fn part(table: &Table, field: &Field, text: Option<&str>) -> Result<Part, EntryError> {
    let ones = u64::MAX >> (64 - field.width);
    let (value, mask) = match (field.kind.as_str(), text) {
        ("EXACT", Some(text)) => (number(text, field.width)?, ones),
        ("LPM", Some(text)) => {
            let (value, len) = text.split_once('/').unwrap_or((text, "32"));
            let len: u32 = len
                .parse()
                .ok()
                .filter(|len| *len <= field.width)
                .ok_or_else(|| EntryError::Value(text.to_owned(), field.width))?;
            let mask = ones & !(ones.checked_shr(len).unwrap_or(0));
            (number(value, field.width)? & mask, mask)
        }
        ("TERNARY", None) => (0, 0),
        (_, Some(text)) => match text.split_once('/') {
            Some((value, mask)) => {
                let mask = number(mask, field.width)?;
                (number(value, field.width)? & mask, mask)
            }
            None => (number(text, field.width)?, ones),
        },
        (_, None) => return Err(EntryError::Missing(table.name.clone(), field.name.clone())),
    };
    Ok(Part {
        name: field.name.clone(),
        value,
        mask,
        width: field.width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Result<Entry, EntryError> {
        Program::load().unwrap().entry(line)
    }

    #[test]
    fn fields_of_all_kinds_are_read() {
        let route = entry("route destination=203.0.113.77/24 via port=1 gateway=10.0.0.1").unwrap();
        assert_eq!(
            (route.key[0].value, route.key[0].mask),
            (0xcb00_7100, 0xffff_ff00)
        );
        assert_eq!(route.parameter("gateway"), 0x0a00_0001);
        let rule = entry("policy priority=7 source=10.0.0.0/0xff000000 protocol=6 deny").unwrap();
        assert_eq!((rule.priority, rule.field("protocol")), (7, 6));
        assert_eq!(rule.part("community").unwrap().mask, 0);
        assert_eq!(entry("endpoint act_as_nothing").unwrap().key, []);
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(entry("sessions x"), Err(EntryError::Table("sessions".into())));
        assert_eq!(
            entry("neighbor port=1 address=10.0.0.1 resolve"),
            Err(EntryError::Missing("resolve".into(), "station".into()))
        );
        assert_eq!(
            entry("neighbor port=1 resolve station=02:00:00:00:00:01"),
            Err(EntryError::Missing("neighbor".into(), "address".into()))
        );
        assert_eq!(
            entry("ingress_port port=1 accept_by station=1 address=2 mtu=3"),
            Err(EntryError::Name("accept_by".into(), "mtu=3".into()))
        );
        assert_eq!(
            entry("policy priority=1 protocol=300 allow"),
            Err(EntryError::Value("300".into(), 8))
        );
    }
}
