//! What a manager is to know of a network: everything but the wiring, that is where computers sit and what their own addresses are.
//!
//! Every file has this part; `kith topology plan`, `apply` and `diff` compare it with what a manager has, and a lab tells it to its own.
//! Nothing here depends on the order of the file but the order of the lists.

use crate::{
    Fqdn,
    check::build,
    compiled::{Community, Role},
    read::Field,
    scalars::Transport,
    written,
};
use serde::Serialize;
use std::net::Ipv4Addr;

/// What a manager is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Managed {
    /// Communities with their policies, in the order of the file.
    pub communities: Vec<Community>,
    /// Members, in the order of the file.
    pub members: Vec<Member>,
    /// Route directors, in the order of the file.
    pub directors: Vec<Listing>,
}

/// A member of a community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its full name.
    pub fqdn: Fqdn,
    /// Where its invitation and its confirmation code are mailed; empty if `user` is the address.
    pub email: String,
    /// To whom it belongs; may be empty.
    pub user: String,
    /// What kind of computer it is; may be empty.
    pub platform: String,
    /// The virtual address that is kept for it, if one is.
    pub address: Option<Ipv4Addr>,
    /// Words that policies select it by.
    pub tags: Vec<String>,
}

/// A route director, as members are sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where members reach it from outside.
    pub address: Ipv4Addr,
    /// Where members inside its network do.
    pub private_address: Option<Ipv4Addr>,
    /// On which port.
    pub port: u16,
    /// It takes sessions over UDP.
    pub udp: bool,
    /// It takes sessions over TCP.
    pub tcp: bool,
    /// Sites that it serves.
    pub sites: Vec<String>,
    /// Public addresses of NATs that it serves.
    pub nat_addresses: Vec<Ipv4Addr>,
    /// Sessions that it takes; 0 for no bound.
    pub capacity: u32,
    /// It gets no new sessions.
    pub draining: bool,
}

/// From a written form that nothing is wrong with; `addresses` of directors are the wiring's, if there is one. `None` only where a hole was
/// reported.
pub(crate) fn managed(w: &written::Topology, addresses: &[Option<Ipv4Addr>]) -> Option<Managed> {
    let members = w.devices.iter().map(|device| members(device.get()?));
    let members: Vec<Vec<Member>> = members.collect::<Option<_>>()?;
    let directors = w.directors.iter().enumerate().map(|(at, director)| {
        let address = addresses.get(at).copied().flatten();
        listing(w, director.get()?, address)
    });
    let communities = w.communities.iter();
    Some(Managed {
        communities: communities
            .map(|community| build::community(community.get()?))
            .collect::<Option<_>>()?,
        members: members.into_iter().flatten().collect(),
        directors: directors.collect::<Option<_>>()?,
    })
}

fn members(d: &written::Device) -> Option<Vec<Member>> {
    let email = build::given(&d.email)?.map_or_else(String::new, |mail| mail.0.clone());
    let (user, platform) = (build::line(&d.user)?, build::line(&d.platform)?);
    let tags: Vec<String> = words(&d.tags, |tag| tag.0.clone())?;
    let one = |member: &Field<written::Membership>| {
        let member = member.get()?;
        Some(Member {
            fqdn: member.name.get()?.clone(),
            email: email.clone(),
            user: user.clone(),
            platform: platform.clone(),
            address: build::given(&member.address)?.copied(),
            tags: tags.clone(),
        })
    };
    d.members.iter().map(one).collect()
}

fn listing(w: &written::Topology, d: &written::Director, wired: Option<Ipv4Addr>) -> Option<Listing> {
    let port = build::number16(&d.port, build::udp_port(w)?)?;
    let takes = |transport| d.transports.iter().any(|one| one.get() == Some(&transport));
    let capacity = match build::given(&d.capacity)? {
        Some(capacity) => capacity.0,
        None => build::sessions(d)?,
    };
    Some(Listing {
        name: d.name.get()?.as_str().to_owned(),
        role: *d.role.get()?,
        address: build::given(&d.address)?.copied().or(wired)?,
        private_address: build::given(&d.private_address)?.copied(),
        port,
        udp: d.transports.is_empty() || takes(Transport::Udp),
        tcp: takes(Transport::Tcp),
        sites: words(&d.sites, |site| site.0.clone())?,
        nat_addresses: words(&d.nat_addresses, |address| *address)?,
        capacity,
        draining: build::given(&d.draining)?.is_some_and(|flag| flag.0),
    })
}

fn words<T, R>(fields: &[Field<T>], word: impl Fn(&T) -> R) -> Option<Vec<R>> {
    fields.iter().map(|field| field.get().map(&word)).collect()
}
