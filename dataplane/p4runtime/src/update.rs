//! One update of a batch as a Rust type ⇄ `Update` message.
//!
//! ```text
//!  INSERT TableEntry              Insert(Row)
//!  MODIFY TableEntry              Modify(Row), or Refresh(Key, ..) if it has no action
//!  DELETE TableEntry              Delete(Key)
//!  MODIFY CounterEntry, ..        Counter, DirectCounter, Meter, DirectMeter
//!  INSERT, DELETE ExternEntry     InstallAssociation, RemoveAssociation
//! ```

use crate::association::{self, Association, AssociationKey};
use crate::entry::{self, Entry, EntryError, Key, Table};
use crate::ids;
use crate::proto::v1::{self, entity::Entity as Kind, update::Type};
use crate::resource::{index, index_message, meter_id, no_colours};

pub use crate::resource::{Count, CounterArray, MeterConfig};

/// What goes with an entry besides key and action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// The controller's own octets, given back when the entry is read.
    pub metadata: Vec<u8>,
    /// The same in the standard's older form.
    pub controller_metadata: u64,
    /// The direct meter; none lets everything pass.
    pub meter: Option<MeterConfig>,
    /// What the direct counter is to stand at.
    pub counter: Option<Count>,
}

/// An entry with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Key and action.
    pub entry: Entry,
    /// The rest.
    pub extras: Extras,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self {
            entry,
            extras: Extras::default(),
        }
    }
}

/// One update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Enters a new entry.
    Insert(Row),
    /// Changes an entry, or the default action of `endpoint`.
    Modify(Row),
    /// Changes what goes with an entry; its action stays. Of `endpoint`: back to the program's default action.
    Refresh(Key, Extras),
    /// Removes an entry.
    Delete(Key),
    /// Sets a cell of a counter array, or all of them; no value checks only that it exists.
    Counter(CounterArray, Option<usize>, Option<Count>),
    /// Sets the counter of an entry.
    DirectCounter(Key, Option<Count>),
    /// Sets a cell of `punt_meter`, or all of them; none lets everything pass.
    Meter(Option<usize>, Option<MeterConfig>),
    /// Sets the meter of an entry.
    DirectMeter(Key, Option<MeterConfig>),
    /// Installs a security association. Its key serves once.
    InstallAssociation(Association),
    /// Removes a security association, once packets have seen what the batch changes besides.
    RemoveAssociation(AssociationKey),
}

impl Table {
    /// Does each of its entries have a counter?
    #[must_use]
    pub fn has_counter(self) -> bool {
        matches!(self, Self::Session | Self::Association | Self::Member)
    }

    /// Does each of its entries have a meter?
    #[must_use]
    pub fn has_meter(self) -> bool {
        self == Self::Sender
    }

    /// Is it changed by publishing a new generation, rather than in place?
    #[must_use]
    pub fn is_snapshot(self) -> bool {
        !matches!(self, Self::Sender | Self::Session)
    }
}

