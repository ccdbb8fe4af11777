//! The tables, and the one place where they change.
//!
//! Problem: controllers write batches, the slow path learns neighbours, workers must not notice either. Idea: one store behind one lock
//! for all who write; what they publish is read without it.
//!
//! ```text
//!  P4Runtime ──batch──┐             ┌─► generation of tables ──────► workers, slow path, statistics
//!                     ├─► Store ────┤
//!  slow path ──learn──┘   (lock)    ├─► neighbours that are written ► slow path
//!                                   └─► frames of controllers ──────► slow path, which owns the way to the ports
//! ```
//!
//! While it is locked, the store waits for nobody but a worker that is to install or remove a security association, which takes it a burst,
//! or a second if it is dead; workers wait for nobody. Whoever holds the store holds nothing else: the slow path may call it in
//! the middle of its work.

mod backend;
#[cfg(test)]
mod tests;

pub use backend::Watched;

use crate::worker::Shared;
use arc_swap::ArcSwap;
use kith_api::config::Cidr;
use kith_p4runtime::entry::{
    AcceptBy, EgressPortKey, Entry, IngressPortKey, Key, LeaveBy, NeighborKey, Prefix, Resolve, RouteAction,
    RouteKey, SessionKey,
};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_p4runtime::target::{
    Associations, Backend, Outlet, PacketOutError, Parts, Pipeline, Resting, Store, UpdateError,
};
use kith_p4runtime::update::{Count, MeterConfig, Update};
use kith_pipeline::meter::Rate;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::SessionTable;
use kith_pipeline::table::snapshot::Reader;
use kith_pipeline::tables::{PuntRates, Tables};
use kith_pipeline::units::PortIndex;
use kith_wire::ethernet::{self, MacAddr};
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::PseudoIp;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Neighbours that a controller wrote.
pub type Written = HashMap<OnLink, MacAddr>;

/// Frames of controllers that wait for the slow path.
const OUT: usize = 1024;

/// A port and its link, as configured.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The port's station.
    pub station: MacAddr,
    /// Its address, and the network on the link.
    pub network: Cidr,
    /// Who takes what is not on the link.
    pub gateway: Option<Ipv4Addr>,
    /// The largest IPv4 packet.
    pub mtu: u16,
}

/// What a dataplane's tables are made for.
pub struct Settings {
    /// By port.
    pub links: Vec<Link>,
    /// The first pseudo address, and how many.
    pub sessions: (PseudoIp, usize),
    /// Security associations that there are places for.
    pub associations: u32,
    /// How many packets of each reason a worker may send up, until a controller says otherwise.
    pub punt_rates: PuntRates,
    /// What workers count.
    pub workers: Vec<Arc<Shared>>,
    /// What the slow path counts.
    pub slow: Arc<Shared>,
}

/// The tables of one dataplane.
pub struct Control {
    store: Arc<Store<Watched>>,
    seen: Arc<Seen>,
    mtus: Arc<[u16]>,
}

/// What is read without the store's lock.
struct Seen {
    reader: Reader<Tables>,
    generation: AtomicU64,
    written: ArcSwap<Written>,
}

impl Control {
    /// Tables that say what the configuration says of the links, and nothing else; and frames that controllers want sent. Security
    /// associations can be installed, but no packet goes under them.
    ///
    /// # Errors
    /// If the links contradict each other.
    pub fn new(settings: Settings) -> Result<(Self, Receiver<PacketOut>), UpdateError> {
        let keys = Resting::new(settings.associations);
        Self::with_keys(settings, Box::new(keys))
    }

    /// The same, with security associations that packets go under.
    ///
    /// # Errors
    /// If the links contradict each other.
    pub fn with_keys(
        settings: Settings,
        keys: Box<dyn Associations>,
    ) -> Result<(Self, Receiver<PacketOut>), UpdateError> {
        let (first, size) = settings.sessions;
        let tables = Tables::new(
            Arc::new(SenderTable::new(first, size)),
            Arc::new(SessionTable::new(first, size)),
        );
        let (out, frames) = sync_channel(OUT);
        let mtus: Arc<[u16]> = settings.links.iter().map(|link| link.mtu).collect();
        let shared = settings.workers.iter().chain([&settings.slow]);
        let pipeline = Pipeline::new(Parts {
            tables,
            // As many as a configuration can have fit.
            ports: u8::try_from(settings.links.len()).unwrap_or(u8::MAX),
            associations: settings.associations,
            counters: shared.map(|shared| shared.counters.clone()).collect(),
            direct: settings
                .workers
                .iter()
                .map(|shared| shared.direct.clone())
                .collect(),
            keys,
            outlet: outlet(mtus.clone(), out),
        });
        let seen = Arc::new(Seen {
            reader: pipeline.reader(),
            generation: AtomicU64::new(0),
            written: ArcSwap::default(),
        });
        let watched = Watched {
            pipeline,
            seen: seen.clone(),
        };
        let entries = entries(&settings.links).into_iter();
        let entries = entries.map(|entry| Update::Insert(entry.into()));
        let meters = settings.punt_rates.iter().enumerate().map(meter);
        let initial: Vec<_> = entries.chain(meters).collect();
        let store = Arc::new(Store::new(watched, &initial)?);
        Ok((Self { store, seen, mtus }, frames))
    }

