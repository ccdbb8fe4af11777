//! Every mistake has its message. A case edits `mistakes/base.yaml`, which is right, and what comes out stands in
//! `mistakes/messages.txt`, to be read by a person: `KITH_BLESS=1 cargo test` writes it anew after a wanted change.

use kith_topologies::{Code, Diagnostics, parse, parse_bytes};
use std::{collections::BTreeSet, fs, path::PathBuf};

const BASE: &str = include_str!("mistakes/base.yaml");
/// The parts of the base that a manager does not know.
const WIRING: &str =
    "version: 2\nname: lab\npublic:\n  prefix: 203.0.113.0/24\n  mtu: 1500\nmanager:\n  name: manager\n";
const SITES: &str = "sites:
  - name: site-a
    lan: 192.168.1.0/24
    gateway: 192.168.1.1
    nat: { address: 203.0.113.21, udp_timeout: 10s, ports: random }
  - name: site-b
    lan: 192.168.1.0/24
    gateway: 192.168.1.1
    nat: { address: 203.0.113.22, udp_timeout: 60s, ports: preserve }
    wan_mtu: 1400
";
const HOSTS: &str = "hosts:\n  - name: mallory\n    address: 203.0.113.66\n";
const A_KEY: &str = "6f746865726f746865726f746865726f746865726f746865726f746865726f74";

/// Title, edits (every occurrence of the first text, which must be there, becomes the second), codes that must be reported.
type Case = (&'static str, Vec<(&'static str, String)>, Vec<Code>);

