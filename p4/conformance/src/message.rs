//! Entries as P4Runtime messages: the very octets that a controller would send, with the identifiers of the P4Info.

use crate::entry::{Entry, Part};
use kith_p4runtime::proto::config::P4Info;
use kith_p4runtime::proto::v1::{
    self, Entity, FieldMatch, TableAction, TableEntry, Update, action::Param, entity, field_match,
    field_match::FieldMatchType, table_action, update,
};

/// The message that writes an entry; `None` if the P4Info does not know its names.
#[must_use]
pub fn update(info: &P4Info, entry: &Entry) -> Option<Update> {
    let table = info
        .tables
        .iter()
        .find(|table| alias(table.preamble.as_ref()) == entry.table)?;
    let action = info
        .actions
        .iter()
        .find(|action| alias(action.preamble.as_ref()) == entry.action)?;
    // A ternary field that matches anything is left out (specification section 9.1.1).
    let said = entry.key.iter().filter(|part| part.mask != 0);
    let field = |part: &Part| {
        let field = table.match_fields.iter().find(|field| field.name == part.name)?;
        Some(FieldMatch {
            field_id: field.id,
            field_match_type: Some(matching(&entry.table, part)),
        })
    };
    let parameter = |(name, value): &(String, u64)| {
        let param = action.params.iter().find(|param| param.name == *name)?;
        Some(Param {
            param_id: param.id,
            value: octets(*value),
        })
    };
    let call = v1::Action {
        action_id: action.preamble.as_ref()?.id,
        params: entry.parameters.iter().map(parameter).collect::<Option<_>>()?,
    };
    // A table without key has a default action, and nothing else.
    let is_default = entry.key.is_empty();
    let written = TableEntry {
        table_id: table.preamble.as_ref()?.id,
        r#match: said.map(field).collect::<Option<_>>()?,
        action: Some(TableAction {
            r#type: Some(table_action::Type::Action(call)),
        }),
        priority: i32::try_from(entry.priority).ok()?,
        is_default_action: is_default,
        ..TableEntry::default()
    };
    let kind = if is_default {
        update::Type::Modify
    } else {
        update::Type::Insert
    };
    Some(Update {
        r#type: kind as i32,
        entity: Some(Entity {
            entity: Some(entity::Entity::TableEntry(written)),
        }),
    })
}

fn alias(preamble: Option<&kith_p4runtime::proto::config::Preamble>) -> &str {
    preamble.map_or("", |preamble| preamble.alias.as_str())
}

fn matching(table: &str, part: &Part) -> FieldMatchType {
    match table {
        "policy" => FieldMatchType::Ternary(field_match::Ternary {
            value: octets(part.value),
            mask: octets(part.mask),
        }),
        "route" => FieldMatchType::Lpm(field_match::Lpm {
            value: octets(part.value),
            prefix_len: part.mask.count_ones() as i32,
        }),
        _ => FieldMatchType::Exact(field_match::Exact {
            value: octets(part.value),
        }),
    }
}

/// The shortest big-endian octets of a number, at least one (specification section 8.4).
fn octets(value: u64) -> Vec<u8> {
    let all = value.to_be_bytes();
    let zeroes = (value.leading_zeros() as usize / 8).min(7);
    all[zeroes..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_can_be() {
        assert_eq!(octets(0), [0]);
        assert_eq!(octets(0x1234), [0x12, 0x34]);
        assert_eq!(octets(u64::MAX).len(), 8);
    }
}
