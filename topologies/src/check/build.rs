//! The validated form from a written one that nothing is wrong with.

use super::{
    addresses::Addresses,
    numbers::{DEFAULT_KEEP_ALIVE, DEFAULT_LIFETIME, DEFAULT_MTU},
    prefixes::DEFAULT_PSEUDO_POOL,
    refer::{Place, Refs},
};
use crate::{
    Name, Prefix,
    compiled::{Community, Director, Host, Limits, Location, Manager, Nat, Network, Policy, Site},
    policy::Selector,
    read::Field,
    scalars::{Line, Number, Period},
    validated::{Device, Topology},
    written,
};
use std::{net::Ipv4Addr, time::Duration};

/// The UDP port if the file says nothing.
pub(crate) const DEFAULT_PORT: u16 = 20202;
/// Sessions at once if the file says nothing, as far as the pool has room.
const DEFAULT_SESSIONS: u64 = 65536;

/// `None` only where a hole was reported.
pub(crate) fn build(w: &written::Topology, refs: &Refs, addresses: &Addresses) -> Option<Topology> {
    w.version.get()?;
    let public = w.public.as_ref()?.get()?;
    let public = Network {
        prefix: *public.prefix.get()?,
        mtu: number16(&public.mtu, DEFAULT_MTU)?,
    };
    let manager = Manager {
        name: w.manager.as_ref()?.get()?.name.get()?.clone(),
        address: addresses.manager?,
    };
    let directors = w.directors.iter().zip(&addresses.directors);
    let sites = w.sites.iter().zip(&addresses.gateways).zip(&addresses.nats);
    let communities = w.communities.iter();
    let hosts = w.hosts.iter().zip(&refs.hosts).zip(&addresses.hosts);
    Some(Topology {
        name: w.name.as_ref()?.get()?.clone(),
        udp_port: udp_port(w)?,
        public,
        manager,
        directors: directors
            .map(|(d, address)| director(d.get()?, (*address)?))
            .collect::<Option<_>>()?,
        sites: sites
            .map(|((s, gateway), nat)| site(s.get()?, (*gateway)?, (*nat)?, public.mtu))
            .collect::<Option<_>>()?,
        communities: communities.map(|c| community(c.get()?)).collect::<Option<_>>()?,
        devices: (0..w.devices.len())
            .map(|at| device(w, refs, addresses, at))
            .collect::<Option<_>>()?,
        hosts: hosts
            .map(|((h, place), address)| {
                let name = h.get()?.name.get()?.clone();
                let location = location(w, (*place)?, (*address)?)?;
                Some(Host { name, location })
            })
            .collect::<Option<_>>()?,
    })
}

fn device(w: &written::Topology, refs: &Refs, addresses: &Addresses, at: usize) -> Option<Device> {
    let (d, refs) = (w.devices[at].get()?, &refs.devices[at]);
    let members = d.names().zip(&refs.communities);
    let tags = d.tags.iter().map(|tag| Some(tag.get()?.0.clone()));
    let user = line(&d.user)?;
    Some(Device {
        name: Name::parse(d.called()?.0).ok()?,
        location: location(w, refs.place?, addresses.devices[at]?)?,
        members: members
            .map(|(name, community)| Some((name?.get()?.clone(), (*community)?)))
            .collect::<Option<_>>()?,
        email: given(&d.email)?.map_or_else(|| user.clone(), |mail| mail.0.clone()),
        user,
        tags: tags.collect::<Option<_>>()?,
    })
}

fn director(d: &written::Director, address: Ipv4Addr) -> Option<Director> {
    let pseudo_pool = pseudo_pool(d)?;
    let limits = given(&d.limits)?;
    let number = |n: &Number<1, 1_000_000>| n.0;
    Some(Director {
        name: Name::parse(d.name.get()?.as_str()).ok()?,
        role: *d.role.get()?,
        address,
        pseudo_pool,
        workers: number16(&d.workers, 1)?,
        session_lifetime: period(&d.session_lifetime, DEFAULT_LIFETIME)?,
        keep_alive: period(&d.keep_alive, DEFAULT_KEEP_ALIVE)?,
        limits: Limits {
            sessions: sessions(d)?,
            requests_per_second: limits
                .and_then(|l| l.requests_per_second.as_ref()?.get())
                .map(number),
            packets_per_second: limits
                .and_then(|l| l.packets_per_second.as_ref()?.get())
                .map(|n| n.0),
        },
    })
}

