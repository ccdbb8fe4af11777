//! Token buckets, alone and in a table of fixed size indexed by a hash of the source address.
//!
//! The table never grows: addresses that hash alike share a bucket, so a flood of made-up sources fills buckets, not
//! memory. The hash is keyed, so that nobody can pick addresses that share a victim's bucket. A bucket is 8 octets.

use crate::Time;
use core::net::Ipv4Addr;

/// So many a second on average, so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: u32,
    /// Tokens a rested bucket holds; at most [`Rate::MAX_BURST`].
    pub burst: u32,
}

impl Rate {
    /// The largest burst a bucket can hold.
    pub const MAX_BURST: u32 = u32::MAX / 1000;
}

/// Tokens in thousandths, so that a millisecond's refill is exactly the rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    thousandths: u32,
    /// Low half of the milliseconds; a bucket left alone for 49 days is at worst refilled late.
    refilled: u32,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Time) -> Self {
        Self {
            thousandths: rate.burst.saturating_mul(1000),
            refilled: now.as_millis() as u32,
        }
    }

    /// Is there a token? Refills, takes nothing.
    pub(crate) fn has(&mut self, rate: Rate, now: Time) -> bool {
        let now = now.as_millis() as u32;
        let gained = u64::from(now.wrapping_sub(self.refilled)) * u64::from(rate.per_second);
        self.refilled = now;
        let filled = (u64::from(self.thousandths) + gained).min(u64::from(rate.burst) * 1000);
        self.thousandths = u32::try_from(filled).unwrap_or(u32::MAX);
        self.thousandths >= 1000
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        let has = self.has(rate, now);
        if has {
            self.thousandths -= 1000;
        }
        has
    }
}

/// One bucket for all source addresses with the same hash.
pub(crate) struct SourceTable {
    buckets: Box<[Bucket]>,
    rate: Rate,
    key: u64,
}

impl SourceTable {
    /// `buckets` is rounded up to a power of two.
    pub(crate) fn new(buckets: usize, rate: Rate, key: u64) -> Self {
        Self {
            buckets: vec![Bucket::full(rate, Time::ZERO); buckets.next_power_of_two()].into_boxed_slice(),
            rate,
            key,
        }
    }

    pub(crate) fn take(&mut self, source: Ipv4Addr, now: Time) -> bool {
        let at = mix(u64::from(source.to_bits()) ^ self.key) as usize & (self.buckets.len() - 1);
        self.buckets[at].take(self.rate, now)
    }

    /// Octets held.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

/// The finaliser of SplitMix64: every input bit changes about half of the output bits.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = Bucket::full(RATE, Time::ZERO);
        let taken = |bucket: &mut Bucket, at| {
            (0..100)
                .filter(|_| bucket.take(RATE, Time::from_millis(at)))
                .count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 60_000), 3);
    }

    #[test]
    fn one_source_cannot_spend_anothers_tokens_and_the_table_never_grows() {
        let mut table = SourceTable::new(1000, RATE, 7);
        let before = table.memory();
        let flooder = Ipv4Addr::new(198, 51, 100, 1);
        assert_eq!((0..1000).filter(|_| table.take(flooder, Time::ZERO)).count(), 3);
        assert!(table.take(Ipv4Addr::new(198, 51, 100, 2), Time::ZERO));
        for source in 0..100_000 {
            table.take(Ipv4Addr::from_bits(source), Time::ZERO);
        }
        assert_eq!((before, table.memory()), (8192, 8192));
    }
}
