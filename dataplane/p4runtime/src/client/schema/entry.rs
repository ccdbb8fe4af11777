//! One entry: words ⇄ `TableEntry`.
//!
//! ```text
//!  exact, optional   VALUE                       ternary   VALUE, VALUE/PREFIX or VALUE&&&MASK, * for any
//!  lpm               VALUE/PREFIX, VALUE or *    range     LOW..HIGH
//! ```

use super::value::{self, width};
use super::{Action, Field, Kind, Schema, SchemaError, Table, find};
use crate::proto::v1::{
    self, action::Param, field_match as kinds, field_match::FieldMatchType, table_action::Type,
};

/// An entry in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The table.
    pub table: String,
    /// Match fields, all of them; `*` for any.
    pub key: Vec<(String, String)>,
    /// The priority, if the table has some.
    pub priority: Option<i32>,
    /// The action and its parameters.
    pub action: Option<(String, Vec<(String, String)>)>,
    /// Is it the default entry?
    pub default: bool,
    /// The counter: packets and octets.
    pub counter: Option<(i64, i64)>,
    /// The meter.
    pub meter: Option<v1::MeterConfig>,
    /// The controller's octets.
    pub metadata: Vec<u8>,
}

impl Schema {
    /// An entry's key from words.
    ///
    /// # Errors
    /// If a word means nothing, or a field is missing.
    pub fn key(
        &self,
        table: &Table,
        words: &[(&str, &str)],
        priority: i32,
    ) -> Result<v1::TableEntry, SchemaError> {
        let mut matches = Vec::new();
        let mut seen = Vec::new();
        for (name, text) in words {
            let (field, kind) = find("match field", name, &table.fields, |(field, _)| &field.name)?;
            once(&mut seen, &table.name, field)?;
            let kind = parse_match(field, *kind, text)?;
            matches.extend(kind.map(|kind| v1::FieldMatch {
                field_id: field.id,
                field_match_type: Some(kind),
            }));
        }
        let exact = table.fields.iter().filter(|(_, kind)| *kind == Kind::Exact);
        if let Some((field, _)) = exact.into_iter().find(|(field, _)| !seen.contains(&field.id)) {
            return Err(SchemaError::Missing {
                of: format!("table {}", table.name),
                name: field.name.clone(),
            });
        }
        let wrong = |what| {
            Err(SchemaError::Priority {
                table: table.name.clone(),
                what,
            })
        };
        match (table.has_priority(), priority) {
            (true, ..=0) => wrong("its entries need a priority above 0, the higher one wins"),
            (false, 1..) => wrong("its entries have no priority, leave it out"),
            _ => Ok(v1::TableEntry {
                table_id: table.id,
                r#match: matches,
                priority,
                ..Default::default()
            }),
        }
    }

    /// An action of a table from words.
    ///
    /// # Errors
    /// If a word means nothing, or a parameter is missing.
    pub fn call(
        &self,
        table: &Table,
        name: &str,
        words: &[(&str, &str)],
    ) -> Result<v1::TableAction, SchemaError> {
        let ids = table.actions.iter().chain(&table.default_actions);
        let mut actions: Vec<_> = ids.filter_map(|id| self.action(*id)).collect();
        actions.dedup();
        let action: &Action = find("action", name, &actions, |action| &action.name)?;
        let mut params = Vec::new();
        let mut seen = Vec::new();
        for (name, text) in words {
            let field = find("parameter", name, &action.params, |field| &field.name)?;
            once(&mut seen, &action.name, field)?;
            params.push(Param {
                param_id: field.id,
                value: value::parse(field, text)?,
            });
        }
        if let Some(field) = action.params.iter().find(|field| !seen.contains(&field.id)) {
            return Err(SchemaError::Missing {
                of: format!("action {}", action.name),
                name: field.name.clone(),
            });
        }
        Ok(v1::TableAction {
            r#type: Some(Type::Action(v1::Action {
                action_id: action.id,
                params,
            })),
        })
    }

    /// An entry in words. What the P4Info does not know is shown by its number.
    #[must_use]
    pub fn show(&self, entry: &v1::TableEntry) -> Shown {
        let table = self.tables.iter().find(|table| table.id == entry.table_id);
        let Some(table) = table else {
            return Shown {
                table: format!("{:#010x}", entry.table_id),
                ..Shown::default()
            };
        };
        let key = table.fields.iter().map(|(field, _)| {
            let found = entry.r#match.iter().find(|one| one.field_id == field.id);
            let shown = found
                .and_then(|one| one.field_match_type.as_ref())
                .map(|kind| show_match(field, kind));
            (field.name.clone(), shown.unwrap_or_else(|| "*".to_owned()))
        });
        Shown {
            table: table.name.clone(),
            key: if entry.is_default_action {
                Vec::new()
            } else {
                key.collect()
            },
            priority: table.has_priority().then_some(entry.priority),
            action: entry.action.as_ref().and_then(|action| self.show_action(action)),
            default: entry.is_default_action,
            counter: entry
                .counter_data
                .map(|data| (data.packet_count, data.byte_count)),
            meter: entry.meter_config,
            metadata: entry.metadata.clone(),
        }
    }

    fn show_action(&self, action: &v1::TableAction) -> Option<(String, Vec<(String, String)>)> {
        let given = match action.r#type.as_ref()? {
            Type::Action(given) => given,
            Type::ActionProfileMemberId(id) => return Some((format!("member {id}"), Vec::new())),
            Type::ActionProfileGroupId(id) => return Some((format!("group {id}"), Vec::new())),
            Type::ActionProfileActionSet(_) => return Some(("action set".to_owned(), Vec::new())),
        };
        let Some(action) = self.action(given.action_id) else {
            return Some((format!("{:#010x}", given.action_id), Vec::new()));
        };
        let params = given.params.iter().map(|param| {
            match action.params.iter().find(|field| field.id == param.param_id) {
                Some(field) => (field.name.clone(), value::format(field, &param.value)),
                None => (param.param_id.to_string(), format!("{:02x?}", param.value)),
            }
        });
        Some((action.name.clone(), params.collect()))
    }
}