fn case<const N: usize, const M: usize>(
    title: &'static str,
    edits: [(&'static str, &str); N],
    codes: [Code; M],
) -> Case {
    (
        title,
        edits.map(|(from, to)| (from, to.to_owned())).to_vec(),
        codes.to_vec(),
    )
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use Code::*;
    let second_director = "    limits: { sessions: 100 }\n  - { name: nrd2, role: network, keep_alive: 4s, session_lifetime: 60s }\n";
    let member = |n: usize| format!("  - {{ name: m{n}, members: [m{n}.other.example], email: m@other.example }}\n");
    let crowd = (0..5).fold("devices:\n".to_owned(), |all, n| all + &member(n));
    vec![
        // The form.
        case("not YAML", [("  mtu: 1500", "  mtu: [1500")], [Syntax]),
        case("bad indentation", [("  mtu: 1500", "   mtu: 1500")], [Syntax]),
        case("an alias", [("name: lab", "name: &n lab"), ("name: nrd1\n", "name: *n\n")], [Syntax]),
        case("a tag", [("mtu: 1500", "mtu: !int 1500")], [Syntax]),
        case("a second document", [("hosts:", "---\nhosts:")], [Syntax]),
        case("an unknown field", [("udp_timeout: 10s", "udp_timeuot: 10s"), ("name: lab", "name: lab\ncolour: red")], [UnknownField, UnknownField, MissingField]),
        case("a missing field", [("    role: network\n", ""), ("name: lab\n", "")], [MissingField, MissingField]),
        case("no manager", [("manager:\n  name: manager\n", "")], [MissingField]),
        case("wiring without a public network", [("public:\n  prefix: 203.0.113.0/24\n  mtu: 1500\n", "")], [MissingField]),
        case("no wiring, for a lab", [(WIRING, "version: 2\n"), (SITES, ""), ("    site: site-a\n", ""), ("    site: site-b\n    address: 192.168.1.10\n", ""), (HOSTS, "")], [MissingField]),
        case("a field given twice", [("    workers: 2", "    workers: 2\n    workers: 3")], [DuplicateKey]),
        case("a list where a mapping belongs", [("{ sessions: 100 }", "[sessions]")], [WrongType]),
        case("a value where a list belongs", [("hosts:\n  - name: mallory\n    address: 203.0.113.66", "hosts: mallory")], [WrongType]),
        case("a field without value", [("gateway: 192.168.1.1\n    nat: { address: 203.0.113.21", "gateway:\n    nat: { address: 203.0.113.21")], [WrongType]),
        case("version 1", [("version: 2", "version: 1"), ("devices:", "members:")], [OldVersion]),
        case("another version", [("version: 2", "version: 3")], [OutOfRange]),
        case("a member's key, as version 1 had it", [("    user: alice", &format!("    user: alice\n    director_key: {A_KEY}"))], [UnknownField]),
        // Names.
        case("a name that is no label", [("name: mallory", "name: mal_lory"), ("name: lab", "name: Lab")], [BadName, BadName]),
        case("a name too long for an interface", [("name: mallory", "name: mallory-the-stranger")], [BadName]),
        case("a full name without domain", [("members: [bob.acme.example]", "members: [bob]"), (", to: \"machine:bob.acme.example\"", "")], [BadName]),
        case("two nodes of one name", [("name: mallory", "name: bob")], [DuplicateName]),
        case("a device called as the manager", [("name: mallory", "name: manager")], [DuplicateName]),
        case("two sites of one name", [("name: site-b", "name: site-a"), ("site: site-b", "site: site-a")], [DuplicateName]),
        case("two members of one name", [("[dave.other.example]", "[alice.acme.example]")], [DuplicateName]),
        case("two communities of one domain", [("domain: other.example", "domain: acme.example"), ("dave.other.example", "dave.acme.example")], [DuplicateName]),
        case("a domain inside another", [("other.example", "lab.acme.example")], [Overlap]),
        case("two policies of one name", [("id: printing", "id: no-telnet")], [DuplicateName]),
        case("a member in no community", [("dave.other.example", "dave.otter.example")], [NoCommunity]),
        case("a device that is a member of nothing", [("members: [dave.other.example]", "members: []")], [MissingField]),
        case("a director's name that is none", [("name: nrd1", "name: .nrd1")], [BadName]),
        case("a director's name too long for a namespace", [("name: nrd1", "name: route-director.1"), ("directors: [nrd1]", "directors: [route-director.1]")], [BadName]),
        case("a policy's name that is none", [("id: printing", "id: Printing!")], [BadName]),
        case("a tag of two words", [("    user: alice", "    user: alice\n    tags: [two words]")], [BadName]),
        case("no name, and a label too long for one", [("  - name: dave\n    members: [dave.", "  - members: [the-printer-upstairs.")], [BadName]),
        // References.
        case("an unknown director", [("directors: [nrd1]", "directors: [nrd2]")], [UnknownReference]),
        case("an unknown site", [("site: site-b", "site: basement")], [UnknownReference]),
        case("a policy about nobody's machine", [("machine:bob.", "machine:bop.")], [UnknownReference]),
        case("a policy about another community's machine", [("machine:bob.acme", "machine:dave.other")], [UnknownReference]),
        case("a key where a name belongs", [("site: site-b", &format!("site: {A_KEY}"))], [UnknownReference]),
        case("a community at two directors", [("    limits: { sessions: 100 }\n", second_director), ("directors: [nrd1]", "directors: [nrd1, nrd2]"), ("pools: [10.78.0.0/24]", "pools: [10.78.0.0/24]\n    directors: [nrd2]")], [SplitCommunity]),
        // Prefixes.
        case("bits behind the prefix", [("prefix: 203.0.113.0/24", "prefix: 203.0.113.1/24")], [BadPrefix]),
        case("no prefix at all", [("[10.77.0.0/24]", "[10.77.0.0]")], [BadPrefix]),
        case("a prefix no host may use", [("[10.78.0.0/24]", "[127.0.0.0/24]")], [BadPrefix]),
        case("no pool", [("[10.78.0.0/24]", "[]")], [MissingField]),
        case("a pool of two", [("[10.78.0.0/24]", "[10.78.0.0/30]")], [BadPrefix]),
        case("a LAN as large as the public network", [("name: site-b\n    lan: 192.168.1.0/24\n    gateway: 192.168.1.1", "name: site-b\n    lan: 203.0.113.0/24"), ("    address: 192.168.1.10\n", "")], [Overlap]),
        case("two pools of one community that overlap", [("[10.78.0.0/24]", "[10.78.0.0/24, 10.78.0.128/25]")], [Overlap]),
        case("two communities of one device that overlap", [("[10.78.0.0/24]", "[10.77.0.128/25]"), ("[dave.other.example]", "[dave.other.example, dave.acme.example]")], [Overlap]),
        case("two names of one device in one community", [("[dave.other.example]", "[dave.other.example, david.other.example]")], [Overlap]),
        case("a pool that clashes with a member's LAN", [("[10.77.0.0/24]", "[192.168.0.0/16]")], [Overlap, Overlap]),
        case("a pool in the public network", [("[10.78.0.0/24]", "[203.0.113.128/25]")], [Overlap]),
        case("a pseudo pool that overlaps", [("240.0.0.0/12", "10.64.0.0/12")], [Overlap, Overlap]),
        case("a pseudo pool too large for memory", [("240.0.0.0/12", "240.0.0.0/5")], [BadPrefix]),
        // Addresses.
        case("no address", [("address: 203.0.113.10", "address: 203.0.113.256")], [BadValue]),
        case("one address twice in the public network", [("address: 203.0.113.66", "address: 203.0.113.21")], [DuplicateAddress]),
        case("one address twice in a site", [("address: 203.0.113.66", "site: site-b\n    address: 192.168.1.10")], [DuplicateAddress]),
        case("an address outside its LAN", [("address: 203.0.113.66", "site: site-a\n    address: 192.168.2.10")], [AddressOutside]),
        case("the network's own address and broadcast", [("address: 203.0.113.66", "address: 203.0.113.255"), ("address: 203.0.113.10", "address: 203.0.113.0")], [AddressOutside, AddressOutside]),
        case("a LAN too small for its hosts", [("name: site-a\n    lan: 192.168.1.0/24", "name: site-a\n    lan: 192.168.1.0/30"), ("name: mallory\n    address: 203.0.113.66", "name: mallory\n    site: site-a")], [TooMany]),
        case("a kept address outside the pools", [("[dave.other.example]", "[{ name: dave.other.example, address: 10.79.0.5 }]")], [AddressOutside]),
        case("a kept address that is the manager's", [("[dave.other.example]", "[{ name: dave.other.example, address: 10.78.0.1 }]")], [DuplicateAddress]),
        case("one address kept twice", [("[alice.acme.example]", "[{ name: alice.acme.example, address: 10.77.0.5 }]"), ("[bob.acme.example]", "[{ name: bob.acme.example, address: 10.77.0.5 }]")], [DuplicateAddress]),
        case("what a lab's director cannot have", [("    workers: 2", "    workers: 2\n    port: 4000\n    transports: [udp, tcp]\n    private_address: 10.0.0.1")], [BadValue, BadValue, BadValue]),
        // Room.
        case("a pool too small for its members", [("[10.78.0.0/24]", "[10.78.0.0/29]"), ("devices:\n", &crowd)], [TooMany]),
        case("a pseudo pool too small", [("240.0.0.0/12", "240.0.0.0/30"), ("devices:\n", &crowd)], [TooMany, TooMany]),
        case("fewer sessions than members", [("sessions: 100", "sessions: 1")], [TooMany]),
        case("more sessions than pseudo addresses", [("sessions: 100", "sessions: 1000000"), ("240.0.0.0/12", "240.0.0.0/24")], [TooMany]),
        case("a director without workers", [("workers: 2", "workers: 0")], [OutOfRange]),
        case("more workers than a machine has cores", [("workers: 2", "workers: 1000")], [OutOfRange]),
        case("a number that is none", [("workers: 2", "workers: two"), ("mtu: 1500", "mtu: \"1500\""), ("sessions: 100", "sessions: 1e2"), ("priority: -1", "priority: +1")], [BadValue, BadValue, BadValue, BadValue]),
        case("an unknown word", [("role: network", "role: netwrok"), ("ports: random", "ports: symmetric"), ("action: deny", "action: drop"), ("level: machine", "level: host"), ("deny_by_default: false", "deny_by_default: no")], [BadValue, BadValue, BadValue, BadValue, BadValue]),
        // Policies and people.
        case("a service that is none", [("[tcp/23]", "[tcp/23-25, icmp/8]")], [BadValue, BadValue]),
        case("a selector that is none", [("from: user:alice", "from: alice"), ("machine:bob.acme.example", "machine:bob")], [BadValue, BadValue]),
        case("a mail address that is none", [("email: bob@acme.example", "email: bob")], [BadValue]),
        case("nowhere to send a code", [("    email: bob@acme.example\n", "")], [MissingField]),
        // MTUs and times.
        case("an MTU too small", [("  mtu: 1500", "  mtu: 576")], [ImpossibleMtu]),
        case("an MTU too large", [("  mtu: 1500", "  mtu: 16000")], [ImpossibleMtu]),
        case("a site's MTU above the public network's", [("wan_mtu: 1400", "wan_mtu: 1600")], [ImpossibleMtu]),
        case("a duration without unit", [("keep_alive: 4s", "keep_alive: 4")], [BadValue]),
        case("a duration out of bounds", [("session_lifetime: 60s", "session_lifetime: 100h")], [OutOfRange]),
        case("tickets too short, and of half seconds", [("deny_by_default: false", "deny_by_default: false\n    ticket_lifetime: 30s"), ("[10.78.0.0/24]", "[10.78.0.0/24]\n    ticket_lifetime: 90500ms")], [OutOfRange, BadValue]),
        case("keep-alives slower than the NAT forgets", [("keep_alive: 4s", "keep_alive: 15s")], [Timing]),
        case("keep-alives with no room for a loss", [("keep_alive: 4s", "keep_alive: 5s")], [Timing]),
        case("the default keep-alive behind a short NAT", [("    keep_alive: 4s\n", "")], [Timing]),
        case("sessions shorter than three keep-alives", [("session_lifetime: 60s", "session_lifetime: 10s")], [Timing]),
        // All at once.
        case("many mistakes in one file", [("email: bob@acme.example", "emial: bob@acme.example"), ("[10.77.0.0/24]", "[10.77.0.1/24]"), ("wan_mtu: 1400", "wan_mtu: 100"), ("nat: { address: 203.0.113.21", "nat: { address: 203.0.113.10"), ("role: network", "role: private")], [BadValue, BadPrefix, DuplicateAddress, ImpossibleMtu, UnknownField, MissingField]),
    ]
}

fn outcome(text: &str) -> Diagnostics {
    match parse("lab.yaml", text) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    }
}

fn edited(title: &str, edits: &[(&str, String)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{title}: the base has no {from:?}");
        text.replace(from, to)
    })
}

