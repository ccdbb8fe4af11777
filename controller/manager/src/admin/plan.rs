//! What would have to change for a network to be as wished: compared with what is there, checked whole, in an order that is always the same.
//!
//! ```text
//!  Network (wishes) ─┐
//!                    ├─► differences ─► checked against how all will be ─► changes to read, steps to take
//!  State ────────────┘
//!
//!  read:  directors, communities, members, policies; by name        taken: deletions before what may need their room
//! ```

use super::check::Wrong;
use super::community::{check_change, check_new, manager_address, nested, overlaps};
use super::invite::{Addresses, community_of};
use super::wish::{CommunityWish, MemberWish, director_details, policy_details};
use crate::core::state::{Community, Prefix, Standing, State};
use crate::core::{AdminError, CommunityIndex, MemberId, Time};
use kith_protocol::admin::change::Kind;
use kith_protocol::admin::{Change, Network};
use kith_protocol::names::{Fqdn, host_in};
use kith_protocol::records;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan {
    /// For people.
    pub(super) changes: Vec<Change>,
    pub(super) directors: Vec<records::Director>,
    pub(super) communities: Vec<(Option<CommunityIndex>, CommunityWish)>,
    pub(super) gone_members: Vec<MemberId>,
    pub(super) changed_members: Vec<(MemberId, MemberWish)>,
    pub(super) invited: Vec<MemberWish>,
    pub(super) gone_policies: Vec<(CommunityIndex, String)>,
    pub(super) policies: Vec<records::Policy>,
}

/// A network as it is wished for, each thing once.
struct Wishes {
    directors: BTreeMap<String, records::Director>,
    communities: BTreeMap<String, CommunityWish>,
    members: BTreeMap<String, MemberWish>,
    policies: BTreeMap<(String, String), records::Policy>,
}

/// What has to change. With `prune`, members and policies that are not wished for go, in the communities that are.
pub(super) fn plan(state: &State, network: &Network, prune: bool, now: Time) -> Result<Plan, AdminError> {
    let wishes = Wishes::read(network, now)?;
    let mut wrong = Wrong::default();
    let mut plan = Plan::default();
    plan.directors(state, &wishes);
    plan.communities(state, &wishes, &mut wrong);
    plan.members(state, &wishes, prune, &mut wrong);
    plan.policies(state, &wishes, prune, &mut wrong);
    plan.check_communities(state, &wishes, &mut wrong);
    plan.check_addresses(state, &wishes, &mut wrong);
    plan.check_rules(state, &wishes, &mut wrong);
    wrong.done()?;
    Ok(plan)
}

impl Plan {
    fn say(&mut self, kind: Kind, subject: String, details: Vec<String>) {
        self.changes.push(Change {
            kind: kind.into(),
            subject,
            details,
        });
    }

    fn directors(&mut self, state: &State, wishes: &Wishes) {
        for (name, wish) in &wishes.directors {
            let subject = format!("director {name}");
            match state.director(name).map(|director| &director.record) {
                None => self.say(Kind::Create, subject, super::director::described(wish)),
                Some(old) if old != wish => self.say(Kind::Update, subject, director_details(old, wish)),
                Some(_) => continue,
            }
            self.directors.push(wish.clone());
        }
    }

    fn communities(&mut self, state: &State, wishes: &Wishes, wrong: &mut Wrong) {
        let pools: BTreeMap<&str, &[Prefix]> = wishes.final_pools(state);
        for (domain, wish) in &wishes.communities {
            let subject = format!("community {domain}");
            let notes = || overlaps(pools.iter().map(|(domain, pools)| (*domain, *pools)), wish);
            let Some(community) = state.community_named(domain) else {
                let others = wishes.communities.keys().filter(|other| *other > domain);
                others.for_each(|other| nested(domain, other, wrong));
                check_new(state, wish, &wishes.director_names(), wrong);
                let details = wish.described().into_iter().chain(notes()).collect();
                self.say(Kind::Create, subject, details);
                self.communities.push((None, wish.clone()));
                continue;
            };
            let old = CommunityWish::of(community);
            let mut details = wish.details(&old);
            if details.is_empty() {
                continue;
            }
            details.extend(notes().into_iter().filter(|_| wish.pools != old.pools));
            self.say(Kind::Update, subject, details);
            self.communities.push((Some(community.index), wish.clone()));
        }
        let new = self
            .communities
            .iter()
            .filter(|(index, _)| index.is_none())
            .count();
        if state.communities().count() + new > usize::from(u16::MAX) {
            wrong.say(
                "these would be more than 65535 communities, which is all that directors can tell apart",
            );
        }
    }

