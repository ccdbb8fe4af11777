//! A back end that forwards nothing: tables in memory, for tests and for clients to be tried against.

use super::backend::{Backend, BackendError, Outlet, Rows, SenderRow};
use super::{Associations, PacketOutError, Resting, UpdateError};
use crate::entry::{Entry, Key, RelayTo, SenderKey, SessionKey};
use crate::packet::PacketOut;
use crate::update::{Count, CounterArray};
use kith_pipeline::units::PortIndex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Security associations of each direction.
const ASSOCIATIONS: u32 = 8192;

/// Tables in memory.
#[derive(Debug)]
pub struct Memory {
    ports: u8,
    /// What was published last.
    pub rows: Rows,
    senders: BTreeMap<SenderKey, SenderRow>,
    sessions: BTreeMap<SessionKey, RelayTo>,
    counts: HashMap<Key, Count>,
    cells: HashMap<(CounterArray, usize), Count>,
    associations: Resting,
    /// Packets that were sent.
    pub sent: Arc<Mutex<Vec<PacketOut>>>,
}

impl Memory {
    /// With ports `0..ports`, and security associations below [`ASSOCIATIONS`].
    #[must_use]
    pub fn new(ports: u8) -> Self {
        Self {
            ports,
            rows: Rows::default(),
            senders: BTreeMap::new(),
            sessions: BTreeMap::new(),
            counts: HashMap::new(),
            cells: HashMap::new(),
            associations: Resting::new(ASSOCIATIONS),
            sent: Arc::default(),
        }
    }
}

impl Backend for Memory {
    fn check(&self, entry: &Entry) -> Result<(), UpdateError> {
        let outside = |port: &PortIndex| port.0 >= self.ports;
        match entry.ports().into_iter().flatten().find(outside) {
            None => Ok(()),
            Some(port) => Err(UpdateError::Outside {
                table: entry.key().table().name(),
                what: "port",
                value: port.0.to_string(),
                advice: "use one that exists",
            }),
        }
    }

    fn publish(&mut self, rows: &Rows, _: &BTreeSet<Key>) -> Result<(), BackendError> {
        self.rows = rows.clone();
        Ok(())
    }

    fn sender(&self, key: SenderKey) -> Option<SenderRow> {
        self.senders.get(&key).copied()
    }

    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        self.restore_sender(key, row);
        Ok(())
    }

    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>) {
        match row {
            Some(row) => self.senders.insert(key, row),
            None => self.senders.remove(&key),
        };
    }

    fn senders(&self) -> Vec<(SenderKey, SenderRow)> {
        self.senders.iter().map(|(key, row)| (*key, *row)).collect()
    }

    fn session(&self, key: SessionKey) -> Option<RelayTo> {
        self.sessions.get(&key).copied()
    }

    fn set_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError> {
        self.restore_session(key, row);
        Ok(())
    }

    fn restore_session(&mut self, key: SessionKey, row: Option<RelayTo>) {
        match row {
            Some(row) => self.sessions.insert(key, row),
            None => self.sessions.remove(&key),
        };
    }

    fn sessions(&self) -> Vec<(SessionKey, RelayTo)> {
        self.sessions.iter().map(|(key, row)| (*key, *row)).collect()
    }

    fn count(&self, key: &Key) -> Count {
        self.counts.get(key).copied().unwrap_or_default()
    }

    fn set_count(&mut self, key: &Key, count: Count) {
        self.counts.insert(*key, count);
    }

    fn cell(&self, array: CounterArray, index: usize) -> Count {
        self.cells.get(&(array, index)).copied().unwrap_or_default()
    }

    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count) {
        self.cells.insert((array, index), count);
    }

    fn associations(&self) -> &dyn Associations {
        &self.associations
    }

    fn associations_mut(&mut self) -> &mut dyn Associations {
        &mut self.associations
    }

    fn outlet(&self) -> Outlet {
        let (ports, sent) = (self.ports, self.sent.clone());
        Arc::new(move |packet| {
            if packet.egress_port.0 >= ports {
                return Err(PacketOutError::Port(packet.egress_port.0.into()));
            }
            sent.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
            Ok(())
        })
    }
}
