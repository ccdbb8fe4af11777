//! Files for a manager: with wiring or without.

use kith_topologies::{Code, Diagnostics, Severity, compiled::Role, parse, parse_listed};

const NETWORK: &str = "\
version: 2
directors:
  - { name: Prd_1.office, role: private, address: 198.51.100.1, private_address: 192.168.1.5, sites: [office], transports: [udp, tcp] }
communities:
  - domain: acme.example
    pools: [10.77.0.0/24]
    directors: [elsewhere]
    ticket_lifetime: 10m
devices:
  - { members: [{ name: alice.acme.example, address: 10.77.0.9 }], user: alice@acme.example, tags: [a:b] }
  - { members: [the-printer-upstairs.acme.example], email: it@acme.example, platform: printer }
";

fn codes(found: &Diagnostics) -> Vec<(Severity, Code)> {
    found.iter().map(|d| (d.severity, d.code)).collect()
}

#[test]
fn a_network_needs_no_wiring() {
    let listed = parse_listed("network.yaml", NETWORK).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(listed.warnings.is_empty() && listed.topology.is_none());
    let [director] = listed.managed.directors.as_slice() else {
        panic!()
    };
    assert_eq!(
        (
            director.role,
            director.port,
            director.udp,
            director.tcp,
            director.capacity
        ),
        (Role::Private, 20202, true, true, 65536)
    );
    let [community] = listed.managed.communities.as_slice() else {
        panic!()
    };
    assert_eq!(
        (community.ticket_lifetime_s, community.directors.as_slice()),
        (Some(600), &["elsewhere".to_owned()][..])
    );
    let [alice, printer] = listed.managed.members.as_slice() else {
        panic!()
    };
    assert_eq!(
        (alice.address.map(|a| a.octets()[3]), alice.email.as_str()),
        (Some(9), "")
    );
    assert_eq!((printer.address, printer.platform.as_str()), (None, "printer"));
    assert_eq!(
        codes(&parse("network.yaml", NETWORK).unwrap_err()),
        [(Severity::Error, Code::MissingField)]
    );
}

#[test]
fn with_wiring_both_readers_say_the_same() {
    let text = include_str!("../quickstart.yaml");
    let (lab, listed) = (parse("q", text).unwrap(), parse_listed("q", text).unwrap());
    assert_eq!(lab.topology.managed, listed.managed);
    let addresses = listed.managed.directors.iter().map(|d| d.address);
    assert!(addresses.eq(lab.topology.directors.iter().map(|d| d.address)));
    assert!(listed.topology.is_some());
}

#[test]
fn what_the_manager_may_know_better_is_a_warning() {
    let gone = NETWORK.replace(
        "    ticket_lifetime",
        "    policies: [{ id: p, action: deny, to: \"machine:gone.acme.example\" }]\n    ticket_lifetime",
    );
    let listed = parse_listed("network.yaml", &gone).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        codes(&listed.warnings),
        [(Severity::Warning, Code::UnknownReference)]
    );
}

#[test]
fn a_director_without_address_is_nowhere() {
    let nowhere = NETWORK.replace("address: 198.51.100.1, private_address: 192.168.1.5, ", "");
    let found = parse_listed("network.yaml", &nowhere).unwrap_err();
    let missing = (Severity::Error, Code::MissingField);
    assert_eq!(codes(&found), [missing, missing], "{found}");
}

#[test]
fn thousands_of_members_are_read_soon() {
    let member = |n: usize| format!("  - {{ members: [m{n}.acme.example], email: m@acme.example }}\n");
    let most = kith_topologies::MAX_LISTED;
    let of = |n: usize| {
        let head =
            "version: 2\ncommunities:\n  - { domain: acme.example, pools: [10.64.0.0/16] }\ndevices:\n";
        head.to_owned() + &(0..n).map(member).collect::<String>()
    };
    let begun = std::time::Instant::now();
    assert_eq!(
        parse_listed("many", &of(most)).unwrap().managed.members.len(),
        most
    );
    // Generous, for slow machines: pairs of them would be 200 million.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(
        codes(&parse_listed("many", &of(most + 1)).unwrap_err()),
        [(Severity::Error, Code::TooMany)]
    );
}
