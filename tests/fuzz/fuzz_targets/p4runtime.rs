//! Any octets as a write and a read request, and as entries that are nearly the program's own: decoded or refused; what is decoded
//! comes back the same; a batch leaves what its atomicity says, and the back end sees exactly the rows of the store.
#![no_main]

use kith_p4runtime::ids;
use kith_p4runtime::proto::config::match_field::{Match, MatchType};
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind, field_match::FieldMatchType, update::Type};
use kith_p4runtime::query::{Answer, Filter, Query, Which};
use kith_p4runtime::target::{Atomicity, Memory, Store, Target, UpdateError};
use kith_p4runtime::update::{Row, Update};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::ops::ControlFlow;

/// The input, octet by octet; zeros at its end.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn one(&mut self) -> u8 {
        let (first, rest) = self
            .0
            .split_first()
            .map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn some(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.one()).collect()
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        of.get(usize::from(self.one()) % of.len().max(1))
    }

    /// A value of so many bits: mostly small, sometimes too long.
    fn value(&mut self, bits: i32) -> Vec<u8> {
        let full = bits.unsigned_abs().div_ceil(8) as usize;
        match self.one() {
            0..=127 => self.some(1),
            128..=239 => self.some(full),
            octet => self.some(usize::from(octet - 240)),
        }
    }
}

/// An entry with the fields of a table of the program; values are the input's.
fn table_entry(octets: &mut Octets<'_>) -> Option<v1::TableEntry> {
    let info = ids::p4info();
    let table = octets.pick(&info.tables)?;
    let mut entry = v1::TableEntry {
        table_id: table.preamble.as_ref()?.id,
        ..Default::default()
    };
    for field in &table.match_fields {
        let knob = octets.one();
        if knob > 250 {
            continue;
        }
        let value = octets.value(field.bitwidth);
        let kind = match field.r#match {
            Some(Match::MatchType(kind)) if kind == MatchType::Ternary as i32 => {
                if knob > 128 {
                    continue;
                }
                FieldMatchType::Ternary(v1::field_match::Ternary {
                    mask: octets.value(field.bitwidth),
                    value,
                })
            }
            Some(Match::MatchType(kind)) if kind == MatchType::Lpm as i32 => {
                FieldMatchType::Lpm(v1::field_match::Lpm {
                    value,
                    prefix_len: i32::from(octets.one() % 40),
                })
            }
            _ => FieldMatchType::Exact(v1::field_match::Exact { value }),
        };
        entry.r#match.push(v1::FieldMatch {
            field_id: field.id,
            field_match_type: Some(kind),
        });
    }
    let flags = octets.one();
    let ternary = table.match_fields.len() == 6;
    entry.priority = i32::from(octets.one() as i8) * i32::from(ternary != (flags & 1 != 0));
    entry.is_default_action = table.match_fields.is_empty() != (flags & 2 != 0 && flags & 4 != 0);
    if flags & 0x30 != 0x30 {
        let id = octets.pick(&table.action_refs)?.id;
        let action = info
            .actions
            .iter()
            .find(|action| action.preamble.as_ref().is_some_and(|it| it.id == id))?;
        let params = action.params.iter().map(|param| v1::action::Param {
            param_id: param.id,
            value: octets.value(param.bitwidth),
        });
        let action = v1::Action {
            action_id: id,
            params: params.collect(),
        };
        entry.action = Some(v1::TableAction {
            r#type: Some(v1::table_action::Type::Action(action)),
        });
    }
    if flags & 0x40 != 0 {
        entry.metadata = octets.some(3);
    }
    if flags & 0x80 != 0 {
        let numbers = octets.some(4);
        entry.meter_config = Some(v1::MeterConfig {
            cir: i64::from(numbers[0] as i8),
            pir: i64::from(numbers[1]),
            cburst: i64::from(numbers[2]),
            pburst: i64::from(numbers[3]),
            eburst: 0,
        });
    }
    if flags & 8 != 0 {
        let (byte_count, packet_count) = (i64::from(octets.one() as i8), i64::from(octets.one()));
        entry.counter_data = Some(v1::CounterData {
            byte_count,
            packet_count,
        });
    }
    Some(entry)
}

