//! Entries as controllers write them ► tables as packets meet them.
//!
//! A table that changed is made anew from its rows, for a generation is one step anyhow; those with counters keep the numbers of the
//! entries that stay.

use kith_p4runtime::entry::{self, Entry, Table};
use kith_p4runtime::target::Rows;
use kith_pipeline::meter::Rate;
use kith_pipeline::table::TableError;
use kith_pipeline::table::association::OpenWith;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::exact::{ExactTable, Key};
use kith_pipeline::table::local::{self, FromMember, InCommunity, ToVirtual};
use kith_pipeline::table::member::{Pair, SealTo, Tunnel};
use kith_pipeline::table::neighbor::{self, OnLink};
use kith_pipeline::table::numbered::NumberedTable;
use kith_pipeline::table::policy::{Decision, Flow, PolicyTable, Rule};
use kith_pipeline::table::pool::Binding;
use kith_pipeline::table::port::{AcceptBy, LeaveBy, PortTable};
use kith_pipeline::table::route::{Hop, Prefix, RouteTable};
use kith_pipeline::table::session::RelayTo;
use kith_pipeline::table::virtual_address::{self, VirtualAddress};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::SaIndex;
use kith_wire::shim::PseudoIp;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddrV4;

/// Makes one table of the next generation what its rows say.
pub(super) fn rebuild(next: &mut Tables, rows: &Rows, table: Table) -> Result<(), TableError> {
    let entries = rows.of(table).values().map(|row| row.entry);
    match table {
        Table::Endpoint => next.endpoint = role(rows.endpoint),
        // These change in place.
        Table::Sender | Table::Session => {}
        Table::IngressPort => {
            next.ingress_port = PortTable::new();
            for entry in entries {
                let Entry::IngressPort(key, to) = entry else {
                    continue;
                };
                let accept = AcceptBy {
                    station: to.station,
                    address: to.address,
                };
                next.ingress_port.insert(key.port, accept)?;
            }
        }
        Table::EgressPort => {
            next.egress_port = PortTable::new();
            for entry in entries {
                let Entry::EgressPort(key, to) = entry else {
                    continue;
                };
                next.egress_port
                    .insert(key.port, LeaveBy { station: to.station })?;
            }
        }
        Table::LocalDestination => {
            next.local_destination = exact(
                local::DESTINATION_SCHEMA.size,
                entries.filter_map(local_destination),
            )?;
        }
        Table::LocalSource => {
            next.local_source = exact(local::SOURCE_SCHEMA.size, entries.filter_map(local_source))?;
        }
        Table::VirtualDestination => {
            let size = virtual_address::DESTINATION_SCHEMA.size;
            next.virtual_destination = exact(size, entries.filter_map(virtual_destination))?;
        }
        Table::VirtualSource => {
            let size = virtual_address::SOURCE_SCHEMA.size;
            next.virtual_source = exact(size, entries.filter_map(virtual_source))?;
        }
        Table::Neighbor => next.neighbor = exact(neighbor::SCHEMA.size, entries.filter_map(on_link))?,
        Table::Association => renumber(&mut next.association, entries.filter_map(opened))?,
        Table::Member => renumber(&mut next.member, entries.filter_map(tunnel))?,
        Table::Policy => {
            next.policy = PolicyTable::default();
            for (rule, decision) in entries.filter_map(rule) {
                next.policy.insert(rule, decision)?;
            }
        }
        Table::Route => {
            next.route = RouteTable::default();
            for entry in entries {
                let Entry::Route(key, to) = entry else { continue };
                let prefix = Prefix::new(key.destination.address(), key.destination.length())?;
                next.route.insert(prefix, hop(to))?;
            }
        }
    }
    Ok(())
}

/// Where a sender sends from.
pub(super) fn sends_from(from: entry::Authorise) -> Binding {
    Binding::new(SocketAddrV4::new(from.address, from.port), from.community)
}

/// As the controller wrote it.
pub(super) fn authorise(from: Binding) -> entry::Authorise {
    entry::Authorise {
        address: *from.socket_addr().ip(),
        port: from.port(),
        community: from.community(),
    }
}

/// Where a session is reached.
pub(super) fn reached_at(to: entry::RelayTo) -> RelayTo {
    RelayTo {
        binding: Binding::new(SocketAddrV4::new(to.address, to.port), to.community),
        mtu: to.mtu,
    }
}

/// As the controller wrote it.
pub(super) fn relay_to(to: RelayTo) -> entry::RelayTo {
    entry::RelayTo {
        address: *to.binding.socket_addr().ip(),
        port: to.binding.port(),
        community: to.binding.community(),
        mtu: to.mtu,
    }
}

/// Red packets are dropped, green and yellow ones pass: only the peak rate counts (RFC 2698).
pub(super) fn rate(meter: kith_p4runtime::update::MeterConfig) -> Rate {
    Rate {
        per_second: meter.pir,
        burst: meter.pburst,
    }
}

/// The station of a neighbour, and where it is.
pub(super) fn on_link(entry: Entry) -> Option<(OnLink, kith_wire::ethernet::MacAddr)> {
    let Entry::Neighbor(key, to) = entry else {
        return None;
    };
    let neighbor = OnLink {
        port: key.port,
        address: key.address,
    };
    Some((neighbor, to.station))
}

fn role(endpoint: entry::EndpointAction) -> Role {
    match endpoint {
        entry::EndpointAction::Director { address, udp_port } => Role::Director { address, udp_port },
        entry::EndpointAction::Gateway { udp_port } => Role::Gateway { udp_port },
        entry::EndpointAction::Nothing => Role::Nothing,
    }
}

