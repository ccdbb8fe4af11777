//! Tables over a back end: the rules of batches, and what is kept of an entry that packets do not need.
//!
//! Problem: a batch of a thousand updates must be cheap, a failing one must leave what its atomicity declares, and packets must not
//! see half of a generation. Idea: rows change in place under one lock with a log of what was there; at the end of the
//! batch the back end publishes once, and if anything fails the log is played backwards.
//!
//! ```text
//!  update ─► check ─► snapshot table: rows (log)                 ─┐
//!                  ├► sender, session: back end, in place (log)   ├─► publish once ─► associations go ─► counters
//!                  └► associations come: back end (log)           │
//!                                        any error: log backwards ┘
//! ```
//!
//! A security association is installed before the entry that names it is seen, and removed after the entry that named it is
//! not: no packet of either generation is without keys.
//!
//! Cost: a map operation an update and one publication a batch. Sessions and senders are kept by the back end alone, so that a million
//! of them cost what they cost there.

use super::backend::{Backend, Outlet, Rows, SenderRow, Stored};
use super::{Atomicity, Outcome, PacketOutError, Target, UpdateError};
use crate::association::{Association, AssociationKey};
use crate::entry::{
    EndpointAction, EndpointKey, Entry, Key, NeighborKey, RelayTo, Resolve, SenderKey, SessionKey, Table,
};
use crate::packet::PacketOut;
use crate::query::{Answer, Query};
use crate::update::{Count, CounterArray, Extras, MeterConfig, Row, Update};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

mod read;

/// Tables over a back end.
pub struct Store<B> {
    state: Mutex<State<B>>,
    initial: Rows,
    outlet: Outlet,
}

impl<B: std::fmt::Debug> std::fmt::Debug for Store<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State<B> {
    rows: Rows,
    backend: B,
}

/// What a batch did, for taking it back.
#[derive(Debug, Default)]
struct Batch {
    log: Vec<(usize, Undo)>,
    changed: BTreeSet<Key>,
    counts: Vec<(usize, Set)>,
    going: Vec<(usize, AssociationKey)>,
}

#[derive(Debug)]
enum Undo {
    Row(Key, Option<Stored>),
    Endpoint(EndpointAction),
    Meter(usize, Option<MeterConfig>),
    Sender(SenderKey, Option<SenderRow>),
    Session(SessionKey, Option<RelayTo>),
    Association(AssociationKey),
}

/// Counters change at the very end, for that cannot fail.
#[derive(Debug)]
enum Set {
    Entry(Key, Count),
    Cell(CounterArray, usize, Count),
}

impl<B: Backend> Store<B> {
    /// Tables after these updates, which are also what [`Target::reset`] goes back to: what a dataplane is configured with. Senders and
    /// sessions are none of it.
    ///
    /// # Errors
    /// If an update cannot be.
    pub fn new(backend: B, initial: &[Update]) -> Result<Self, UpdateError> {
        let outlet = backend.outlet();
        let mut state = State {
            rows: Rows::default(),
            backend,
        };
        let mut batch = Batch::default();
        for (number, update) in initial.iter().enumerate() {
            state.apply(number, update, &mut batch)?;
        }
        state
            .backend
            .publish(&state.rows, &everything(&state.rows, &state.rows))?;
        let initial = state.rows.clone();
        Ok(Self {
            state: Mutex::new(state),
            initial,
            outlet,
        })
    }

    /// Looks at the back end, between batches.
    pub fn with_backend<T>(&self, look: impl FnOnce(&mut B) -> T) -> T {
        look(&mut self.lock().backend)
    }

