//! Where packets see what controllers write: the pipeline's tables, and its counters.

use super::convert::{self, Counted};
use super::{Seen, Written};
use crate::worker::Shared;
use kith_p4runtime::entry::{self, Entry, SenderKey, SessionKey, Table};
use kith_p4runtime::packet::PacketOut;
use kith_p4runtime::target::{Backend, BackendError, PacketOutError, Rows, SenderRow, UpdateError};
use kith_p4runtime::update::{Count, CounterArray, MeterConfig};
use kith_pipeline::counters::EntryCounters;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::TableError;
use kith_pipeline::table::snapshot::Publisher;
use kith_pipeline::tables::{PuntRates, Tables};
use kith_wire::ethernet;
use kith_wire::shim::PseudoIp;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};

/// The pipeline of this dataplane, as the store of entries sees it.
pub struct Pipeline {
    pub(super) publisher: Publisher<Tables>,
    pub(super) seen: Arc<Seen>,
    /// By port: its largest IPv4 packet.
    pub(super) mtus: Vec<u16>,
    /// Where a punt meter has no configuration.
    pub(super) punt_rates: PuntRates,
    /// Of workers and slow path.
    pub(super) shared: Vec<Arc<Shared>>,
    /// Senders' meters as they were written; the table knows the peak rate alone.
    pub(super) meters: HashMap<PseudoIp, MeterConfig>,
    /// Where counters stood when a controller set them.
    pub(super) bases: HashMap<(Counted, usize), Count>,
    pub(super) cells: HashMap<(CounterArray, usize), u64>,
    pub(super) out: SyncSender<PacketOut>,
}

impl Backend for Pipeline {
    fn check(&self, entry: &Entry) -> Result<(), UpdateError> {
        let table = entry.key().table().name();
        let beyond = |port: &kith_pipeline::units::PortIndex| usize::from(port.0) >= self.mtus.len();
        if let Some(port) = entry.ports().into_iter().flatten().find(beyond) {
            return Err(UpdateError::Outside {
                table,
                what: "port",
                value: port.0.to_string(),
                advice: "ports are numbered from 0, in the order of the dataplane's configuration",
            });
        }
        let pseudo = match entry {
            Entry::Sender(key, _) => key.source_member,
            Entry::Session(key, _) => key.destination_member,
            _ => return Ok(()),
        };
        let pool = self.publisher.current().session.pool();
        if pool.index(pseudo.to_bits()) < pool.size() {
            return Ok(());
        }
        Err(UpdateError::Outside {
            table,
            what: "pseudo address",
            value: pseudo.to_string(),
            advice: "the dataplane's configuration says which there are (sessions)",
        })
    }

