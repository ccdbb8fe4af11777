//! Communities: their pools of virtual addresses, and what a change of these means to those who are joined.

use super::check::{self, Wrong};
use super::wish::CommunityWish;
use super::{Done, Outcome};
use crate::core::state::{Community, Prefix, State};
use crate::core::{
    AdminError, AdminReply, ChannelOp, CommunityIndex, Manager, MemberId, Output, StreamEnd, Time,
};
use kith_protocol::admin;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Resync, Update};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

impl Manager {
    pub(super) fn create_community(&mut self, now: Time, message: &admin::Community) -> Outcome {
        let wish = checked(message)?;
        if self.state().community_named(&wish.domain).is_some() {
            let domain = wish.domain;
            return Err(AdminError::Exists(format!(
                "there is a community {domain} already; change it with: kith community update {domain}"
            )));
        }
        let mut wrong = Wrong::default();
        check_new(self.state(), &wish, &[], &mut wrong);
        wrong.done()?;
        let index = self.state().free_community_index().ok_or_else(|| {
            AdminError::Exhausted(
                "there are 65535 communities, which is all that directors can tell apart; delete one"
                    .to_owned(),
            )
        })?;
        let notes = overlaps(present(self.state()), &wish);
        self.new_community(now, index, &wish);
        self.community_reply(index, notes)
    }

    pub(super) fn update_community(&mut self, now: Time, message: &admin::Community) -> Outcome {
        let wish = checked(message)?;
        let community = named(self.state(), &wish.domain)?;
        let (index, old) = (community.index, CommunityWish::of(community));
        let mut wrong = Wrong::default();
        check_change(self.state(), community, &wish, &[], &BTreeSet::new(), &mut wrong);
        wrong.done()?;
        let mut notes = wish.details(&old);
        notes.extend(
            overlaps(present(self.state()), &wish)
                .into_iter()
                .filter(|_| wish.pools != old.pools),
        );
        self.change_community(now, index, &wish);
        self.community_reply(index, notes)
    }

    pub(super) fn delete_community(&mut self, now: Time, name: &str) -> Outcome {
        let community = named(self.state(), &check::name(name)?)?;
        let (index, domain, members) = (
            community.index,
            community.domain.clone(),
            community.member_count(),
        );
        if members > 0 {
            let them = if members == 1 { "member" } else { "members" };
            return Err(AdminError::Conflict(format!(
                "{domain} has {members} {them}; delete them first: kith member list --community {domain}"
            )));
        }
        self.event(now, "community.deleted", index, &domain, "");
        self.state_mut().remove_community(index);
        self.emit(Output::Channel(ChannelOp::NoCommunity { community: index }));
        Ok(AdminReply::Done.into())
    }

    pub(super) fn new_community(&mut self, now: Time, index: CommunityIndex, wish: &CommunityWish) {
        let mut community = Community::new(index, &wish.domain, wish.pools.clone(), self.random());
        community.created_ms = now.0;
        fill(&mut community, wish);
        self.state_mut().put_community(community);
        self.announce(index);
        self.event(
            now,
            "community.created",
            index,
            &wish.domain,
            wish.described().join(", "),
        );
    }

    pub(super) fn change_community(&mut self, now: Time, index: CommunityIndex, wish: &CommunityWish) {
        let Some(community) = self.state().community(index) else {
            return;
        };
        let (old, address) = (CommunityWish::of(community), community.manager_address);
        if old == *wish {
            return;
        }
        if let Some(community) = self.state_mut().community_mut(index) {
            fill(community, wish);
            if old.pools != wish.pools {
                community.set_pools(wish.pools.clone());
            }
            if old.deny_by_default != wish.deny_by_default {
                community.policy_version += 1;
            }
        }
        if self
            .state()
            .community(index)
            .is_some_and(|community| community.manager_address != address)
        {
            self.announce(index);
        }
        self.event(
            now,
            "community.changed",
            index,
            &wish.domain,
            wish.details(&old).join(", "),
        );
        self.policies_changed(index);
        if old.pools != wish.pools {
            self.resync(index);
        }
    }

