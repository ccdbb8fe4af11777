//! Telling exactly those whom a change concerns (source document 003, paragraph 33).
//!
//! A member that moves or goes concerns those who deal with it; a policy concerns those whose compiled rules it changes. Nobody else hears
//! anything. What cannot be told because a member has no stream is remembered as a revision, so that it is told to ask anew when it comes.

use super::Manager;
use super::ids::{CommunityIndex, MemberId, Time};
use super::outbox::Held;
use kith_protocol::member::peer_gone::Why;
use kith_protocol::member::update::Change;
use kith_protocol::member::{PeerGone, Policy, Rule, Update};
use std::net::Ipv4Addr;

impl Manager {
    /// Policies of a community changed, or what they mean: a member's address, user, tags or standing. Whoever's rules are others now gets
    /// them. Only those are looked at whom the books know to be touched since this was last called.
    pub fn policies_changed(&mut self, community: CommunityIndex) {
        let touched = self.state.take_touched(community);
        let members = self.state.touched_members(community, &touched);
        members.into_iter().for_each(|id| self.push_policy(id));
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
}

/// The same for the same rules, another for others (one pair of 2^64 aside, which only who writes policies could look for).
fn hash(rules: &[Rule]) -> u64 {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    rules.iter().fold(rules.len() as u64, |hash, rule| {
        let hash = mix(hash, pair(rule.source, rule.source_mask));
        let hash = mix(hash, pair(rule.destination, rule.destination_mask));
        let hash = mix(hash, pair(rule.source_port, rule.destination_port));
        mix(hash, pair(rule.protocol, rule.allow.into()))
    })
}

/// Both halves of a product, so that every bit of either tells.
fn mix(hash: u64, word: u64) -> u64 {
    // Odd constants without a pattern: the fractions of the square roots of 2 and 3.
    let product = u128::from(hash ^ 0x6a09_e667_f3bc_c909) * u128::from(word ^ 0xbb67_ae85_84ca_a73b);
    (product >> 64) as u64 ^ product as u64
}
