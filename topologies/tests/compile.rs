//! What compiling decides: addresses that the file leaves out, and defaults.

use kith_topologies::{
    compiled::{Action, Level, Topology},
    parse,
};

const BASE: &str = include_str!("mistakes/base.yaml");

fn with<const N: usize>(edits: [(&str, &str); N]) -> Topology {
    let text = edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the base has no {from:?}");
        text.replace(from, to)
    });
    parse("lab.yaml", &text)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .topology
}

/// Manager, directors, NATs, devices, hosts.
fn addresses(t: &Topology) -> Vec<String> {
    let directors = t.directors.iter().map(|d| d.address);
    let nats = t.sites.iter().map(|s| s.nat.address);
    let devices = t.devices.iter().map(|d| d.location.address());
    let hosts = t.hosts.iter().map(|h| h.location.address());
    let all = [t.manager.address].into_iter().chain(directors).chain(nats);
    all.chain(devices).chain(hosts).map(|a| a.to_string()).collect()
}

#[test]
fn addresses_follow_the_order_of_the_file_around_those_that_are_given() {
    let t = with([
        ("address: 203.0.113.66", "address: 203.0.113.1"),
        ("address: 203.0.113.22, ", ""),
    ]);
    assert_eq!(
        addresses(&t),
        [
            "203.0.113.2",  // the manager: .1 is the host's, below
            "203.0.113.10", // given
            "203.0.113.21", // given
            "203.0.113.3",
            "192.168.1.2", // .1 is the router
            "192.168.1.10",
            "203.0.113.4",
            "203.0.113.1",
        ]
    );
}

#[test]
fn nobody_but_a_prefix_is_needed_and_the_same_file_gives_the_same_addresses() {
    let edits = [
        ("    address: 203.0.113.10\n", ""),
        ("address: 203.0.113.21, ", ""),
        ("address: 203.0.113.22, ", ""),
        ("    gateway: 192.168.1.1\n", ""),
        ("    address: 192.168.1.10\n", ""),
        ("\n    address: 203.0.113.66", ""),
    ];
    let t = with(edits);
    let ends = |t: &Topology| -> Vec<String> {
        let last = |a: &String| a.rsplit('.').next().unwrap().to_owned();
        addresses(t).iter().map(last).collect()
    };
    assert_eq!(ends(&t), ["1", "2", "3", "4", "2", "2", "5", "6"]);
    assert!(t.sites.iter().all(|s| s.gateway.octets()[3] == 1));
    assert_eq!(addresses(&t), addresses(&with(edits)));
}

#[test]
fn the_smallest_network_is_used_to_the_last_address() {
    let t = with([(
        "name: site-a\n    lan: 192.168.1.0/24",
        "name: site-a\n    lan: 192.168.1.0/30",
    )]);
    assert_eq!(addresses(&t)[4], "192.168.1.2");
}

#[test]
fn communities_without_a_common_device_may_use_the_same_addresses() {
    let t = with([("[10.78.0.0/24]", "[10.77.0.0/24]")]);
    assert_eq!(t.communities[0].pools, t.communities[1].pools);
}

#[test]
fn a_device_may_be_in_several_communities() {
    let t = with([("[dave.other.example]", "[dave.other.example, dave.acme.example]")]);
    let names: Vec<_> = t
        .members()
        .map(|(d, m)| (d.name.as_str(), m.community.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("alice", "acme.example"),
            ("bob", "acme.example"),
            ("dave", "other.example"),
            ("dave", "acme.example"),
        ]
    );
}

#[test]
fn policies_keep_their_words() {
    let t = with([]);
    let [telnet, printing] = t.communities[0].policies.as_slice() else {
        panic!()
    };
    assert_eq!(
        (telnet.action, telnet.from.as_str(), telnet.to.as_str()),
        (Action::Deny, "any", "any")
    );
    assert_eq!(
        (telnet.services.as_slice(), telnet.level, telnet.priority),
        (&["tcp/23".to_owned()][..], None, 0)
    );
    assert_eq!(
        (printing.from.as_str(), printing.to.as_str()),
        ("user:alice", "machine:bob.acme.example")
    );
    assert_eq!(
        (printing.action, printing.level, printing.priority),
        (Action::Allow, Some(Level::Machine), -1)
    );
}

#[test]
fn what_the_file_leaves_out_has_its_default() {
    let t = with([(
        "    pseudo_pool: 240.0.0.0/12\n    workers: 2\n    session_lifetime: 60s\n",
        "",
    )]);
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
    let other = &t.communities[1];
    assert!(other.directors.is_empty(), "none named: all that the manager has");
    assert!(!other.deny_by_default && other.policies.is_empty());
}
