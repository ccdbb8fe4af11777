//! `kith dataplane read`: what counters stand at, and how meters are set.
//!
//! A cell is a number to P4Runtime. What the numbers of Kith's own program mean is known here: one cell for each reason.

use super::entry::{Entry, EntryError};
use super::link::Link;
use super::rates::{Count, Rates};
use super::schema::{Array, Form, Schema};
use crate::error::Error;
use crate::output::{self, Format};
use clap::{Args, ValueEnum};
use kith_p4runtime::proto::v1::{self, entity::Entity};
use kith_pipeline::reason::{DropReason, PuntReason};
use serde::Serialize;
use std::ops::ControlFlow;

/// What to read.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Counters or meters; both if not said.
    #[arg(value_enum)]
    pub what: Option<What>,
    /// Which one; all of them if not said. `kith dataplane tables` lists them.
    #[arg(requires = "what")]
    pub name: Option<String>,
    /// Also counters that stand at zero, and meters that let everything pass.
    #[arg(long)]
    pub all: bool,
}

/// Counters or meters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Counters.
    Counter,
    /// Meters.
    Meter,
}

/// An array and its cells.
#[derive(Debug, Serialize)]
struct Listing {
    kind: &'static str,
    name: String,
    unit: &'static str,
    cells: Vec<Cell>,
}

/// A cell of an array, or an entry's own counter or meter.
#[derive(Debug, Serialize)]
struct Cell {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<i64>,
    /// What the number means, or the entry's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(flatten)]
    value: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Counter(Count),
    /// None lets everything pass.
    Meter(Option<Rates>),
}

/// `kith dataplane read`.
pub(super) fn run(link: &mut Link, reading: &Reading, format: Format) -> Result<u8, Error> {
    let schema = link.schema()?;
    let mut listings = Vec::new();
    for (what, kind, arrays) in [
        (What::Counter, "counter", schema.counters()),
        (What::Meter, "meter", schema.meters()),
    ] {
        if reading.what.is_some_and(|wanted| wanted != what) {
            continue;
        }
        let wanted = match &reading.name {
            Some(name) => vec![schema.array(kind, &arrays, name)?],
            None => arrays,
        };
        for array in wanted {
            listings.push(list(link, &schema, kind, array)?);
        }
    }
    // A named one is shown whole: whoever asks for it wants to see that it is zero.
    let all = reading.all || format == Format::Json;
    output::show(format, &listings, |listings| render(listings, all))?;
    Ok(0)
}

/// The update that sets a cell of a meter.
pub(super) fn meter_update(
    schema: &Schema,
    name: &str,
    cell: &str,
    rates: Option<Rates>,
) -> Result<v1::Update, EntryError> {
    let meters = schema.meters();
    let meter = schema.array("meter", &meters, name)?;
    let Form::Cells(size) = meter.form else {
        let why = format!("`{name}` belongs to a table: set it with its entry, meter=PIR:PBURST");
        return Err(EntryError::Grammar(why));
    };
    let index = index(name, cell).filter(|index| (0..size).contains(index));
    let index = index.ok_or_else(|| {
        let names: Vec<_> = (0..size)
            .filter_map(|index| Some(reason(name, index)?.0))
            .collect();
        let known = if names.is_empty() {
            String::new()
        } else {
            format!(" or one of {}", names.join(", "))
        };
        EntryError::Grammar(format!(
            "`{name}` has no cell `{cell}`; write 0 to {}{known}",
            size - 1
        ))
    })?;
    let entry = v1::MeterEntry {
        meter_id: meter.id,
        index: Some(v1::Index { index }),
        config: rates.map(Rates::encode),
        counter_data: None,
    };
    Ok(v1::Update {
        r#type: v1::update::Type::Modify.into(),
        entity: Some(v1::Entity {
            entity: Some(Entity::MeterEntry(entry)),
        }),
    })
}

/// The number of a cell, written as it is or by its name.
fn index(array: &str, cell: &str) -> Option<i64> {
    let numbered = cell.parse().ok();
    numbered.or_else(|| (0..256).find(|&index| reason(array, index).is_some_and(|(name, _)| name == cell)))
}

