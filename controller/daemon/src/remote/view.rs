//! How a director's stream stands, for the status socket.

use crate::status::{ManagerLink, ManagerStanding};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What can be asked about a stream.
pub(crate) struct View(Mutex<Inner>);

struct Inner {
    address: String,
    standing: ManagerStanding,
    since: Instant,
    why: Option<String>,
    streams: u64,
    sequence: u64,
}

impl View {
    pub(super) fn new(address: String) -> Self {
        Self(Mutex::new(Inner {
            address,
            standing: ManagerStanding::Away,
            since: Instant::now(),
            why: None,
            streams: 0,
            sequence: 0,
        }))
    }

    pub(super) fn stand(&self, standing: ManagerStanding, why: Option<String>) {
        let mut inner = self.inner();
        if standing != inner.standing {
            inner.since = Instant::now();
        }
        inner.streams += u64::from(standing == ManagerStanding::Reading);
        (inner.standing, inner.why) = (standing, why);
    }

    pub(super) fn sequence(&self, sequence: u64) {
        self.inner().sequence = sequence;
    }

    /// For the status socket.
    pub(crate) fn status(&self) -> ManagerLink {
        let inner = self.inner();
        ManagerLink {
            address: inner.address.clone(),
            standing: inner.standing,
            why: inner.why.clone(),
            standing_ms: u64::try_from(inner.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            streams: inner.streams,
            sequence: inner.sequence,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
