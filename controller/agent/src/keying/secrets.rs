//! The cryptography of a key agreement: authenticators, ephemeral keys, and the keys that come out.
//!
//! ```text
//!  psk ──HMAC "kith keying 1 authenticator"──► authentication key ──► HMAC over the transcript
//!  psk ──────────────────────────────┐
//!  X25519(ephemeral, ephemeral) ─────┤ HKDF-SHA-256: salt = psk, input = shared secret
//!  SHA-256(both messages) ───────────┘ info = label, transcript hash, direction ──► key, salt (RFC 4106 8.1)
//! ```
//!
//! A pair's secret alone opens nothing: who learns it later cannot read what was recorded (the ephemeral keys are gone),
//! and who breaks X25519 still lacks the pair's secret.

use super::message::{LEN, Message};
use crate::config::{Cipher, Secret};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{digest, hkdf, hmac};
use kith_esp::SaKeys;
use std::net::Ipv4Addr;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

const LABEL: &[u8] = b"kith keying 1";

/// Who initiated and who responded; part of every transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Virtual address of the initiator.
    pub initiator: Ipv4Addr,
    /// Virtual address of the responder.
    pub responder: Ipv4Addr,
}

/// What a pair of members shares, ready for use.
pub struct PairSecret {
    psk: Secret,
    authenticator: hmac::Key,
}

/// Our half of a Diffie-Hellman exchange. Used once.
pub struct Ephemeral {
    private: PrivateKey,
    public: [u8; 32],
}

/// Keys for both directions.
pub struct AgreedKeys {
    /// From initiator to responder.
    pub forward: SaKeys,
    /// From responder to initiator.
    pub backward: SaKeys,
}

impl PairSecret {
    /// Prepares a pair's secret.
    #[must_use]
    pub fn new(psk: Secret) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, psk.expose());
        let mut context = hmac::Context::with_key(&outer);
        context.update(LABEL);
        context.update(b" authenticator");
        let authenticator = hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref());
        Self { psk, authenticator }
    }

    /// The octets, for IKE.
    pub(super) fn expose(&self) -> &[u8; 32] {
        self.psk.expose()
    }

    /// Is it the same secret? Constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.psk.expose().ct_eq(other.psk.expose()).into()
    }

    /// The authenticator of a message; `initiation` is the message that a response answers.
    #[must_use]
    pub fn authenticator(&self, roles: Roles, initiation: Option<&[u8; LEN]>, covered: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.authenticator);
        context.update(LABEL);
        context.update(&roles.initiator.octets());
        context.update(&roles.responder.octets());
        if let Some(initiation) = initiation {
            context.update(initiation);
        }
        context.update(covered);
        let tag = context.sign();
        std::array::from_fn(|at| tag.as_ref()[at])
    }

    /// Is this the authenticator? Constant time.
    #[must_use]
    pub fn verify(&self, roles: Roles, initiation: Option<&[u8; LEN]>, covered: &[u8], tag: &[u8]) -> bool {
        self.authenticator(roles, initiation, covered).ct_eq(tag).into()
    }

    /// The keys of a finished exchange; `None` if the other's public key is one that gives no secret.
    #[must_use]
    pub fn agree(
        &self,
        ours: &Ephemeral,
        theirs: &Message,
        roles: Roles,
        transcript: [&[u8; LEN]; 2],
        cipher: Cipher,
    ) -> Option<AgreedKeys> {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&roles.initiator.octets());
        hash.update(&roles.responder.octets());
        transcript.iter().for_each(|message| hash.update(*message));
        let hash = hash.finish();
        let theirs = UnparsedPublicKey::new(&X25519, theirs.public_key);
        // aws-lc refuses the points of low order, whose shared secret would be zero (RFC 7748 section 6.1).
        agree(&ours.private, theirs, (), |shared| {
            let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, self.psk.expose()).extract(shared);
            let forward = expand(&extracted, hash.as_ref(), b"forward", cipher).ok_or(())?;
            let backward = expand(&extracted, hash.as_ref(), b"backward", cipher).ok_or(())?;
            Ok(AgreedKeys { forward, backward })
        })
        .ok()
    }
}

impl Ephemeral {
    /// From 32 random octets, which are wiped; `None` if the library refuses.
    #[must_use]
    pub fn new(mut random: [u8; 32]) -> Option<Self> {
        let private = PrivateKey::from_private_key(&X25519, &random);
        random.zeroize();
        let private = private.ok()?;
        let public = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Self { private, public })
    }

    /// What the other side is told.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(extracted: &hkdf::Prk, transcript: &[u8], direction: &[u8], cipher: Cipher) -> Option<SaKeys> {
    // RFC 4106 8.1: the key, then four octets of salt.
    let len = match cipher {
        Cipher::Aes128Gcm => 20,
        Cipher::Aes256Gcm => 36,
    };
    let mut keymat = Zeroizing::new([0u8; 36]);
    let keymat = &mut keymat[..len];
    let info = [LABEL, transcript, direction];
    extracted.expand(&info, OutputLen(len)).ok()?.fill(keymat).ok()?;
    SaKeys::from_keymat(keymat).ok()
}