    fn members(&mut self, state: &State, wishes: &Wishes, prune: bool, wrong: &mut Wrong) {
        let mut changes = BTreeMap::new();
        for (fqdn, wish) in &wishes.members {
            let subject = format!("member {fqdn}");
            let change = |kind: Kind, details| Change {
                kind: kind.into(),
                subject,
                details,
            };
            let Some(member) = state.member_named(fqdn) else {
                wrong.take("", wishes.community_of(state, fqdn).map(|_| ()));
                changes.insert(fqdn.clone(), change(Kind::Create, wish.described()));
                self.invited.push(wish.clone());
                continue;
            };
            let (old, mut wish) = (MemberWish::of(member), wish.clone());
            if member.standing != Standing::NotRegistered {
                // Its device knows better.
                wish.platform.clone_from(&old.platform);
            }
            let details = wish.details(&old);
            if !details.is_empty() {
                changes.insert(fqdn.clone(), change(Kind::Update, details));
                self.changed_members.push((member.id, wish));
            }
        }
        for (fqdn, id) in pruned(state, wishes, prune).flat_map(|community| community.members()) {
            let revoked = state
                .member(id)
                .is_some_and(|member| member.standing == Standing::Revoked);
            if !revoked && !wishes.members.contains_key(&**fqdn) {
                let subject = format!("member {fqdn}");
                changes.insert(
                    fqdn.to_string(),
                    Change {
                        kind: Kind::Delete.into(),
                        subject,
                        details: Vec::new(),
                    },
                );
                self.gone_members.push(id);
            }
        }
        self.changes.extend(changes.into_values());
    }

    fn policies(&mut self, state: &State, wishes: &Wishes, prune: bool, wrong: &mut Wrong) {
        let mut changes = BTreeMap::new();
        for ((domain, id), wish) in &wishes.policies {
            let community = state.community_named(domain);
            if community.is_none() && !wishes.communities.contains_key(domain) {
                wrong.say(format!(
                    "policy {id}: there is no community {domain}; name it too, or create it first"
                ));
            }
            let subject = format!("policy {domain}/{id}");
            let mut wish = wish.clone();
            let (kind, details) = match community.and_then(|community| community.policy(id)) {
                None => (Kind::Create, super::policy::described(&wish)),
                Some(old) => {
                    wish.created_ms = old.created_ms;
                    (Kind::Update, policy_details(old, &wish))
                }
            };
            if !details.is_empty() {
                changes.insert(
                    (domain.clone(), id.clone()),
                    Change {
                        kind: kind.into(),
                        subject,
                        details,
                    },
                );
                self.policies.push(wish);
            }
        }
        for community in pruned(state, wishes, prune) {
            for old in community.policies() {
                let key = (community.domain.to_string(), old.id.clone());
                if !wishes.policies.contains_key(&key) {
                    let subject = format!("policy {}/{}", key.0, key.1);
                    changes.insert(
                        key,
                        Change {
                            kind: Kind::Delete.into(),
                            subject,
                            details: super::policy::described(old),
                        },
                    );
                    self.gone_policies.push((community.index, old.id.clone()));
                }
            }
        }
        self.changes.extend(changes.into_values());
    }

    /// Communities that change must still suit members that stay as they are.
    fn check_communities(&self, state: &State, wishes: &Wishes, wrong: &mut Wrong) {
        let moving = self.moving(state);
        for (index, wish) in &self.communities {
            if let Some(community) = index.and_then(|index| state.community(index)) {
                check_change(state, community, wish, &wishes.director_names(), &moving, wrong);
            }
        }
    }

    /// Nobody gets an address that another has, when all is done.
    fn check_addresses(&self, state: &State, wishes: &Wishes, wrong: &mut Wrong) {
        let moving = self.moving(state);
        let mut addresses = Addresses::of(state, &moving);
        let members = self
            .changed_members
            .iter()
            .map(|(_, wish)| wish)
            .chain(&self.invited);
        for wish in members.filter(|wish| wish.address.is_some()) {
            let Ok((community, manager)) = wishes.community_of(state, &wish.fqdn) else {
                continue;
            };
            addresses.take(&community, manager, wish, wrong);
        }
    }

