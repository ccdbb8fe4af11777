//! The daemons of a lab: configured from the topology, started in their namespaces, waited for until they are of use.

use super::managers::Manager;
use super::plan::Kind;
use super::process::{self, Process};
use super::progress::Progress;
use super::record::{self, Record};
use super::{agents, controllers, directors};
use crate::error::Error;
use crate::stop::Stop;
use crate::topology::network::network;
use kith_topologies::compiled::Topology;
use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a daemon may take until it is of use: DPDK without huge pages takes seconds on a busy computer.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// It is of use.
    pub good: bool,
    /// In words.
    pub state: String,
    /// Its virtual addresses, as the manager gave them.
    pub addresses: Vec<Ipv4Addr>,
    /// Its pseudo addresses.
    pub pseudo: Vec<Ipv4Addr>,
}

impl Health {
    /// It is of use.
    pub fn good(state: impl Into<String>) -> Self {
        Self {
            good: true,
            state: state.into(),
            addresses: Vec::new(),
            pseudo: Vec::new(),
        }
    }

    /// It is not.
    pub fn bad(state: impl Into<String>) -> Self {
        Self {
            good: false,
            ..Self::good(state)
        }
    }
}

/// Asks the daemon of a node how it is.
#[must_use]
pub fn health(kind: Kind, socket: &Path) -> Health {
    match kind {
        Kind::Director => directors::health(socket),
        Kind::Controller => controllers::health(socket),
        Kind::Member => agents::health(socket),
        _ => Health::good("up"),
    }
}

/// Starts every dataplane and their controller, tells the manager the network, enrols every device and starts its agent, and waits until
/// all are of use.
pub fn start_all(
    record: &mut Record,
    topology: &Topology,
    progress: &Progress,
    stop: &Stop,
) -> Result<(), Error> {
    for director in &topology.directors {
        progress.step(&format!("starting kith-dataplane on {}", director.name));
        start_director(record, topology, director.name.as_str())?;
    }
    wait(record, Kind::Director, stop)?;
    progress.step("starting kith-controller");
    start_controller(record, topology)?;
    wait(record, Kind::Controller, stop)?;
    progress.step("telling the manager the network");
    let answer = Manager::connect(record)?.apply(network(&topology.managed))?;
    for device in &topology.devices {
        for membership in &device.members {
            let fqdn = membership.fqdn.as_str();
            progress.step(&format!("enrolling {fqdn} on {}", device.name));
            let mut invitations = answer.invitations.iter();
            let invitation = invitations.find(|invitation| invitation.fqdn == fqdn);
            let fail = |said: String| Error::NotEnrolled {
                fqdn: fqdn.to_owned(),
                said,
            };
            let invitation = invitation.ok_or_else(|| fail("the manager gave no invitation".into()))?;
            let enrolled = agents::enrol(record, device.name.as_str(), invitation, stop)?;
            if !enrolled.ok {
                return Err(fail(enrolled.said));
            }
        }
        progress.step(&format!("starting kith-agent on {}", device.name));
        start_agent(record, topology, device.name.as_str())?;
    }
    progress.step("waiting for the members to join");
    wait(record, Kind::Member, stop)
}

/// Configures and starts a director's dataplane. Its record is written before anybody waits for it.
pub fn start_director(record: &mut Record, topology: &Topology, node: &str) -> Result<(), Error> {
    let socket = record.file(&format!("{node}.sock"));
    let text = directors::config(record, topology, node, &socket)?;
    launch(record, node, "kith-dataplane", &text, socket)
}

/// Configures and starts the controller. Its record is written before anybody waits for it.
pub fn start_controller(record: &mut Record, topology: &Topology) -> Result<(), Error> {
    let Some(node) = record.of(Kind::Controller).next().map(|node| node.name.clone()) else {
        return Ok(());
    };
    let socket = record.file(&format!("{node}.sock"));
    let text = controllers::config(record, topology, &node, &socket)?;
    launch(record, &node, "kith-controller", &text, socket)
}

/// Starts the agent of a device that is enrolled. Its record is written before anybody waits for it.
pub fn start_agent(record: &mut Record, topology: &Topology, node: &str) -> Result<(), Error> {
    let socket = record.file(&format!("{node}.sock"));
    let site = record.node(node)?.site.clone();
    let words = agents::up(record, node, &socket, topology.udp_port, site.as_deref());
    run(record, node, "kith-agent", &words, socket)
}

fn launch(
    record: &mut Record,
    node: &str,
    program: &'static str,
    text: &str,
    socket: PathBuf,
) -> Result<(), Error> {
    let config = record.file(&format!("{node}.yaml"));
    record::write_private(&config, text)?;
    let words = ["--config".to_owned(), config.display().to_string()];
    run(record, node, program, &words, socket)
}

fn run(
    record: &mut Record,
    node: &str,
    program: &'static str,
    words: &[String],
    socket: PathBuf,
) -> Result<(), Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let process = process::start(record, node, &find(program)?, &words, socket)?;
    record.processes.retain(|old| old.node != node);
    record.processes.push(process);
    record.write()
}

/// Waits until the daemons of all nodes of a kind are of use.
pub fn wait(record: &Record, kind: Kind, stop: &Stop) -> Result<(), Error> {
    for node in record.of(kind) {
        if let Some(process) = record.process(&node.name) {
            wait_for(process, kind, stop)?;
        }
    }
    Ok(())
}

/// Waits until a daemon is of use.
pub fn wait_for(process: &Process, kind: Kind, stop: &Stop) -> Result<(), Error> {
    let program = match kind {
        Kind::Director => "kith-dataplane",
        Kind::Controller => "kith-controller",
        _ => "kith-agent",
    };
    let mut state = String::new();
    let ready = stop.wait(PATIENCE, PAUSE, || {
        if !process.runs() {
            return Err(Error::Died {
                node: process.node.clone(),
                program,
                log: process.log_end(12),
            });
        }
        let health = health(kind, &process.socket);
        state = health.state;
        Ok(health.good.then_some(()))
    })?;
    ready.ok_or_else(|| Error::Late {
        node: process.node.clone(),
        program,
        seconds: PATIENCE.as_secs(),
        state,
        log: process.log_end(12),
    })
}

/// A program of ours: in KITH_BIN_DIR, or beside this program (also one folder up: tests run in `deps`).
pub fn find(name: &'static str) -> Result<PathBuf, Error> {
    let folders: Vec<PathBuf> = match env::var_os("KITH_BIN_DIR") {
        Some(folder) => vec![folder.into()],
        None => {
            let own = env::current_exe().ok();
            own.iter()
                .flat_map(|own| own.ancestors().skip(1).take(2))
                .map(Path::to_owned)
                .collect()
        }
    };
    let looked: Vec<PathBuf> = folders.iter().map(|folder| folder.join(name)).collect();
    match looked.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(Error::Missing { name, looked }),
    }
}
