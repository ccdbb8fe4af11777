//! What the configuration, sessions and associations come to as entries of the dataplane.

use super::config::{GatewayConfig, Policy};
use super::core::Device;
use super::pairs::Pair;
use crate::keying::Whereabouts;
use kith_p4runtime::entry::{
    AssociationKey, Deliver, EndpointAction, EndpointKey, Entry, FromMember, LocalDestinationKey,
    LocalSourceKey, MemberAction, MemberKey, OpenWith, PolicyAction, PolicyKey, StandIn, Table, Ternary,
    ToVirtual, VirtualDestinationKey, VirtualSourceKey,
};
use kith_pipeline::units::SaIndex;
use std::net::Ipv4Addr;

/// Tables that a gateway's controller writes; links, routes and neighbours are the dataplane's own.
pub(super) const TABLES: [Table; 7] = [
    Table::LocalDestination,
    Table::LocalSource,
    Table::Association,
    Table::Policy,
    Table::Member,
    Table::VirtualDestination,
    Table::VirtualSource,
];

/// What the node is.
pub(super) fn endpoint(config: &GatewayConfig) -> Entry {
    let udp_port = config.udp_port;
    (EndpointKey {}, EndpointAction::Gateway { udp_port }).into()
}

/// Everything but associations and tunnels.
pub(super) fn fixed(config: &GatewayConfig, devices: &[Device]) -> Vec<Entry> {
    let (port, community) = (config.lan, config.community);
    let mut entries = Vec::new();
    for member in &config.members {
        let seen = LocalDestinationKey {
            port,
            address: member.stand_in,
        };
        let is = ToVirtual {
            community,
            address: member.address,
        };
        entries.push((seen, is).into());
        let remote = VirtualSourceKey {
            port,
            community,
            address: member.address,
        };
        let address = member.stand_in;
        entries.push((remote, StandIn { address }).into());
    }
    for device in devices {
        entries.push(source(config, device));
        let virtual_one = VirtualDestinationKey {
            community,
            address: device.address,
        };
        let address = device.local;
        entries.push((virtual_one, Deliver { port, address }).into());
    }
    entries.extend(policies(config, devices));
    entries
}

/// Which member a device is, and how its packets name it.
pub(super) fn source(config: &GatewayConfig, device: &Device) -> Entry {
    let key = LocalSourceKey {
        port: config.lan,
        address: device.local,
        community: config.community,
    };
    let (director, pseudo) = device.seat().map_or(
        (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
        |(director, pseudo)| (*director.ip(), pseudo),
    );
    let action = FromMember {
        address: device.address,
        director,
        pseudo,
    };
    (key, action).into()
}

/// The tunnel of a pair: sealed with `sa`, or keys are asked for.
pub(super) fn tunnel(config: &GatewayConfig, device: &Device, pair: &Pair, sa: Option<SaIndex>) -> Entry {
    let key = MemberKey {
        community: config.community,
        source: device.address,
        destination: config.members[pair.member].address,
    };
    let Some(SaIndex(sa)) = sa else {
        return (key, MemberAction::AwaitKeys).into();
    };
    let (to, director, pseudo) = match pair.there {
        Whereabouts::Public(at) => (at, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
        Whereabouts::Director { director, pseudo } => (director, *director.ip(), pseudo),
    };
    let seal_to = MemberAction::SealTo {
        sa,
        address: *to.ip(),
        port: to.port(),
        director,
        pseudo,
        mtu: config.path_mtu,
    };
    (key, seal_to).into()
}

/// An association that opens packets of a pair.
pub(super) fn opening(config: &GatewayConfig, device: &Device, pair: &Pair, spi: u32, sa: SaIndex) -> Entry {
    let action = OpenWith {
        sa: sa.0,
        community: config.community,
        source: config.members[pair.member].address,
        destination: device.address,
        mtu: config.path_mtu,
    };
    (AssociationKey { spi }, action).into()
}

/// Rules for each pair, in their order; each says who may be called, and answers go back.
fn policies(config: &GatewayConfig, devices: &[Device]) -> Vec<Entry> {
    const FREE: &[Policy] = &[Policy {
        allow: true,
        protocol: None,
        port: None,
    }];
    let rules = config.policies.as_deref().unwrap_or(FREE);
    let mut priorities = (1..=i32::MAX as u32).rev();
    let mut entries = Vec::new();
    for rule in rules {
        for (device, pair) in devices
            .iter()
            .flat_map(|device| device.pairs.iter().map(move |pair| (device, pair)))
        {
            let ends = [device.address, config.members[pair.member].address];
            for (source, destination) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                let ways: &[(Option<u16>, Option<u16>)] = match rule.port {
                    None => &[(None, None)],
                    port => &[(None, port), (port, None)],
                };
                for (source_port, destination_port) in ways {
                    let key = PolicyKey {
                        priority: priorities.next().unwrap_or(1),
                        community: Ternary::exact(config.community.get()),
                        source: Ternary::exact(source),
                        destination: Ternary::exact(destination),
                        protocol: rule.protocol.map_or_else(Ternary::any, Ternary::exact),
                        source_port: source_port.map_or_else(Ternary::any, Ternary::exact),
                        destination_port: destination_port.map_or_else(Ternary::any, Ternary::exact),
                    };
                    let action = if rule.allow {
                        PolicyAction::Allow
                    } else {
                        PolicyAction::Deny
                    };
                    entries.push((key, action).into());
                }
            }
        }
    }
    entries
}
