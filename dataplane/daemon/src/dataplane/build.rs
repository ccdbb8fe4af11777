//! From a configuration to running threads.

use super::{Controller, Dataplane, Link, Service, State, service};
use crate::clock::Clock;
use crate::control::{self, Control};
use crate::neighbor::Limits as NeighborLimits;
use crate::slow::{self, Slow};
use crate::worker::keys::{self, Desk, Keeper, Line};
use crate::worker::{Shared, Worker};
use kith_api::config::{self, Config, HugePages};
use kith_dpdk::{
    Consumer, Eal, EalConfig, EalError, Mempool, MempoolConfig, MempoolError, Port, PortConfig, PortError,
    Producer, RingError, ThreadError,
};
use kith_p4runtime::service as p4runtime;
use kith_p4runtime::target::UpdateError;
use kith_pipeline::counters::AssociationCounters;
use kith_pipeline::gateway::Gateway;
use kith_pipeline::units::WorkerIndex;
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tracing::info;

/// Descriptors of each queue.
const DESCRIPTORS: u16 = 512;
/// Packets in each ring between a worker and the slow path.
const RING: u32 = 1024;
/// Buffers that a worker keeps at hand.
const CACHE: u32 = 256;
/// Ethernet header, two VLAN tags, frame check sequence.
const FRAME_OVERHEAD: u16 = 26;

