//! 32 octets that nobody may see: wiped when dropped, compared in constant time, without `Debug`.
//!
//! ```compile_fail
//! let secret = kith_protocol::secret::Secret32::new([7; 32]);
//! println!("{secret:?}"); // there is no Debug
//! ```

use crate::Rng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret of 32 octets.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// These octets.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// New random ones.
    #[must_use]
    pub fn generate(rng: Rng<'_>) -> Self {
        Self::made(|octets| rng(octets))
    }

    /// From a message or a record; `None` unless it is 32 octets.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// Written in place: no copy stays behind on the stack.
    pub(crate) fn made(write: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self([0; 32]);
        write(&mut secret.0);
        secret
    }

    /// The octets, for those who compute with them or keep them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Secret32 {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret32 {}
