//! Prefixes: which may overlap, and which are networks that hosts can live in.
//!
//! LANs of different sites may overlap, that is the point of the system; everything that one computer sees at once may not.

use super::refer::{Place, Refs};
use crate::{Code, Prefix, diagnostic::Sink, written::Topology};
use std::{collections::BTreeSet, net::Ipv4Addr, ops::Range};

/// Where pseudo addresses come from if the file says nothing: class E, which no LAN uses.
pub(crate) const DEFAULT_PSEUDO_POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(240, 0, 0, 0), 12);

#[derive(Clone)]
struct Named {
    what: String,
    prefix: Prefix,
    span: Range<usize>,
}

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    let named = |what: String, at: Option<(&Prefix, Range<usize>)>| {
        at.map(|(prefix, span)| Named {
            what,
            prefix: *prefix,
            span,
        })
    };
    let public = w
        .public
        .get()
        .and_then(|p| named("the public network".into(), p.prefix.at()));
    let lans: Vec<_> = w
        .sites
        .iter()
        .map(|s| {
            s.get()
                .and_then(|s| named(format!("the LAN of `{}`", s.name.get()?), s.lan.at()))
        })
        .collect();
    let pools: Vec<_> = w
        .communities
        .iter()
        .map(|c| {
            c.get()
                .and_then(|c| named(format!("the pool of `{}`", c.domain.get()?), c.pool.at()))
        })
        .collect();
    let pseudo: Vec<_> = w
        .directors
        .iter()
        .filter_map(|d| {
            let d = d.get()?;
            let what = format!("the pseudo pool of `{}`", d.name.get()?);
            match &d.pseudo_pool {
                Some(pool) => named(what, pool.at()),
                None => {
                    let prefix = Prefix::around(DEFAULT_PSEUDO_POOL.0, DEFAULT_PSEUDO_POOL.1)?;
                    Some(Named {
                        what: what + " (the default)",
                        prefix,
                        span: d.name.span.clone(),
                    })
                }
            }
        })
        .collect();

    let real = || {
        public
            .iter()
            .chain(lans.iter().flatten())
            .chain(pools.iter().flatten())
    };
    real().for_each(|n| usable(n, 8, sink));
    pseudo.iter().for_each(|n| pool_size(n, sink));

    for lan in lans.iter().flatten() {
        apart(
            lan,
            public.iter(),
            "a NAT needs different addresses inside and outside",
            sink,
        );
    }
    for (at, pool) in pools.iter().enumerate() {
        let Some(pool) = pool else { continue };
        apart(
            pool,
            public.iter(),
            "take the pool from private addresses, like 10.77.0.0/24",
            sink,
        );
        apart(
            pool,
            pools[..at].iter().flatten(),
            "give each community addresses of its own",
            sink,
        );
        let sites: BTreeSet<usize> = refs
            .members
            .iter()
            .filter(|m| m.community == Some(at))
            .filter_map(|m| match m.place {
                Some(Place::Site(site, ..)) => Some(site),
                _ => None,
            })
            .collect();
        let help = "a member sits there and could not tell the two apart: move the pool or the LAN";
        apart(
            pool,
            sites.into_iter().filter_map(|site| lans[site].as_ref()),
            help,
            sink,
        );
    }
    for pool in &pseudo {
        apart(
            pool,
            real(),
            "leave it at 240.0.0.0/12: class E clashes with nothing",
            sink,
        );
    }
}

fn apart<'n>(one: &Named, others: impl Iterator<Item = &'n Named>, help: &str, sink: &mut Sink<'_>) {
    for other in others.filter(|other| other.prefix.overlaps(one.prefix)) {
        let line = sink.line(other.span.start);
        let message = format!(
            "{}, {}, overlaps {}, {} (line {line})",
            one.what, one.prefix, other.what, other.prefix
        );
        sink.error(one.span.clone(), Code::Overlap, message, help);
    }
}

/// RFC 1122, section 3.2.1.3: addresses that no host may have.
fn usable(n: &Named, shortest: u8, sink: &mut Sink<'_>) {
    let special = [
        ([0, 0, 0, 0], 8, "this network"),
        ([127, 0, 0, 0], 8, "loopback"),
        ([224, 0, 0, 0], 4, "multicast"),
    ];
    for (address, len, what) in special {
        if Prefix::around(address.into(), len).is_some_and(|special| special.overlaps(n.prefix)) {
            let message = format!("{}, {}, has {what} addresses", n.what, n.prefix);
            sink.error(
                n.span.clone(),
                Code::BadPrefix,
                message,
                "use addresses that hosts may have",
            );
        }
    }
    if !(shortest..=30).contains(&n.prefix.len()) {
        let message = format!("{} is a /{}", n.what, n.prefix.len());
        let help = format!("use a length from /{shortest} to /30");
        sink.error(n.span.clone(), Code::BadPrefix, message, help);
    }
}

/// The relay's table is an array with a slot per pseudo address, so the pool is memory.
fn pool_size(n: &Named, sink: &mut Sink<'_>) {
    usable(n, 10, sink);
}
