//! The back end that forwards: the tables of `kith-pipeline`.
//!
//! ```text
//!  rows that changed ─► clone of the generation (shares what did not) ─► change ─► publish ─► workers
//!  senders, sessions ─► in place, under the rule of kith_pipeline::table::pool
//!  counters          ─► sum over workers - where it stood when the entry came
//! ```
//!
//! Memory: a sender takes 24 octets, a session 16, its counters 16 a worker and 16 here.

mod rows;

use super::backend::{Backend, BackendError, Outlet, Rows, SenderRow};
use super::{Associations, PacketOutError, UpdateError};
use crate::entry::{Authorise, Entry, Key, MemberAction, RelayTo, SenderKey, SessionKey};
use crate::packet::PacketOut;
use crate::update::{Count, CounterArray, MeterConfig};
use kith_pipeline::counters::{Counters, DirectCounters, EntryCounters};
use kith_pipeline::meter::Rate;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::pool::{Binding, Pool};
use kith_pipeline::table::session;
use kith_pipeline::table::snapshot::{Publisher, Reader};
use kith_pipeline::tables::Tables;
use kith_wire::shim::PseudoIp;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::sync::Arc;

/// What a dataplane is made of, as far as its tables must know.
pub struct Parts {
    /// The first generation: its tables for senders and sessions are the ones in use.
    pub tables: Tables,
    /// Ports are `0..ports`.
    pub ports: u8,
    /// Security associations of the crypto block are `0..associations`.
    pub associations: u32,
    /// What workers and the slow path count.
    pub counters: Vec<Arc<Counters>>,
    /// What workers count of entries.
    pub direct: Vec<Arc<DirectCounters>>,
    /// Who has the keys of them.
    pub keys: Box<dyn Associations>,
    /// Where packets of the controller go.
    pub outlet: Outlet,
}

/// The tables of the pipeline.
pub struct Pipeline {
    publisher: Publisher<Tables>,
    parts: Parts,
    session_bases: Box<[Count]>,
    entry_bases: HashMap<Key, Count>,
    cell_bases: HashMap<(CounterArray, usize), u64>,
    meters: HashMap<PseudoIp, MeterConfig>,
}

impl Pipeline {
    /// Takes the tables over: from here on nobody else changes them.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let sessions = parts.tables.session.pool().size();
        Self {
            publisher: Publisher::new(parts.tables.clone()),
            parts,
            session_bases: vec![Count::default(); sessions].into_boxed_slice(),
            entry_bases: HashMap::new(),
            cell_bases: HashMap::new(),
            meters: HashMap::new(),
        }
    }

    /// A reader for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader<Tables> {
        self.publisher.reader()
    }

    /// Frees generations that no worker holds any more; to be called now and then.
    pub fn reclaim(&mut self) -> usize {
        self.publisher.reclaim()
    }

    fn tables(&self) -> Arc<Tables> {
        self.publisher.current()
    }

    /// What the workers counted for an entry since they started.
    fn counted(&self, key: &Key) -> Option<Count> {
        let of: fn(&DirectCounters) -> &EntryCounters;
        let index = match key {
            Key::Session(key) => {
                of = |direct| &direct.session;
                self.parts
                    .tables
                    .session
                    .pool()
                    .index(key.destination_member.to_bits())
            }
            Key::Association(key) => {
                of = |direct| &direct.association;
                self.tables().association.get(key.spi)?.1 as usize
            }
            Key::Member(key) => {
                of = |direct| &direct.member;
                self.tables().member.get(rows::pair(*key))?.1 as usize
            }
            _ => return None,
        };
        let counts = self.parts.direct.iter().map(|direct| of(direct).get(index));
        Some(counts.fold(Count::default(), |sum, (packets, bytes)| Count {
            packets: sum.packets.wrapping_add(packets),
            bytes: sum.bytes.wrapping_add(bytes),
        }))
    }

    fn counted_cell(&self, array: CounterArray, index: usize) -> u64 {
        let one = |counters: &Arc<Counters>| match array {
            CounterArray::Drops => DropReason::ALL
                .get(index)
                .map(|reason| counters.dropped(*reason).get()),
            CounterArray::Punts => PuntReason::ALL
                .get(index)
                .map(|reason| counters.punted(*reason).get()),
        };
        self.parts
            .counters
            .iter()
            .filter_map(one)
            .fold(0, u64::wrapping_add)
    }

    fn base(&mut self, key: &Key) -> Option<&mut Count> {
        match key {
            Key::Session(key) => {
                let index = self
                    .parts
                    .tables
                    .session
                    .pool()
                    .index(key.destination_member.to_bits());
                self.session_bases.get_mut(index)
            }
            _ => Some(self.entry_bases.entry(*key).or_default()),
        }
    }

    fn put_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        let (table, pseudo) = (&self.parts.tables.sender, key.source_member);
        let refused = |_| BackendError("the sender table refused the pseudo address");
        match row {
            None => {
                let _ = table.remove(pseudo);
            }
            Some(row) => {
                let (binding, rate) = (binding(row.action), row.meter.map(rate));
                match table.get(pseudo) {
                    None => table.insert(pseudo, binding, rate).map_err(refused)?,
                    Some(_) => {
                        table.set_rate(pseudo, rate).map_err(refused)?;
                        table.modify(pseudo, binding).map_err(refused)?;
                    }
                }
            }
        }
        match row.and_then(|row| row.meter) {
            Some(meter) => self.meters.insert(pseudo, meter),
            None => self.meters.remove(&pseudo),
        };
        Ok(())
    }

    fn put_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError> {
        let (table, pseudo) = (&self.parts.tables.session, key.destination_member);
        let refused = |_| BackendError("the session table refused the pseudo address");
        let Some(row) = row else {
            let _ = table.remove(pseudo);
            return Ok(());
        };
        let at = SocketAddrV4::new(row.address, row.port);
        let to = session::RelayTo {
            binding: Binding::new(at, row.community),
            mtu: row.mtu,
        };
        match table.get(pseudo) {
            None => table.insert(pseudo, to).map_err(refused),
            Some(_) => table.modify(pseudo, to).map(drop).map_err(refused),
        }
    }
}

