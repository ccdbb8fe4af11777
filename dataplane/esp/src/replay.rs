//! The anti-replay window (RFC 4303 3.4.3 and appendix A2), on 64-bit sequence numbers of which 32 bits are sent.
//!
//! **Problem.** Accept each sequence number once, however packets are reordered, without remembering them all.
//!
//! **Idea.** RFC 6479's ring: bit `seq mod SIZE` says "seen", nothing is ever shifted. RFC 6479 clears whole words and
//! so needs a spare one; here exactly the bits between the old and the new top are cleared, and the window is as large
//! as the ring.
//!
//! ```text
//!      too old     │◄──────────── SIZE sequence numbers ────────────►│      ahead: accepted,
//!                  │ seen or not, one bit each                       │      becomes the top
//!  ────────────────┼────────────────────────────────────────────────┼─────────────────────►
//!            top - SIZE + 1                                         top              sequence number
//! ```
//!
//! **Cost.** A check reads one word. Accepting in order touches one word; a jump clears as many words as it skips, `WORDS`
//! at most, and only an authenticated packet can cause it.

use crate::ids::SeqNo;

/// Which sequence numbers of an SA were accepted. `WORDS` is a power of two; the default remembers 8192 numbers.
pub struct ReplayWindow<const WORDS: usize = 128> {
    top: u64,
    ring: [u64; WORDS],
}

/// The newest end of a window: the word that its highest number lies in, and those before.
pub struct Recent<const N: usize> {
    top: u64,
    words: [u64; N],
}

/// Why a sequence number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Accepted before.
    Replayed,
    /// Left of the window, or 0, which no sender uses (RFC 4303 3.3.3: the first is 1).
    TooOld,
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    /// How many sequence numbers, the highest included, the window remembers.
    pub const SIZE: u64 = {
        assert!(
            WORDS.is_power_of_two() && WORDS <= 1 << 20,
            "a power of two, far below the 2^31 of RFC 4303 A2.1"
        );
        WORDS as u64 * 64
    };

    /// A window that has seen nothing.
    pub const fn new() -> Self {
        Self {
            top: 0,
            ring: [0; WORDS],
        }
    }

    /// What to keep of it: `64 * (N - 1)` numbers behind the highest at least.
    pub fn recent<const N: usize>(&self) -> Recent<N> {
        let mut words = [0; N];
        for (word, back) in words.iter_mut().zip(0..) {
            *word = self.ring[Self::behind(self.top, back)];
        }
        Recent { top: self.top, words }
    }

    /// A window that goes on from what was kept of another, and takes everything older for seen.
    pub fn resumed<const N: usize>(recent: &Recent<N>) -> Self {
        // Bits of the highest number's own word that lie right of it stand for the oldest numbers; either they were seen, or there were none.
        let mut window = Self {
            top: recent.top,
            ring: [u64::MAX; WORDS],
        };
        for (word, back) in recent.words.iter().zip(0..) {
            window.ring[Self::behind(recent.top, back)] = *word;
        }
        window
    }

    /// The place of the word so many words behind the one that a number lies in.
    const fn behind(seq: u64, words: u64) -> usize {
        ((seq / 64).wrapping_sub(words) as usize) & (WORDS - 1)
    }

    /// The highest number accepted; 0 before the first.
    pub const fn top(&self) -> SeqNo {
        SeqNo(self.top)
    }

    /// The full number of a packet whose header shows `low` (RFC 4303 A2.2): the one candidate that is neither left of
    /// the window nor 2^32 or more right of its left edge. None if that candidate is below 0 or above 2^64 - 1.
    pub fn infer(&self, low: u32) -> Option<SeqNo> {
        let (top_high, top_low) = (self.top().high(), self.top().low());
        let reach = (Self::SIZE - 1) as u32;
        let bottom_low = top_low.wrapping_sub(reach);
        let high = match (top_low >= reach, low >= bottom_low) {
            // Case A: the window lies within one span of 2^32 numbers.
            (true, true) => Some(top_high),
            (true, false) => top_high.checked_add(1),
            // Case B: the window straddles two spans.
            (false, true) => top_high.checked_sub(1),
            (false, false) => Some(top_high),
        };
        high.map(|high| SeqNo::from_halves(high, low))
    }

    /// Would `seq` be accepted? Changes nothing.
    pub fn check(&self, seq: SeqNo) -> Result<(), ReplayError> {
        if seq.0 > self.top {
            return Ok(());
        }
        if seq.0 == 0 || self.top - seq.0 >= Self::SIZE {
            return Err(ReplayError::TooOld);
        }
        if self.ring[slot::<WORDS>(seq.0)] & bit(seq.0) != 0 {
            return Err(ReplayError::Replayed);
        }
        Ok(())
    }

    /// Accepts `seq`, once. Refusing changes nothing.
    pub fn accept(&mut self, seq: SeqNo) -> Result<(), ReplayError> {
        self.check(seq)?;
        if seq.0 > self.top {
            self.forget(self.top + 1, seq.0);
            self.top = seq.0;
        }
        self.ring[slot::<WORDS>(seq.0)] |= bit(seq.0);
        Ok(())
    }

    /// Clears the bits of `first..=last`, which until now stood for numbers `SIZE` lower.
    fn forget(&mut self, first: u64, last: u64) {
        if last - first >= Self::SIZE - 1 {
            self.ring.fill(0);
            return;
        }
        let (first_word, last_word) = (first / 64, last / 64);
        let from_first = u64::MAX << (first % 64);
        let to_last = u64::MAX >> (63 - last % 64);
        if first_word == last_word {
            self.ring[slot::<WORDS>(first)] &= !(from_first & to_last);
            return;
        }
        self.ring[slot::<WORDS>(first)] &= !from_first;
        for word in first_word + 1..last_word {
            self.ring[word as usize & (WORDS - 1)] = 0;
        }
        self.ring[slot::<WORDS>(last)] &= !to_last;
    }
}

impl<const WORDS: usize> Default for ReplayWindow<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

const fn slot<const WORDS: usize>(seq: u64) -> usize {
    (seq / 64) as usize & (WORDS - 1)
}

const fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}
