//! A back end whose writes fail at random, to show that a batch leaves old or new and never a mix.

use super::backend::{Backend, BackendError, Outlet, Rows, SenderRow};
use super::{Associations, UpdateError};
use crate::association::{Association, AssociationKey, AssociationState};
use crate::entry::{Entry, Key, RelayTo, SenderKey, SessionKey};
use crate::update::{Count, CounterArray};
use std::collections::BTreeSet;

/// Wraps a back end; each write that may fail does so when `fails` says so. Reads and restores do not.
#[derive(Debug)]
pub struct Faulty<B, F> {
    /// What is wrapped.
    pub inner: B,
    fails: F,
}

impl<B, F: FnMut() -> bool> Faulty<B, F> {
    /// Wraps `inner`. Randomness is the caller's.
    pub fn new(inner: B, fails: F) -> Self {
        Self { inner, fails }
    }

    fn chance(&mut self) -> Result<(), BackendError> {
        if (self.fails)() {
            Err(BackendError("a fault was injected"))
        } else {
            Ok(())
        }
    }
}

impl<B: Backend, F: FnMut() -> bool + Send + 'static> Backend for Faulty<B, F> {
    fn check(&self, entry: &Entry) -> Result<(), UpdateError> {
        self.inner.check(entry)
    }
    fn publish(&mut self, rows: &Rows, changed: &BTreeSet<Key>) -> Result<(), BackendError> {
        self.chance()?;
        self.inner.publish(rows, changed)
    }
    fn sender(&self, key: SenderKey) -> Option<SenderRow> {
        self.inner.sender(key)
    }
    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        self.chance()?;
        self.inner.set_sender(key, row)
    }
    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>) {
        self.inner.restore_sender(key, row);
    }
    fn senders(&self) -> Vec<(SenderKey, SenderRow)> {
        self.inner.senders()
    }
    fn session(&self, key: SessionKey) -> Option<RelayTo> {
        self.inner.session(key)
    }
    fn set_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError> {
        self.chance()?;
        self.inner.set_session(key, row)
    }
    fn restore_session(&mut self, key: SessionKey, row: Option<RelayTo>) {
        self.inner.restore_session(key, row);
    }
    fn sessions(&self) -> Vec<(SessionKey, RelayTo)> {
        self.inner.sessions()
    }
    fn count(&self, key: &Key) -> Count {
        self.inner.count(key)
    }
    fn set_count(&mut self, key: &Key, count: Count) {
        self.inner.set_count(key, count);
    }
    fn cell(&self, array: CounterArray, index: usize) -> Count {
        self.inner.cell(array, index)
    }
    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count) {
        self.inner.set_cell(array, index, count);
    }
    fn associations(&self) -> &dyn Associations {
        self.inner.associations()
    }
    fn associations_mut(&mut self) -> &mut dyn Associations {
        self
    }
    fn outlet(&self) -> Outlet {
        self.inner.outlet()
    }
}

impl<B: Backend, F: FnMut() -> bool + Send + 'static> Associations for Faulty<B, F> {
    fn install(&mut self, association: &Association) -> Result<(), UpdateError> {
        self.chance()?;
        self.inner.associations_mut().install(association)
    }
    fn remove(&mut self, key: AssociationKey) -> Result<(), UpdateError> {
        self.chance()?;
        self.inner.associations_mut().remove(key)
    }
    fn take_back(&mut self, key: AssociationKey) {
        self.inner.associations_mut().take_back(key);
    }
    fn get(&self, key: AssociationKey) -> Option<AssociationState> {
        self.inner.associations().get(key)
    }
    fn list(&self) -> Vec<AssociationState> {
        self.inner.associations().list()
    }
}