    /// Looks at the rows of the snapshot tables, between batches.
    pub fn with_rows<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.lock().rows)
    }

    /// The dataplane learnt where a neighbour is. False if nothing changed: it is known so, or a controller's entry says otherwise.
    ///
    /// # Errors
    /// If the table is full, or the entry cannot be.
    pub fn learn(&self, key: NeighborKey, station: Resolve) -> Result<bool, UpdateError> {
        let entry = Entry::Neighbor(key, station);
        let state = &mut *self.lock();
        let old = state.rows.of(Table::Neighbor).get(&entry.key());
        if old.is_some_and(|old| !old.learnt || old.entry == entry) {
            return Ok(false);
        }
        state.backend.check(&entry)?;
        if old.is_none() {
            state.room(Table::Neighbor)?;
        }
        let stored = Stored {
            entry,
            metadata: Box::default(),
            controller_metadata: 0,
            learnt: true,
        };
        state.swap(entry.key(), Some(stored)).map(|()| true)
    }

    /// A learnt neighbour is no longer there. False if none was, or a controller's entry says otherwise.
    ///
    /// # Errors
    /// If the dataplane did not take it.
    pub fn forget(&self, key: NeighborKey) -> Result<bool, UpdateError> {
        let state = &mut *self.lock();
        let key = Key::Neighbor(key);
        if !state
            .rows
            .of(Table::Neighbor)
            .get(&key)
            .is_some_and(|old| old.learnt)
        {
            return Ok(false);
        }
        state.swap(key, None).map(|()| true)
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // A panic cannot leave a batch half done where it matters: rows reach packets only through publish.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> Target for Store<B> {
    fn write(&self, updates: &[Update], atomicity: Atomicity) -> Result<Vec<Outcome>, UpdateError> {
        if atomicity == Atomicity::Dataplane && !updates.iter().all(Update::is_snapshot) {
            return Err(UpdateError::NotAtomic);
        }
        let state = &mut *self.lock();
        let mut batch = Batch::default();
        let mut outcomes = Vec::with_capacity(updates.len());
        for (number, update) in updates.iter().enumerate() {
            let outcome = state.apply(number, update, &mut batch);
            let failed = outcome.is_err();
            outcomes.push(outcome);
            if failed && atomicity != Atomicity::Continue {
                state.undo(batch.log);
                outcomes.resize(updates.len(), Err(UpdateError::RolledBack));
                outcomes[..number].fill(Err(UpdateError::RolledBack));
                return Ok(outcomes);
            }
        }
        if !batch.changed.is_empty()
            && let Err(error) = state.backend.publish(&state.rows, &batch.changed)
        {
            // Packets still see the last generation: the rows go back to it. What changed in place goes back as well, unless
            // each update stands for itself.
            let all = atomicity != Atomicity::Continue;
            let (back, stays) = batch
                .log
                .into_iter()
                .partition(|(_, undo)| all || undo.is_snapshot());
            batch.log = stays;
            for (outcome, update) in outcomes.iter_mut().zip(updates) {
                let is_going = matches!(update, Update::RemoveAssociation(_));
                if outcome.is_ok() && (all || update.is_snapshot() || is_going) {
                    *outcome = Err(error.clone().into());
                }
            }
            state.undo(back);
            batch.going.clear();
        }
        for (number, key) in batch.going {
            // What was published stays so: this is about the association alone.
            outcomes[number] = state.backend.associations_mut().remove(key);
        }
        for (number, set) in batch.counts {
            if outcomes[number].is_ok() {
                match set {
                    Set::Entry(key, count) => state.backend.set_count(&key, count),
                    Set::Cell(array, index, count) => state.backend.set_cell(array, index, count),
                }
            }
        }
        Ok(outcomes)
    }

    fn read(&self, queries: &[Query], sink: &mut dyn FnMut(Vec<Answer>) -> ControlFlow<()>) -> Vec<Outcome> {
        let (found, outcomes) = {
            let state = self.lock();
            let answers = queries
                .iter()
                .map(|query| read::collect(&state.rows, &state.backend, query));
            answers
                .map(|answer| match answer {
                    Ok(found) => (found, Ok(())),
                    Err(error) => (Vec::new(), Err(error)),
                })
                .unzip::<_, _, Vec<_>, Vec<_>>()
        };
        // The lock is free: a slow reader keeps no writer waiting.
        let _ = found.into_iter().flatten().try_for_each(|part| part.give(sink));
        outcomes
    }

    fn packet_out(&self, packet: PacketOut) -> Result<(), PacketOutError> {
        if !(14..=65_535).contains(&packet.frame.len()) {
            return Err(PacketOutError::Length(packet.frame.len()));
        }
        // Past the lock: packets do not wait for batches.
        (self.outlet)(packet)
    }

    fn reset(&self) -> Result<(), UpdateError> {
        let state = &mut *self.lock();
        let mut rows = self.initial.clone();
        // What the dataplane learnt is true whoever controls it.
        let learnt = state
            .rows
            .of(Table::Neighbor)
            .iter()
            .filter(|(_, row)| row.learnt);
        for (key, row) in learnt {
            rows.of_mut(Table::Neighbor)
                .entry(*key)
                .or_insert_with(|| row.clone());
        }
        let changed = everything(&state.rows, &rows);
        state.backend.publish(&rows, &changed)?;
        state.rows = rows;
        for (key, _) in state.backend.senders() {
            state.backend.restore_sender(key, None);
        }
        for (key, _) in state.backend.sessions() {
            state.backend.restore_session(key, None);
        }
        // No entry names them any more; one that cannot be removed keeps no other one.
        let mut removed = Ok(());
        for association in state.backend.associations().list() {
            removed = removed.and(state.backend.associations_mut().remove(association.key));
        }
        removed
    }
}

