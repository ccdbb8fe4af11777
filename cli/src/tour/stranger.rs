//! A computer that is no member tries to get in: with a member's pseudo address, with one that nobody has, with forged requests, with
//! garbage; at the director, and at members in the public network. Everything must be dropped under a name, and nothing may arrive.

use super::member::Member;
use super::secrecy::{read, sniff};
use super::{Check, Tour};
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::lab::{controllers, daemons};
use crate::stranger::MARKER;
use kith_agent::status::query;
use kith_api::client::Client;
use kith_topologies::compiled::{Director, Location};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Messages to the director that the controller gives no answer to.
const REFUSED: &str = "refused_by_controller";
/// Packets of each kind.
const COUNT: u32 = 20;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let hosts = tour.topology.hosts.iter();
    let mut hosts = hosts.filter(|host| matches!(host.location, Location::Public { .. }));
    let members = tour.members.iter();
    let mut inside = members.filter(|member| member.location.site().is_some()).cloned();
    let (Some(host), Some(first)) = (hosts.next().map(|host| host.name.to_string()), inside.next()) else {
        return Ok(Check::skip(
            "there is no stranger in the public network, or no member behind a NAT",
        ));
    };
    let victim = inside.next().unwrap_or_else(|| first.clone());
    let mut directors = tour.topology.directors.iter();
    let Some(director) = directors
        .find(|director| director.name == first.director)
        .cloned()
    else {
        unreachable!("a compiled topology has every member's director");
    };
    let mut check = Check::of(format!(
        "{host}, no member, sends {COUNT} packets of each kind to the director and to members"
    ));
    at_director(tour, &mut check, &host, &director, &first, &victim)?;
    // Of a device in several communities the first: the others have other ports.
    let public = tour
        .members
        .iter()
        .filter(|member| member.location.site().is_none() && member.adapter == "kith0");
    for member in public.cloned().collect::<Vec<_>>() {
        at_member(tour, &mut check, &host, &member)?;
    }
    let address = first.virtual_ip.to_string();
    let pinged = tour.on(&host, 5, &["ping", "-c", "1", "-W", "1", &address])?;
    check.expect(!pinged.ok, || format!("{host} reaches {address}"));
    Ok(check)
}

/// What is sent to the director: no member may see any of it, on any interface.
fn at_director(
    tour: &Tour,
    check: &mut Check,
    host: &str,
    director: &Director,
    first: &Member,
    victim: &Member,
) -> Result<(), Error> {
    let nodes: Vec<String> = tour
        .record
        .of(Kind::Member)
        .map(|node| node.name.clone())
        .collect();
    let sniffers = nodes
        .iter()
        .map(|node| sniff(tour, node, "any", &format!("stranger-{node}")));
    let sniffers = sniffers.collect::<Result<Vec<_>, Error>>()?;
    let (own, other, at) = (
        first.pseudo.to_string(),
        victim.pseudo.to_string(),
        director.address.to_string(),
    );
    let nobody = director.pseudo_pool.broadcast().to_string();
    let elsewhere = tour.topology.public.prefix.broadcast().to_string();
    let data = |source: &str, director: &str| {
        let options = [
            "--kind",
            "1",
            "--source",
            source,
            "--destination",
            &other,
            "--at",
            director,
        ];
        options.map(str::to_owned).to_vec()
    };
    let plain = |options: [&str; 2]| options.map(str::to_owned).to_vec();
    let attempts = [
        (
            "a member's pseudo address as source",
            "source_mismatch",
            data(&own, &at),
        ),
        ("a source that nobody has", "source_unknown", data(&nobody, &at)),
        ("no source at all", "source_unknown", data("0.0.0.0", &at)),
        (
            "for another director",
            "director_not_ours",
            data(&own, &elsewhere),
        ),
        ("a forged address request", REFUSED, plain(["--kind", "3"])),
        (
            "a data type that does not exist",
            "shim_type_unknown",
            plain(["--kind", "99"]),
        ),
        ("no shim", "shim_version", plain(["--size", "64"])),
    ];
    for (what, expected, options) in &attempts {
        let before = director_drops(tour, director)?;
        send(tour, check, host, director.address, options)?;
        let all = |delta: &Counts| delta.get(*expected) == Some(&u64::from(COUNT));
        let (good, words) = grown(tour, &before, all, || director_drops(tour, director))?;
        check.measure(format!("{what}: {words}"));
        check.expect(good, || {
            format!("{what}: expected {expected} +{COUNT}, got {words}")
        });
    }
    for (node, sniffer) in nodes.iter().zip(sniffers) {
        // A packet that must be seen: a capture without one proves nothing.
        tour.on(
            node,
            5,
            &["ping", "-c", "1", "-W", "1", &director.address.to_string()],
        )?;
        tour.stop.sleep(Duration::from_millis(100))?;
        sniffer.finish();
        let capture = read(tour, &format!("stranger-{node}"));
        let (seen, marks) = capture.map_or((0, 0), |capture| {
            (capture.packets().count(), capture.count(MARKER))
        });
        check.expect(seen > 0, || format!("{node}: tcpdump saw nothing at all"));
        check.expect(marks == 0, || {
            format!("{node}: the stranger's mark was seen {marks} times")
        });
    }
    check.measure("none of them was seen by any member");
    Ok(())
}

