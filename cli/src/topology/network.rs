//! A topology as operators say it to a manager: everything but where computers sit and what their addresses are.

use kith_protocol::admin::{Community, Director, Invitee, Network, Policy};
use kith_topologies::compiled::{self, Action, Level, Topology};

/// What the manager is to know.
#[must_use]
pub fn network(topology: &Topology) -> Network {
    let policies = topology.communities.iter();
    let policies = policies.flat_map(|community| {
        let policies = community.policies.iter();
        policies.map(|written| policy(community.domain.as_str(), written))
    });
    let members = topology.members();
    Network {
        communities: topology.communities.iter().map(community).collect(),
        members: members
            .map(|(device, membership)| invitee(device, membership))
            .collect(),
        policies: policies.collect(),
        directors: topology
            .directors
            .iter()
            .map(|written| director(topology, written))
            .collect(),
    }
}

fn community(community: &compiled::Community) -> Community {
    Community {
        domain: community.domain.to_string(),
        pools: community.pools.iter().map(ToString::to_string).collect(),
        description: community.description.clone(),
        deny_by_default: community.deny_by_default,
        directors: community.directors.iter().map(ToString::to_string).collect(),
        ..Community::default()
    }
}

fn invitee(device: &compiled::Device, membership: &compiled::Membership) -> Invitee {
    Invitee {
        fqdn: membership.fqdn.to_string(),
        email: device.email.clone(),
        user: device.user.clone(),
        tags: device.tags.clone(),
        ..Invitee::default()
    }
}

fn policy(domain: &str, policy: &compiled::Policy) -> Policy {
    let level = match policy.level {
        None => "",
        Some(Level::Domain) => "domain",
        Some(Level::User) => "user",
        Some(Level::Machine) => "machine",
    };
    Policy {
        id: policy.id.to_string(),
        community: domain.to_owned(),
        level: level.to_owned(),
        priority: policy.priority,
        allow: policy.action == Action::Allow,
        from: policy.from.clone(),
        to: policy.to.clone(),
        services: policy.services.clone(),
        comment: policy.comment.clone(),
    }
}

fn director(topology: &Topology, director: &compiled::Director) -> Director {
    Director {
        name: director.name.to_string(),
        address: director.address.to_string(),
        port: u32::from(topology.udp_port),
        udp: true,
        capacity: director.limits.sessions,
        ..Director::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_quickstart_says_who_belongs_where_and_what_is_denied() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let network = network(&kith_topologies::load(&file).unwrap().topology);
        let domains: Vec<_> = network.communities.iter().map(|c| c.domain.as_str()).collect();
        assert_eq!(domains, ["acme.example", "globex.example"]);
        assert!(network.communities.iter().all(|c| c.directors == ["nrd1"]));
        let names: Vec<_> = network.members.iter().map(|m| m.fqdn.as_str()).collect();
        assert_eq!(
            names,
            [
                "alice.acme.example",
                "bob.acme.example",
                "carol.acme.example",
                "carol.globex.example",
                "dave.globex.example"
            ]
        );
        assert!(
            network
                .members
                .iter()
                .all(|m| m.address.is_empty() && !m.email.is_empty())
        );
        let [telnet] = network.policies.as_slice() else {
            panic!()
        };
        assert_eq!(
            (telnet.allow, telnet.level.as_str(), telnet.from.as_str()),
            (false, "", "any")
        );
        assert_eq!(
            (network.directors[0].port, network.directors[0].udp),
            (20202, true)
        );
    }
}
