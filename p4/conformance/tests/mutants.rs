//! The cases notice a program that is a little wrong: each mutant is one instruction of the compiled program changed, and some case must
//! see it. Wrong programs that were compiled on the way here are among them.

use kith_p4_conformance::compare;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::rust::Rust;
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::world::Side;
use kith_p4_runner::Program;
use std::path::Path;

/// What is wrong, and the change of the compiled text that makes it so. All places of the first text are changed.
const MUTANTS: [(&str, &str, &str); 20] = [
    ("a hop too many", "add h.ipv4.ttl 0xFF", "add h.ipv4.ttl 0xFE"),
    ("the last hop goes on", "h.ipv4.ttl 0x2", "h.ipv4.ttl 0x1"),
    (
        "no multicast source is a martian (the compiler lost `>=` in a chain of `||`)",
        "h.ipv4.source 0xDFFFFFFF",
        "h.ipv4.source 0xFFFFFFFF",
    ),
    (
        "red is another colour (the compiler's numbers are not DPDK's)",
        "_color 0x2",
        "_color 0x0",
    ),
    (
        "an IPv4 checksum of all ones leaves",
        "h.ipv4.checksum 0xFFFF",
        "h.ipv4.checksum 0xFFFE",
    ),
    (
        "a TCP checksum of all ones leaves",
        "h.tcp.checksum 0xFFFF",
        "h.tcp.checksum 0xFFFE",
    ),
    (
        "a datagram without checksum gets one",
        "h.udp.checksum 0x0",
        "h.udp.checksum 0x1",
    ),
    (
        "wrong UDP checksums pass",
        "h.receive.udp_checksum 0x1",
        "h.receive.udp_checksum 0x2",
    ),
    (
        "sealed packets are thought 4 octets shorter",
        " 0x55\n",
        " 0x51\n",
    ),
    (
        "segments may be 4 octets larger",
        "h.work.mss 0xFFD6",
        "h.work.mss 0xFFDA",
    ),
    (
        "the segment size of any segment is lowered",
        "_tmp_17 0x2\n",
        "_tmp_17 0xFF\n",
    ),
    ("key agreement on another port", "0x4EEA", "0x4EEB"),
    ("fragments pass", "flags_fragment 0x4000", "flags_fragment 0x2000"),
    (
        "outer packets may be fragmented",
        "mov h.ipv4.flags_fragment 0x4000",
        "mov h.ipv4.flags_fragment 0x0",
    ),
    (
        "outer packets have another time to live",
        "mov h.ipv4.ttl 0x40",
        "mov h.ipv4.ttl 0x3F",
    ),
    (
        "opened packets keep the address of the tunnel",
        "mov h.work.new_destination h.bridge.destination",
        "mov h.work.new_destination h.ipv4.destination",
    ),
    (
        "the shim names no director",
        "mov h.shim.source_director h.bridge.source_director",
        "mov h.shim.source_director 0x0",
    ),
    (
        "a gateway does not hear its director",
        "h.shim.data_type 0x4",
        "h.shim.data_type 0x9",
    ),
    (
        "association counters do not count",
        "regadd gateway_association_counter_packets m.table_entry_index 1",
        "regadd gateway_association_counter_packets m.table_entry_index 0",
    ),
    (
        "the octets of sessions are not counted",
        "regadd relay_session_counter_bytes m.table_entry_index h.ipv4.total_len",
        "regadd relay_session_counter_bytes m.table_entry_index 0",
    ),
];

#[test]
fn every_mutant_is_seen_by_some_case() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiled");
    let read = |name: &str| std::fs::read_to_string(compiled.join(name)).unwrap();
    let (spec, info) = (read("kith.spec"), read("kith.p4info.txt"));
    let mut unseen = Vec::new();
    for (what, from, to) in MUTANTS {
        assert!(
            spec.contains(from),
            "the compiled program has no `{from}` any more: {what}"
        );
        let mutant =
            Program::parse(&spec.replace(from, to), &info).unwrap_or_else(|why| panic!("{what}: {why}"));
        let seen = suite.cases.iter().any(|case| {
            let mut rust = Rust::new(&case.world).unwrap();
            let mut p4 = P4::new(&mutant, &case.world).unwrap();
            let differs = case
                .packets
                .iter()
                .any(|(input, _)| compare::both(&mut rust, &mut p4, input).is_err());
            differs || compare::counters(&rust.counted(), &p4.counted()).is_some()
        });
        if !seen {
            unseen.push(what);
        }
    }
    assert_eq!(unseen, Vec::<&str>::new());
}
