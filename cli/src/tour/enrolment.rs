//! A computer that was no member is invited, enrols with the code that comes by mail, joins, and is reached. Its invitation is of no use
//! to anybody else then, and a wrong code never was.

use super::{Check, Tour};
use crate::error::Error;
use crate::lab::managers::{self, Manager};
use crate::lab::plan::Kind;
use crate::lab::{agents, daemons};
use kith_protocol::admin::{Invitation, InviteRequest, Invitee, Name};
use std::path::Path;
use std::time::{Duration, Instant};

/// What the guest is called in its community.
const GUEST: &str = "kith-tour";
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let host = tour.record.of(Kind::Host).next().map(|node| node.name.clone());
    let (Some(host), Some(other)) = (host, tour.members.first().cloned()) else {
        return Ok(Check::skip(
            "there is no computer that is no member, or no member",
        ));
    };
    let fqdn = format!("{GUEST}.{}", other.community);
    let mut check = Check::of(format!(
        "{host} is invited as {fqdn}, enrols, joins, and pings {}",
        other.node
    ));
    let mut manager = Manager::connect(&tour.record)?;
    let request = InviteRequest {
        community: other.community.to_string(),
        invitees: vec![Invitee {
            fqdn: fqdn.clone(),
            email: format!("{GUEST}@{}", other.community),
            ..Invitee::default()
        }],
        no_mail: true,
        ..InviteRequest::default()
    };
    let answer = manager.ask(async |client| client.invite(request).await)?;
    let result = match answer.invitations.first() {
        Some(invitation) => guest(
            tour,
            &mut check,
            &host,
            &fqdn,
            invitation,
            &other.virtual_ip.to_string(),
        ),
        None => {
            check.expect(false, || "the manager gave no invitation".into());
            Ok(())
        }
    };
    // Whatever came of it: the lab is left as it was.
    let name = Name { name: fqdn };
    manager.ask(async |client| client.delete_member(name).await)?;
    result.map(|()| check)
}

fn guest(
    tour: &Tour,
    check: &mut Check,
    host: &str,
    fqdn: &str,
    invitation: &Invitation,
    address: &str,
) -> Result<(), Error> {
    let state = tour.work.join("guest.state");
    let since = Instant::now();
    let before = managers::letters(&tour.record);
    let typed = || {
        let code = managers::code(&tour.record, fqdn, &before, &tour.stop)?;
        Ok(code.map_or_else(Vec::new, |code| vec![wrong(&code), code]))
    };
    let enrolled = agents::enrol_with(&tour.record, host, &state, &invitation.text, typed)?;
    check.expect(enrolled.ok, || {
        format!("{host} was not enrolled\n{}", enrolled.said)
    });
    check.expect(enrolled.said.contains("not the code"), || {
        format!("a wrong code was not refused\n{}", enrolled.said)
    });
    check.measure(format!(
        "a wrong code is refused, the right one taken: enrolled after {:.1} s",
        since.elapsed().as_secs_f64()
    ));
    let thief = tour.work.join("thief.state");
    let again = agents::enrol_with(&tour.record, host, &thief, &invitation.text, || Ok(Vec::new()))?;
    check.expect(!again.ok && again.said.contains("invitation"), || {
        format!("the invitation was taken a second time\n{}", again.said)
    });
    check.measure("the same invitation on another device is refused");
    joins(tour, check, host, &state, address)
}

/// Eight other digits.
fn wrong(code: &str) -> String {
    let other = |c: char| {
        c.to_digit(10)
            .map_or(c, |digit| char::from(b'0' + (digit as u8 + 1) % 10))
    };
    code.chars().map(other).collect()
}

fn joins(tour: &Tour, check: &mut Check, host: &str, state: &Path, address: &str) -> Result<(), Error> {
    let since = Instant::now();
    let socket = tour.work.join("guest.sock");
    let agent = daemons::find("kith-agent")?.display().to_string();
    let path = |path: &Path| path.display().to_string();
    let port = tour.topology.udp_port.to_string();
    let (state, at) = (path(state), path(&socket));
    let argv = [
        &agent,
        "up",
        "--state-dir",
        &state,
        "--socket",
        &at,
        "--port",
        &port,
        "--dns",
        "none",
    ];
    let running = tour.background(host, "guest.log", &argv)?;
    let joined = tour.stop.wait(PATIENCE, Duration::from_millis(50), || {
        Ok(agents::health(&socket).good.then(|| since.elapsed()))
    })?;
    // Nobody has told the guest's agent of the address: the first packet to it waits while the manager is asked.
    let pinged = tour.on(host, 5, &["ping", "-n", "-q", "-c", "1", "-W", "3", address])?;
    running.finish();
    match joined {
        Some(time) => check.measure(format!(
            "joined {:.2} s after its agent was started",
            time.as_secs_f64()
        )),
        None => check.expect(false, || {
            format!("{host} has not joined\n{}", tour.log("guest.log"))
        }),
    }
    check.expect(pinged.ok, || {
        format!("{host} does not reach {address}\n{}", pinged.said())
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_code_is_a_code_and_wrong_everywhere() {
        assert_eq!(wrong("1239-9870"), "2340-0981");
    }
}
