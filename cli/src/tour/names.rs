//! Names of members, asked of each device's own agent with dig: forwards, backwards, and those that are none of its business.
//!
//! ```text
//!  dig ─► agent on 127.0.0.54 ─┬─ name of a community of its own ─► manager, through the tunnel
//!                              └─ any other ─► the name server that the system had before
//! ```

use super::secrecy::{read, sniff};
use super::tools::Ran;
use super::{Check, Tour};
use crate::error::Error;
use crate::lab::agents::STUB;
use crate::lab::plan::Kind;
use kith_topologies::Fqdn;
use std::time::{Duration, Instant};

/// The first label of a name outside every community.
const OUTSIDE: &str = "kith-tour-outside";

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let mut check = Check::of(format!(
        "dig asks every device's agent for every other member, by name and by address, {} ordered pairs; for strangers; and for {OUTSIDE}.invalid",
        pairs.len()
    ));
    let mut slowest = Duration::ZERO;
    for (from, to) in &pairs {
        let (node, name, address) = (from.node.as_str(), to.fqdn.as_str(), to.virtual_ip.to_string());
        let since = Instant::now();
        let forwards = dig(tour, node, &[name, "A"])?;
        slowest = slowest.max(since.elapsed());
        check.expect(forwards.out.trim() == address, || {
            format!(
                "{node} asks for {name}: {} expected\n{}",
                address,
                forwards.said()
            )
        });
        let backwards = dig(tour, node, &["-x", &address])?;
        check.expect(backwards.out.trim() == format!("{name}."), || {
            format!(
                "{node} asks for {address}: {name}. expected\n{}",
                backwards.said()
            )
        });
    }
    check.measure(format!(
        "{} names and as many addresses right; the slowest answer to a dig took {:.0} ms",
        pairs.len(),
        slowest.as_secs_f64() * 1e3
    ));
    foreign(tour, &mut check)?;
    outside(tour, &mut check)?;
    Ok(check)
}

/// Members of communities that a device is not in.
fn foreign(tour: &Tour, check: &mut Check) -> Result<(), Error> {
    let mut asked = 0;
    for device in &tour.topology.devices {
        let within = |community: &Fqdn| device.members.iter().any(|own| own.community == *community);
        for stranger in tour.members.iter().filter(|member| !within(&member.community)) {
            let ran = dig(tour, device.name.as_str(), &[stranger.fqdn.as_str(), "A"])?;
            check.expect(!ran.out.contains(&stranger.virtual_ip.to_string()), || {
                format!(
                    "{} is told where {} is\n{}",
                    device.name,
                    stranger.fqdn,
                    ran.said()
                )
            });
            asked += 1;
        }
    }
    check.measure(format!(
        "{asked} names of communities that the asker is not in: no address told"
    ));
    Ok(())
}

/// The system's name server is a computer where nobody answers: that it is asked is seen there.
fn outside(tour: &Tour, check: &mut Check) -> Result<(), Error> {
    let manager = tour.record.of(Kind::Controller).next();
    let public = tour
        .members
        .iter()
        .find(|member| member.location.site().is_none());
    let (Some(manager), Some(member)) = (manager, public) else {
        check.measure("no member in the public network: where other names go was not seen");
        return Ok(());
    };
    let sniffer = sniff(tour, &manager.name, "eth0", "names")?;
    let ran = dig(tour, member.node.as_str(), &[&format!("{OUTSIDE}.invalid"), "A"])?;
    tour.stop.sleep(Duration::from_millis(100))?;
    sniffer.finish();
    let seen = read(tour, "names").map_or(0, |capture| capture.count(OUTSIDE.as_bytes()));
    check.measure(format!(
        "{OUTSIDE}.invalid: seen {seen} times on its way to the system's name server"
    ));
    check.expect(seen > 0, || {
        format!(
            "{} does not ask the system's name server for other names\n{}",
            member.node,
            ran.said()
        )
    });
    Ok(())
}

fn dig(tour: &Tour, node: &str, what: &[&str]) -> Result<Ran, Error> {
    let (address, port) = STUB.split_once(':').unwrap_or((STUB, "53"));
    let server = format!("@{address}");
    let front = ["dig", "+short", "+time=3", "+tries=1", &server, "-p", port];
    let argv: Vec<&str> = front.into_iter().chain(what.iter().copied()).collect();
    tour.on(node, 6, &argv)
}