fn once(seen: &mut Vec<u32>, of: &str, field: &Field) -> Result<(), SchemaError> {
    if seen.contains(&field.id) {
        return Err(SchemaError::Repeated {
            of: of.to_owned(),
            name: field.name.clone(),
        });
    }
    seen.push(field.id);
    Ok(())
}

fn parse_match(field: &Field, kind: Kind, text: &str) -> Result<Option<FieldMatchType>, SchemaError> {
    let wrong = |kind, advice| SchemaError::Match {
        field: field.name.clone(),
        text: text.to_owned(),
        kind,
        advice,
    };
    let (prefix, masked) = (text.split_once('/'), text.split_once("&&&"));
    Ok(Some(match kind {
        Kind::Exact => FieldMatchType::Exact(kinds::Exact {
            value: value::parse(field, text)?,
        }),
        Kind::Lpm | Kind::Ternary | Kind::Optional if text == "*" => return Ok(None),
        Kind::Optional => FieldMatchType::Optional(kinds::Optional {
            value: value::parse(field, text)?,
        }),
        Kind::Lpm => {
            let length = match prefix {
                None => field.bits,
                Some((_, length)) => {
                    let length = length.parse().ok().filter(|length| *length <= field.bits);
                    length.ok_or_else(|| wrong("longest-prefix", "VALUE/PREFIX, VALUE or *"))?
                }
            };
            let value = value::parse(field, prefix.map_or(text, |(value, _)| value))?;
            inside(&value, &mask_of(length, field.bits))
                .then_some(())
                .ok_or_else(|| wrong("longest-prefix", CLEAR))?;
            if length == 0 {
                return Ok(None);
            }
            FieldMatchType::Lpm(kinds::Lpm {
                value,
                prefix_len: i32::try_from(length).unwrap_or(i32::MAX),
            })
        }
        Kind::Ternary => {
            let advice = "VALUE, VALUE/PREFIX, VALUE&&&MASK or *";
            let (word, mask) = match (masked, prefix) {
                (Some((word, mask)), _) => (word, value::parse(field, mask)?),
                (None, Some((word, length))) => {
                    let length: Option<u32> = length.parse().ok().filter(|length| *length <= field.bits);
                    (
                        word,
                        mask_of(length.ok_or_else(|| wrong("ternary", advice))?, field.bits),
                    )
                }
                (None, None) => (text, mask_of(field.bits, field.bits)),
            };
            let value = value::parse(field, word)?;
            inside(&value, &mask)
                .then_some(())
                .ok_or_else(|| wrong("ternary", CLEAR))?;
            if width(&mask) == 0 {
                return Ok(None);
            }
            FieldMatchType::Ternary(kinds::Ternary { value, mask })
        }
        Kind::Range => {
            let (low, high) = text.split_once("..").ok_or_else(|| wrong("range", "LOW..HIGH"))?;
            FieldMatchType::Range(kinds::Range {
                low: value::parse(field, low)?,
                high: value::parse(field, high)?,
            })
        }
        Kind::Other => return Err(wrong("known", "nothing: this kind is the architecture's own")),
    }))
}

const CLEAR: &str = "it with the bits cleared that mask or prefix leave out";

