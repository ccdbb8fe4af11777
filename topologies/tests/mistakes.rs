//! Every mistake has its message. A case edits `mistakes/base.yaml`, which is right, and what comes out stands in
//! `mistakes/messages.txt`, to be read by a person: `KITH_BLESS=1 cargo test` writes it anew after a wanted change.

use kith_topologies::{Code, Diagnostics, parse, parse_bytes};
use std::{collections::BTreeSet, fs, path::PathBuf};

const BASE: &str = include_str!("mistakes/base.yaml");
const ALICE_KEY: &str = "616c696365616c696365616c696365616c696365616c696365616c696365616c";
const ACME_SECRET: &str = "6b6579206f66207468652077686f6c6520636f6d6d756e697479206f66206f6e";
const BOB_KEY: &str = "Ym9iYm9iYm9iYm9iYm9iYm9iYm9iYm9iYm9iYm9iYm8=";
const OTHER_KEY: &str = "6f746865726f746865726f746865726f746865726f746865726f746865726f74";

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
    let second_director = "    address: 203.0.113.10\n    keep_alive: 4s\n  - name: nrd2\n    role: network\n    address: 203.0.113.11\n";
    let pairs = |pairs: &str| format!("pool: 10.77.0.0/24\n    pairs:\n{pairs}");
    let pair = |a: &str, b: &str, key: &str| format!("    - {{ members: [{a}, {b}], secret: {key} }}\n");
    let (alice, bob) = ("alice.acme.example", "bob.acme.example");
    let twice = pairs(&(pair(alice, bob, OTHER_KEY) + &pair(bob, alice, &OTHER_KEY.replace("6f", "6e")))) ;
    vec![
        // The form.
        case("not YAML", [("  mtu: 1500", "  mtu: [1500")], [Syntax]),
        case("bad indentation", [("  mtu: 1500", "   mtu: 1500")], [Syntax]),
        case("an alias", [("name: lab", "name: &n lab"), ("name: nrd1\n", "name: *n\n")], [Syntax]),
        case("a tag", [("mtu: 1500", "mtu: !int 1500")], [Syntax]),
        case("a second document", [("hosts:", "---\nhosts:")], [Syntax]),
        case("an unknown field", [("udp_timeout: 10s", "udp_timeuot: 10s"), ("name: lab", "name: lab\ncolour: red")], [UnknownField, UnknownField, MissingField]),
        case("a missing field", [("    role: network\n", ""), ("name: lab\n", "")], [MissingField, MissingField]),
        case("a field given twice", [("    workers: 2", "    workers: 2\n    workers: 3")], [DuplicateKey]),
        case("a list where a mapping belongs", [("{ sessions: 100 }", "[sessions]")], [WrongType]),
        case("a value where a list belongs", [("hosts:\n  - name: mallory\n    public: 203.0.113.66", "hosts: mallory")], [WrongType]),
        case("a field without value", [("gateway: 192.168.1.1\n    nat: { address: 203.0.113.21", "gateway:\n    nat: { address: 203.0.113.21")], [WrongType]),
        case("another version", [("version: 1", "version: 2")], [OutOfRange]),
        // Names.
        case("a name that is no label", [("name: mallory", "name: mal_lory"), ("name: lab", "name: Lab")], [BadName, BadName]),
        case("a name too long for an interface", [("name: mallory", "name: mallory-the-stranger")], [BadName]),
        case("a member whose node's name is too long", [("name: bob.", "name: bobby-in-the-attic.")], [BadName]),
        case("a full name without domain", [("name: alice.acme.example", "name: alice")], [BadName]),
        case("two nodes of one name", [("name: mallory", "name: bob")], [DuplicateName]),
        case("two sites of one name", [("name: site-b", "name: site-a"), ("site: site-b", "site: site-a")], [DuplicateName, DuplicateAddress]),
        case("two members of one name", [("name: bob.", "name: alice.")], [DuplicateName]),
        case("two communities of one domain", [("domain: other.example", "domain: acme.example")], [DuplicateName]),
        case("a member in no community", [("name: bob.acme.example", "name: bob.acne.example")], [NoCommunity]),
        // References and places.
        case("an unknown director", [("director: nrd1", "director: nrd2")], [UnknownReference, UnknownReference]),
        case("an unknown site", [("site: site-b", "site: basement")], [UnknownReference]),
        case("a node that sits nowhere", [("\n    public: 203.0.113.66", "")], [Location]),
        case("a node that sits at two places", [("public: 203.0.113.66", "public: 203.0.113.66\n    site: site-a\n    address: 192.168.1.66")], [Location]),
        case("a site without address", [("    site: site-b\n    address: 192.168.1.10\n", "    site: site-b\n")], [Location]),
        case("an address without site", [("    site: site-b\n", "")], [Location]),
        case("a community at two directors", [("    address: 203.0.113.10\n    pseudo_pool: 240.0.0.0/12\n", second_director), ("director: nrd1\n    director_key: Ym9i", "director: nrd2\n    director_key: Ym9i")], [SplitCommunity]),
        // Prefixes.
        case("bits behind the prefix", [("prefix: 203.0.113.0/24", "prefix: 203.0.113.1/24")], [BadPrefix]),
        case("no prefix at all", [("pool: 10.77.0.0/24", "pool: 10.77.0.0")], [BadPrefix]),
        case("a prefix no host may use", [("pool: 10.78.0.0/24", "pool: 127.0.0.0/24")], [BadPrefix]),
        case("a LAN as large as the public network", [("name: site-b\n    lan: 192.168.1.0/24\n    gateway: 192.168.1.1", "name: site-b\n    lan: 203.0.113.0/24\n    gateway: 203.0.113.1")], [Overlap, AddressOutside]),
        case("two pools that overlap", [("pool: 10.78.0.0/24", "pool: 10.77.0.128/25")], [Overlap]),
        case("a pool that clashes with a member's LAN", [("pool: 10.77.0.0/24", "pool: 192.168.0.0/16"), ("10.77.0.", "192.168.5.")], [Overlap, Overlap]),
        case("a pool in the public network", [("pool: 10.78.0.0/24", "pool: 203.0.113.128/25")], [Overlap]),
        case("a pseudo pool that overlaps", [("240.0.0.0/12", "10.64.0.0/12")], [Overlap, Overlap]),
        case("a pseudo pool too large for memory", [("240.0.0.0/12", "240.0.0.0/5")], [BadPrefix]),
        // Addresses.
        case("no address", [("address: 203.0.113.10", "address: 203.0.113.256")], [BadValue]),
        case("one address twice in the public network", [("public: 203.0.113.66", "public: 203.0.113.21")], [DuplicateAddress]),
        case("one address twice in a site", [("public: 203.0.113.66", "site: site-a\n    address: 192.168.1.10")], [DuplicateAddress]),
        case("one virtual address twice", [("virtual_ip: 10.77.0.2", "virtual_ip: 10.77.0.1")], [DuplicateAddress]),
        case("an address outside its LAN", [("public: 203.0.113.66", "site: site-a\n    address: 192.168.2.10")], [AddressOutside]),
        case("a virtual address outside its pool", [("virtual_ip: 10.77.0.2", "virtual_ip: 10.78.0.2")], [AddressOutside]),
        case("the network's own address and broadcast", [("public: 203.0.113.66", "public: 203.0.113.255"), ("virtual_ip: 10.77.0.2", "virtual_ip: 10.77.0.0")], [AddressOutside, AddressOutside]),
        case("a pool too small for its members", [("pool: 10.77.0.0/24", "pool: 10.77.0.0/30"), ("hosts:", "  - { name: c.acme.example, virtual_ip: 10.77.0.3, public: 203.0.113.31, director: nrd1, director_key: 6f746865726f746865726f746865726f746865726f746865726f746865726f74 }\nhosts:")], [AddressOutside, TooMany]),
        // Pseudo addresses and sessions.
        case("a reserved pseudo address outside the pool", [("virtual_ip: 10.77.0.2", "virtual_ip: 10.77.0.2\n    pseudo: 239.0.0.1")], [BadPseudo]),
        case("a pseudo address reserved twice", [("virtual_ip: 10.77.0.", "pseudo: 240.0.0.9\n    virtual_ip: 10.77.0.")], [BadPseudo]),
        case("a pseudo pool too small", [("240.0.0.0/12", "240.0.0.0/30"), ("hosts:", "  - { name: c.acme.example, virtual_ip: 10.77.0.3, public: 203.0.113.31, director: nrd1, director_key: 6f746865726f746865726f746865726f746865726f746865726f746865726f74 }\nhosts:")], [TooMany, TooMany]),
        case("fewer sessions than members", [("sessions: 100", "sessions: 1")], [TooMany]),
        case("more sessions than pseudo addresses", [("sessions: 100", "sessions: 1000000"), ("240.0.0.0/12", "240.0.0.0/24")], [TooMany]),
        case("a director without workers", [("workers: 2", "workers: 0")], [OutOfRange]),
        case("more workers than a machine has cores", [("workers: 2", "workers: 1000")], [OutOfRange]),
        case("a number that is none", [("workers: 2", "workers: two"), ("mtu: 1500", "mtu: \"1500\""), ("sessions: 100", "sessions: 1e2")], [BadValue, BadValue, BadValue]),
        case("an unknown word", [("role: network", "role: netwrok"), ("ports: random", "ports: symmetric")], [BadValue, BadValue]),
        // Keys.
        case("a key too short", [(ALICE_KEY, &ALICE_KEY[2..])], [BadKey]),
        case("a key with a wrong character", [(BOB_KEY, "Ym9iYm9iYm9iYm9iYm9iYm9iYm9iYm9i*m9iYm9iYm8=")], [BadKey]),
        case("a key of zeros", [(ACME_SECRET, "0000000000000000000000000000000000000000000000000000000000000000")], [BadKey]),
        case("one key for two members", [(BOB_KEY, ALICE_KEY)], [SharedKey]),
        case("a community secret as a member's key", [(ALICE_KEY, ACME_SECRET)], [SharedKey]),
        case("a pair of one", [("pool: 10.77.0.0/24", &pairs(&pair(alice, alice, OTHER_KEY)))], [BadPair]),
        case("a pair of three", [("pool: 10.77.0.0/24", &pairs(&pair(alice, "bob.acme.example, carol", OTHER_KEY)))], [BadPair]),
        case("a pair given twice", [("pool: 10.77.0.0/24", &twice)], [BadPair]),
        case("a pair with a stranger", [("pool: 10.77.0.0/24", &pairs(&pair(alice, "bop.acme.example", OTHER_KEY)))], [UnknownReference]),
        case("a key where a name belongs", [("director: nrd1\n    director_key: 616c", &format!("director: {OTHER_KEY}\n    director_key: 616c"))], [UnknownReference]),
        // MTUs and times.
        case("an MTU too small", [("  mtu: 1500", "  mtu: 576")], [ImpossibleMtu]),
        case("an MTU too large", [("  mtu: 1500", "  mtu: 16000")], [ImpossibleMtu]),
        case("a site's MTU above the public network's", [("wan_mtu: 1400", "wan_mtu: 1600")], [ImpossibleMtu]),
        case("a duration without unit", [("keep_alive: 4s", "keep_alive: 4")], [BadValue]),
        case("a duration out of bounds", [("session_lifetime: 60s", "session_lifetime: 100h")], [OutOfRange]),
        case("keep-alives slower than the NAT forgets", [("keep_alive: 4s", "keep_alive: 15s")], [Timing]),
        case("keep-alives with no room for a loss", [("keep_alive: 4s", "keep_alive: 5s")], [Timing]),
        case("the default keep-alive behind a short NAT", [("    keep_alive: 4s\n", "")], [Timing]),
        case("sessions shorter than three keep-alives", [("session_lifetime: 60s", "session_lifetime: 10s")], [Timing]),
        // All at once.
        case("many mistakes in one file", [("director: nrd1\n    director_key: Ym9i", "directer: nrd1\n    director_key: Yg9i"), ("virtual_ip: 10.77.0.1", "virtual_ip: 10.77.1.1"), ("wan_mtu: 1400", "wan_mtu: 100"), ("lan: 192.168.1.0/24\n    gateway: 192.168.1.1\n    nat: { address: 203.0.113.21", "lan: 192.168.1.1/24\n    gateway: 192.168.1.1\n    nat: { address: 203.0.113.10"), ("role: network", "role: private")], [BadValue, BadPrefix, DuplicateAddress, ImpossibleMtu, AddressOutside, MissingField, UnknownField]),
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
        for key in [ALICE_KEY, BOB_KEY, ACME_SECRET, OTHER_KEY] {
            assert!(!shown.contains(&key[4..20]), "{title}");
        }
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
        ("lab.yaml", text.lines().count(), 13)
    );
}

