//! What a store needs from what forwards packets.

use super::{Associations, PacketOutError, UpdateError};
use crate::entry::{Authorise, EndpointAction, Entry, Key, RelayTo, SenderKey, SessionKey, Table};
use crate::ids;
use crate::packet::PacketOut;
use crate::update::{Count, CounterArray, MeterConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The dataplane did not take a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub &'static str);

/// A sender, with its meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderRow {
    /// Where its packets must come from.
    pub action: Authorise,
    /// What it may send; none means all.
    pub meter: Option<MeterConfig>,
}

/// An entry of a snapshot table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Key and action.
    pub entry: Entry,
    /// The controller's octets.
    pub metadata: Box<[u8]>,
    /// The controller's number.
    pub controller_metadata: u64,
    /// Learnt by the dataplane itself: `neighbor` only. A controller's entry takes its place.
    pub learnt: bool,
}

/// The rows of all snapshot tables: what a generation is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    tables: Vec<BTreeMap<Key, Stored>>,
    /// The default action of `endpoint`.
    pub endpoint: EndpointAction,
    /// The cells of `punt_meter`.
    pub punt_meter: Vec<Option<MeterConfig>>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            tables: vec![BTreeMap::new(); Table::ALL.len()],
            endpoint: EndpointAction::Nothing,
            punt_meter: vec![None; ids::size::PUNT_METER],
        }
    }
}

impl Rows {
    /// The rows of one table.
    #[must_use]
    pub fn of(&self, table: Table) -> &BTreeMap<Key, Stored> {
        &self.tables[table as usize]
    }

    /// The keys of all rows.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.tables.iter().flat_map(|rows| rows.keys().copied())
    }

    pub(super) fn of_mut(&mut self, table: Table) -> &mut BTreeMap<Key, Stored> {
        &mut self.tables[table as usize]
    }
}

/// What forwards packets. All calls come from one caller at a time.
pub trait Backend: Send + 'static {
    /// May this entry be? Ports, pool of pseudo addresses, indices of security associations.
    ///
    /// # Errors
    /// If the dataplane could not obey it.
    fn check(&self, entry: &Entry) -> Result<(), UpdateError>;

    /// Makes these rows what packets see, in one step. Only the rows of these keys differ from the last time: each is there now, or
    /// is gone. The key of `endpoint` stands for its default action and for the punt meters.
    ///
    /// # Errors
    /// If it cannot; then packets go on seeing the last rows.
    fn publish(&mut self, rows: &Rows, changed: &BTreeSet<Key>) -> Result<(), BackendError>;

    /// A sender as it is.
    fn sender(&self, key: SenderKey) -> Option<SenderRow>;

    /// Enters, moves or (`None`) removes a sender. The key was checked.
    ///
    /// # Errors
    /// If it cannot; then nothing changed.
    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError>;

    /// Puts back what was there. It was there before, so there is room for it, and this cannot fail.
    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>);

    /// All senders.
    fn senders(&self) -> Vec<(SenderKey, SenderRow)>;

    /// A session as it is.
    fn session(&self, key: SessionKey) -> Option<RelayTo>;

    /// Enters, moves or (`None`) removes a session. The key was checked.
    ///
    /// # Errors
    /// If it cannot; then nothing changed.
    fn set_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError>;

    /// Puts back what was there; cannot fail.
    fn restore_session(&mut self, key: SessionKey, row: Option<RelayTo>);

    /// All sessions.
    fn sessions(&self) -> Vec<(SessionKey, RelayTo)>;

    /// The counter of an entry of `session`, `association` or `member`, summed over workers.
    fn count(&self, key: &Key) -> Count;

    /// Makes it stand there.
    fn set_count(&mut self, key: &Key, count: Count);

    /// A cell of a counter array, summed over workers.
    fn cell(&self, array: CounterArray, index: usize) -> Count;

    /// Makes it stand there.
    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count);

    /// Its security associations, to be looked at.
    fn associations(&self) -> &dyn Associations;

    /// Its security associations, to be installed and removed.
    fn associations_mut(&mut self) -> &mut dyn Associations;

    /// Where packets of the controller go; asked for once.
    fn outlet(&self) -> Outlet;
}

/// Takes packets to be sent; never waits.
pub type Outlet = Arc<dyn Fn(PacketOut) -> Result<(), PacketOutError> + Send + Sync>;
