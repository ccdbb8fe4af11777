//! A member is revoked while somebody talks to it: its traffic stops at once, it cannot come back, until it is invited again.
//!
//! ```text
//!  pings ├──────────────┤ revoked      none answered      invited again ├── answered
//!  agent ├──────────────┤ ends         is refused         enrols, joins  ├──
//! ```

use super::member::Member;
use super::{Check, Tour, controller};
use crate::error::Error;
use crate::lab::managers::Manager;
use crate::lab::plan::Kind;
use crate::lab::{agents, daemons, process};
use kith_protocol::admin::{InviteRequest, Invitee, RevokeRequest};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From the manager's answer to the last ping that is answered.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a revoked agent may try.
const TRY: Duration = Duration::from_secs(4);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((from, to)) = controller::relayed(tour) else {
        return Ok(Check::skip("nobody is reached through a director"));
    };
    let mut check = Check::of(format!(
        "{} is revoked while {} pings it 50 times a second",
        to.node, from.node
    ));
    let address = to.virtual_ip.to_string();
    let log = "revocation.log";
    let ping = ["ping", "-D", "-n", "-i", "0.02", &address];
    let pings = tour.background(from.node.as_str(), log, &ping)?;
    tour.stop.sleep(Duration::from_secs(1))?;
    let mut manager = Manager::connect(&tour.record)?;
    let request = RevokeRequest {
        fqdn: to.fqdn.to_string(),
        reason: "tried by kith lab tour".into(),
    };
    manager.ask(async |client| client.revoke_member(request).await)?;
    let revoked = now();
    tour.stop.sleep(2 * LIMIT)?;
    pings.finish();
    let answers: Vec<f64> = tour.log(log).lines().filter_map(answered_at).collect();
    let before = answers.iter().filter(|at| **at < revoked).count();
    let last = answers.iter().copied().fold(0.0, f64::max) - revoked;
    check.measure(format!(
        "{before} pings answered before; the last one {last:.3} s after the manager said it is done"
    ));
    check.expect(before >= 10, || {
        format!("only {before} pings were answered before: nothing was tried")
    });
    check.expect(last <= LIMIT.as_secs_f64(), || {
        format!("{} answers {last:.2} s after it was revoked", to.node)
    });
    stays_out(tour, &mut check, &to)?;
    comes_back(tour, &mut check, &mut manager, &from, &to)?;
    Ok(check)
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// `[1763800000.123456] 64 bytes from 10.77.0.3: …`
fn answered_at(line: &str) -> Option<f64> {
    let (at, rest) = line.strip_prefix('[')?.split_once(']')?;
    rest.contains("bytes from").then(|| at.parse().ok())?
}

/// Its agent, started again, is refused.
fn stays_out(tour: &mut Tour, check: &mut Check, member: &Member) -> Result<(), Error> {
    end(tour, member);
    daemons::start_agent(&mut tour.record, &tour.topology, member.node.as_str())?;
    let Some(agent) = tour.record.process(member.node.as_str()).cloned() else {
        return Ok(());
    };
    let joined = tour.stop.wait(TRY, Duration::from_millis(100), || {
        let memberships = agents::memberships(&agent.socket).unwrap_or_default();
        let mut own = memberships.iter().filter(|own| own.fqdn == member.fqdn.as_str());
        Ok(own.any(|own| own.address.is_some()).then_some(()))
    })?;
    check.expect(joined.is_none(), || {
        format!("{} joined again, revoked", member.fqdn)
    });
    let log = agent.log_end(20).to_lowercase();
    check.expect(log.contains("revoked"), || {
        format!("{}'s agent does not say that it is revoked:\n{log}", member.node)
    });
    check.measure(format!("{}'s agent, started again, is refused", member.node));
    Ok(())
}

fn comes_back(
    tour: &mut Tour,
    check: &mut Check,
    manager: &mut Manager,
    from: &Member,
    member: &Member,
) -> Result<(), Error> {
    let (node, fqdn) = (member.node.as_str(), member.fqdn.to_string());
    let devices = tour.topology.devices.iter();
    let device = devices.clone().find(|device| device.name == member.node);
    let request = InviteRequest {
        community: member.community.to_string(),
        invitees: vec![Invitee {
            fqdn: fqdn.clone(),
            email: device.map_or_else(String::new, |device| device.email.clone()),
            user: device.map_or_else(String::new, |device| device.user.clone()),
            tags: device.map_or_else(Vec::new, |device| device.tags.clone()),
            ..Invitee::default()
        }],
        no_mail: true,
        again: true,
        ..InviteRequest::default()
    };
    let since = Instant::now();
    let answer = manager.ask(async |client| client.invite(request).await)?;
    let Some(invitation) = answer.invitations.first() else {
        check.expect(false, || format!("no new invitation for {fqdn}"));
        return Ok(());
    };
    end(tour, member);
    agents::forget(&tour.record, node, &fqdn)?;
    let enrolled = agents::enrol(&tour.record, node, invitation, &tour.stop)?;
    check.expect(enrolled.ok, || {
        format!("{fqdn} was not enrolled again\n{}", enrolled.said)
    });
    daemons::start_agent(&mut tour.record, &tour.topology, node)?;
    if let Some(agent) = tour.record.process(node) {
        daemons::wait_for(agent, Kind::Member, &tour.stop)?;
    }
    let back = tour
        .stop
        .wait(Duration::from_secs(10), Duration::from_millis(50), || {
            let ping = ["ping", "-n", "-q", "-c", "1", "-W", "0.5", &fqdn];
            Ok(tour.on(from.node.as_str(), 3, &ping)?.ok.then(|| since.elapsed()))
        })?;
    match back {
        Some(time) => check.measure(format!(
            "invited again, enrolled, and reached by name after {:.1} s",
            time.as_secs_f64()
        )),
        None => check.expect(false, || {
            format!("{fqdn} is not reached after it was invited again")
        }),
    }
    Ok(())
}

fn end(tour: &Tour, member: &Member) {
    if let Some(agent) = tour.record.process(member.node.as_str()) {
        process::end(std::slice::from_ref(agent), Duration::from_secs(8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_answers_are_read_and_complaints_are_not() {
        let line = "[1763800000.5] 64 bytes from 10.77.0.3: icmp_seq=1 ttl=64 time=2.1 ms";
        assert_eq!(answered_at(line), Some(1_763_800_000.5));
        assert_eq!(
            answered_at("[1763800000.5] From 10.77.0.2 icmp_seq=1 Packet filtered"),
            None
        );
        assert_eq!(
            answered_at("PING 10.77.0.3 (10.77.0.3) 56(84) bytes of data."),
            None
        );
    }
}
