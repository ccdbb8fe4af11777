//! The compiled program and the Rust pipeline have the same tables, in the same order, and the same reasons.

use kith_p4::info::{self, Action, Field, Table};
use kith_p4::{Folder, reasons, spec};
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::schema::{self, Match};

/// A table of the pipeline, in the words of P4Info.
fn in_p4(table: &schema::Table) -> (String, Vec<Field>, Vec<Action>) {
    let key = |&(name, kind, width): &(&str, Match, u32)| Field {
        name: name.to_owned(),
        width,
        kind: match kind {
            Match::Exact => "EXACT",
            Match::Lpm => "LPM",
            Match::Ternary => "TERNARY",
        }
        .to_owned(),
    };
    let action = |action: &schema::Action| Action {
        name: action.name.to_owned(),
        parameters: action
            .params
            .iter()
            .map(|&(name, bits)| (name.to_owned(), bits))
            .collect(),
    };
    (
        table.name.to_owned(),
        table.keys.iter().map(key).collect(),
        table.actions.iter().map(action).collect(),
    )
}

/// The compiled program's tables in the order of its apply block.
fn compiled() -> Vec<Table> {
    let folder = Folder::of_this_crate();
    let declared = info::read(&folder).unwrap();
    spec::order(&folder)
        .unwrap()
        .iter()
        .map(|name| declared.iter().find(|table| table.name == *name).unwrap().clone())
        .collect()
}

#[test]
fn tables_keys_actions_and_widths_are_the_same_in_the_same_order() {
    let pipeline: Vec<_> = schema::TABLES.iter().map(in_p4).collect();
    let program: Vec<_> = compiled()
        .into_iter()
        .map(|table| (table.name, table.key, table.actions))
        .collect();
    assert_eq!(program, pipeline);
}

#[test]
fn tables_have_the_same_room() {
    for (program, pipeline) in compiled().iter().zip(schema::TABLES) {
        // A table without key holds nothing but its default action, for which the compiler has a size of its own.
        if !program.key.is_empty() {
            assert_eq!(program.size as usize, pipeline.size, "{}", program.name);
        }
    }
}

#[test]
fn reasons_have_the_same_numbers_and_words() {
    let program = reasons::read(&Folder::of_this_crate()).unwrap();
    let drops: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    let punts: Vec<_> = PuntReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(program.drops, drops);
    assert_eq!(program.punts, punts);
}