    /// The networks of the community, and perhaps its manager's address, are others: whoever is joined asks anew, finds that out, and joins
    /// again; it keeps what it has.
    fn resync(&mut self, index: CommunityIndex) {
        let members: Vec<MemberId> = self
            .state()
            .community(index)
            .into_iter()
            .flat_map(Community::members)
            .map(|(_, id)| id)
            .collect();
        for id in members {
            let Some(live) = self.state_mut().live_mut(id) else {
                continue;
            };
            // Without a stream it is told when it watches again.
            live.told = u64::MAX;
            let Some(stream) = live.stream else { continue };
            let update = Update {
                revision: 0,
                change: Some(Change::Resync(Resync {})),
            };
            self.emit(Output::Push { stream, update });
            self.emit(Output::StreamEnd {
                stream,
                why: StreamEnd::Told,
            });
        }
    }

    /// The hub inside the tunnel learns our address.
    fn announce(&mut self, index: CommunityIndex) {
        let Some(community) = self.state().community(index) else {
            return;
        };
        let op = ChannelOp::Community {
            community: index,
            domain: community.domain.clone(),
            manager_address: community.manager_address,
        };
        self.emit(Output::Channel(op));
    }

    fn community_reply(&self, index: CommunityIndex, notes: Vec<String>) -> Outcome {
        let community = self.state().community(index).map(message).unwrap_or_default();
        Ok(Done::with(AdminReply::Community(community), notes.join(", ")))
    }
}

/// A community, or words for that there is none.
pub(super) fn named<'a>(state: &'a State, domain: &str) -> Result<&'a Community, AdminError> {
    state.community_named(domain).ok_or_else(|| {
        AdminError::NotFound(format!(
            "there is no community {}; kith community list shows those that are",
            super::short(domain)
        ))
    })
}

/// As operators see it.
pub(super) fn message(community: &Community) -> admin::Community {
    let wish = CommunityWish::of(community);
    admin::Community {
        members: community.member_count(),
        joined: community.joined_count(),
        addresses_free: community.addresses_free(),
        manager_address: community.manager_address.to_string(),
        policy_version: community.policy_version,
        created_ms: community.created_ms,
        ..wished(&wish)
    }
}

/// Only what operators decide.
pub(super) fn wished(wish: &CommunityWish) -> admin::Community {
    admin::Community {
        domain: wish.domain.clone(),
        pools: wish.pools.iter().map(ToString::to_string).collect(),
        description: wish.description.clone(),
        deny_by_default: wish.deny_by_default,
        directors: wish.directors.clone(),
        ticket_lifetime_s: wish.ticket_lifetime_s,
        ..admin::Community::default()
    }
}

/// Can it be made? `directors` will be there too.
pub(super) fn check_new(state: &State, wish: &CommunityWish, directors: &[&str], wrong: &mut Wrong) {
    let domain = &wish.domain;
    for other in state.communities() {
        nested(domain, &other.domain, wrong);
    }
    check_directors(state, wish, directors, wrong);
}

