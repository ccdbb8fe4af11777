//! Validated to compiled: names take the place of indexes.
//!
//! Deterministic: the same file gives the same network on every machine.

use crate::{
    compiled::{Device, Membership, Topology},
    managed::Managed,
    validated,
};

pub(crate) fn compile(from: validated::Topology, managed: Managed) -> Topology {
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
    Topology {
        name: from.name,
        udp_port: from.udp_port,
        public: from.public,
        manager: from.manager,
        directors: from.directors,
        sites: from.sites,
        communities: from.communities,
        devices,
        hosts: from.hosts,
        managed,
    }
}
