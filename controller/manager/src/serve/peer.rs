//! Who is at the other end of a connection, as far as the connection itself tells.

use super::limits::Pass;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What a connection tells of its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// TLS: the address, and the SHA-256 of the client certificate's public key if one was shown.
    Tls {
        /// Where from.
        from: SocketAddrV4,
        /// Whose key.
        certificate: Option<[u8; 32]>,
    },
    /// The local socket: the process's user and its group.
    Local {
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
}

/// A connection. Every request on it carries it along.
#[derive(Clone)]
pub struct Peer(Arc<State>);

struct State {
    origin: Origin,
    pass: Mutex<Option<Pass>>,
    known: AtomicBool,
    open: AtomicUsize,
    begun: Instant,
    ended: Mutex<Instant>,
}

/// A request under way. Ends when dropped.
pub struct Busy(Peer);

impl Peer {
    pub(super) fn new(origin: Origin, pass: Option<Pass>) -> Self {
        let now = Instant::now();
        Self(Arc::new(State {
            origin,
            // The local socket's permissions say who may connect.
            known: AtomicBool::new(pass.is_none()),
            pass: Mutex::new(pass),
            open: AtomicUsize::new(0),
            begun: now,
            ended: Mutex::new(now),
        }))
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Has something authentic been heard?
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.known.load(Ordering::Relaxed)
    }

    /// Something authentic was heard.
    pub fn prove(&self) {
        if self.is_known() {
            return;
        }
        let mut pass = self.0.pass.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a place among those known it goes on as a stranger.
        if pass.as_mut().is_some_and(|pass| pass.known().is_ok()) {
            self.0.known.store(true, Ordering::Relaxed);
        }
    }

    /// A request begins.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Requests under way.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// When the connection is closed if nothing more happens; `None` while it is in use.
    pub(super) fn ends(&self, stranger: std::time::Duration, idle: std::time::Duration) -> Option<Instant> {
        if !self.is_known() {
            return Some(self.0.begun + stranger);
        }
        (self.0.open.load(Ordering::Relaxed) == 0)
            .then(|| *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) + idle)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &self.0.0;
        *state.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        state.open.fetch_sub(1, Ordering::Relaxed);
    }
}
