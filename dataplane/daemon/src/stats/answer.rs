//! What is answered to whom asks.

use crate::dataplane::State;
use crate::worker::Shared;
use kith_api::stats::*;
use kith_dpdk::{Granted, Port};
use kith_p4runtime::update::Count;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::pool::Binding;
use kith_wire::shim::PseudoIp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};

/// What the last status said, for rates.
pub(super) struct Memory(Mutex<Vec<(u64, u64)>>);

impl Memory {
    pub(super) fn new(workers: usize) -> Self {
        Self(Mutex::new(vec![(0, 0); workers]))
    }
}

pub(super) fn answer(request: Request, state: &State, memory: &Memory) -> Response {
    match request {
        Request::Status => Response::Status(status(state, memory)),
        Request::Stats => Response::Stats(stats(state)),
        Request::Drops => Response::Drops(drops(state)),
        Request::Sessions { offset, limit } => Response::Sessions(sessions(state, offset, limit)),
        Request::Neighbors => Response::Neighbors(neighbors(state)),
    }
}

fn uptime(state: &State) -> u64 {
    u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn status(state: &State, memory: &Memory) -> Status {
    let ports = state.ports();
    let ports = (0u8..).zip(ports.iter());
    let ports = ports
        .map(|(index, port)| port_status(state, index, port))
        .collect();
    let tables = state.control.tables();
    let mut last = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
    let workers = (0u16..).zip(&state.workers).zip(last.iter_mut());
    let workers = workers
        .map(|((index, shared), last)| worker_status(state, index, shared, last))
        .collect();
    Status {
        name: state.config.name.clone(),
        program: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        uptime_ms: uptime(state),
        endpoint: endpoint(tables.endpoint),
        device_id: state.config.p4runtime.device_id,
        controller: state.service().has_controller(),
        generation: state.control.generation(),
        huge_pages: state.huge_pages,
        buffers: (state.pool.size(), state.pool.available()),
        ports,
        workers,
        senders: tables.sender.iter().count() as u64,
        sessions: tables.session.iter().count() as u64,
        session_capacity: tables.session.pool().size() as u64,
    }
}

fn endpoint(role: Role) -> Endpoint {
    match role {
        Role::Director { address, udp_port } => Endpoint::Director(SocketAddrV4::new(address, udp_port)),
        Role::Gateway { udp_port } => Endpoint::Gateway(udp_port),
        Role::Nothing => Endpoint::Nothing,
    }
}

fn port_status(state: &State, index: u8, port: &Port) -> PortStatus {
    let written = &state.config.ports[usize::from(index)];
    let link = port.link().ok();
    PortStatus {
        index,
        device: port.device().into(),
        driver: port.driver().into(),
        mac: port.mac().map_or_else(|_| String::new(), |mac| mac.to_string()),
        address: written.address.to_string(),
        gateway: written.gateway,
        mtu: written.mtu,
        link_up: link.is_some_and(|link| link.up),
        link_speed: link.and_then(|link| link.speed),
        offloads: offloads(port.granted()),
    }
}

fn offloads(granted: Granted) -> Vec<String> {
    [
        (granted.rss, "rss"),
        (granted.rss_hash, "rss_hash"),
        (granted.rx_ipv4_checksum, "rx_ipv4_checksum"),
        (granted.rx_udp_checksum, "rx_udp_checksum"),
        (granted.tx_ipv4_checksum, "tx_ipv4_checksum"),
        (granted.tx_udp_checksum, "tx_udp_checksum"),
    ]
    .into_iter()
    .filter(|(granted, _)| *granted)
    .map(|(_, name)| name.into())
    .collect()
}

fn worker_status(state: &State, index: u16, shared: &Shared, last: &mut (u64, u64)) -> WorkerStatus {
    let now = (shared.counters.busy_polls.get(), shared.counters.idle_polls.get());
    let (busy, idle) = (now.0 - last.0, now.1 - last.1);
    *last = now;
    let cores = &state.config.eal.cores;
    WorkerStatus {
        index,
        core: cores.get(usize::from(index) % cores.len().max(1)).copied(),
        busy_polls: now.0,
        idle_polls: now.1,
        busy: busy as f64 / (busy + idle).max(1) as f64,
    }
}

fn stats(state: &State) -> Stats {
    // The ports first: what they count is counted inside a moment later.
    let ports = state.ports();
    let ports = (0u8..)
        .zip(ports.iter())
        .map(|(index, port)| port_stats(index, port))
        .collect();
    let service = state.service();
    let counts = service.slow.counts();
    let slow_path = SlowPathStats {
        taken: counts.taken.get(),
        originated: counts.originated.get(),
        sent: counts.sent.get(),
        consumed: counts.consumed.get(),
        dropped: counts.shared.counters.all_drops(),
        held: service.slow.held() as u64,
    };
    let queued = service.queued() as u64;
    let packet_ins = PuntReason::ALL.iter().zip(&counts.packet_ins);
    let packet_ins = packet_ins
        .map(|(reason, count)| named(reason.name(), count.get()))
        .collect();
    let packet_outs = counts.packet_outs.get();
    let workers: Vec<_> = (0u16..)
        .zip(&state.workers)
        .map(|(index, shared)| worker_stats(index, shared))
        .collect();
    drop(service);
    let punts = PuntReason::ALL.iter().map(|&reason| {
        let count = state
            .workers
            .iter()
            .map(|shared| shared.counters.punted(reason).get())
            .sum();
        named(reason.name(), count)
    });
    Stats {
        uptime_ms: uptime(state),
        conservation: Conservation::of(&workers, &slow_path, queued),
        workers,
        slow_path,
        ports,
        punts: punts.collect(),
        packet_ins,
        packet_outs,
    }
}

fn named(name: &str, count: u64) -> Named {
    Named {
        name: name.into(),
        count,
    }
}

fn worker_stats(index: u16, shared: &Shared) -> WorkerStats {
    let counters = &shared.counters;
    // A packet that found the ring full was counted as a punt, and then as a drop.
    let not_taken = counters.dropped(DropReason::PuntQueueFull).get();
    WorkerStats {
        index,
        received: counters.received.get(),
        received_bytes: counters.received_bytes.get(),
        transmitted: counters.transmitted.get(),
        transmitted_bytes: counters.transmitted_bytes.get(),
        injected: counters.injected.get(),
        handed_over: counters.handed_over.get(),
        taken_over: counters.taken_over.get(),
        punted: counters.all_punts().saturating_sub(not_taken),
        dropped: counters.all_drops(),
    }
}

fn port_stats(index: u8, port: &Port) -> PortStats {
    let stats = port.stats().unwrap_or_default();
    PortStats {
        index,
        received: stats.ipackets,
        received_bytes: stats.ibytes,
        transmitted: stats.opackets,
        transmitted_bytes: stats.obytes,
        missed: stats.imissed,
        receive_errors: stats.ierrors,
        transmit_errors: stats.oerrors,
        no_buffer: stats.rx_nombuf,
    }
}

fn drops(state: &State) -> Drops {
    let slow = state.service().slow.counts().shared.clone();
    let one = |&reason: &DropReason| Drop {
        name: reason.name().into(),
        explanation: reason.explanation().into(),
        workers: state
            .workers
            .iter()
            .map(|shared| shared.counters.dropped(reason).get())
            .sum(),
        slow_path: slow.counters.dropped(reason).get(),
    };
    let drops: Vec<_> = DropReason::ALL.iter().map(one).collect();
    let total = drops.iter().map(|drop| drop.workers + drop.slow_path).sum();
    Drops { drops, total }
}

fn sessions(state: &State, offset: u32, limit: u32) -> Sessions {
    let limit = if limit == 0 {
        MAX_SESSIONS
    } else {
        limit.min(MAX_SESSIONS)
    };
    let tables = state.control.tables();
    let pool = tables.session.pool();
    let is_used =
        |index: &usize| tables.sender.binding(*index).is_some() || tables.session.relay_to(*index).is_some();
    let used = || (0..pool.size()).filter(is_used);
    let listed: Vec<_> = used()
        .skip(offset as usize)
        .take(limit as usize)
        .filter_map(|index| pool.pseudo(index))
        .collect();
    let counts = state.control.session_counts(&listed);
    let one = |(pseudo, count): (PseudoIp, Count)| {
        let (sends, reached) = (tables.sender.get(pseudo), tables.session.get(pseudo));
        Some(Session {
            pseudo: Ipv4Addr::from_bits(pseudo.to_bits()),
            community: sends.or(reached.map(|to| to.binding))?.community().get(),
            sends_from: sends.map(Binding::socket_addr),
            reached_at: reached.map(|to| to.binding.socket_addr()),
            packets: count.packets,
            bytes: count.bytes,
            mtu: reached.map(|to| to.mtu),
        })
    };
    Sessions {
        total: used().count() as u64,
        offset,
        sessions: listed.into_iter().zip(counts).filter_map(one).collect(),
    }
}

fn neighbors(state: &State) -> Neighbors {
    let service = state.service();
    let mut all: Vec<_> = service.slow.neighbors().collect();
    let capacity = service.slow.neighbor_capacity() as u64;
    drop(service);
    all.sort_unstable_by_key(|&(neighbor, ..)| neighbor);
    let total = all.len() as u64;
    let listed = all.into_iter().take(MAX_SESSIONS as usize);
    let neighbors = listed.map(|(OnLink { port, address }, station, how)| Neighbor {
        port: port.0,
        address,
        station: station.map(|station| station.to_string()),
        state: how.into(),
    });
    Neighbors {
        neighbors: neighbors.collect(),
        total,
        capacity,
    }
}
