//! The pseudorandom function, and keys of any length from it (RFC 7296 2.13, RFC 8247 2.2).

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Secret octets: wiped when dropped, never shown, never compared but in constant time.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over octets that are secret from now on.
    #[must_use]
    pub fn new(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    /// The octets: for a cipher or a function, not for a log.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A pseudorandom function with a key of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prf {
    /// 5: HMAC with SHA-256 (RFC 4868).
    HmacSha256,
    /// 6: HMAC with SHA-384 (RFC 4868).
    HmacSha384,
}

impl Prf {
    /// Its transform id.
    #[must_use]
    pub fn id(self) -> u16 {
        match self {
            Self::HmacSha256 => 5,
            Self::HmacSha384 => 6,
        }
    }

    /// Its name as operators know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "HMAC-SHA-256",
            Self::HmacSha384 => "HMAC-SHA-384",
        }
    }

    /// Octets that it gives, and that its keys have.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length of an output, which is never empty"
    )]
    pub fn len(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
        }
    }

    /// The function over the concatenation of `parts`.
    #[must_use]
    pub fn prf(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let mut context = hmac::Context::with_key(&self.key(key));
        parts.iter().for_each(|part| context.update(part));
        Secret(Zeroizing::new(context.sign().as_ref().to_vec()))
    }

    /// `count` octets of key material: T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2), and so on (RFC 7296 2.13).
    #[must_use]
    pub fn prf_plus(self, key: &[u8], seed: &[&[u8]], count: usize) -> Secret {
        let key = self.key(key);
        let mut stream = Zeroizing::new(Vec::with_capacity(count + self.len()));
        let mut round: u8 = 0;
        while stream.len() < count {
            // RFC 7296 2.13: never more than 255 rounds. Our longest key material takes eight.
            round = round
                .checked_add(1)
                .unwrap_or_else(|| unreachable!("no key is 255 rounds long"));
            let last = stream.len().saturating_sub(self.len());
            let mut context = hmac::Context::with_key(&key);
            context.update(&stream[last..]);
            seed.iter().for_each(|part| context.update(part));
            context.update(&[round]);
            stream.extend_from_slice(context.sign().as_ref());
        }
        stream.truncate(count);
        Secret(stream)
    }

    fn key(self, key: &[u8]) -> hmac::Key {
        let algorithm = match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
        };
        hmac::Key::new(algorithm, key)
    }
}
