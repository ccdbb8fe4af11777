//! Route directors, as operators describe them.

use super::check::{self, Wrong};
use super::{Done, Outcome};
use crate::core::state::{Director, Place, Session};
use crate::core::{AdminError, AdminReply, CommunityIndex, Manager, Time};
use kith_protocol::{admin, records};
use std::net::Ipv4Addr;

/// Sites, and addresses of NATs, of one director at most.
const MAX_LIST: usize = 64;

impl Manager {
    pub(super) fn put_director(&mut self, now: Time, message: &admin::Director) -> Outcome {
        let mut wrong = Wrong::default();
        let record = record(message, &mut wrong);
        wrong.done()?;
        let record =
            record.ok_or_else(|| AdminError::Invalid(vec!["the director cannot be read".to_owned()]))?;
        let old = self
            .state()
            .director(&record.name)
            .map(|director| &director.record);
        let details = old.map_or_else(
            || described(&record),
            |old| super::wish::director_details(old, &record),
        );
        self.set_director(now, &record);
        let reply = self
            .state()
            .director(&record.name)
            .map(self::message)
            .unwrap_or_default();
        Ok(Done::with(AdminReply::Director(reply), details.join(", ")))
    }

    pub(super) fn delete_director(&mut self, now: Time, name: &str) -> Outcome {
        let state = self.state();
        if state.director(name).is_none() {
            let name = super::short(name);
            return Err(AdminError::NotFound(format!(
                "there is no director {name}; kith director list shows those that are"
            )));
        }
        let users: Vec<&str> = state
            .communities()
            .filter(|community| community.directors.iter().any(|other| other == name))
            .map(|community| &*community.domain)
            .collect();
        if !users.is_empty() {
            return Err(AdminError::Conflict(format!(
                "{name} is named by {}; take it out there first",
                check::some(&users)
            )));
        }
        let at_it = |session: &Session| session.director.as_deref() == Some(name);
        let sessions = state
            .members()
            .filter_map(|member| member.session())
            .filter(|session| at_it(session))
            .count();
        if sessions > 0 {
            let them = if sessions == 1 { "member is" } else { "members are" };
            return Err(AdminError::Conflict(format!(
                "{sessions} {them} reached through {name}; drain it first, and delete it when they are elsewhere"
            )));
        }
        let held = state
            .credentials()
            .filter(|credential| credential.director == name);
        let held: Vec<(String, String)> = held.map(|one| (one.id.clone(), one.name.clone())).collect();
        self.state_mut().remove_director(name);
        // Whoever gets this name next is not who holds those.
        for (id, credential) in &held {
            self.state_mut().remove_credential(id);
            self.event(now, "credential.deleted", CommunityIndex(0), credential, "");
        }
        self.event(now, "director.deleted", CommunityIndex(0), name, "");
        let detail = match held.len() {
            0 => String::new(),
            count => format!("and {count} of its credentials"),
        };
        Ok(Done::with(AdminReply::Done, detail))
    }

    pub(super) fn list_directors(&self) -> AdminReply {
        AdminReply::Directors(admin::Directors {
            directors: self.state().directors().map(message).collect(),
        })
    }

    /// Writes it down, if it is not like this already.
    pub(super) fn set_director(&mut self, now: Time, record: &records::Director) {
        let old = self
            .state()
            .director(&record.name)
            .map(|director| &director.record);
        if old == Some(record) {
            return;
        }
        let details = old.map_or_else(
            || described(record),
            |old| super::wish::director_details(old, record),
        );
        self.state_mut().put_director(record.clone());
        self.event(
            now,
            "director.changed",
            CommunityIndex(0),
            &record.name,
            details.join(", "),
        );
    }
}

