//! Table entries in YAML.
//!
//! ```yaml
//! defaults:
//!   - { table: endpoint, action: act_as_director, params: { address: 203.0.113.10, udp_port: 20202 } }
//! entries:
//!   - { table: neighbor, match: { port: 1, address: 203.0.113.22 }, action: resolve, params: { station: "02:00:00:00:00:16" } }
//!   - { table: route, match: { destination: 203.0.113.0/24 }, action: on_link, params: { port: 1 } }
//!   - { table: policy, match: { destination: 10.0.0.0&255.0.0.0 }, priority: 10, action: allow }
//! ```

use kith_p4_runner::{Deed, Entry, Match, Runner, RunnerError, Update};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Why entries are not taken.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// Not of this form.
    #[error(transparent)]
    Form(#[from] serde_saphyr::Error),
    /// A value that is none.
    #[error("{0:?} is no number, IPv4 address or station, with `/length` or `&mask` behind it at most")]
    Value(String),
    /// The program has no such entry.
    #[error("{0}")]
    Refused(#[from] RunnerError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Vec<Written>,
    #[serde(default)]
    entries: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    table: String,
    #[serde(default, rename = "match")]
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    priority: u32,
    action: String,
    #[serde(default)]
    params: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Text(String),
}

/// Writes all entries, in one batch.
pub fn load(text: &str, runner: &mut Runner) -> Result<(), EntriesError> {
    let file: File = serde_saphyr::from_str(text)?;
    let mut updates = Vec::new();
    for written in file.defaults {
        let deed = deed(&written)?;
        updates.push(Update::Default {
            table: written.table,
            deed,
        });
    }
    for written in file.entries {
        let mut entry = Entry::of(&written.table).priority(written.priority);
        entry.deed = deed(&written)?;
        for (name, value) in &written.fields {
            entry = entry.matching(name, how(value)?);
        }
        updates.push(Update::Insert(entry));
    }
    Ok(runner.write(&updates)?)
}

fn deed(written: &Written) -> Result<Deed, EntriesError> {
    let mut parameters = Vec::new();
    for (name, value) in &written.params {
        match how(value)? {
            Match::Exact(value) => parameters.push((name.clone(), value)),
            _ => return Err(EntriesError::Value(format!("parameter {name}"))),
        }
    }
    let action = written.action.clone();
    Ok(Deed { action, parameters })
}

fn how(value: &Value) -> Result<Match, EntriesError> {
    let text = match value {
        Value::Number(number) => return Ok(Match::Exact(*number)),
        Value::Text(text) => text,
    };
    let parsed = if let Some((value, length)) = text.split_once('/') {
        number(value)
            .zip(length.parse().ok())
            .map(|(value, length)| Match::Prefix { value, length })
    } else if let Some((value, mask)) = text.split_once('&') {
        number(value)
            .zip(number(mask))
            .map(|(value, mask)| Match::Masked { value, mask })
    } else {
        number(text).map(Match::Exact)
    };
    parsed.ok_or_else(|| EntriesError::Value(text.clone()))
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.to_bits().into());
    }
    let octets: Vec<&str> = text.split(':').collect();
    if octets.len() == 6 {
        let add =
            |number: u64, octet: &str| Some(number << 8 | u64::from(u8::from_str_radix(octet, 16).ok()?));
        return octets.into_iter().try_fold(0, add);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_addresses_stations_prefixes_and_masks() {
        let how = |text: &str| how(&Value::Text(text.into())).ok();
        assert_eq!(how("0x10"), Some(Match::Exact(16)));
        assert_eq!(how("10.0.0.1"), Some(Match::Exact(0x0a00_0001)));
        assert_eq!(how("02:00:00:00:00:16"), Some(Match::Exact(0x0200_0000_0016)));
        let (value, length) = (0x0a00_0000, 8);
        assert_eq!(how("10.0.0.0/8"), Some(Match::Prefix { value, length }));
        let mask = 0xff00_0000;
        assert_eq!(how("10.0.0.0&255.0.0.0"), Some(Match::Masked { value, mask }));
        assert_eq!(how("10.0.0"), None);
    }
}
