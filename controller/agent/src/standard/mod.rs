//! Standard peers: IPsec with devices that know nothing of Kith, but speak IKEv2 and ESP as the RFCs have them.
//!
//! **Problem.** A branch router or a cloud gateway is to reach networks behind this computer, and cannot be changed.
//!
//! **Idea.** `kith-ike` in its plain form (UDP 500 and 4500, addresses translated or not), ESP in tunnel mode inside UDP 4500
//! (RFC 3948), one virtual adapter. What may pass a tunnel is what both ends agreed on, checked in both directions.
//!
//! ```text
//!  applications ── TUN ──► selectors ──► seal ──► UDP 4500 ──► peer
//!                  TUN ◄── selectors ◄── open ◄── UDP 4500 ◄──
//!                            ▲ keys                  │ four zero octets: IKE
//!                          kith-ike ◄────────────────┴─ UDP 500
//! ```
//!
//! **Cost.** One thread; a packet costs one read, one pass of the cipher, and one send. Nothing is allocated for it.
//!
//! **Not here.** ESP without UDP (protocol 50), IPv6 inside the tunnel, configuration payloads.

mod answers;
pub mod config;
mod control;
mod drops;
mod engine;
mod host;
mod inner;
mod peers;
mod sockets;
mod tunnels;

pub use control::{Request, request};

use crate::commands::up::{notify, on_signal};
use config::StandardConfig;
use engine::Engine;
use sd_notify::NotifyState;
use std::error::Error;
use std::path::Path;

/// Runs until told to stop, or checks the configuration only. False: it failed.
pub fn run(path: &Path, check: bool) -> Result<bool, Box<dyn Error>> {
    let config = StandardConfig::load(path)?;
    if check {
        println!("{}: good, {} peers", path.display(), config.peers.len());
        return Ok(true);
    }
    // Before any thread, so that no signal is missed.
    let signals = on_signal()?;
    let mut engine = Engine::open(config)?;
    let stop = engine.stopper();
    signals.each(move || {
        notify(&[NotifyState::Stopping]);
        stop.stop();
    })?;
    notify(&[NotifyState::Ready]);
    engine.run()?;
    Ok(true)
}
