//! Who says it, and that it says just that: the authenticator of every request to the manager.
//!
//! Source document 001, figure 12 and the text with it: HMAC over the packet, its key a hash of the initial password at first, later an AuthKey
//! derived of the shared secret; phase two of registration covers the confirmation code too.
//!
//! ```text
//!  authenticator = HMAC-SHA-256(key, "kith member 1" | kind u8 | len u16 | fqdn | token timestamp u64 | code hash, 32, on Confirm | payload)
//!  signature     = Ed25519("kith member signature 1" | kind u8 | len u16 | fqdn | token timestamp u64 | payload)
//! ```
//!
//! The signature does not cover the code: so a manager can tell a wrong code from the right device (counted as an attempt, answered) from a
//! stranger (dropped). Verify the signature first on Confirm.

use crate::crypto;
use crate::identity::{self, DeviceIdentity};
use crate::member::Envelope;
use crate::secret::Secret32;
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use thiserror::Error;

const LABEL: &[u8] = b"kith member 1";
const SIGNATURE_LABEL: &[u8] = b"kith member signature 1";

/// Which request an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Registration, phase one.
    Register = 1,
    /// Registration, phase two: with the code.
    Confirm = 2,
    /// Join, phase one.
    Init = 3,
    /// Join, phase two.
    Join = 4,
    /// Reached elsewhere.
    Move = 5,
    /// New keys for the channel inside the tunnel.
    Refresh = 6,
    /// Another member's facts.
    Locate = 7,
    /// Members by pattern.
    Query = 8,
    /// Goes.
    Leave = 9,
    /// The stream of changes.
    Watch = 10,
}

impl Kind {
    /// Under the initial password's key: everything before registration is complete.
    #[must_use]
    pub fn by_password(self) -> bool {
        matches!(self, Self::Register | Self::Confirm)
    }

    /// The device signs it.
    #[must_use]
    pub fn signed(self) -> bool {
        matches!(self, Self::Register | Self::Confirm | Self::Init | Self::Join)
    }
}

/// How much work Argon2id is (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// 19 MiB, two passes, one lane: what members and managers use. Initial passwords have 128 random bits anyway.
    pub const DEFAULT: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
    /// The least there is: for simulations of very many registrations only.
    pub const SIMULATION: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Argon2id refuses these costs or this salt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Argon2id with {cost:?}: {why}")]
pub struct CostError {
    cost: Argon2Cost,
    why: String,
}

/// What is kept of an initial password (figure 12: "HMAC-Key-Field").
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordKey(Secret32);

impl PasswordKey {
    /// Argon2id of the initial password.
    ///
    /// # Errors
    /// If the cost is none Argon2id knows, or the salt is shorter than 8 octets.
    pub fn derive(password: &[u8], salt: &[u8], cost: Argon2Cost) -> Result<Self, CostError> {
        let wrong = |error: argon2::Error| CostError {
            cost,
            why: error.to_string(),
        };
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(wrong)?;
        let mut key = [0; 32];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon
            .hash_password_into(password, salt, &mut key)
            .map_err(wrong)?;
        Ok(Self(Secret32::new(key)))
    }

    /// As it was kept.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }

    /// What is kept.
    #[must_use]
    pub fn secret(&self) -> &Secret32 {
        &self.0
    }
}

/// Authenticates what a registered member says (001: "AuthKey = KDF2(Diffie-Hellman key)").
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Secret32);

impl AuthKey {
    /// Of the token key.
    #[must_use]
    pub fn of(token_key: &Secret32) -> Self {
        Self(crypto::hkdf(&[], token_key.expose(), &[b"kith auth 1"]))
    }
}

/// Seals tickets, and keys, for one member.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    pub(crate) secret: Secret32,
    pub(crate) id: [u8; 8],
}

impl TicketKey {
    /// Of the token key.
    #[must_use]
    pub fn of(token_key: &Secret32) -> Self {
        Self::from_secret(crypto::hkdf(&[], token_key.expose(), &[b"kith ticket 1"]))
    }