impl<B: Backend> State<B> {
    fn apply(&mut self, number: usize, update: &Update, batch: &mut Batch) -> Outcome {
        match update {
            Update::Insert(row) => self.insert(number, row, batch),
            Update::Modify(row) => self.modify(number, row, batch),
            Update::Refresh(key, extras) => self.refresh(number, *key, extras, batch),
            Update::Delete(key) => self.delete(number, *key, batch),
            Update::Counter(array, index, count) => {
                let cells = index.map_or(0..array.size(), |index| index..index + 1);
                let sets = count
                    .iter()
                    .flat_map(|count| cells.clone().map(move |cell| (cell, *count)));
                batch
                    .counts
                    .extend(sets.map(|(cell, count)| (number, Set::Cell(*array, cell, count))));
                Ok(())
            }
            Update::DirectCounter(key, count) => {
                self.entry(*key)?;
                batch
                    .counts
                    .extend(count.map(|count| (number, Set::Entry(*key, count))));
                Ok(())
            }
            Update::Meter(index, config) => {
                let cells = index.map_or(0..self.rows.punt_meter.len(), |index| index..index + 1);
                for cell in cells {
                    let old = std::mem::replace(&mut self.rows.punt_meter[cell], *config);
                    batch.log.push((number, Undo::Meter(cell, old)));
                }
                batch.changed.insert(Key::Endpoint(EndpointKey {}));
                Ok(())
            }
            Update::DirectMeter(key, config) => {
                let extras = Extras {
                    meter: *config,
                    ..Extras::default()
                };
                self.refresh(number, *key, &extras, batch)
            }
            Update::InstallAssociation(association) => self.install(number, association, batch),
            Update::RemoveAssociation(key) => {
                let going = batch.going.iter().any(|(_, going)| going == key);
                if going || self.backend.associations().get(*key).is_none() {
                    return Err(UpdateError::AssociationMissing { key: *key });
                }
                batch.going.push((number, *key));
                Ok(())
            }
        }
    }

    /// The place of one that goes in this batch is taken until the batch is over: packets still go under it.
    fn install(&mut self, number: usize, association: &Association, batch: &mut Batch) -> Outcome {
        self.backend.associations_mut().install(association)?;
        batch.log.push((number, Undo::Association(association.key)));
        Ok(())
    }

    fn insert(&mut self, number: usize, row: &Row, batch: &mut Batch) -> Outcome {
        let key = row.entry.key();
        let table = key.table();
        check(&row.entry)?;
        self.backend.check(&row.entry)?;
        if table == Table::Endpoint {
            // Only from the dataplane's own start: the codec lets no INSERT of it through.
            return self.modify(number, row, batch);
        }
        // A controller's entry takes the place of a learnt one.
        match self.rows.of(table).get(&key) {
            Some(old) if !old.learnt => return Err(UpdateError::Exists { table: table.name() }),
            Some(_) => {}
            None if self.entry(key).is_ok() => return Err(UpdateError::Exists { table: table.name() }),
            None => self.room(table)?,
        }
        self.put(number, key, Some(row), batch)?;
        if table.has_counter() {
            batch
                .counts
                .push((number, Set::Entry(key, row.extras.counter.unwrap_or_default())));
        }
        Ok(())
    }

    fn modify(&mut self, number: usize, row: &Row, batch: &mut Batch) -> Outcome {
        let key = row.entry.key();
        check(&row.entry)?;
        self.backend.check(&row.entry)?;
        self.entry(key)?;
        self.put(number, key, Some(row), batch)?;
        batch
            .counts
            .extend(row.extras.counter.map(|count| (number, Set::Entry(key, count))));
        Ok(())
    }

    /// Section 9.1.2: without action the action stays; section 9.1.3: an endpoint's goes back to the program's.
    fn refresh(&mut self, number: usize, key: Key, extras: &Extras, batch: &mut Batch) -> Outcome {
        if key.table() == Table::Endpoint {
            let entry = Entry::Endpoint(EndpointKey {}, EndpointAction::Nothing);
            return self.put(number, key, Some(&entry.into()), batch);
        }
        let entry = self.entry(key)?;
        if key.table().has_meter() {
            let extras = Extras {
                meter: extras.meter,
                ..Extras::default()
            };
            self.put(number, key, Some(&Row { entry, extras }), batch)?;
        }
        batch
            .counts
            .extend(extras.counter.map(|count| (number, Set::Entry(key, count))));
        Ok(())
    }

    fn delete(&mut self, number: usize, key: Key, batch: &mut Batch) -> Outcome {
        self.entry(key)?;
        self.put(number, key, None, batch)
    }

