//! A topology as operators say it to a manager: everything but where computers sit and what their addresses are.

use kith_protocol::admin::{Community, Director, Invitee, Network, Policy};
use kith_topologies::compiled::{self, Action, Level, Role};
use kith_topologies::managed::{Listing, Managed, Member};
use std::net::Ipv4Addr;

/// What the manager is to know.
#[must_use]
pub fn network(managed: &Managed) -> Network {
    let policies = managed.communities.iter();
    let policies = policies.flat_map(|community| {
        let policies = community.policies.iter();
        policies.map(|written| policy(community.domain.as_str(), written))
    });
    Network {
        communities: managed.communities.iter().map(community).collect(),
        members: managed.members.iter().map(invitee).collect(),
        policies: policies.collect(),
        directors: managed.directors.iter().map(director).collect(),
    }
}

fn community(community: &compiled::Community) -> Community {
    Community {
        domain: community.domain.to_string(),
        pools: community.pools.iter().map(ToString::to_string).collect(),
        description: community.description.clone(),
        deny_by_default: community.deny_by_default,
        directors: community.directors.clone(),
        ticket_lifetime_s: community.ticket_lifetime_s.unwrap_or(0),
        ..Community::default()
    }
}

fn invitee(member: &Member) -> Invitee {
    Invitee {
        fqdn: member.fqdn.to_string(),
        email: member.email.clone(),
        user: member.user.clone(),
        platform: member.platform.clone(),
        address: text(member.address),
        tags: member.tags.clone(),
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
        id: policy.id.clone(),
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

fn director(director: &Listing) -> Director {
    Director {
        name: director.name.clone(),
        private: director.role == Role::Private,
        address: director.address.to_string(),
        private_address: text(director.private_address),
        port: director.port.into(),
        udp: director.udp,
        tcp: director.tcp,
        sites: director.sites.clone(),
        nat_addresses: director.nat_addresses.iter().map(ToString::to_string).collect(),
        capacity: director.capacity,
        draining: director.draining,
        ..Director::default()
    }
}

fn text(address: Option<Ipv4Addr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_quickstart_says_who_belongs_where_and_what_is_denied() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let network = network(&kith_topologies::load(&file).unwrap().topology.managed);
        let domains: Vec<_> = network.communities.iter().map(|c| c.domain.as_str()).collect();
        assert_eq!(domains, ["acme.example", "globex.example"]);
        assert!(network.communities.iter().all(|c| c.directors.is_empty()));
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
