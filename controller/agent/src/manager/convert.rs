//! What the manager writes, as the datapath takes it. Nothing is guessed: what cannot be right gives `None` or an error.

use super::Credentials;
use super::membership::Place;
use crate::config::Prefix;
use crate::keying::Whereabouts;
use crate::orders::Rule;
use kith_protocol::member::{self, JoinAck, Location, Policy, Synced};
use std::net::{Ipv4Addr, SocketAddrV4};

/// More networks than this has no community.
const MOST_NETWORKS: usize = 64;
/// Nor more rules one member.
const MOST_RULES: usize = 65_536;

/// An address and port; `None` if either is none.
#[must_use]
pub fn socket(address: u32, port: u32) -> Option<SocketAddrV4> {
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    (address != 0).then(|| SocketAddrV4::new(Ipv4Addr::from_bits(address), port))
}

/// Where a member is.
#[must_use]
pub fn whereabouts(location: &Location) -> Option<Whereabouts> {
    if location.director == 0 {
        return socket(location.address, location.port).map(Whereabouts::Public);
    }
    let director = socket(location.director, location.director_port)?;
    let pseudo = Ipv4Addr::from_bits(location.address);
    (!pseudo.is_unspecified()).then_some(Whereabouts::Director { director, pseudo })
}

/// A network.
#[must_use]
pub fn prefix(written: &member::Prefix) -> Option<Prefix> {
    Prefix::new(
        Ipv4Addr::from_bits(written.address),
        u8::try_from(written.length).ok()?,
    )
    .ok()
}

/// The same as it is written.
#[must_use]
pub fn written_prefix(prefix: &Prefix) -> member::Prefix {
    member::Prefix {
        address: prefix.network().to_bits(),
        length: prefix.prefix_len().into(),
    }
}

/// Is this address anywhere in the network?
#[must_use]
pub fn holds(network: &Prefix, address: Ipv4Addr) -> bool {
    let host_bits = 32 - u32::from(network.prefix_len());
    let part = |address: Ipv4Addr| address.to_bits().checked_shr(host_bits).unwrap_or(0);
    part(address) == part(network.network())
}

/// What a join gave.
pub fn place(me: &Credentials, ack: &JoinAck) -> Result<Place, &'static str> {
    let networks: Option<Vec<Prefix>> = ack.networks.iter().take(MOST_NETWORKS + 1).map(prefix).collect();
    let networks = networks.ok_or("a network")?;
    if networks.len() > MOST_NETWORKS {
        return Err("too many networks");
    }
    let address = Ipv4Addr::from_bits(ack.virtual_address);
    let manager = Ipv4Addr::from_bits(ack.manager_virtual_address);
    let first = networks.first().ok_or("no network")?;
    // The adapter takes the address with this network's mask, and routes come of the others: a default route never.
    if !first.has_host(address) || networks.iter().any(|network| network.prefix_len() < 8) {
        return Err("the virtual address is not in the community's network");
    }
    if !networks.iter().any(|network| network.has_host(manager)) || manager == address {
        return Err("the manager's virtual address");
    }
    Ok(Place {
        fqdn: me.fqdn().into(),
        address,
        manager,
        networks,
    })
}

/// Are these networks and this manager's address what we joined with? A manager that does not say so has nothing against it.
#[must_use]
pub fn still_holds(place: &Place, synced: &Synced) -> bool {
    let told: Option<Vec<Prefix>> = synced.networks.iter().map(prefix).collect();
    let told = told.unwrap_or_default();
    let known = &place.networks;
    let same = told.len() == known.len() && told.iter().all(|network| known.contains(network));
    synced.networks.is_empty() || (same && place.manager.to_bits() == synced.manager_virtual_address)
}

/// The rules, in order; none, which lets nothing pass, if one of them cannot be understood: it might have been the one that denies.
#[must_use]
pub fn policy(written: Option<&Policy>) -> Vec<Rule> {
    let rules = written.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    if rules.len() > MOST_RULES {
        return Vec::new();
    }
    rules.iter().map(rule).collect::<Option<_>>().unwrap_or_default()
}

fn rule(written: &member::Rule) -> Option<Rule> {
    Some(Rule {
        allow: written.allow,
        source: (written.source, written.source_mask),
        destination: (written.destination, written.destination_mask),
        protocol: u8::try_from(written.protocol).ok()?,
        source_port: u16::try_from(written.source_port).ok()?,
        destination_port: u16::try_from(written.destination_port).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_that_makes_no_sense_leaves_none_so_that_nothing_passes() {
        let good = member::Rule {
            allow: true,
            ..member::Rule::default()
        };
        let bad = member::Rule {
            protocol: 256,
            ..good
        };
        assert_eq!(
            policy(Some(&Policy {
                version: 1,
                rules: vec![good]
            }))
            .len(),
            1
        );
        assert!(
            policy(Some(&Policy {
                version: 1,
                rules: vec![good, bad]
            }))
            .is_empty()
        );
        assert!(policy(None).is_empty());
    }

    #[test]
    fn a_location_is_public_or_at_a_director_or_none() {
        let public = Location {
            address: 0xc633_6401,
            port: 20_202,
            ..Location::default()
        };
        assert_eq!(
            whereabouts(&public),
            Some(Whereabouts::Public("198.51.100.1:20202".parse().unwrap()))
        );
        assert_eq!(whereabouts(&Location { port: 0, ..public }), None);
        assert_eq!(
            whereabouts(&Location {
                port: 65_536,
                ..public
            }),
            None
        );
        let at = Location {
            director: 0xcb00_710a,
            director_port: 20_202,
            address: 0xf000_0001,
            port: 0,
        };
        let director = "203.0.113.10:20202".parse().unwrap();
        let pseudo = "240.0.0.1".parse().unwrap();
        assert_eq!(whereabouts(&at), Some(Whereabouts::Director { director, pseudo }));
        assert_eq!(whereabouts(&Location { address: 0, ..at }), None);
    }
}
