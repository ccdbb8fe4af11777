//! The grammar of the command line.

use crate::agent::AgentCommand;
use crate::controller::ControllerCommand;
use crate::dataplane::DataplaneCommand;
use crate::lab::LabCommand;
use crate::manager::accounting::Accounts;
use crate::manager::audit::Audits;
use crate::manager::community::CommunityCommand;
use crate::manager::credential::CredentialCommand;
use crate::manager::director::DirectorCommand;
use crate::manager::events::Events;
use crate::manager::member::MemberCommand;
use crate::manager::policy::PolicyCommand;
use crate::manager::status::ManagerCommand;
use crate::output::Format;
use crate::topology::TopologyCommand;
use crate::tunnel::TunnelCommand;
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
    /// Virtual networks: their names, addresses and directors
    #[command(subcommand)]
    Community(CommunityCommand),
    /// Who belongs to them: invite, list, change, revoke
    #[command(subcommand)]
    Member(MemberCommand),
    /// Who may reach whom, and why
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Route directors that members are sent to
    #[command(subcommand)]
    Director(DirectorCommand),
    /// What happens, as it happens
    Events(Events),
    /// Who did what, and who was refused
    Audit(Audits),
    /// How long members were joined, and what they moved
    Accounting(Accounts),
    /// Who may ask a manager from elsewhere
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// The manager itself: status, address, backup
    #[command(subcommand)]
    Manager(ManagerCommand),
    /// Ask a running dataplane; read and write a P4Runtime target's tables
    #[command(subcommand)]
    Dataplane(DataplaneCommand),
    /// Ask a running controller
    #[command(subcommand)]
    Controller(ControllerCommand),
    /// Ask a running member agent
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Keys with other members: list, show, explain, replace
    #[command(subcommand)]
    Tunnel(TunnelCommand),
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
