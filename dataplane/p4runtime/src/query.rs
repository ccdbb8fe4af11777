//! One filter of a read request as a Rust type, and what answers it (specification 1.4, sections 9.1.6 and 13.2).
//!
//! ```text
//!  TableEntry {}                          every entry of every table
//!  TableEntry { table_id }                every entry of a table
//!  TableEntry { table_id, priority }      of a ternary table: those of this priority
//!  TableEntry { table_id, match .. }      one entry
//!  TableEntry { is_default_action }       default entries
//!  CounterEntry {} / { counter_id } / { counter_id, index }       the same for meters
//!  DirectCounterEntry { table_entry }     as TableEntry
//!  ExternEntry { .. }                     security associations, without keys
//! ```

use crate::association::{AssociationFilter, AssociationState};
use crate::entry::{self, Entry, EntryError, Key, Table};
use crate::ids;
use crate::proto::v1::{self, entity::Entity as Kind};
use crate::resource::{Count, CounterArray, MeterConfig, index, index_message, meter_id, no_colours};
use crate::update::{Extras, Row, unimplemented};

/// Which entries are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this key; it is an error if there is none only for direct resources (sections 9.3.1, 9.4.1).
    Key(Key),
    /// All of a table.
    Table(Table),
    /// All of every table.
    All,
}

/// What filters entries further; empty and 0 let all pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Their priority.
    pub priority: u32,
    /// Their metadata.
    pub metadata: Vec<u8>,
    /// Their metadata in the older form.
    pub controller_metadata: u64,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Entries, with their counters and meters if asked for.
    Rows {
        /// Which.
        which: Which,
        /// Further conditions.
        filter: Filter,
        /// With counters, where the table has them.
        counter: bool,
        /// With meters, where the table has them.
        meter: bool,
    },
    /// Default entries: of a table or of all.
    Defaults(Option<Table>),
    /// Cells of counter arrays.
    Counters(Option<CounterArray>, Option<usize>),
    /// Cells of `punt_meter`.
    Meters(Option<usize>),
    /// Counters of entries.
    DirectCounters(Which),
    /// Meters of entries.
    DirectMeters(Which),
    /// Security associations, without keys.
    Associations(AssociationFilter),
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An entry.
    Row(Row),
    /// A default entry.
    Default(DefaultEntry),
    /// A cell of a counter array.
    Counter(CounterArray, usize, Count),
    /// A cell of `punt_meter`.
    Meter(usize, Option<MeterConfig>),
    /// An entry's counter.
    DirectCounter(Key, Count),
    /// An entry's meter.
    DirectMeter(Key, Option<MeterConfig>),
    /// A security association, without keys.
    Association(AssociationState),
}

/// What a table does when nothing matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultEntry {
    /// The default action of `endpoint`, which is the only one that can change.
    Endpoint(Entry),
    /// A constant default action, by its id; none of them has parameters.
    Constant(Table, u32),
}

impl Query {
    /// Reads a filter.
    ///
    /// # Errors
    /// If it asks for what our program does not have.
    pub fn decode(given: &v1::Entity) -> Result<Self, EntryError> {
        let what = "it has no entity, which would ask for everything; set one";
        let kind = given
            .entity
            .as_ref()
            .ok_or(EntryError::Invalid { place: "read", what })?;
        match kind {
            Kind::TableEntry(entry) => Self::of_entry(entry),
            Kind::CounterEntry(cell) if cell.counter_id == 0 => Ok(Self::Counters(None, None)),
            Kind::CounterEntry(cell) => {
                let array = CounterArray::from_id(cell.counter_id)?;
                Ok(Self::Counters(
                    Some(array),
                    index(array.name(), array.size(), cell.index.as_ref())?,
                ))
            }
            Kind::MeterEntry(cell) => {
                no_colours("punt_meter", cell.counter_data.as_ref())?;
                if cell.meter_id == 0 {
                    return Ok(Self::Meters(None));
                }
                meter_id(cell.meter_id)?;
                Ok(Self::Meters(index(
                    "punt_meter",
                    ids::size::PUNT_METER,
                    cell.index.as_ref(),
                )?))
            }
            Kind::DirectCounterEntry(direct) => Ok(Self::DirectCounters(which(direct.table_entry.as_ref())?)),
            Kind::DirectMeterEntry(direct) => {
                no_colours("sender", direct.counter_data.as_ref())?;
                Ok(Self::DirectMeters(which(direct.table_entry.as_ref())?))
            }
            Kind::ExternEntry(entry) => AssociationFilter::decode(entry).map(Self::Associations),
            other => Err(EntryError::Unimplemented {
                what: unimplemented(other).unwrap_or("such entities"),
            }),
        }
    }

