//! Validated to compiled: names take the place of indexes.
//!
//! Deterministic: the same file gives the same network on every machine.

use crate::{
    compiled::{Community, Device, Membership, Topology},
    validated,
};

pub(crate) fn compile(from: validated::Topology) -> Topology {
    let domain = |at: usize| from.communities[at].domain.clone();
    let devices = from.devices.iter().map(|device| Device {
        name: device.name.clone(),
        location: device.location.clone(),
        members: device
            .members
            .iter()
            .map(|(fqdn, community)| Membership {
                fqdn: fqdn.clone(),
                community: domain(*community),
            })
            .collect(),
        email: device.email.clone(),
        user: device.user.clone(),
        tags: device.tags.clone(),
    });
    let devices = devices.collect();
    let names: Vec<_> = from.directors.iter().map(|director| &director.name).collect();
    let communities = from.communities.iter().map(|community| Community {
        domain: community.domain.clone(),
        pools: community.pools.clone(),
        description: community.description.clone(),
        deny_by_default: community.deny_by_default,
        directors: community.directors.iter().map(|at| names[*at].clone()).collect(),
        policies: community.policies.clone(),
    });
    let communities = communities.collect();
    Topology {
        name: from.name,
        udp_port: from.udp_port,
        public: from.public,
        manager: from.manager,
        directors: from.directors,
        sites: from.sites,
        communities,
        devices,
        hosts: from.hosts,
    }
}
