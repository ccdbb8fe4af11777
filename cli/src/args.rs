//! The grammar of the command line.

use crate::agent::AgentCommand;
use crate::controller::ControllerCommand;
use crate::dataplane::DataplaneCommand;
use crate::lab::LabCommand;
use crate::output::Format;
use crate::topology::TopologyCommand;
use clap::{Parser, Subcommand};

/// Secure virtual community networks.
#[derive(Debug, Parser)]
#[command(name = "kith", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check and show topology files
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Bring whole networks up on this computer, in network namespaces
    #[command(subcommand)]
    Lab(LabCommand),
    /// Ask a running dataplane; read and write a P4Runtime target's tables
    #[command(subcommand)]
    Dataplane(DataplaneCommand),
    /// Ask a running controller
    #[command(subcommand)]
    Controller(ControllerCommand),
    /// Ask a running member agent
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Send what a stranger would (for `kith lab tour`)
    #[command(hide = true)]
    Stranger(crate::stranger::Stranger),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_has_no_contradiction() {
        Cli::command().debug_assert();
    }
}