    #[allow(
        deprecated,
        reason = "clients of older versions of the standard filter by controller_metadata"
    )]
    fn of_entry(given: &v1::TableEntry) -> Result<Self, EntryError> {
        no_colours("table", given.meter_counter_data.as_ref())?;
        if given.is_default_action {
            let table = (given.table_id != 0)
                .then(|| entry::table_of(given))
                .transpose()?;
            return Ok(Self::Defaults(table));
        }
        let filter = Filter {
            priority: u32::try_from(given.priority).unwrap_or(0),
            metadata: given.metadata.clone(),
            controller_metadata: given.controller_metadata,
        };
        let (counter, meter) = (given.counter_data.is_some(), given.meter_config.is_some());
        Ok(Self::Rows {
            which: which(Some(given))?,
            filter,
            counter,
            meter,
        })
    }
}

/// Section 9.1.6: an entry without match fields asks for all of a table, one without table for all of all.
fn which(given: Option<&v1::TableEntry>) -> Result<Which, EntryError> {
    match given {
        None => Ok(Which::All),
        Some(given) if given.table_id == 0 && given.r#match.is_empty() => Ok(Which::All),
        Some(given) => {
            let table = entry::table_of(given)?;
            if given.r#match.is_empty() {
                Ok(Which::Table(table))
            } else {
                entry::decode_key(given).map(Which::Key)
            }
        }
    }
}

impl Answer {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> v1::Entity {
        let kind = match self {
            Self::Row(row) => Kind::TableEntry(row.encode()),
            Self::Default(DefaultEntry::Endpoint(entry)) => Kind::TableEntry(entry::encode(entry)),
            Self::Default(DefaultEntry::Constant(table, action_id)) => {
                let action = v1::Action {
                    action_id: *action_id,
                    params: Vec::new(),
                };
                let action = v1::TableAction {
                    r#type: Some(v1::table_action::Type::Action(action)),
                };
                Kind::TableEntry(v1::TableEntry {
                    table_id: table.id(),
                    action: Some(action),
                    is_default_action: true,
                    ..Default::default()
                })
            }
            Self::Counter(array, index, count) => Kind::CounterEntry(v1::CounterEntry {
                counter_id: array.id(),
                index: Some(index_message(*index)),
                data: Some(count.encode()),
            }),
            Self::Meter(index, config) => Kind::MeterEntry(v1::MeterEntry {
                meter_id: ids::meter::PUNT_METER,
                index: Some(index_message(*index)),
                config: config.map(MeterConfig::encode),
                counter_data: None,
            }),
            Self::DirectCounter(key, count) => Kind::DirectCounterEntry(v1::DirectCounterEntry {
                table_entry: Some(entry::encode_key(key)),
                data: Some(count.encode()),
            }),
            Self::DirectMeter(key, config) => Kind::DirectMeterEntry(v1::DirectMeterEntry {
                table_entry: Some(entry::encode_key(key)),
                config: config.map(MeterConfig::encode),
                counter_data: None,
            }),
            Self::Association(state) => Kind::ExternEntry(state.encode()),
        };
        v1::Entity { entity: Some(kind) }
    }
}

impl Filter {
    /// Does an entry pass?
    #[must_use]
    pub fn passes(&self, key: &Key, extras: &Extras) -> bool {
        let priority = match key {
            Key::Policy(key) => key.priority,
            _ => 0,
        };
        (self.priority == 0 || self.priority == priority)
            && (self.metadata.is_empty() || self.metadata == extras.metadata)
            && (self.controller_metadata == 0 || self.controller_metadata == extras.controller_metadata)
    }
}
