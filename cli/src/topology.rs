//! `kith topology`: is a file good, what does it describe, and how does it compare with what a manager has?
//!
//! ```text
//!            validate, show ◄─┐                       ┌─► plan ─► apply
//!  file ─► kith_topologies ───┴─► network ─► manager ─┤
//!   ▲                               (dry run, apply)  └─► diff
//!   └────────────── export ◄── yaml ◄── network ◄── manager
//! ```

mod apply;
mod diff;
mod document;
mod export;
pub mod network;
pub mod plan;

use crate::error::Error;
use crate::manager::{Reach, Yes};
use crate::output::{self, Format};
use clap::{Args, Subcommand};
use kith_topologies::compiled::{Community, Location, Topology};
use kith_topologies::managed::Managed;
use kith_topologies::{Diagnostics, Listed, Loaded, load, load_listed, parse_listed_bytes};
use serde::Serialize;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// `kith topology …`
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Check a file: every mistake at once, with its line and what to do
    #[command(
        visible_alias = "check",
        after_long_help = "\
Examples:
  kith topology validate network.yaml
  kith -o json topology validate network.yaml | jq '.diagnostics[] | .line'"
    )]
    Validate {
        /// The YAML file.
        file: PathBuf,
    },
    /// Show what a file describes
    #[command(after_long_help = "Example:\n  kith topology show network.yaml")]
    Show {
        /// The YAML file.
        file: PathBuf,
    },
    /// Show what applying a file would change; nothing is changed
    #[command(after_long_help = "\
  + is created, ~ is changed (old -> new), - is removed (with --prune only).

Exit status: 0; with --exit-code 0 if there is nothing to change, 2 if there is something, 1 if it went wrong.

