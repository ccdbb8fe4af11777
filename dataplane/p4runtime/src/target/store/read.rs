//! Answers to queries: collected compactly under the lock, spelt out without it.

use crate::entry::{EndpointKey, Entry, Key, RelayTo, SenderKey, SessionKey, Table};
use crate::ids;
use crate::query::{Answer, DefaultEntry, Filter, Query, Which};
use crate::target::backend::{Backend, Rows, SenderRow, Stored};
use crate::target::{CHUNK, UpdateError};
use crate::update::{Count, CounterArray, Extras, Row};
use std::ops::ControlFlow;

/// A part of an answer. A session takes 32 octets here, not the 150 of an [`Answer`].
pub(super) enum Part {
    Spelt(Vec<Answer>),
    Senders(Vec<(SenderKey, SenderRow)>, bool),
    Sessions(Vec<(SessionKey, RelayTo, Count)>, bool),
    SessionCounts(Vec<(SessionKey, Count)>),
    SenderMeters(Vec<(SenderKey, SenderRow)>),
}

/// What a query finds.
pub(super) fn collect<B: Backend>(rows: &Rows, backend: &B, query: &Query) -> Result<Vec<Part>, UpdateError> {
    let parts = match query {
        Query::Rows {
            which,
            filter,
            counter,
            meter,
        } => match which {
            Which::Key(key) => {
                let row = one(rows, backend, key).filter(|row| filter.passes(key, &row.extras));
                let row = row.map(|row| with_resources(row, backend, *counter, *meter));
                vec![Part::Spelt(row.map(Answer::Row).into_iter().collect())]
            }
            Which::Table(table) => vec![all(rows, backend, *table, filter, *counter, *meter)],
            Which::All => {
                let tables = Table::ALL.iter();
                tables
                    .map(|table| all(rows, backend, *table, filter, *counter, *meter))
                    .collect()
            }
        },
        Query::Defaults(table) => {
            let asked = |one: &&Table| table.is_none_or(|table| table == **one);
            let tables = Table::ALL.iter().filter(asked);
            vec![Part::Spelt(
                tables
                    .filter_map(|table| default_of(rows, *table))
                    .map(Answer::Default)
                    .collect(),
            )]
        }
        Query::Counters(array, index) => {
            let arrays = CounterArray::ALL
                .into_iter()
                .filter(|one| array.is_none_or(|array| array == *one));
            let cells = arrays.flat_map(|array| {
                let cells = index.map_or(0..array.size(), |index| index..index + 1);
                cells.map(move |cell| Answer::Counter(array, cell, backend.cell(array, cell)))
            });
            vec![Part::Spelt(cells.collect())]
        }
        Query::Meters(index) => {
            let cells = index.map_or(0..rows.punt_meter.len(), |index| index..index + 1);
            vec![Part::Spelt(
                cells
                    .map(|cell| Answer::Meter(cell, rows.punt_meter[cell]))
                    .collect(),
            )]
        }
        Query::DirectCounters(which) => counters(rows, backend, which)?,
        Query::DirectMeters(which) => match which {
            Which::Key(Key::Sender(key)) => {
                let row = backend.sender(*key).ok_or(missing(Table::Sender))?;
                vec![Part::SenderMeters(vec![(*key, row)])]
            }
            Which::All | Which::Table(Table::Sender) => vec![Part::SenderMeters(backend.senders())],
            Which::Key(_) | Which::Table(_) => vec![],
        },
        Query::Associations(filter) => {
            let all = backend.associations().list().into_iter();
            let asked = all.filter(|state| filter.passes(state.key));
            vec![Part::Spelt(asked.map(Answer::Association).collect())]
        }
    };
    Ok(parts)
}

impl Part {
    /// Gives it to the sink, spelt out, a piece at a time.
    pub(super) fn give(self, sink: &mut dyn FnMut(Vec<Answer>) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Self::Spelt(answers) => pieces(answers.into_iter(), sink),
            Self::Senders(senders, meter) => {
                let rows = senders.into_iter().map(|(key, row)| {
                    let extras = Extras {
                        meter: row.meter.filter(|_| meter),
                        ..Extras::default()
                    };
                    Answer::Row(Row {
                        entry: Entry::Sender(key, row.action),
                        extras,
                    })
                });
                pieces(rows, sink)
            }
            Self::Sessions(sessions, counter) => {
                let rows = sessions.into_iter().map(|(key, to, count)| {
                    let extras = Extras {
                        counter: counter.then_some(count),
                        ..Extras::default()
                    };
                    Answer::Row(Row {
                        entry: Entry::Session(key, to),
                        extras,
                    })
                });
                pieces(rows, sink)
            }
            Self::SessionCounts(counts) => {
                let answers = counts
                    .into_iter()
                    .map(|(key, count)| Answer::DirectCounter(Key::Session(key), count));
                pieces(answers, sink)
            }
            Self::SenderMeters(senders) => {
                let answers = senders
                    .into_iter()
                    .map(|(key, row)| Answer::DirectMeter(Key::Sender(key), row.meter));
                pieces(answers, sink)
            }
        }
    }
}

