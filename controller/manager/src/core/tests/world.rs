//! A manager, a disk that can be slow or break, and what came out. Time and randomness are the test's.

use super::agent::Agent;
use crate::core::*;
use crate::policy::Selector;
use kith_protocol::authenticator::{Argon2Cost, PasswordKey};
use kith_protocol::member::{ManagerAddress, Rule, Update};
use kith_protocol::{admin, records, secret::Secret32};
use kith_store::{Compare, Entry, Key, Operation, Revision, Transaction};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

pub(super) const DOMAIN: &str = "acme.example";
pub(super) const POOL: &str = "10.77.0.0/24";
/// Where members come from if nothing else is said.
pub(super) const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// A disk: what a store is, without threads.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) revision: u64,
}

impl Disk {
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }

    /// All or nothing.
    pub(super) fn take(&mut self, transaction: &Transaction) -> Result<Revision, String> {
        for condition in &transaction.conditions {
            let there = self.entries.contains_key(condition.key.as_str());
            if there != (condition.is != Compare::Absent) {
                return Err(format!("{} is not as expected", condition.key));
            }
        }
        self.revision += 1;
        let revision = Revision(self.revision);
        for operation in &transaction.operations {
            let key = operation.key().as_str().to_owned();
            match operation {
                Operation::Delete { .. } => drop(self.entries.remove(&key)),
                Operation::Put { value, .. } => {
                    let created = self.entries.get(&key).map_or(revision, |entry| entry.created);
                    let entry = Entry {
                        key: Key::new(key.as_str()),
                        value: value.clone(),
                        created,
                        modified: revision,
                        lease: None,
                    };
                    self.entries.insert(key, entry);
                }
            }
        }
        Ok(revision)
    }
}

pub(super) struct World {
    pub(super) manager: Manager,
    pub(super) now: Time,
    pub(super) disk: Disk,
    /// Transactions reach the disk at once; else they wait in `commits`.
    pub(super) quick_disk: bool,
    /// Mails are handed over at once; else they wait in `mails`.
    pub(super) quick_mail: bool,
    pub(super) commits: VecDeque<(CommitId, Transaction)>,
    pub(super) answers: BTreeMap<Token, Answer>,
    pub(super) admin_answers: BTreeMap<Token, Result<AdminReply, AdminError>>,
    pub(super) pushes: Vec<(StreamId, Update)>,
    pub(super) ends: Vec<(StreamId, StreamEnd)>,
    pub(super) events: Vec<admin::Event>,
    pub(super) mails: Vec<(u64, Mail)>,
    pub(super) channels: Vec<ChannelOp>,
    pub(super) grants: Vec<GrantOp>,
    last: u64,
}

/// Splitmix64: the same numbers in every run.
pub(super) fn entropy(seed: u64) -> impl FnMut(&mut [u8]) + Send + 'static {
    let mut state = seed;
    move |out: &mut [u8]| {
        for octet in out {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            *octet = (z ^ z >> 31) as u8;
        }
    }
}

/// What policies say about a member, `any` as any address; then the community's default.
pub(super) fn compile(state: &State, id: MemberId) -> Vec<Rule> {
    let member = state.member(id).unwrap();
    let community = state.community(member.community).unwrap();
    let mut rules = Vec::new();
    for policy in community.policies() {
        let sides: [Selector; 2] = [policy.from.parse().unwrap(), policy.to.parse().unwrap()];
        let addresses = |side: &Selector| -> Vec<(u32, u32)> {
            if *side == Selector::Any {
                return vec![(0, 0)];
            }
            let members = community.members().filter_map(|(_, id)| state.member(id));
            let matching = members.filter(|other| side.matches(&other.who()));
            matching
                .filter_map(|other| Some((other.virtual_address?.into(), u32::MAX)))
                .collect()
        };
        let own = (member.virtual_address.map_or(0, u32::from), u32::MAX);
        let rule = |(source, source_mask), (destination, destination_mask)| Rule {
            allow: policy.allow,
            source,
            source_mask,
            destination,
            destination_mask,
            ..Rule::default()
        };
        if sides[0].matches(&member.who()) {
            rules.extend(addresses(&sides[1]).into_iter().map(|to| rule(own, to)));
        }
        if sides[1].matches(&member.who()) {
            rules.extend(addresses(&sides[0]).into_iter().map(|from| rule(from, own)));
        }
    }
    if !community.deny_by_default {
        rules.push(Rule {
            allow: true,
            ..Rule::default()
        });
    }
    rules
}

