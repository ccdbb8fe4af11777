//! What a target's program has, by name: tables, actions, counters, meters, packet headers.
//!
//! Asked from the target itself (its P4Info), so nothing here knows which program it is. A name is the fully qualified one, or
//! the alias, which is the shortest that is unique.

use super::value::{self, Kind};
use kith_p4runtime::proto::config::{self as p4, P4Info, Preamble};
use p4::match_field::{Match, MatchType};

/// A target's program.
#[derive(Debug, Clone)]
pub struct Schema {
    info: P4Info,
}

/// A name that the program does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} has no {what} `{name}`; it has {}", any(.known))]
pub struct Unknown {
    /// Where it was looked for: the target, or a table.
    pub place: String,
    /// A table, an action, …
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// Those that there are.
    pub known: Vec<String>,
}

/// A match field or a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) id: u32,
    pub(super) name: &'a str,
    pub(super) bits: u32,
    /// A match field's; a parameter has none.
    pub(super) matched: Option<MatchType>,
}

impl Field<'_> {
    /// How its values are shown.
    pub(super) fn kind(&self) -> Kind {
        value::kind(self.name, self.bits)
    }
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) schema: &'a Schema,
    pub(super) raw: &'a p4::Table,
}

/// An action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Action<'a>(&'a p4::Action);

/// An array of counters or meters, or one that belongs to a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array<'a> {
    pub(super) id: u32,
    pub(super) name: &'a str,
    pub(super) form: Form<'a>,
    /// `packets`, `bytes` or both.
    pub(super) unit: &'static str,
}

/// What kind of array.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// So many cells.
    Cells(i64),
    /// One for each entry of a table.
    Direct(Table<'a>),
}

impl Schema {
    /// A schema of what the target told.
    #[must_use]
    pub fn new(info: P4Info) -> Self {
        Self { info }
    }

    /// What the target calls its architecture.
    pub(super) fn arch(&self) -> &str {
        self.info.pkg_info.as_ref().map_or("", |package| &package.arch)
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = Table<'_>> {
        self.info.tables.iter().map(|raw| Table { schema: self, raw })
    }

