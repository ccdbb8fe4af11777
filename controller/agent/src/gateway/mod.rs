//! The group agent's gateway: devices that run nothing of ours are members through a DPDK dataplane, which this process programs.
//!
//! **Problem.** The dataplane seals and opens millions of packets a second, and knows neither IKE nor directors. Who controls it must bring
//! keys to it that never come back, must not lose a packet when they are replaced, and may itself be killed and started again.
//!
//! **Idea.** For each device the same key agreement and director session as a member's own agent has ([`crate::keying`],
//! [`crate::session`]), with P4Runtime where that has sockets and threads.
//!
//! ```text
//!              kith-agent gateway                                   kith-dataplane
//!   device ─ key agreement ─ director session ◄── packet-in: keying, control, keys_missing ──┐
//!      └────────► [core] ──► entries, associations, packet-outs ────────────────────────────►│ tables, workers ◄─► LAN, WAN
//!                   ▲──────────── how far each association is, 4 times a second ─────────────┘
//! ```
//!
//! - **Keys** go down once, as security associations beside the program's tables, and are wiped here. A new one stands beside the old one
//!   before an entry names it, so packets change over between two bursts.
//! - **Packets that wait for keys** come up, wait here (a few for each pair), and are submitted again.
//! - **This process dies**: entries and associations stay and work. The next one finds them, agrees on keys anew, and only then takes
//!   them away. Because keys never come back, it cannot use them itself.
//! - **The dataplane dies**: all associations are gone. None is installed a second time, since its numbers would begin anew: new keys.
//!
//! **Cost.** A poll of all associations each 250 ms; everything else is done when something happens.
//!
//! **Not here.** Members' addresses and secrets come from the configuration file, not yet from a manager. The agent cannot make the dataplane
//! send an ESP dummy: a device that only listens is known to be alive by its peer's IKE request.

mod changeover;
pub mod config;
mod connection;
mod core;
mod desk;
mod frames;
mod pairs;
mod tables;
mod takeover;
#[cfg(test)]
mod tests;
mod view;

use crate::commands::up::{notify, on_signal};
use crate::server;
use config::GatewayConfig;
use sd_notify::NotifyState;
use std::error::Error;
use std::path::Path;
use tokio::sync::watch;

/// Runs until told to stop, or checks the configuration only. False: it failed.
pub fn run(path: &Path, check: bool) -> Result<bool, Box<dyn Error>> {
    let config = GatewayConfig::load(path)?;
    if check {
        println!("{}: good, {} devices", path.display(), config.devices.len());
        return Ok(true);
    }
    let (stop, stopped) = watch::channel(false);
    on_signal()?.each(move || {
        notify(&[NotifyState::Stopping]);
        stop.send_replace(true);
    })?;
    let listener = match &config.status_socket {
        Some(path) => Some(server::bind(path).map_err(|error| format!("{}: {error}", path.display()))?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    notify(&[NotifyState::Ready]);
    runtime.block_on(connection::serve(config, listener, stopped))?;
    Ok(true)
}
