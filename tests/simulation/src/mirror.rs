//! What is on the manager's disk, in the words of the promises: kept up transaction by transaction, and asked whenever somebody is told something.
//!
//! ```text
//!  transaction ──► disk ──► mirror: is every address one member's? had whoever is out a cause?
//!                             ▲
//!  answer leaves ─────────────┴──► does the disk say what the answer says?
//!  manager is back ────────────┴──► does its memory say what the disk says?
//! ```

use crate::net::Net;
use kith_manager::core::{Manager, state};
use kith_protocol::records::{self, MemberState};
use kith_store::{Operation, Transaction};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// No two members hold one address.
pub const ONE_HOLDER: &str = "no two members ever hold one address";
/// What was acknowledged stays.
pub const NOTHING_LOST: &str = "no acknowledged change is lost";
/// Nobody is thrown out for nothing.
pub const CAUSE: &str = "whoever is out, or elsewhere, is so for a cause";

/// After an act its traces may come so late.
const TRACES: u64 = 40_000;

/// What is on disk.
#[derive(Default)]
pub struct Mirror {
    /// By full name.
    pub members: BTreeMap<String, records::Member>,
    /// By full name.
    pub sessions: BTreeMap<String, records::Session>,
    /// By community and address, who owns it.
    owners: BTreeMap<(String, u32), String>,
    /// By key.
    pub policies: BTreeMap<String, records::Policy>,
    /// By domain.
    pub communities: BTreeMap<String, records::Community>,
    /// When somebody did something that may end or change a member's session: itself, or an operator.
    acts: BTreeMap<String, u64>,
    /// When the manager heard a member's present run last.
    heard: BTreeMap<String, u64>,
    /// Members whose address may be another one: the pools changed, or it lies in a network of the device.
    readdressed: BTreeSet<String>,
}

/// A session that is another one now.
pub struct Moved {
    /// Whose.
    pub fqdn: String,
    /// As it was.
    pub before: Option<records::Session>,
    /// As it is.
    pub after: Option<records::Session>,
}

impl Mirror {
    /// Somebody did something to this member: its session may end or change.
    pub fn act(&mut self, now: u64, fqdn: &str) {
        self.acts.insert(fqdn.to_owned(), now);
    }

    /// The manager heard it.
    pub fn heard(&mut self, now: u64, fqdn: &str) {
        self.heard.insert(fqdn.to_owned(), now);
    }

    /// It may get another address.
    pub fn readdress(&mut self, fqdn: &str) {
        self.readdressed.insert(fqdn.to_owned());
    }

    /// Everybody in a community may.
    pub fn readdress_all(&mut self, domain: &str) {
        let all: Vec<String> = self.of(domain).map(|(fqdn, _)| fqdn.clone()).collect();
        self.readdressed.extend(all);
    }

