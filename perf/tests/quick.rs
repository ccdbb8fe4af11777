//! The harness itself, quickly: that loops put out the right bytes (they refuse to go on otherwise) and rows come out. Whether
//! goals hold is for `make bench` on a quiet machine.

use kith_perf::measure::Plan;
use kith_perf::port::Bench;
use kith_perf::report::{Report, Row, Standing};
use kith_perf::{checksum, esp, plot, relay, sas, southbound, wrap};
use std::time::Duration;

const PLAN: Plan = Plan {
    pairs: 3,
    slice: Duration::from_millis(30),
};

#[test]
fn quick_runs_verify_their_output_and_give_a_row_for_each_goal() {
    // DPDK comes up once a process: one test for all that needs it.
    let mut bench = Bench::new(first_cpu()).expect("DPDK comes up without huge pages");
    let relayed = relay::run(&mut bench, &PLAN).expect("relayed frames are right");
    assert_eq!(ids(&relayed), ["P2", "P3"]);
    let summed = checksum::run(&mut bench, &PLAN).expect("checksums of relayed frames are right");
    assert_eq!(ids(&summed), ["P2"; 4]);
    let written = southbound::run(&mut bench, &PLAN, 5_000).expect("all is written, and packets arrive");
    assert_eq!(ids(&written), ["D2", "D2", "D2", "D2", "D2", "P15"]);
    let lost = written[4].result.as_ref().expect("packets were counted");
    assert_eq!(lost.median, 0.0, "writes lose no packet");
    let wrapped = wrap::run(&mut bench, &PLAN).expect("wrapped and unwrapped packets are right");
    assert_eq!(ids(&wrapped), ["P4"; 4]);
    let sealed = esp::run(&PLAN).expect("sealed and opened packets are right");
    assert_eq!(ids(&sealed), ["P6"; 4]);
    let many = sas::run(&PLAN, 100_000).expect("every packet is sealed for its member");
    assert_eq!(ids(&many), ["P8"; 4]);

    let report = Report {
        processor: "test".into(),
        plan: "quick".into(),
        load: "unknown".into(),
        rows: [relayed, summed, wrapped, sealed, many].concat(),
    };
    for row in &report.rows {
        let figure = row
            .result
            .as_ref()
            .expect("nothing of this needs a program that may be missing");
        assert_eq!(figure.pairs.len(), PLAN.pairs, "{}", row.what);
        assert!(
            figure.median.is_finite() && figure.p10 <= figure.p90,
            "{}",
            row.what
        );
    }
    assert!(!report.any(Standing::NotRun));
    let table = report.table();
    for row in &report.rows {
        assert!(table.contains(row.id), "{table}");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let (json, svg) = (folder.path().join("a/b.json"), folder.path().join("a/b.svg"));
    report.save(&json).expect("saved");
    plot::draw(&report, &svg).expect("drawn");
    let saved: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).expect("there")).expect("JSON");
    assert_eq!(saved["rows"].as_array().map(Vec::len), Some(report.rows.len()));
    assert_eq!(saved["rows"][0]["id"], "P2");
    assert!(std::fs::read_to_string(&svg).expect("there").contains("P6"));
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id).collect()
}

fn first_cpu() -> usize {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("an affinity");
    (0..nix::sched::CpuSet::count())
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .expect("a CPU")
}
