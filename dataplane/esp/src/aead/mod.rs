//! AES-GCM behind one small trait, and which implementation serves.
#[cfg(feature = "ring")]
pub use self::ring::Ring;
#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
pub use portable::Portable;

use crate::keys::Key;

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod portable;
#[cfg(feature = "ring")]
mod ring;

/// Length of a nonce.
pub const NONCE_LEN: usize = 12;

/// Length of a tag.
pub const TAG_LEN: usize = 16;

/// The back end that SAs use unless told otherwise.
#[cfg(feature = "ring")]
pub type DefaultAead = Ring;
/// The back end that SAs use unless told otherwise.
#[cfg(all(feature = "aws-lc", not(feature = "ring")))]
pub type DefaultAead = AwsLc;
/// The back end that SAs use unless told otherwise.
#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
pub type DefaultAead = Portable;

/// AES-GCM with a 96-bit nonce and a 128-bit tag, in place. The key's length chooses AES-128 or AES-256.
pub trait Aead: Sized {
    /// Name, for benchmarks and status output.
    const NAME: &'static str;

    /// Runs the key schedule.
    fn new(key: &Key) -> Self;

    /// Encrypts `in_out` and returns the tag over it and `aad`. The caller answers for the nonce being new.
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError>;

    /// Decrypts `sealed`, ciphertext then tag. On an error the content of `sealed` is unspecified: wipe it. On success the
    /// plaintext stands where the ciphertext stood, and the last 16 octets are unspecified.
    fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<(), AeadError>;
}

/// The tag does not fit, or the input is shorter than a tag or longer than GCM allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AEAD refused the input")]
pub struct AeadError;
