//! A key as it is written in a file. Wiped when dropped; never shown.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret octets.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

/// The text is no key. It says nothing of what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 octets, written as 64 hexadecimal digits or as 44 characters of base64")]
pub struct NotAKey;

impl SecretKey {
    /// The key of these octets, which the caller should wipe.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets. Whoever copies them must wipe the copy.
    #[must_use]
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(64));
        for octet in self.0 {
            for digit in [octet >> 4, octet & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// All zero: what somebody leaves who wanted to fill it in later.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().fold(0, |all, octet| all | octet) == 0
    }
}

impl FromStr for SecretKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let text = text.as_bytes();
        match text.len() {
            64 => from_hex(text),
            // 32 octets are ten groups of four and a last one of three, which padding may complete (RFC 4648 section 4).
            43 => from_base64(text),
            44 => from_base64(text.strip_suffix(b"=").ok_or(NotAKey)?),
            _ => Err(NotAKey),
        }
    }
}

fn from_hex(text: &[u8]) -> Result<SecretKey, NotAKey> {
    let mut key = SecretKey([0; 32]);
    for (octet, digits) in key.0.iter_mut().zip(text.as_chunks::<2>().0) {
        for &digit in digits {
            let value = char::from(digit).to_digit(16).ok_or(NotAKey)?;
            *octet = *octet << 4 | value as u8;
        }
    }
    Ok(key)
}

fn from_base64(text: &[u8]) -> Result<SecretKey, NotAKey> {
    let mut key = SecretKey([0; 32]);
    let (mut held, mut bits, mut at) = (0u32, 0, 0);
    for &character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Err(NotAKey),
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *key.0.get_mut(at).ok_or(NotAKey)? = (held >> bits) as u8;
            at += 1;
            held &= (1 << bits) - 1;
        }
    }
    // Bits left over must be zero, or two texts would be one key (RFC 4648 section 3.5).
    if at == key.0.len() && held == 0 {
        Ok(key)
    } else {
        Err(NotAKey)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Zeroizing::new(String::deserialize(deserializer)?)
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=";

    #[test]
    fn hexadecimal_and_base64_are_the_same_key() {
        let key: SecretKey = HEX.parse().unwrap();
        assert_eq!(*key.to_hex(), HEX);
        for text in [BASE64, &BASE64[..43], &HEX.to_uppercase()] {
            assert_eq!(text.parse::<SecretKey>().unwrap().octets(), key.octets());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let loose_bits = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv9=";
        for wrong in [
            "",
            "00",
            &HEX[1..],
            &HEX.replace('f', "g"),
            &BASE64[..42],
            loose_bits,
        ] {
            assert_eq!(wrong.parse::<SecretKey>().unwrap_err(), NotAKey, "{wrong}");
        }
        assert!(!format!("{:?}", HEX.parse::<SecretKey>()).contains("1e"));
    }
}
