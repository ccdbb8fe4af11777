//! Keys that sign, keys that check, and how a signature says what it is (RFC 7427, RFC 8420, RFC 4754).

use super::error::AuthError;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
    ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};

/// Hash 2 of RFC 7427: SHA2-256.
pub const HASH_SHA2_256: u16 = 2;
/// Hash 5 of RFC 8420: none, the signature does it itself.
pub const HASH_IDENTITY: u16 = 5;

/// AlgorithmIdentifier of Ed25519 (RFC 8420 A.1).
const ALGORITHM_ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
/// AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 7427 A.3.2).
const ALGORITHM_ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 4).
const SPKI_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// SubjectPublicKeyInfo of an uncompressed P-256 point up to the point (RFC 5480 2).
const SPKI_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3,
    1, 7, 3, 0x42, 0,
];

/// A private key. Neither copied nor shown; the library wipes it.
pub struct SigningKey(Kind);

enum Kind {
    Ed25519(Ed25519KeyPair),
    /// One key, for the two forms of its signatures.
    EcdsaP256 {
        asn1: EcdsaKeyPair,
        fixed: EcdsaKeyPair,
    },
}

/// A key that checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// 32 octets.
    Ed25519([u8; 32]),
    /// A point of P-256, uncompressed: 4, x, y.
    EcdsaP256([u8; 65]),
}

impl SigningKey {
    /// From PKCS#8, DER.
    ///
    /// # Errors
    /// [`AuthError::BadKey`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, AuthError> {
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(Self(Kind::Ed25519(key)));
        }
        let key = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8)
                .map_err(|_| AuthError::BadKey("our private key is not PKCS#8 of either"))
        };
        let (asn1, fixed) = (
            key(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            key(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
        );
        Ok(Self(Kind::EcdsaP256 { asn1, fixed }))
    }

    /// What a peer checks its signatures with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let octets = match &self.0 {
            Kind::Ed25519(key) => key.public_key().as_ref(),
            Kind::EcdsaP256 { asn1, .. } => asn1.public_key().as_ref(),
        };
        match (<[u8; 32]>::try_from(octets), <[u8; 65]>::try_from(octets)) {
            (Ok(key), _) => PublicKey::Ed25519(key),
            (_, Ok(point)) => PublicKey::EcdsaP256(point),
            _ => unreachable!("the library gives keys of 32 octets and points of 65"),
        }
    }

    /// The hash that a peer must know for a signature with [`Self::sign`].
    pub(super) fn hash(&self) -> u16 {
        match self.0 {
            Kind::Ed25519(_) => HASH_IDENTITY,
            Kind::EcdsaP256 { .. } => HASH_SHA2_256,
        }
    }

    /// Authentication data of method 14: length and AlgorithmIdentifier, then the signature (RFC 7427 3).
    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, AuthError> {
        let (algorithm, signature) = match &self.0 {
            Kind::Ed25519(key) => (ALGORITHM_ED25519, key.try_sign(octets)),
            Kind::EcdsaP256 { asn1, .. } => (ALGORITHM_ECDSA_SHA256, asn1.sign(&SystemRandom::new(), octets)),
        };
        let signature = signature.map_err(|_| AuthError::Library)?;
        let length = [algorithm.len() as u8];
        Ok([&length, algorithm, signature.as_ref()].concat())
    }

    /// Authentication data of method 9: r and s (RFC 4754 7). None for a key that is not ECDSA.
    pub(super) fn sign_fixed(&self, octets: &[u8]) -> Option<Result<Vec<u8>, AuthError>> {
        let Kind::EcdsaP256 { fixed, .. } = &self.0 else {
            return None;
        };
        let signature = fixed.sign(&SystemRandom::new(), octets);
        Some(
            signature
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| AuthError::Library),
        )
    }
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo, DER, as certificates and `openssl` have it; or 32 octets of Ed25519.
    ///
    /// # Errors
    /// [`AuthError::BadKey`].
    pub fn from_octets(octets: &[u8]) -> Result<Self, AuthError> {
        let raw = octets.strip_prefix(SPKI_ED25519).unwrap_or(octets);
        if let Ok(key) = raw.try_into() {
            return Ok(Self::Ed25519(key));
        }
        octets
            .strip_prefix(SPKI_P256)
            .and_then(|point| <[u8; 65]>::try_from(point).ok())
            .filter(|point| point[0] == 4)
            .map(Self::EcdsaP256)
            .ok_or(AuthError::BadKey(
                "a public key is neither 32 octets nor a SubjectPublicKeyInfo of either",
            ))
    }

    /// As SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [SPKI_ED25519, key].concat(),
            Self::EcdsaP256(point) => [SPKI_P256, point].concat(),
        }
    }

    /// Checks authentication data of method 14; `own_hashes` are those that we announced (RFC 7427 4).
    pub(super) fn check(&self, octets: &[u8], data: &[u8], own_hashes: &[u16]) -> Result<(), AuthError> {
        let (length, rest) = data.split_first().ok_or(AuthError::Algorithm)?;
        let (algorithm, signature) = rest
            .split_at_checked((*length).into())
            .ok_or(AuthError::Algorithm)?;
        let wrong = |_| AuthError::WrongSignature;
        match self {
            Self::Ed25519(key) if algorithm == ALGORITHM_ED25519 => {
                announced(own_hashes, HASH_IDENTITY)?;
                UnparsedPublicKey::new(&ED25519, key)
                    .verify(octets, signature)
                    .map_err(wrong)
            }
            Self::EcdsaP256(point) if algorithm == ALGORITHM_ECDSA_SHA256 => {
                announced(own_hashes, HASH_SHA2_256)?;
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
                    .verify(octets, signature)
                    .map_err(wrong)
            }
            _ => Err(AuthError::Algorithm),
        }
    }

    /// Checks authentication data of method 9.
    pub(super) fn check_fixed(&self, octets: &[u8], data: &[u8]) -> Result<(), AuthError> {
        let Self::EcdsaP256(point) = self else {
            return Err(AuthError::Algorithm);
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(octets, data).map_err(|_| AuthError::WrongSignature)
    }
}

fn announced(own_hashes: &[u16], hash: u16) -> Result<(), AuthError> {
    if own_hashes.contains(&hash) {
        Ok(())
    } else {
        Err(AuthError::NoCommonHash)
    }
}