    /// As it was handed over.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        let id = crypto::hmac(secret.expose(), &[b"kith ticket key id 1"]);
        Self {
            secret,
            id: std::array::from_fn(|at| id[at]),
        }
    }

    /// To hand it over within a process.
    #[must_use]
    pub fn secret(&self) -> &Secret32 {
        &self.secret
    }
}

/// A key that envelopes are authenticated under: [`PasswordKey`] or [`AuthKey`].
pub trait EnvelopeKey {
    /// The key.
    fn envelope_key(&self) -> &Secret32;
}

impl EnvelopeKey for PasswordKey {
    fn envelope_key(&self) -> &Secret32 {
        &self.0
    }
}

impl EnvelopeKey for AuthKey {
    fn envelope_key(&self) -> &Secret32 {
        &self.0
    }
}

/// Hash of a confirmation code: [`Code::hash`](crate::registration::Code::hash).
pub type CodeHash = [u8; 32];

/// A request, ready to be sent. `code_hash` is covered on Confirm and ignored else; `identity` signs if there is one.
#[must_use]
pub fn seal_envelope(
    kind: Kind,
    fqdn: &str,
    token_timestamp: u64,
    payload: Vec<u8>,
    key: &impl EnvelopeKey,
    code_hash: Option<&CodeHash>,
    identity: Option<&DeviceIdentity>,
) -> Envelope {
    let mut envelope = Envelope {
        fqdn: fqdn.to_owned(),
        token_timestamp,
        payload,
        authenticator: Vec::new(),
        signature: Vec::new(),
    };
    envelope.authenticator = authenticator(kind, &envelope, key, code_hash).to_vec();
    if let Some(identity) = identity {
        envelope.signature = identity.sign(&signed(kind, &envelope)).to_vec();
    }
    envelope
}

/// Is the authenticator right? Constant time in what it compares. On Confirm without a code hash: no.
#[must_use]
pub fn verify(kind: Kind, envelope: &Envelope, key: &impl EnvelopeKey, code_hash: Option<&CodeHash>) -> bool {
    if kind == Kind::Confirm && code_hash.is_none() {
        return false;
    }
    authenticator(kind, envelope, key, code_hash)
        .ct_eq(envelope.authenticator.as_slice())
        .into()
}

/// Did this device sign it?
#[must_use]
pub fn verify_signature(kind: Kind, envelope: &Envelope, identity_public: &[u8]) -> bool {
    identity::verify(identity_public, &signed(kind, envelope), &envelope.signature)
}

/// Names a request, to know it again: that the same one gets the same answer.
#[must_use]
pub fn request_hash(kind: Kind, envelope: &Envelope) -> [u8; 32] {
    crypto::sha256(&[
        b"kith request 1",
        &[kind as u8],
        &crypto::name_len(&envelope.fqdn),
        envelope.fqdn.as_bytes(),
        &envelope.token_timestamp.to_be_bytes(),
        &crypto::sha256(&[&envelope.payload]),
        &envelope.authenticator,
    ])
}

fn authenticator(
    kind: Kind,
    envelope: &Envelope,
    key: &impl EnvelopeKey,
    code: Option<&CodeHash>,
) -> [u8; 32] {
    let code: &[u8] = match code {
        Some(hash) if kind == Kind::Confirm => hash,
        _ => &[],
    };
    crypto::hmac(
        key.envelope_key().expose(),
        &[
            LABEL,
            &[kind as u8],
            &crypto::name_len(&envelope.fqdn),
            envelope.fqdn.as_bytes(),
            &envelope.token_timestamp.to_be_bytes(),
            code,
            &envelope.payload,
        ],
    )
}

fn signed(kind: Kind, envelope: &Envelope) -> Vec<u8> {
    [
        SIGNATURE_LABEL,
        &[kind as u8],
        &crypto::name_len(&envelope.fqdn),
        envelope.fqdn.as_bytes(),
        &envelope.token_timestamp.to_be_bytes(),
        &envelope.payload,
    ]
    .concat()
}
