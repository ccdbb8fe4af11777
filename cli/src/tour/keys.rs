//! Members keyed themselves by IKE with tickets; new keys, of packets and of IKE, cost no packet.

use super::member::Member;
use super::ping::parse;
use super::{Check, Tour};
use crate::error::Error;
use kith_agent::keying::Method;
use kith_agent::status::{PeerStatus, Rekey, rekey};
use kith_agent::supervisor::control::{Answer, Request, ask};
use std::time::Duration;

/// Replacements while pings go, of packets' keys and of IKE's in turns.
const ROUNDS: u32 = 6;
const PINGS: u32 = 400;
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let Some((from, to)) = pairs.first().cloned() else {
        return Ok(Check::skip("there are no two members of one community"));
    };
    let mut check = Check::of(format!(
        "`kith tunnel`: how {} ordered pairs agreed on keys; then {} replaces its keys with {} under pings",
        pairs.len(),
        from.node,
        to.node
    ));
    let mut suites = Vec::new();
    for (a, b) in &pairs {
        let peer = tunnel(tour, a, b)?;
        let by = peer.as_ref().and_then(|peer| peer.method);
        check.expect(by == Some(Method::Ike), || {
            format!("{} has keys with {} by {by:?}, not by IKE", a.node, b.node)
        });
        suites.extend(peer.and_then(|peer| peer.tunnel).map(|tunnel| tunnel.suite));
    }
    suites.sort();
    suites.dedup();
    check.measure(format!("IKE SAs: {}", suites.join("; ")));
    let Some(socket) = tour
        .record
        .process(from.node.as_str())
        .map(|process| process.socket.clone())
    else {
        check.expect(false, || format!("{} runs no agent", from.node));
        return Ok(check);
    };
    let address = to.virtual_ip.to_string();
    let (count, log) = (PINGS.to_string(), "keys.log");
    let ping = [
        "ping", "-n", "-q", "-i", "0.01", "-W", "2", "-c", &count, &address,
    ];
    let before = tunnel(tour, &from, &to)?;
    let mut pings = tour.background(from.node.as_str(), log, &ping)?;
    for round in 0..ROUNDS {
        tour.stop.sleep(Duration::from_millis(600))?;
        let what = Rekey {
            own: None,
            peer: to.fqdn.to_string(),
            ike: round % 2 == 1,
        };
        rekey(&socket, what)?;
    }
    let ended = pings.wait(tour, PATIENCE)?;
    check.expect(ended, || format!("{PINGS} pings did not end"));
    pings.finish();
    let (sent, answered) = parse(&tour.log(log)).map_or((0, 0), |result| (result.sent, result.answered));
    let after = tunnel(tour, &from, &to)?;
    check.measure(format!(
        "{answered} of {sent} pings answered over {ROUNDS} replacements"
    ));
    check.expect(answered == PINGS, || {
        format!("{} of {PINGS} pings were lost", PINGS.saturating_sub(answered))
    });
    let agreements = |peer: &Option<PeerStatus>| peer.as_ref().map_or(0, |peer| peer.agreements);
    let made = agreements(&after).saturating_sub(agreements(&before));
    check.expect(made >= u64::from(ROUNDS / 2), || {
        format!("only {made} of {} pairs of keys were made", ROUNDS / 2)
    });
    let young = after
        .and_then(|peer| peer.tunnel)
        .is_some_and(|tunnel| tunnel.ike_age_ms < tunnel.up_ms);
    check.expect(young, || "the IKE SA was not replaced".into());
    Ok(check)
}

/// What `from`'s agent says about `to`.
fn tunnel(tour: &Tour, from: &Member, to: &Member) -> Result<Option<PeerStatus>, Error> {
    let Some(process) = tour.record.process(from.node.as_str()) else {
        return Ok(None);
    };
    // A device may be in several communities.
    let own = Request::Status {
        fqdn: Some(from.fqdn.to_string()),
    };
    let Ok(Answer::Status(status)) = ask(&process.socket, &own) else {
        return Ok(None);
    };
    let fqdn = to.fqdn.to_string();
    Ok(status.peers.into_iter().find(|peer| peer.name == fqdn))
}
