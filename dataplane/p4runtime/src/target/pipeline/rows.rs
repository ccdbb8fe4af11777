//! Rows of snapshot tables → the pipeline's tables.

use super::rate;
use crate::entry::{
    EndpointAction, Entry, Key, MemberAction, MemberKey, PolicyAction, PolicyKey, Prefix, RouteAction,
};
use crate::target::backend::Rows;
use kith_pipeline::meter::Rate;
use kith_pipeline::table::TableError;
use kith_pipeline::table::association::OpenWith;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::exact::{ExactTable, Key as Hashed};
use kith_pipeline::table::local::{FromMember, InCommunity, ToVirtual};
use kith_pipeline::table::member::{Pair, SealTo, Tunnel};
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::numbered::NumberedTable;
use kith_pipeline::table::policy::{Decision, Flow, PolicyTable, Rule};
use kith_pipeline::table::port::{AcceptBy, LeaveBy, PortTable};
use kith_pipeline::table::route::{Hop, Prefix as Route, RouteTable};
use kith_pipeline::table::virtual_address::VirtualAddress;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{PortIndex, SaIndex};
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Enters a row, or changes it.
pub(super) fn set(tables: &mut Tables, entry: &Entry) -> Result<(), TableError> {
    match *entry {
        Entry::IngressPort(key, to) => tables.ingress_port.put(
            key.port,
            AcceptBy {
                station: to.station,
                address: to.address,
            },
        ),
        Entry::LocalDestination(key, to) => {
            let value = ToVirtual {
                community: to.community,
                address: to.address,
            };
            tables.local_destination.put(
                OnLink {
                    port: key.port,
                    address: key.address,
                },
                value,
            )
        }
        Entry::LocalSource(key, to) => {
            let place = InCommunity {
                port: key.port,
                community: key.community,
                address: key.address,
            };
            let value = FromMember {
                address: to.address,
                director: to.director,
                pseudo: pseudo(to.pseudo),
            };
            tables.local_source.put(place, value)
        }
        Entry::Association(key, to) => {
            let value = OpenWith {
                sa: SaIndex(to.sa),
                community: to.community,
                source: to.source,
                destination: to.destination,
                mtu: to.mtu,
            };
            tables.association.put(key.spi, value)
        }
        Entry::Policy(key, to) => {
            let decision = match to {
                PolicyAction::Allow => Decision::Allow,
                PolicyAction::Deny => Decision::Deny,
            };
            tables.policy.put(rule(key), decision)
        }
        Entry::Member(key, to) => tables.member.put(pair(key), tunnel(to)),
        Entry::VirtualDestination(key, to) => {
            let place = VirtualAddress {
                community: key.community,
                address: key.address,
            };
            tables.virtual_destination.put(
                place,
                OnLink {
                    port: to.port,
                    address: to.address,
                },
            )
        }
        Entry::VirtualSource(key, to) => {
            let place = InCommunity {
                port: key.port,
                community: key.community,
                address: key.address,
            };
            tables.virtual_source.put(place, to.address)
        }
        Entry::Route(key, to) => {
            let hop = match to {
                RouteAction::OnLink { port } => Hop::OnLink { port },
                RouteAction::Via { port, gateway } => Hop::Via { port, gateway },
            };
            tables.route.put(route(key.destination)?, hop)
        }
        Entry::Neighbor(key, to) => tables.neighbor.put(
            OnLink {
                port: key.port,
                address: key.address,
            },
            to.station,
        ),
        Entry::EgressPort(key, to) => tables.egress_port.put(key.port, LeaveBy { station: to.station }),
        // Not rows of a snapshot: the endpoint by `set_endpoint`, the others in place.
        Entry::Endpoint(..) | Entry::Sender(..) | Entry::Session(..) => Ok(()),
    }
}