fn pieces(
    mut answers: impl Iterator<Item = Answer>,
    sink: &mut dyn FnMut(Vec<Answer>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    loop {
        let piece: Vec<_> = answers.by_ref().take(CHUNK).collect();
        if piece.is_empty() {
            return ControlFlow::Continue(());
        }
        sink(piece)?;
    }
}

fn one<B: Backend>(rows: &Rows, backend: &B, key: &Key) -> Option<Row> {
    match *key {
        Key::Sender(key) => backend
            .sender(key)
            .map(|row| Entry::Sender(key, row.action).into()),
        Key::Session(key) => backend.session(key).map(|to| Entry::Session(key, to).into()),
        _ => rows.of(key.table()).get(key).map(row_of),
    }
}

fn all<B: Backend>(
    rows: &Rows,
    backend: &B,
    table: Table,
    filter: &Filter,
    counter: bool,
    meter: bool,
) -> Part {
    let bare = filter.passes(&Key::Endpoint(EndpointKey {}), &Extras::default());
    match table {
        // These have neither priority nor metadata: they all pass or none does.
        Table::Sender | Table::Session if !bare => Part::Spelt(Vec::new()),
        Table::Sender => Part::Senders(backend.senders(), meter),
        Table::Session => {
            let count = |key| {
                if counter {
                    backend.count(&Key::Session(key))
                } else {
                    Count::default()
                }
            };
            let sessions = backend.sessions().into_iter();
            Part::Sessions(sessions.map(|(key, to)| (key, to, count(key))).collect(), counter)
        }
        _ => {
            let rows = rows.of(table).iter().map(|(key, row)| (key, row_of(row)));
            let rows = rows.filter(|(key, row)| filter.passes(key, &row.extras));
            Part::Spelt(
                rows.map(|(_, row)| Answer::Row(with_resources(row, backend, counter, meter)))
                    .collect(),
            )
        }
    }
}

/// Section 9.3.1: no entry with the key is an error.
fn counters<B: Backend>(rows: &Rows, backend: &B, which: &Which) -> Result<Vec<Part>, UpdateError> {
    let of = |table: Table| match table {
        Table::Session => {
            let sessions = backend.sessions().into_iter();
            Part::SessionCounts(
                sessions
                    .map(|(key, _)| (key, backend.count(&Key::Session(key))))
                    .collect(),
            )
        }
        _ => Part::Spelt(
            rows.of(table)
                .keys()
                .map(|key| Answer::DirectCounter(*key, backend.count(key)))
                .collect(),
        ),
    };
    Ok(match which {
        Which::Key(key) => {
            one(rows, backend, key).ok_or(missing(key.table()))?;
            vec![Part::Spelt(vec![Answer::DirectCounter(*key, backend.count(key))])]
        }
        Which::Table(table) => vec![of(*table)],
        Which::All => Table::ALL
            .iter()
            .filter(|table| table.has_counter())
            .map(|table| of(*table))
            .collect(),
    })
}

fn with_resources<B: Backend>(mut row: Row, backend: &B, counter: bool, meter: bool) -> Row {
    let key = row.entry.key();
    row.extras.counter = (counter && key.table().has_counter()).then(|| backend.count(&key));
    row.extras.meter = match key {
        Key::Sender(key) if meter => backend.sender(key).and_then(|row| row.meter),
        _ => None,
    };
    row
}

fn default_of(rows: &Rows, table: Table) -> Option<DefaultEntry> {
    if table == Table::Endpoint {
        return Some(DefaultEntry::Endpoint(Entry::Endpoint(
            EndpointKey {},
            rows.endpoint,
        )));
    }
    let described = ids::p4info().tables.iter();
    let mut described = described.filter(|one| one.preamble.as_ref().is_some_and(|it| it.id == table.id()));
    let action = described.next()?.const_default_action_id;
    (action != 0).then_some(DefaultEntry::Constant(table, action))
}

fn row_of(stored: &Stored) -> Row {
    let extras = Extras {
        metadata: stored.metadata.to_vec(),
        controller_metadata: stored.controller_metadata,
        ..Extras::default()
    };
    Row {
        entry: stored.entry,
        extras,
    }
}

fn missing(table: Table) -> UpdateError {
    UpdateError::Missing { table: table.name() }
}
