//! A daemon's outer shell: the configuration, the log, signals, and the service manager.
//!
//! ```text
//!  main: log ► load ► (check? done) ► run ─┬─ stop_on_signals ► … start … ► until_stopped ► … stop …
//!                                          └─ exit code: 0 in order, 1 failed, 2 the configuration is wrong
//! ```

use crate::config::ConfigError;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

/// Loads the configuration and runs the daemon with it, unless it was only to be checked.
pub fn main<C>(
    program: &str,
    file: &Path,
    only_check: bool,
    load: impl FnOnce(&Path) -> Result<C, ConfigError>,
    run: impl FnOnce(C) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    let config = match load(file) {
        Ok(config) => config,
        Err(problem) => {
            eprintln!("{program}: {problem}");
            return ExitCode::from(2);
        }
    };
    if only_check {
        println!("{}: good", file.display());
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

/// A flag that SIGTERM and SIGINT set. A second one ends the process at once.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The order matters: the second signal finds the flag that the first one set.
        flag::register_conditional_shutdown(signal, 1, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Tells the service manager that all is ready, and that it lives as long as every number of `pulse` changes; returns when
/// the flag is set, or with the reason when `broken` gives one. What is left to do then is stopping.
pub fn until_stopped(
    stop: &AtomicBool,
    broken: impl Fn() -> Option<&'static str>,
    pulse: impl Fn() -> Vec<u64>,
) -> Result<(), Box<dyn Error>> {
    tell_system(NotifyState::Ready);
    let ended = watch(stop, broken, pulse);
    tell_system(NotifyState::Stopping);
    ended
}

fn watch(
    stop: &AtomicBool,
    broken: impl Fn() -> Option<&'static str>,
    pulse: impl Fn() -> Vec<u64>,
) -> Result<(), Box<dyn Error>> {
    let watchdog = sd_notify::watchdog_enabled().map(|longest| longest / 3);
    let mut told = Instant::now();
    let mut last: Vec<u64> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
        if let Some(why) = broken() {
            return Err(why.into());
        }
        if watchdog.is_some_and(|often| told.elapsed() >= often) {
            let now = pulse();
            if now.iter().zip(&last).all(|(now, before)| now != before) {
                tell_system(NotifyState::Watchdog);
            }
            (last, told) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Without a service manager this does nothing.
fn tell_system(state: NotifyState<'_>) {
    if let Err(problem) = sd_notify::notify(&[state]) {
        warn!(%problem, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_told_to_or_with_the_reason_when_broken() {
        let stop = AtomicBool::new(false);
        let broken = until_stopped(&stop, || Some("a thread ended"), Vec::new);
        assert_eq!(broken.unwrap_err().to_string(), "a thread ended");
        stop.store(true, Ordering::Relaxed);
        assert!(until_stopped(&stop, || None, Vec::new).is_ok());
    }
}
