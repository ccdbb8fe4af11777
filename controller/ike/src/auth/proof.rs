//! The two ends of a proof: making ours, checking the peer's.

use super::certificate::Anchors;
use super::error::AuthError;
use super::signature::{PublicKey, SigningKey};
use crate::codec::Identity;
use crate::suite::{Prf, Secret};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Method 2: shared key message integrity code.
pub const METHOD_PSK: u8 = 2;
/// Method 9: ECDSA with SHA-256 on P-256 (RFC 4754).
pub const METHOD_ECDSA_256: u8 = 9;
/// Method 14: digital signature (RFC 7427).
pub const METHOD_SIGNATURE: u8 = 14;

/// How we prove who we are.
#[derive(Clone)]
pub enum OwnProof {
    /// By a secret that the peer has too.
    Psk(Zeroizing<Vec<u8>>),
    /// By a signature.
    Signature {
        /// Our key.
        key: Arc<SigningKey>,
        /// Certificates for the peer, DER, that of `key` first; none if the peer knows the key.
        chain: Vec<Vec<u8>>,
    },
}

/// How a peer has to prove who it is.
#[derive(Clone)]
pub enum PeerProof {
    /// By a secret that we have too.
    Psk(Zeroizing<Vec<u8>>),
    /// By a signature with a key that we know. Whose it is, is for whoever configured it to say.
    PublicKey(PublicKey),
    /// By a signature and a certificate in its name, issued under one of these.
    Certificate(Arc<Anchors>),
}

impl OwnProof {
    /// Method and data of our authentication payload. `peers_hashes`: what the peer announced in SIGNATURE_HASH_ALGORITHMS;
    /// empty if it did not.
    ///
    /// # Errors
    /// [`AuthError::NoCommonHash`]: the peer cannot check signatures of our kind. [`AuthError::Library`].
    pub fn prove(&self, octets: &[u8], prf: Prf, peers_hashes: &[u16]) -> Result<(u8, Vec<u8>), AuthError> {
        match self {
            Self::Psk(secret) => Ok((METHOD_PSK, mac(prf, secret, octets).octets().to_vec())),
            // RFC 7427 section 3 and RFC 8420 section 2: method 14 only to a peer that announced the hash.
            Self::Signature { key, .. } if peers_hashes.contains(&key.hash()) => {
                Ok((METHOD_SIGNATURE, key.sign(octets)?))
            }
            // RFC 7427 section 3: if both announced hashes, only method 14 will do.
            Self::Signature { .. } if !peers_hashes.is_empty() => Err(AuthError::NoCommonHash),
            Self::Signature { key, .. } => Ok((
                METHOD_ECDSA_256,
                key.sign_fixed(octets).ok_or(AuthError::NoCommonHash)??,
            )),
        }
    }

    /// Our certificates, for certificate payloads of encoding 4.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        match self {
            Self::Psk(_) => &[],
            Self::Signature { chain, .. } => chain,
        }
    }
}

impl PeerProof {
    /// Whether a peer is `peer`. `chain`: its certificates, its own first; `own_hashes`: what we announced in
    /// SIGNATURE_HASH_ALGORITHMS; `now`: seconds since 1970.
    ///
    /// # Errors
    /// Why it is not believed.
    #[expect(
        clippy::too_many_arguments,
        reason = "each comes from another payload; a struct would only rename them"
    )]
    pub fn check(
        &self,
        peer: &Identity,
        method: u8,
        data: &[u8],
        octets: &[u8],
        prf: Prf,
        chain: &[Vec<u8>],
        own_hashes: &[u16],
        now: u64,
    ) -> Result<(), AuthError> {
        match self {
            Self::Psk(secret) => {
                if method != METHOD_PSK {
                    return Err(AuthError::Method(method));
                }
                let same = mac(prf, secret, octets).octets().ct_eq(data);
                if same.into() {
                    Ok(())
                } else {
                    Err(AuthError::WrongSecret)
                }
            }
            Self::PublicKey(key) => signature(key, method, data, octets, own_hashes),
            Self::Certificate(anchors) => {
                if method != METHOD_SIGNATURE && method != METHOD_ECDSA_256 {
                    return Err(AuthError::Method(method));
                }
                // RFC 7296 section 1.2: the key comes out of the first certificate, the very one whose path and name were checked.
                let key = anchors.verify(chain, peer, now)?;
                signature(&key, method, data, octets, own_hashes)
            }
        }
    }
}

fn signature(
    key: &PublicKey,
    method: u8,
    data: &[u8],
    octets: &[u8],
    own_hashes: &[u16],
) -> Result<(), AuthError> {
    match method {
        METHOD_SIGNATURE => key.check(octets, data, own_hashes),
        METHOD_ECDSA_256 => key.check_fixed(octets, data),
        other => Err(AuthError::Method(other)),
    }
}

/// RFC 7296 2.15: AUTH = prf(prf(Shared Secret, "Key Pad for IKEv2"), octets).
fn mac(prf: Prf, secret: &[u8], octets: &[u8]) -> Secret {
    prf.prf(prf.prf(secret, &[b"Key Pad for IKEv2"]).octets(), &[octets])
}
