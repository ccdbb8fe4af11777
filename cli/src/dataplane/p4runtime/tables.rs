//! `kith dataplane tables`: what a target's program has, and how full its tables are.

use super::link::Link;
use super::schema::{Array, Field, Form, Schema, match_word};
use crate::error::Error;
use crate::output::{self, Format};
use kith_p4runtime::proto::v1::{self, entity::Entity};
use serde::Serialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// A target and its program.
#[derive(Debug, Serialize)]
struct Program {
    target: String,
    device_id: u64,
    p4runtime: String,
    arch: String,
    tables: Vec<TableInfo>,
    counters: Vec<ArrayInfo>,
    meters: Vec<ArrayInfo>,
}

#[derive(Debug, Serialize)]
struct TableInfo {
    name: String,
    key: Vec<FieldInfo>,
    actions: Vec<ActionInfo>,
    /// Room; none if the program does not say.
    size: Option<i64>,
    entries: u64,
    counter: Option<String>,
    meter: Option<String>,
}

#[derive(Debug, Serialize)]
struct ActionInfo {
    name: String,
    params: Vec<FieldInfo>,
    /// No entry but the default one can have it.
    default_only: bool,
}

#[derive(Debug, Serialize)]
struct FieldInfo {
    name: String,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matched: Option<&'static str>,
    bits: u32,
}

#[derive(Debug, Serialize)]
struct ArrayInfo {
    name: String,
    unit: &'static str,
    /// Of an array: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<i64>,
    /// Of a table's own: which table.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
}

/// `kith dataplane tables`.
pub(super) fn run(link: &mut Link, format: Format) -> Result<u8, Error> {
    let schema = link.schema()?;
    let mut entries: HashMap<u32, u64> = HashMap::new();
    // One question for all tables; the entries themselves are let go as they come.
    link.read(vec![Entity::TableEntry(v1::TableEntry::default())], |entity| {
        if let Entity::TableEntry(entry) = entity
            && !entry.is_default_action
        {
            *entries.entry(entry.table_id).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    let mut program = describe(&schema, &entries);
    program.target = link.place();
    program.device_id = link.device_id();
    program.p4runtime = link.version()?;
    output::show(format, &program, render)?;
    Ok(0)
}

fn describe(schema: &Schema, entries: &HashMap<u32, u64>) -> Program {
    let tables = schema.tables().map(|table| TableInfo {
        name: table.name().to_owned(),
        key: table.fields().map(FieldInfo::of).collect(),
        actions: table
            .actions()
            .map(|(action, default_only)| ActionInfo {
                name: action.name().to_owned(),
                params: action.params().map(FieldInfo::of).collect(),
                default_only,
            })
            .collect(),
        size: (table.raw.size > 0).then_some(table.raw.size),
        entries: entries.get(&table.id()).copied().unwrap_or(0),
        counter: table.counter().map(str::to_owned),
        meter: table.meter().map(str::to_owned),
    });
    Program {
        target: String::new(),
        device_id: 0,
        p4runtime: String::new(),
        arch: schema.arch().to_owned(),
        tables: tables.collect(),
        counters: schema.counters().iter().map(ArrayInfo::of).collect(),
        meters: schema.meters().iter().map(ArrayInfo::of).collect(),
    }
}

impl FieldInfo {
    fn of(field: Field<'_>) -> Self {
        Self {
            name: field.name.to_owned(),
            matched: field.matched.map(match_word),
            bits: field.bits,
        }
    }
}

impl ArrayInfo {
    fn of(array: &Array<'_>) -> Self {
        let (cells, table) = match array.form {
            Form::Cells(cells) => (Some(cells), None),
            Form::Direct(table) => (None, Some(table.name().to_owned())),
        };
        Self {
            name: array.name.to_owned(),
            unit: array.unit,
            cells,
            table,
        }
    }
}

/// A table takes as many lines as it has key fields or actions, whichever are more.
fn render(program: &Program) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for table in &program.tables {
        let lines = table.key.len().max(table.actions.len()).max(1);
        for at in 0..lines {
            let first = |text: String| if at == 0 { text } else { String::new() };
            let key = table.key.get(at);
            let action = table.actions.get(at).map_or_else(String::new, action);
            rows.push(vec![
                first(table.name.clone()),
                first(table.entries.to_string()),
                first(table.size.map_or_else(|| "-".into(), |size| size.to_string())),
                key.map_or_else(String::new, |field| field.name.clone()),
                key.map_or_else(String::new, |field| field.matched.unwrap_or_default().to_owned()),
                key.map_or_else(String::new, |field| field.bits.to_string()),
                action,
            ]);
        }
    }
    let mut out = format!(
        "{}, device {}: P4Runtime {}, {} program\n\n",
        program.target, program.device_id, program.p4runtime, program.arch
    );
    out += &output::table(
        &["table", ">entries", ">size", "key", "match", ">bits", "actions"],
        &rows,
    );
    for (what, arrays) in [("counter", &program.counters), ("meter", &program.meters)] {
        if arrays.is_empty() {
            continue;
        }
        let row = |array: &ArrayInfo| {
            let of = match (&array.table, array.cells) {
                (Some(table), _) => format!("each entry of {table}"),
                (None, cells) => format!("{} cells", cells.unwrap_or(0)),
            };
            vec![array.name.clone(), array.unit.to_owned(), of]
        };
        let rows: Vec<_> = arrays.iter().map(row).collect();
        out += &format!("\n{}", output::table(&[what, "counts", "of"], &rows));
    }
    out
}

fn action(action: &ActionInfo) -> String {
    let params: Vec<_> = action.params.iter().map(|param| param.name.as_str()).collect();
    let only = if action.default_only {
        " (default only)"
    } else {
        ""
    };
    format!("{}({}){only}", action.name, params.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::kith;
    use super::*;

    fn program() -> Program {
        let schema = kith();
        let session = schema.table("session").unwrap().id();
        let mut program = describe(&schema, &HashMap::from([(session, 3)]));
        program.target = "unix:/run/kith/p4runtime.sock".into();
        program.device_id = 1;
        program.p4runtime = "1.4.1".into();
        // Which tables there are is the program's own affair; two kinds show the form.
        program
            .tables
            .retain(|table| ["session", "policy"].contains(&table.name.as_str()));
        for table in &mut program.tables {
            table.size = Some(4096);
        }
        program
            .counters
            .retain(|counter| counter.name == "session_counter");
        program.meters.retain(|meter| meter.name == "sender_meter");
        program
    }

    #[test]
    fn a_program_reads_like_this() {
        insta::assert_snapshot!(render(&program()));
    }

    #[test]
    fn its_json_has_stable_names() {
        let json = serde_json::to_value(program()).unwrap();
        let session = json["tables"]
            .as_array()
            .unwrap()
            .iter()
            .find(|table| table["name"] == "session");
        insta::assert_snapshot!(serde_json::to_string_pretty(session.unwrap()).unwrap());
    }
}