#[test]
fn members_are_bounded() {
    let member = |n: usize| {
        format!(
            "  - {{ name: m{n}.acme.example, virtual_ip: 10.77.{}.{}, public: 203.0.{}.{}, director: nrd1, director_key: {:064x} }}\n",
            n / 250,
            n % 250 + 3,
            114 + n / 250,
            n % 250 + 1,
            n + 1,
        )
    };
    let network = |members: usize| {
        let text = BASE
            .replace("203.0.113.0/24", "203.0.0.0/16")
            .replace("10.77.0.0/24", "10.77.0.0/20");
        let members: String = (0..members).map(member).collect();
        text.replace("sessions: 100", "sessions: 1000")
            .replace("hosts:", &format!("{members}hosts:"))
    };
    let most = kith_topologies::MAX_MEMBERS;
    let loaded = parse("lab.yaml", &network(most - 2)).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.topology.members.iter().all(|m| m.peers.len() == most - 1));
    let found = outcome(&network(most - 1));
    assert_eq!(
        found.iter().map(|d| d.code).collect::<Vec<_>>(),
        [Code::TooMany],
        "{found}"
    );
}

#[test]
fn a_file_that_is_not_there_or_too_large_says_so() {
    let missing = kith_topologies::load(std::path::Path::new("/nowhere/lab.yaml")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let large = " ".repeat(kith_topologies::MAX_BYTES + 1);
    assert!(outcome(&large).to_string().contains("too large"));
}