/// What a cell of one of Kith's own arrays means.
fn reason(array: &str, index: i64) -> Option<(&'static str, &'static str)> {
    let index = usize::try_from(index).ok()?;
    match array {
        "drops" => DropReason::ALL
            .get(index)
            .map(|reason| (reason.name(), reason.explanation())),
        "punts" | "punt_meter" => PuntReason::ALL
            .get(index)
            .map(|reason| (reason.name(), reason.explanation())),
        _ => None,
    }
}

fn list(link: &mut Link, schema: &Schema, kind: &'static str, array: Array<'_>) -> Result<Listing, Error> {
    let of_table = match array.form {
        Form::Direct(table) => Some(v1::TableEntry {
            table_id: table.id(),
            ..v1::TableEntry::default()
        }),
        Form::Cells(_) => None,
    };
    let filter = match (kind, of_table) {
        ("counter", None) => Entity::CounterEntry(v1::CounterEntry {
            counter_id: array.id,
            ..Default::default()
        }),
        ("counter", table_entry) => Entity::DirectCounterEntry(v1::DirectCounterEntry {
            table_entry,
            ..Default::default()
        }),
        (_, None) => Entity::MeterEntry(v1::MeterEntry {
            meter_id: array.id,
            ..Default::default()
        }),
        (_, table_entry) => Entity::DirectMeterEntry(v1::DirectMeterEntry {
            table_entry,
            ..Default::default()
        }),
    };
    let mut cells = Vec::new();
    link.read(vec![filter], |entity| {
        cells.extend(cell(schema, array.name, entity));
        ControlFlow::Continue(())
    })?;
    Ok(Listing {
        kind,
        name: array.name.to_owned(),
        unit: array.unit,
        cells,
    })
}

fn cell(schema: &Schema, array: &str, entity: Entity) -> Option<Cell> {
    let count = |data: Option<v1::CounterData>| Value::Counter(Count::decode(&data.unwrap_or_default()));
    let rates = |config: Option<v1::MeterConfig>| Value::Meter(config.as_ref().map(Rates::decode));
    let (index, entry, value) = match entity {
        Entity::CounterEntry(cell) => (cell.index, None, count(cell.data)),
        Entity::MeterEntry(cell) => (cell.index, None, rates(cell.config)),
        Entity::DirectCounterEntry(direct) => (None, direct.table_entry, count(direct.data)),
        Entity::DirectMeterEntry(direct) => (None, direct.table_entry, rates(direct.config)),
        _ => return None,
    };
    let index = index.map(|index| index.index);
    let known = index.and_then(|index| reason(array, index));
    let key = entry.map(|entry| {
        // Key only: what the entry does is not asked here.
        let entry = Entry {
            action: None,
            params: Default::default(),
            ..Entry::decode(schema, &entry)
        };
        entry
            .to_string()
            .split_once(' ')
            .map_or_else(String::new, |(_, key)| key.to_owned())
    });
    Some(Cell {
        index,
        name: known.map(|(name, _)| name.to_owned()).or(key),
        meaning: known.map(|(_, meaning)| meaning),
        value,
    })
}

fn render(listings: &[Listing], all: bool) -> String {
    let parts: Vec<String> = listings.iter().map(|listing| one(listing, all)).collect();
    parts.join("\n")
}

fn one(listing: &Listing, all: bool) -> String {
    let shown = listing.cells.iter().filter(|cell| {
        all || match cell.value {
            Value::Counter(count) => (count.packets, count.bytes) != (0, 0),
            Value::Meter(rates) => rates.is_some(),
        }
    });
    let rows: Vec<Vec<String>> = shown.map(|cell| row(listing, cell)).collect();
    if rows.is_empty() {
        let nothing = match listing.kind {
            "counter" => "nothing counted",
            _ => "everything passes",
        };
        return format!("{}: {nothing}\n", listing.name);
    }
    let mut headers = vec![listing.name.clone()];
    match (listing.kind, listing.unit) {
        ("counter", "packets") => headers.push(">packets".into()),
        ("counter", "bytes") => headers.push(">octets".into()),
        ("counter", _) => headers.extend([">packets".into(), ">octets".into()]),
        (_, unit) => headers.push(format!(">{unit} a second, burst")),
    }
    headers.push(if listing.cells.iter().any(|cell| cell.meaning.is_some()) {
        "meaning".into()
    } else {
        String::new()
    });
    output::table(&headers, &rows)
}

