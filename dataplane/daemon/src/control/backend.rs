//! The pipeline's tables, watched: after each change others can see its number, and which neighbours are a controller's.

use super::{Seen, Written};
use kith_p4runtime::entry::{Entry, Key, RelayTo, SenderKey, SessionKey, Table};
use kith_p4runtime::target::{
    Associations, Backend, BackendError, Outlet, Pipeline, Rows, SenderRow, UpdateError,
};
use kith_p4runtime::update::{Count, CounterArray};
use kith_pipeline::table::neighbor::OnLink;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Tables that say when they changed.
pub struct Watched {
    pub(super) pipeline: Pipeline,
    pub(super) seen: Arc<Seen>,
}

impl Backend for Watched {
    fn check(&self, entry: &Entry) -> Result<(), UpdateError> {
        self.pipeline.check(entry)
    }

    fn publish(&mut self, rows: &Rows, changed: &BTreeSet<Key>) -> Result<(), BackendError> {
        self.pipeline.publish(rows, changed)?;
        self.seen.generation.fetch_add(1, Ordering::Release);
        if changed.iter().any(|key| key.table() == Table::Neighbor) {
            self.tell_written(rows);
        }
        Ok(())
    }

    fn sender(&self, key: SenderKey) -> Option<SenderRow> {
        self.pipeline.sender(key)
    }

    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        self.pipeline.set_sender(key, row)
    }

    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>) {
        self.pipeline.restore_sender(key, row);
    }

    fn senders(&self) -> Vec<(SenderKey, SenderRow)> {
        self.pipeline.senders()
    }

    fn session(&self, key: SessionKey) -> Option<RelayTo> {
        self.pipeline.session(key)
    }

    fn set_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError> {
        self.pipeline.set_session(key, row)
    }

    fn restore_session(&mut self, key: SessionKey, row: Option<RelayTo>) {
        self.pipeline.restore_session(key, row);
    }

    fn sessions(&self) -> Vec<(SessionKey, RelayTo)> {
        self.pipeline.sessions()
    }

    fn count(&self, key: &Key) -> Count {
        self.pipeline.count(key)
    }

    fn set_count(&mut self, key: &Key, count: Count) {
        self.pipeline.set_count(key, count);
    }

    fn cell(&self, array: CounterArray, index: usize) -> Count {
        self.pipeline.cell(array, index)
    }

    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count) {
        self.pipeline.set_cell(array, index, count);
    }

    fn associations(&self) -> &dyn Associations {
        self.pipeline.associations()
    }

    fn associations_mut(&mut self) -> &mut dyn Associations {
        self.pipeline.associations_mut()
    }

    fn outlet(&self) -> Outlet {
        self.pipeline.outlet()
    }
}

impl Watched {
    /// Lets the slow path see which neighbours are a controller's, if that changed.
    fn tell_written(&self, rows: &Rows) {
        let rows = rows.of(Table::Neighbor).values().filter(|row| !row.learnt);
        let written = rows.filter_map(|row| match row.entry {
            Entry::Neighbor(key, to) => {
                let neighbor = OnLink {
                    port: key.port,
                    address: key.address,
                };
                Some((neighbor, to.station))
            }
            _ => None,
        });
        let written: Written = written.collect();
        if **self.seen.written.load() != written {
            self.seen.written.store(Arc::new(written));
        }
    }
}
