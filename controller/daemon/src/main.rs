//! `kith-controller`: the manager, and route directors of dataplanes.
//!
//! Exit codes: 0 stopped in order, 1 failed while starting or running, 2 the configuration is wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use kith_api::service;
use kith_api::socket::{PRIVATE, Socket};
use kith_controller::config::{self, Config};
use kith_controller::host::{Controller, Grants, Report};
use kith_controller::manager::{Manager, Place};
use kith_controller::southbound::p4runtime::P4Runtime;
use kith_controller::status;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tracing::info;

/// Where the configuration is, if it is not said.
const CONFIG: &str = "/etc/kith/controller.yaml";

/// Manages virtual networks, decides who has a session at dataplanes, and keeps their tables.
#[derive(Parser)]
#[command(name = "kith-controller", version)]
struct Arguments {
    /// The configuration file, YAML. Without one at /etc/kith/controller.yaml, a manager runs with all defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A file that was named must be there.
    let load = match arguments.config {
        Some(_) => config::load,
        None => config::load_or_default,
    };
    let path = arguments.config.unwrap_or_else(|| CONFIG.into());
    service::main("kith-controller", &path, arguments.check, load, run)
}

fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let stop = service::stop_on_signals()?;
    // Before anything else is touched: it shows whether another one runs.
    let socket = Socket::bind(&config.status_socket, PRIVATE, status::SETTING)?;
    let place = Place::take(&config)?;
    // The manager first: directors bring sessions back only for members it grants them.
    let mut grants = Grants::default();
    let manager = Manager::start(&config, place, &mut grants)?;
    let report = |director: &str| -> Report {
        let host = manager.as_ref().map(Manager::host);
        let director = director.to_owned();
        Box::new(move |healthy, sessions| {
            if let Some(host) = &host {
                host.director(&director, healthy, sessions);
            }
        })
    };
    let controller = Controller::start(config, Some((grants, &report)), P4Runtime::new)?;
    let server = status::serve(socket, controller.answers())?;
    info!(millis = began.elapsed().as_millis() as u64, "ready");

    let broken = "a director or the manager ended (see above); the controller stops rather than decide half";
    let managing = || manager.as_ref().is_none_or(|manager| !manager.is_broken());
    let ended = service::until_stopped(
        &stop,
        || (controller.is_broken() || !managing()).then_some(broken),
        || {
            controller
                .pulse()
                .chain(manager.as_ref().map(Manager::pulse))
                .collect()
        },
    );
    drop(server);
    controller.stop();
    if let Some(manager) = manager {
        manager.stop();
    }
    info!("stopped");
    ended
}
