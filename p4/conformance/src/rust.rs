//! The Rust pipeline.

use crate::entry::Entry;
use crate::seal::{NOW, inbound, outbound};
use crate::world::{Counted, Direction, Input, Limit, Outcome, Side, World};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::gateway::Gateway;
use kith_pipeline::meter::Rate;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::path::Path;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::association::OpenWith;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::local::{FromMember, InCommunity, ToVirtual};
use kith_pipeline::table::member::{Pair, SealTo, Tunnel};
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::policy::{Decision, Flow, Rule};
use kith_pipeline::table::pool::Binding;
use kith_pipeline::table::port::{AcceptBy, LeaveBy};
use kith_pipeline::table::route::{Hop, Prefix};
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::{RelayTo, SessionTable};
use kith_pipeline::table::virtual_address::VirtualAddress;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex, SaIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// The first of as many pseudo addresses as the tables of cases have room for.
const POOL: (u32, usize) = (0xf000_0001, 1024);
/// When all packets of a case come.
const NOW_NANOS: Nanos = Nanos(NOW.0 * 1_000_000);
/// How many security associations of each direction.
const ASSOCIATIONS: usize = 16;

/// The pipeline with a world in its tables.
pub struct Rust {
    tables: Tables,
    counters: &'static Counters,
    direct: &'static DirectCounters,
    path: Path<'static>,
    counted: Vec<(String, u32)>,
}

/// An entry that the pipeline cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline does not take an entry of `{table}`: {why}")]
pub struct Refused {
    table: String,
    why: String,
}

impl Rust {
    /// Writes the world's entries.
    pub fn new(world: &World) -> Result<Self, Refused> {
        let first = PseudoIp::new(POOL.0).unwrap_or_else(|| unreachable!("not 0"));
        let senders = Arc::new(SenderTable::new(first, POOL.1));
        let mut tables = Tables::new(senders, Arc::new(SessionTable::new(first, POOL.1)));
        let unlimited = Rate {
            per_second: u32::MAX,
            burst: u32::MAX,
        };
        tables.punt_rates = [unlimited; PuntReason::COUNT];
        for (reason, limit) in &world.punts {
            tables.punt_rates[*reason as usize] = rate(*limit);
        }
        let mut counted = Vec::new();
        for entry in &world.entries {
            let limit = world
                .senders
                .iter()
                .find(|(pseudo, _)| u64::from(*pseudo) == entry.field("source_member"));
            let index = insert(&mut tables, entry, limit.map(|(_, limit)| rate(*limit)));
            let index = index.map_err(|why| Refused {
                table: entry.table.clone(),
                why,
            })?;
            if let Some(index) = index {
                counted.push((entry.table.clone(), index));
            }
        }
        // A worker's path lives as long as its counters; a test's as long as its process.
        let counters: &'static Counters = Box::leak(Box::default());
        let direct: &'static DirectCounters = Box::leak(Box::new(DirectCounters::new(POOL.1)));
        Ok(Self {
            tables,
            counters,
            direct,
            path: Path::with_gateway(counters, direct, gateway(world)?),
            counted,
        })
    }
}

impl Side for Rust {
    fn process(&mut self, input: &Input) -> Outcome {
        let mut burst = [HostPacket::from_bytes(&input.frame)];
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        self.path.process(
            &self.tables,
            PortIndex(input.port),
            NOW_NANOS,
            &mut burst,
            &mut verdicts,
        );
        let frame = burst[0].bytes().to_vec();
        match verdicts[0] {
            Verdict::Transmit(port) => Outcome::Sent {
                port: u32::from(port.0),
                frame,
            },
            Verdict::Punt(reason) => Outcome::Up {
                reason: reason.name().to_owned(),
                ingress: u32::from(input.port),
                frame,
            },
            Verdict::Drop(reason) => Outcome::Dropped {
                reason: reason.name().to_owned(),
            },
        }
    }

