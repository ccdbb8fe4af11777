//! `kith-controller`: route directors of dataplanes.
//!
//! Exit codes: 0 stopped in order, 1 failed while starting or running, 2 the configuration is wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use kith_api::service;
use kith_api::socket::{PRIVATE, Socket};
use kith_controller::config::{self, Config};
use kith_controller::host::Controller;
use kith_controller::southbound::p4runtime::P4Runtime;
use kith_controller::status;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tracing::info;

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
    service::main(
        "kith-controller",
        &arguments.config,
        arguments.check,
        config::load,
        run,
    )
}

fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let stop = service::stop_on_signals()?;
    // Before anything else is touched: it shows whether another one runs.
    let socket = Socket::bind(&config.status_socket, PRIVATE, status::SETTING)?;
    let controller = Controller::start(config, P4Runtime::new)?;
    let server = status::serve(socket, controller.answers())?;
    info!(millis = began.elapsed().as_millis() as u64, "directing");

    let broken = "a director ended by a panic (see above); the controller stops rather than decide half";
    let ended = service::until_stopped(
        &stop,
        || controller.is_broken().then_some(broken),
        || controller.pulse().collect(),
    );
    drop(server);
    controller.stop();
    info!("stopped");
    ended
}
