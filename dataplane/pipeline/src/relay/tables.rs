//! What a relay knows: one snapshot.

use crate::meter::Rate;
use crate::reason::PuntReason;
use crate::table::exact::ExactTable;
use crate::table::session::SessionTable;
use crate::units::PortIndex;
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How many packets of each reason may go up, by [`PuntReason`] number, a worker.
pub type PuntRates = [Rate; PuntReason::COUNT];

/// A port of the dataplane, and the network on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its station address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// How many leading bits of the address name the network on the link: 0 to 32.
    pub prefix_len: u8,
    /// Who takes what is not on the link.
    pub gateway: Option<Ipv4Addr>,
    /// The largest IPv4 packet.
    pub mtu: u16,
}

/// As many as a [`PortIndex`] can name.
const MOST_PORTS: usize = 1 << u8::BITS;

/// Where a packet goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Out of this port.
    pub port: PortIndex,
    /// To the station that has this address.
    pub hop: Ipv4Addr,
}

/// One generation of a relay's tables. With no ports and no sessions everything is dropped.
#[derive(Debug, Clone)]
pub struct Tables {
    /// This director's public address: what members send to, and what relayed packets come from.
    pub director: Ipv4Addr,
    /// The encapsulation port.
    pub udp_port: u16,
    /// The ports, by index.
    pub ports: Vec<Port>,
    /// Known stations.
    pub neighbors: ExactTable<Ipv4Addr, MacAddr>,
    /// Sessions; shared by all generations, changed in place.
    pub sessions: Arc<SessionTable>,
    /// How much each sender may send; `None`: as much as it can.
    pub sender_rate: Option<Rate>,
    /// How much the slow path takes.
    pub punt_rates: PuntRates,
}

impl Port {
    /// Is this address on the link?
    #[inline]
    #[must_use]
    pub fn on_link(&self, address: Ipv4Addr) -> bool {
        let differing = u64::from(self.address.to_bits() ^ address.to_bits());
        // In 64 bits, so that all 32 can be shifted out: with a prefix of 0 everything is on the link.
        differing >> (32 - self.prefix_len.min(32)) == 0
    }
}

impl Tables {
    /// The port and next hop for a destination: a link that has it, else the first gateway.
    #[inline]
    #[must_use]
    pub fn route(&self, destination: Ipv4Addr) -> Option<Next> {
        self.route_by(destination).map(|(next, _)| next)
    }

    /// As [`Tables::route`], and the port itself.
    #[inline(always)]
    pub(super) fn route_by(&self, destination: Ipv4Addr) -> Option<(Next, &Port)> {
        let mut via_gateway = None;
        for (index, port) in self.ports.iter().enumerate().take(MOST_PORTS) {
            let next = |hop| {
                let port = PortIndex(index as u8);
                Next { port, hop }
            };
            if port.on_link(destination) {
                return Some((next(destination), port));
            }
            if let (None, Some(hop)) = (via_gateway, port.gateway) {
                via_gateway = Some((next(hop), port));
            }
        }
        via_gateway
    }

    /// The port with this index.
    #[inline]
    #[must_use]
    pub fn port(&self, index: PortIndex) -> Option<&Port> {
        self.ports.get(usize::from(index.0))
    }
}
