//! Room: a community's pools have an address for everybody, its directors a session for everybody.

use super::{prefixes::DEFAULT_PSEUDO_POOL, refer::Refs};
use crate::{
    Code, Prefix,
    diagnostic::Sink,
    written::{Community, Director, Topology},
};

/// Without wiring, sessions are the directors' own affair, and a member that never joins needs no address: the manager says when a pool is used
/// up.
pub(crate) fn check(w: &Topology, refs: &Refs, wired: bool, sink: &mut Sink<'_>) {
    for (at, community) in w.communities.iter().enumerate() {
        if let Some(community) = community.get() {
            pools(community, refs.devices_of(at).count() as u64, wired, sink);
        }
    }
    for (at, director) in w.directors.iter().enumerate().filter(|_| wired) {
        let Some(director) = director.get() else { continue };
        // Members in the public network have one too: it lets them send to the others.
        let members = refs
            .communities
            .iter()
            .enumerate()
            .filter(|(_, directors)| directors.as_slice() == [at])
            .flat_map(|(community, _)| refs.devices_of(community))
            .count();
        sessions(director, members as u64, sink);
    }
}

fn pools(community: &Community, members: u64, wired: bool, sink: &mut Sink<'_>) {
    if community.pools.is_empty() {
        let help = "add a pool of virtual addresses, like `pools: [10.77.0.0/24]`";
        let span = community.domain.span.clone();
        sink.error(span, Code::MissingField, "this community has no pool", help);
        return;
    }
    let pools: Option<Vec<Prefix>> = community.pools.iter().map(|pool| pool.get().copied()).collect();
    let Some(pools) = pools else { return };
    // Each pool's first host is the manager's.
    let hosts: u64 = pools.iter().map(|pool| pool.hosts().saturating_sub(1)).sum();
    if hosts < members {
        let message = format!("its pools have {hosts} addresses for {members} members, beside the manager's");
        let span = community.pools[0].span.clone();
        let help = "make a pool larger, or add one";
        if wired {
            sink.error(span, Code::TooMany, message, help);
        } else {
            sink.warning(span, Code::TooMany, message, help);
        }
    }
}

fn sessions(director: &Director, members: u64, sink: &mut Sink<'_>) {
    let pool = match &director.pseudo_pool {
        Some(pool) => pool.get().copied(),
        None => Prefix::around(DEFAULT_PSEUDO_POOL.0, DEFAULT_PSEUDO_POOL.1),
    };
    let Some(pool) = pool else { return };
    if pool.hosts() < members {
        let span = director.pseudo_pool.as_ref();
        let span = span.map_or(director.name.span.clone(), |pool| pool.span.clone());
        let message = format!(
            "{pool} has {} pseudo addresses for {members} members",
            pool.hosts()
        );
        sink.error(span, Code::TooMany, message, "make the pool larger");
    }
    let limits = director.limits.as_ref().and_then(|limits| limits.get());
    let given = limits.and_then(|limits| limits.sessions.as_ref()?.at());
    let Some((sessions, span)) = given.map(|(n, span)| (u64::from(n.0), span)) else {
        return;
    };
    if sessions < members {
        let message =
            format!("{members} members have their session at this director, and it takes {sessions}");
        let help = format!("allow at least {members} sessions");
        sink.error(span, Code::TooMany, message, help);
    } else if sessions > pool.hosts() {
        let message = format!(
            "{sessions} sessions are allowed, and the pool has {} pseudo addresses",
            pool.hosts()
        );
        let help = "make the pool larger, or allow fewer sessions";
        sink.warning(span, Code::TooMany, message, help);
    }
}