fn row(listing: &Listing, cell: &Cell) -> Vec<String> {
    let number = || cell.index.map_or_else(|| "-".into(), |index| index.to_string());
    let mut row = vec![cell.name.clone().unwrap_or_else(number)];
    match cell.value {
        Value::Counter(count) => {
            if listing.unit != "bytes" {
                row.push(count.packets.to_string());
            }
            if listing.unit != "packets" {
                row.push(count.bytes.to_string());
            }
        }
        Value::Meter(rates) => row.push(rates.map_or_else(
            || "any".into(),
            |rates| {
                let (pir, pburst) = (rates.pir, rates.pburst);
                if (rates.cir, rates.cburst) == (pir, pburst) {
                    format!("{pir}, {pburst}")
                } else {
                    format!("{pir}, {pburst} (green {}, {})", rates.cir, rates.cburst)
                }
            },
        )),
    }
    row.push(cell.meaning.unwrap_or_default().to_owned());
    row
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::kith;
    use super::*;

    fn counted(index: i64, packets: i64) -> Entity {
        Entity::CounterEntry(v1::CounterEntry {
            index: Some(v1::Index { index }),
            data: Some(v1::CounterData {
                packet_count: packets,
                byte_count: 0,
            }),
            ..Default::default()
        })
    }

    fn listing(kind: &'static str, name: &str, unit: &'static str, entities: Vec<Entity>) -> Listing {
        let cells = entities
            .into_iter()
            .filter_map(|entity| cell(&kith(), name, entity))
            .collect();
        Listing {
            kind,
            name: name.to_owned(),
            unit,
            cells,
        }
    }

    #[test]
    fn counters_and_meters_read_like_this() {
        let schema = kith();
        let unknown = DropReason::ALL
            .iter()
            .position(|reason| reason.name() == "source_unknown")
            .unwrap();
        let drops = vec![counted(0, 0), counted(unknown as i64, 12)];
        let control = index("punt_meter", "control").unwrap();
        let metered = |index, config| {
            Entity::MeterEntry(v1::MeterEntry {
                index: Some(v1::Index { index }),
                config,
                ..Default::default()
            })
        };
        let rate = Rates::parse("1000:100").map(Rates::encode);
        let key = Entry {
            table: "session".into(),
            key: [(
                "destination_member".to_owned(),
                super::super::entry::Word::Text("240.0.0.7".into()),
            )]
            .into(),
            update: Some(super::super::entry::Verb::Delete),
            ..Entry::default()
        };
        let Some(Entity::TableEntry(key)) = key.update(&schema).unwrap().entity.unwrap().entity else {
            panic!("no entry");
        };
        let direct = Entity::DirectCounterEntry(v1::DirectCounterEntry {
            table_entry: Some(key),
            data: Some(v1::CounterData {
                packet_count: 3,
                byte_count: 300,
            }),
        });
        let listings = [
            listing("counter", "drops", "packets", drops),
            listing("counter", "session_counter", "packets and bytes", vec![direct]),
            listing(
                "meter",
                "punt_meter",
                "packets",
                vec![metered(0, None), metered(control, rate)],
            ),
            listing("counter", "punts", "packets", vec![counted(0, 0)]),
        ];
        insta::assert_snapshot!([false, true].map(|all| render(&listings, all)).join("\n---\n"));
    }

    #[test]
    fn cells_are_named_by_number_or_by_reason() {
        let schema = kith();
        let set = |cell: &str| meter_update(&schema, "punt_meter", cell, None);
        assert_eq!(set("arp").unwrap(), set("0").unwrap());
        let wrong = set("nonsense").unwrap_err().to_string();
        assert!(
            wrong.contains("no cell `nonsense`") && wrong.contains("control"),
            "{wrong}"
        );
        assert!(set("1000").is_err() && set("-1").is_err());
        let own = meter_update(&schema, "sender_meter", "0", None)
            .unwrap_err()
            .to_string();
        assert!(own.contains("belongs to a table"), "{own}");
    }
}
