//! Back end: the `aes-gcm` crate, pure Rust. Runs everywhere, and is the oracle of the differential tests.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};

use super::{Aead, AeadError, NONCE_LEN, TAG_LEN};
use crate::keys::Key;

/// AES-GCM by `aes-gcm`.
pub struct Portable(Cipher);

// An SA holds one for its life, side by side with its other state: a box would cost a cache miss a packet.
#[allow(clippy::large_enum_variant)]
enum Cipher {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

impl Aead for Portable {
    const NAME: &'static str = "aes-gcm";

    fn new(key: &Key) -> Self {
        let bytes = key.bytes();
        match (Aes128Gcm::new_from_slice(bytes), Aes256Gcm::new_from_slice(bytes)) {
            (Ok(cipher), _) => Self(Cipher::Aes128(cipher)),
            (_, Ok(cipher)) => Self(Cipher::Aes256(cipher)),
            _ => unreachable!("a Key is 16 or 32 octets"),
        }
    }

    #[inline]
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let tag = match &self.0 {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(nonce.into(), aad, in_out.into()),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(nonce.into(), aad, in_out.into()),
        };
        tag.map(Into::into).map_err(|_| AeadError)
    }

    #[inline]
    fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError> {
        let (in_out, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        let tag = (&*tag).into();
        match &self.0 {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(nonce.into(), aad, in_out.into(), tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(nonce.into(), aad, in_out.into(), tag),
        }
        .map_err(|_| AeadError)
    }
}