/// Why a dataplane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// DPDK.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// Packet memory.
    #[error("{0}; raise eal.memory_mib")]
    Memory(#[from] MempoolError),
    /// A port.
    #[error("port {index}: {error}{}", advice(.device))]
    Port {
        /// Its number.
        index: usize,
        /// As configured.
        device: String,
        /// What is wrong.
        error: PortError,
    },
    /// A ring.
    #[error("{0}; raise eal.memory_mib")]
    Ring(#[from] RingError),
    /// A worker cannot have its CPU.
    #[error("worker {worker}: {error} (eal.cores)")]
    Worker {
        /// Which.
        worker: usize,
        /// What is wrong.
        error: ThreadError,
    },
    /// No thread.
    #[error("the system gives no thread: {0}")]
    Thread(io::Error),
    /// The first entries do not fit each other.
    #[error("ports: {0}")]
    Links(#[from] UpdateError),
    /// No clock.
    #[error("DPDK found no frequency of the time stamp counter")]
    Clock,
}

/// What to look at when a device cannot be opened.
fn advice(device: &str) -> String {
    let Some(interface) = device.split(',').find_map(|word| word.strip_prefix("iface=")) else {
        return String::new();
    };
    format!(
        "; see whether the interface is there and up (ip link show {interface}) and whether this runs as root or with CAP_NET_RAW"
    )
}

pub(super) fn build(config: Config) -> Result<Dataplane, StartError> {
    let started = Instant::now();
    let eal = Eal::init(environment(&config))?;
    let clock = Clock::start().ok_or(StartError::Clock)?;
    let pool = pool(&eal, &config)?;
    let (mut ports, stations) = open_ports(&eal, &config, &pool)?;

    let counters = |_| Shared::new(config.sessions.count as usize);
    let shared: Vec<_> = (0..config.workers).map(counters).collect();
    let slow_shared = Shared::slow();
    let seen = Arc::new(AssociationCounters::new(config.associations as usize));
    let (lines, desks) = lines(&eal, &config)?;
    let keeper = Keeper::new(lines, seen.clone(), clock);
    let settings = settings(&config, &stations, &shared, &slow_shared);
    let (control, packet_outs) = Control::with_keys(settings, Box::new(keeper))?;
    let control = Arc::new(control);
    let p4runtime = p4runtime::Service::new(
        control.store().clone(),
        p4runtime::Config {
            device_id: config.p4runtime.device_id,
            ..p4runtime::Config::default()
        },
    );
    let controller = Controller {
        packet_ins: p4runtime.packet_ins(),
        packet_outs,
    };
    let slow = Slow::new(control.clone(), slow_shared, NeighborLimits::default());
    let (mut links, mut workers) = (Vec::new(), Vec::new());
    let mut queues: Vec<_> = ports.iter_mut().filter_map(Port::take_queues).collect();
    for queues in &mut queues {
        queues.rx.reverse();
        queues.tx.reverse();
    }
    let (to_others, from_others) = between(&eal, &config)?;
    let ways = to_others.into_iter().zip(from_others).zip(desks);
    for (index, ((to, from), desk)) in (0..config.workers).zip(ways) {
        let (up_in, up_out) = kith_dpdk::ring(&eal, RING)?;
        let (down_in, down_out) = kith_dpdk::ring(&eal, RING)?;
        let rx = queues.iter_mut().filter_map(|queues| queues.rx.pop()).collect();
        let tx = queues.iter_mut().filter_map(|queues| queues.tx.pop()).collect();
        let gateway = Gateway::of_worker(WorkerIndex(index), config.workers, seen.clone());
        let worker = Worker::new(rx, tx, control.reader(), (up_in, down_out), clock);
        workers.push(worker.with_keys(gateway, desk).with_others(to, from));
        links.push(Link {
            up: up_out,
            down: down_in,
        });
    }
    let state = Arc::new(State {
        started,
        clock,
        workers: shared,
        control,
        p4runtime,
        pool: pool.clone(),
        huge_pages: eal.uses_huge_pages(),
        service: Mutex::new(Service::new(slow, links, controller, pool)),
        ports: Mutex::new(ports),
        stop_workers: AtomicBool::new(false),
        stop_slow: AtomicBool::new(false),
        turns: AtomicU64::new(0),
        _eal: eal.clone(),
        config,
    });
    let mut dataplane = Dataplane {
        state,
        workers: Vec::new(),
        slow: None,
    };
    for (index, worker) in workers.into_iter().enumerate() {
        let handle = spawn_worker(&eal, &dataplane.state, index, worker)?;
        dataplane.workers.push(handle);
    }
    let state = dataplane.state.clone();
    let slow = thread::Builder::new()
        .name("kith-slow".into())
        .spawn(move || service::run(&state));
    dataplane.slow = Some(slow.map_err(StartError::Thread)?);
    Ok(dataplane)
}

/// The ways of orders to each worker, and of their answers.
fn lines(eal: &Eal, config: &Config) -> Result<(Vec<Line>, Vec<Desk>), StartError> {
    let (mut lines, mut desks) = (Vec::new(), Vec::new());
    for _ in 0..config.workers {
        let (orders, obeyed) = kith_dpdk::post(eal, keys::ORDERS)?;
        let (answers, answered) = kith_dpdk::post(eal, keys::ORDERS)?;
        lines.push(Line::new(orders, answered));
        desks.push(Desk::new(obeyed, answers));
    }
    Ok((lines, desks))
}

/// By worker: the rings to the others, in their order and none to itself; and those from them.
type Between = (Vec<Vec<Option<Producer>>>, Vec<Vec<Consumer>>);

/// Rings from each worker to each other one: together as many packets a worker as in its ring to the slow path.
fn between(eal: &Eal, config: &Config) -> Result<Between, StartError> {
    let workers = usize::from(config.workers);
    let mut to: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let each = RING / u32::from(config.workers.saturating_sub(1).max(1));
    for (giver, to) in to.iter_mut().enumerate() {
        for (taker, from) in from.iter_mut().enumerate() {
            if giver == taker || config.associations == 0 {
                to.push(None);
                continue;
            }
            let (producer, consumer) = kith_dpdk::ring(eal, each)?;
            to.push(Some(producer));
            from.push(consumer);
        }
    }
    Ok((to, from))
}

fn environment(config: &Config) -> EalConfig {
    let is_pci = |device: &&config::Port| device.device.contains(':') && !device.device.starts_with("net_");
    EalConfig {
        program: "kith-dataplane".into(),
        huge_pages: match config.eal.huge_pages {
            HugePages::Auto => kith_dpdk::HugePages::Auto,
            HugePages::Off => kith_dpdk::HugePages::Off,
            HugePages::On => kith_dpdk::HugePages::On,
        },
        memory_mib: config.eal.memory_mib,
        pci: config
            .ports
            .iter()
            .filter(is_pci)
            .map(|port| port.device.clone())
            .collect(),
        ..EalConfig::default()
    }
}

/// Buffers for every queue to be full, every cache, every ring and every neighbour's queue, so that none can starve another.
fn pool(eal: &Eal, config: &Config) -> Result<Mempool, StartError> {
    let (workers, ports) = (u32::from(config.workers), config.ports.len() as u32);
    let queues = workers * ports * 2 * u32::from(DESCRIPTORS);
    let hands_over = workers > 1 && config.associations > 0;
    let others = if hands_over { RING } else { 0 };
    let inside = workers * (2 * RING + 2 * CACHE + others) + NeighborLimits::default().held_all as u32;
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
    let config = MempoolConfig {
        mbufs: (queues + inside).next_power_of_two() - 1,
        cache: CACHE,
        data_room: mtu.saturating_add(FRAME_OVERHEAD).max(2048),
        socket: None,
    };
    Ok(Mempool::new(eal, "packets", &config)?)
}

fn open_ports(eal: &Eal, config: &Config, pool: &Mempool) -> Result<(Vec<Port>, Vec<MacAddr>), StartError> {
    let (mut ports, mut stations) = (Vec::new(), Vec::new());
    for (index, wanted) in config.ports.iter().enumerate() {
        let fail = |error| StartError::Port {
            index,
            device: wanted.device.clone(),
            error,
        };
        let settings = PortConfig {
            rx_queues: config.workers,
            tx_queues: config.workers,
            rx_desc: DESCRIPTORS,
            tx_desc: DESCRIPTORS,
            mtu: wanted.mtu,
            ..PortConfig::new(wanted.device.as_str())
        };
        let port = Port::open(eal, &settings, std::slice::from_ref(pool)).map_err(fail)?;
        let mac = MacAddr(port.mac().map_err(fail)?.0);
        info!(index, device = port.device(), driver = port.driver(), %mac, address = %wanted.address, "port open");
        stations.push(mac);
        ports.push(port);
    }
    Ok((ports, stations))
}

fn settings(
    config: &Config,
    stations: &[MacAddr],
    workers: &[Arc<Shared>],
    slow: &Arc<Shared>,
) -> control::Settings {
    let links = config
        .ports
        .iter()
        .zip(stations)
        .map(|(port, &station)| control::Link {
            station,
            network: port.address,
            gateway: port.gateway,
            mtu: port.mtu,
        });
    // Configurations that begin at 0 are refused.
    let first = PseudoIp::new(config.sessions.first.to_bits().max(1));
    control::Settings {
        links: links.collect(),
        sessions: (
            first.unwrap_or_else(|| unreachable!("at least 1")),
            config.sessions.count as usize,
        ),
        associations: config.associations,
        punt_rates: slow::punt_rates(),
        workers: workers.to_vec(),
        slow: slow.clone(),
    }
}

/// Starts a worker, and waits until it has its CPU.
fn spawn_worker(
    eal: &Eal,
    state: &Arc<State>,
    index: usize,
    worker: Worker,
) -> Result<JoinHandle<()>, StartError> {
    let (eal, state) = (eal.clone(), state.clone());
    let (tell, told) = mpsc::channel();
    let run = move || {
        let cores = &state.config.eal.cores;
        let core = cores.get(index % cores.len().max(1)).copied();
        let registered = eal.register_thread(core);
        // Short sleeps are meant: the system adds 50 µs to each otherwise. If it refuses, rests are longer.
        let _slack = nix::sys::prctl::set_timerslack(1_000);
        match registered {
            Ok(_thread) => {
                let _told = tell.send(Ok(()));
                worker.run(&state.workers[index], state.config.idle, &state.stop_workers);
            }
            Err(error) => drop(tell.send(Err(StartError::Worker { worker: index, error }))),
        }
    };
    let handle = thread::Builder::new()
        .name(format!("kith-worker{index}"))
        .spawn(run)
        .map_err(StartError::Thread)?;
    match told.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(StartError::Thread(io::Error::other("it ended at once"))),
    }
}
