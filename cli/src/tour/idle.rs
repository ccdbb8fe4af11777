//! An idle member behind a NAT stays reachable longer than its NAT remembers: keep-alives at work.

use super::member::Member;
use super::{Check, Tour};
use crate::error::Error;
use crate::lab::command::Command;
use kith_topologies::compiled::Site;
use std::time::Duration;

/// Longer waits belong into another test.
const MOST: Duration = Duration::from_secs(20);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((inside, outside, site)) = shortest(tour) else {
        return Ok(Check::skip(format!(
            "no site's NAT forgets within {} s",
            MOST.as_secs()
        )));
    };
    let (idle, timeout) = (
        site.nat.udp_timeout + Duration::from_secs(3),
        site.nat.udp_timeout,
    );
    let mut check = Check::of(format!(
        "{} is idle for {} s, {}'s NAT forgets after {} s; then {} pings it from outside",
        inside.node,
        idle.as_secs(),
        site.name,
        timeout.as_secs(),
        outside.node
    ));
    let before = flows(tour, &site)?;
    tour.stop.sleep(idle)?;
    let after = flows(tour, &site)?;
    let address = inside.virtual_ip.to_string();
    let ran = tour.on(
        outside.node.as_str(),
        5,
        &["ping", "-n", "-q", "-c", "1", "-W", "2", &address],
    )?;
    let result = super::ping::parse(&ran.out);
    check.expect(result.is_some_and(|result| result.answered == 1), || {
        format!("the first ping from outside got lost\n{}", ran.said())
    });
    if let Some(rtt) = result.and_then(|result| result.rtt_ms) {
        check.measure(format!("first ping from outside answered in {rtt:.2} ms"));
    }
    check.measure(format!("UDP flows in the NAT: {before} before, {after} after"));
    Ok(check)
}

/// A member of a site whose NAT forgets soonest, and one that is elsewhere.
fn shortest(tour: &Tour) -> Option<(Member, Member, Site)> {
    let site_of = |member: &Member| {
        tour.topology
            .sites
            .iter()
            .find(|site| Some(&site.name) == member.location.site())
    };
    let pairs = tour.pairs().into_iter().filter_map(|(outside, inside)| {
        let site = site_of(&inside)?.clone();
        (site.nat.udp_timeout <= MOST && outside.location.site() != Some(&site.name))
            .then_some((inside, outside, site))
    });
    // Among equals, somebody in the public network knocks first: that is the hardest.
    pairs.min_by_key(|(_, outside, site)| (site.nat.udp_timeout, outside.location.site().is_some()))
}

/// How many UDP flows a site's NAT remembers.
fn flows(tour: &Tour, site: &Site) -> Result<usize, Error> {
    let namespace = &tour.record.node(site.name.as_str())?.namespace;
    let listed = Command::inside(namespace, "conntrack -L -p udp").run()?;
    Ok(listed.lines().filter(|line| line.starts_with("udp")).count())
}
