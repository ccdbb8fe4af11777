//! The ports of a dataplane, and the networks on them: as configured, and as table entries.

use kith_pipeline::table::TableError;
use kith_pipeline::table::port::{AcceptBy, LeaveBy};
use kith_pipeline::table::route::{Hop, Prefix};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::PortIndex;
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;

/// A port of the dataplane, and the network on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
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

impl Network {
    /// Is this address on the link?
    #[must_use]
    pub fn on_link(&self, address: Ipv4Addr) -> bool {
        let prefix = |address| Prefix::new(address, self.prefix_len.min(32));
        prefix(self.address) == prefix(address)
    }
}

/// Enters ports and routes. Of two links with one prefix, and of two gateways, the first counts.
pub fn enter(tables: &mut Tables, networks: &[Network]) -> Result<(), TableError> {
    for (index, network) in (0..=u8::MAX).zip(networks) {
        let port = PortIndex(index);
        let accept_by = AcceptBy {
            station: network.mac,
            address: network.address,
        };
        tables.ingress_port.insert(port, accept_by)?;
        let leave_by = LeaveBy { station: network.mac };
        tables.egress_port.insert(port, leave_by)?;
        let link = Prefix::new(network.address, network.prefix_len.min(32))?;
        let gateway = network.gateway.map(|gateway| Hop::Via { port, gateway });
        let routes = [(Some(Hop::OnLink { port }), link), (gateway, Prefix::ALL)];
        for (hop, prefix) in routes {
            if let (Some(hop), None) = (hop, tables.route.get(prefix)) {
                tables.route.insert(prefix, hop)?;
            }
        }
    }
    Ok(())
}
