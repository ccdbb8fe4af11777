//! The daemons of a lab: configured from the topology, started in their namespaces, waited for until they are of use.

use super::plan::Kind;
use super::process::{self, Process};
use super::progress::Progress;
use super::record::{self, Record};
use super::{agents, controllers, directors};
use crate::error::Error;
use crate::stop::Stop;
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
    /// Its pseudo address, if it has one.
    pub pseudo: Option<Ipv4Addr>,
}

impl Health {
    /// It is of use.
    pub fn good(state: impl Into<String>) -> Self {
        Self {
            good: true,
            state: state.into(),
            pseudo: None,
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

/// Starts every dataplane, their controller, then every agent, and waits until all are of use.
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
    for member in &topology.members {
        progress.step(&format!("starting kith-agent on {}", member.node));
        start_agent(record, topology, member.node.as_str())?;
    }
    progress.step("waiting for the members' sessions");
    wait(record, Kind::Member, stop)
}

/// Configures and starts a director's dataplane. Its record is written before anybody waits for it.
pub fn start_director(record: &mut Record, topology: &Topology, node: &str) -> Result<(), Error> {
    let socket = record.file(&format!("{node}.sock"));
    let text = directors::config(record, topology, node, &socket)?;
    launch(record, node, "kith-dataplane", &text, socket)
}

/// Configures and starts the controller, if the lab has one. Its record is written before anybody waits for it.
pub fn start_controller(record: &mut Record, topology: &Topology) -> Result<(), Error> {
    let Some(node) = record.of(Kind::Controller).next().map(|node| node.name.clone()) else {
        return Ok(());
    };
    let socket = record.file(&format!("{node}.sock"));
    let text = controllers::config(record, topology, &node, &socket)?;
    launch(record, &node, "kith-controller", &text, socket)
}

/// Configures and starts a member's agent. Its record is written before anybody waits for it.
pub fn start_agent(record: &mut Record, topology: &Topology, node: &str) -> Result<(), Error> {
    let socket = record.file(&format!("{node}.sock"));
    let text = agents::config(topology, node, &socket)?;
    launch(record, node, "kith-agent", &text, socket)
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
    let config = config.display().to_string();
    let process = process::start(record, node, &find(program)?, &["--config", &config], socket)?;
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
