//! What the tables say about an address or a packet, for the slow path: it asks as the pipeline did, and changes nothing.

use kith_pipeline::host::virtual_mtu;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::local::InCommunity;
use kith_pipeline::table::member::{Pair, SealTo, Tunnel};
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::route::Next;
use kith_pipeline::table::session::RelayTo;
use kith_pipeline::table::virtual_address::VirtualAddress;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::PortIndex;
use kith_wire::esp::EspHeader;
use kith_wire::ethernet;
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP};
use kith_wire::shim::{PseudoIp, Shim};
use kith_wire::udp;
use std::net::Ipv4Addr;

/// Where the tables send a packet that came to nothing for want of something else.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// A director passes it on.
    Relayed(RelayTo),
    /// A gateway seals it, and sends it there.
    Sealed(SealTo),
    /// A gateway opens it for a device.
    Delivered(OnLink),
}

impl Way {
    /// The way of a frame, as far as it can be told without opening it.
    pub(super) fn of(tables: &Tables, ingress: PortIndex, frame: &[u8]) -> Option<Self> {
        let (ip, payload) = Ipv4::parse(frame.get(ethernet::HEADER_LEN..)?).ok()?;
        match tables.endpoint {
            Role::Nothing => None,
            Role::Director { .. } => {
                let (shim, _) = shim(payload)?;
                let receiver = PseudoIp::new(shim.destination_member.get())?;
                tables.session.get(receiver).map(Self::Relayed)
            }
            Role::Gateway { .. } if ip.destination() == tables.ingress_port.get(ingress)?.address => {
                let (inner, sealed) = Ipv4::parse(shim(payload)?.1).ok()?;
                let spi = EspHeader::parse(sealed).ok()?.spi.get();
                let (from, _) = tables
                    .association
                    .get(spi)
                    .filter(|_| inner.protocol() == PROTOCOL_ESP)?;
                let receiver = VirtualAddress {
                    community: from.community,
                    address: from.destination,
                };
                tables
                    .virtual_destination
                    .get(receiver)
                    .copied()
                    .map(Self::Delivered)
            }
            Role::Gateway { .. } => match outbound(tables, ingress, ip)? {
                Tunnel::SealTo(seal_to) => Some(Self::Sealed(seal_to)),
                Tunnel::AwaitKeys => None,
            },
        }
    }

    /// Out of which port, to whom.
    pub(super) fn next(&self, tables: &Tables) -> Option<Next> {
        match self {
            Self::Relayed(to) => tables.route.next(*to.binding.socket_addr().ip()),
            Self::Sealed(to) => tables.route.next(*to.address.ip()),
            Self::Delivered(OnLink { port, address }) => Some(Next {
                port: *port,
                hop: *address,
            }),
        }
    }

    /// The largest packet that its sender may send this way, if that is known.
    pub(super) fn mtu(&self) -> Option<u16> {
        match self {
            Self::Relayed(to) => Some(to.mtu),
            Self::Sealed(to) => Some(virtual_mtu(to.mtu)),
            Self::Delivered(_) => None,
        }
    }
}

/// Is this address on the link of this port?
pub(super) fn is_on_link(tables: &Tables, port: PortIndex, address: Ipv4Addr) -> bool {
    tables.route.next(address) == Some(Next { port, hop: address })
}

/// Does this node answer for this address on the link of this port?
pub(super) fn is_ours(tables: &Tables, port: PortIndex, address: Ipv4Addr) -> bool {
    let own = tables
        .ingress_port
        .get(port)
        .is_some_and(|own| own.address == address);
    let directors =
        matches!(tables.endpoint, Role::Director { address: director, .. } if director == address);
    let stands_in = || tables.local_destination.get(OnLink { port, address }).is_some();
    own || directors && is_on_link(tables, port, address) || stands_in()
}

/// The tunnel for a packet of a LAN.
fn outbound(tables: &Tables, ingress: PortIndex, ip: &Ipv4) -> Option<Tunnel> {
    let address = ip.destination();
    let to = tables.local_destination.get(OnLink {
        port: ingress,
        address,
    })?;
    let from = tables.local_source.get(InCommunity {
        port: ingress,
        community: to.community,
        address: ip.source(),
    })?;
    let pair = Pair {
        community: to.community,
        source: from.address,
        destination: to.address,
    };
    tables.member.get(pair).map(|(tunnel, _)| *tunnel)
}

/// Shim and virtual packet behind a UDP header.
fn shim(payload: &[u8]) -> Option<(&Shim, &[u8])> {
    Shim::parse(payload.get(udp::HEADER_LEN..)?).ok()
}
