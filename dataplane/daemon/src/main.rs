//! `kith-dataplane`: forwards as controllers say.
//!
//! Exit codes: 0 stopped in order, 1 failed while starting or running, 2 the configuration is wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use kith_api::config::{self, Config};
use kith_api::service;
use kith_api::socket::{PRIVATE, Setting, Socket};
use kith_daemon::controllers::Listeners;
use kith_daemon::dataplane::Dataplane;
use kith_daemon::stats;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tracing::info;

/// Forwards packets of virtual networks as the tables say that a controller writes over P4Runtime.
#[derive(Parser)]
#[command(name = "kith-dataplane", version)]
struct Arguments {
    /// The configuration file, YAML.
    #[arg(long, default_value = "/etc/kith/dataplane.yaml")]
    config: PathBuf,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    service::main(
        "kith-dataplane",
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
    let setting = Setting::new("dataplane", "stats_socket");
    let socket = Socket::bind(&config.stats_socket, PRIVATE, setting)?;
    let listeners = Listeners::bind(&config.p4runtime)?;
    let cores = config.eal.cores.clone();
    let dataplane = Dataplane::start(config)?;
    let controllers = listeners.serve(&dataplane.state().p4runtime, &cores)?;
    let server = stats::serve(socket, dataplane.state().clone())?;
    info!(millis = began.elapsed().as_millis() as u64, "forwarding");

    let broken =
        "a thread ended by a panic (see above); the dataplane stops rather than forward half of the packets";
    let ended = service::until_stopped(
        &stop,
        || dataplane.is_broken().then_some(broken),
        || dataplane.state().pulse().collect(),
    );
    drop(server);
    drop(controllers);
    dataplane.stop();
    info!("stopped");
    ended
}
