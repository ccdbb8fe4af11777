//! A key's fingerprint: SHA-256 of its SubjectPublicKeyInfo (as RFC 7858 section 4.2 pins keys).

use super::rustls::pki_types::CertificateDer;
use super::rustls::server::ParsedCertificate;
use super::{TlsError, rustls};
use crate::crypto;
use data_encoding::HEXLOWER_PERMISSIVE;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A fingerprint. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a fingerprint is \"sha256:\" and 64 hexadecimal digits; `kith manager status` shows it")]
pub struct BadFingerprint;

impl Fingerprint {
    /// Of the key in a certificate.
    ///
    /// # Errors
    /// If that is no certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let parsed =
            ParsedCertificate::try_from(certificate).map_err(|error: rustls::Error| TlsError(error))?;
        Ok(Self::of_spki(&parsed.subject_public_key_info()))
    }

    /// Of a SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(crypto::sha256(&[spki]))
    }

    /// From a message or a record; `None` unless it is 32 octets.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let hex = text.trim().strip_prefix("sha256:").ok_or(BadFingerprint)?;
        let octets = HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| BadFingerprint)?;
        Self::from_slice(&octets).ok_or(BadFingerprint)
    }
}
