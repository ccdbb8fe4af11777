//! The dataplane's entries, read over P4Runtime with `kith dataplane table`: what they say, and that their counters count.

use super::member::Member;
use super::{Check, Tour, controller};
use crate::error::Error;
use crate::lab::controllers;
use crate::lab::daemons;
use kith_topologies::compiled::Director;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Pings that the counter of a session must show.
const COUNT: u64 = 20;

/// An entry of table `session`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) bound: String,
    pub(super) packets: u64,
    octets: u64,
}

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let mut check = Check::of(
        "`kith dataplane table session --counters` over P4Runtime: every session of the controller is an entry, and counts",
    );
    for director in tour.topology.directors.clone() {
        let sessions = controllers::sessions(&tour.record, director.name.as_str())?;
        let entries = read(tour, &director)?;
        for session in sessions.iter().filter(|session| !session.sender_only) {
            let entry = entries.get(&session.pseudo.to_string());
            let same = entry.is_some_and(|entry| entry.bound == session.bound.to_string());
            check.expect(same, || {
                let (member, bound) = (&session.member, session.bound);
                format!("{member} is at {bound} for the controller; the dataplane has {entry:?}")
            });
        }
        let reached = sessions.iter().filter(|session| !session.sender_only).count();
        check.expect(entries.len() == reached, || {
            format!(
                "{}: {} entries for {reached} sessions",
                director.name,
                entries.len()
            )
        });
        check.measure(format!(
            "{}: {} sessions, {} entries",
            director.name,
            sessions.len(),
            entries.len()
        ));
    }
    let Some((from, to)) = controller::relayed(tour) else {
        return Ok(check);
    };
    counts(tour, &mut check, &from, &to)?;
    Ok(check)
}

/// The counter of `to`'s entry grows by what `from` sends it.
fn counts(tour: &Tour, check: &mut Check, from: &Member, to: &Member) -> Result<(), Error> {
    let directors = tour.topology.directors.iter();
    let Some(director) = directors.clone().find(|director| director.name == to.director) else {
        return Ok(());
    };
    let pseudo = to.pseudo.to_string();
    let entry = |tour: &Tour| Ok::<_, Error>(read(tour, director)?.get(&pseudo).cloned());
    let before = entry(tour)?;
    let (count, address) = (COUNT.to_string(), to.virtual_ip.to_string());
    let ping = [
        "ping", "-n", "-q", "-c", &count, "-i", "0.02", "-W", "2", &address,
    ];
    let pinged = tour.on(from.node.as_str(), 10, &ping)?;
    check.expect(pinged.ok, || {
        format!("{} does not reach {}\n{}", from.node, to.node, pinged.said())
    });
    match (before, entry(tour)?) {
        (Some(before), Some(after)) => {
            let (packets, octets) = (after.packets - before.packets, after.octets - before.octets);
            check.measure(format!(
                "{COUNT} pings from {} to {}: session {pseudo} counts {packets} packets, {octets} octets more",
                from.node, to.node
            ));
            check.expect(packets >= COUNT && octets > packets * 100, || {
                format!("the counter of {pseudo} grew by {packets} packets and {octets} octets only")
            });
        }
        _ => check.expect(false, || format!("{pseudo} has no entry")),
    }
    Ok(())
}

/// Table `session` of a director's dataplane, by pseudo address, as the command line shows it.
pub(super) fn read(tour: &Tour, director: &Director) -> Result<BTreeMap<String, Entry>, Error> {
    let start = |source| Error::Start {
        program: "kith".into(),
        source,
    };
    let words = [
        "-o",
        "json",
        "dataplane",
        "table",
        "session",
        "--counters",
        "--lab",
    ];
    let output = Command::new(daemons::find("kith")?)
        .args(words)
        .args([tour.record.name.as_str(), "--node", director.name.as_str()])
        .stdin(Stdio::null())
        .output()
        .map_err(start)?;
    let failed = || Error::Command {
        command: "kith dataplane table session".into(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).map_err(|_| failed())?;
    let entry = |value: &Value| {
        let pseudo = value["match"]["destination_member"].as_str()?.to_owned();
        let entry = Entry {
            bound: format!(
                "{}:{}",
                value["params"]["address"].as_str()?,
                value["params"]["port"].as_u64()?
            ),
            packets: value["counter"]["packets"].as_u64()?,
            octets: value["counter"]["bytes"].as_u64()?,
        };
        Some((pseudo, entry))
    };
    listed.iter().map(entry).collect::<Option<_>>().ok_or_else(failed)
}
