//! `kith lab down`: removes a lab, also one that was never finished or whose maker crashed.
//!
//! Only what the record names is removed: its processes, recognised by id and start time; whatever else runs inside its
//! namespaces; the namespaces, which takes their links, rules and routes along; its folder.

use super::command::Command;
use super::plan::Kind;
use super::process::{self, Process};
use super::record::{self, FOLDER, Lock, Record};
use super::{need_root, status};
use crate::error::Error;
use crate::output::{self, Format};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[derive(Serialize)]
struct Removed {
    name: String,
    stood: bool,
}

/// `kith lab down`.
pub fn run(name: Option<String>, format: Format) -> Result<u8, Error> {
    let name = match (name, record::names().as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only.clone(),
        (None, []) => {
            return report(format, None);
        }
        (None, several) => return Err(Error::SeveralLabs(several.to_vec())),
    };
    record::check_name(&name)?;
    need_root("removing a lab")?;
    let _lock = Lock::take(&name)?;
    let stood = match Record::read(&name) {
        Ok(Some(record)) => {
            remove(&record);
            true
        }
        Ok(None) => false,
        // A record that cannot be read names nothing: what bears the lab's name is taken for its own.
        Err(Error::Record { .. }) => {
            remove_by_name(&name);
            true
        }
        Err(other) => return Err(other),
    };
    report(format, Some(Removed { name, stood }))
}

fn report(format: Format, removed: Option<Removed>) -> Result<u8, Error> {
    let text = match &removed {
        Some(Removed { name, stood: true }) => format!("lab `{name}` is removed\n"),
        Some(Removed { name, stood: false }) => format!("no lab `{name}` stands; nothing to remove\n"),
        None => "no lab stands; nothing to remove\n".into(),
    };
    output::show(format, &removed, |_| text)?;
    Ok(0)
}

/// Removes everything a record names. Each part is tried, whatever became of the others.
pub fn remove(record: &Record) {
    // Agents first: they take their leave of a controller that still listens; then the controller, then its dataplanes.
    for kind in [Kind::Member, Kind::Controller, Kind::Director] {
        let of_kind = |process: &&Process| {
            let node = record.nodes.iter().find(|node| node.name == process.node);
            node.is_some_and(|node| node.kind == kind)
        };
        let ending: Vec<_> = record.processes.iter().filter(of_kind).cloned().collect();
        process::end(&ending, Duration::from_secs(3));
    }
    for node in &record.nodes {
        remove_namespace(&node.namespace);
    }
    remove_files(&record.name, record.keep_logs);
}

fn remove_by_name(name: &str) {
    let prefix = format!("kith-{name}-");
    let others: Vec<String> = record::names()
        .iter()
        .filter(|other| *other != name)
        .filter_map(|other| Record::read(other).ok().flatten())
        .flat_map(|other| other.nodes.into_iter().map(|node| node.namespace))
        .collect();
    for namespace in status::namespaces() {
        if namespace.starts_with(&prefix) && !others.contains(&namespace) {
            remove_namespace(&namespace);
        }
    }
    remove_files(name, false);
}

fn remove_namespace(namespace: &str) {
    if !status::namespace_exists(namespace) {
        return;
    }
    // Shells that somebody left inside would keep a nameless namespace alive.
    if let Ok(pids) = Command::line(&format!("ip netns pids {namespace}")).run() {
        process::end(&process::named(&pids), Duration::from_secs(1));
    }
    if let Err(error) = Command::line(&format!("ip netns del {namespace}")).run() {
        eprintln!("kith: {error}");
    }
}

fn remove_files(name: &str, keep_logs: bool) {
    let folder = Path::new(FOLDER).join(name);
    let kept = |path: &Path| keep_logs && path.extension().is_some_and(|extension| extension == "log");
    let entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
    for entry in entries {
        let path = entry.path();
        let gone = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else if kept(&path) {
            Ok(())
        } else {
            fs::remove_file(&path)
        };
        if let Err(error) = gone {
            eprintln!("kith: cannot remove {}: {error}", path.display());
        }
    }
    if keep_logs {
        eprintln!("logs are kept in {}", folder.display());
    } else if let Err(error) = fs::remove_dir(&folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("kith: cannot remove {}: {error}", folder.display());
    }
}
