//! `kith-agent run`: one membership whose configuration says everything; no manager.

use super::up::{notify, on_signal};
use crate::agent::Agent;
use crate::config::AgentConfig;
use crate::directory::StaticDirectory;
use sd_notify::NotifyState;
use std::error::Error;
use std::path::Path;

/// Runs until told to stop, or checks the configuration only. False: it failed.
pub fn run(config: &Path, check: bool) -> Result<bool, Box<dyn Error>> {
    let validated = AgentConfig::load(config)?;
    if check {
        println!("{}: good, {} peers", config.display(), validated.peers.len());
        return Ok(true);
    }
    // Before any thread, so that no signal is missed.
    let signals = on_signal()?;
    let directory = StaticDirectory::new(&validated);
    let agent = Agent::start(validated, &directory)?;
    let stop = agent.stopper();
    signals.each(move || {
        notify(&[NotifyState::Stopping]);
        stop();
    })?;
    notify(&[NotifyState::Ready]);
    Ok(agent.join())
}
