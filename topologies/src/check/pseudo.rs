//! Pseudo addresses and sessions: reserved ones lie in the pool and differ, and there is room for everybody.

use super::{prefixes::DEFAULT_PSEUDO_POOL, refer::Refs};
use crate::{Code, Prefix, diagnostic::Sink, written::Topology};
use std::{collections::HashMap, net::Ipv4Addr};

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    for (at, director) in w
        .directors
        .iter()
        .enumerate()
        .filter_map(|(at, d)| Some((at, d.get()?)))
    {
        let pool = match &director.pseudo_pool {
            Some(pool) => pool.get().copied(),
            None => Prefix::around(DEFAULT_PSEUDO_POOL.0, DEFAULT_PSEUDO_POOL.1),
        };
        let Some(pool) = pool else { continue };
        let mut taken: HashMap<Ipv4Addr, usize> = HashMap::new();
        let mut members = 0;
        let here = w
            .members
            .iter()
            .zip(&refs.members)
            .filter(|(_, r)| r.director == Some(at));
        for member in here.filter_map(|(m, _)| m.get()) {
            members += 1;
            let Some((address, span)) = member.pseudo.as_ref().and_then(|p| p.at()) else {
                continue;
            };
            let line = sink.line(span.start);
            if !pool.is_host(*address) {
                let message = format!("{address} is not an address of the director's pseudo pool, {pool}");
                let help = "choose one inside it, neither its first nor its last, or leave `pseudo` out";
                sink.error(span, Code::BadPseudo, message, help);
            } else if let Some(first) = taken.get(address) {
                let message = format!("{address} is already reserved at this director, on line {first}");
                sink.error(
                    span,
                    Code::BadPseudo,
                    message,
                    "reserve another, or leave `pseudo` out",
                );
            } else {
                taken.insert(*address, line);
            }
        }
        room(director, pool, members, sink);
    }
}

fn room(director: &crate::written::Director, pool: Prefix, members: u64, sink: &mut Sink<'_>) {
    if pool.hosts() < members {
        let span = director
            .pseudo_pool
            .as_ref()
            .map_or(director.name.span.clone(), |p| p.span.clone());
        let message = format!(
            "{pool} has {} pseudo addresses for {members} members",
            pool.hosts()
        );
        sink.error(span, Code::TooMany, message, "make the pool larger");
    }
    let limits = director
        .limits
        .as_ref()
        .and_then(|l| l.get()?.sessions.as_ref()?.at());
    let Some((sessions, span)) = limits.map(|(n, span)| (u64::from(n.0), span)) else {
        return;
    };
    if sessions < members {
        let message =
            format!("{members} members have their session at this director, and it takes {sessions}");
        sink.error(
            span,
            Code::TooMany,
            message,
            format!("allow at least {members} sessions"),
        );
    } else if sessions > pool.hosts() {
        let message = format!(
            "{sessions} sessions are allowed, and the pool has {} pseudo addresses",
            pool.hosts()
        );
        sink.warning(
            span,
            Code::TooMany,
            message,
            "make the pool larger, or allow fewer sessions",
        );
    }
}
