//! `kith-agent`: runs one member.
#![forbid(unsafe_code)]

use clap::Parser;
use kith_agent::agent::Agent;
use kith_agent::config::AgentConfig;
use kith_agent::directory::StaticDirectory;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Member agent: joins this computer to its communities.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "/etc/kith/agent.yaml")]
    config: PathBuf,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("KITH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kith-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let config = AgentConfig::load(&arguments.config)?;
    if arguments.check {
        println!(
            "{}: good, {} peers",
            arguments.config.display(),
            config.peers.len()
        );
        return Ok(true);
    }
    // Before any thread, so that no signal is missed.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let directory = StaticDirectory::new(&config);
    let agent = Agent::start(config, &directory)?;
    let stop = agent.stopper();
    std::thread::Builder::new()
        .name("kith-signals".into())
        .spawn(move || {
            for _ in &mut signals {
                notify(NotifyState::Stopping);
                stop();
            }
        })?;
    notify(NotifyState::Ready);
    Ok(agent.join())
}

/// Without a service manager there is nobody to tell.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
