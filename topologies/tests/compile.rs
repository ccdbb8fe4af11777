//! What compiling decides: pseudo addresses, keys of pairs, who is whose peer.

use kith_topologies::{
    compiled::{Member, Topology},
    parse,
};
use std::net::Ipv4Addr;

const BASE: &str = include_str!("mistakes/base.yaml");

/// The base with more members, all public: (name, virtual address, reserved pseudo address).
fn with(members: &[(&str, &str, Option<&str>)], edit: (&str, &str)) -> Topology {
    let more: String = members
        .iter()
        .zip(1..)
        .map(|((name, virtual_ip, pseudo), n)| {
            let pseudo = pseudo.map_or(String::new(), |p| format!("pseudo: {p}, "));
            format!("  - {{ name: {name}, virtual_ip: {virtual_ip}, public: 203.0.113.{}, {pseudo}director: nrd1, director_key: {n:064x} }}\n", 100 + n)
        })
        .collect();
    let text = BASE
        .replace(edit.0, edit.1)
        .replace("hosts:", &format!("{more}hosts:"));
    parse("lab.yaml", &text)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .topology
}

fn member<'t>(topology: &'t Topology, name: &str) -> &'t Member {
    topology.members.iter().find(|m| m.fqdn.as_str() == name).unwrap()
}

fn psk(topology: &Topology, from: &str, to: &str) -> [u8; 32] {
    *member(topology, from)
        .peers
        .iter()
        .find(|p| p.fqdn.as_str() == to)
        .unwrap()
        .psk
        .expose()
}

#[test]
fn pseudo_addresses_follow_the_order_of_the_file_around_the_reserved_ones() {
    let t = with(
        &[
            ("c.acme.example", "10.77.0.3", Some("240.0.0.2")),
            ("d.acme.example", "10.77.0.4", None),
        ],
        ("", ""),
    );
    let given: Vec<_> = t.members.iter().map(|m| m.pseudo.octets()[3]).collect();
    assert_eq!(given, [1, 3, 2, 4]);
}

#[test]
fn the_smallest_pool_is_used_to_the_last_address() {
    let t = with(&[], ("240.0.0.0/12", "255.255.255.252/30"));
    let given: Vec<_> = t.members.iter().map(|m| m.pseudo).collect();
    assert_eq!(
        given,
        [
            Ipv4Addr::new(255, 255, 255, 253),
            Ipv4Addr::new(255, 255, 255, 254)
        ]
    );
}

#[test]
fn members_of_different_communities_are_no_peers() {
    let t = with(
        &[
            ("c.other.example", "10.78.0.3", None),
            ("d.other.example", "10.78.0.4", None),
        ],
        ("", ""),
    );
    for m in &t.members {
        assert_eq!(m.peers.len(), 1, "{}", m.fqdn);
        assert!(
            m.peers
                .iter()
                .all(|p| p.fqdn.is_in(&m.community) && m.pool.is_host(p.virtual_ip))
        );
    }
    let communities = t.directors[0]
        .grants
        .iter()
        .filter(|g| g.community.as_str() == "other.example");
    assert_eq!(communities.count(), 2);
}

#[test]
fn a_given_key_of_a_pair_takes_the_place_of_the_derived_one_at_both_ends_and_nowhere_else() {
    let (alice, bob, carol) = ("alice.acme.example", "bob.acme.example", "carol.acme.example");
    let key = "ab".repeat(32);
    // Written the other way round than the file lists the two.
    let pairs =
        format!("pool: 10.77.0.0/24\n    pairs:\n    - {{ members: [{bob}, {alice}], secret: {key} }}\n");
    let more = [(carol, "10.77.0.3", None)];
    let (plain, given) = (with(&more, ("", "")), with(&more, ("pool: 10.77.0.0/24", &pairs)));
    assert_eq!(
        (psk(&given, alice, bob), psk(&given, bob, alice)),
        ([0xab; 32], [0xab; 32])
    );
    assert_ne!(psk(&plain, alice, bob), [0xab; 32]);
    assert_eq!(psk(&given, alice, carol), psk(&plain, alice, carol));
}

#[test]
fn a_derived_key_is_what_hkdf_says() {
    // Computed apart from this code: HKDF-SHA-256, salt "kith pair psk 1", info 00000012 "alice.acme.example" 00000010 "bob.acme.example".
    let t = with(&[], ("", ""));
    let hex: String = psk(&t, "bob.acme.example", "alice.acme.example")
        .iter()
        .map(|o| format!("{o:02x}"))
        .collect();
    assert_eq!(
        hex,
        "089e5b820d800b0751a1645867754926b92f4d9b8f21278dc07f09bb7e58053e"
    );
}

#[test]
fn what_the_file_leaves_out_has_its_default() {
    let t = with(
        &[],
        (
            "    pseudo_pool: 240.0.0.0/12\n    workers: 2\n    session_lifetime: 60s\n",
            "",
        ),
    );
    let d = &t.directors[0];
    assert_eq!(
        (t.udp_port, t.public.mtu, d.workers, d.session_lifetime.as_secs()),
        (20202, 1500, 1, 120)
    );
    assert_eq!(
        (
            d.pseudo_pool.to_string().as_str(),
            t.sites[0].wan_mtu,
            t.sites[1].wan_mtu
        ),
        ("240.0.0.0/12", 1500, 1400)
    );
}
