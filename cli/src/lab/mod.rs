//! `kith lab`: a whole network on this computer, in network namespaces.
//!
//! **Problem.** NATs, narrow links and clashing addresses must be met before a customer does, and a laptop has none of them. **Idea.**
//! Every computer of a topology becomes a network namespace, joined by virtual Ethernet links; the real programs run in them. The
//! host's own interfaces, routes, firewall and files are never touched.
//!
//! ```text
//!  FILE ── topologies ──► plan (commands, nothing run) ──► up: namespaces, dataplanes, manager, enrolment, agents ──► record
//!                                                            │ fails or is interrupted              │
//!                                                            └────────────► down ◄──────────────────┘
//! ```

pub mod agents;
pub mod command;
pub mod controllers;
pub mod daemons;
pub mod directors;
pub mod down;
pub mod exec;
pub mod managers;
pub mod nat;
pub mod plan;
pub mod process;
pub mod progress;
pub mod record;
pub mod status;
pub mod up;

use crate::error::Error;
use crate::output::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `kith lab …`
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Bring the network of a topology file up
    Up {
        /// The YAML file.
        file: PathBuf,
        /// The lab's name; the topology's own if not given.
        #[arg(long)]
        name: Option<String>,
        /// Keep the daemons' logs when the lab is removed.
        #[arg(long)]
        keep_logs: bool,
    },
    /// Show every node and how it is
    Status(Which),
    /// Run a command on a node, with its communities' names resolving
    Exec {
        /// Which lab.
        #[command(flatten)]
        which: Which,
        /// The node, by its short or its full name.
        node: String,
        /// The command and its arguments, after `--`.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Remove a lab, whole or half-built; one that is not there is no error
    Down {
        /// The lab's name; the only one there is, if not given.
        #[arg(long)]
        name: Option<String>,
    },
    /// Try everything that a network promises, with real programs; exit status 0 only if all of it works
    Tour {
        /// Bring this topology up for the tour, and remove it afterwards.
        #[arg(required_unless_present = "name", conflicts_with = "name")]
        file: Option<PathBuf>,
        /// Take the tour on this lab, which stands already.
        #[arg(long)]
        name: Option<String>,
        /// Only these steps, by name.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Also write the report to this file, as JSON.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// List the labs that stand
    List,
    /// Print what the daemon of a node logged
    Logs {
        /// Which lab.
        #[command(flatten)]
        which: Which,
        /// The node.
        node: String,
        /// Go on printing what is added.
        #[arg(short, long)]
        follow: bool,
    },
}

/// Which lab.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The lab's name; the only one there is, if not given.
    #[arg(long)]
    pub name: Option<String>,
}

/// Runs a `kith lab` command.
pub fn run(command: LabCommand, format: Format) -> Result<u8, Error> {
    match command {
        LabCommand::Up {
            file,
            name,
            keep_logs,
        } => up::run(&file, name, keep_logs, format),
        LabCommand::Status(which) => status::run(&record::choose(which.name.as_deref())?, format),
        LabCommand::Exec { which, node, command } => exec::run(which.name.as_deref(), &node, &command),
        LabCommand::Down { name } => down::run(name, format),
        LabCommand::Tour {
            file,
            name,
            only,
            report,
        } => crate::tour::run(file.as_deref(), name.as_deref(), &only, report.as_deref(), format),
        LabCommand::List => status::list(format),
        LabCommand::Logs { which, node, follow } => status::logs(which.name.as_deref(), &node, follow),
    }
}

/// Namespaces are the superuser's.
pub fn need_root(doing: &'static str) -> Result<(), Error> {
    if nix::unistd::Uid::effective().is_root() {
        Ok(())
    } else {
        Err(Error::NotRoot(doing))
    }
}
