//! P9, P10: two members over one veth pair, against other overlays in their place.
//!
//! ```text
//!  namespace kb-a-…                                namespace kb-b-…
//!  ┌────────────────────────┐                    ┌────────────────────────┐
//!  │ iperf3 -c              │   10.200.0.0/24    │              iperf3 -s │
//!  │   ▼                    │                    │                    ▲   │
//!  │ adapter 10.201.n.1 ► daemon ═══ veth ═══ daemon ► adapter 10.201.n.2 │
//!  └────────────────────────┘                    └────────────────────────┘
//! ```
//!
//! All overlays are up all the time, each with an adapter and a network of its own, and idle but when it is their turn: one
//! TCP stream for a slice of time. CPU time is that of the two daemons; the kernel's own work in interrupts and that of
//! iperf3 are left out, for all alike. P9 compares with the overlay that has the best median, pair by pair.
//! The bytes are checked by TCP on the way and counted where they arrive.

mod lab;
mod tools;

use crate::BenchError;
use crate::measure::{Plan, Summary};
use crate::report::{Goal, Row};
use lab::Lab;
pub(crate) use lab::{run as run_command, which};
use std::path::PathBuf;
use tools::{Missing, Overlay};

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The agent to measure.
    pub agent: PathBuf,
    /// Where programs are that no package brings.
    pub tools: PathBuf,
    /// Build boringtun if it is not there.
    pub build_boringtun: bool,
}

/// What one turn of one overlay gave.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    gbit_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

/// Measures P9 and P10.
pub fn run(plan: &Plan, options: &Options) -> Result<Vec<Row>, BenchError> {
    let what = "one TCP stream between two members over veth ÷ best other overlay";
    for (program, package) in [("ip", "iproute2"), ("iperf3", "iperf3"), ("ping", "iputils-ping")] {
        if which(program).is_none() {
            return Ok(vec![Row::not_run("P9", what, format!("install {package}"))]);
        }
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(vec![Row::not_run(
            "P9",
            what,
            "run as root: network namespaces are to be made",
        )]);
    }
    let mut lab = Lab::new()?;
    let mut rows = Vec::new();
    let mut running = Vec::new();
    for tool in tools::ALL {
        match tools::start(&mut lab, tool, options) {
            Ok(overlay) => running.push(overlay),
            Err(Missing::Tool(reason)) => {
                let id = if tool == "kith" { "P9" } else { "P9b" };
                let what = if tool == "kith" {
                    what.to_owned()
                } else {
                    format!("{tool}, one TCP stream")
                };
                rows.push(Row::not_run(id, what, reason));
            }
            Err(Missing::Broken(error)) => return Err(error),
        }
    }
    lab.serve()?;
    let seconds = (2 * plan.slice.as_secs()).max(1);
    let mut turns = vec![Vec::new(); running.len()];
    for pair in 0..=plan.pairs {
        for (overlay, turns) in running.iter().zip(&mut turns) {
            let turn = turn(&lab, overlay, if pair == 0 { 1 } else { seconds })?;
            // The first round warms up.
            if pair > 0 {
                turns.push(turn);
            }
        }
    }
    rows.extend(judge(what, &running, &turns));
    Ok(rows)
}

fn turn(lab: &Lab, overlay: &Overlay, seconds: u64) -> Result<Turn, BenchError> {
    let before = overlay.cpu_seconds();
    let (bytes, gbit_per_second) = lab.stream(overlay.far, seconds)?;
    let cpu = overlay.cpu_seconds() - before;
    Ok(Turn {
        gbit_per_second,
        cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
    })
}

fn judge(what: &str, running: &[Overlay], turns: &[Vec<Turn>]) -> Vec<Row> {
    let speed = |turns: &[Turn]| Summary::of(turns.iter().map(|turn| turn.gbit_per_second).collect());
    let cost = |turns: &[Turn]| Summary::of(turns.iter().map(|turn| turn.cpu_seconds_per_gigabyte).collect());
    let mut rows = Vec::new();
    let ours = running
        .iter()
        .zip(turns)
        .find(|(overlay, _)| overlay.name == "kith");
    let others: Vec<_> = running
        .iter()
        .zip(turns)
        .filter(|(overlay, _)| overlay.name != "kith")
        .collect();
    let best =
        |of: &dyn Fn(&[Turn]) -> f64| others.iter().max_by(|a, b| of(a.1).total_cmp(&of(b.1))).copied();
    if let Some((_, ours)) = ours {
        if let Some((fastest, theirs)) = best(&|turns| speed(turns).median) {
            let ratios = ours
                .iter()
                .zip(theirs)
                .map(|(a, b)| a.gbit_per_second / b.gbit_per_second);
            rows.push(
                Row::measured("P9", what, "", Summary::of(ratios.collect()))
                    .goal(Goal::AtLeast {
                        reach: 3.0,
                        then: Some(6.0),
                    })
                    .note(format!("best other: {}; issue 2 asks for 1", fastest.name)),
            );
        }
        if let Some((cheapest, theirs)) = best(&|turns| -cost(turns).median) {
            let ratios = ours.iter().zip(theirs);
            let ratios = ratios.map(|(a, b)| a.cpu_seconds_per_gigabyte / b.cpu_seconds_per_gigabyte);
            let what = "CPU seconds a gigabyte, both daemons ÷ cheapest other overlay";
            rows.push(
                Row::measured("P10", what, "", Summary::of(ratios.collect()))
                    .goal(Goal::AtMost {
                        reach: 1.0 / 3.0,
                        then: Some(1.0 / 6.0),
                    })
                    .note(format!("cheapest other: {}", cheapest.name)),
            );
        }
    }
    for (overlay, turns) in running.iter().zip(turns) {
        let what = format!("{}, one TCP stream", overlay.name);
        let cost = cost(turns).median;
        rows.push(
            Row::measured("P9b", what, "Gbit/s", speed(turns))
                .note(format!("{cost:.1} CPU seconds a gigabyte")),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(name: &'static str) -> Overlay {
        Overlay {
            name,
            far: std::net::Ipv4Addr::LOCALHOST,
            daemons: Vec::new(),
        }
    }

    fn turn(gbit_per_second: f64, cpu_seconds_per_gigabyte: f64) -> Turn {
        Turn {
            gbit_per_second,
            cpu_seconds_per_gigabyte,
        }
    }

    #[test]
    fn we_are_compared_with_the_fastest_and_with_the_cheapest() {
        let running = [
            overlay("kith"),
            overlay("slow and cheap"),
            overlay("fast and dear"),
        ];
        let turns = [
            vec![turn(3.0, 4.0); 3],
            vec![turn(0.5, 8.0); 3],
            vec![turn(1.5, 20.0); 3],
        ];
        let rows = judge("ratio", &running, &turns);
        let median = |at: usize| rows[at].result.as_ref().map(|of| of.median);
        assert_eq!((rows[0].id, median(0)), ("P9", Ok(2.0)));
        assert_eq!((rows[1].id, median(1)), ("P10", Ok(0.5)));
        assert_eq!(rows.len(), 5, "and one row for each overlay");
        assert!(
            judge("ratio", &running[1..], &turns[1..])
                .iter()
                .all(|row| row.id == "P9b")
        );
    }
}
