//! How long to wait before the next attempt: twice as long each time, up to a limit, and never all at the same moment.
//!
//! Ten thousand members lose their manager in the same millisecond. Half of each wait is random, so that they do not all
//! come back in the same one.

use super::Entropy;

/// Waits that grow.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first_ms: u64,
    most_ms: u64,
    attempts: u32,
}

impl Backoff {
    /// The first wait is at most `first_ms`, none is above `most_ms`.
    #[must_use]
    pub fn new(first_ms: u64, most_ms: u64) -> Self {
        Self {
            first_ms,
            most_ms,
            attempts: 0,
        }
    }

    /// How long to wait now, in milliseconds: between half and all of what the number of attempts gives.
    pub fn next(&mut self, entropy: &mut Entropy) -> u64 {
        let doubled = self.first_ms.saturating_mul(1 << self.attempts.min(32));
        self.attempts = self.attempts.saturating_add(1);
        jitter(doubled.min(self.most_ms), entropy)
    }

    /// How often in a row it did not work.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Between half of `wait` and all of it.
pub fn jitter(wait: u64, entropy: &mut Entropy) -> u64 {
    let mut random = [0; 8];
    entropy(&mut random);
    let half = wait / 2;
    half + u64::from_le_bytes(random) % (wait - half + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy(octet: u8) -> Entropy {
        Box::new(move |out: &mut [u8]| out.fill(octet))
    }

    #[test]
    fn waits_double_up_to_the_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(1_000, 10_000);
        // Zero randomness: the shortest wait of each step.
        let waits: Vec<u64> = (0..6).map(|_| backoff.next(&mut entropy(0))).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.next(&mut entropy(0)), 500);
    }

    #[test]
    fn no_wait_is_above_the_limit_however_often_it_fails() {
        let mut backoff = Backoff::new(1_000, 10_000);
        for round in 0..100 {
            let wait = backoff.next(&mut entropy(round));
            assert!((500..=10_000).contains(&wait), "{wait}");
        }
    }
}
