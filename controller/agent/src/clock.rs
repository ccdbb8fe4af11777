//! The clock of all lifetimes: one for the process, so that keys made in one part of it mean the same in another.

use kith_esp::Millis;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<Instant> = OnceLock::new();

/// Microseconds since the first call.
#[inline]
#[must_use]
pub fn micros() -> u64 {
    let start = START.get_or_init(Instant::now);
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The same in milliseconds: what [`kith_esp::Inbound::new`] and [`kith_esp::Outbound::new`] want.
#[inline]
#[must_use]
pub fn now() -> Millis {
    Millis(micros() / 1000)
}

/// Nanoseconds since 1970 by the wall clock, which may jump.
#[must_use]
pub fn wall_nanos() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
}