/// Takes a row out, if it is there.
pub(super) fn remove(tables: &mut Tables, key: &Key) {
    match *key {
        Key::IngressPort(key) => gone(tables.ingress_port.remove(key.port)),
        Key::LocalDestination(key) => {
            gone(tables.local_destination.remove(OnLink {
                port: key.port,
                address: key.address,
            }));
        }
        Key::LocalSource(key) => {
            let place = InCommunity {
                port: key.port,
                community: key.community,
                address: key.address,
            };
            gone(tables.local_source.remove(place));
        }
        Key::Association(key) => gone(tables.association.remove(key.spi)),
        Key::Policy(key) => gone(tables.policy.remove(rule(key))),
        Key::Member(key) => gone(tables.member.remove(pair(key))),
        Key::VirtualDestination(key) => {
            let place = VirtualAddress {
                community: key.community,
                address: key.address,
            };
            gone(tables.virtual_destination.remove(place));
        }
        Key::VirtualSource(key) => {
            let place = InCommunity {
                port: key.port,
                community: key.community,
                address: key.address,
            };
            gone(tables.virtual_source.remove(place));
        }
        Key::Route(key) => gone(route(key.destination).and_then(|prefix| tables.route.remove(prefix))),
        Key::Neighbor(key) => gone(tables.neighbor.remove(OnLink {
            port: key.port,
            address: key.address,
        })),
        Key::EgressPort(key) => gone(tables.egress_port.remove(key.port)),
        Key::Endpoint(_) | Key::Sender(_) | Key::Session(_) => {}
    }
}

/// The default action of `endpoint`, and the punt meters.
pub(super) fn set_endpoint(tables: &mut Tables, rows: &Rows) {
    tables.endpoint = match rows.endpoint {
        EndpointAction::Director { address, udp_port } => Role::Director { address, udp_port },
        EndpointAction::Gateway { udp_port } => Role::Gateway { udp_port },
        EndpointAction::Nothing => Role::Nothing,
    };
    for (place, meter) in tables.punt_rates.iter_mut().zip(&rows.punt_meter) {
        // Section 9.4: a meter that is not configured lets everything pass.
        *place = meter.map_or(
            Rate {
                per_second: u32::MAX,
                burst: u32::MAX,
            },
            rate,
        );
    }
}

/// The pair of members of a key.
pub(super) fn pair(key: MemberKey) -> Pair {
    Pair {
        community: key.community,
        source: key.source,
        destination: key.destination,
    }
}

fn tunnel(action: MemberAction) -> Tunnel {
    match action {
        MemberAction::AwaitKeys => Tunnel::AwaitKeys,
        MemberAction::SealTo {
            sa,
            address,
            port,
            director,
            pseudo: member,
            mtu,
        } => Tunnel::SealTo(SealTo {
            sa: SaIndex(sa),
            address: SocketAddrV4::new(address, port),
            director,
            pseudo: pseudo(member),
            mtu,
        }),
    }
}

fn rule(key: PolicyKey) -> Rule {
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
    // The codec took it from an i32.
    Rule::new(i32::try_from(key.priority).unwrap_or(i32::MAX), value, mask)
}

fn route(prefix: Prefix) -> Result<Route, TableError> {
    Route::new(prefix.address(), prefix.length())
}

/// 0.0.0.0 is no pseudo address.
fn pseudo(address: Ipv4Addr) -> Option<PseudoIp> {
    PseudoIp::new(address.to_bits())
}

/// Insert or modify: the store has judged which of them is allowed.
trait Put<K, V> {
    fn put(&mut self, key: K, value: V) -> Result<(), TableError>;
}

macro_rules! put {
    ($([$($generics:tt)*] $table:ty, $key:ty, $value:ty;)*) => { $(
        impl<$($generics)*> Put<$key, $value> for $table {
            fn put(&mut self, key: $key, value: $value) -> Result<(), TableError> {
                if self.get(key).is_some() {
                    self.modify(key, value).map(drop)
                } else {
                    self.insert(key, value).map(drop)
                }
            }
        }
    )* };
}
put! {
    [K: Hashed, V: Copy] ExactTable<K, V>, K, V;
    [K: Hashed, V: Copy] NumberedTable<K, V>, K, V;
    [V: Copy] PortTable<V>, PortIndex, V;
    [] PolicyTable, Rule, Decision;
    [] RouteTable, Route, Hop;
}

/// A row that is not there is as gone as one that was taken out.
fn gone<T>(_: Result<T, TableError>) {}
