//! How much may be asked: a bucket of tokens for every member, and one for all.

use kith_esp::Millis;

/// So many at once, and so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// A second, in the long run.
    pub per_second: u32,
}

/// A bucket that fills at its rate; in thousandths of tokens, so that a millisecond adds a whole number of them.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    thousandths: u64,
    filled: Millis,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Millis) -> Self {
        Self {
            rate,
            thousandths: u64::from(rate.burst) * 1000,
            filled: now,
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Millis) -> bool {
        let passed = now.0.saturating_sub(self.filled.0);
        self.filled = Millis(self.filled.0.max(now.0));
        let added = passed.saturating_mul(u64::from(self.rate.per_second));
        self.thousandths = self
            .thousandths
            .saturating_add(added)
            .min(u64::from(self.rate.burst) * 1000);
        let Some(left) = self.thousandths.checked_sub(1000) else {
            return false;
        };
        self.thousandths = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate {
            burst: 5,
            per_second: 10,
        };
        let mut bucket = Bucket::new(rate, Millis(0));
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(Millis(now))).count();
        assert_eq!(taken(&mut bucket, 0), 5);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 50), 0, "a clock that steps back gives nothing");
        assert_eq!(taken(&mut bucket, 1_000_000), 5, "never more than a burst");
    }
}
