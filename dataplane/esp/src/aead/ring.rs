//! Back end: the `ring` crate.

use std::hint::black_box;

use ::ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Aead, AeadError, NONCE_LEN, TAG_LEN};
use crate::keys::Key;

/// AES-GCM by `ring`. The key schedule lies in the value itself, not behind a pointer.
pub struct Ring(LessSafeKey);

impl Aead for Ring {
    const NAME: &'static str = "ring";

    fn new(key: &Key) -> Self {
        let bytes = key.bytes();
        let algorithm = if bytes.len() == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        match UnboundKey::new(algorithm, bytes) {
            Ok(key) => Self(LessSafeKey::new(key)),
            Err(_) => unreachable!("a Key is 16 or 32 octets, and the algorithm was chosen by that"),
        }
    }

    #[inline]
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)
            .map_err(|_| AeadError)?;
        tag.as_ref().try_into().map_err(|_| AeadError)
    }

    #[inline]
    fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place(nonce, Aad::from(aad), sealed)
            .map(|_| ())
            .map_err(|_| AeadError)
    }
}

impl Drop for Ring {
    /// `ring` does not wipe its keys. Writing the schedule of a zero key over this one does, as far as safe code can:
    /// `black_box` keeps the compiler from dropping the write as dead.
    fn drop(&mut self) {
        let algorithm = self.0.algorithm();
        if let Ok(zero) = UnboundKey::new(algorithm, &[0; 32][..algorithm.key_len()]) {
            self.0 = LessSafeKey::new(zero);
            black_box(&mut self.0);
        }
    }
}