fn show_match(field: &Field, kind: &FieldMatchType) -> String {
    let show = |bytes: &[u8]| value::format(field, bytes);
    match kind {
        FieldMatchType::Exact(exact) => show(&exact.value),
        FieldMatchType::Optional(optional) => show(&optional.value),
        FieldMatchType::Lpm(lpm) => format!("{}/{}", show(&lpm.value), lpm.prefix_len),
        FieldMatchType::Range(range) => format!("{}..{}", show(&range.low), show(&range.high)),
        FieldMatchType::Ternary(one) => {
            let length = (0..=field.bits).find(|length| mask_of(*length, field.bits) == one.mask);
            match length {
                Some(length) if length == field.bits => show(&one.value),
                Some(length) => format!("{}/{length}", show(&one.value)),
                None => format!("{}&&&{}", show(&one.value), show(&one.mask)),
            }
        }
        FieldMatchType::Other(other) => other.type_url.clone(),
    }
}

/// The first `length` of `bits` bits set, as the shortest byte string.
fn mask_of(length: u32, bits: u32) -> Vec<u8> {
    let octets = bits.div_ceil(8);
    let mut mask: Vec<u8> = (0..octets)
        .map(|octet| {
            let set = |bit: u32| {
                // Bits count from the field's own first one, which may lie inside the first octet.
                let place = octet * 8 + bit;
                let unused = octets * 8 - bits;
                place >= unused && place - unused < length
            };
            (0..8)
                .filter(|bit| set(*bit))
                .fold(0, |value, bit| value | 0x80 >> bit)
        })
        .collect();
    let zeros = mask
        .iter()
        .take_while(|octet| **octet == 0)
        .count()
        .min(mask.len().saturating_sub(1));
    mask.drain(..zeros);
    mask
}

/// Does the mask cover all bits of the value?
fn inside(value: &[u8], mask: &[u8]) -> bool {
    let aligned = mask.iter().rev().copied().chain(std::iter::repeat(0));
    value
        .iter()
        .rev()
        .zip(aligned)
        .all(|(value, mask)| value & !mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry;
    use crate::ids;

    #[test]
    fn an_entry_in_words_is_the_entry_of_the_types() {
        let schema = Schema::new(ids::p4info());
        let table = schema.table("route").unwrap();
        let key = schema.key(table, &[("destination", "10.0.0.0/8")], 0).unwrap();
        let action = schema
            .call(table, "via", &[("port", "1"), ("gateway", "192.0.2.1")])
            .unwrap();
        let message = v1::TableEntry {
            action: Some(action),
            ..key
        };
        let typed = entry::decode(&message).unwrap();
        assert_eq!(entry::encode(&typed), message, "written in canonical form");
        let shown = schema.show(&message);
        assert_eq!(shown.key, [("destination".to_owned(), "10.0.0.0/8".to_owned())]);
        let params = vec![
            ("port".to_owned(), "1".to_owned()),
            ("gateway".to_owned(), "192.0.2.1".to_owned()),
        ];
        assert_eq!(shown.action, Some(("via".to_owned(), params)));
    }

    #[test]
    fn ternary_fields_have_masks_prefixes_and_none() {
        let schema = Schema::new(ids::p4info());
        let table = schema.table("policy").unwrap();
        let words = [
            ("community", "7"),
            ("source", "10.0.0.0/8"),
            ("destination", "*"),
            ("protocol", "6"),
            ("destination_port", "0x0016&&&0x00ff"),
        ];
        let key = schema.key(table, &words, 5).unwrap();
        entry::decode_key(&key).unwrap();
        let shown: Vec<_> = schema.show(&key).key.into_iter().map(|(_, text)| text).collect();
        assert_eq!(shown, ["7", "10.0.0.0/8", "*", "6", "*", "22&&&255"]);
        assert!(schema.key(table, &words, 0).is_err(), "no priority");
        assert!(
            schema.key(table, &[("source", "10.0.0.1/8")], 5).is_err(),
            "a bit outside the mask"
        );
    }

    #[test]
    fn mistakes_name_what_there_is() {
        let schema = Schema::new(ids::p4info());
        let text = schema.table("routes").unwrap_err().to_string();
        assert!(text.contains("route") && text.contains("session"), "{text}");
        let table = schema.table("session").unwrap();
        let missing = schema.key(table, &[], 0).unwrap_err().to_string();
        assert!(missing.contains("destination_member=VALUE"), "{missing}");
        let action = schema
            .call(table, "relay_to", &[("address", "1.2.3.4")])
            .unwrap_err()
            .to_string();
        assert!(action.contains("port"), "{action}");
        let twice = schema.key(
            table,
            &[
                ("destination_member", "240.0.0.1"),
                ("destination_member", "240.0.0.2"),
            ],
            0,
        );
        assert!(matches!(twice, Err(SchemaError::Repeated { .. })));
    }

    #[test]
    fn masks_of_odd_widths() {
        assert_eq!(mask_of(12, 12), [0x0f, 0xff]);
        assert_eq!(mask_of(4, 12), [0x0f, 0x00]);
        assert_eq!(mask_of(0, 12), [0]);
        assert_eq!(mask_of(1, 32), [0x80, 0, 0, 0]);
    }
}
