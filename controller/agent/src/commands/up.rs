//! `kith-agent up`: joins all communities that this device is enrolled in, and stays joined.

use crate::manager::membership::Ending;
use crate::supervisor::control::Membership;
use crate::supervisor::{Options, Supervisor, UpError};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;

/// Threads for everything that is not a packet.
const THREADS: usize = 2;

/// Runs until told to stop, or until no membership is left. False: the last ones were ended by their managers.
pub fn up(options: &Options) -> Result<bool, UpError> {
    // Before any thread, so that no signal is missed.
    let signals = on_signal()?;
    // All that needs rights; the threads made afterwards have none.
    let supervisor = Supervisor::open(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("kith-client")
        .enable_all()
        .build()?;
    let (stop, stopped) = tokio::sync::mpsc::channel(1);
    signals.each(move || {
        notify(&[NotifyState::Stopping]);
        // A second signal while the first is obeyed says nothing new.
        let _stopping = stop.try_send(());
    })?;
    notify(&[NotifyState::Ready]);
    let ended = runtime.block_on(supervisor.run(stopped, |memberships| {
        notify(&[NotifyState::Status(&summary(memberships))]);
    }));
    // Nothing that still runs is worth waiting for.
    runtime.shutdown_background();
    let refused = ended
        .iter()
        .filter(|(_, ending)| matches!(ending, Ending::Refused(_)))
        .count();
    Ok(refused == 0)
}

fn summary(memberships: &[Membership]) -> String {
    let each = memberships.iter().map(|membership| match membership.address {
        Some(address) => format!("{}: {} {address}", membership.fqdn, membership.phase),
        None => format!("{}: {}", membership.fqdn, membership.phase),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Signals that end a process, caught.
pub struct Caught(Signals);

/// Catches the signals that end a process.
pub fn on_signal() -> io::Result<Caught> {
    Ok(Caught(Signals::new([SIGTERM, SIGINT])?))
}

impl Caught {
    /// Does this at each of them, in a thread of its own.
    pub fn each(mut self, mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
        let act = move || {
            for _ in &mut self.0 {
                act();
            }
        };
        std::thread::Builder::new()
            .name("kith-signals".into())
            .spawn(act)
            .map(|_| ())
    }
}

/// Without a service manager there is nobody to tell.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
