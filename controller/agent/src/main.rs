//! `kith-agent`: this device's memberships.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use kith_agent::commands::enroll::{enroll, read_invitation};
use kith_agent::commands::{Console, keep, run::run, up::up};
use kith_agent::dns::{self, system::Mode};
use kith_agent::gateway;
use kith_agent::standard;
use kith_agent::state::{self, State};
use kith_agent::supervisor::{Options, control};
use kith_protocol::authenticator::Argon2Cost;
use std::error::Error;
use std::io::IsTerminal;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Member agent: joins this computer to its communities.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    fixed: Fixed,
}

#[derive(Subcommand)]
enum Command {
    /// Enrol this computer with an invitation. The confirmation code that comes by mail is asked for. A running agent joins at once.
    Enroll {
        /// The invitation (kith1-…), a file that holds it, or - for standard input.
        invitation: String,
        /// The confirmation code, if it is known already; else it is asked for.
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        running: Running,
    },
    /// Join all communities that this computer is enrolled in, and stay joined.
    Up(Up),
    /// Run one membership from a configuration file, without a manager.
    Run(Fixed),
    /// Tunnels to IPsec devices that are not Kith's.
    Standard {
        /// The configuration file.
        #[arg(long, default_value = "/etc/kith/standard.yaml")]
        config: PathBuf,
        /// Only check the configuration.
        #[arg(long)]
        check: bool,
    },
    /// Make devices behind a DPDK gateway members: agree on keys for them, and program the dataplane.
    Gateway {
        /// The configuration file.
        #[arg(long, default_value = "/etc/kith/gateway.yaml")]
        config: PathBuf,
        /// Only check the configuration.
        #[arg(long)]
        check: bool,
    },
    /// Show the memberships of the running agent.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Show under which names this computer is enrolled.
    List(Kept),
    /// Leave a community, or all, until the agent is started again.
    Leave {
        /// The name to leave as; all if none is given.
        fqdn: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Leave, and forget an enrolment for good.
    Forget {
        /// The name to forget.
        fqdn: String,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        running: Running,
    },
}

#[derive(Args)]
struct Fixed {
    /// The configuration file.
    #[arg(long, default_value = "/etc/kith/agent.yaml")]
    config: PathBuf,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct Kept {
    /// Where enrolments are kept.
    #[arg(long, env = "KITH_AGENT_STATE", default_value = state::DEFAULT)]
    state_dir: PathBuf,
}

#[derive(Args)]
struct Running {
    /// The running agent's socket.
    #[arg(long, env = "KITH_AGENT_SOCKET", default_value = control::DEFAULT)]
    socket: PathBuf,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    running: Running,
    /// Stay in the foreground: it always does; a service manager, or &, puts it elsewhere.
    #[arg(long)]
    foreground: bool,
    /// The first UDP port to try; each membership takes the next free one.
    #[arg(long, default_value_t = 20202)]
    port: u16,
    /// The site that this computer is at, if the community knows sites.
    #[arg(long, default_value = "")]
    site: String,
    /// How the system learns of the communities' names: auto, systemd-resolved, resolv-conf, or none.
    #[arg(long, default_value = "auto")]
    dns: Mode,
    /// Where names are answered; 127.0.0.54:53 or the next free one if not given.
    #[arg(long)]
    dns_listen: Option<SocketAddrV4>,
    /// The file that is rewritten in the mode resolv-conf.
    #[arg(long, default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("KITH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match execute(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kith-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let user = &mut Console;
    match arguments.command.unwrap_or(Command::Run(arguments.fixed)) {
        Command::Enroll {
            invitation,
            code,
            kept,
            running,
        } => {
            let invitation = read_invitation(&invitation)?;
            enroll(
                &invitation,
                code,
                (&State::at(&kept.state_dir), &running.socket),
                Argon2Cost::DEFAULT,
                user,
            )?;
        }
        Command::Up(options) => return Ok(up(&options.into())?),
        Command::Standard { config, check } => return standard::run(&config, check),
        Command::Gateway { config, check } => return gateway::run(&config, check),
        Command::Run(fixed) => return run(&fixed.config, fixed.check),
        Command::Status { json, running } => keep::status(&running.socket, json, user)?,
        Command::List(kept) => keep::list(&State::at(&kept.state_dir), user)?,
        Command::Leave { fqdn, running } => keep::leave(&running.socket, fqdn, user)?,
        Command::Forget { fqdn, kept, running } => {
            keep::forget(&State::at(&kept.state_dir), &running.socket, &fqdn, user)?;
        }
    }
    Ok(true)
}

impl From<Up> for Options {
    fn from(up: Up) -> Self {
        Self {
            state: State::at(&up.kept.state_dir),
            socket: up.running.socket,
            port: up.port,
            site: up.site,
            dns: dns::Options {
                mode: up.dns,
                listen: up.dns_listen,
                resolv_conf: up.resolv_conf,
            },
        }
    }
}
