//! Where a device is attached: behind a site's NAT, or with a public address.

use crate::director::Realm;
use crate::net::Net;
use kith_agent::config::Prefix;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where a device is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Behind which NAT.
    pub site: Option<usize>,
    /// Its own address.
    pub local: Ipv4Addr,
    /// Where its UDP port is seen from outside.
    pub nat: SocketAddrV4,
}

impl Seat {
    /// Behind a site's NAT. Sites use the same private networks, but for the one that has a director of its own.
    pub fn behind(site: usize, number: usize, outside: Ipv4Addr, port: u16) -> Self {
        let local = Ipv4Addr::new(
            192,
            168,
            if site == 0 { 0 } else { 1 + (site % 2) as u8 },
            10 + (number % 240) as u8,
        );
        Self {
            site: Some(site),
            local,
            nat: SocketAddrV4::new(outside, port),
        }
    }

    /// With a public address.
    pub fn public(address: Ipv4Addr) -> Self {
        Self {
            site: None,
            local: address,
            nat: SocketAddrV4::new(address, 20_202),
        }
    }

    /// As a director of this network sees its datagrams.
    pub fn seen_in(&self, realm: Realm) -> Option<SocketAddrV4> {
        match realm {
            0 => Some(self.nat),
            realm if self.site == Some(realm - 1) => Some(SocketAddrV4::new(self.local, 20_202)),
            _ => None,
        }
    }

    /// As the manager sees a connection.
    pub fn source(&self, net: &mut Net) -> SocketAddrV4 {
        let port = 32_768 + net.dice.below(28_000) as u16;
        SocketAddrV4::new(*self.nat.ip(), port)
    }

    /// Its own network.
    pub fn lan(&self) -> Option<Prefix> {
        let [a, b, c, _] = self.local.octets();
        self.site
            .and_then(|_| Prefix::new(Ipv4Addr::new(a, b, c, 0), 24).ok())
    }
}
