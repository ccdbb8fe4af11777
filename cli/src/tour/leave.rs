//! A member leaves: its pseudo address is gone at once. It comes back: it is reachable again.

use super::{Check, Tour, nat};
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::lab::{daemons, process};
use std::time::{Duration, Instant};

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    // Somebody behind a NAT: nobody else is reached through the pseudo address.
    let pair = pairs
        .iter()
        .find(|(_, to)| to.location.site().is_some())
        .or(pairs.first());
    let Some((other, member)) = pair.cloned() else {
        return Ok(Check::skip("there are no two members of one community"));
    };
    let mut check = Check::of(format!("{} leaves (SIGTERM) and comes back", member.node));
    let Some(before) = nat::session(tour, &member)? else {
        check.expect(false, || {
            format!("the director lists no session of {}", member.fqdn)
        });
        return Ok(check);
    };
    let Some(agent) = tour.record.process(member.node.as_str()).cloned() else {
        check.expect(false, || format!("{} runs no agent", member.node));
        return Ok(check);
    };
    let since = Instant::now();
    process::end(std::slice::from_ref(&agent), Duration::from_secs(5));
    let gone = tour
        .stop
        .wait(Duration::from_secs(2), Duration::from_millis(20), || {
            Ok(nat::session(tour, &member)?.is_none().then(|| since.elapsed()))
        })?;
    match gone {
        Some(time) => check.measure(format!(
            "{} was gone from the director's sessions after {:.2} s",
            before.pseudo,
            time.as_secs_f64()
        )),
        None => check.expect(false, || {
            format!("{} is still among the director's sessions", before.pseudo)
        }),
    }
    let address = member.virtual_ip.to_string();
    let node = other.node.to_string();
    let silent = tour.on(&node, 5, &["ping", "-n", "-q", "-c", "1", "-W", "0.5", &address])?;
    check.expect(!silent.ok, || {
        format!("{} still answers after it left", member.node)
    });
    let since = Instant::now();
    daemons::start_agent(&mut tour.record, &tour.topology, member.node.as_str())?;
    if let Some(agent) = tour.record.process(member.node.as_str()) {
        daemons::wait_for(agent, Kind::Member, &tour.stop)?;
    }
    let bound = since.elapsed();
    let back = tour
        .stop
        .wait(Duration::from_secs(10), Duration::from_millis(50), || {
            let ran = tour.on(&node, 3, &["ping", "-n", "-q", "-c", "1", "-W", "0.5", &address])?;
            Ok(ran.ok.then(|| since.elapsed()))
        })?;
    match back {
        Some(time) => check.measure(format!(
            "started again: session after {:.2} s, reachable from {node} after {:.2} s",
            bound.as_secs_f64(),
            time.as_secs_f64()
        )),
        None => check.expect(false, || {
            format!("{} is not reachable after it came back", member.node)
        }),
    }
    Ok(check)
}
