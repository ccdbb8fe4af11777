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
        let differing = self.address.to_bits() ^ address.to_bits();
        // A prefix of 0 leaves 32 bits to shift out, which `checked_shr` answers with None: everything is on the link.
        differing
            .checked_shr(32 - u32::from(self.prefix_len.min(32)))
            .unwrap_or(0)
            == 0
    }
}

impl Tables {
    /// The port and next hop for a destination: a link that has it, else the first gateway.
    #[inline]
    #[must_use]
    pub fn route(&self, destination: Ipv4Addr) -> Option<Next> {
        let mut via_gateway = None;
        for (index, port) in (0..=u8::MAX).map(PortIndex).zip(&self.ports) {
            if port.on_link(destination) {
                let hop = destination;
                return Some(Next { port: index, hop });
            }
            if let (None, Some(hop)) = (via_gateway, port.gateway) {
                via_gateway = Some(Next { port: index, hop });
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
