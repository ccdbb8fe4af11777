//! A NAT forgets everything and gives new ports: the session must come back by itself, under the same pseudo address.

use super::member::Member;
use super::{Check, Tour};
use crate::error::Error;
use crate::lab::{controllers, nat};
use kith_controller::status::Session;
use kith_topologies::compiled::Ports;
use std::time::{Duration, Instant};

/// Two keep-alives and what answers them take.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let site_of = |member: &Member| {
        let site = tour
            .topology
            .sites
            .iter()
            .find(|site| Some(&site.name) == member.location.site());
        site.filter(|site| site.nat.ports == Ports::Random).cloned()
    };
    let found = tour.pairs().into_iter().find_map(|(outside, inside)| {
        let site = site_of(&inside)?;
        (outside.location.site() != Some(&site.name)).then_some((inside, outside, site))
    });
    let Some((inside, outside, site)) = found else {
        return Ok(Check::skip("no member sits behind a NAT that rewrites ports"));
    };
    let mut check = Check::of(format!(
        "{}'s NAT is restarted and gives new ports; {} must be reachable again",
        site.name, inside.node
    ));
    let before = session(tour, &inside)?;
    nat::forget(&tour.record.node(site.name.as_str())?.namespace).run()?;
    let since = Instant::now();
    let address = inside.virtual_ip.to_string();
    let back = tour.stop.wait(LIMIT, Duration::from_millis(50), || {
        let ran = tour.on(
            outside.node.as_str(),
            3,
            &["ping", "-n", "-q", "-c", "1", "-W", "0.3", &address],
        )?;
        Ok(ran.ok.then(|| since.elapsed()))
    })?;
    let after = session(tour, &inside)?;
    match back {
        Some(time) => check.measure(format!("reachable again after {:.1} s", time.as_secs_f64())),
        None => check.expect(false, || {
            format!(
                "{} is not reachable {} s after its NAT restarted",
                inside.node,
                LIMIT.as_secs()
            )
        }),
    }
    if let (Some(before), Some(after)) = (before, after) {
        check.measure(format!(
            "pseudo address {} was bound to {}, now to {}",
            after.pseudo, before.bound, after.bound
        ));
        check.expect(before.pseudo == after.pseudo, || {
            format!("the pseudo address changed from {}", before.pseudo)
        });
        check.expect(before.bound != after.bound, || {
            "the NAT gave the same port: nothing was tried".into()
        });
    } else {
        check.expect(false, || {
            format!("the director lists no session of {}", inside.fqdn)
        });
    }
    Ok(check)
}

/// A member's session, as its director lists it.
pub(super) fn session(tour: &Tour, member: &Member) -> Result<Option<Session>, Error> {
    let sessions = controllers::sessions(&tour.record, member.director.as_str())?;
    Ok(sessions
        .into_iter()
        .find(|session| session.member == member.fqdn.as_str()))
}
