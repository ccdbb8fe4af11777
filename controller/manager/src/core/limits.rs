//! How often somebody may ask: token buckets of eight octets, alone and in a table of fixed size.
//!
//! A bucket is the time at which it would be full again (the generic cell rate algorithm): nothing runs between requests, and an untouched
//! bucket is zero. The table never grows: sources that hash alike share a bucket, so a flood of made-up sources fills buckets, not memory.
//! The hash is keyed, so that nobody can choose addresses that share a victim's bucket.

use super::ids::Time;
use std::net::Ipv4Addr;

/// So many a second on average, so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// One bucket; the default one is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Microseconds since 1970.
    full_at: u64,
}

impl Bucket {
    /// Takes a token, or says after how many milliseconds there is one.
    pub fn take(&mut self, rate: Rate, now: Time) -> Result<(), u32> {
        let now = now.0.saturating_mul(1000);
        let interval = 1_000_000 / u64::from(rate.per_second.max(1));
        let room = interval * u64::from(rate.burst.max(1) - 1);
        // A clock that went back must not lock anybody out.
        self.full_at = self.full_at.max(now).min(now + room + interval);
        let over = (self.full_at - now).saturating_sub(room);
        if over > 0 {
            return Err(u32::try_from(over.div_ceil(1000)).unwrap_or(u32::MAX));
        }
        self.full_at += interval;
        Ok(())
    }
}

/// One bucket for all source addresses with the same hash.
pub(super) struct Sources {
    buckets: Box<[Bucket]>,
    key: u64,
}

impl Sources {
    pub(super) fn new(key: u64) -> Self {
        Self {
            buckets: vec![Bucket::default(); 4096].into_boxed_slice(),
            key,
        }
    }

    pub(super) fn take(&mut self, source: Ipv4Addr, rate: Rate, now: Time) -> Result<(), u32> {
        let hash = mix(u64::from(u32::from(source)) ^ self.key);
        let at = usize::try_from(hash).unwrap_or(0) & (self.buckets.len() - 1);
        self.buckets[at].take(rate, now)
    }
}

/// Every bit in changes every bit out with a chance of one half.
fn mix(mut x: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        x ^= x >> 33;
        x = x.wrapping_mul(factor);
    }
    x ^ x >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst: 3,
    };

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, now| bucket.take(RATE, Time(now));
        assert_eq!(
            (0..3)
                .map(|_| taken(&mut bucket, 10_000))
                .filter(Result::is_ok)
                .count(),
            3
        );
        assert_eq!(taken(&mut bucket, 10_000), Err(500));
        assert_eq!(taken(&mut bucket, 10_499), Err(1));
        assert_eq!(taken(&mut bucket, 10_500), Ok(()));
        assert!(taken(&mut bucket, 10_500).is_err());
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_for_longer_than_the_burst_takes() {
        let mut bucket = Bucket::default();
        bucket.take(RATE, Time(1_000_000)).unwrap();
        assert!((0..4).any(|tries| bucket.take(RATE, Time(1000 + tries * 500)).is_ok()));
    }

    #[test]
    fn one_source_does_not_spend_anothers() {
        let mut sources = Sources::new(7);
        let loud = Ipv4Addr::new(198, 51, 100, 1);
        while sources.take(loud, RATE, Time(1)).is_ok() {}
        assert_eq!(
            sources.take(Ipv4Addr::new(198, 51, 100, 2), RATE, Time(1)),
            Ok(())
        );
    }
}