impl Backend for Pipeline {
    fn check(&self, entry: &Entry) -> Result<(), UpdateError> {
        let table = entry.key().table().name();
        let outside = |what, value: String, advice| {
            Err(UpdateError::Outside {
                table,
                what,
                value,
                advice,
            })
        };
        if let Some(port) = entry
            .ports()
            .into_iter()
            .flatten()
            .find(|port| port.0 >= self.parts.ports)
        {
            return outside("port", port.0.to_string(), "use one that exists");
        }
        let pool = |pool: Pool, pseudo: PseudoIp| match pool.index(pseudo.to_bits()) < pool.size() {
            true => Ok(()),
            false => outside("pseudo address", pseudo.to_string(), "use one of its pool"),
        };
        let association = |sa: u32| match sa < self.parts.associations {
            true => Ok(()),
            false => outside(
                "security association",
                sa.to_string(),
                "use one that the crypto block has",
            ),
        };
        match entry {
            Entry::Sender(key, _) => pool(self.parts.tables.sender.pool(), key.source_member),
            Entry::Session(key, _) => pool(self.parts.tables.session.pool(), key.destination_member),
            Entry::Association(_, action) => association(action.sa),
            Entry::Member(_, MemberAction::SealTo { sa, .. }) => association(*sa),
            _ => Ok(()),
        }
    }

    fn publish(&mut self, rows: &Rows, changed: &BTreeSet<Key>) -> Result<(), BackendError> {
        let mut next = Tables::clone(&self.tables());
        // What goes goes first: a full table has room for what comes.
        for key in changed {
            let gone = rows.of(key.table()).get(key).is_none();
            if gone {
                rows::remove(&mut next, key);
            }
        }
        for key in changed {
            if let Key::Endpoint(_) = key {
                rows::set_endpoint(&mut next, rows);
            } else if let Some(row) = rows.of(key.table()).get(key) {
                let refused = |_| BackendError("a table of the pipeline refused the entry");
                rows::set(&mut next, &row.entry).map_err(refused)?;
            }
        }
        self.publisher.publish(next);
        for key in changed.iter().filter(|key| key.table().has_counter()) {
            if rows.of(key.table()).get(key).is_none() {
                self.entry_bases.remove(key);
            }
        }
        Ok(())
    }

