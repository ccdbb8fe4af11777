//! Packets are conserved: what came in, or was made, went out, was read, was dropped under a name, or is still there.

use super::{Check, Tour};
use crate::error::Error;
use crate::lab::agents;
use crate::lab::plan::Kind;
use kith_agent::status::Status;
use kith_api::client::Client;
use std::time::Duration;

/// Keep-alives move counters while they are read: an exact sum needs a still moment.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let mut check =
        Check::of("counters of every node: received + made = sent + read + dropped by name + still there");
    for node in nodes(tour, Kind::Director) {
        director(tour, &mut check, &node)?;
    }
    for node in nodes(tour, Kind::Member) {
        agent(tour, &mut check, &node)?;
    }
    Ok(check)
}

fn nodes(tour: &Tour, kind: Kind) -> Vec<String> {
    tour.record.of(kind).map(|node| node.name.clone()).collect()
}

fn director(tour: &mut Tour, check: &mut Check, node: &str) -> Result<(), Error> {
    let Some(process) = tour.record.process(node).cloned() else {
        return Ok(());
    };
    let mut words = String::new();
    let balanced = tour.stop.wait(PATIENCE, PAUSE, || {
        let stats = Client::connect(&process.socket)?.stats()?;
        let c = stats.conservation;
        let workers = stats
            .workers
            .iter()
            .all(|w| w.received + w.injected == w.transmitted + w.punted + w.dropped);
        words = format!(
            "{} received + {} made = {} transmitted + {} read + {} dropped + {} in flight",
            c.received, c.originated, c.transmitted, c.consumed, c.dropped, c.in_flight
        );
        Ok((c.balanced && workers).then_some(()))
    })?;
    if balanced.is_none() {
        words = words.replace('=', "≠");
    }
    check.expect(balanced.is_some(), || format!("{node}: {words}"));
    let drops = Client::connect(&process.socket)?.drops()?;
    let row = tour.figures.drops.entry(node.to_owned()).or_default();
    for drop in drops
        .drops
        .iter()
        .filter(|drop| drop.workers + drop.slow_path > 0)
    {
        row.insert(drop.name.clone(), drop.workers + drop.slow_path);
    }
    tour.figures.conserved.insert(node.to_owned(), words);
    Ok(())
}

fn agent(tour: &mut Tour, check: &mut Check, node: &str) -> Result<(), Error> {
    let Some(process) = tour.record.process(node).cloned() else {
        return Ok(());
    };
    for membership in agents::memberships(&process.socket)? {
        let fqdn = membership.fqdn;
        let (mut words, mut drops) = (String::new(), Default::default());
        let balanced = tour.stop.wait(PATIENCE, PAUSE, || {
            let status = agents::status(&process.socket, &fqdn)?;
            let good;
            (good, words) = sums(&status);
            drops = status.drops;
            Ok(good.then_some(()))
        })?;
        check.expect(balanced.is_some(), || format!("{fqdn}: {words}"));
        if !drops.is_empty() {
            tour.figures.drops.insert(fqdn.clone(), drops);
        }
        tour.figures.conserved.insert(fqdn, words);
    }
    Ok(())
}

/// Both sums of an agent, and whether they add up.
fn sums(status: &Status) -> (bool, String) {
    let p = &status.packets;
    let out = (p.tun_rx + p.dummies_tx, p.udp_tx + p.waiting + p.drops_out);
    let back = (
        p.udp_rx,
        p.tun_tx + p.dummies_rx + p.keying_rx + p.control_rx + p.drops_in,
    );
    let sign = |(came, went): (u64, u64)| if came == went { "=" } else { "≠" };
    let words = format!(
        "out: {} from programs + {} made {} {} sent + {} wait + {} dropped; in: {} received {} {} to programs + {} control + {} dropped",
        p.tun_rx,
        p.dummies_tx,
        sign(out),
        p.udp_tx,
        p.waiting,
        p.drops_out,
        p.udp_rx,
        sign(back),
        p.tun_tx,
        p.dummies_rx + p.keying_rx + p.control_rx,
        p.drops_in
    );
    (out.0 == out.1 && back.0 == back.1, words)
}
