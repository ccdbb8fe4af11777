//! Back end: the `aws-lc-rs` crate.

use ::aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Aead, AeadError, NONCE_LEN, TAG_LEN};
use crate::keys::Key;

/// AES-GCM by `aws-lc-rs`. The key schedule is on the C heap, which wipes it when freed.
pub struct AwsLc(LessSafeKey);

impl Aead for AwsLc {
    const NAME: &'static str = "aws-lc-rs";

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