/// Can it be changed to this? `directors` will be there too, and `moving` members will have other addresses than now, or be gone.
pub(super) fn check_change(
    state: &State,
    old: &Community,
    wish: &CommunityWish,
    directors: &[&str],
    moving: &BTreeSet<&str>,
    wrong: &mut Wrong,
) {
    check_directors(state, wish, directors, wrong);
    if old.pools == wish.pools {
        return;
    }
    let domain = &wish.domain;
    let ours = manager_address(Some(old), wish);
    let members = old
        .addresses()
        .filter_map(|(address, id)| Some((address, state.member(id)?)));
    let reserved = members.filter(|(_, member)| member.address_reserved && !moving.contains(&*member.fqdn));
    for (address, member) in reserved {
        let fqdn = &member.fqdn;
        if ours == address {
            wrong.say(format!("community {domain}: {address} would become the manager's and is reserved for {fqdn}; reserve another for it first"));
        } else if !host_in(wish, address) {
            wrong.say(format!("community {domain}: {address} is reserved for {fqdn} and would be in no pool; change that first"));
        }
    }
    let room: u64 = wish
        .pools
        .iter()
        .filter_map(|pool| pool.hosts())
        .map(|(first, last)| u64::from(last - first) + 1)
        .sum();
    if room <= old.joined_count() {
        let (joined, room) = (old.joined_count(), room.saturating_sub(1));
        wrong.say(format!("community {domain}: {joined} members are joined, and these pools have room for {room}; take a larger one"));
    }
}

/// The manager's address when it is like this: the present one if a pool still has it, else the first pool's first.
pub(super) fn manager_address(old: Option<&Community>, wish: &CommunityWish) -> Ipv4Addr {
    let kept = old
        .map(|old| old.manager_address)
        .filter(|address| wish.pools.iter().any(|pool| pool.contains(*address)));
    let first = || {
        wish.pools
            .first()
            .and_then(|pool| pool.hosts())
            .map(|(first, _)| first.into())
    };
    kept.or_else(first).unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// An address of the wished pools that a member can have.
pub(super) fn host_in(wish: &CommunityWish, address: Ipv4Addr) -> bool {
    let number = u32::from(address);
    let hosts = |(first, last)| (first..=last).contains(&number);
    wish.pools.iter().filter_map(|pool| pool.hosts()).any(hosts)
}

/// Communities with addresses in common: no device can be in both.
pub(super) fn overlaps<'a>(
    others: impl Iterator<Item = (&'a str, &'a [Prefix])>,
    wish: &CommunityWish,
) -> Vec<String> {
    let mut notes = Vec::new();
    for (domain, theirs) in others.filter(|(domain, _)| *domain != wish.domain) {
        for pool in &wish.pools {
            if let Some(their) = theirs.iter().find(|their| their.overlaps(*pool)) {
                notes.push(format!(
                    "note: {pool} has addresses in common with {their} of {domain}: no device can be in both"
                ));
            }
        }
    }
    notes
}

/// A name could be of both.
pub(super) fn nested(domain: &str, other: &str, wrong: &mut Wrong) {
    let inside = |inner: &str, outer: &str| kith_protocol::names::host_in(inner, outer).is_some();
    if inside(domain, other) || inside(other, domain) {
        wrong.say(format!("community {domain}: one of {domain} and {other} lies in the other; names must tell them apart, take another domain"));
    }
}

fn present(state: &State) -> impl Iterator<Item = (&str, &[Prefix])> {
    state
        .communities()
        .map(|community| (&*community.domain, &*community.pools))
}

fn check_directors(state: &State, wish: &CommunityWish, also: &[&str], wrong: &mut Wrong) {
    for name in &wish.directors {
        if state.director(name).is_none() && !also.contains(&name.as_str()) {
            wrong.say(format!(
                "community {}: there is no director {}; add it first, or leave the list empty for all that there are",
                wish.domain,
                super::short(name)
            ));
        }
    }
}

fn checked(message: &admin::Community) -> Result<CommunityWish, AdminError> {
    let mut wrong = Wrong::default();
    let wish = CommunityWish::check(message, &mut wrong);
    wrong.done()?;
    wish.ok_or_else(|| AdminError::Invalid(vec!["the community cannot be read".to_owned()]))
}

fn fill(community: &mut Community, wish: &CommunityWish) {
    community.description.clone_from(&wish.description);
    community.deny_by_default = wish.deny_by_default;
    community.directors.clone_from(&wish.directors);
    community.ticket_lifetime_s = wish.ticket_lifetime_s;
}