fn entity(octets: &mut Octets<'_>) -> Option<v1::Entity> {
    let kind = octets.one();
    let index = |octets: &mut Octets<'_>| {
        let index = i64::from(octets.one() as i8);
        (index < 100).then_some(v1::Index { index })
    };
    let info = ids::p4info();
    let kind = match kind {
        0..=199 => Kind::TableEntry(table_entry(octets)?),
        200..=209 => {
            let counter_id = octets.pick(&info.counters)?.preamble.as_ref()?.id;
            let data = Some(v1::CounterData {
                byte_count: 0,
                packet_count: i64::from(octets.one() as i8),
            });
            Kind::CounterEntry(v1::CounterEntry {
                counter_id,
                index: index(octets),
                data,
            })
        }
        210..=219 => {
            let meter_id = octets.pick(&info.meters)?.preamble.as_ref()?.id;
            let (index, config) = (index(octets), table_entry(octets)?.meter_config);
            Kind::MeterEntry(v1::MeterEntry {
                meter_id,
                index,
                config,
                counter_data: None,
            })
        }
        220..=235 => {
            let entry = table_entry(octets)?;
            let data = entry.counter_data;
            Kind::DirectCounterEntry(v1::DirectCounterEntry {
                table_entry: Some(entry),
                data,
            })
        }
        236..=255 => {
            let entry = table_entry(octets)?;
            let config = entry.meter_config;
            Kind::DirectMeterEntry(v1::DirectMeterEntry {
                table_entry: Some(entry),
                config,
                counter_data: None,
            })
        }
    };
    Some(v1::Entity { entity: Some(kind) })
}

/// Messages that decode, as types; each of them comes back from its message.
fn decoded(messages: &[v1::Update]) -> Vec<Update> {
    let updates: Vec<_> = messages
        .iter()
        .filter_map(|message| Update::decode(message).ok())
        .collect();
    for update in &updates {
        let again = Update::decode(&update.encode());
        assert_eq!(again.as_ref(), Ok(update), "read-write symmetry");
    }
    updates
}

/// Writes a batch and looks at what it left.
fn write(store: &Store<Memory>, updates: &[Update], atomicity: Atomicity) {
    let published = || store.with_backend(|memory| memory.rows.clone());
    let state = || {
        let answers = read(store, &[rows(Which::All)]);
        let mut all: Vec<String> = answers.iter().map(|answer| format!("{answer:?}")).collect();
        all.sort();
        (published(), all)
    };
    let before = state();
    match store.write(updates, atomicity) {
        Err(error) => {
            assert_eq!(error, UpdateError::NotAtomic);
            assert!(atomicity == Atomicity::Dataplane && !updates.iter().all(Update::is_snapshot));
            assert!(state() == before);
        }
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), updates.len());
            let failed = outcomes.iter().any(Result::is_err);
            if failed && atomicity != Atomicity::Continue {
                assert!(outcomes.iter().all(Result::is_err), "all or none");
                assert!(state() == before, "nothing is left of it");
            }
        }
    }
    let rows = store.with_rows(Clone::clone);
    assert_eq!(published(), rows, "packets see what the store says");
}

fn read(store: &Store<Memory>, queries: &[Query]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let outcomes = store.read(queries, &mut |piece| {
        answers.extend(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(outcomes.len(), queries.len());
    answers
}

fn rows(which: Which) -> Query {
    Query::Rows {
        which,
        filter: Filter::default(),
        counter: true,
        meter: true,
    }
}

fuzz_target!(|data: &[u8]| {
    let store = Store::new(Memory::new(4), &[]).expect("nothing is entered");
    if let Ok(request) = v1::WriteRequest::decode(data) {
        write(&store, &decoded(&request.updates), Atomicity::Continue);
    }
    if let Ok(request) = v1::ReadRequest::decode(data) {
        let queries: Vec<_> = request
            .entities
            .iter()
            .filter_map(|it| Query::decode(it).ok())
            .collect();
        read(&store, &queries);
    }

    let mut octets = Octets(data);
    for _ in 0..4 {
        let atomicity =
            [Atomicity::Continue, Atomicity::Rollback, Atomicity::Dataplane][usize::from(octets.one() % 3)];
        let mut batch = Vec::new();
        let mut queries = Vec::new();
        for _ in 0..4 {
            let kind =
                [Type::Insert, Type::Modify, Type::Delete, Type::Unspecified][usize::from(octets.one() % 4)];
            let entity = entity(&mut octets);
            queries.extend(entity.as_ref().and_then(|entity| Query::decode(entity).ok()));
            batch.push(v1::Update {
                r#type: kind.into(),
                entity,
            });
        }
        write(&store, &decoded(&batch), atomicity);
        read(&store, &queries);
    }

    // All that is there reads back as what would enter it again, by itself too.
    for answer in read(&store, &[rows(Which::All)]) {
        let message = answer.encode();
        let (Answer::Row(row), Some(Kind::TableEntry(entry))) = (&answer, &message.entity) else {
            unreachable!("only entries were asked for")
        };
        assert_eq!(Row::decode(entry).as_ref(), Ok(row));
        assert_eq!(
            read(&store, &[rows(Which::Key(row.entry.key()))]),
            [answer.clone()]
        );
    }
    assert!(store.reset().is_ok());
    assert_eq!(read(&store, &[rows(Which::All)]), []);
});
