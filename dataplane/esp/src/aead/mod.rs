//! AES-GCM behind one small trait, and which implementation serves.
//!
//! **The choice** is made by measurement: `cargo bench -p kith-esp --bench aead`. Time of `aws-lc-rs` ÷ time of the back end,
//! AES-128, interleaved rounds, on two shared, loaded cores of a virtual machine (AMD EPYC with AVX-512 and
//! VAES), mean of two runs' medians; above 1 is faster than `aws-lc-rs`. Lengths are what ESP encrypts of payloads of 64, 256 and
//! 1408 octets. The 10 % to 90 % spread is about a quarter either way, so a few percent mean nothing.
//!
//! | back end    | 68 seal | 68 open | 260 seal | 260 open | 1412 seal | 1412 open |
//! |-------------|---------|---------|----------|----------|-----------|-----------|
//! | `aws-lc-rs` | 1       | 1       | 1        | 1        | 1         | 1         |
//! | `ring`      | 0.87    | 1.15    | 1.05     | 1.17     | 1.05      | 1.13      |
//! | `aes-gcm`   | 0.33    | 0.38    | 0.38     | 0.42     | 0.38      | 0.36      |
//!
//! `ring` serves: ahead in five of six, 1.06 in the geometric mean (1.02 with AES-256). On whole cipher blocks (64, 256,
//! 1408) it is ahead everywhere, 1.08 to 1.23, but ESP's padding and trailer rarely leave whole blocks. It also keeps the key
//! schedule inside the SA, where `aws-lc-rs` adds a pointer to follow. The margin is small; another processor may
//! turn it, so `aws-lc-rs` stays one feature away, and `aes-gcm` is always there as portable fallback and oracle.

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
