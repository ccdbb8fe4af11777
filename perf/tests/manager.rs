//! The manager's part of the harness, small: that members come, that exactly those concerned are told, and that rows come out. Needs root
//! and the programs.

use kith_perf::manager::{self, Options};
use kith_perf::measure::Plan;
use kith_perf::report::{Row, Standing};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PLAN: Plan = Plan {
    pairs: 2,
    slice: Duration::from_millis(200),
};

/// In KITH_BIN_DIR, or where cargo put it beside this test.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let beside = own.ancestors().nth(2).map(Path::to_owned);
    let folder = std::env::var_os("KITH_BIN_DIR").map(PathBuf::from).or(beside);
    folder.expect("a folder of programs").join(name)
}

fn options(disk: &Path) -> Options {
    Options {
        controller: program("kith-controller"),
        agent: program("kith-agent"),
        members: 200,
        disk: disk.to_owned(),
    }
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn two_hundred_members_are_told_of_what_concerns_them_and_of_nothing_else() {
    let disk = tempfile::tempdir().expect("a folder");
    let rows = manager::push(&PLAN, &options(disk.path())).expect("everybody joins and is told");
    assert_eq!(ids(&rows), ["P12"; 4]);
    let wrong = rows[3].result.as_ref().expect("updates were counted");
    assert_eq!(
        wrong.pairs,
        [0.0; 2 * 4 + 2 + 2],
        "of each change, those whom it concerns are told, once"
    );
}

#[test]
fn memory_of_agent_and_manager_is_counted() {
    let disk = tempfile::tempdir().expect("a folder");
    let rows = manager::memory(&options(disk.path())).expect("an agent and members join");
    assert_eq!(ids(&rows), ["P15"; 3]);
    let agent = rows[0].result.as_ref().expect("it was running");
    assert!((1.0..100.0).contains(&agent.median), "{} MB", agent.median);
}

#[test]
fn joins_are_measured_where_there_is_an_etcd() {
    let disk = tempfile::tempdir().expect("a folder");
    let rows = manager::joins(&PLAN, &options(disk.path())).expect("members join again and again");
    if rows[0].standing() == Standing::NotRun {
        // It is a package of `tests/setup bench`, not of `build`.
        return assert!(format!("{:?}", rows[0].result).contains("tests/setup bench"));
    }
    assert_eq!(ids(&rows), ["P13"; 3]);
    for row in &rows {
        let figure = row.result.as_ref().expect("it was measured");
        assert!(
            figure.pairs.iter().all(|value| *value > 0.0),
            "{}: {figure:?}",
            row.what
        );
    }
}