    fn publish(&mut self, rows: &Rows, changed: &[Table]) -> Result<(), BackendError> {
        let mut next = Tables::clone(&self.publisher.current());
        for &table in changed {
            convert::rebuild(&mut next, rows, table).map_err(refused)?;
        }
        for ((rate, own), meter) in next
            .punt_rates
            .iter_mut()
            .zip(self.punt_rates)
            .zip(&rows.punt_meter)
        {
            *rate = meter.map_or(own, convert::rate);
        }
        if changed.contains(&Table::Neighbor) {
            self.tell_written(rows);
        }
        self.publisher.publish(next);
        self.seen.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn sender(&self, key: SenderKey) -> Option<SenderRow> {
        let pseudo = key.source_member;
        let binding = self.publisher.current().sender.get(pseudo)?;
        Some(self.row(pseudo, binding))
    }

    fn set_sender(&mut self, key: SenderKey, row: Option<SenderRow>) -> Result<(), BackendError> {
        let (tables, pseudo) = (self.publisher.current(), key.source_member);
        let senders = &tables.sender;
        let rate = row.and_then(|row| row.meter).map(convert::rate);
        match (
            row.map(|row| convert::sends_from(row.action)),
            senders.get(pseudo),
        ) {
            (Some(new), None) => senders.insert(pseudo, new, rate),
            (Some(new), Some(_)) => senders
                .set_rate(pseudo, rate)
                .and_then(|_| senders.modify(pseudo, new))
                .map(drop),
            (None, Some(_)) => senders.remove(pseudo).map(drop),
            (None, None) => Ok(()),
        }
        .map_err(refused)?;
        match row.and_then(|row| row.meter) {
            Some(meter) => self.meters.insert(pseudo, meter),
            None => self.meters.remove(&pseudo),
        };
        Ok(())
    }

    fn restore_sender(&mut self, key: SenderKey, row: Option<SenderRow>) {
        // Places are there for every address that was checked: putting one back cannot fail.
        let _restored = self.set_sender(key, row);
    }

    fn senders(&self) -> Vec<(SenderKey, SenderRow)> {
        let tables = self.publisher.current();
        let all = tables.sender.iter().map(|(pseudo, binding)| {
            let key = SenderKey {
                source_member: pseudo,
            };
            (key, self.row(pseudo, binding))
        });
        all.collect()
    }

    fn session(&self, key: SessionKey) -> Option<entry::RelayTo> {
        let tables = self.publisher.current();
        tables.session.get(key.destination_member).map(convert::relay_to)
    }

    fn set_session(&mut self, key: SessionKey, row: Option<entry::RelayTo>) -> Result<(), BackendError> {
        let (tables, pseudo) = (self.publisher.current(), key.destination_member);
        let sessions = &tables.session;
        match (row.map(convert::reached_at), sessions.get(pseudo)) {
            (Some(new), None) => sessions.insert(pseudo, new),
            (Some(new), Some(_)) => sessions.modify(pseudo, new).map(drop),
            (None, Some(_)) => sessions.remove(pseudo).map(drop),
            (None, None) => Ok(()),
        }
        .map_err(refused)
    }

    fn restore_session(&mut self, key: SessionKey, row: Option<entry::RelayTo>) {
        // As for senders.
        let _restored = self.set_session(key, row);
    }

    fn sessions(&self) -> Vec<(SessionKey, entry::RelayTo)> {
        let tables = self.publisher.current();
        let all = tables.session.iter().map(|(pseudo, to)| {
            let key = SessionKey {
                destination_member: pseudo,
            };
            (key, convert::relay_to(to))
        });
        all.collect()
    }

    fn count(&self, key: &entry::Key) -> Count {
        let Some(place) = convert::number(&self.publisher.current(), key) else {
            return Count::default();
        };
        let (now, base) = (
            self.counted(place),
            self.bases.get(&place).copied().unwrap_or_default(),
        );
        Count {
            packets: now.packets.wrapping_sub(base.packets),
            bytes: now.bytes.wrapping_sub(base.bytes),
        }
    }

    fn set_count(&mut self, key: &entry::Key, count: Count) {
        let Some(place) = convert::number(&self.publisher.current(), key) else {
            return;
        };
        let now = self.counted(place);
        let base = Count {
            packets: now.packets.wrapping_sub(count.packets),
            bytes: now.bytes.wrapping_sub(count.bytes),
        };
        if base == Count::default() {
            self.bases.remove(&place);
        } else {
            self.bases.insert(place, base);
        }
    }

    fn cell(&self, array: CounterArray, index: usize) -> Count {
        let base = self.cells.get(&(array, index)).copied().unwrap_or_default();
        Count {
            packets: self.raw_cell(array, index).wrapping_sub(base),
            bytes: 0,
        }
    }

    fn set_cell(&mut self, array: CounterArray, index: usize, count: Count) {
        let base = self.raw_cell(array, index).wrapping_sub(count.packets);
        self.cells.insert((array, index), base);
    }

    fn packet_out(&mut self, packet: PacketOut) -> Result<(), PacketOutError> {
        let port = packet.egress_port.0;
        let mtu = self.mtus.get(usize::from(port));
        let mtu = mtu.ok_or(PacketOutError::Port(port.into()))?;
        let lengths = ethernet::HEADER_LEN..=ethernet::HEADER_LEN + usize::from(*mtu);
        if !lengths.contains(&packet.frame.len()) {
            return Err(PacketOutError::Length(packet.frame.len()));
        }
        self.out.try_send(packet).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => PacketOutError::Full,
        })
    }
}

impl Pipeline {
    fn row(&self, pseudo: PseudoIp, binding: kith_pipeline::table::pool::Binding) -> SenderRow {
        SenderRow {
            action: convert::authorise(binding),
            meter: self.meters.get(&pseudo).copied(),
        }
    }

    /// Lets the slow path see which neighbours are a controller's, if that changed.
    fn tell_written(&self, rows: &Rows) {
        let rows = rows.of(Table::Neighbor).values().filter(|row| !row.learnt);
        let written: Written = rows.filter_map(|row| convert::on_link(row.entry)).collect();
        if **self.seen.written.load() != written {
            self.seen.written.store(Arc::new(written));
        }
    }

    fn counted(&self, (table, index): (Counted, usize)) -> Count {
        let of = |shared: &Arc<Shared>| -> (u64, u64) {
            let counters: &EntryCounters = match table {
                Counted::Session => &shared.direct.session,
                Counted::Association => &shared.direct.association,
                Counted::Member => &shared.direct.member,
            };
            counters.get(index)
        };
        let all = self.shared.iter().map(of);
        let (packets, bytes) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Count { packets, bytes }
    }

    fn raw_cell(&self, array: CounterArray, index: usize) -> u64 {
        let of = |shared: &Arc<Shared>| match array {
            CounterArray::Drops => DropReason::ALL
                .get(index)
                .map_or(0, |reason| shared.counters.dropped(*reason).get()),
            CounterArray::Punts => PuntReason::ALL
                .get(index)
                .map_or(0, |reason| shared.counters.punted(*reason).get()),
        };
        self.shared.iter().map(of).sum()
    }
}

/// Everything was checked before: this is for the controller's log.
fn refused(error: TableError) -> BackendError {
    BackendError(match error {
        TableError::Exists => "an entry is there already",
        TableError::Missing => "an entry is gone",
        TableError::Full(_) => "a table is full",
        TableError::OutOfRange => "a key lies outside its table",
    })
}
