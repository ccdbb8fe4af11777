//! A program, and what its parts are called.
//!
//! p4c's names in the `.spec` follow from those in P4, but the rule depends on where a thing is declared and on what was inlined
//! (`sender` is `_sender`, `authorise` is `_authorise_0`, `ingress_port` keeps its name). Both outputs have tables, and the actions
//! of each table, in the same order, so the order decides, and names, widths, kinds and parameters are compared: outputs of two different
//! compilations do not pass.

use crate::p4info::{Indexed, MatchInfo, Named, P4Info, P4InfoError, TableInfo};
use crate::spec::{Array, At, Spec, SpecError};
use kith_dpdk::swx::{MatchKind, SwxError, TableConfig};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A file cannot be read.
    #[error("{path}: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The program is malformed.
    #[error("program, {0}")]
    Spec(#[from] SpecError),
    /// The P4Info is malformed.
    #[error("P4Info, {0}")]
    P4Info(#[from] P4InfoError),
    /// Program and P4Info do not belong together.
    #[error("program and P4Info are not of one compilation: {0}")]
    Apart(String),
    /// DPDK does not take a statement.
    #[error("program, line {line}: {reason}")]
    Refused {
        /// Where it begins.
        line: usize,
        /// What DPDK says.
        reason: SwxError,
    },
    /// DPDK does not take the whole.
    #[error("program: {0}")]
    Build(SwxError),
}

/// A table by its P4 name.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in the program.
    pub(crate) name: String,
    /// P4 name, name in the program, kind.
    pub(crate) fields: Vec<(String, String, MatchKind)>,
    pub(crate) actions: HashMap<String, TableAction>,
    /// Registers with packets and octets of its entries.
    pub(crate) counter: (Option<String>, Option<String>),
    /// Meters of its entries.
    pub(crate) meter: Option<String>,
}

/// An action of one table.
#[derive(Debug)]
pub(crate) struct TableAction {
    /// Its name in the program, where each table may have its own copy.
    pub(crate) name: String,
    pub(crate) for_entries: bool,
    /// Parameters that the program sends packets to.
    pub(crate) ports: Vec<String>,
}

/// A compiled program.
#[derive(Debug)]
pub struct Program {
    pub(crate) spec: Spec,
    pub(crate) tables: HashMap<String, Table>,
    /// Registers of counters with an index (packets), and how many of them count.
    pub(crate) counters: HashMap<String, (String, u32)>,
    pub(crate) meters: HashMap<String, (String, u32)>,
}

impl Program {
    /// Reads `NAME.spec` and the `NAME.p4info.txt` beside it.
    pub fn read(spec: &Path) -> Result<Self, ProgramError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|reason| ProgramError::Read {
                path: path.to_owned(),
                reason,
            })
        };
        Self::parse(&read(spec)?, &read(&spec.with_extension("p4info.txt"))?)
    }

    /// From the texts of program and P4Info.
    pub fn parse(spec: &str, p4info: &str) -> Result<Self, ProgramError> {
        let (spec, info) = (Spec::parse(spec)?.compact(), P4Info::parse(p4info)?);
        if spec.tables.len() != info.tables.len() {
            let counts = format!("{} tables and {}", spec.tables.len(), info.tables.len());
            return Err(ProgramError::Apart(counts));
        }
        let mut tables = HashMap::new();
        for (table, described) in spec.tables.iter().zip(&info.tables) {
            tables.insert(
                described.named.alias.clone(),
                pair(&spec, &info, &table.item, described)?,
            );
        }
        let mut counters = HashMap::new();
        for counter in &info.counters {
            let names = arrays(&spec.registers, &counter.named, Some("packets"));
            counters.insert(counter.named.alias.clone(), (one(names, counter)?, counter.size));
        }
        let mut meters = HashMap::new();
        for meter in &info.meters {
            let names = arrays(&spec.meters, &meter.named, None);
            meters.insert(meter.named.alias.clone(), (one(names, meter)?, meter.size));
        }
        Ok(Self {
            spec,
            tables,
            counters,
            meters,
        })
    }

    /// Arrays with an element for each entry of a table.
    pub(crate) fn direct_arrays(&self) -> impl Iterator<Item = &str> {
        self.tables.values().flat_map(|table| {
            let (packets, octets) = &table.counter;
            [packets, octets, &table.meter]
                .into_iter()
                .flatten()
                .map(String::as_str)
        })
    }
}

