//! A key of 32 octets that cannot be printed and does not outlive its owner.

use ring::{digest, hkdf};
use serde::{Serialize, Serializer};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A key of 32 octets: wiped on drop; `Debug` and serialisation show that there is one, never which.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; Secret::LEN]);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the key has characters that are neither hexadecimal nor base64")]
    Alphabet,
    #[error("the key has {0} octets, not 32")]
    Length(usize),
    #[error("the key is all zeros")]
    Zero,
}

impl Secret {
    /// Length in octets.
    pub const LEN: usize = 32;

    /// Wraps octets that are already known to be a good key.
    pub fn new(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }

    /// The octets, for who must compute with them.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads 64 hexadecimal digits, or base64 of either alphabet with or without padding.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretError> {
        let octets = match unhex(text) {
            Some(octets) => octets,
            None => unbase64(text).ok_or(SecretError::Alphabet)?,
        };
        let array: [u8; Self::LEN] = octets
            .as_slice()
            .try_into()
            .map_err(|_| SecretError::Length(octets.len()))?;
        if array.iter().all(|&o| o == 0) {
            return Err(SecretError::Zero);
        }
        Ok(Self(array))
    }

    /// A digest that may be used as a map's key while duplicates are looked for.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        out
    }

    /// The key of a pair of members under this community secret: HKDF-SHA-256 (RFC 5869) over both names. Sorted, so that
    /// both get the same; each with its length before it, so that no two pairs of names read the same.
    pub(crate) fn pair(&self, one: &str, other: &str) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"kith pair psk 1").extract(&self.0);
        let lengths = [first, second].map(|name| (name.len() as u32).to_be_bytes());
        let info = [
            &lengths[0][..],
            first.as_bytes(),
            &lengths[1][..],
            second.as_bytes(),
        ];
        let mut out = Self([0; Self::LEN]);
        match prk
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out.0))
        {
            Ok(()) => out,
            Err(_) => unreachable!("HKDF gives up to 255 digests; one is asked for"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("(secret)")
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<Vec<u8>>>();
    let digits = Zeroizing::new(digits?);
    Some(Zeroizing::new(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    ))
}

fn unbase64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text
        .strip_suffix("==")
        .or_else(|| text.strip_suffix('='))
        .unwrap_or(text);
    let mut out = Zeroizing::new(Vec::with_capacity(body.len()));
    let (mut bits, mut held) = (0u32, 0u32);
    for c in body.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    // RFC 4648, section 3.5: what is left over must be zero, or two texts would be one key.
    let left_over = bits & ((1 << held) - 1);
    (held < 6 && left_over == 0 && !body.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &str) -> Vec<u8> {
        Secret::parse(text)
            .map(|s| s.expose().to_vec())
            .unwrap_or_default()
    }

    #[test]
    fn hexadecimal_and_base64_say_the_same() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
        assert_eq!(octets(hex)[..4], [0, 1, 2, 3]);
        assert_eq!(octets(hex), octets(&hex.to_uppercase()));
        for base64 in [
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8",
        ] {
            assert_eq!(octets(base64), octets(hex));
        }
        let url = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8".replace('/', "_");
        assert_eq!(octets(&url), octets(hex));
    }

    #[test]
    fn what_is_no_key_says_why() {
        let error = |text: &str| Secret::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(error(&"ab".repeat(31)), SecretError::Length(31));
        assert_eq!(error("secret!"), SecretError::Alphabet);
        assert_eq!(error(""), SecretError::Alphabet);
        assert_eq!(error(&"00".repeat(32)), SecretError::Zero);
        // The last character carries bits that belong to no octet.
        assert_eq!(
            error("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv9="),
            SecretError::Alphabet
        );
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new([0x41; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"(secret)\"");
    }

    #[test]
    fn a_pair_has_one_key_and_no_two_pairs_share_it() {
        let community = Secret::new([7; 32]);
        let pair = |a, b| *community.pair(a, b).expose();
        assert_eq!(pair("a.x", "b.x"), pair("b.x", "a.x"));
        assert_ne!(pair("a.x", "b.x"), pair("a.x", "c.x"));
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
        assert_ne!(
            pair("a.x", "b.x"),
            *Secret::new([8; 32]).pair("a.x", "b.x").expose()
        );
    }
}
