//! Prefixes: which may overlap, and which are networks that hosts can live in.
//!
//! LANs of different sites may overlap, that is the point of the system; everything that one computer sees at once may not.

use super::refer::Refs;
use crate::{
    Code, Prefix,
    diagnostic::Sink,
    written::{Community, Topology},
};
use std::{
    net::Ipv4Addr,
    ops::{Range, RangeInclusive},
};

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
        .as_ref()
        .and_then(|p| named("the public network".into(), p.get()?.prefix.at()));
    let lans: Vec<_> = w
        .sites
        .iter()
        .map(|s| {
            s.get()
                .and_then(|s| named(format!("the LAN of `{}`", s.name.get()?), s.lan.at()))
        })
        .collect();
    let pools: Vec<Vec<Named>> = w
        .communities
        .iter()
        .map(|c| {
            let of = |c: &Community| {
                let what = format!("the pool of `{}`", c.domain.get()?);
                let pools = c.pools.iter().filter_map(|pool| named(what.clone(), pool.at()));
                Some(pools.collect())
            };
            c.get().and_then(of).unwrap_or_default()
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
    let nets = public.iter().chain(lans.iter().flatten());
    nets.for_each(|n| usable(n, 8..=30, sink));
    // The manager takes an address too: a pool of two has none left for a pair.
    pools.iter().flatten().for_each(|n| usable(n, 8..=29, sink));
    pseudo.iter().for_each(|n| pool_size(n, sink));

    for lan in lans.iter().flatten() {
        apart(
            lan,
            public.iter(),
            "a NAT needs different addresses inside and outside",
            sink,
        );
    }
    for (at, own) in pools.iter().enumerate() {
        for (nth, pool) in own.iter().enumerate() {
            let help = "take the pool from private addresses, like 10.77.0.0/24";
            apart(pool, public.iter(), help, sink);
            let help = "give each pool addresses of its own";
            apart(pool, own[..nth].iter(), help, sink);
            let sites = refs.sites_of(at).into_iter();
            let help = "a member sits there and could not tell the two apart: move the pool or the LAN";
            apart(pool, sites.filter_map(|site| lans[site].as_ref()), help, sink);
            shared(w, refs, at, pool, &pools, sink);
        }
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

/// A device in two communities sees the pools of both: they must differ. Communities that share no device may use the same addresses.
fn shared(w: &Topology, refs: &Refs, at: usize, pool: &Named, pools: &[Vec<Named>], sink: &mut Sink<'_>) {
    // Most devices are in one community: that the others are few keeps this from being the square of the file.
    let several = w.devices.iter().zip(&refs.devices);
    let several: Vec<_> = several
        .filter(|(_, device)| device.communities.len() > 1)
        .collect();
    for (other, theirs) in pools.iter().enumerate().take(at) {
        let mut both = several.iter().filter(|(_, device)| {
            let here = |community| device.communities.contains(&Some(community));
            here(at) && here(other)
        });
        let Some((device, _)) = both.next() else { continue };
        let name = device.get().and_then(|d| d.called());
        let name = name.map_or("a device", |(name, _)| name);
        let help = format!("`{name}` is in both and could not tell them apart: move one of the pools");
        apart(pool, theirs.iter(), &help, sink);
    }
    for (device, found) in several {
        let twice = found.communities.iter().filter(|c| **c == Some(at)).count() > 1;
        if let Some(device) = device.get().filter(|_| twice) {
            let name = device.called().map_or("this device", |(name, _)| name);
            let message =
                format!("`{name}` has two names in one community, whose addresses are the same network");
            let help = "keep one name of each community";
            sink.error(device.span(), Code::Overlap, message, help);
        }
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
fn usable(n: &Named, lengths: RangeInclusive<u8>, sink: &mut Sink<'_>) {
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
    if !lengths.contains(&n.prefix.len()) {
        let message = format!("{} is a /{}", n.what, n.prefix.len());
        let help = format!("use a length from /{} to /{}", lengths.start(), lengths.end());
        sink.error(n.span.clone(), Code::BadPrefix, message, help);
    }
}

/// The relay's table is an array with a slot per pseudo address, so the pool is memory.
fn pool_size(n: &Named, sink: &mut Sink<'_>) {
    usable(n, 10..=30, sink);
}
