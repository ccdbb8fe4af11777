//! The cases leave nothing out: every table, every reason.

use kith_p4_conformance::case::Expected;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::world::Side;
use kith_pipeline::reason::{DropReason, PuntReason};
use std::collections::{BTreeMap, BTreeSet};

/// Drops that no packet and no entry can cause here, and why.
const NOT_CAUSED: [(DropReason, &str); 7] = [
    (
        DropReason::Segmented,
        "a packet in several buffers: neither side's buffers have segments",
    ),
    (
        DropReason::EspExhausted,
        "2^64 - 1 packets under one association, which is over long before",
    ),
    (
        DropReason::BufferRoom,
        "no room for headers in a buffer: both sides' buffers have it",
    ),
    (
        DropReason::PuntQueueFull,
        "the queue to the slow path is behind the path",
    ),
    (DropReason::SlowPathRefused, "the slow path is behind the path"),
    (
        DropReason::HandOverQueueFull,
        "the queue between workers is behind the path",
    ),
    (
        DropReason::TransmitQueueFull,
        "the queue of a port is behind the path",
    ),
];

#[test]
fn every_drop_reason_has_a_case_or_cannot_be_caused() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let packets = suite.cases.iter().flat_map(|case| &case.packets);
    let shown: BTreeSet<&str> = packets
        .filter_map(|(_, expected)| match expected {
            Expected::Drop(reason) => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    let not_caused: BTreeSet<&str> = NOT_CAUSED.iter().map(|(reason, _)| reason.name()).collect();
    assert_eq!(shown.intersection(&not_caused).next(), None, "caused after all");
    let named: BTreeSet<&str> = shown.union(&not_caused).copied().collect();
    assert_eq!(
        named,
        DropReason::ALL.iter().map(|reason| reason.name()).collect()
    );
}

#[test]
fn every_punt_reason_has_a_case() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let packets = suite.cases.iter().flat_map(|case| &case.packets);
    let shown: BTreeSet<&str> = packets
        .filter_map(|(_, expected)| match expected {
            Expected::Up(reason) => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        shown,
        PuntReason::ALL.iter().map(|reason| reason.name()).collect()
    );
}

#[test]
fn every_table_is_hit_and_missed_and_every_action_is_run() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let mut met: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut actions = BTreeSet::new();
    for case in &suite.cases {
        let mut p4 = P4::new(&suite.compiled, &case.world).unwrap();
        for (input, _) in &case.packets {
            p4.process(input);
        }
        for table in suite.tables.tables() {
            let (hits, misses) = p4.met(&table.name);
            let all = met.entry(table.name.clone()).or_default();
            *all = (all.0 + hits, all.1 + misses);
        }
        actions.extend(case.world.entries.iter().map(|entry| entry.action.clone()));
    }
    for (table, (hits, misses)) in met {
        // `endpoint` has no entries, only a default action.
        assert!(
            (hits > 0 || table == "endpoint") && misses > 0,
            "{table}: {hits} hits, {misses} misses"
        );
    }
    let declared = suite
        .tables
        .tables()
        .iter()
        .flat_map(|table| &table.actions)
        .map(|action| action.name.clone());
    assert_eq!(actions, declared.collect());
}
