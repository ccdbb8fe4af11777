//! Token buckets: one word of state, integer arithmetic, time passed in.

use crate::sync::{AtomicU64, Ordering};
use crate::units::Nanos;

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens (packets or octets) a second.
    pub per_second: u32,
    /// Tokens that may pass at once after a pause.
    pub burst: u32,
}

/// A token bucket.
///
/// The state is `tokens << 32 | time`, with time in units of 2^20 ns (about a millisecond, wrapping after 52 days).
/// It is loaded and stored, not exchanged: two workers on one bucket may both take the last tokens, so a bucket shared by `n` workers admits at
/// most `n` times a burst too much, which a rate limit can bear and a locked instruction on every packet cannot.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

const UNIT_SHIFT: u32 = 20;

impl Bucket {
    /// Makes it as one that was never used. The one who gives out rates calls this, before anyone takes from the bucket.
    pub(crate) fn refill(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// May `cost` tokens pass now? Takes them if so.
    #[inline]
    pub fn admit(&self, rate: Rate, now: Nanos, cost: u32) -> bool {
        let state = self.0.load(Ordering::Relaxed);
        let now = (now.0 >> UNIT_SHIFT) as u32 | 1; // never 0, which marks a bucket that was not used yet
        let (tokens, last) = ((state >> 32) as u32, state as u32);
        let (tokens, last) = if last == 0 {
            (rate.burst, now)
        } else {
            let elapsed = now.wrapping_sub(last);
            // A clock that seems to run backwards (another worker was here) adds nothing.
            let elapsed = if elapsed > u32::MAX / 2 { 0 } else { elapsed };
            let earned =
                (u64::from(elapsed) << UNIT_SHIFT) as u128 * u128::from(rate.per_second) / 1_000_000_000;
            let tokens = (u128::from(tokens) + earned).min(u128::from(rate.burst)) as u32;
            // Time whose tokens rounded down to none is kept for the next call.
            (tokens, if earned == 0 { last } else { now })
        };
        let admitted = tokens >= cost;
        let left = tokens - if admitted { cost } else { 0 };
        self.0
            .store(u64::from(left) << 32 | u64::from(last), Ordering::Relaxed);
        admitted
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 1000,
        burst: 10,
    };

    fn at(millis: u64) -> Nanos {
        Nanos(1_000_000_000 + millis * 1_000_000)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let bucket = Bucket::default();
        assert_eq!((0..20).filter(|_| bucket.admit(RATE, at(0), 1)).count(), 10);
        let passed = (0..10_000u64)
            .filter(|i| bucket.admit(RATE, at(i / 10), 1))
            .count();
        assert!(
            (950..=1010).contains(&passed),
            "1000 a second for one second, got {passed}"
        );
    }

    #[test]
    fn a_pause_never_earns_more_than_the_burst() {
        let bucket = Bucket::default();
        assert!(bucket.admit(RATE, at(0), 1));
        assert_eq!(
            (0..100).filter(|_| bucket.admit(RATE, at(86_400_000), 1)).count(),
            10
        );
    }

    #[test]
    fn a_slow_rate_is_not_rounded_away() {
        let bucket = Bucket::default();
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let passed = (0..100_000u64).filter(|i| bucket.admit(rate, at(*i), 1)).count();
        assert!(
            (99..=101).contains(&passed),
            "one a second for 100 s, got {passed}"
        );
    }

    #[test]
    fn time_running_backwards_gives_nothing() {
        let bucket = Bucket::default();
        assert!(bucket.admit(RATE, at(5000), 10));
        assert!(!bucket.admit(RATE, at(0), 1));
    }
}