impl Update {
    /// Is it for what changes by publishing a new generation?
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        match self {
            Self::Insert(row) | Self::Modify(row) => row.entry.key().table().is_snapshot(),
            Self::Refresh(key, _) | Self::Delete(key) | Self::DirectMeter(key, _) => {
                key.table().is_snapshot()
            }
            Self::Meter(..) => true,
            // A counter is no state that packets are treated by.
            Self::Counter(..) | Self::DirectCounter(..) => true,
            Self::InstallAssociation(_) | Self::RemoveAssociation(_) => false,
        }
    }

    /// Reads an update.
    ///
    /// # Errors
    /// If it is none of our program's.
    pub fn decode(given: &v1::Update) -> Result<Self, EntryError> {
        let kind = given.entity.as_ref().and_then(|entity| entity.entity.as_ref());
        let invalid = |what| EntryError::Invalid {
            place: "update",
            what,
        };
        let kind = kind.ok_or(invalid("it has no entity; set one"))?;
        let action = given.r#type();
        if action == Type::Unspecified {
            return Err(invalid("its type is UNSPECIFIED; set INSERT, MODIFY or DELETE"));
        }
        if let Kind::ExternEntry(entry) = kind {
            return match action {
                Type::Insert => Association::decode(entry).map(Self::InstallAssociation),
                Type::Delete => AssociationKey::decode(entry).map(Self::RemoveAssociation),
                _ => Err(EntryError::Invalid {
                    place: association::NAME,
                    what: "keys are never changed in place; INSERT another association, and DELETE this one",
                }),
            };
        }
        if !matches!(kind, Kind::TableEntry(_)) && action != Type::Modify && unimplemented(kind).is_none() {
            return Err(invalid("counters and meters always exist; use MODIFY"));
        }
        match kind {
            Kind::TableEntry(entry) => Self::of_entry(action, entry),
            Kind::CounterEntry(cell) => {
                let array = CounterArray::from_id(cell.counter_id)?;
                let index = index(array.name(), array.size(), cell.index.as_ref())?;
                let data = cell
                    .data
                    .as_ref()
                    .map(|data| Count::decode(array.name(), data))
                    .transpose()?;
                Ok(Self::Counter(array, index, data))
            }
            Kind::MeterEntry(cell) => {
                meter_id(cell.meter_id)?;
                no_colours("punt_meter", cell.counter_data.as_ref())?;
                let index = index("punt_meter", ids::size::PUNT_METER, cell.index.as_ref())?;
                let config = cell
                    .config
                    .as_ref()
                    .map(|config| MeterConfig::decode("punt_meter", config))
                    .transpose()?;
                Ok(Self::Meter(index, config))
            }
            Kind::DirectCounterEntry(direct) => {
                let key = direct_key(direct.table_entry.as_ref(), Table::has_counter, NO_COUNTER)?;
                let data = direct
                    .data
                    .as_ref()
                    .map(|data| Count::decode(key.table().name(), data))
                    .transpose()?;
                Ok(Self::DirectCounter(key, data))
            }
            Kind::DirectMeterEntry(direct) => {
                let key = direct_key(direct.table_entry.as_ref(), Table::has_meter, NO_METER)?;
                let place = key.table().name();
                no_colours(place, direct.counter_data.as_ref())?;
                let config = direct
                    .config
                    .as_ref()
                    .map(|config| MeterConfig::decode(place, config))
                    .transpose()?;
                Ok(Self::DirectMeter(key, config))
            }
            other => Err(EntryError::Unimplemented {
                what: unimplemented(other).unwrap_or("such entities"),
            }),
        }
    }

    fn of_entry(action: Type, given: &v1::TableEntry) -> Result<Self, EntryError> {
        let key = entry::decode_key(given)?;
        let place = key.table().name();
        let invalid = |what| EntryError::Invalid { place, what };
        if given.is_const {
            return Err(invalid("is_const is for entries of the program; leave it out"));
        }
        if key.table() == Table::Endpoint && action != Type::Modify {
            return Err(invalid("the default entry always exists; use MODIFY"));
        }
        if action == Type::Delete {
            // Section 9.1: nothing but the key counts.
            return Ok(Self::Delete(key));
        }
        let extras = Extras::decode(key.table(), given)?;
        if action == Type::Modify && given.action.is_none() {
            return Ok(Self::Refresh(key, extras));
        }
        let row = Row {
            entry: entry::decode(given)?,
            extras,
        };
        Ok(if action == Type::Insert {
            Self::Insert(row)
        } else {
            Self::Modify(row)
        })
    }

    /// As a message.
    #[must_use]
    pub fn encode(&self) -> v1::Update {
        let (action, kind) = match self {
            Self::Insert(row) => (Type::Insert, Kind::TableEntry(row.encode())),
            Self::Modify(row) => (Type::Modify, Kind::TableEntry(row.encode())),
            Self::Refresh(key, extras) => (
                Type::Modify,
                Kind::TableEntry(extras.encode(entry::encode_key(key))),
            ),
            Self::Delete(key) => (Type::Delete, Kind::TableEntry(entry::encode_key(key))),
            Self::Counter(array, index, count) => {
                let data = count.map(Count::encode);
                let index = index.map(index_message);
                (
                    Type::Modify,
                    Kind::CounterEntry(v1::CounterEntry {
                        counter_id: array.id(),
                        index,
                        data,
                    }),
                )
            }
            Self::Meter(index, config) => {
                let (index, config) = (index.map(index_message), config.map(MeterConfig::encode));
                let cell = v1::MeterEntry {
                    meter_id: ids::meter::PUNT_METER,
                    index,
                    config,
                    counter_data: None,
                };
                (Type::Modify, Kind::MeterEntry(cell))
            }
            Self::DirectCounter(key, count) => {
                let data = count.map(Count::encode);
                let table_entry = Some(entry::encode_key(key));
                (
                    Type::Modify,
                    Kind::DirectCounterEntry(v1::DirectCounterEntry { table_entry, data }),
                )
            }
            Self::DirectMeter(key, config) => {
                let (table_entry, config) = (Some(entry::encode_key(key)), config.map(MeterConfig::encode));
                let direct = v1::DirectMeterEntry {
                    table_entry,
                    config,
                    counter_data: None,
                };
                (Type::Modify, Kind::DirectMeterEntry(direct))
            }
            Self::InstallAssociation(association) => (Type::Insert, Kind::ExternEntry(association.encode())),
            Self::RemoveAssociation(key) => (Type::Delete, Kind::ExternEntry(key.encode())),
        };
        v1::Update {
            r#type: action.into(),
            entity: Some(v1::Entity { entity: Some(kind) }),
        }
    }
}

