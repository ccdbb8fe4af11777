//! The controller is killed and started again. The dataplane goes on as it was told last: nobody in the network notices.
//!
//! ```text
//!  pings, 500 a second  ├───────────────────────────────────────────────────┤  none lost
//!  a TCP stream         ├───────────────────────────────────────────────────┤  never stands still
//!  controller           ├────┤ SIGKILL        ├─ started, compares, decides ──
//! ```

use super::member::Member;
use super::{Check, Tour, entries};
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::lab::{agents, controllers, daemons};
use kith_controller::status::{Client, DirectorStatus};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the members must do without.
const AWAY: Duration = Duration::from_secs(3);
/// Pings, and the milliseconds between two of them: 8 s.
const PINGS: u32 = 4_000;
const EVERY: &str = "0.002";
/// The TCP stream: at a rate that leaves the few cores of all namespaces time for the pings.
const STREAM: [&str; 6] = ["-t", "8", "-b", "20M", "-i", "0.5"];

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((from, to)) = relayed(tour) else {
        return Ok(Check::skip("nobody is reached through a director"));
    };
    let process = controllers::process(&tour.record)?.clone();
    let mut check = Check::of(format!(
        "the controller is killed (SIGKILL) for {} s and started again, under pings and a TCP stream from {} to {}",
        AWAY.as_secs(),
        from.node,
        to.node
    ));
    let (a, b, address) = (from.node.as_str(), to.node.as_str(), to.virtual_ip.to_string());
    let before = bindings(tour)?;
    let _server = tour.background(
        b,
        "iperf3-controller.log",
        &["iperf3", "-s", "-1", "-B", &address],
    )?;
    check.expect(tour.wait_listen(b, 5201)?, || {
        "the iperf3 server did not start".into()
    });
    let stream: Vec<&str> = ["iperf3", "-J", "-c", &address]
        .into_iter()
        .chain(STREAM)
        .collect();
    let mut stream = tour.background(a, "stream.log", &stream)?;
    let count = PINGS.to_string();
    let ping = ["ping", "-n", "-q", "-c", &count, "-i", EVERY, "-W", "2", &address];
    let mut pings = tour.background(a, "pings.log", &ping)?;
    tour.stop.sleep(Duration::from_secs(1))?;

    process.signal(Signal::SIGKILL);
    tour.stop.sleep(AWAY)?;
    check.expect(!process.runs(), || "the controller still runs".into());
    let during = bindings(tour)?;
    check.expect(during == before, || {
        format!("entries changed without a controller: {before:?}, then {during:?}")
    });
    down(tour, &mut check, "without a controller");

    let since = Instant::now();
    daemons::start_controller(&mut tour.record, &tour.topology)?;
    daemons::wait(&tour.record, Kind::Controller, &tour.stop)?;
    let deciding = since.elapsed();
    check.measure(format!(
        "started again: decides after {:.2} s",
        deciding.as_secs_f64()
    ));
    compared(tour, &mut check, &process.socket)?;

    let patience = Duration::from_secs(20);
    let ended = [pings.wait(tour, patience)?, stream.wait(tour, patience)?];
    check.expect(ended == [true, true], || "pings or stream did not end".into());
    let result = super::ping::parse(&tour.log("pings.log"));
    let (sent, answered) = result.map_or((0, 0), |result| (result.sent, result.answered));
    check.measure(format!(
        "{sent} pings, one each {EVERY} s: {} lost",
        sent - answered
    ));
    check.expect(sent == PINGS && answered == sent, || {
        format!(
            "{answered} of {sent} pings were answered\n{}",
            tour.log("pings.log").trim()
        )
    });
    judge_stream(&mut check, &tour.log("stream.log"));
    let after = bindings(tour)?;
    check.expect(after == before, || {
        format!("entries changed by the restart: {before:?}, then {after:?}")
    });
    down(tour, &mut check, "after the restart");
    Ok(check)
}

/// Somebody behind a NAT, and who reaches them through the director.
pub(super) fn relayed(tour: &Tour) -> Option<(Member, Member)> {
    let pairs = tour.pairs();
    pairs.into_iter().find(|(_, to)| to.location.site().is_some())
}

