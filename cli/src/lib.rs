//! `kith`: the command line.
//!
//! ```text
//!  kith topology …   topologies ── read, check, show; compared with what a manager has, applied, exported
//!  kith lab …        network namespaces, NATs, daemons ── up, down, tour
//!  kith dataplane …  statistics socket of kith-dataplane, P4Runtime of any target, system ping
//!  kith controller … status socket of kith-controller
//!  kith agent …      status socket of kith-agent
//!  kith community, member, policy, director, credential, events, audit, accounting, manager …
//!                    operators' service of a manager ── Unix socket, or TLS
//! ```
//!
//! **Problem.** A network of routers, NATs and daemons is only believed once it has been seen to run. **Idea.** One program
//! builds it out of namespaces from the same file that operators apply, asks every part how it is, and undoes all of it.
//! Every listing is a table for people and JSON (`-o json`) for programs; every error says what happened, why, and what to do.
#![forbid(unsafe_code)]

pub mod agent;
pub mod args;
pub mod controller;
pub mod dataplane;
pub mod error;
pub mod lab;
pub mod manager;
pub mod output;
pub mod stop;
pub mod stranger;
pub mod terminal;
pub mod topology;
pub mod tour;
pub mod tunnel;

use args::{Cli, Command};
use clap::CommandFactory;
use error::Error;

/// Runs one command; the number is the process's exit status.
pub fn run(cli: Cli) -> Result<u8, Error> {
    let format = cli.output;
    match cli.command {
        Command::Topology(command) => topology::run(command, format),
        Command::Lab(command) => lab::run(command, format),
        Command::Community(command) => manager::community::run(command, format),
        Command::Member(command) => manager::member::run(command, format),
        Command::Policy(command) => manager::policy::run(command, format),
        Command::Director(command) => manager::director::run(command, format),
        Command::Events(events) => manager::events::run(&events, format),
        Command::Audit(asked) => manager::audit::run(asked, format),
        Command::Accounting(asked) => manager::accounting::run(asked, format),
        Command::Credential(command) => manager::credential::run(command, format),
        Command::Manager(command) => manager::status::run(command, format),
        Command::Dataplane(command) => dataplane::run(command, format),
        Command::Controller(command) => controller::run(command, format),
        Command::Agent(command) => agent::run(command, format),
        Command::Tunnel(command) => tunnel::run(command, format),
        Command::Stranger(what) => stranger::send(&what),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kith", &mut std::io::stdout());
            Ok(0)
        }
    }
}
