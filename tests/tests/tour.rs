//! The promise of the README: two private networks with the same addresses talk, encrypted, through a director.

use kith_tests::{kith, repository};
use serde_json::Value;

#[test]
fn the_tour_of_the_quickstart_passes_every_check() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("tour.json").display().to_string();
    let file = repository("topologies/quickstart.yaml").display().to_string();
    let ran = kith(&["lab", "tour", &file, "--report", &report]);
    assert_eq!(ran.status, Some(0), "{}\n{}", ran.err, ran.out);
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 20);
    for check in checks {
        // The quickstart has a part for everything: a check that was skipped was not made.
        assert!(check["skipped"].is_null(), "{check}");
    }
    for (from, to) in [
        ("alice", "bob"),
        ("bob", "alice"),
        ("alice", "carol"),
        ("carol", "alice"),
        ("bob", "carol"),
        ("carol", "bob"),
        ("carol", "dave"),
        ("dave", "carol"),
    ] {
        let pair = &report["figures"]["pairs"][from][to];
        assert_eq!(pair["reached"], true, "{from} to {to}: {pair}");
    }
}