    fn counted(&mut self) -> Counted {
        let direct = self.counted.iter().map(|(table, index)| {
            let counters = match table.as_str() {
                "session" => &self.direct.session,
                "association" => &self.direct.association,
                _ => &self.direct.member,
            };
            let (packets, octets) = counters.get(*index as usize);
            (table.clone(), packets, octets)
        });
        Counted {
            drops: DropReason::ALL
                .iter()
                .map(|reason| self.counters.dropped(*reason).get())
                .collect(),
            punts: PuntReason::ALL
                .iter()
                .map(|reason| self.counters.punted(*reason).get())
                .collect(),
            direct: direct.collect(),
        }
    }
}

/// A gateway with the world's keys.
fn gateway(world: &World) -> Result<Gateway, Refused> {
    let mut gateway = Gateway::new(ASSOCIATIONS);
    for association in &world.associations {
        let at = SaIndex(association.sa);
        let installed = match association.direction {
            Direction::Seal => {
                outbound(association).map(|sa| gateway.install_outbound(at, Box::new(sa)).map(drop))
            }
            Direction::Open => {
                inbound(association).map(|sa| gateway.install_inbound(at, Box::new(sa)).map(drop))
            }
        };
        let refused = |why: String| Refused {
            table: "sa".to_owned(),
            why,
        };
        installed
            .ok_or_else(|| refused("a reserved SPI".to_owned()))?
            .map_err(|why| refused(why.to_string()))?;
    }
    Ok(gateway)
}

fn rate(limit: Limit) -> Rate {
    Rate {
        per_second: limit.per_second,
        burst: limit.burst,
    }
}

/// An entry with its numbers as the pipeline's types.
struct Numbers<'e>(&'e Entry);

impl Numbers<'_> {
    fn u64(&self, name: &str) -> u64 {
        match self.0.part(name) {
            Some(part) => part.value,
            None => self.0.parameter(name),
        }
    }

    fn u32(&self, name: &str) -> u32 {
        self.u64(name) as u32
    }

    fn u16(&self, name: &str) -> u16 {
        self.u64(name) as u16
    }

    fn key_port(&self) -> Result<PortIndex, String> {
        port(self.0.field("port"))
    }

    fn port(&self) -> Result<PortIndex, String> {
        port(self.0.parameter("port"))
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.u32(name))
    }

    /// A parameter that has the same name as a field of the key.
    fn parameter(&self, name: &str) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.parameter(name) as u32)
    }

    fn station(&self) -> MacAddr {
        let octets = self.0.parameter("station").to_be_bytes();
        MacAddr([octets[2], octets[3], octets[4], octets[5], octets[6], octets[7]])
    }

    fn community(&self) -> Result<CommunityIndex, String> {
        CommunityIndex::new(self.u16("community")).ok_or_else(|| "community 0".to_owned())
    }

    fn pseudo(&self, name: &str) -> Result<PseudoIp, String> {
        PseudoIp::new(self.u32(name)).ok_or_else(|| "pseudo address 0".to_owned())
    }

    fn endpoint(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.parameter("address"), self.0.parameter("port") as u16)
    }

    fn flow(&self, of: impl Fn(&str) -> u64) -> Flow {
        Flow {
            community: of("community") as u16,
            source: of("source") as u32,
            destination: of("destination") as u32,
            protocol: of("protocol") as u8,
            source_port: of("source_port") as u16,
            destination_port: of("destination_port") as u16,
        }
    }
}

fn port(number: u64) -> Result<PortIndex, String> {
    u8::try_from(number)
        .map(PortIndex)
        .map_err(|_| format!("port {number}"))
}

