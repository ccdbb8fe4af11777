//! Asks DPDK where fields are, and in which order octets go.

use super::config::{MatchKind, TableConfig};
use super::layout::{ActionLayout, Argument, KeyField, TableLayout};
use super::{SwxError, check};
use core::ffi::c_char;

/// Where the fields of a table's key are.
///
/// # Safety
///
/// The pipeline is built.
pub(super) unsafe fn describe_table(
    raw: *mut dpdk_sys::rte_swx_pipeline,
    id: u32,
    table: &TableConfig,
) -> Result<TableLayout, SwxError> {
    let mut fields = Vec::new();
    for (index, field) in table.key.iter().enumerate() {
        let mut info = dpdk_sys::rte_swx_ctl_table_match_field_info::default();
        // SAFETY: the pipeline is built; info is to be written.
        let code =
            unsafe { dpdk_sys::rte_swx_ctl_table_match_field_info_get(raw, id, index as u32, &mut info) };
        check(code, || format!("to describe table {}", table.name))?;
        fields.push(KeyField {
            name: field.name.clone(),
            kind: field.kind,
            bits: info.n_bits,
            offset: info.offset as usize / 8,
            network: info.is_header != 0,
        });
    }
    let first = fields.iter().map(|field| field.offset).min().unwrap_or(0);
    let mut key_octets = 0;
    for field in &mut fields {
        field.offset -= first;
        key_octets = key_octets.max(field.offset + field.bits as usize / 8);
    }
    let octets: usize = fields.iter().map(|field| field.bits as usize / 8).sum();
    if octets != key_octets && fields.iter().all(|field| field.kind == MatchKind::Exact) {
        // The pipeline would make it a wildcard table, and the control object take it for an exact one.
        return Err(SwxError::Config {
            what: format!("table {}", table.name),
            why: "its key is not in one piece: let its fields stand together",
        });
    }
    Ok(TableLayout {
        name: table.name.clone(),
        fields,
        key_octets,
        size: table.size,
        actions: table.actions.iter().map(|(name, _, _)| name.clone()).collect(),
        default_is_const: table.default_is_const,
    })
}

/// What arguments an action has.
///
/// # Safety
///
/// The pipeline is built.
pub(super) unsafe fn describe_action(
    raw: *mut dpdk_sys::rte_swx_pipeline,
    id: u32,
    name: &str,
    arguments: u32,
) -> Result<ActionLayout, SwxError> {
    let mut layout = Vec::new();
    for argument in 0..arguments {
        let mut info = dpdk_sys::rte_swx_ctl_action_arg_info::default();
        // SAFETY: the pipeline is built, which the caller promises; info is to be written.
        let code = unsafe { dpdk_sys::rte_swx_ctl_action_arg_info_get(raw, id, argument, &mut info) };
        check(code, || format!("to describe action {name}"))?;
        layout.push(Argument {
            name: text(&info.name),
            bits: info.n_bits,
            network: info.is_network_byte_order != 0,
        });
    }
    Ok(ActionLayout {
        id: id.into(),
        arguments: layout,
    })
}

fn text(octets: &[c_char; 64]) -> String {
    let octets: Vec<u8> = octets.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&octets).into_owned()
}