fn local_destination(entry: Entry) -> Option<(OnLink, ToVirtual)> {
    let Entry::LocalDestination(key, to) = entry else {
        return None;
    };
    let stand_in = OnLink {
        port: key.port,
        address: key.address,
    };
    let member = ToVirtual {
        community: to.community,
        address: to.address,
    };
    Some((stand_in, member))
}

fn local_source(entry: Entry) -> Option<(InCommunity, FromMember)> {
    let Entry::LocalSource(key, to) = entry else {
        return None;
    };
    let device = InCommunity {
        port: key.port,
        community: key.community,
        address: key.address,
    };
    let member = FromMember {
        address: to.address,
        director: to.director,
        pseudo: PseudoIp::new(to.pseudo.to_bits()),
    };
    Some((device, member))
}

fn virtual_destination(entry: Entry) -> Option<(VirtualAddress, OnLink)> {
    let Entry::VirtualDestination(key, to) = entry else {
        return None;
    };
    let member = VirtualAddress {
        community: key.community,
        address: key.address,
    };
    let device = OnLink {
        port: to.port,
        address: to.address,
    };
    Some((member, device))
}

fn virtual_source(entry: Entry) -> Option<(InCommunity, std::net::Ipv4Addr)> {
    let Entry::VirtualSource(key, to) = entry else {
        return None;
    };
    let member = InCommunity {
        port: key.port,
        community: key.community,
        address: key.address,
    };
    Some((member, to.address))
}

fn opened(entry: Entry) -> Option<(u32, OpenWith)> {
    let Entry::Association(key, to) = entry else {
        return None;
    };
    let open_with = OpenWith {
        sa: SaIndex(to.sa),
        community: to.community,
        source: to.source,
        destination: to.destination,
        mtu: to.mtu,
    };
    Some((key.spi, open_with))
}

fn tunnel(entry: Entry) -> Option<(Pair, Tunnel)> {
    let Entry::Member(key, to) = entry else {
        return None;
    };
    let pair = Pair {
        community: key.community,
        source: key.source,
        destination: key.destination,
    };
    let tunnel = match to {
        entry::MemberAction::AwaitKeys => Tunnel::AwaitKeys,
        entry::MemberAction::SealTo {
            sa,
            address,
            port,
            director,
            pseudo,
            mtu,
        } => Tunnel::SealTo(SealTo {
            sa: SaIndex(sa),
            address: SocketAddrV4::new(address, port),
            director,
            pseudo: PseudoIp::new(pseudo.to_bits()),
            mtu,
        }),
    };
    Some((pair, tunnel))
}

fn rule(entry: Entry) -> Option<(Rule, Decision)> {
    let Entry::Policy(key, to) = entry else {
        return None;
    };
    let value = Flow {
        community: key.community.value,
        source: key.source.value.to_bits(),
        destination: key.destination.value.to_bits(),
        protocol: key.protocol.value,
        source_port: key.source_port.value,
        destination_port: key.destination_port.value,
    };
    let mask = Flow {
        community: key.community.mask,
        source: key.source.mask.to_bits(),
        destination: key.destination.mask.to_bits(),
        protocol: key.protocol.mask,
        source_port: key.source_port.mask,
        destination_port: key.destination_port.mask,
    };
    let decision = match to {
        entry::PolicyAction::Allow => Decision::Allow,
        entry::PolicyAction::Deny => Decision::Deny,
    };
    // The standard's priorities are positive numbers of 32 bits with a sign.
    let priority = i32::try_from(key.priority).unwrap_or(i32::MAX);
    Some((Rule::new(priority, value, mask), decision))
}

fn hop(to: entry::RouteAction) -> Hop {
    match to {
        entry::RouteAction::OnLink { port } => Hop::OnLink { port },
        entry::RouteAction::Via { port, gateway } => Hop::Via { port, gateway },
    }
}

fn exact<K: Key, V: Copy>(
    size: usize,
    entries: impl Iterator<Item = (K, V)>,
) -> Result<ExactTable<K, V>, TableError> {
    let mut table = ExactTable::bounded(size);
    for (key, value) in entries {
        table.insert(key, value)?;
    }
    Ok(table)
}

/// Changes what differs, so that entries that stay keep their numbers, and with them their counters.
fn renumber<K: Key + Hash, V: Copy>(
    table: &mut NumberedTable<K, V>,
    entries: impl Iterator<Item = (K, V)>,
) -> Result<(), TableError> {
    let wanted: HashMap<K, V> = entries.collect();
    let gone: Vec<K> = table
        .iter()
        .map(|(key, ..)| *key)
        .filter(|key| !wanted.contains_key(key))
        .collect();
    for key in gone {
        table.remove(key)?;
    }
    for (key, value) in wanted {
        match table.get(key) {
            Some(_) => drop(table.modify(key, value)?),
            None => drop(table.insert(key, value)?),
        }
    }
    Ok(())
}

/// The number of an entry's counters.
pub(super) fn number(tables: &Tables, key: &entry::Key) -> Option<(Counted, usize)> {
    let of = |index: u32| usize::try_from(index).ok();
    match key {
        entry::Key::Session(key) => {
            let index = tables.session.pool().index(key.destination_member.to_bits());
            Some((Counted::Session, index))
        }
        entry::Key::Association(key) => {
            let (_, index) = tables.association.get(key.spi)?;
            Some((Counted::Association, of(index)?))
        }
        entry::Key::Member(key) => {
            let pair = Pair {
                community: key.community,
                source: key.source,
                destination: key.destination,
            };
            let (_, index) = tables.member.get(pair)?;
            Some((Counted::Member, of(index)?))
        }
        _ => None,
    }
}

/// Tables whose entries have counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Session,
    Association,
    Member,
}
