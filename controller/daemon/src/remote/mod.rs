//! The manager in another process: a director's stream to it, for as long as the director lives.
//!
//! Problem: the manager decides who may have a session at a director far away, and both restart when they like. Idea: one stream a director,
//! made again whenever it breaks; what the manager said last is held in memory and goes on to count while it is away. Nothing of it is written
//! down: a director that starts waits for the manager's snapshot before it takes its dataplane over, which forwards alone until then.
//!
//! ```text
//!  manager ◄── TLS 1.3, pinned; token ──► link ── changes ──► desk ──► director ──► dataplane
//!                                          │ ◄──── health ────┘
//!                                          └─ view ──► status socket
//! ```
//!
//! Cost: a task and a connection a director; the grants a second time in memory, 150 octets each.

mod backoff;
mod link;
mod view;

pub(crate) use link::Link;
pub(crate) use view::View;

use crate::config::RemoteManager;
use crate::host::StartError;
use kith_protocol::tls::Dial;
use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;

/// A manager that says nothing for this time is asked for a sign of life; after as long again the connection is given up.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// The manager elsewhere, and who asks it.
#[derive(Clone)]
pub(crate) struct Remote {
    dial: Dial,
    address: String,
    /// Names this process: the manager lets it take the place of its own earlier streams.
    instance: [u8; 16],
}

impl Remote {
    /// Of a section that was checked.
    pub(crate) fn new(wanted: &RemoteManager) -> Result<Self, StartError> {
        let (place, key) = (wanted.place(), wanted.key());
        let ((host, port), key) = place.zip(key).ok_or(StartError::Remote)?;
        let mut dial = Dial::new(host, port, key);
        dial.keepalive = KEEPALIVE;
        let mut instance = [0; 16];
        SystemRandom::new()
            .fill(&mut instance)
            .map_err(|_| StartError::Random)?;
        Ok(Self {
            dial,
            address: wanted.address.clone(),
            instance,
        })
    }
}
