//! What an end of a test is asked by its endpoint, and randomness from a seed.

use kith_ike::codec::Ticket;
use kith_ike::*;
use std::sync::Arc;

/// xorshift64*: reproducible, and nothing more is asked of it.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub struct TestHost {
    pub random: Random,
    pub last_spi: u32,
    pub free: usize,
    pub taken: usize,
    pub terms: Option<Arc<Terms>>,
    pub refuse: Option<Refused>,
    pub screen: bool,
}

impl Host for TestHost {
    fn entropy(&mut self, out: &mut [u8]) {
        for octet in out {
            *octet = self.random.next() as u8;
        }
    }

    fn take_spi(&mut self) -> Option<kith_esp::Spi> {
        if self.taken >= self.free {
            return None;
        }
        self.taken += 1;
        self.last_spi += 1;
        kith_esp::Spi::new(self.last_spi).ok()
    }

    fn give_back_spi(&mut self, _spi: kith_esp::Spi) {
        self.taken -= 1;
    }

    fn screen(&mut self, _: Moment, _: Path, _: Option<&Ticket>) -> Result<(), Refused> {
        if self.screen {
            Ok(())
        } else {
            Err(Refused::Unknown)
        }
    }

    fn admit(&mut self, _: Moment, _: &Claim<'_>) -> Result<Arc<Terms>, Refused> {
        match (&self.refuse, &self.terms) {
            (Some(refused), _) => Err(refused.clone()),
            (None, Some(terms)) => Ok(terms.clone()),
            (None, None) => Err(Refused::Unknown),
        }
    }
}
