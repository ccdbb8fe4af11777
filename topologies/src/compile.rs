//! Validated to compiled: pseudo addresses given out, keys derived, every member's view of its peers.
//!
//! Deterministic: the same file gives the same network on every machine, which is how members and directors agree without
//! a manager.

use crate::{
    Fqdn, Secret,
    compiled::{self, Grant, KeyId, Location, Peer, Topology, Via},
    validated,
};
use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddrV4},
};

pub(crate) fn compile(from: &validated::Topology) -> Topology {
    let pseudo = pseudo_addresses(from);
    let overrides: HashMap<(usize, usize), &Secret> = from
        .communities
        .iter()
        .flat_map(|c| c.pairs.iter().map(|(pair, key)| (*pair, key)))
        .collect();
    let view = View {
        from,
        pseudo: &pseudo,
        overrides: &overrides,
    };
    Topology {
        name: from.name.clone(),
        udp_port: from.udp_port,
        public: from.public,
        directors: (0..from.directors.len()).map(|at| view.director(at)).collect(),
        sites: from.sites.clone(),
        members: (0..from.members.len()).map(|at| view.member(at)).collect(),
        hosts: from.hosts.clone(),
    }
}

/// The id of a member's director key. The check that ids differ uses it too.
pub(crate) fn key_id(member: &Fqdn) -> KeyId {
    let digest = ring::digest::digest(&ring::digest::SHA256, member.as_str().as_bytes());
    KeyId(
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |id, octet| id << 8 | u64::from(*octet)),
    )
}

/// Reserved addresses stand; the others get, in the order of the file, the next free address from the pool's first host on.
fn pseudo_addresses(from: &validated::Topology) -> Vec<Ipv4Addr> {
    let mut taken: Vec<HashSet<Ipv4Addr>> = vec![HashSet::new(); from.directors.len()];
    for member in &from.members {
        taken[member.director].extend(member.pseudo);
    }
    let mut next: Vec<u32> = from
        .directors
        .iter()
        .map(|d| d.pseudo_pool.network().to_bits())
        .collect();
    let mut give = |member: &validated::Member| {
        member.pseudo.unwrap_or_else(|| {
            let next = &mut next[member.director];
            loop {
                // Ends inside the pool: the check has counted that it has room for all.
                *next += 1;
                let address = Ipv4Addr::from_bits(*next);
                if !taken[member.director].contains(&address) {
                    return address;
                }
            }
        })
    };
    from.members.iter().map(&mut give).collect()
}

struct View<'a> {
    from: &'a validated::Topology,
    pseudo: &'a [Ipv4Addr],
    overrides: &'a HashMap<(usize, usize), &'a Secret>,
}

impl View<'_> {
    fn director(&self, at: usize) -> compiled::Director {
        let d = &self.from.directors[at];
        let members = self
            .from
            .members
            .iter()
            .zip(self.pseudo)
            .filter(|(m, _)| m.director == at);
        let mut grants: Vec<Grant> = members
            .map(|(m, pseudo)| Grant {
                key_id: key_id(&m.fqdn),
                key: m.director_key.clone(),
                community: self.from.communities[m.community].domain.clone(),
                pseudo: *pseudo,
                member: m.fqdn.clone(),
            })
            .collect();
        grants.sort_by_key(|grant| grant.key_id);
        compiled::Director {
            name: d.name.clone(),
            role: d.role,
            address: d.address,
            pseudo_pool: d.pseudo_pool,
            workers: d.workers,
            session_lifetime: d.session_lifetime,
            keep_alive: d.keep_alive,
            limits: d.limits,
            grants,
        }
    }

    fn member(&self, at: usize) -> compiled::Member {
        let m = &self.from.members[at];
        let community = &self.from.communities[m.community];
        let director = &self.from.directors[m.director];
        let peers = self.from.members.iter().enumerate();
        let peers = peers.filter(|(other, peer)| *other != at && peer.community == m.community);
        compiled::Member {
            fqdn: m.fqdn.clone(),
            node: m.node.clone(),
            community: community.domain.clone(),
            virtual_ip: m.virtual_ip,
            pool: community.pool,
            location: m.location.clone(),
            director: director.name.clone(),
            director_address: self.socket(director.address),
            key_id: key_id(&m.fqdn),
            director_key: m.director_key.clone(),
            pseudo: self.pseudo[at],
            peers: peers.map(|(other, _)| self.peer(at, other)).collect(),
        }
    }

    fn peer(&self, at: usize, other: usize) -> Peer {
        let (me, peer) = (&self.from.members[at], &self.from.members[other]);
        let pseudo = self.pseudo[other];
        let via = match &peer.location {
            Location::Public { address } => Via::Direct {
                address: self.socket(*address),
                pseudo,
            },
            Location::Site { .. } => {
                let director = &self.from.directors[peer.director];
                Via::Director {
                    director: director.name.clone(),
                    address: self.socket(director.address),
                    pseudo,
                }
            }
        };
        let psk = match self.overrides.get(&(at.min(other), at.max(other))) {
            Some(key) => (*key).clone(),
            None => self.from.communities[me.community]
                .secret
                .pair(me.fqdn.as_str(), peer.fqdn.as_str()),
        };
        Peer {
            fqdn: peer.fqdn.clone(),
            virtual_ip: peer.virtual_ip,
            via,
            psk,
        }
    }

    fn socket(&self, address: Ipv4Addr) -> SocketAddrV4 {
        SocketAddrV4::new(address, self.from.udp_port)
    }
}