fn pseudo_pool(d: &written::Director) -> Option<Prefix> {
    match given(&d.pseudo_pool)? {
        Some(pool) => Some(*pool),
        None => Prefix::around(DEFAULT_PSEUDO_POOL.0, DEFAULT_PSEUDO_POOL.1),
    }
}

/// How many sessions a director takes at once.
pub(crate) fn sessions(d: &written::Director) -> Option<u32> {
    let given = match given(&d.limits)? {
        Some(limits) => given(&limits.sessions)?.map(|n| n.0),
        None => None,
    };
    Some(given.unwrap_or(DEFAULT_SESSIONS.min(pseudo_pool(d)?.hosts()) as u32))
}

/// The port that everybody speaks.
pub(crate) fn udp_port(w: &written::Topology) -> Option<u16> {
    number16(&w.udp_port, DEFAULT_PORT)
}

fn site(s: &written::Site, gateway: Ipv4Addr, address: Ipv4Addr, public_mtu: u16) -> Option<Site> {
    let nat = s.nat.get()?;
    Some(Site {
        name: s.name.get()?.clone(),
        lan: *s.lan.get()?,
        gateway,
        nat: Nat {
            address,
            udp_timeout: nat.udp_timeout.get()?.0,
            ports: *nat.ports.get()?,
        },
        wan_mtu: number16(&s.wan_mtu, public_mtu)?,
    })
}

pub(crate) fn community(c: &written::Community) -> Option<Community> {
    let directors = c.directors.iter().map(|name| Some(name.get()?.0.clone()));
    let lifetime = given(&c.ticket_lifetime)?.map(|period| period.0.as_secs() as u32);
    Some(Community {
        domain: c.domain.get()?.clone(),
        pools: c
            .pools
            .iter()
            .map(|pool| pool.get().copied())
            .collect::<Option<_>>()?,
        description: line(&c.description)?,
        deny_by_default: given(&c.deny_by_default)?.is_some_and(|flag| flag.0),
        ticket_lifetime_s: lifetime,
        directors: directors.collect::<Option<_>>()?,
        policies: c
            .policies
            .iter()
            .map(|p| policy(p.get()?))
            .collect::<Option<_>>()?,
    })
}

fn policy(p: &written::Policy) -> Option<Policy> {
    let selector = |field| Some(given(field)?.map_or_else(|| Selector::Any.text(), Selector::text));
    let services = p.services.iter().map(|service| Some(service.get()?.0.clone()));
    Some(Policy {
        id: p.id.get()?.as_str().to_owned(),
        action: *p.action.get()?,
        from: selector(&p.from)?,
        to: selector(&p.to)?,
        services: services.collect::<Option<_>>()?,
        level: given(&p.level)?.copied(),
        priority: given(&p.priority)?.map_or(0, |priority| priority.0),
        comment: line(&p.comment)?,
    })
}

pub(crate) fn line(field: &Option<Field<Line>>) -> Option<String> {
    Some(given(field)?.map_or_else(String::new, |line| line.0.clone()))
}

fn location(w: &written::Topology, place: Place, address: Ipv4Addr) -> Option<Location> {
    Some(match place {
        Place::Public => Location::Public { address },
        Place::Site(site) => Location::Site {
            site: w.sites[site].get()?.name.get()?.clone(),
            address,
        },
    })
}

/// What is given, if anything is; `None` outside if it is a hole.
pub(crate) fn given<T>(field: &Option<Field<T>>) -> Option<Option<&T>> {
    match field {
        Some(field) => field.get().map(Some),
        None => Some(None),
    }
}

pub(crate) fn number16<const MIN: u32, const MAX: u32>(
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
