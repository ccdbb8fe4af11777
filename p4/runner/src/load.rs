//! Hands a [`Spec`] to DPDK.

use crate::program::{Program, ProgramError};
use crate::spec::At;
use kith_dpdk::Eal;
use kith_dpdk::swx::{Builder, MatchKind, Pipeline, Ports, SwxError, TableConfig};
use std::collections::HashSet;

/// Builds the program's pipeline. Tables get at most `capacity` entries, arrays that belong to entries shrink with them.
pub(crate) fn load(
    program: &Program,
    eal: &Eal,
    ports: Ports,
    capacity: u32,
) -> Result<Pipeline, ProgramError> {
    let spec = &program.spec;
    let mut builder = Builder::new(eal, ports).map_err(ProgramError::Build)?;
    for item in &spec.structs {
        tell(item, builder.struct_type(&item.item.name, &item.item.fields))?;
    }
    for item in &spec.headers {
        tell(item, builder.header(&item.item.name, &item.item.struct_type))?;
    }
    if let Some(item) = &spec.metadata {
        tell(item, builder.metadata(&item.item))?;
    }
    // Arrays and actions, because instructions name them.
    let direct: HashSet<&str> = program.direct_arrays().collect();
    let size = |name: &str, size: u32| match direct.contains(name) {
        // One more than entries: the first is for no entry.
        true => size.min(capacity.saturating_add(1)),
        false => size,
    };
    for item in &spec.registers {
        let array = &item.item;
        tell(
            item,
            builder.registers(&array.name, size(&array.name, array.size), array.initial),
        )?;
    }
    for item in &spec.meters {
        let array = &item.item;
        tell(item, builder.meters(&array.name, size(&array.name, array.size)))?;
    }
    for item in &spec.actions {
        let action = &item.item;
        tell(
            item,
            builder.action(&action.name, action.arguments.as_deref(), &action.instructions),
        )?;
    }
    // Those with wildcards first; kith_dpdk::swx says why.
    let wild = |table: &&At<TableConfig>| table.item.key.iter().any(|field| field.kind != MatchKind::Exact);
    let tables = spec.tables.iter().filter(wild);
    for item in tables.chain(spec.tables.iter().filter(|table| !wild(table))) {
        let mut table = item.item.clone();
        table.size = table.size.min(capacity);
        tell(item, builder.table(&table))?;
    }
    for item in &spec.learners {
        tell(item, builder.learner(&item.item))?;
    }
    for item in &spec.selectors {
        tell(item, builder.selector(&item.item))?;
    }
    if let Some(item) = &spec.apply {
        tell(item, builder.instructions(&item.item))?;
    }
    builder.build().map_err(ProgramError::Build)
}

/// Says to which line a refusal belongs.
fn tell<T>(at: &At<T>, outcome: Result<(), SwxError>) -> Result<(), ProgramError> {
    outcome.map_err(|reason| ProgramError::Refused {
        line: at.line,
        reason,
    })
}