/// Compares a table of the program with what P4Info says of it.
fn pair(
    spec: &Spec,
    info: &P4Info,
    table: &TableConfig,
    described: &TableInfo,
) -> Result<Table, ProgramError> {
    let alias = &described.named.alias;
    let apart =
        |what: String| ProgramError::Apart(format!("table {alias}, {} in the program: {what}", table.name));
    if !mangled(&table.name, alias) {
        return Err(apart("another name".into()));
    }
    if table.key.len() != described.match_fields.len() || table.actions.len() != described.actions.len() {
        return Err(apart("another number of key fields or actions".into()));
    }
    let mut fields = Vec::new();
    for (field, described) in table.key.iter().zip(&described.match_fields) {
        if spec.width(&field.name) != Some(described.bits) || !same_kind(field.kind, described) {
            return Err(apart(format!("field {} is not {}", described.name, field.name)));
        }
        fields.push((described.name.clone(), field.name.clone(), field.kind));
    }
    let mut actions = HashMap::new();
    for ((name, for_entries, _), &reference) in table.actions.iter().zip(&described.actions) {
        let action = info.action(described, reference)?;
        let params = parameters(spec, name).ok_or_else(|| apart(format!("there is no action {name}")))?;
        if !mangled(name, &action.named.alias) || params != action.params {
            return Err(apart(format!("action {} is not {name}", action.named.alias)));
        }
        let taken = TableAction {
            name: name.clone(),
            for_entries: *for_entries && !reference.default_only,
            ports: ports(spec, name),
        };
        actions.insert(action.named.alias.clone(), taken);
    }
    let mut paired = Table {
        name: table.name.clone(),
        fields,
        actions,
        counter: (None, None),
        meter: None,
    };
    for id in &described.direct_resources {
        if let Some(counter) = info.direct_counters.get(id) {
            paired.counter = (
                arrays(&spec.registers, counter, Some("packets")).pop(),
                arrays(&spec.registers, counter, Some("bytes")).pop(),
            );
            if paired.counter == (None, None) {
                return Err(apart(format!("it has no registers for {}", counter.name)));
            }
        } else if let Some(meter) = info.direct_meters.get(id) {
            paired.meter = arrays(&spec.meters, meter, None).pop();
            if paired.meter.is_none() {
                return Err(apart(format!("it has no meters for {}", meter.name)));
            }
        } else {
            let of = format!("table {alias}");
            return Err(P4InfoError::Dangling { of, id: *id }.into());
        }
    }
    Ok(paired)
}

fn same_kind(kind: MatchKind, described: &MatchInfo) -> bool {
    let wanted = match kind {
        MatchKind::Exact => "EXACT",
        MatchKind::Prefix => "LPM",
        MatchKind::Wildcard => "TERNARY",
    };
    // The compiler takes a key that is not in one piece for a ternary one.
    described.match_type == wanted || (kind == MatchKind::Wildcard && described.match_type == "EXACT")
}

/// Names and widths of an action's parameters; none if there is no such action.
fn parameters(spec: &Spec, action: &str) -> Option<Vec<(String, u32)>> {
    match &spec.action(action)?.arguments {
        None => Some(Vec::new()),
        Some(arguments) => {
            let fields = &spec.struct_of(arguments)?.fields;
            Some(
                fields
                    .iter()
                    .map(|field| (field.name.clone(), field.bits))
                    .collect(),
            )
        }
    }
}

/// Parameters of an action that end in a field by which packets are sent.
fn ports(spec: &Spec, action: &str) -> Vec<String> {
    let apply = spec.apply.iter().flat_map(|apply| &apply.item);
    let sent: Vec<&str> = apply
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["tx", field] | [_, ":", "tx", field] => Some(field),
            _ => None,
        })
        .collect();
    let moved = |line: &String| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [.., "mov", field, argument] if sent.contains(&field) => {
            argument.strip_prefix("t.").map(str::to_owned)
        }
        _ => None,
    };
    let action = spec.action(action);
    action
        .map(|action| action.instructions.iter().filter_map(moved).collect())
        .unwrap_or_default()
}

/// Whether p4c can have made this name of that one: `alias`, `_alias`, `alias_0`, `_alias_0`, with names of controls before.
fn mangled(name: &str, alias: &str) -> bool {
    without_number(name).ends_with(alias) || name.ends_with(alias)
}

fn without_number(name: &str) -> &str {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match digits.strip_suffix('_') {
        Some(stem) if digits.len() < name.len() => stem,
        _ => name,
    }
}

/// Arrays that p4c made of a counter or meter. `KithControl.relay.session_counter` is `relay_session_counter_packets`,
/// `drops` is `drops_0`.
fn arrays(arrays: &[At<Array>], of: &Named, unit: Option<&str>) -> Vec<String> {
    let stem = match of.name.split_once('.') {
        Some((_control, path)) => path.replace('.', "_"),
        None => of.name.clone(),
    };
    let is_it = |name: &str| {
        let bare = unit
            .and_then(|unit| name.strip_suffix(unit)?.strip_suffix('_'))
            .unwrap_or(name);
        bare == stem || without_number(bare) == stem
    };
    arrays
        .iter()
        .map(|array| array.item.name.clone())
        .filter(|name| is_it(name))
        .collect()
}

fn one(mut names: Vec<String>, of: &Indexed) -> Result<String, ProgramError> {
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(ProgramError::Apart(format!(
            "not one array for {}",
            of.named.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_p4c_makes_are_recognised() {
        assert!(mangled("_sender", "sender"));
        assert!(mangled("_authorise_0", "authorise"));
        assert!(mangled("ingress_port", "ingress_port"));
        assert!(mangled("port_2", "port_2"));
        assert!(!mangled("_session", "sender"));
    }
}
