//! A member whose manager says everything: what it is started with, and the one thread that keeps a capability.
//!
//! ```text
//!  client ── Order ──► kith-adapter: sets address and routes at Joined, takes them away at Out ── Note ──► control thread
//!                      CAP_NET_ADMIN, and no packet ever
//! ```
//!
//! So packets are handled, and keys kept, by threads without any rights, though the adapter gets its address long after the start.

use crate::config::{self, Cipher, Prefix};
use crate::datapath::shared::Note;
use crate::datapath::tun::Tun;
use crate::datapath::udp::Udp;
use crate::keying::Method;
use crate::orders::{Joined, Order};
use caps::{CapSet, Capability, CapsHashSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Weak};

/// Members at once, and the manager.
pub const PLACES: usize = 1_025;
/// Inbound keys at once.
pub const KEYS: u32 = 4_096;
/// Ports that are tried.
const PORTS: u16 = 64;

/// What a managed member is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the virtual adapter.
    pub tun: String,
    /// Where to listen: the first free port from this one on.
    pub udp: config::Udp,
    /// Where to serve status, if anywhere.
    pub status_socket: Option<PathBuf>,
    /// The largest outer IPv4 packet to begin with.
    pub path_mtu: u16,
    /// What the ESP keys are for.
    pub cipher: Cipher,
    /// How to agree on keys.
    pub keying: Method,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tun: "kith0".into(),
            udp: config::Udp::default(),
            status_socket: None,
            path_mtu: 1500,
            cipher: Cipher::default(),
            keying: Method::default(),
        }
    }
}

/// The first free port from the given one on.
pub fn bind(first: config::Udp) -> io::Result<Udp> {
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for port in (first.port..=u16::MAX).take(usize::from(PORTS)) {
        match Udp::open(config::Udp { port, ..first }) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            result => return result,
        }
    }
    Err(taken)
}

/// Passes orders on, and sets up the adapter for them.
pub struct Adapter {
    /// Gone with the threads that carry packets.
    tun: Weak<Tun>,
    /// What it is set up for.
    present: Option<(Ipv4Addr, Vec<Prefix>)>,
}

impl Adapter {
    /// For an adapter that has no address.
    #[must_use]
    pub fn new(tun: &Arc<Tun>) -> Self {
        Self {
            tun: Arc::downgrade(tun),
            present: None,
        }
    }

    /// Until there is nobody to give orders, or nobody to take them.
    pub fn run(mut self, orders: &Receiver<Order>, notes: &SyncSender<Note>) {
        keep_net_admin();
        while let Ok(order) = orders.recv() {
            match &order {
                Order::Joined(joined) => self.set_up(joined),
                Order::Out => self.clear(),
                _ => {}
            }
            if notes.send(Note::Order(Box::new(order))).is_err() {
                return;
            }
        }
        let _already_gone = notes.send(Note::Stop);
    }

    fn set_up(&mut self, joined: &Joined) {
        let wanted = (joined.address, joined.networks.clone());
        if self.present.as_ref() == Some(&wanted) {
            return;
        }
        self.clear();
        let Some(tun) = self.tun.upgrade() else { return };
        match tun.configure(joined.address, &joined.networks) {
            Ok(()) => tracing::info!(address = %joined.address, "the adapter is set up"),
            Err(error) => {
                tracing::error!(%error, address = %joined.address, "cannot set up the adapter; it takes CAP_NET_ADMIN");
            }
        }
        self.present = Some(wanted);
    }

    fn clear(&mut self) {
        let (Some((address, networks)), Some(tun)) = (self.present.take(), self.tun.upgrade()) else {
            return;
        };
        if let Err(error) = tun.clear(address, &networks) {
            tracing::warn!(%error, %address, "cannot take the adapter's address away");
        }
    }
}

/// Gives up all rights but that to set up network interfaces.
pub(crate) fn keep_net_admin() {
    let kept = CapsHashSet::from_iter([Capability::CAP_NET_ADMIN]);
    let none = CapsHashSet::new();
    // What is effective must be permitted: in this order.
    let sets = [
        (CapSet::Ambient, &none),
        (CapSet::Inheritable, &none),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ];
    for (set, wanted) in sets {
        if let Err(error) = caps::set(None, set, wanted) {
            tracing::warn!(%error, ?set, "cannot give up capabilities");
        }
    }
}
