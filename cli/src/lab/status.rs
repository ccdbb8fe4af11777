//! `kith lab status`, `list` and `logs`: what stands, and how it is.

use super::command::Command;
use super::daemons;
use super::plan::{Kind, Node};
use super::record::{self, Phase, Record};
use crate::error::Error;
use crate::output::{self, Format};
use serde::Serialize;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// A lab in a listing.
#[derive(Debug, Serialize)]
struct Lab {
    name: String,
    topology: String,
    phase: Option<Phase>,
    nodes: usize,
    daemons_running: usize,
    daemons: usize,
}

/// A node and how it is.
#[derive(Debug, Serialize)]
struct NodeStatus<'a> {
    #[serde(flatten)]
    node: &'a Node,
    /// Its namespace exists, and its daemon runs and is ready.
    good: bool,
    program: Option<&'a str>,
    pid: Option<i32>,
    state: String,
    addresses: Vec<Ipv4Addr>,
    pseudo: Vec<Ipv4Addr>,
}

#[derive(Debug, Serialize)]
struct LabStatus<'a> {
    name: &'a str,
    topology: &'a str,
    phase: Phase,
    good: bool,
    nodes: Vec<NodeStatus<'a>>,
}

/// `kith lab status`. Exit status 1 if something is not as it should be.
pub fn run(record: &Record, format: Format) -> Result<u8, Error> {
    let nodes: Vec<_> = record.nodes.iter().map(|node| look(record, node)).collect();
    let status = LabStatus {
        name: &record.name,
        topology: &record.topology,
        phase: record.phase,
        good: record.phase == Phase::Up && nodes.iter().all(|node| node.good),
        nodes,
    };
    output::show(format, &status, describe)?;
    Ok(u8::from(!status.good))
}

fn look<'a>(record: &'a Record, node: &'a Node) -> NodeStatus<'a> {
    let process = record.process(&node.name);
    let mut status = NodeStatus {
        node,
        good: false,
        program: process.map(|process| process.program.as_str()),
        pid: process.map(|process| process.pid),
        state: "no namespace".into(),
        addresses: Vec::new(),
        pseudo: Vec::new(),
    };
    if !namespace_exists(&node.namespace) {
        return status;
    }
    let health = match process {
        Some(process) if process.runs() => daemons::health(node.kind, &process.socket),
        Some(_) => daemons::Health::bad("not running"),
        None if matches!(node.kind, Kind::Director | Kind::Controller | Kind::Member) => {
            daemons::Health::bad("never started")
        }
        None => daemons::Health::good("up"),
    };
    (status.good, status.state) = (health.good, health.state);
    (status.addresses, status.pseudo) = (health.addresses, health.pseudo);
    status
}

fn describe(status: &LabStatus<'_>) -> String {
    let phase = match status.phase {
        Phase::Up => "up",
        Phase::Building => "half-built: `kith lab down` removes it",
    };
    let rows: Vec<Vec<String>> = status
        .nodes
        .iter()
        .map(
            |NodeStatus {
                 node,
                 pid,
                 state,
                 addresses,
                 pseudo,
                 ..
             }| {
                vec![
                    node.name.clone(),
                    format!("{:?}", node.kind).to_lowercase(),
                    node.site.clone().unwrap_or_else(|| "-".into()),
                    or_dash(node.address.as_ref()),
                    all(addresses),
                    all(pseudo),
                    or_dash(pid.as_ref()),
                    state.clone(),
                ]
            },
        )
        .collect();
    let headers = [
        "node", "kind", "site", "address", "virtual", "pseudo", ">pid", "state",
    ];
    format!(
        "lab {} ({}): {phase}\n\n{}",
        status.name,
        status.topology,
        output::table(&headers, &rows)
    )
}

/// Of a device in several communities there are several.
fn all(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "-".into()
    } else {
        texts.join(", ")
    }
}

fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".into(), ToString::to_string)
}

/// `kith lab list`.
pub fn list(format: Format) -> Result<u8, Error> {
    let labs: Vec<Lab> = record::names().iter().map(|name| summary(name)).collect();
    output::show(format, &labs, |labs| {
        if labs.is_empty() {
            return "no lab stands\n".into();
        }
        let rows: Vec<Vec<String>> = labs
            .iter()
            .map(|lab| {
                vec![
                    lab.name.clone(),
                    lab.topology.clone(),
                    lab.phase.map_or_else(
                        || "unreadable".into(),
                        |phase| format!("{phase:?}").to_lowercase(),
                    ),
                    lab.nodes.to_string(),
                    format!("{}/{}", lab.daemons_running, lab.daemons),
                ]
            })
            .collect();
        output::table(&["lab", "topology", "state", ">nodes", ">daemons"], &rows)
    })?;
    Ok(0)
}

fn summary(name: &str) -> Lab {
    // One unreadable record (or one that only root may read) must not hide the others.
    let record = Record::read(name).ok().flatten();
    let processes = record.as_ref().map_or(&[][..], |record| &record.processes);
    Lab {
        name: name.to_owned(),
        topology: record
            .as_ref()
            .map_or_else(|| "-".into(), |record| record.topology.clone()),
        phase: record.as_ref().map(|record| record.phase),
        nodes: record.as_ref().map_or(0, |record| record.nodes.len()),
        daemons_running: processes.iter().filter(|process| process.runs()).count(),
        daemons: processes.len(),
    }
}

/// `kith lab logs`.
pub fn logs(lab: Option<&str>, node: &str, follow: bool) -> Result<u8, Error> {
    let record = record::choose(lab)?;
    let node = record.node(node)?;
    let Some(process) = record.process(&node.name) else {
        return Err(Error::Usage(format!(
            "`{}` runs no daemon, so it has no log",
            node.name
        )));
    };
    if follow {
        let source = std::process::Command::new("tail")
            .args(["-n", "+1", "-F"])
            .arg(&process.log)
            .exec();
        return Err(Error::Start {
            program: "tail".into(),
            source,
        });
    }
    let text = fs::read(&process.log).map_err(|source| record::io("read", &process.log, source))?;
    output::print(&String::from_utf8_lossy(&text));
    Ok(0)
}

/// Whether a namespace of this name exists.
#[must_use]
pub fn namespace_exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

/// The names of all network namespaces.
#[must_use]
pub fn namespaces() -> Vec<String> {
    let listed = Command::line("ip netns list").run().unwrap_or_default();
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}
