//! Random octets of the system.

use crate::core::Entropy;

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers, without which keys could be guessed")]
pub struct NoEntropy;

/// Tries it once: afterwards it cannot fail (RFC 4086 section 7.1.2: a seeded generator does not run out).
pub(super) fn check() -> Result<(), NoEntropy> {
    aws_lc_rs::rand::fill(&mut [0; 32]).map_err(|_| NoEntropy)
}

/// Fills with random octets.
pub(super) fn fill(out: &mut [u8]) {
    if aws_lc_rs::rand::fill(out).is_err() {
        unreachable!("the generator gave numbers at the start, and is seeded since");
    }
}

pub(super) fn entropy() -> Entropy {
    Entropy::new(fill)
}

/// A random number.
pub(super) fn number() -> u64 {
    let mut octets = [0; 8];
    fill(&mut octets);
    u64::from_be_bytes(octets)
}