/// A director as it is kept.
pub(super) fn record(message: &admin::Director, wrong: &mut Wrong) -> Option<records::Director> {
    let about = format!("director {}", super::short(&message.name));
    if !is_name(&message.name) {
        wrong.say(format!(
            "{about}: a name has 1 to 64 letters, digits, '-', '_' or '.', and begins with no dot"
        ));
    }
    let address = wrong.take(&about, check::address(&message.address))?;
    let inside = wrong.take(&about, check::address(&message.private_address))?;
    let Some(address) = address.filter(|address| !address.is_unspecified()) else {
        wrong.say(format!(
            "{about}: needs the address at which members reach it from outside"
        ));
        return None;
    };
    match (message.private, inside) {
        (true, None) => wrong.say(format!(
            "{about}: a private director needs its address inside its network (private_address)"
        )),
        (false, Some(_)) => wrong.say(format!(
            "{about}: only a private director has an address inside a network; leave it out"
        )),
        _ => {}
    }
    let port = u16::try_from(message.port).ok().filter(|port| *port != 0);
    if port.is_none() {
        wrong.say(format!(
            "{about}: a port is a number from 1 to 65535, not {}",
            message.port
        ));
    }
    if !message.private && !message.udp && !message.tcp {
        wrong.say(format!("{about}: must take UDP, TCP or both"));
    }
    if message.private && message.sites.is_empty() && message.nat_addresses.is_empty() {
        wrong.say(format!(
            "{about}: nobody would find it: name its site, or the public addresses of the NAT in front of it"
        ));
    }
    if message.sites.len().max(message.nat_addresses.len()) > MAX_LIST {
        wrong.say(format!(
            "{about}: at most {MAX_LIST} sites and addresses are possible"
        ));
    }
    let mut sites = wrong.take(&format!("{about}: sites"), check::tags(&message.sites))?;
    sites.dedup();
    let mut nats = Vec::new();
    for text in &message.nat_addresses {
        let nat: Option<Ipv4Addr> = wrong.take(&about, check::address(text)).flatten();
        nats.extend(nat.map(u32::from));
    }
    nats.sort_unstable();
    nats.dedup();
    Some(records::Director {
        name: message.name.clone(),
        private: message.private,
        address: address.into(),
        private_address: inside.map_or(0, u32::from),
        port: port?.into(),
        udp: message.udp,
        tcp: message.tcp,
        sites,
        nat_addresses: nats,
        capacity: message.capacity,
        draining: message.draining,
    })
}

/// As a director's own configuration allows it.
fn is_name(text: &str) -> bool {
    let good = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('.')
}

/// As operators see it.
pub(super) fn message(director: &Director) -> admin::Director {
    let health = director.health;
    let (from, since) = match director.place {
        Place::Attended { from, since } | Place::Lost { from, since } => (from.to_string(), since),
        Place::Never | Place::InProcess => (String::new(), Time(0)),
    };
    admin::Director {
        health: director.health_word().to_owned(),
        sessions: health.sessions,
        place: director.place.word().to_owned(),
        attended_from: from,
        since_ms: since.0,
        ..wished(&director.record)
    }
}

/// Only what operators decide.
pub(super) fn wished(record: &records::Director) -> admin::Director {
    let text = |number: u32| {
        if number == 0 {
            String::new()
        } else {
            Ipv4Addr::from(number).to_string()
        }
    };
    admin::Director {
        name: record.name.clone(),
        private: record.private,
        address: text(record.address),
        private_address: text(record.private_address),
        port: record.port,
        udp: record.udp,
        tcp: record.tcp,
        sites: record.sites.clone(),
        nat_addresses: record.nat_addresses.iter().map(|number| text(*number)).collect(),
        capacity: record.capacity,
        draining: record.draining,
        ..admin::Director::default()
    }
}

/// What a new one is like, a line each.
pub(super) fn described(record: &records::Director) -> Vec<String> {
    let kind = if record.private { "private" } else { "network" };
    vec![format!(
        "{kind} director at {}:{}",
        Ipv4Addr::from(record.address),
        record.port
    )]
}
