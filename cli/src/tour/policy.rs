//! A policy is put at the manager while members talk: what it denies stops at once, in both directions, and comes back when it is gone.

use super::member::Member;
use super::{Check, Tour, files};
use crate::error::Error;
use crate::lab::managers::Manager;
use kith_protocol::admin::{Policy, PolicyName};
use std::fs;
use std::time::{Duration, Instant};

/// From the manager's answer to the first connection that fails, or succeeds again.
const LIMIT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
const ID: &str = "kith-tour";

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((a, b)) = tour.pairs().into_iter().next() else {
        return Ok(Check::skip("there are no two members of one community"));
    };
    let mut check = Check::of(format!(
        "HTTP between {} and {}; the manager is told to deny it; and to forget that",
        a.node, b.node
    ));
    let folder = tour.work.join("policy");
    let made = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("page"), "page"));
    made.map_err(|source| Error::Io {
        doing: "write",
        path: folder.clone(),
        source,
    })?;
    let ways = [(a.clone(), b.clone()), (b.clone(), a.clone())];
    let mut servers = Vec::new();
    for member in [&a, &b] {
        let (node, address) = (member.node.as_str(), member.virtual_ip.to_string());
        servers.push(files::serve(tour, node, &address, &folder)?);
        check.expect(tour.wait_listen(node, files::PORT)?, || {
            format!("no server on {node}")
        });
    }
    for (from, to) in &ways {
        let ran = page(tour, from, to)?;
        check.expect(ran, || {
            format!("{} does not reach {}'s server", from.node, to.node)
        });
    }
    let mut manager = Manager::connect(&tour.record)?;
    let community = a.community.to_string();
    let policy = Policy {
        id: ID.into(),
        community: community.clone(),
        level: "machine".into(),
        priority: 1000,
        allow: false,
        from: "any".into(),
        to: "any".into(),
        services: vec![format!("tcp/{}", files::PORT)],
        comment: "put by kith lab tour".into(),
    };
    manager.ask(async |client| client.put_policy(policy).await)?;
    let denied = until(tour, &mut check, &ways, false);
    // Whatever came of it: the lab is left as it was.
    let name = PolicyName {
        community,
        id: ID.into(),
    };
    manager.ask(async |client| client.delete_policy(name).await)?;
    denied?;
    until(tour, &mut check, &ways, true)?;
    Ok(check)
}

/// Waits until both ways are open, or shut.
fn until(tour: &Tour, check: &mut Check, ways: &[(Member, Member)], open: bool) -> Result<(), Error> {
    let since = Instant::now();
    let word = if open { "allowed again" } else { "denied" };
    for (from, to) in ways {
        let stop = &tour.stop;
        let changed = stop.wait(PATIENCE, Duration::from_millis(10), || {
            let begun = since.elapsed();
            Ok((page(tour, from, to)? == open).then_some(begun))
        })?;
        let pair = format!("{} to {}", from.node, to.node);
        match changed {
            Some(time) => {
                check.measure(format!("{pair}: {word} within {:.2} s", time.as_secs_f64()));
                check.expect(time <= LIMIT, || {
                    format!("{pair}: {word} only after {:.2} s", time.as_secs_f64())
                });
            }
            None => check.expect(false, || {
                format!("{pair}: not {word} after {} s", PATIENCE.as_secs())
            }),
        }
    }
    Ok(())
}

/// Whether a page is got.
fn page(tour: &Tour, from: &Member, to: &Member) -> Result<bool, Error> {
    let url = format!("http://{}:{}/page", to.virtual_ip, files::PORT);
    let argv = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "--connect-timeout",
        "0.4",
        "-m",
        "2",
        &url,
    ];
    Ok(tour.on(from.node.as_str(), 5, &argv)?.ok)
}
