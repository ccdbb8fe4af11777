//! The validated form from a written one that nothing is wrong with.

use super::{
    keys::pair_of,
    numbers::{DEFAULT_KEEP_ALIVE, DEFAULT_LIFETIME, DEFAULT_MTU},
    prefixes::DEFAULT_PSEUDO_POOL,
    refer::{Place, Refs},
};
use crate::{
    Name, Prefix,
    compiled::{Host, Limits, Location, Nat, Network, Site},
    diagnostic::Sink,
    read::Field,
    scalars::{Number, Period},
    validated::{Community, Director, Member, Topology},
    written,
};
use std::time::Duration;

/// The UDP port if the file says nothing.
const DEFAULT_PORT: u16 = 20202;
/// Sessions at once if the file says nothing, as far as the pool has room.
const DEFAULT_SESSIONS: u64 = 65536;

/// `None` only where a hole was reported.
pub(crate) fn build(w: &written::Topology, refs: &Refs) -> Option<Topology> {
    w.version.get()?;
    let public = w.public.get()?;
    let public = Network {
        prefix: *public.prefix.get()?,
        mtu: number16(&public.mtu, DEFAULT_MTU)?,
    };
    let members = w.members.iter().zip(&refs.members);
    let hosts = w.hosts.iter().zip(&refs.hosts);
    Some(Topology {
        name: w.name.get()?.clone(),
        udp_port: number16(&w.udp_port, DEFAULT_PORT)?,
        public,
        directors: w
            .directors
            .iter()
            .map(|d| director(d.get()?))
            .collect::<Option<_>>()?,
        sites: w
            .sites
            .iter()
            .map(|s| site(s.get()?, public.mtu))
            .collect::<Option<_>>()?,
        communities: (0..w.communities.len())
            .map(|at| community(w, refs, at))
            .collect::<Option<_>>()?,
        members: members
            .map(|(m, r)| {
                let m = m.get()?;
                let name = m.name.get()?;
                Some(Member {
                    fqdn: name.clone(),
                    node: match &m.node {
                        Some(node) => node.get()?.clone(),
                        None => Name::parse(name.first_label()).ok()?,
                    },
                    community: r.community?,
                    virtual_ip: *m.virtual_ip.get()?,
                    location: location(w, r.place.as_ref()?)?,
                    director: r.director?,
                    director_key: m.director_key.get()?.clone(),
                    pseudo: given(&m.pseudo)?.copied(),
                })
            })
            .collect::<Option<_>>()?,
        hosts: hosts
            .map(|(h, place)| {
                let name = h.get()?.name.get()?.clone();
                Some(Host {
                    name,
                    location: location(w, place.as_ref()?)?,
                })
            })
            .collect::<Option<_>>()?,
    })
}

fn director(d: &written::Director) -> Option<Director> {
    let pseudo_pool = match given(&d.pseudo_pool)? {
        Some(pool) => *pool,
        None => Prefix::around(DEFAULT_PSEUDO_POOL.0, DEFAULT_PSEUDO_POOL.1)?,
    };
    let limits = given(&d.limits)?;
    let number = |n: &Number<1, 1_000_000>| n.0;
    let sessions = match limits {
        Some(limits) => given(&limits.sessions)?.map(|n| n.0),
        None => None,
    };
    Some(Director {
        name: d.name.get()?.clone(),
        role: *d.role.get()?,
        address: *d.address.get()?,
        pseudo_pool,
        workers: number16(&d.workers, 1)?,
        session_lifetime: period(&d.session_lifetime, DEFAULT_LIFETIME)?,
        keep_alive: period(&d.keep_alive, DEFAULT_KEEP_ALIVE)?,
        limits: Limits {
            sessions: sessions.unwrap_or(DEFAULT_SESSIONS.min(pseudo_pool.hosts()) as u32),
            requests_per_second: limits
                .and_then(|l| l.requests_per_second.as_ref()?.get())
                .map(number),
            packets_per_second: limits
                .and_then(|l| l.packets_per_second.as_ref()?.get())
                .map(|n| n.0),
        },
    })
}

fn site(s: &written::Site, public_mtu: u16) -> Option<Site> {
    let nat = s.nat.get()?;
    Some(Site {
        name: s.name.get()?.clone(),
        lan: *s.lan.get()?,
        gateway: *s.gateway.get()?,
        nat: Nat {
            address: *nat.address.get()?,
            udp_timeout: nat.udp_timeout.get()?.0,
            ports: *nat.ports.get()?,
        },
        wan_mtu: number16(&s.wan_mtu, public_mtu)?,
    })
}

fn community(w: &written::Topology, refs: &Refs, at: usize) -> Option<Community> {
    let c = w.communities[at].get()?;
    // The check has looked at the pairs: nothing is put there any more.
    let mut sink = Sink::new("", "");
    let pairs = c.pairs.iter().map(|field| {
        let pair = field.get()?;
        Some((
            pair_of(w, refs, at, (field, pair), &mut sink)?,
            pair.secret.get()?.clone(),
        ))
    });
    Some(Community {
        domain: c.domain.get()?.clone(),
        pool: *c.pool.get()?,
        secret: c.secret.get()?.clone(),
        pairs: pairs.collect::<Option<_>>()?,
    })
}

fn location(w: &written::Topology, place: &Place) -> Option<Location> {
    Some(match place {
        Place::Public(address, _) => Location::Public { address: *address },
        Place::Site(site, address, _) => Location::Site {
            site: w.sites[*site].get()?.name.get()?.clone(),
            address: *address,
        },
    })
}

/// What is given, if anything is; `None` outside if it is a hole.
fn given<T>(field: &Option<Field<T>>) -> Option<Option<&T>> {
    match field {
        Some(field) => field.get().map(Some),
        None => Some(None),
    }
}

fn number16<const MIN: u32, const MAX: u32>(
    field: &Option<Field<Number<MIN, MAX>>>,
    default: u16,
) -> Option<u16> {
    match given(field)? {
        Some(n) => u16::try_from(n.0).ok(),
        None => Some(default),
    }
}

fn period(field: &Option<Field<Period>>, default: Duration) -> Option<Duration> {
    Some(given(field)?.map_or(default, |period| period.0))
}
