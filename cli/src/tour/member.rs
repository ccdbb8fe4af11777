//! A membership as it is now: what the topology says of its device, and what manager and director gave it.

use super::Tour;
use crate::error::Error;
use crate::lab::agents;
use crate::lab::record::Record;
use kith_topologies::compiled::{Device, Location, Membership, Topology};
use kith_topologies::{Fqdn, Name};
use std::net::Ipv4Addr;

/// A member of a community.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its name in the community.
    pub(super) fqdn: Fqdn,
    /// The community's domain.
    pub(super) community: Fqdn,
    /// Its computer.
    pub(super) node: Name,
    /// Where that sits.
    pub(super) location: Location,
    /// Its address in the community, as the manager gave it.
    pub(super) virtual_ip: Ipv4Addr,
    /// The adapter of that address.
    pub(super) adapter: String,
    /// Its director.
    pub(super) director: Name,
    /// Its pseudo address there.
    pub(super) pseudo: Ipv4Addr,
}

/// All memberships that are joined, in the order of the file.
pub(super) fn members(record: &Record, topology: &Topology) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    for (device, membership) in topology.members() {
        members.extend(member(record, topology, device, membership)?);
    }
    Ok(members)
}

fn member(
    record: &Record,
    topology: &Topology,
    device: &Device,
    membership: &Membership,
) -> Result<Option<Member>, Error> {
    let fqdn = membership.fqdn.as_str();
    let Some(process) = record.process(device.name.as_str()).filter(|p| p.runs()) else {
        return Ok(None);
    };
    let joined = agents::memberships(&process.socket)?;
    let Some(joined) = joined.into_iter().find(|joined| joined.fqdn == fqdn) else {
        return Ok(None);
    };
    let session = agents::status(&process.socket, fqdn)?.director;
    let director = session.as_ref().and_then(|session| {
        let mut directors = topology.directors.iter();
        directors.find(|director| director.address == *session.address.ip())
    });
    let (Some(virtual_ip), Some(director)) = (joined.address, director) else {
        return Ok(None);
    };
    Ok(Some(Member {
        fqdn: membership.fqdn.clone(),
        community: membership.community.clone(),
        node: device.name.clone(),
        location: device.location.clone(),
        virtual_ip,
        adapter: joined.adapter,
        director: director.name.clone(),
        pseudo: session
            .and_then(|session| session.pseudo)
            .unwrap_or(Ipv4Addr::UNSPECIFIED),
    }))
}

impl Tour {
    /// Every ordered pair of members of one community.
    pub(super) fn pairs(&self) -> Vec<(Member, Member)> {
        let members = &self.members;
        let pairs = members
            .iter()
            .flat_map(|from| members.iter().map(move |to| (from.clone(), to.clone())));
        pairs
            .filter(|(from, to)| from.fqdn != to.fqdn && from.community == to.community)
            .collect()
    }

    /// Looks again at who is joined and where.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        self.members = members(&self.record, &self.topology)?;
        Ok(())
    }
}