/// Every session entry of every dataplane: whose, and where it leads. Counters left out.
fn bindings(tour: &Tour) -> Result<Vec<(String, String)>, Error> {
    let mut all = Vec::new();
    for director in &tour.topology.directors {
        let entries = entries::read(tour, director)?;
        all.extend(entries.into_iter().map(|(pseudo, entry)| (pseudo, entry.bound)));
    }
    Ok(all)
}

/// Members whose agents have no session any more.
fn down(tour: &Tour, check: &mut Check, when: &str) {
    for node in tour.record.of(Kind::Member) {
        let health = tour
            .record
            .process(&node.name)
            .map(|process| agents::health(&process.socket));
        let kept = health
            .as_ref()
            .is_some_and(|health| health.good || !health.pseudo.is_empty());
        check.expect(kept, || {
            let state = health.map_or_else(|| "no agent".into(), |health| health.state);
            format!("{}: {state}, {when}", node.name)
        });
    }
}

/// What the restarted controller found and changed.
fn compared(tour: &Tour, check: &mut Check, socket: &Path) -> Result<(), Error> {
    let settled = tour
        .stop
        .wait(Duration::from_secs(5), Duration::from_millis(50), || {
            let directors = Client::connect(socket)?.status()?.directors;
            Ok(directors
                .iter()
                .all(|director| director.lacking == 0)
                .then_some(directors))
        })?;
    let Some(directors) = settled else {
        check.expect(false, || {
            "the controller still finds entries lacking after 5 s".into()
        });
        return Ok(());
    };
    let count = |director: &DirectorStatus, name: &str| {
        let named = director.dataplane_side.iter().find(|named| named.name == name);
        named.map_or(0, |named| named.count)
    };
    for director in &directors {
        check.measure(format!(
            "{}: {} sessions restored, {} comparison, {} entries written",
            director.name,
            director.restored,
            count(director, "reconciliations"),
            count(director, "updates")
        ));
        let listed = controllers::sessions(&tour.record, &director.name)?.len();
        check.expect(
            director.restored > 0 && listed as u64 == director.sessions,
            || {
                format!(
                    "{}: {} sessions restored, {} listed",
                    director.name, director.restored, listed
                )
            },
        );
    }
    Ok(())
}

/// A stream that stood still for half a second, or ended early, was noticed.
pub(super) fn judge_stream(check: &mut Check, report: &str) {
    let report: Value = serde_json::from_str(report).unwrap_or(Value::Null);
    let rates: Vec<f64> = report["intervals"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|interval| interval["sum"]["bits_per_second"].as_f64())
        .collect();
    let least = rates.iter().copied().fold(f64::MAX, f64::min);
    check.expect(!rates.is_empty() && least > 0.0, || match rates.is_empty() {
        true => format!("no TCP stream: {}", report["error"]),
        false => "the TCP stream stood still for half a second".into(),
    });
    if let (false, Some(sent)) = (
        rates.is_empty(),
        report["end"]["sum_received"]["bits_per_second"].as_f64(),
    ) {
        let again = report["end"]["sum_sent"]["retransmits"].as_u64().unwrap_or(0);
        check.measure(format!(
            "TCP stream of 20 Mbit/s: {:.1} received, {:.1} in the slowest half second, {again} segments sent again",
            sent / 1e6,
            least / 1e6
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(report: &str) -> Check {
        let mut check = Check::of("");
        judge_stream(&mut check, report);
        check
    }

    #[test]
    fn a_stream_that_stands_still_is_noticed() {
        let with = |rates: [f64; 2]| {
            let interval = |rate: f64| serde_json::json!({ "sum": { "bits_per_second": rate } });
            serde_json::json!({
                "intervals": rates.map(interval),
                "end": { "sum_received": { "bits_per_second": 2e7 }, "sum_sent": { "retransmits": 3 } },
            })
            .to_string()
        };
        let good = judged(&with([2e7, 1e7]));
        assert!(good.passed());
        assert_eq!(
            good.measured,
            [
                "TCP stream of 20 Mbit/s: 20.0 received, 10.0 in the slowest half second, 3 segments sent again"
            ]
        );
        assert!(!judged(&with([2e7, 0.0])).passed());
        assert!(!judged("iperf3: error").passed());
    }
}
