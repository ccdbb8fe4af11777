//! The checked-in quickstart network: it is valid, and it compiles to what its picture shows.

use kith_topologies::{
    Loaded,
    compiled::{Device, Location, Ports},
    load,
};
use std::{fs, net::Ipv4Addr, path::Path};

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("quickstart.yaml")
}

fn quickstart() -> Loaded {
    load(&path()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn device<'a>(of: &'a Loaded, name: &str) -> &'a Device {
    of.topology
        .devices
        .iter()
        .find(|d| d.name.as_str() == name)
        .unwrap()
}

#[test]
fn it_is_valid_without_a_warning() {
    assert!(quickstart().warnings.is_empty());
}

#[test]
fn two_members_share_a_private_address_in_two_sites() {
    let q = quickstart();
    let address = Ipv4Addr::new(192, 168, 1, 2);
    for (name, site) in [("alice", "site-a"), ("bob", "site-b")] {
        let Location::Site {
            site: at,
            address: own,
        } = &device(&q, name).location
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
fn one_device_is_in_both_communities() {
    let q = quickstart();
    let names: Vec<_> = device(&q, "carol")
        .members
        .iter()
        .map(|m| m.fqdn.as_str())
        .collect();
    assert_eq!(names, ["carol.acme.example", "carol.globex.example"]);
    let members = |domain: &str| {
        q.topology
            .members()
            .filter(|(_, m)| m.community.as_str() == domain)
            .count()
    };
    assert_eq!((members("acme.example"), members("globex.example")), (3, 2));
}

#[test]
fn it_has_no_key_and_no_address_of_a_node() {
    let text = fs::read_to_string(path()).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    for line in lines {
        let word = |word: &str| line.trim_start_matches([' ', '-']).starts_with(word);
        assert!(
            !["address", "gateway", "virtual", "secret"].into_iter().any(word),
            "{line}"
        );
        assert!(
            !line.contains("key:")
                && line
                    .split(|c: char| !c.is_ascii_hexdigit())
                    .all(|run| run.len() < 32),
            "{line}"
        );
    }
}