    /// Changes a row, and notes what was there.
    fn put(&mut self, number: usize, key: Key, row: Option<&Row>, batch: &mut Batch) -> Outcome {
        let undo = match (key, row.map(|row| row.entry)) {
            (Key::Sender(key), entry) => {
                let old = self.backend.sender(key);
                let new = match entry {
                    Some(Entry::Sender(_, action)) => Some(SenderRow {
                        action,
                        meter: row.and_then(|row| row.extras.meter),
                    }),
                    _ => None,
                };
                self.backend.set_sender(key, new)?;
                Undo::Sender(key, old)
            }
            (Key::Session(key), entry) => {
                let old = self.backend.session(key);
                let new = match entry {
                    Some(Entry::Session(_, action)) => Some(action),
                    _ => None,
                };
                self.backend.set_session(key, new)?;
                Undo::Session(key, old)
            }
            (_, Some(Entry::Endpoint(_, action))) => {
                Undo::Endpoint(std::mem::replace(&mut self.rows.endpoint, action))
            }
            _ => {
                let rows = self.rows.of_mut(key.table());
                let old = match row {
                    Some(row) => rows.insert(key, Stored::from(row)),
                    None => rows.remove(&key),
                };
                Undo::Row(key, old)
            }
        };
        if undo.is_snapshot() {
            batch.changed.insert(key);
        }
        batch.log.push((number, undo));
        Ok(())
    }

    /// Changes one row of a snapshot table and publishes.
    fn swap(&mut self, key: Key, row: Option<Stored>) -> Outcome {
        let rows = self.rows.of_mut(key.table());
        let old = match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
        if let Err(error) = self.backend.publish(&self.rows, &BTreeSet::from([key])) {
            self.undo(vec![(0, Undo::Row(key, old))]);
            return Err(error.into());
        }
        Ok(())
    }

    fn undo(&mut self, log: Vec<(usize, Undo)>) {
        for (_, undo) in log.into_iter().rev() {
            match undo {
                Undo::Row(key, Some(old)) => drop(self.rows.of_mut(key.table()).insert(key, old)),
                Undo::Row(key, None) => drop(self.rows.of_mut(key.table()).remove(&key)),
                Undo::Endpoint(old) => self.rows.endpoint = old,
                Undo::Meter(cell, old) => self.rows.punt_meter[cell] = old,
                Undo::Sender(key, old) => self.backend.restore_sender(key, old),
                Undo::Session(key, old) => self.backend.restore_session(key, old),
                Undo::Association(key) => self.backend.associations_mut().take_back(key),
            }
        }
    }

    /// The entry with this key.
    fn entry(&self, key: Key) -> Result<Entry, UpdateError> {
        let found = match key {
            Key::Sender(key) => self.backend.sender(key).map(|row| Entry::Sender(key, row.action)),
            Key::Session(key) => self.backend.session(key).map(|to| Entry::Session(key, to)),
            Key::Endpoint(key) => Some(Entry::Endpoint(key, self.rows.endpoint)),
            _ => self.rows.of(key.table()).get(&key).map(|row| row.entry),
        };
        found.ok_or(UpdateError::Missing {
            table: key.table().name(),
        })
    }

    fn room(&self, table: Table) -> Outcome {
        let full = table.is_snapshot() && self.rows.of(table).len() >= table.size();
        if full {
            Err(UpdateError::Full {
                table: table.name(),
                size: table.size(),
            })
        } else {
            Ok(())
        }
    }
}

/// The keys of both, and the endpoint's.
fn everything(old: &Rows, new: &Rows) -> BTreeSet<Key> {
    old.keys()
        .chain(new.keys())
        .chain([Key::Endpoint(EndpointKey {})])
        .collect()
}

/// What no dataplane could make sense of, though every field has its width.
fn check(entry: &Entry) -> Outcome {
    let table = entry.key().table().name();
    let mtu = entry.mtu();
    if let Some(mtu) = mtu.filter(|&mtu| mtu < MIN_MTU) {
        let advice = "RFC 791 has 68 octets as the least";
        return Err(UpdateError::Outside {
            table,
            what: "MTU",
            value: mtu.to_string(),
            advice,
        });
    }
    match entry {
        Entry::EgressPort(key, action) if key.port != action.port => {
            let what = "the action's port is not the key's; a port leaves by itself";
            Err(crate::entry::EntryError::Invalid { place: table, what }.into())
        }
        _ => Ok(()),
    }
}

/// RFC 791, section 3.2: every module must forward 68 octets.
const MIN_MTU: u16 = 68;

impl From<&Row> for Stored {
    fn from(row: &Row) -> Self {
        Self {
            entry: row.entry,
            metadata: row.extras.metadata.as_slice().into(),
            controller_metadata: row.extras.controller_metadata,
            learnt: false,
        }
    }
}

impl Undo {
    fn is_snapshot(&self) -> bool {
        !matches!(self, Self::Sender(..) | Self::Session(..) | Self::Association(_))
    }
}