#[test]
fn the_base_is_right() {
    let loaded = parse("base.yaml", BASE).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn every_mistake_is_reported_and_nothing_else() {
    let mut wrong = String::new();
    for (title, edits, mut codes) in cases() {
        let found = outcome(&edited(title, &edits));
        let mut reported: Vec<Code> = found.iter().map(|d| d.code).collect();
        codes.sort();
        reported.sort();
        if reported != codes {
            wrong += &format!("=== {title}: {codes:?} expected\n{found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn messages_are_as_they_were_read_and_approved() {
    let now: String = cases()
        .iter()
        .map(|(title, edits, _)| format!("=== {title}\n\n{}\n", outcome(&edited(title, edits))))
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes/messages.txt");
    if std::env::var_os("KITH_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let approved = fs::read_to_string(&path).unwrap();
    for (was, is) in approved.split("=== ").zip(now.split("=== ")) {
        assert_eq!(is, was, "a message changed: look at it, then KITH_BLESS=1");
    }
    assert_eq!(now.len(), approved.len());
}

#[test]
fn every_code_has_a_case() {
    let mut covered: BTreeSet<Code> = cases().into_iter().flat_map(|(_, _, codes)| codes).collect();
    covered.extend(
        parse_bytes("f", b"name: \xff")
            .unwrap_err()
            .iter()
            .map(|d| d.code),
    ); // Code::File
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    assert_eq!(covered, all);
}

#[test]
fn no_message_shows_a_key() {
    for (title, edits, _) in cases() {
        let shown = outcome(&edited(title, &edits));
        let shown = shown.render(true) + &serde_json::to_string(&shown).unwrap();
        assert!(!shown.contains(&A_KEY[4..20]), "{title}");
    }
}

#[test]
fn positions_point_at_the_mistake() {
    let text = BASE.replace("203.0.113.66", "203.0.113.21");
    let found = outcome(&text);
    let d = found.iter().next().unwrap();
    assert_eq!(&text[d.span.clone()], "203.0.113.21");
    assert_eq!(
        (d.file.as_str(), d.line, d.column),
        ("lab.yaml", text.lines().count(), 14)
    );
}

#[test]
fn members_are_bounded() {
    let device =
        |n: usize| format!("  - {{ name: m{n}, members: [m{n}.acme.example], email: m@acme.example }}\n");
    let network = |members: usize| {
        let devices = (0..members).map(device).collect::<String>();
        BASE.replace("203.0.113.0/24", "203.0.112.0/21")
            .replace("10.77.0.0/24", "10.77.0.0/20")
            .replace("sessions: 100", "sessions: 1000")
            .replace("hosts:", &format!("{devices}hosts:"))
    };
    let most = kith_topologies::MAX_MEMBERS;
    let loaded = parse("lab.yaml", &network(most - 3)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.topology.members().count(), most);
    let codes = |text: &str| outcome(text).iter().map(|d| d.code).collect::<Vec<_>>();
    assert_eq!(codes(&network(most - 2)), [Code::TooMany]);
    // Many names of few devices.
    let names: Vec<String> = (0..most).map(|n| format!("m{n}.acme.example")).collect();
    let text = BASE.replace("[dave.other.example]", &format!("[{}]", names.join(", ")));
    assert_eq!(codes(&text), [Code::TooMany]);
}

#[test]
fn a_file_that_is_not_there_or_too_large_says_so() {
    let missing = kith_topologies::load(std::path::Path::new("/nowhere/lab.yaml")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let large = " ".repeat(kith_topologies::MAX_BYTES + 1);
    assert!(outcome(&large).to_string().contains("too large"));
}
