//! Where in an entry a number goes, and in which order its octets stand.
//!
//! A key is a piece of the struct it is looked up in, from its first field to its last: header fields in network order, metadata in
//! host order. Action data is the arguments one after another, each in network order if the program moves it to a header.

use super::entry::{Action, Key, Match};
use super::{MatchKind, SwxError};
use std::collections::HashMap;

/// A field of a key.
#[derive(Debug)]
pub(super) struct KeyField {
    pub(super) name: String,
    pub(super) kind: MatchKind,
    pub(super) bits: u32,
    /// Octets from the beginning of the key.
    pub(super) offset: usize,
    pub(super) network: bool,
}

/// A table.
#[derive(Debug)]
pub(super) struct TableLayout {
    pub(super) name: String,
    pub(super) fields: Vec<KeyField>,
    pub(super) key_octets: usize,
    pub(super) size: u32,
    pub(super) actions: Vec<String>,
    pub(super) default_is_const: bool,
}

/// An argument of an action.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) bits: u32,
    pub(super) network: bool,
}

/// An action.
#[derive(Debug)]
pub(super) struct ActionLayout {
    pub(super) id: u64,
    pub(super) arguments: Vec<Argument>,
}

/// A key as DPDK has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyOctets {
    /// Bits that are not compared are zero.
    pub(super) key: Vec<u8>,
    /// None in a table of exact matches.
    pub(super) mask: Option<Vec<u8>>,
}

impl TableLayout {
    /// Whether SWX makes it a table of exact matches.
    pub(super) fn is_exact(&self) -> bool {
        self.fields.iter().all(|field| field.kind == MatchKind::Exact)
    }

    /// The key's octets, and its rank.
    pub(super) fn key(&self, key: &Key) -> Result<(KeyOctets, u32), SwxError> {
        let mut octets = vec![0; self.key_octets];
        let mut masks = vec![0; self.key_octets];
        let mut rank = key.rank;
        if self.fields.is_empty() {
            return Err(SwxError::Config {
                what: format!("table {}", self.name),
                why: "it has no key, hence no entries but the default one",
            });
        }
        for (name, _) in &key.fields {
            if !self.fields.iter().any(|field| field.name == *name) {
                return Err(unknown("key field", &self.name, name));
            }
        }
        if key.fields.len() != self.fields.len() {
            return Err(SwxError::Config {
                what: format!("an entry of table {}", self.name),
                why: "a match for each field of the key is wanted, once",
            });
        }
        for field in &self.fields {
            let given = key.fields.iter().find(|(name, _)| *name == field.name);
            let (_, given) = given.ok_or_else(|| unknown("match for key field", &self.name, &field.name))?;
            let all = ones(field.bits);
            let wrong = || SwxError::MatchKind {
                table: self.name.clone(),
                field: field.name.clone(),
            };
            let (value, mask) = match (*given, field.kind) {
                (Match::Exact(value), kind) => {
                    if kind == MatchKind::Prefix && rank != 0 {
                        return Err(wrong());
                    }
                    (value, all)
                }
                (Match::Masked { value, mask }, MatchKind::Wildcard) => (value, mask),
                (Match::Any, MatchKind::Wildcard) => (0, 0),
                (Match::Prefix { value, length }, MatchKind::Prefix) if rank == 0 && length <= field.bits => {
                    rank = field.bits - length;
                    (value, all & !ones(field.bits - length))
                }
                (Match::Any, MatchKind::Prefix) if rank == 0 => {
                    rank = field.bits;
                    (0, 0)
                }
                _ => return Err(wrong()),
            };
            let qualified = || format!("field {} of table {}", field.name, self.name);
            fits(value, field.bits, qualified)?;
            fits(mask, field.bits, qualified)?;
            put(
                &mut octets[field.offset..],
                value & mask,
                field.bits,
                field.network,
            );
            put(&mut masks[field.offset..], mask, field.bits, field.network);
        }
        let exact = self.is_exact();
        if (exact && rank != 0) || rank > MAX_RANK {
            return Err(SwxError::Config {
                what: format!("an entry of table {}", self.name),
                why: "the rank is for tables with wildcards, and at most 536870910",
            });
        }
        let mask = (!exact).then_some(masks);
        Ok((KeyOctets { key: octets, mask }, rank))
    }
}

/// The highest rank. The access control library ranks from 1 to 2^29 - 1, and SWX subtracts ours from the highest.
pub const MAX_RANK: u32 = (1 << 29) - 2;

/// The action's identifier and data.
pub(super) fn action_data(
    table: &TableLayout,
    actions: &HashMap<String, ActionLayout>,
    action: &Action,
) -> Result<(u64, Vec<u8>), SwxError> {
    let known = table.actions.contains(&action.name);
    let layout = actions.get(&action.name).filter(|_| known);
    let layout = layout.ok_or_else(|| unknown("action", &table.name, &action.name))?;
    for (name, _) in &action.arguments {
        if !layout.arguments.iter().any(|argument| argument.name == *name) {
            return Err(unknown("argument", &action.name, name));
        }
    }
    if action.arguments.len() != layout.arguments.len() {
        return Err(SwxError::Config {
            what: format!("action {}", action.name),
            why: "a number for each argument is wanted, once",
        });
    }
    let mut data = Vec::new();
    for argument in &layout.arguments {
        let given = action.arguments.iter().find(|(name, _)| *name == argument.name);
        let (_, value) = given.ok_or_else(|| unknown("argument", &action.name, &argument.name))?;
        fits(*value, argument.bits, || {
            format!("argument {} of action {}", argument.name, action.name)
        })?;
        let at = data.len();
        data.resize(at + argument.bits as usize / 8, 0);
        put(&mut data[at..], *value, argument.bits, argument.network);
    }
    Ok((layout.id, data))
}

fn unknown(what: &'static str, of: &str, name: &str) -> SwxError {
    SwxError::Unknown {
        what,
        name: format!("{name} of {of}"),
    }
}

/// That many bits set, from the lowest.
fn ones(bits: u32) -> u64 {
    match bits {
        0 => 0,
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

fn fits(value: u64, bits: u32, field: impl FnOnce() -> String) -> Result<(), SwxError> {
    if value & !ones(bits) != 0 {
        return Err(SwxError::Range {
            field: field(),
            value,
            bits,
        });
    }
    Ok(())
}

/// Fields are whole octets, at most eight (Builder::struct_type sees to it).
fn put(to: &mut [u8], value: u64, bits: u32, network: bool) {
    let octets = bits as usize / 8;
    if network {
        to[..octets].copy_from_slice(&value.to_be_bytes()[8 - octets..]);
    } else if cfg!(target_endian = "little") {
        to[..octets].copy_from_slice(&value.to_le_bytes()[..octets]);
    } else {
        to[..octets].copy_from_slice(&value.to_be_bytes()[8 - octets..]);
    }
}
