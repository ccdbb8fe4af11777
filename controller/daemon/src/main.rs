//! `kith-controller`: route directors of dataplanes.
//!
//! Exit codes: 0 stopped in order, 1 failed while starting or running, 2 the configuration is wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use kith_api::socket::{PRIVATE, Socket};
use kith_controller::config::{self, Config};
use kith_controller::host::Controller;
use kith_controller::southbound::p4runtime::P4Runtime;
use kith_controller::status;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// Decides who has a session at dataplanes, and keeps their tables.
#[derive(Parser)]
#[command(name = "kith-controller", version)]
struct Arguments {
    /// The configuration file, YAML.
    #[arg(long, default_value = "/etc/kith/controller.yaml")]
    config: PathBuf,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(problem) => {
            eprintln!("kith-controller: {problem}");
            return ExitCode::from(2);
        }
    };
    if arguments.check {
        println!("{}: good", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The order matters: the second signal finds the flag that the first one set, and ends the process at once.
        flag::register_conditional_shutdown(signal, 1, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    // Before anything else is touched: it shows whether another one runs.
    let socket = Socket::bind(&config.status_socket, PRIVATE, status::SETTING)?;
    let controller = Controller::start(config, P4Runtime::new)?;
    let server = status::serve(socket, controller.answers())?;
    info!(millis = began.elapsed().as_millis() as u64, "directing");
    tell_system(&[NotifyState::Ready]);

    let ended = watch(&controller, &stop);
    tell_system(&[NotifyState::Stopping]);
    drop(server);
    controller.stop();
    info!("stopped");
    ended
}

/// Waits for a signal, and tells the service manager that all directors live as long as they do.
fn watch(controller: &Controller, stop: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let watchdog = sd_notify::watchdog_enabled().map(|longest| longest / 3);
    let mut told = Instant::now();
    let mut pulse: Vec<u64> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
        if controller.is_broken() {
            return Err(
                "a director ended by a panic (see above); the controller stops rather than decide half"
                    .into(),
            );
        }
        if watchdog.is_some_and(|often| told.elapsed() >= often) {
            let now: Vec<u64> = controller.pulse().collect();
            if now.iter().zip(&pulse).all(|(now, before)| now != before) {
                tell_system(&[NotifyState::Watchdog]);
            }
            (pulse, told) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Without a service manager this does nothing.
fn tell_system(state: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(state) {
        warn!(%problem, "the service manager cannot be told");
    }
}