    /// What the P4Runtime service serves.
    #[must_use]
    pub fn store(&self) -> &Arc<Store<Watched>> {
        &self.store
    }

    /// A reader of the tables, for a worker.
    #[must_use]
    pub fn reader(&self) -> Reader<Tables> {
        self.seen.reader.clone()
    }

    /// The tables that are current now.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.reader().load().clone()
    }

    /// The largest IPv4 packet that a port takes.
    #[must_use]
    pub fn mtu(&self, port: PortIndex) -> u16 {
        self.mtus.get(usize::from(port.0)).copied().unwrap_or(0)
    }

    /// Their number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.seen.generation.load(Ordering::Acquire)
    }

    /// The neighbours that a controller wrote; another one after each change.
    #[must_use]
    pub fn written(&self) -> Arc<Written> {
        self.seen.written.load_full()
    }

    /// A neighbour showed its station. False if that cannot be entered.
    #[must_use]
    pub fn learn(&self, neighbor: OnLink, station: MacAddr) -> bool {
        self.store.learn(key(neighbor), Resolve { station }).is_ok()
    }

    /// A neighbour that was learnt does not answer any more.
    pub fn forget(&self, neighbor: OnLink) {
        // Only a dataplane that takes no change at all refuses this one; the next generation does without the entry.
        let _forgotten = self.store.forget(key(neighbor));
    }

    /// What the sessions of these pseudo addresses count, as controllers read it.
    #[must_use]
    pub fn session_counts(&self, pseudos: &[PseudoIp]) -> Vec<Count> {
        let key = |pseudo: &PseudoIp| {
            Key::Session(SessionKey {
                destination_member: *pseudo,
            })
        };
        self.store
            .with_backend(|watched| pseudos.iter().map(|pseudo| watched.count(&key(pseudo))).collect())
    }

    /// Frees generations that nobody reads any more.
    pub fn reclaim(&self) {
        self.store.with_backend(|watched| watched.pipeline.reclaim());
    }
}

fn key(neighbor: OnLink) -> NeighborKey {
    NeighborKey {
        port: neighbor.port,
        address: neighbor.address,
    }
}

/// Takes frames that the port can send, or could have received; of those that are routed, what some port can send.
fn outlet(mtus: Arc<[u16]>, out: SyncSender<PacketOut>) -> Outlet {
    Arc::new(move |packet: PacketOut| {
        let port = packet.egress_port.0;
        let routed = packet.mode == PacketOutMode::Routed;
        let mtu = if routed {
            mtus.iter().max()
        } else {
            mtus.get(usize::from(port))
        };
        let mtu = mtu.ok_or(PacketOutError::Port(port.into()))?;
        let lengths = ethernet::HEADER_LEN..=ethernet::HEADER_LEN + usize::from(*mtu);
        if !lengths.contains(&packet.frame.len()) {
            return Err(PacketOutError::Length(packet.frame.len()));
        }
        if routed
            && packet
                .frame
                .get(ethernet::HEADER_LEN..)
                .is_none_or(|ip| Ipv4::parse(ip).is_err())
        {
            let what =
                "a routed packet must be a whole IPv4 packet without options behind an Ethernet header";
            return Err(PacketOutError::NotRouted(what));
        }
        out.try_send(packet).map_err(|_| PacketOutError::Full)
    })
}

/// A rate as a meter: nothing is yellow.
fn meter((reason, rate): (usize, &Rate)) -> Update {
    let config = MeterConfig {
        cir: rate.per_second,
        cburst: rate.burst,
        pir: rate.per_second,
        pburst: rate.burst,
    };
    Update::Meter(Some(reason), Some(config))
}

/// The first entries: ports, links, and the first gateway for all the rest.
fn entries(links: &[Link]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (port, link) in (0..=u8::MAX).map(PortIndex).zip(links) {
        let accept = AcceptBy {
            station: link.station,
            address: link.network.address,
        };
        let leave = LeaveBy {
            port,
            station: link.station,
        };
        entries.push((IngressPortKey { port }, accept).into());
        entries.push((EgressPortKey { port }, leave).into());
        entries.extend(route(link.network, RouteAction::OnLink { port }));
    }
    let with_gateway = (0..=u8::MAX).map(PortIndex).zip(links);
    let first = with_gateway
        .filter_map(|(port, link)| Some((port, link.gateway?)))
        .next();
    entries.extend(first.and_then(|(port, gateway)| {
        let all = Cidr {
            address: Ipv4Addr::UNSPECIFIED,
            prefix_len: 0,
        };
        route(all, RouteAction::Via { port, gateway })
    }));
    entries
}

fn route(network: Cidr, action: RouteAction) -> Option<Entry> {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(network.prefix_len))
        .unwrap_or(0);
    let address = Ipv4Addr::from_bits(network.address.to_bits() & mask);
    let destination = Prefix::new(address, network.prefix_len)?;
    Some((RouteKey { destination }, action).into())
}
