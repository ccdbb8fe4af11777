//! Addresses: inside their network, usable there, and nobody else's there.

use super::refer::{Place, Refs};
use crate::{Code, Prefix, diagnostic::Sink, written::Topology};
use std::{collections::HashMap, net::Ipv4Addr, ops::Range};

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    let mut public = Segment::new(
        "the public network",
        w.public.get().and_then(|p| p.prefix.get()).copied(),
    );
    let mut lans: Vec<_> = w
        .sites
        .iter()
        .map(|s| Segment::new("the site's LAN", s.get().and_then(|s| s.lan.get()).copied()))
        .collect();
    let mut pools: Vec<_> = w
        .communities
        .iter()
        .map(|c| {
            Segment::new(
                "the community's pool",
                c.get().and_then(|c| c.pool.get()).copied(),
            )
        })
        .collect();

    for (address, span) in w.directors.iter().filter_map(|d| d.get()?.address.at()) {
        public.put(*address, span, sink);
    }
    for (site, lan) in w
        .sites
        .iter()
        .zip(&mut lans)
        .filter_map(|(s, lan)| Some((s.get()?, lan)))
    {
        if let Some((address, span)) = site.gateway.at() {
            lan.put(*address, span, sink);
        }
        if let Some((address, span)) = site.nat.get().and_then(|n| n.address.at()) {
            public.put(*address, span, sink);
        }
    }
    for place in refs.places() {
        match place {
            Place::Public(address, span) => public.put(*address, span.clone(), sink),
            Place::Site(site, address, span) => lans[*site].put(*address, span.clone(), sink),
        }
    }
    for (member, community) in w
        .members
        .iter()
        .zip(&refs.members)
        .filter_map(|(m, r)| Some((m.get()?, r.community?)))
    {
        if let Some((address, span)) = member.virtual_ip.at() {
            pools[community].put(*address, span, sink);
        }
    }
    for (community, pool) in w.communities.iter().zip(&pools) {
        pool.room(community.get().map_or(0..0, |c| c.pool.span.clone()), sink);
    }
}

/// One network and who has which of its addresses, with the line of each.
struct Segment {
    what: &'static str,
    prefix: Option<Prefix>,
    taken: HashMap<Ipv4Addr, usize>,
    wanted: u64,
}

impl Segment {
    fn new(what: &'static str, prefix: Option<Prefix>) -> Self {
        Self {
            what,
            prefix,
            taken: HashMap::new(),
            wanted: 0,
        }
    }

    fn put(&mut self, address: Ipv4Addr, span: Range<usize>, sink: &mut Sink<'_>) {
        self.wanted += 1;
        if let Some(prefix) = self.prefix.filter(|p| !p.is_host(address)) {
            let why = if !prefix.contains(address) {
                format!("{address} is not in {}, {prefix}", self.what)
            } else if address == prefix.network() {
                format!(
                    "{address} is the first address of {}: it names the network itself",
                    self.what
                )
            } else {
                format!("{address} is the broadcast address of {}", self.what)
            };
            let help = match prefix.hosts() {
                0 => "make the network larger".into(),
                _ => format!("choose one from {} to {}", first(prefix), last(prefix)),
            };
            sink.error(span, Code::AddressOutside, why, help);
            return;
        }
        let line = sink.line(span.start);
        match self.taken.get(&address) {
            None => {
                self.taken.insert(address, line);
            }
            Some(first) => {
                let message = format!("{address} is already given out in {}, on line {first}", self.what);
                sink.error(
                    span,
                    Code::DuplicateAddress,
                    message,
                    "give every node an address of its own",
                );
            }
        }
    }

    /// Whether the pool has an address for everybody in it.
    fn room(&self, span: Range<usize>, sink: &mut Sink<'_>) {
        if let Some(prefix) = self.prefix.filter(|p| p.hosts() < self.wanted) {
            let message = format!(
                "{prefix} has {} addresses for {} members",
                prefix.hosts(),
                self.wanted
            );
            sink.error(span, Code::TooMany, message, "make the pool larger");
        }
    }
}

fn first(prefix: Prefix) -> Ipv4Addr {
    let edge = u32::from(prefix.len() < 31);
    Ipv4Addr::from_bits(prefix.network().to_bits().saturating_add(edge))
}

fn last(prefix: Prefix) -> Ipv4Addr {
    let edge = u32::from(prefix.len() < 31);
    Ipv4Addr::from_bits(prefix.broadcast().to_bits().saturating_sub(edge))
}
