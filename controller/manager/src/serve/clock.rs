//! The host's clock: milliseconds since 1970 that never go back, whatever happens to the system's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock. One a manager.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// A clock that begins behind `last`: a time that was used before.
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self(AtomicU64::new(last))
    }

    /// Milliseconds since 1970, or the last answer if the system's clock was set back.
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_go_back() {
        let ahead = Clock::default().now() + 1_000_000;
        let clock = Clock::after(ahead);
        assert_eq!(clock.now(), ahead);
        assert!(Clock::default().now() < ahead);
    }
}