impl Row {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> v1::TableEntry {
        self.extras.encode(entry::encode(&self.entry))
    }

    /// From a message.
    ///
    /// # Errors
    /// If it is no entry of our program.
    pub fn decode(given: &v1::TableEntry) -> Result<Self, EntryError> {
        let entry = entry::decode(given)?;
        Ok(Self {
            extras: Extras::decode(entry.key().table(), given)?,
            entry,
        })
    }
}

impl Extras {
    #[allow(
        deprecated,
        reason = "clients of older versions of the standard set controller_metadata"
    )]
    fn encode(&self, entry: v1::TableEntry) -> v1::TableEntry {
        v1::TableEntry {
            metadata: self.metadata.clone(),
            controller_metadata: self.controller_metadata,
            meter_config: self.meter.map(MeterConfig::encode),
            counter_data: self.counter.map(Count::encode),
            ..entry
        }
    }

    #[allow(
        deprecated,
        reason = "clients of older versions of the standard set controller_metadata"
    )]
    fn decode(table: Table, given: &v1::TableEntry) -> Result<Self, EntryError> {
        let place = table.name();
        let invalid = |what| EntryError::Invalid { place, what };
        if given.meter_config.is_some() && !table.has_meter() {
            return Err(invalid(NO_METER));
        }
        if given.counter_data.is_some() && !table.has_counter() {
            return Err(invalid(NO_COUNTER));
        }
        if given.idle_timeout_ns != 0 || given.time_since_last_hit.is_some() {
            return Err(invalid(
                "it has no idle timeout (P4Info idle_timeout_behavior); leave it out",
            ));
        }
        no_colours(place, given.meter_counter_data.as_ref())?;
        if given.metadata.len() > MAX_METADATA {
            return Err(invalid(
                "its metadata is longer than 256 octets; send a reference instead",
            ));
        }
        if !table.is_snapshot() && (!given.metadata.is_empty() || given.controller_metadata != 0) {
            return Err(invalid(
                "it holds up to a million entries and keeps no metadata; leave it out",
            ));
        }
        Ok(Self {
            metadata: given.metadata.clone(),
            controller_metadata: given.controller_metadata,
            meter: given
                .meter_config
                .as_ref()
                .map(|config| MeterConfig::decode(place, config))
                .transpose()?,
            counter: given
                .counter_data
                .as_ref()
                .map(|data| Count::decode(place, data))
                .transpose()?,
        })
    }
}

/// Octets of metadata that an entry can have.
pub const MAX_METADATA: usize = 256;

const NO_METER: &str = "it has no direct meter; see direct_resource_ids in the P4Info";
const NO_COUNTER: &str = "it has no direct counter; see direct_resource_ids in the P4Info";

/// What the kind of entity is called if our program has none.
pub(crate) fn unimplemented(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::ActionProfileMember(_) => "action profile members",
        Kind::ActionProfileGroup(_) => "action profile groups",
        Kind::PacketReplicationEngineEntry(_) => "packet replication engine entries",
        Kind::ValueSetEntry(_) => "value sets",
        Kind::RegisterEntry(_) => "registers",
        Kind::DigestEntry(_) => "digests",
        _ => return None,
    })
}

fn direct_key(
    given: Option<&v1::TableEntry>,
    has: fn(Table) -> bool,
    without: &'static str,
) -> Result<Key, EntryError> {
    let what = "it has no table_entry; set its table_id and match";
    let given = given.ok_or(EntryError::Invalid {
        place: "direct resource",
        what,
    })?;
    let key = entry::decode_key(given)?;
    if !has(key.table()) {
        return Err(EntryError::Invalid {
            place: key.table().name(),
            what: without,
        });
    }
    Ok(key)
}
