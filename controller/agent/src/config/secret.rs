//! 32 octets that must not leak: written as 64 hexadecimal digits, wiped when dropped, never shown by `Debug`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret of 32 octets.
///
/// ```compile_fail
/// println!("{:?}", kith_agent::config::Secret::new([0; 32]));
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

/// What is wrong with a written secret. It shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is 64 hexadecimal digits (32 octets); make one with: openssl rand -hex 32")]
pub struct BadSecret;

impl Secret {
    /// The secret of these octets, which the caller should wipe.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Are all octets the same? No random secret is.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        self.0.iter().all(|octet| *octet == self.0[0])
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, BadSecret> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BadSecret);
        }
        let mut secret = Self([0; 32]);
        for (octet, pair) in secret.0.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(secret)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use fmt::Write;
        let mut text = Zeroizing::new(String::with_capacity(64));
        for octet in &self.0 {
            write!(text, "{octet:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::from_hex(&text).map_err(D::Error::custom)
    }
}

fn digit(letter: u8) -> Result<u8, BadSecret> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        b'A'..=b'F' => Ok(letter - b'A' + 10),
        _ => Err(BadSecret),
    }
}