    pub(super) fn table(&self, name: &str) -> Result<Table<'_>, Unknown> {
        let found = self
            .tables()
            .find(|table| named(table.raw.preamble.as_ref(), name));
        found.ok_or_else(|| self.unknown("table", name, self.tables().map(|table| table.name())))
    }

    pub(super) fn table_by_id(&self, id: u32) -> Option<Table<'_>> {
        self.tables().find(|table| table.id() == id)
    }

    pub(super) fn action_by_id(&self, id: u32) -> Option<Action<'_>> {
        self.info
            .actions
            .iter()
            .map(Action)
            .find(|action| action.id() == id)
    }

    /// Arrays of counters, then the tables' own.
    pub(super) fn counters(&self) -> Vec<Array<'_>> {
        let unit = |spec: Option<&p4::CounterSpec>| {
            use p4::counter_spec::Unit;
            match spec.map_or(Unit::Unspecified, p4::CounterSpec::unit) {
                Unit::Bytes => "bytes",
                Unit::Packets => "packets",
                Unit::Both | Unit::Unspecified => "packets and bytes",
            }
        };
        let arrays = self.info.counters.iter().map(|raw| {
            let form = Form::Cells(raw.size);
            array(raw.preamble.as_ref(), form, unit(raw.spec.as_ref()))
        });
        let direct = self.info.direct_counters.iter().filter_map(|raw| {
            let form = Form::Direct(self.table_by_id(raw.direct_table_id)?);
            Some(array(raw.preamble.as_ref(), form, unit(raw.spec.as_ref())))
        });
        arrays.chain(direct).collect()
    }

    /// Arrays of meters, then the tables' own.
    pub(super) fn meters(&self) -> Vec<Array<'_>> {
        let unit = |spec: Option<&p4::MeterSpec>| {
            use p4::meter_spec::Unit;
            match spec.map_or(Unit::Unspecified, p4::MeterSpec::unit) {
                Unit::Bytes => "bytes",
                Unit::Packets | Unit::Unspecified => "packets",
            }
        };
        let arrays = self.info.meters.iter().map(|raw| {
            let form = Form::Cells(raw.size);
            array(raw.preamble.as_ref(), form, unit(raw.spec.as_ref()))
        });
        let direct = self.info.direct_meters.iter().filter_map(|raw| {
            let form = Form::Direct(self.table_by_id(raw.direct_table_id)?);
            Some(array(raw.preamble.as_ref(), form, unit(raw.spec.as_ref())))
        });
        arrays.chain(direct).collect()
    }

    /// The array of this name.
    pub(super) fn array<'a>(
        &self,
        what: &'static str,
        arrays: &[Array<'a>],
        name: &str,
    ) -> Result<Array<'a>, Unknown> {
        let found = arrays.iter().find(|array| array.name == name).copied();
        found.ok_or_else(|| self.unknown(what, name, arrays.iter().map(|array| array.name)))
    }

    /// The metadata of packets to a controller.
    pub(super) fn packet_in(&self) -> Vec<Field<'_>> {
        let headers = self.info.controller_packet_metadata.iter();
        let header = headers
            .clone()
            .find(|header| named(header.preamble.as_ref(), "packet_in"));
        let fields = header.into_iter().flat_map(|header| &header.metadata);
        let field = |raw: &'_ p4::controller_packet_metadata::Metadata| (raw.id, width(raw.bitwidth));
        fields
            .map(|raw| {
                let (id, bits) = field(raw);
                Field {
                    id,
                    name: &raw.name,
                    bits,
                    matched: None,
                }
            })
            .collect()
    }

    fn unknown<'a>(&self, what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Unknown {
        Unknown {
            place: "the target's program".into(),
            what,
            name: name.to_owned(),
            known: known.map(str::to_owned).collect(),
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn id(&self) -> u32 {
        self.raw.preamble.as_ref().map_or(0, |preamble| preamble.id)
    }

    pub(super) fn name(&self) -> &'a str {
        alias(self.raw.preamble.as_ref())
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.raw.match_fields.iter().map(|raw| {
            let matched = match raw.r#match {
                Some(Match::MatchType(kind)) => MatchType::try_from(kind).unwrap_or(MatchType::Unspecified),
                _ => MatchType::Unspecified,
            };
            let (id, bits) = (raw.id, width(raw.bitwidth));
            Field {
                id,
                name: &raw.name,
                bits,
                matched: Some(matched),
            }
        })
    }

    pub(super) fn field(&self, name: &str) -> Result<Field<'a>, Unknown> {
        let found = self.fields().find(|field| field.name == name);
        found.ok_or_else(|| self.unknown("match field", name, self.fields().map(|field| field.name)))
    }

    /// Its actions, and whether each is for the default entry only.
    pub(super) fn actions(&self) -> impl Iterator<Item = (Action<'a>, bool)> + use<'a> {
        let schema = self.schema;
        self.raw.action_refs.iter().filter_map(move |raw| {
            let default_only = raw.scope() == p4::action_ref::Scope::DefaultOnly;
            Some((schema.action_by_id(raw.id)?, default_only))
        })
    }

    pub(super) fn action(&self, name: &str) -> Result<Action<'a>, Unknown> {
        let found = self
            .actions()
            .map(|(action, _)| action)
            .find(|action| named(action.0.preamble.as_ref(), name));
        found.ok_or_else(|| self.unknown("action", name, self.actions().map(|(action, _)| action.name())))
    }

    /// The action of its default entry, if that is the program's own affair.
    pub(super) fn fixed_default(&self) -> Option<Action<'a>> {
        let id = self.raw.const_default_action_id;
        (id != 0).then(|| self.schema.action_by_id(id)).flatten()
    }

    /// Whether its entries have priorities: some field is matched otherwise than exactly or by prefix.
    pub(super) fn has_priority(&self) -> bool {
        let by_priority = [MatchType::Ternary, MatchType::Range, MatchType::Optional];
        self.fields()
            .any(|field| field.matched.is_some_and(|kind| by_priority.contains(&kind)))
    }

    /// The counter that each of its entries has.
    pub(super) fn counter(&self) -> Option<&'a str> {
        let counters = self.schema.info.direct_counters.iter();
        let mut own = counters.filter(|counter| counter.direct_table_id == self.id());
        own.next().map(|counter| alias(counter.preamble.as_ref()))
    }

    /// The meter that each of its entries has.
    pub(super) fn meter(&self) -> Option<&'a str> {
        let meters = self.schema.info.direct_meters.iter();
        let mut own = meters.filter(|meter| meter.direct_table_id == self.id());
        own.next().map(|meter| alias(meter.preamble.as_ref()))
    }

    fn unknown(&self, what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Unknown {
        Unknown {
            place: format!("table `{}`", self.name()),
            what,
            name: name.to_owned(),
            known: known.map(str::to_owned).collect(),
        }
    }
}