    fn sender(&self, key: SenderKey) -> Option<SenderRow> {
        let binding = self.parts.tables.sender.get(key.source_member)?;
        Some(SenderRow {
            action: action(binding),
            meter: self.meters.get(&key.source_member).copied(),
        })
    }

    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        self.put_sender(key, row)
    }

    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>) {
        // It was there, so its place is one of the pool's, which is all that could be refused.
        let _ = self.put_sender(key, row);
    }

    fn senders(&self) -> Vec<(SenderKey, SenderRow)> {
        let rows = self.parts.tables.sender.iter().map(|(source_member, binding)| {
            let meter = self.meters.get(&source_member).copied();
            (
                SenderKey { source_member },
                SenderRow {
                    action: action(binding),
                    meter,
                },
            )
        });
        rows.collect()
    }

    fn session(&self, key: SessionKey) -> Option<RelayTo> {
        self.parts
            .tables
            .session
            .get(key.destination_member)
            .map(relay_to)
    }

    fn set_session(&mut self, key: SessionKey, row: Option<RelayTo>) -> Result<(), BackendError> {
        self.put_session(key, row)
    }

    fn restore_session(&mut self, key: SessionKey, row: Option<RelayTo>) {
        // As with senders: its place is one of the pool's.
        let _ = self.put_session(key, row);
    }

    fn sessions(&self) -> Vec<(SessionKey, RelayTo)> {
        let rows = self.parts.tables.session.iter();
        rows.map(|(destination_member, to)| (SessionKey { destination_member }, relay_to(to)))
            .collect()
    }

    fn count(&self, key: &Key) -> Count {
        let base = match key {
            Key::Session(key) => {
                let index = self
                    .parts
                    .tables
                    .session
                    .pool()
                    .index(key.destination_member.to_bits());
                self.session_bases.get(index).copied()
            }
            _ => self.entry_bases.get(key).copied(),
        };
        less(self.counted(key).unwrap_or_default(), base.unwrap_or_default())
    }

    fn set_count(&mut self, key: &Key, count: Count) {
        if let Some(counted) = self.counted(key) {
            let base = less(counted, count);
            if let Some(place) = self.base(key) {
                *place = base;
            }
        }
    }

    fn cell(&self, array: CounterArray, index: usize) -> Count {
        let base = self.cell_bases.get(&(array, index)).copied().unwrap_or_default();
        Count {
            packets: self.counted_cell(array, index).wrapping_sub(base),
            bytes: 0,
        }
    }

    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count) {
        let base = self.counted_cell(array, index).wrapping_sub(count.packets);
        self.cell_bases.insert((array, index), base);
    }

    fn associations(&self) -> &dyn Associations {
        self.parts.keys.as_ref()
    }

    fn associations_mut(&mut self) -> &mut dyn Associations {
        self.parts.keys.as_mut()
    }

    fn outlet(&self) -> Outlet {
        let (ports, outlet) = (self.parts.ports, self.parts.outlet.clone());
        Arc::new(move |packet: PacketOut| match packet.egress_port.0 < ports {
            true => outlet(packet),
            false => Err(PacketOutError::Port(packet.egress_port.0.into())),
        })
    }
}

fn less(count: Count, base: Count) -> Count {
    Count {
        packets: count.packets.wrapping_sub(base.packets),
        bytes: count.bytes.wrapping_sub(base.bytes),
    }
}

fn binding(action: Authorise) -> Binding {
    Binding::new(SocketAddrV4::new(action.address, action.port), action.community)
}

fn action(binding: Binding) -> Authorise {
    let at = binding.socket_addr();
    Authorise {
        address: *at.ip(),
        port: at.port(),
        community: binding.community(),
    }
}

fn relay_to(to: session::RelayTo) -> RelayTo {
    let at = to.binding.socket_addr();
    RelayTo {
        address: *at.ip(),
        port: at.port(),
        community: to.binding.community(),
        mtu: to.mtu,
    }
}

/// Red drops, green and yellow pass: only the peak rate counts.
fn rate(meter: MeterConfig) -> Rate {
    Rate {
        per_second: meter.pir,
        burst: meter.pburst,
    }
}
