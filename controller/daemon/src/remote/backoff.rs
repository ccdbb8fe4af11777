//! Pauses between tries: longer each time, and never two directors' at the same moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// The next pause.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// It did not: between half of the pause that is due and all of it, as a random number says.
    pub(super) fn next(&mut self, random: u32) -> Duration {
        let due = self.0;
        self.0 = (due * 2).min(LONGEST);
        let share = 0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX);
        due.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_spread_over_half_of_them() {
        let (mut early, mut late) = (Backoff::new(), Backoff::new());
        for _ in 0..10 {
            assert!(early.next(0) * 2 <= late.next(u32::MAX) + Duration::from_micros(1));
        }
        assert_eq!(late.next(u32::MAX), LONGEST);
        late.reset();
        assert_eq!(late.next(u32::MAX), FIRST);
    }
}