Examples:
  kith topology plan network.yaml
  kith topology plan network.yaml --prune --exit-code     # in a script: has the network drifted?
  kith topology plan - < network.yaml
  kith -o json topology plan network.yaml | jq '.totals'")]
    Plan {
        /// The YAML file; `-` for the standard input.
        file: PathBuf,
        /// How.
        #[command(flatten)]
        how: Wish,
        /// Exit with 2 if there is something to change, and with 1 if it went wrong.
        #[arg(long, visible_alias = "detailed-exitcode")]
        exit_code: bool,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Make the manager's network what a file says: all of it or nothing, safe to repeat
    #[command(after_long_help = "\
The plan is shown, and done after a yes; where there is no terminal to ask at, only with --yes. It is done only if no operator has changed
anything since the plan. New members are invited: each gets a letter at its mail address, with an invitation that is good for a week.
Communities and directors are never removed: `kith community delete` and `kith director remove` do that.

Examples:
  kith topology apply network.yaml
  kith topology apply network.yaml --prune --yes
  kith topology apply network.yaml --revision 17 --yes    # just what `plan` showed at revision 17, or nothing
  kith topology apply network.yaml --no-mail              # shows the invitations instead of mailing them")]
    Apply {
        /// The YAML file; `-` for the standard input.
        file: PathBuf,
        /// How.
        #[command(flatten)]
        how: Wish,
        /// Only if no operator has changed anything since this revision, which a plan showed.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        revision: Option<u64>,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Compare what the manager has with a file, line by line, as diff(1) does
    #[command(after_long_help = "\
What stands in neither the file nor the plan is left out: without --prune, objects that the file does not name.

Exit status: 0 if applying the file would change nothing, 1 if it would, 2 if it went wrong.

Examples:
  kith topology diff network.yaml
  kith topology diff network.yaml --prune | less -R")]
    Diff {
        /// The YAML file; `-` for the standard input.
        file: PathBuf,
        /// Show what `apply --prune` would remove, too.
        #[arg(long)]
        prune: bool,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Write what the manager has as a file that `plan`, `apply` and `diff` take; there is no secret in it
    #[command(after_long_help = "\
Revoked members are left out: they are no part of a network as it should be. The file has no wiring: no lab can be made of it.

Examples:
  kith topology export > network.yaml
  kith topology export --community acme.example acme.yaml
  kith -o json topology export | jq -r '.devices[].email'     # JSON is YAML: plan and apply take that too")]
    Export {
        /// Where to; the standard output without.
        file: Option<PathBuf>,
        /// Only this community; several are possible.
        #[arg(long, value_name = "DOMAIN")]
        community: Vec<String>,
        /// Write over a file that is there.
        #[arg(long, requires = "file")]
        force: bool,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What goes, and who gets mail.
#[derive(Debug, Clone, Copy, Args)]
pub struct Wish {
    /// Remove members and policies that the file does not name, in the communities that it names.
    #[arg(long)]
    prune: bool,
    /// Mail no invitations; `apply` shows them instead.
    #[arg(long)]
    no_mail: bool,
}

impl Wish {
    fn at(self, revision: Option<u64>) -> plan::How {
        plan::How {
            prune: self.prune,
            no_mail: self.no_mail,
            revision: revision.unwrap_or(0),
        }
    }
}

/// Runs a `kith topology` command.
pub fn run(command: TopologyCommand, format: Format) -> Result<u8, Error> {
    match command {
        TopologyCommand::Validate { file } => validate(&file, format),
        TopologyCommand::Show { file } => {
            let listed = listed(&file)?;
            match &listed.topology {
                Some(topology) => output::show(format, topology, describe)?,
                None => output::show(format, &listed.managed, describe_managed)?,
            }
            Ok(0)
        }
        TopologyCommand::Plan {
            file,
            how,
            exit_code,
            reach,
        } => plan::run(&file, how.at(None), exit_code, &reach, format),
        TopologyCommand::Apply {
            file,
            how,
            revision,
            yes,
            reach,
        } => apply::run(&file, how.at(revision), yes, &reach, format),
        TopologyCommand::Diff { file, prune, reach } => diff::run(&file, prune, &reach, format),
        TopologyCommand::Export {
            file,
            community,
            force,
            reach,
        } => export::run(file.as_deref(), community, force, &reach, format),
    }
}

/// A topology that can be brought up, its warnings printed on the standard error.
pub fn read(file: &Path) -> Result<Loaded, Error> {
    let loaded = load(file).map_err(Error::Topology)?;
    warn(&loaded.warnings);
    Ok(loaded)
}

/// What a manager is to know, with or without wiring; `-` is the standard input.
fn listed(file: &Path) -> Result<Listed, Error> {
    let listed = load_any(file).map_err(Error::Topology)?;
    warn(&listed.warnings);
    Ok(listed)
}

fn load_any(file: &Path) -> Result<Listed, Diagnostics> {
    if file != Path::new("-") {
        return load_listed(file);
    }
    let mut octets = Vec::new();
    let most = kith_topologies::MAX_BYTES as u64 + 1;
    // What cannot be read whole is no topology: the reader says so.
    let _cut = std::io::stdin().take(most).read_to_end(&mut octets);
    parse_listed_bytes("-", &octets)
}

fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        eprint!("{}", warnings.render(std::io::stderr().is_terminal()));
    }
}

#[derive(Serialize)]
struct Verdict<'a> {
    file: String,
    valid: bool,
    diagnostics: &'a Diagnostics,
}

fn validate(file: &Path, format: Format) -> Result<u8, Error> {
    let result = load_any(file);
    if format == Format::Json {
        let (valid, diagnostics) = match &result {
            Ok(listed) => (true, &listed.warnings),
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
    let listed = result.map_err(Error::Topology)?;
    warn(&listed.warnings);
    let what = match &listed.topology {
        Some(topology) => summary(topology),
        None => managed_summary(&listed.managed) + "; without wiring: for `plan` and `apply`, not for a lab",
    };
    output::print(&format!("{}: good: {what}\n", file.display()));
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
    community_section(&mut out, &topology.communities);
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

/// What a manager is to know, in one line.
fn managed_summary(managed: &Managed) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}",
        communities(managed.communities.len()),
        count(managed.members.len(), "member"),
        count(managed.directors.len(), "director")
    )
}

/// The same as tables.
fn describe_managed(managed: &Managed) -> String {
    let mut out = managed_summary(managed) + "\n";
    let directors = managed.directors.iter().map(|d| {
        let role = format!("{:?}", d.role).to_lowercase();
        vec![
            d.name.clone(),
            role,
            d.address.to_string(),
            d.port.to_string(),
            d.capacity.to_string(),
        ]
    });
    let headers = ["director", "role", "address", ">port", ">capacity"];
    section(&mut out, &headers, directors);
    community_section(&mut out, &managed.communities);
    let members = managed.members.iter().map(|m| {
        let address = m
            .address
            .map_or_else(|| "any".into(), |address| address.to_string());
        vec![
            m.fqdn.to_string(),
            m.email.clone(),
            m.user.clone(),
            address,
            list(&m.tags),
        ]
    });
    section(&mut out, &["member", "email", "user", "address", "tags"], members);
    out
}

fn community_section(out: &mut String, communities: &[Community]) {
    let rows = communities.iter().map(|c| {
        let directors = if c.directors.is_empty() {
            "any".into()
        } else {
            list(&c.directors)
        };
        vec![
            c.domain.to_string(),
            list(&c.pools),
            if c.deny_by_default { "deny" } else { "allow" }.into(),
            c.policies.len().to_string(),
            directors,
        ]
    });
    let headers = ["community", "pools", "default", ">policies", "directors"];
    section(out, &headers, rows);
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