    /// Members of a community.
    pub fn of<'a>(&'a self, domain: &'a str) -> impl Iterator<Item = (&'a String, &'a records::Member)> {
        self.members
            .iter()
            .filter(move |(_, member)| member.community == domain)
    }

    /// What is on disk when the story begins.
    pub fn begin(&mut self, entries: &[kith_store::Entry]) {
        for entry in entries {
            let mut parts = entry.key.as_str().splitn(3, '/');
            let (kind, first, second) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let value = Some(entry.value.as_slice());
            match kind {
                "community" => put(&mut self.communities, first.to_owned(), value),
                "member" => put(&mut self.members, format!("{second}.{first}"), value),
                _ => {}
            }
        }
    }

    /// A transaction is on disk. Answers with the sessions that it changed.
    pub fn take(&mut self, net: &mut Net, silence: u64, transaction: &Transaction) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut touched = Vec::new();
        for operation in &transaction.operations {
            let (key, value) = match operation {
                Operation::Put { key, value, .. } => (key.as_str(), Some(value.as_slice())),
                Operation::Delete { key } => (key.as_str(), None),
            };
            let mut parts = key.splitn(3, '/');
            let (kind, first, second) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let fqdn = || format!("{second}.{first}");
            match kind {
                "community" => put(&mut self.communities, first.to_owned(), value),
                "policy" => put(&mut self.policies, key.to_owned(), value),
                "member" => self.member(net, fqdn(), value),
                "session" => moved.extend(self.session(net, silence, fqdn(), value)),
                "address" => {
                    let number = u32::from_str_radix(second, 16).unwrap_or(0);
                    touched.push((first.to_owned(), number));
                    match value.and_then(|value| records::Owner::decode(value).ok()) {
                        Some(owner) => drop(self.owners.insert((first.to_owned(), number), owner.fqdn)),
                        None => drop(self.owners.remove(&(first.to_owned(), number))),
                    }
                }
                _ => {}
            }
        }
        for moved in &moved {
            self.holds_alone(net, moved);
        }
        for key in touched {
            if let Some(owner) = self.owners.get(&key)
                && self
                    .members
                    .get(owner)
                    .is_none_or(|member| member.virtual_address != key.1)
            {
                let what = format!(
                    "{} is written as {owner}'s, which has another",
                    Ipv4Addr::from(key.1)
                );
                net.wrong(ONE_HOLDER, Some(owner), what);
            }
        }
        moved
    }

    /// All of the disk, once: the bookkeeping above must not hide what a look at everything would show.
    pub fn look_at_all(&self, net: &mut Net) {
        let mut holders: BTreeMap<(&str, u32), &str> = BTreeMap::new();
        for (fqdn, member) in self
            .members
            .iter()
            .filter(|(_, member)| member.virtual_address != 0)
        {
            let key = (member.community.as_str(), member.virtual_address);
            if let Some(other) = holders.insert(key, fqdn) {
                let what = format!("{} is {other}'s and {fqdn}'s", Ipv4Addr::from(key.1));
                net.wrong(ONE_HOLDER, Some(fqdn), what);
            }
        }
        let mut holders: BTreeMap<(&str, u32), &str> = BTreeMap::new();
        for (fqdn, session) in &self.sessions {
            let domain = self.members.get(fqdn).map_or("", |member| &member.community);
            if let Some(other) = holders.insert((domain, session.virtual_address), fqdn) {
                let what = format!(
                    "{} is {other}'s and {fqdn}'s",
                    Ipv4Addr::from(session.virtual_address)
                );
                net.wrong(ONE_HOLDER, Some(fqdn), what);
            }
        }
    }

    /// The manager has begun again: what it knows is what is on disk, no less and no more.
    pub fn compare(&self, net: &mut Net, manager: &Manager) {
        let known = manager.state();
        if known.member_count() != self.members.len() as u64 {
            let what = format!(
                "{} members are known, {} on disk",
                known.member_count(),
                self.members.len()
            );
            net.wrong(NOTHING_LOST, None, what);
        }
        for (fqdn, record) in &self.members {
            let Some(member) = known.member_named(fqdn) else {
                net.wrong(NOTHING_LOST, Some(fqdn), "it is on disk and not known any more");
                continue;
            };
            let token = member.token.as_ref().map_or(0, |token| token.timestamp);
            let is = (
                word(member.standing),
                member.virtual_address.map_or(0, u32::from),
                member.identity.map_or_else(Vec::new, Vec::from),
                token,
            );
            let was = (
                record.state(),
                record.virtual_address,
                record.identity.clone(),
                record.token_timestamp,
            );
            if is != was {
                net.wrong(
                    NOTHING_LOST,
                    Some(fqdn),
                    format!("after a restart {is:?}, on disk {was:?}"),
                );
            }
            let is = member.session().map(|session| {
                let location = session.location.message();
                (
                    session.run_id.0.to_vec(),
                    u32::from(session.virtual_address),
                    location.address,
                    location.director,
                )
            });
            let was = self.sessions.get(fqdn).map(|session| {
                (
                    session.run_id.clone(),
                    session.virtual_address,
                    session.address,
                    session.director,
                )
            });
            if is != was {
                net.wrong(
                    NOTHING_LOST,
                    Some(fqdn),
                    format!("after a restart its session is {is:?}, on disk {was:?}"),
                );
            }
        }
        for (domain, record) in &self.communities {
            let pools: Option<Vec<String>> = known
                .community_named(domain)
                .map(|community| community.pools.iter().map(ToString::to_string).collect());
            let policies = known
                .community_named(domain)
                .map_or(0, |community| community.policies().count());
            let written = self
                .policies
                .values()
                .filter(|policy| policy.community == *domain)
                .count();
            if pools.as_ref() != Some(&record.pools) || policies != written {
                let what = format!(
                    "after a restart {domain} has {pools:?} and {policies} policies, on disk {:?} and {written}",
                    record.pools
                );
                net.wrong(NOTHING_LOST, None, what);
            }
        }
    }

    fn member(&mut self, net: &mut Net, fqdn: String, value: Option<&[u8]>) {
        let Some(after) = value.and_then(|value| records::Member::decode(value).ok()) else {
            if !self.acted(net.now, &fqdn) {
                net.wrong(CAUSE, Some(&fqdn), "it was deleted, and nobody asked for that");
            }
            self.members.remove(&fqdn);
            return;
        };
        if let Some(before) = self.members.get(&fqdn) {
            let other = before.virtual_address != 0 && after.virtual_address != before.virtual_address;
            if other && !self.readdressed.contains(&fqdn) {
                let (was, is) = (
                    Ipv4Addr::from(before.virtual_address),
                    Ipv4Addr::from(after.virtual_address),
                );
                net.wrong(
                    CAUSE,
                    Some(&fqdn),
                    format!("its address {was} became {is}, and neither pools nor networks changed"),
                );
            }
            let out = before.state() == MemberState::Registered && after.state() != MemberState::Registered;
            let anew = before.token_timestamp != after.token_timestamp;
            if (out || anew) && !self.acted(net.now, &fqdn) {
                let what = format!(
                    "its registration became {:?}, and nobody asked for that",
                    after.state()
                );
                net.wrong(CAUSE, Some(&fqdn), what);
            }
        }
        self.members.insert(fqdn, after);
    }

    fn session(&mut self, net: &mut Net, silence: u64, fqdn: String, value: Option<&[u8]>) -> Option<Moved> {
        let after = value.and_then(|value| records::Session::decode(value).ok());
        let before = match &after {
            Some(after) => self.sessions.insert(fqdn.clone(), after.clone()),
            None => self.sessions.remove(&fqdn),
        };
        if before == after {
            return None;
        }
        if before.is_some() && after.is_none() && !self.acted(net.now, &fqdn) {
            let heard = self.heard.get(&fqdn).copied().unwrap_or(0);
            if heard + silence > net.now {
                let ago = net.now - heard;
                net.wrong(
                    CAUSE,
                    Some(&fqdn),
                    format!("its session ended, although it was heard {ago} ms ago"),
                );
            }
        }
        Some(Moved { fqdn, before, after })
    }

    fn acted(&self, now: u64, fqdn: &str) -> bool {
        self.acts.get(fqdn).is_some_and(|at| at + TRACES > now)
    }

    /// Whoever has a session owns its address, and no other session has it.
    fn holds_alone(&self, net: &mut Net, Moved { fqdn, after, .. }: &Moved) {
        let Some(session) = after else { return };
        let Some(member) = self.members.get(fqdn) else {
            return net.wrong(NOTHING_LOST, Some(fqdn), "it has a session and is no member");
        };
        let address = Ipv4Addr::from(session.virtual_address);
        let owner = self
            .owners
            .get(&(member.community.clone(), session.virtual_address));
        if owner != Some(fqdn) || member.virtual_address != session.virtual_address {
            net.wrong(
                ONE_HOLDER,
                Some(fqdn),
                format!("it is joined with {address}, which is {owner:?}'s"),
            );
        }
    }
}

fn put<M: Message + Default>(all: &mut BTreeMap<String, M>, key: String, value: Option<&[u8]>) {
    match value.and_then(|value| M::decode(value).ok()) {
        Some(record) => drop(all.insert(key, record)),
        None => drop(all.remove(&key)),
    }
}

fn word(standing: state::Standing) -> MemberState {
    match standing {
        state::Standing::NotRegistered => MemberState::NotRegistered,
        state::Standing::Registering => MemberState::Registering,
        state::Standing::Registered => MemberState::Registered,
        state::Standing::Revoked => MemberState::Revoked,
    }
}
