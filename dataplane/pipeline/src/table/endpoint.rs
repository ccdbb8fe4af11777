//! `endpoint`: what this node is. It has no key; its default action says it.

use crate::schema::{Action, Table};
use std::net::Ipv4Addr;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "endpoint",
    keys: &[],
    actions: &[
        Action {
            name: "act_as_director",
            params: &[("address", 32), ("udp_port", 16)],
        },
        Action {
            name: "act_as_gateway",
            params: &[("udp_port", 16)],
        },
        Action {
            name: "act_as_nothing",
            params: &[],
        },
    ],
    default_action: Some("act_as_nothing"),
    size: 0,
};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// A route director: packets between sessions of one community pass.
    Director {
        /// Its public address: what members send to, and what relayed packets come from.
        address: Ipv4Addr,
        /// The encapsulation port.
        udp_port: u16,
    },
    /// A group agent's gateway: packets of devices on its LANs pass into and out of tunnels.
    Gateway {
        /// The encapsulation port, at each port's own address.
        udp_port: u16,
    },
    /// Nothing yet: no packet passes, and no UDP port is ours.
    #[default]
    Nothing,
}
