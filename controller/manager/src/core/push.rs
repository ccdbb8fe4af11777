//! Telling exactly those whom a change concerns (source document 003, paragraph 33).
//!
//! A member that moves or goes concerns those who deal with it; a policy concerns those whose compiled rules it changes. Nobody else hears
//! anything. What cannot be told because a member has no stream is remembered as a revision, so that it is told to ask anew when it comes.

use super::Manager;
use super::ids::{CommunityIndex, MemberId, Time};
use super::outbox::Held;
use crate::policy::Touched;
use kith_protocol::member::peer_gone::Why;
use kith_protocol::member::update::Change;
use kith_protocol::member::{PeerGone, Policy, Rule, Update};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

/// For the operators' half.
impl Manager {
    /// Policies of a community changed: whoever's rules are others now gets them.
    pub fn policies_changed(&mut self, community: CommunityIndex) {
        let members = self
            .state
            .community(community)
            .map(|community| community.members());
        let ids: Vec<MemberId> = members.into_iter().flatten().map(|(_, id)| id).collect();
        ids.into_iter().for_each(|id| self.push_policy(id));
    }

    /// A member's address, user or tags changed, or it is new or about to go: policies that name it may mean others something else now.
    pub fn facts_changed(&mut self, id: MemberId) {
        self.push_policy(id);
        self.concerned(id).into_iter().for_each(|id| self.push_policy(id));
    }
}

impl Manager {
    /// Those who deal with the member are told where it is now, with new tickets.
    pub(super) fn push_peer(&mut self, now: Time, id: MemberId) {
        for other in self.related(now, id) {
            if let Some(peer) = self.introduce(now, other, id) {
                self.push(other, Change::Peer(peer));
            }
        }
    }

    /// Those who deal with the member are told that it is not at this address any more.
    pub(super) fn push_gone(&mut self, now: Time, id: MemberId, address: Ipv4Addr, why: Why) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let gone = PeerGone {
            virtual_address: address.into(),
            fqdn: member.fqdn.to_string(),
            why: why.into(),
        };
        for other in self.related(now, id) {
            self.push(other, Change::Gone(gone.clone()));
        }
    }

    /// The policy as the member must keep it.
    pub(super) fn policy_of(&self, id: MemberId) -> Policy {
        let compile = self.settings.compile_policy;
        let community = self
            .state
            .member(id)
            .and_then(|member| self.state.community(member.community));
        Policy {
            version: community.map_or(0, |community| community.policy_version),
            rules: compile(&self.state, id),
        }
    }

    /// The member is given its policy with the answer under way.
    pub(super) fn own_policy(&mut self, id: MemberId) {
        let hash = hash(&self.policy_of(id).rules);
        self.state
            .live_mut(id)
            .into_iter()
            .for_each(|live| live.policy_hash = hash);
    }

    fn push_policy(&mut self, id: MemberId) {
        if self.state.session(id).is_none() {
            return;
        }
        let policy = self.policy_of(id);
        let hash = hash(&policy.rules);
        let Some(live) = self.state.live_mut(id) else {
            return;
        };
        if std::mem::replace(&mut live.policy_hash, hash) != hash {
            self.push(id, Change::Policy(policy));
        }
    }

    pub(super) fn push(&mut self, to: MemberId, change: Change) {
        let update = Update {
            revision: 0,
            change: Some(change),
        };
        self.outbox.hold(Held::Push(to, update));
    }

    fn related(&self, now: Time, id: MemberId) -> Vec<MemberId> {
        let session = self.state.session(id);
        session
            .map(|session| session.live.relations.at(now).collect())
            .unwrap_or_default()
    }

    /// Members whose rules may name this one: the other side of every policy that is about it.
    fn concerned(&self, id: MemberId) -> Vec<MemberId> {
        let Some(member) = self.state.member(id) else {
            return Vec::new();
        };
        let Some(community) = self.state.community(member.community) else {
            return Vec::new();
        };
        let naming = self
            .state
            .with_book(member.community, |book| book.naming(&member.who()));
        let mut others: Vec<MemberId> = match naming {
            Some(Touched::Owners(owners)) => owners
                .into_iter()
                .filter_map(|owner| community.owner_of(owner))
                .collect(),
            Some(Touched::Everybody) => community.members().map(|(_, other)| other).collect(),
            None => Vec::new(),
        };
        others.retain(|other| *other != id);
        others
    }
}

/// The same for the same rules in this process.
fn hash(rules: &[Rule]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for rule in rules {
        let addresses = (
            rule.source,
            rule.source_mask,
            rule.destination,
            rule.destination_mask,
        );
        (
            rule.allow,
            addresses,
            rule.protocol,
            rule.source_port,
            rule.destination_port,
        )
            .hash(&mut hasher);
    }
    hasher.finish()
}
