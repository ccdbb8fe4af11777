//! `kith dataplane sessions`: pseudo addresses in use, and whose they are.
//!
//! The dataplane knows where packets go and how many went there; the controller knows who the members are. Either answers without
//! the other: without a controller, names and times are missing, and packets flow all the same.

use super::Target;
use crate::error::Error;
use crate::lab::controllers;
use crate::output::{self, Format, age};
use kith_api::client::{Client, ClientError};
use kith_api::stats;
use kith_controller::status::Session as Known;
use serde::Serialize;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A session as both sides know it.
#[derive(Debug, Serialize)]
struct Session {
    pseudo: Ipv4Addr,
    /// Who; none without a controller.
    member: Option<String>,
    community: Option<String>,
    community_index: u16,
    /// Where the member is.
    bound: Option<SocketAddrV4>,
    age_ms: Option<u64>,
    idle_ms: Option<u64>,
    mtu: Option<u16>,
    packets: u64,
    bytes: u64,
    /// Nothing is relayed to it.
    sender_only: bool,
}

/// `kith dataplane sessions`.
pub(super) fn run(target: &Target, format: Format) -> Result<u8, Error> {
    let mut client = target.connect()?;
    let (entries, known) = (all_sessions(&mut client)?, target.known_sessions());
    let sessions = join(entries, known.as_deref().unwrap_or_default());
    output::show(format, &sessions, |sessions| render(sessions))?;
    if let (Err(error), false) = (known, sessions.is_empty()) {
        eprintln!("kith: no names: {error}");
    }
    Ok(0)
}

/// Every session, in as many answers as it takes.
fn all_sessions(client: &mut Client) -> Result<Vec<stats::Session>, ClientError> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let part = client.sessions(offset, 0)?;
        if part.sessions.is_empty() {
            return Ok(all);
        }
        all.extend(part.sessions);
        if all.len() as u64 >= part.total {
            return Ok(all);
        }
    }
}

impl Target {
    /// What the controller of the dataplane that is meant knows.
    fn known_sessions(&self) -> Result<Vec<Known>, Error> {
        let (lab, director) = match self.find_named()?.0.split_once('/') {
            Some((lab, director)) => (Some(lab.to_owned()), Some(director.to_owned())),
            // Not in a lab: the controller of this computer, and its only director.
            None => (None, None),
        };
        match lab {
            Some(lab) => {
                let record = crate::lab::record::choose(Some(&lab))?;
                controllers::sessions(&record, director.as_deref().unwrap_or_default())
            }
            None => Ok(controllers::sessions_at(
                "/run/kith/controller.sock".as_ref(),
                None,
            )?),
        }
    }
}

fn join(entries: Vec<stats::Session>, known: &[Known]) -> Vec<Session> {
    let known: HashMap<Ipv4Addr, &Known> = known.iter().map(|session| (session.pseudo, session)).collect();
    let session = |entry: stats::Session| {
        let known = known.get(&entry.pseudo);
        Session {
            pseudo: entry.pseudo,
            member: known.map(|known| known.member.clone()),
            community: known.map(|known| known.community.clone()),
            community_index: entry.community,
            bound: entry.reached_at.or(entry.sends_from),
            age_ms: known.map(|known| known.age_ms),
            idle_ms: known.map(|known| known.idle_ms),
            mtu: entry.mtu,
            packets: entry.packets,
            bytes: entry.bytes,
            sender_only: entry.reached_at.is_none(),
        }
    };
    entries.into_iter().map(session).collect()
}

fn render(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return "no session\n".into();
    }
    fn or_dash<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "-".into(), |value| value.to_string())
    }
    let row = |session: &Session| {
        let community = session.community.clone();
        vec![
            session.pseudo.to_string(),
            or_dash(session.member.as_ref()),
            community.unwrap_or_else(|| format!("number {}", session.community_index)),
            or_dash(session.bound),
            or_dash(session.age_ms.map(age)),
            or_dash(session.idle_ms.map(age)),
            or_dash(session.mtu),
            session.packets.to_string(),
            session.bytes.to_string(),
            if session.sender_only { "sends only" } else { "" }.into(),
        ]
    };
    let headers = [
        "pseudo",
        "member",
        "community",
        "bound to",
        ">age",
        ">idle",
        ">mtu",
        ">packets to it",
        ">octets",
        "",
    ];
    output::table(&headers, &sessions.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(last: u8, reached: bool) -> stats::Session {
        let place = SocketAddrV4::new([203, 0, 113, 20 + last].into(), 4000);
        stats::Session {
            pseudo: [240, 0, 0, last].into(),
            community: 1,
            sends_from: Some(place),
            reached_at: reached.then_some(place),
            packets: 7,
            bytes: 700,
            mtu: reached.then_some(1500),
        }
    }

    fn known(last: u8) -> Known {
        Known {
            pseudo: [240, 0, 0, last].into(),
            member: "alice.acme.example".into(),
            key_id: 1,
            community: "acme.example".into(),
            community_index: 1,
            bound: SocketAddrV4::new([203, 0, 113, 21].into(), 4000),
            age_ms: 61_000,
            idle_ms: 3_000,
            mtu: 1500,
            sender_only: false,
        }
    }

    #[test]
    fn names_are_the_controllers_and_packets_the_dataplanes() {
        let shown = |known: &[Known]| render(&join(vec![entry(1, true), entry(2, false)], known));
        insta::assert_snapshot!([shown(&[known(1)]), shown(&[]), render(&[])].join("\n"));
    }
}