/// Enters it; gives the index of its counters, if it has any.
fn insert(tables: &mut Tables, entry: &Entry, limit: Option<Rate>) -> Result<Option<u32>, String> {
    let e = Numbers(entry);
    let told = |why: kith_pipeline::table::TableError| why.to_string();
    match entry.table.as_str() {
        "endpoint" => {
            tables.endpoint = match entry.action.as_str() {
                "act_as_director" => Role::Director {
                    address: e.address("address"),
                    udp_port: e.u16("udp_port"),
                },
                "act_as_gateway" => Role::Gateway {
                    udp_port: e.u16("udp_port"),
                },
                _ => Role::Nothing,
            };
            return Ok(None);
        }
        "ingress_port" => {
            let accept = AcceptBy {
                station: e.station(),
                address: e.parameter("address"),
            };
            tables.ingress_port.insert(e.key_port()?, accept)
        }
        "sender" => {
            let binding = Binding::new(e.endpoint(), e.community()?);
            tables.sender.insert(e.pseudo("source_member")?, binding, limit)
        }
        "session" => {
            let pseudo = e.pseudo("destination_member")?;
            let to = RelayTo {
                binding: Binding::new(e.endpoint(), e.community()?),
                mtu: e.u16("mtu"),
            };
            tables.session.insert(pseudo, to).map_err(told)?;
            let index = tables.session.pool().index(pseudo.to_bits());
            return Ok(u32::try_from(index).ok());
        }
        "local_destination" => {
            let key = OnLink {
                port: e.key_port()?,
                address: e.address("address"),
            };
            let to = ToVirtual {
                community: e.community()?,
                address: e.parameter("address"),
            };
            tables.local_destination.insert(key, to)
        }
        "local_source" => {
            let key = InCommunity {
                port: e.key_port()?,
                community: e.community()?,
                address: e.address("address"),
            };
            let from = FromMember {
                address: e.parameter("address"),
                director: e.parameter("director"),
                pseudo: PseudoIp::new(e.u32("pseudo")),
            };
            tables.local_source.insert(key, from)
        }
        "association" => {
            let with = OpenWith {
                sa: SaIndex(e.u32("sa")),
                community: e.community()?,
                source: e.parameter("source"),
                destination: e.parameter("destination"),
                mtu: e.u16("mtu"),
            };
            return tables
                .association
                .insert(e.u32("spi"), with)
                .map(Some)
                .map_err(told);
        }
        "policy" => {
            let value = e.flow(|name| entry.field(name));
            let mask = e.flow(|name| entry.part(name).map_or(0, |part| part.mask));
            let priority = i32::try_from(entry.priority).map_err(|why| why.to_string())?;
            let decision = if entry.action == "allow" {
                Decision::Allow
            } else {
                Decision::Deny
            };
            tables.policy.insert(Rule::new(priority, value, mask), decision)
        }
        "member" => {
            let pair = Pair {
                community: e.community()?,
                source: e.address("source"),
                destination: e.address("destination"),
            };
            let tunnel = match entry.action.as_str() {
                "await_keys" => Tunnel::AwaitKeys,
                _ => Tunnel::SealTo(SealTo {
                    sa: SaIndex(e.u32("sa")),
                    address: e.endpoint(),
                    director: e.parameter("director"),
                    pseudo: PseudoIp::new(e.u32("pseudo")),
                    mtu: e.u16("mtu"),
                }),
            };
            return tables.member.insert(pair, tunnel).map(Some).map_err(told);
        }
        "virtual_destination" => {
            let key = VirtualAddress {
                community: e.community()?,
                address: e.address("address"),
            };
            let to = OnLink {
                port: e.port()?,
                address: e.parameter("address"),
            };
            tables.virtual_destination.insert(key, to)
        }
        "virtual_source" => {
            let key = InCommunity {
                port: e.key_port()?,
                community: e.community()?,
                address: e.address("address"),
            };
            tables.virtual_source.insert(key, e.parameter("address"))
        }
        "route" => {
            let bits = entry.part("destination").map_or(0, |part| part.mask.count_ones());
            let prefix = Prefix::new(e.address("destination"), bits as u8).map_err(told)?;
            let hop = match entry.action.as_str() {
                "via" => Hop::Via {
                    port: e.port()?,
                    gateway: e.parameter("gateway"),
                },
                _ => Hop::OnLink { port: e.port()? },
            };
            tables.route.insert(prefix, hop)
        }
        "neighbor" => {
            let key = OnLink {
                port: e.key_port()?,
                address: e.address("address"),
            };
            tables.neighbor.insert(key, e.station())
        }
        "egress_port" => tables
            .egress_port
            .insert(e.key_port()?, LeaveBy { station: e.station() }),
        other => return Err(format!("no table `{other}`")),
    }
    .map_err(told)?;
    Ok(None)
}
