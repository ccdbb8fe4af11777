//! What is answered to whom asks.

use crate::dataplane::State;
use crate::worker::Shared;
use kith_api::stats::*;
use kith_dpdk::{Granted, Port};
use kith_pipeline::reason::{DropReason, PuntReason};
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
        Request::Tables => Response::Tables(tables(state)),
        Request::Table { name } => match name.as_str() {
            "ports" => Response::Table(ports_table(state)),
            "neighbors" => Response::Table(neighbors_table(state)),
            "sessions" => Response::Table(sessions_table(state)),
            "grants" => Response::Table(grants_table(state)),
            _ => Response::Error(format!(
                "there is no table {name:?}; there are: ports, neighbors, sessions, grants"
            )),
        },
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
    let occupancy = state.service().slow.director().occupancy();
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
        director: SocketAddrV4::new(state.config.director_address(), state.config.director.udp_port),
        huge_pages: state.huge_pages,
        buffers: (state.pool.size(), state.pool.available()),
        ports,
        workers,
        sessions: occupancy.sessions as u64,
        session_capacity: occupancy.pool as u64,
        restored: state.restored as u64,
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
    let director = service.slow.director().counters().iter();
    let director = director.map(|(name, count)| named(name, count)).collect();
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
        director,
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
    let service = state.service();
    let slow = &service.slow;
    let pool = slow.tables().session.pool();
    let relayed = |index| {
        let all = state.workers.iter().chain([&slow.counts().shared]);
        all.map(|shared| shared.direct.session.get(index))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let listed = slow
        .director()
        .sessions(kith_director::Time::from_millis(state.clock.now().0 / 1_000_000));
    let sessions = listed.skip(offset as usize).take(limit as usize).map(|session| {
        let (packets, bytes) = relayed(pool.index(session.pseudo.to_bits()));
        Session {
            pseudo: Ipv4Addr::from_bits(session.pseudo.to_bits()),
            member: session.name.into(),
            key_id: session.key_id.0,
            community: state
                .communities
                .get(&session.community)
                .cloned()
                .unwrap_or_default(),
            bound: session.bound,
            age_ms: u64::try_from(session.age.as_millis()).unwrap_or(u64::MAX),
            idle_ms: u64::try_from(session.idle.as_millis()).unwrap_or(u64::MAX),
            packets,
            bytes,
            mtu: session.mtu,
            sender_only: session.sender_only,
        }
    });
    Sessions {
        total: slow.director().occupancy().sessions as u64,
        offset,
        sessions: sessions.collect(),
    }
}

fn tables(state: &State) -> Tables {
    let service = state.service();
    let slow = &service.slow;
    let occupancy = slow.director().occupancy();
    let size = |name: &str, entries: usize, capacity: usize| TableSize {
        name: name.into(),
        entries: entries as u64,
        capacity: capacity as u64,
    };
    let ports = state.config.ports.len();
    Tables {
        generation: slow.generation(),
        tables: vec![
            size("ports", ports, ports),
            size("neighbors", slow.neighbors().count(), slow.neighbor_capacity()),
            size("sessions", occupancy.sessions, occupancy.pool),
            size("grants", occupancy.grants, occupancy.grants),
        ],
    }
}

fn table(name: &str, columns: &[&str], rows: Vec<Vec<String>>, total: u64) -> Table {
    Table {
        name: name.into(),
        columns: columns.iter().map(|&column| column.into()).collect(),
        rows,
        total,
    }
}

fn ports_table(state: &State) -> Table {
    let networks = state.service().slow.networks().to_vec();
    let rows = networks.iter().enumerate().map(|(index, port)| {
        vec![
            index.to_string(),
            port.mac.to_string(),
            format!("{}/{}", port.address, port.prefix_len),
            port.gateway
                .map_or_else(String::new, |gateway| gateway.to_string()),
            port.mtu.to_string(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let total = rows.len() as u64;
    table(
        "ports",
        &["port", "station", "address", "gateway", "mtu"],
        rows,
        total,
    )
}

fn grants_table(state: &State) -> Table {
    let rows = state.grants.iter().take(MAX_SESSIONS as usize).map(|grant| {
        let community = state.communities.get(&grant.community);
        vec![
            grant.name.clone(),
            grant.key_id.to_string(),
            community.cloned().unwrap_or_default(),
            grant
                .reserved
                .map_or_else(String::new, |reserved| reserved.to_string()),
        ]
    });
    table(
        "grants",
        &["member", "key_id", "community", "reserved"],
        rows.collect(),
        state.grants.len() as u64,
    )
}

fn neighbors_table(state: &State) -> Table {
    let service = state.service();
    let mut all: Vec<_> = service.slow.neighbors().collect();
    drop(service);
    all.sort_unstable_by_key(|&(address, ..)| address);
    let total = all.len() as u64;
    let rows = all
        .into_iter()
        .take(MAX_SESSIONS as usize)
        .map(|(address, port, station, how)| {
            let station = station.map_or_else(String::new, |station| station.to_string());
            vec![address.to_string(), station, port.0.to_string(), how.into()]
        });
    table(
        "neighbors",
        &["address", "station", "port", "state"],
        rows.collect(),
        total,
    )
}

/// The table as workers see it, where the listing of sessions shows the director's side.
fn sessions_table(state: &State) -> Table {
    let tables = state.service().slow.tables();
    let rows = tables
        .sender
        .iter()
        .take(MAX_SESSIONS as usize)
        .map(|(pseudo, binding)| {
            let to = tables.session.get(pseudo);
            vec![
                pseudo.to_string(),
                binding.socket_addr().to_string(),
                to.map_or_else(String::new, |to| to.mtu.to_string()),
                to.is_none().to_string(),
            ]
        });
    let rows = rows.collect();
    let total = tables.sender.iter().count() as u64;
    table(
        "sessions",
        &["pseudo", "bound", "mtu", "sender_only"],
        rows,
        total,
    )
}
