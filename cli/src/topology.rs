//! `kith topology`: is a file good, and what does it describe?

pub mod network;

use crate::error::Error;
use crate::output::{self, Format};
use clap::Subcommand;
use kith_topologies::compiled::{Location, Topology};
use kith_topologies::{Diagnostics, Loaded, load};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// `kith topology …`
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Check a file: every mistake at once, with its line and what to do
    Validate {
        /// The YAML file.
        file: PathBuf,
    },
    /// Show what a file describes
    Show {
        /// The YAML file.
        file: PathBuf,
    },
}

/// Runs a `kith topology` command.
pub fn run(command: TopologyCommand, format: Format) -> Result<u8, Error> {
    match command {
        TopologyCommand::Validate { file } => validate(&file, format),
        TopologyCommand::Show { file } => {
            let loaded = read(&file)?;
            output::show(format, &loaded.topology, describe)?;
            Ok(0)
        }
    }
}

/// A topology, its warnings printed on the standard error.
pub fn read(file: &Path) -> Result<Loaded, Error> {
    use std::io::IsTerminal;
    let loaded = load(file).map_err(Error::Topology)?;
    if !loaded.warnings.is_empty() {
        eprint!("{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    Ok(loaded)
}

#[derive(Serialize)]
struct Verdict<'a> {
    file: String,
    valid: bool,
    diagnostics: &'a Diagnostics,
}

fn validate(file: &Path, format: Format) -> Result<u8, Error> {
    let result = load(file);
    if format == Format::Json {
        let (valid, diagnostics) = match &result {
            Ok(loaded) => (true, &loaded.warnings),
            Err(diagnostics) => (false, diagnostics),
        };
        let file = file.display().to_string();
        output::print_json(&Verdict {
            file,
            valid,
            diagnostics,
        })?;
        return Ok(if valid { 0 } else { 2 });
    }
    let loaded = result.map_err(Error::Topology)?;
    if !loaded.warnings.is_empty() {
        use std::io::IsTerminal;
        eprint!("{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    output::print(&format!(
        "{}: good: {}\n",
        file.display(),
        summary(&loaded.topology)
    ));
    Ok(0)
}

/// A topology in one line.
fn summary(topology: &Topology) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "network `{}` with {}, {}, {}, {}, {}",
        topology.name,
        count(topology.directors.len(), "director"),
        count(topology.sites.len(), "site"),
        communities(topology.communities.len()),
        count(topology.devices.len(), "device"),
        count(topology.hosts.len(), "other host"),
    )
}

/// A topology as tables.
fn describe(topology: &Topology) -> String {
    let mut out = format!(
        "{}\nmanager {} at {}; public network {}, MTU {}, UDP port {}\n",
        summary(topology),
        topology.manager.name,
        topology.manager.address,
        topology.public.prefix,
        topology.public.mtu,
        topology.udp_port
    );
    let directors = topology.directors.iter().map(|d| {
        vec![
            d.name.to_string(),
            d.address.to_string(),
            d.pseudo_pool.to_string(),
            d.workers.to_string(),
            format!("{:?}", d.session_lifetime),
            format!("{:?}", d.keep_alive),
        ]
    });
    let headers = [
        "director",
        "address",
        "pseudo pool",
        ">workers",
        ">lifetime",
        ">keep-alive",
    ];
    section(&mut out, &headers, directors);
    let sites = topology.sites.iter().map(|s| {
        vec![
            s.name.to_string(),
            s.lan.to_string(),
            s.gateway.to_string(),
            s.nat.address.to_string(),
            format!("{:?}", s.nat.ports).to_lowercase(),
            format!("{:?}", s.nat.udp_timeout),
            s.wan_mtu.to_string(),
        ]
    });
    let headers = [
        "site",
        "lan",
        "gateway",
        "public",
        "ports",
        ">UDP timeout",
        ">WAN MTU",
    ];
    section(&mut out, &headers, sites);
    let communities = topology.communities.iter().map(|c| {
        vec![
            c.domain.to_string(),
            list(&c.pools),
            if c.deny_by_default { "deny" } else { "allow" }.into(),
            c.policies.len().to_string(),
            list(&c.directors),
        ]
    });
    let headers = ["community", "pools", "default", ">policies", "directors"];
    section(&mut out, &headers, communities);
    let devices = topology.devices.iter().map(|d| {
        let names: Vec<_> = d.members.iter().map(|m| m.fqdn.to_string()).collect();
        vec![
            d.name.to_string(),
            place(&d.location),
            d.location.address().to_string(),
            names.join(", "),
        ]
    });
    section(&mut out, &["device", "where", "address", "members"], devices);
    let hosts = topology.hosts.iter().map(|h| {
        vec![
            h.name.to_string(),
            place(&h.location),
            h.location.address().to_string(),
        ]
    });
    section(&mut out, &["host", "where", "address"], hosts);
    out
}

fn communities(n: usize) -> String {
    format!("{n} communit{}", if n == 1 { "y" } else { "ies" })
}

fn list<T: ToString>(all: &[T]) -> String {
    let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn section(out: &mut String, headers: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&output::table(headers, &rows));
    }
}

fn place(location: &Location) -> String {
    location
        .site()
        .map_or_else(|| "public".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstart_reads_like_this() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let text = describe(&load(&file).unwrap().topology);
        let expected = include_str!("../snapshots/quickstart-show.txt");
        assert_eq!(
            text, expected,
            "if this is meant, write the new text to snapshots/quickstart-show.txt"
        );
    }
}
