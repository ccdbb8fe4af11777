//! `kith lab up`: builds a lab, all of it or nothing.

use super::agents;
use super::daemons;
use super::plan::{Kind, Plan, plan};
use super::progress::Progress;
use super::record::{self, Lock, Phase, Record};
use super::{command::Command, down, need_root, status};
use crate::error::Error;
use crate::output::Format;
use crate::stop::Stop;
use crate::topology;
use kith_topologies::compiled::Topology;
use std::fs;
use std::path::Path;

/// `kith lab up FILE`.
pub fn run(file: &Path, name: Option<String>, keep_logs: bool, format: Format) -> Result<u8, Error> {
    let loaded = topology::read(file)?;
    let name = name.unwrap_or_else(|| loaded.topology.name.to_string());
    let stop = Stop::on_signals()?;
    let progress = Progress::new(false);
    let record = build(&name, file, &loaded.topology, keep_logs, &progress, &stop)?;
    progress.done(&format!("lab `{name}` is up"));
    status::run(&record, format)
}

/// Builds the lab `name` with its daemons. If anything fails, what was made is removed again.
pub fn build(
    name: &str,
    file: &Path,
    topology: &Topology,
    keep_logs: bool,
    progress: &Progress,
    stop: &Stop,
) -> Result<Record, Error> {
    // Nothing is begun that cannot be finished.
    daemons::find("kith-dataplane")?;
    daemons::find("kith-controller")?;
    daemons::find("kith-agent")?;
    build_with(name, Some(file), topology, keep_logs, progress, stop, |record| {
        daemons::start_all(record, topology, progress, stop)
    })
}

/// Builds the namespaces of lab `name`, then calls `fill`. If anything fails, what was made is removed again.
pub fn build_with(
    name: &str,
    file: Option<&Path>,
    topology: &Topology,
    keep_logs: bool,
    progress: &Progress,
    stop: &Stop,
    fill: impl FnOnce(&mut Record) -> Result<(), Error>,
) -> Result<Record, Error> {
    record::check_name(name)?;
    need_root("a lab")?;
    let _lock = Lock::take(name)?;
    if record::file(name, "lab.json").exists() {
        return Err(Error::Stands(name.to_owned()));
    }
    let plan = plan(name, topology);
    free(&plan)?;
    let mut record = Record {
        name: name.to_owned(),
        topology: topology.name.to_string(),
        phase: Phase::Building,
        keep_logs,
        nodes: plan.nodes.clone(),
        processes: Vec::new(),
    };
    let built = files(&record, file, &plan)
        .and_then(|()| namespaces(&plan, progress, stop))
        .and_then(|()| fill(&mut record))
        .and_then(|()| {
            record.phase = Phase::Up;
            record.write()
        });
    match built {
        Ok(()) => Ok(record),
        Err(error) => {
            progress.step("removing what was made");
            down::remove(&record);
            Err(error)
        }
    }
}

/// What somebody else made is not ours to use, and much less to remove.
fn free(plan: &Plan) -> Result<(), Error> {
    let taken: Vec<_> = plan
        .nodes
        .iter()
        .map(|node| node.namespace.clone())
        .filter(|namespace| status::namespace_exists(namespace))
        .collect();
    if taken.is_empty() {
        Ok(())
    } else {
        Err(Error::Foreign(taken))
    }
}

/// The record stands before the first namespace does: a crash leaves nothing that cannot be found again.
fn files(record: &Record, file: Option<&Path>, plan: &Plan) -> Result<(), Error> {
    record::make_folder(&record.name)?;
    record.write()?;
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|source| record::io("read", file, source))?;
        record::write_private(&record.file("topology.yaml"), &text)?;
    }
    record::write_private(&record.file("hosts"), &plan.hosts_file)?;
    // Names are for whoever runs in a namespace, root or not; the folder above keeps everybody else out.
    record::write_private(&record.file("resolv"), "")?;
    let mut shared = vec![record.file("hosts"), record.file("resolv")];
    for node in record.of(Kind::Member) {
        let file = agents::resolv_conf(record, &node.name);
        record::write_private(&file, &plan.resolv_conf)?;
        shared.push(file);
    }
    for file in shared {
        Command::line(&format!("chmod 644 {}", file.display())).run()?;
    }
    Ok(())
}

fn namespaces(plan: &Plan, progress: &Progress, stop: &Stop) -> Result<(), Error> {
    for step in &plan.steps {
        progress.step(&step.title);
        for command in &step.commands {
            stop.check()?;
            command.run()?;
        }
    }
    Ok(())
}