impl<'a> Action<'a> {
    pub(super) fn id(&self) -> u32 {
        self.0.preamble.as_ref().map_or(0, |preamble| preamble.id)
    }

    pub(super) fn name(&self) -> &'a str {
        alias(self.0.preamble.as_ref())
    }

    pub(super) fn params(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.0.params.iter().map(|raw| {
            let (id, bits) = (raw.id, width(raw.bitwidth));
            Field {
                id,
                name: &raw.name,
                bits,
                matched: None,
            }
        })
    }

    pub(super) fn param(&self, name: &str) -> Result<Field<'a>, Unknown> {
        self.params()
            .find(|param| param.name == name)
            .ok_or_else(|| Unknown {
                place: format!("action `{}`", self.name()),
                what: "parameter",
                name: name.to_owned(),
                known: self.params().map(|param| param.name.to_owned()).collect(),
            })
    }
}

/// The word for a kind of match.
pub(super) fn match_word(kind: MatchType) -> &'static str {
    match kind {
        MatchType::Exact => "exact",
        MatchType::Lpm => "lpm",
        MatchType::Ternary => "ternary",
        MatchType::Range => "range",
        MatchType::Optional => "optional",
        MatchType::Unspecified => "other",
    }
}

fn array<'a>(preamble: Option<&'a Preamble>, form: Form<'a>, unit: &'static str) -> Array<'a> {
    Array {
        id: preamble.map_or(0, |preamble| preamble.id),
        name: alias(preamble),
        form,
        unit,
    }
}

fn alias(preamble: Option<&Preamble>) -> &str {
    match preamble {
        Some(preamble) if preamble.alias.is_empty() => &preamble.name,
        Some(preamble) => &preamble.alias,
        None => "",
    }
}

fn named(preamble: Option<&Preamble>, name: &str) -> bool {
    preamble.is_some_and(|preamble| preamble.name == name || preamble.alias == name)
}

fn width(bits: i32) -> u32 {
    u32::try_from(bits).unwrap_or(0)
}

fn any(known: &[String]) -> String {
    if known.is_empty() {
        "none".into()
    } else {
        known.join(", ")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Our own program's.
    pub(in super::super) fn kith() -> Schema {
        Schema::new(kith_p4runtime::ids::p4info().clone())
    }

    #[test]
    fn names_are_found_and_what_is_not_there_is_listed() {
        let schema = kith();
        let session = schema.table("session").unwrap();
        assert_eq!(session.field("destination_member").unwrap().bits, 32);
        assert_eq!(session.action("relay_to").unwrap().params().count(), 4);
        assert_eq!(session.counter(), Some("session_counter"));
        assert!(schema.table("policy").unwrap().has_priority() && !session.has_priority());
        let error = session.action("authorise").unwrap_err().to_string();
        assert!(
            error.starts_with("table `session` has no action `authorise`; it has relay_to"),
            "{error}"
        );
        let error = schema.table("sessions").unwrap_err().to_string();
        assert!(
            error.contains("no table `sessions`") && error.contains("session, "),
            "{error}"
        );
    }

    #[test]
    fn arrays_and_packet_headers_are_known() {
        let schema = kith();
        let counters = schema.counters();
        assert!(matches!(
            schema.array("counter", &counters, "drops").unwrap().form,
            Form::Cells(_)
        ));
        assert!(matches!(
            schema.array("counter", &counters, "session_counter").unwrap().form,
            Form::Direct(table) if table.name() == "session"
        ));
        assert!(schema.array("counter", &counters, "nothing").is_err());
        let names: Vec<_> = schema.packet_in().iter().map(|field| field.name).collect();
        assert_eq!(names, ["ingress_port", "reason"]);
    }
}
