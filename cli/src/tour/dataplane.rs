//! A dataplane is killed and started again: its controller notices, and writes everything anew.

use super::{Check, Tour, controller, entries};
use crate::error::Error;
use crate::lab::daemons;
use crate::lab::plan::Kind;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// From the start of the program until members reach each other again.
const LIMIT: Duration = Duration::from_secs(2);
/// What is waited for before it is called lost.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((from, to)) = controller::relayed(tour) else {
        return Ok(Check::skip("nobody is reached through a director"));
    };
    let directors = tour.topology.directors.iter();
    let Some(director) = directors
        .clone()
        .find(|director| director.name == to.director)
        .cloned()
    else {
        return Ok(Check::skip("its director is not in this topology"));
    };
    let name = director.name.to_string();
    let Some(process) = tour.record.process(&name).cloned() else {
        return Ok(Check::skip(format!("{name} runs no dataplane")));
    };
    let mut check = Check::of(format!(
        "the dataplane of {name} is killed (SIGKILL) and started again; {} must reach {} within {} s",
        from.node,
        to.node,
        LIMIT.as_secs()
    ));
    let before = entries::read(tour, &director)?;
    process.signal(Signal::SIGKILL);
    let (stop, pause) = (tour.stop.clone(), Duration::from_millis(2));
    let gone = stop.wait(PATIENCE, pause, || Ok((!process.runs()).then_some(())))?;
    check.expect(gone.is_some(), || format!("the dataplane of {name} still runs"));
    let address = to.virtual_ip.to_string();
    let ping = ["ping", "-n", "-q", "-c", "1", "-W", "0.1", &address];
    let silent = tour.on(from.node.as_str(), 5, &ping)?;
    check.expect(!silent.ok, || {
        "packets came through without a dataplane: nothing was tried".into()
    });

    let since = Instant::now();
    daemons::start_director(&mut tour.record, &tour.topology, &name)?;
    let back = stop.wait(PATIENCE, Duration::ZERO, || {
        Ok(tour.on(from.node.as_str(), 3, &ping)?.ok.then(|| since.elapsed()))
    })?;
    if let Some(process) = tour.record.process(&name) {
        daemons::wait_for(process, Kind::Director, &tour.stop)?;
    }
    daemons::wait(&tour.record, Kind::Controller, &tour.stop)?;
    let after = entries::read(tour, &director)?;
    match back {
        Some(time) => {
            check.measure(format!(
                "reachable again {:.2} s after its start",
                time.as_secs_f64()
            ));
            check.expect(time <= LIMIT, || format!("it took {:.2} s", time.as_secs_f64()));
        }
        None => check.expect(false, || format!("{} is not reached any more", to.node)),
    }
    let keys = |entries: &std::collections::BTreeMap<String, entries::Entry>| {
        entries
            .iter()
            .map(|(pseudo, entry)| format!("{pseudo} at {}", entry.bound))
            .collect::<Vec<_>>()
    };
    check.measure(format!("{} entries before, {} after", before.len(), after.len()));
    check.expect(keys(&before) == keys(&after), || {
        format!("entries were {:?}, and are {:?}", keys(&before), keys(&after))
    });
    Ok(check)
}
