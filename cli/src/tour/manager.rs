//! The manager is away for a while. Who is joined goes on talking; when it is back, names are answered again.

use super::{Check, Tour};
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::lab::{controllers, daemons};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const AWAY: Duration = Duration::from_secs(3);
/// Until everybody is joined and names are answered again.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let Some((first, named)) = pairs.first().cloned() else {
        return Ok(Check::skip("there are no two members of one community"));
    };
    let mut check = Check::of(format!(
        "the manager is killed (SIGKILL) for {} s under pings of {} ordered pairs",
        AWAY.as_secs(),
        pairs.len()
    ));
    // Who has not met yet cannot meet without a manager.
    for (from, to) in &pairs {
        let address = to.virtual_ip.to_string();
        tour.on(
            from.node.as_str(),
            5,
            &["ping", "-n", "-q", "-c", "1", "-W", "2", &address],
        )?;
    }
    let manager = controllers::process(&tour.record)?.clone();
    let mut running = Vec::new();
    manager.signal(Signal::SIGKILL);
    for (at, (from, to)) in pairs.iter().enumerate() {
        let (log, address) = (format!("away-{at}.log"), to.virtual_ip.to_string());
        let ping = ["ping", "-n", "-q", "-c", "100", "-i", "0.02", "-W", "2", &address];
        running.push((log.clone(), tour.background(from.node.as_str(), &log, &ping)?));
    }
    tour.stop.sleep(AWAY)?;
    check.expect(!manager.runs(), || "the manager still runs".into());
    let (mut sent, mut answered) = (0, 0);
    for ((log, mut pings), (from, to)) in running.into_iter().zip(&pairs) {
        check.expect(pings.wait(tour, Duration::from_secs(10))?, || {
            "pings did not end".into()
        });
        let (all, back) = super::ping::parse(&tour.log(&log)).map_or((0, 0), |p| (p.sent, p.answered));
        (sent, answered) = (sent + all, answered + back);
        check.expect(all == 100 && back == all, || {
            format!("{} to {}: {back} of {all} answered", from.node, to.node)
        });
    }
    check.measure(format!("{sent} pings while it was away, {answered} answered"));
    let since = Instant::now();
    daemons::start_controller(&mut tour.record, &tour.topology)?;
    daemons::wait(&tour.record, Kind::Controller, &tour.stop)?;
    daemons::wait(&tour.record, Kind::Member, &tour.stop)?;
    let answers = tour.stop.wait(PATIENCE, Duration::from_millis(100), || {
        let dig = ["getent", "hosts", named.fqdn.as_str()];
        let ran = tour.on(first.node.as_str(), 6, &dig)?;
        Ok(ran
            .out
            .contains(&named.virtual_ip.to_string())
            .then(|| since.elapsed()))
    })?;
    match answers {
        Some(time) => check.measure(format!(
            "started again: names are answered after {:.1} s",
            time.as_secs_f64()
        )),
        None => check.expect(false, || {
            format!("no name is answered {} s after its start", PATIENCE.as_secs())
        }),
    }
    Ok(check)
}