/// The only command of these tests: throws a member out, or says that there is none.
pub(super) fn command(
    manager: &mut Manager,
    now: Time,
    actor: &Actor,
    command: Command,
) -> Result<AdminReply, AdminError> {
    let Command::RevokeMember(request) = command else {
        return Err(AdminError::NotFound("no such command".into()));
    };
    manager.state_mut().audit(records::Audit {
        at_ms: now.0,
        actor: actor.name.clone(),
        action: "member.revoke".into(),
        ..records::Audit::default()
    });
    let id = manager.state().id_named(&request.fqdn);
    let id = id.ok_or_else(|| AdminError::NotFound(format!("there is no member {}", request.fqdn)))?;
    manager.end_session(now, id, Ended::Revoked(request.reason.clone()));
    if let Some(member) = manager.state_mut().member_mut(id) {
        member.standing = state::Standing::Revoked;
        member.revoked_reason = Some(request.reason.into());
    }
    Ok(AdminReply::Done)
}

pub(super) fn settings() -> Settings {
    let manager = ManagerAddress {
        host: "manager.acme.example".into(),
        port: 443,
        fingerprint: vec![7; 32],
    };
    let tunnel = "203.0.113.1:20203".parse().unwrap();
    Settings::new(vec![manager], tunnel, compile, command)
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let now = Time(1_800_000_000_000);
        let manager = Manager::load(settings, &[], Revision(0), now, Entropy::new(entropy(1))).unwrap();
        let mut world = Self {
            manager,
            now,
            disk: Disk::default(),
            quick_disk: true,
            quick_mail: true,
            commits: VecDeque::new(),
            answers: BTreeMap::new(),
            admin_answers: BTreeMap::new(),
            pushes: Vec::new(),
            ends: Vec::new(),
            events: Vec::new(),
            mails: Vec::new(),
            channels: Vec::new(),
            grants: Vec::new(),
            last: 0,
        };
        world.community(1, DOMAIN, &[POOL]);
        world
    }

    pub(super) fn community(&mut self, index: u16, domain: &str, pools: &[&str]) {
        let pools = pools.iter().map(|pool| pool.parse().unwrap()).collect();
        let community = state::Community::new(CommunityIndex(index), domain, pools, [index as u8; 32]);
        self.manager.state_mut().put_community(community);
        self.settle();
    }

    /// Invites a member of the community that its name lies in, with a password that is valid for an hour.
    pub(super) fn invite(&mut self, fqdn: &str) -> Agent {
        let id = self.manager.new_member_id();
        let community = self.manager.state().community_of_name(fqdn).unwrap().index;
        let agent = Agent::new(fqdn, id);
        let key = PasswordKey::derive(&agent.password, &[9; 16], Argon2Cost::SIMULATION).unwrap();
        let mut member = state::Member::new(id, community, fqdn, self.now.0);
        member.email = format!("{}@mail.example", fqdn.split('.').next().unwrap()).into();
        member.password = Some(Box::new(state::Password {
            key: key.secret().clone(),
            salt: [9; 16],
            expires_ms: self.now.plus(3_600_000).0,
            uses: 0,
        }));
        self.manager.state_mut().add_member(member);
        self.settle();
        agent
    }

    /// A member that has registered.
    pub(super) fn registered(&mut self, fqdn: &str) -> Agent {
        let mut agent = self.invite(fqdn);
        agent.enroll(self);
        agent
    }

    /// A member that is joined, from its own public address, and watches.
    pub(super) fn joined(&mut self, fqdn: &str) -> Agent {
        let mut agent = self.registered(fqdn);
        agent.up(self);
        agent
    }

    pub(super) fn director(&mut self, record: records::Director) {
        self.manager.state_mut().put_director(record);
        self.settle();
    }

    pub(super) fn policy(&mut self, id: &str, allow: bool, from: &str, to: &str) {
        let policy = records::Policy {
            id: id.into(),
            community: DOMAIN.into(),
            allow,
            from: from.into(),
            to: to.into(),
            ..records::Policy::default()
        };
        self.manager.state_mut().put_policy(CommunityIndex(1), policy);
        self.manager.policies_changed(CommunityIndex(1));
        self.settle();
    }

    pub(super) fn token(&mut self) -> Token {
        self.last += 1;
        Token(self.last)
    }

    pub(super) fn stream(&mut self) -> StreamId {
        self.last += 1;
        StreamId(self.last)
    }

    /// Gives the call and does what follows; answers with whom it will be answered to.
    pub(super) fn send(&mut self, from: Ipv4Addr, call: Call, envelope: Envelope) -> Token {
        let token = self.token();
        let from = SocketAddrV4::new(from, 40_000);
        self.input(Input::Call {
            token,
            from,
            call,
            envelope,
        });
        token
    }

    pub(super) fn call(&mut self, from: Ipv4Addr, call: Call, envelope: Envelope) -> Answer {
        let token = self.send(from, call, envelope);
        self.answers.remove(&token).expect("every call is answered")
    }

    pub(super) fn revoke(&mut self, fqdn: &str, reason: &str) -> Result<AdminReply, AdminError> {
        let token = self.token();
        let command = Command::RevokeMember(admin::RevokeRequest {
            fqdn: fqdn.into(),
            reason: reason.into(),
        });
        let actor = Actor {
            name: "uid 0 (root)".into(),
            role: Role::Admin,
        };
        self.input(Input::Admin {
            token,
            actor,
            command,
        });
        self.admin_answers.remove(&token).unwrap()
    }

    pub(super) fn input(&mut self, input: Input) {
        self.manager.input(self.now, input);
        self.settle();
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.plus(milliseconds);
        while self.manager.deadline().is_some_and(|at| at <= self.now) {
            self.manager.tick(self.now);
            self.settle();
        }
    }

    /// Does what came out, until nothing more does.
    pub(super) fn settle(&mut self) {
        // Changes that tests make by hand become a transaction with the next input.
        self.manager.input(
            self.now,
            Input::StreamClosed {
                stream: StreamId(u64::MAX),
            },
        );
        while let Some(output) = self.manager.poll() {
            match output {
                Output::Commit { id, transaction } => {
                    self.commits.push_back((id, transaction));
                    if self.quick_disk {
                        self.commit();
                    }
                }
                Output::Answer { token, answer } => {
                    assert!(self.answers.insert(token, answer).is_none(), "one answer a call");
                }
                Output::AdminAnswer { token, answer } => drop(self.admin_answers.insert(token, answer)),
                Output::Push { stream, update } => self.pushes.push((stream, update)),
                Output::StreamEnd { stream, why } => self.ends.push((stream, why)),
                Output::Event(event) => self.events.push(event),
                Output::Mail { id, mail } => {
                    self.mails.push((id, mail));
                    if self.quick_mail {
                        self.manager.input(self.now, Input::Mail { id, result: Ok(()) });
                    }
                }
                Output::Channel(op) => self.channels.push(op),
                Output::Grant(op) => self.grants.push(op),
            }
        }
    }

    /// The oldest transaction reaches the disk.
    pub(super) fn commit(&mut self) {
        let (id, transaction) = self.commits.pop_front().expect("a transaction");
        let input = match self.disk.take(&transaction) {
            Ok(revision) => Input::Committed { id, revision },
            Err(why) => Input::CommitFailed { id, why },
        };
        self.manager.input(self.now, input);
    }

    /// The process ends and another begins with what is on disk.
    pub(super) fn restart(&mut self) {
        let seed = self.now.0 ^ self.disk.revision;
        let entries = self.disk.entries();
        let revision = Revision(self.disk.revision);
        let settings = self.manager.settings().clone();
        self.manager = Manager::load(
            settings,
            &entries,
            revision,
            self.now,
            Entropy::new(entropy(seed)),
        )
        .unwrap();
        self.commits.clear();
        self.channels.clear();
        self.grants.clear();
        self.settle();
    }

    /// The code in the newest mail.
    pub(super) fn code(&self) -> String {
        let (_, mail) = self.mails.last().expect("a mail");
        let line = mail
            .body
            .lines()
            .map(str::trim)
            .find(|line| line.len() == 9 && line.as_bytes()[4] == b'-');
        line.expect("a code").to_owned()
    }

    pub(super) fn member(&self, agent: &Agent) -> &state::Member {
        self.manager.state().member(agent.id).unwrap()
    }

    pub(super) fn session(&self, agent: &Agent) -> &state::Session {
        self.member(agent).session().unwrap()
    }

    /// What came on this stream since the last time, and is forgotten.
    pub(super) fn heard(&mut self, agent: &Agent) -> Vec<Update> {
        let stream = agent.stream.unwrap();
        let (its, others) = std::mem::take(&mut self.pushes)
            .into_iter()
            .partition(|(to, _)| *to == stream);
        self.pushes = others;
        let its: Vec<(StreamId, Update)> = its;
        its.into_iter().map(|(_, update)| update).collect()
    }

    /// A secret that no test needs to know.
    pub(super) fn secret(&mut self) -> Secret32 {
        Secret32::new(self.manager.random())
    }
}