/// What is sent straight to a member in the public network: its agent drops it, its programs never see it.
fn at_member(tour: &Tour, check: &mut Check, host: &str, member: &Member) -> Result<(), Error> {
    let node = member.node.as_str();
    let sniffer = sniff(tour, node, &member.adapter, "stranger-tun")?;
    let address = member.location.address();
    let attempts = [
        ("forged data", ["--kind", "1"]),
        ("a data type that does not exist", ["--kind", "99"]),
        ("no shim", ["--size", "64"]),
    ];
    for (what, options) in attempts {
        let before = agent_drops(tour, node)?;
        send(tour, check, host, address, &options.map(str::to_owned))?;
        let all = |delta: &Counts| delta.values().sum::<u64>() >= u64::from(COUNT);
        let (good, words) = grown(tour, &before, all, || agent_drops(tour, node))?;
        check.measure(format!("{what} straight to {node}: {words}"));
        check.expect(good, || {
            format!("{what} straight to {node}: expected {COUNT} drops, got {words}")
        });
    }
    let mut pairs = tour.pairs().into_iter();
    let peer = pairs.find(|(_, to)| to.fqdn == member.fqdn);
    let peer = peer.map(|(from, _)| from.node.to_string());
    if let Some(peer) = peer {
        tour.on(
            &peer,
            5,
            &["ping", "-c", "1", "-W", "2", &member.virtual_ip.to_string()],
        )?;
    }
    tour.stop.sleep(Duration::from_millis(100))?;
    sniffer.finish();
    let capture = read(tour, "stranger-tun");
    let (seen, marks) = capture.map_or((0, 0), |capture| {
        (capture.packets().count(), capture.count(MARKER))
    });
    check.expect(seen > 0, || {
        format!("{node}: tcpdump saw nothing at all on the adapter")
    });
    check.expect(marks == 0, || {
        format!("{node}: the stranger's mark was seen {marks} times on the adapter")
    });
    Ok(())
}

fn send(tour: &Tour, check: &mut Check, host: &str, to: Ipv4Addr, options: &[String]) -> Result<(), Error> {
    let kith = daemons::find("kith")?.display().to_string();
    let (place, count) = (format!("{to}:{}", tour.topology.udp_port), COUNT.to_string());
    let front = [kith.as_str(), "stranger", &place, "--count", &count];
    let argv: Vec<&str> = front
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .collect();
    let sent = tour.on(host, 10, &argv)?;
    check.expect(sent.ok, || {
        format!("{}: could not be sent\n{}", options.join(" "), sent.said())
    });
    Ok(())
}

type Counts = BTreeMap<String, u64>;

/// Waits until what has grown since `before` is `enough`; whether it was, and the growth in words.
fn grown(
    tour: &Tour,
    before: &Counts,
    enough: impl Fn(&Counts) -> bool,
    mut now: impl FnMut() -> Result<Counts, Error>,
) -> Result<(bool, String), Error> {
    let mut delta = Counts::new();
    let good = tour
        .stop
        .wait(Duration::from_secs(2), Duration::from_millis(50), || {
            delta = difference(before, &now()?);
            Ok(enough(&delta).then_some(()))
        })?;
    let words: Vec<String> = delta
        .iter()
        .map(|(name, count)| format!("{name} +{count}"))
        .collect();
    Ok((
        good.is_some(),
        if words.is_empty() {
            "no drop".into()
        } else {
            words.join(", ")
        },
    ))
}

/// What the dataplane drops, and what its controller gives no answer to.
fn director_drops(tour: &Tour, director: &Director) -> Result<Counts, Error> {
    let Some(process) = tour.record.process(director.name.as_str()) else {
        return Ok(Counts::new());
    };
    let drops = Client::connect(&process.socket)?.drops()?.drops;
    let mut counts: Counts = drops
        .into_iter()
        .map(|drop| (drop.name, drop.workers + drop.slow_path))
        .collect();
    let refused = controllers::refused(&tour.record, director.name.as_str())?;
    counts.insert(REFUSED.to_owned(), refused);
    Ok(counts)
}

fn agent_drops(tour: &Tour, node: &str) -> Result<Counts, Error> {
    let process = tour.record.process(node);
    Ok(process
        .map(|process| query(&process.socket))
        .transpose()?
        .map_or_else(Counts::new, |status| status.drops))
}

fn difference(before: &Counts, after: &Counts) -> Counts {
    let grown = after.iter().map(|(name, count)| {
        let old = before.get(name).copied().unwrap_or(0);
        (name.clone(), count.saturating_sub(old))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_is_a_difference() {
        let of = |pairs: &[(&str, u64)]| {
            pairs
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        assert_eq!(
            difference(&of(&[("a", 1), ("b", 2)]), &of(&[("a", 1), ("b", 5), ("c", 1)])),
            of(&[("b", 3), ("c", 1)])
        );
    }
}
