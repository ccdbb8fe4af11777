//! Key material: wiped when dropped, never printed, never copied.
//!
//! [`SaKeys`] is consumed by the SA made from it and cannot be cloned, so one set of keys makes one SA. That is half of
//! nonce uniqueness; [`crate::Outbound`]'s counter is the other half.
//!
//! ```compile_fail
//! fn printed(keys: &kith_esp::SaKeys) { println!("{keys:?}"); }
//! ```
//! ```compile_fail
//! fn cloned(keys: &kith_esp::SaKeys) -> kith_esp::SaKeys { keys.clone() }
//! ```

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// An AES key of 128 or 256 bits.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key(KeyBytes);

#[derive(Zeroize)]
enum KeyBytes {
    Aes128([u8; 16]),
    Aes256([u8; 32]),
}

/// The four secret octets that begin every nonce of an SA (RFC 4106 4).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Salt([u8; 4]);

/// What a key exchange gives for one SA: key and salt.
pub struct SaKeys {
    pub(crate) key: Key,
    pub(crate) salt: Salt,
}

/// Key material of a length that no supported cipher has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} octets of key: AES-GCM takes {expected}")]
pub struct BadKeyLength {
    got: usize,
    expected: &'static str,
}

impl Key {
    /// A key for AES-128-GCM.
    pub fn aes128(bytes: &[u8; 16]) -> Self {
        Self(KeyBytes::Aes128(*bytes))
    }

    /// A key for AES-256-GCM.
    pub fn aes256(bytes: &[u8; 32]) -> Self {
        Self(KeyBytes::Aes256(*bytes))
    }

    /// 16 octets make an AES-128 key, 32 an AES-256 key.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadKeyLength> {
        if let Ok(key) = bytes.try_into() {
            Ok(Self::aes128(key))
        } else if let Ok(key) = bytes.try_into() {
            Ok(Self::aes256(key))
        } else {
            Err(BadKeyLength {
                got: bytes.len(),
                expected: "16 or 32 octets",
            })
        }
    }

    /// The octets, for a cipher's key schedule.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Aes128(bytes) => bytes,
            KeyBytes::Aes256(bytes) => bytes,
        }
    }
}

impl Salt {
    /// A salt of these octets.
    pub fn new(bytes: &[u8; 4]) -> Self {
        Self(*bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The same once more, for an SA that is woken.
    pub(crate) fn again(&self) -> Self {
        Self(self.0)
    }
}

impl SaKeys {
    /// Joins a key and a salt.
    pub fn new(key: Key, salt: Salt) -> Self {
        Self { key, salt }
    }

    /// Splits keying material as RFC 4106 8.1 lays it out: the key, then four octets of salt.
    pub fn from_keymat(keymat: &[u8]) -> Result<Self, BadKeyLength> {
        let refused = BadKeyLength {
            got: keymat.len(),
            expected: "20 or 36 octets (key, then salt)",
        };
        let (key, salt) = keymat.split_last_chunk::<4>().ok_or(refused)?;
        Ok(Self {
            key: Key::from_slice(key).map_err(|_| refused)?,
            salt: Salt::new(salt),
        })
    }

    /// The octets that [`SaKeys::from_keymat`] takes: for handing the keys over to another process, which is to have the SA. Whoever
    /// makes an SA of them as well repeats its nonces.
    #[must_use]
    pub fn keymat(&self) -> Zeroizing<Vec<u8>> {
        let (key, salt) = (self.key.bytes(), self.salt.bytes());
        // Of its final length from the start: a growing vector leaves copies behind.
        let mut keymat = Zeroizing::new(Vec::with_capacity(key.len() + salt.len()));
        keymat.extend_from_slice(key);
        keymat.extend_from_slice(salt);
        keymat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keymat_is_the_key_then_the_salt() {
        let keymat: Vec<u8> = (0..36).collect();
        let keys = SaKeys::from_keymat(&keymat).unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!(keys.key.bytes(), &keymat[..32]);
        assert_eq!(keys.salt.bytes(), &keymat[32..]);
        assert_eq!(*keys.keymat(), keymat);
    }

    #[test]
    fn only_lengths_of_real_ciphers_are_taken() {
        let keymat = [0; 64];
        let taken = (0..64)
            .filter(|&n| SaKeys::from_keymat(&keymat[..n]).is_ok())
            .collect::<Vec<_>>();
        assert_eq!(taken, [20, 36]);
        let taken = (0..64)
            .filter(|&n| Key::from_slice(&keymat[..n]).is_ok())
            .collect::<Vec<_>>();
        assert_eq!(taken, [16, 32]);
    }

    #[test]
    fn zeroize_leaves_no_octet() {
        let mut key = Key::aes256(&[0xA5; 32]);
        key.zeroize();
        assert_eq!(key.bytes(), [0; 32]);
        let mut salt = Salt::new(&[0xA5; 4]);
        salt.zeroize();
        assert_eq!(salt.bytes(), &[0; 4]);
    }
}
