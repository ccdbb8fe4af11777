//! What this computer is attached to: its own networks, and the address with which it reaches a manager.
//!
//! No virtual address may lie in a network that the computer is in already, so the manager is told of all of them. Our own adapters are left out: else a
//! member that joins again would clash with itself.

use crate::config::Prefix;
use crate::manager::membership::Network;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

/// A manager is not told of more.
const MOST: usize = 64;

/// The address and networks of this computer, seen from a manager; adapters named in `own` do not count.
pub fn seen_from(manager: SocketAddrV4, own: &[String]) -> io::Result<Network> {
    Ok(Network {
        local: local_towards(manager)?,
        lans: networks(own)?,
    })
}

/// The local address of packets to there. Nothing is sent: the system looks at its routes.
pub fn local_towards(to: SocketAddrV4) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(to)?;
    match socket.local_addr()? {
        SocketAddr::V4(local) if !local.ip().is_unspecified() => Ok(*local.ip()),
        _ => Err(io::ErrorKind::NetworkUnreachable.into()),
    }
}

/// Networks of the adapters that are up: no loopback, none of ours, none twice.
pub fn networks(own: &[String]) -> io::Result<Vec<Prefix>> {
    let mut found = Vec::new();
    for interface in getifaddrs()? {
        let counts = interface.flags.contains(InterfaceFlags::IFF_UP)
            && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK)
            && !own.contains(&interface.interface_name);
        let address = interface
            .address
            .and_then(|address| Some(address.as_sockaddr_in()?.ip()));
        let mask = interface
            .netmask
            .and_then(|mask| Some(mask.as_sockaddr_in()?.ip()));
        if let (true, Some(address), Some(mask)) = (counts, address, mask)
            && let Some(network) = network(address, mask)
            && !found.contains(&network)
            && found.len() < MOST
        {
            found.push(network);
        }
    }
    found.sort_by_key(|network| (network.network(), network.prefix_len()));
    Ok(found)
}

/// The network of an address; none of a mask with holes, or of a route for everything.
fn network(address: Ipv4Addr, mask: Ipv4Addr) -> Option<Prefix> {
    let bits = mask.to_bits();
    let length = u8::try_from(bits.leading_ones())
        .ok()
        .filter(|length| *length > 0)?;
    if bits.count_ones() != bits.leading_ones() {
        return None;
    }
    Prefix::new(Ipv4Addr::from_bits(address.to_bits() & bits), length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_mask_give_the_network() {
        let of = |address: &str, mask: &str| network(address.parse().unwrap(), mask.parse().unwrap());
        assert_eq!(of("192.168.1.77", "255.255.255.0"), "192.168.1.0/24".parse().ok());
        assert_eq!(of("10.0.0.1", "255.255.255.255"), "10.0.0.1/32".parse().ok());
        assert_eq!(of("10.0.0.1", "255.0.255.0"), None);
        assert_eq!(of("10.0.0.1", "0.0.0.0"), None);
    }

    #[test]
    fn loopback_is_no_network_but_reaches_itself() {
        let loopback = Ipv4Addr::LOCALHOST;
        assert!(
            networks(&[])
                .unwrap()
                .iter()
                .all(|network| !network.has_host(loopback))
        );
        assert_eq!(local_towards(SocketAddrV4::new(loopback, 443)).unwrap(), loopback);
    }
}