    fn check_rules(&self, state: &State, wishes: &Wishes, wrong: &mut Wrong) {
        for community in wishes
            .communities
            .keys()
            .chain(wishes.policies.keys().map(|(domain, _)| domain))
            .collect::<BTreeSet<_>>()
        {
            let Some(community) = state.community_named(community) else {
                continue;
            };
            let of_it = |record: &&records::Policy| *record.community == *community.domain;
            let put: Vec<records::Policy> = self.policies.iter().filter(of_it).cloned().collect();
            let gone = self
                .gone_policies
                .iter()
                .filter(|(index, _)| *index == community.index);
            let gone: Vec<&str> = gone.map(|(_, id)| id.as_str()).collect();
            if !put.is_empty() {
                wrong.take("", super::policy::fits(state, community, &put, &gone));
            }
        }
    }

    /// Members whose present address is free when all is done.
    fn moving<'a>(&'a self, state: &'a State) -> BTreeSet<&'a str> {
        let gone = self
            .gone_members
            .iter()
            .filter_map(|id| state.member(*id))
            .map(|member| &*member.fqdn);
        let moved = self
            .changed_members
            .iter()
            .filter(|(id, wish)| moves(state, *id, wish));
        gone.chain(moved.map(|(_, wish)| wish.fqdn.as_str())).collect()
    }
}

/// Does it get another address than it has?
pub(super) fn moves(state: &State, id: MemberId, wish: &MemberWish) -> bool {
    let had = state.member(id).and_then(|member| member.virtual_address);
    wish.address.is_some() && wish.address != had
}

impl Wishes {
    fn read(network: &Network, now: Time) -> Result<Self, AdminError> {
        let mut wrong = Wrong::default();
        let directors = network
            .directors
            .iter()
            .filter_map(|wish| super::director::record(wish, &mut wrong))
            .collect::<Vec<_>>();
        let communities = network
            .communities
            .iter()
            .filter_map(|wish| CommunityWish::check(wish, &mut wrong))
            .collect::<Vec<_>>();
        let members = network
            .members
            .iter()
            .filter_map(|wish| MemberWish::check(wish, &mut wrong))
            .collect::<Vec<_>>();
        let mut policies = Vec::new();
        for wish in &network.policies {
            let Some(domain) = wrong.take("", Fqdn::normalise(&wish.community)) else {
                continue;
            };
            match super::policy::record(wish, domain.as_str(), now) {
                Ok(record) => policies.push(record),
                Err(whys) => whys.into_iter().for_each(|why| wrong.say(why)),
            }
        }
        let wishes = Self {
            directors: once("director", directors, |wish| wish.name.clone(), &mut wrong),
            communities: once("community", communities, |wish| wish.domain.clone(), &mut wrong),
            members: once("member", members, |wish| wish.fqdn.clone(), &mut wrong),
            policies: once(
                "policy",
                policies,
                |wish| (wish.community.clone(), wish.id.clone()),
                &mut wrong,
            ),
        };
        wrong.done().map(|()| wishes)
    }

    fn director_names(&self) -> Vec<&str> {
        self.directors.keys().map(String::as_str).collect()
    }

    /// All pools, as they will be.
    fn final_pools<'a>(&'a self, state: &'a State) -> BTreeMap<&'a str, &'a [Prefix]> {
        let present = state
            .communities()
            .map(|community| (&*community.domain, &*community.pools));
        let wished = self
            .communities
            .iter()
            .map(|(domain, wish)| (domain.as_str(), &*wish.pools));
        present.chain(wished).collect()
    }

    /// The community that a name will be in, as it will be, and the manager's address in it.
    fn community_of(&self, state: &State, fqdn: &str) -> Result<(CommunityWish, Ipv4Addr), String> {
        let wished = self
            .communities
            .values()
            .find(|wish| host_in(fqdn, &wish.domain).is_some());
        if let Some(wish) = wished {
            return Ok((
                wish.clone(),
                manager_address(state.community_named(&wish.domain), wish),
            ));
        }
        let community = community_of(state, fqdn)?;
        Ok((CommunityWish::of(community), community.manager_address))
    }
}

/// Communities in which what is not wished for goes.
fn pruned<'a>(state: &'a State, wishes: &'a Wishes, prune: bool) -> impl Iterator<Item = &'a Community> {
    let named = wishes.communities.keys().filter(move |_| prune);
    named.filter_map(|domain| state.community_named(domain))
}

fn once<K: Ord + std::fmt::Debug, T>(
    what: &str,
    wishes: Vec<T>,
    key: impl Fn(&T) -> K,
    wrong: &mut Wrong,
) -> BTreeMap<K, T> {
    let mut all = BTreeMap::new();
    for wish in wishes {
        let key = key(&wish);
        if all.contains_key(&key) {
            wrong.say(format!(
                "{what} {key:?} is named twice; say what it should be once"
            ));
        }
        all.insert(key, wish);
    }
    all
}
