//! Time for all threads: the time stamp counter as nanoseconds, without a syscall or a division.

use kith_pipeline::units::Nanos;

/// Nanoseconds since the clock was made. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: u64,
    /// Nanoseconds a cycle, in units of 2^-32.
    scale: u64,
}

impl Clock {
    /// A clock that begins now. `None` before DPDK has measured the counter's frequency.
    #[must_use]
    pub fn start() -> Option<Self> {
        let per_second = kith_dpdk::tsc_hz();
        let scale = (1_000_000_000u128 << 32).checked_div(per_second.into())?;
        Some(Self {
            start: kith_dpdk::tsc(),
            scale: u64::try_from(scale).ok()?,
        })
    }

    /// Now.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Nanos {
        // Counters of two CPUs may differ by a little: just after the start that must not wrap.
        let cycles = kith_dpdk::tsc().saturating_sub(self.start);
        Nanos(((u128::from(cycles) * u128::from(self.scale)) >> 32) as u64)
    }
}
