//! The checked-in quickstart network: it is valid, and it compiles to what its picture shows.

use kith_topologies::{
    Loaded,
    compiled::{Location, Member, Ports, Via},
    load,
};
use std::{net::Ipv4Addr, path::Path};

fn quickstart() -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("quickstart.yaml");
    load(&path).unwrap_or_else(|errors| panic!("{errors}"))
}

fn member<'a>(of: &'a Loaded, first: &str) -> &'a Member {
    of.topology
        .members
        .iter()
        .find(|m| m.fqdn.first_label() == first)
        .unwrap()
}

#[test]
fn it_is_valid_without_a_warning() {
    assert!(quickstart().warnings.is_empty());
}

#[test]
fn two_members_share_a_private_address_in_two_sites() {
    let q = quickstart();
    let address = Ipv4Addr::new(192, 168, 1, 10);
    for (name, site) in [("alice", "site-a"), ("bob", "site-b")] {
        let Location::Site {
            site: at,
            address: own,
        } = &member(&q, name).location
        else {
            panic!("{name}")
        };
        assert_eq!((at.as_str(), *own), (site, address));
    }
}

#[test]
fn sites_have_their_nats() {
    let q = quickstart();
    let sites: Vec<_> = q
        .topology
        .sites
        .iter()
        .map(|s| (s.nat.udp_timeout.as_secs(), s.nat.ports, s.wan_mtu))
        .collect();
    assert_eq!(sites, [(10, Ports::Random, 1500), (60, Ports::Random, 1400)]);
}

#[test]
fn private_members_are_reached_through_their_director_and_public_ones_directly() {
    let q = quickstart();
    for peer in &member(&q, "alice").peers {
        let port = q.topology.udp_port;
        match peer.fqdn.first_label() {
            "bob" => {
                let Via::Director {
                    director,
                    address,
                    pseudo,
                } = &peer.via
                else {
                    panic!("{:?}", peer.via)
                };
                assert_eq!(
                    (director.as_str(), *address.ip(), address.port()),
                    ("nrd1", Ipv4Addr::new(203, 0, 113, 10), port)
                );
                assert_eq!(*pseudo, member(&q, "bob").pseudo);
            }
            "carol" => {
                let Via::Direct { address, pseudo } = &peer.via else {
                    panic!("{:?}", peer.via)
                };
                assert_eq!(
                    (*address.ip(), address.port()),
                    (Ipv4Addr::new(203, 0, 113, 30), port)
                );
                assert_eq!(*pseudo, member(&q, "carol").pseudo);
            }
            other => panic!("alice has no peer {other}"),
        }
    }
    assert_eq!(member(&q, "alice").peers.len(), 2);
}

#[test]
fn both_ends_of_a_pair_hold_the_same_key_and_no_other_pair_does() {
    let q = quickstart();
    let mut keys = std::collections::HashMap::new();
    for m in &q.topology.members {
        for p in &m.peers {
            let pair = (
                m.fqdn.clone().min(p.fqdn.clone()),
                m.fqdn.clone().max(p.fqdn.clone()),
            );
            keys.entry(*p.psk.expose()).or_insert_with(Vec::new).push(pair);
        }
    }
    assert_eq!(keys.len(), 3);
    assert!(
        keys.values()
            .all(|pairs| pairs.len() == 2 && pairs[0] == pairs[1])
    );
}

#[test]
fn the_director_grants_each_member_its_session_and_nobody_else() {
    let q = quickstart();
    let [director] = q.topology.directors.as_slice() else {
        panic!()
    };
    assert_eq!(director.grants.len(), q.topology.members.len());
    assert!(director.grants.is_sorted_by_key(|g| g.key_id));
    for grant in &director.grants {
        let m = q
            .topology
            .members
            .iter()
            .find(|m| m.fqdn == grant.member)
            .unwrap();
        assert_eq!(
            (grant.key_id, grant.pseudo, grant.key.expose()),
            (m.key_id, m.pseudo, m.director_key.expose())
        );
        assert!(director.pseudo_pool.is_host(grant.pseudo));
    }
    // SHA-256 of "alice.acme.example": the id is part of the protocol and must not change.
    assert_eq!(member(&q, "alice").key_id.to_string(), "c5ee32b4b375582e");
    assert_eq!(member(&q, "alice").pseudo, Ipv4Addr::new(240, 0, 0, 1));
}

#[test]
fn printed_it_shows_no_key() {
    let q = quickstart();
    let shown = format!("{:?}{}", q.topology, serde_json::to_string(&q.topology).unwrap());
    for m in &q.topology.members {
        let hex: String = m
            .director_key
            .expose()
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect();
        let list = format!("{:?}", m.director_key.expose());
        assert!(!shown.contains(&hex) && !shown.contains(list.trim_matches(['[', ']'])));
    }
}
