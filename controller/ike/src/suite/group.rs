//! Key exchange: X25519 (RFC 8031), P-256 (RFC 5903), ML-KEM-768 (FIPS 203 in IKEv2: draft-ietf-ipsecme-ikev2-mlkem).
//!
//! **Idea.** [`Ephemeral`] is one use of a private key: `finish` consumes it. Who answers has nothing to keep: [`answer`] gives
//! both its own octets and the secret, which is all a key encapsulation can do.
//!
//! **Cost.** One key made and one agreement a side. Random octets come from the caller, but for ML-KEM, whose library draws its
//! own.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::kem::{self, DecapsulationKey, EncapsulationKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A way to agree on a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// 31: Curve25519.
    X25519,
    /// 19: the NIST curve of 256 bits.
    P256,
    /// 36: module lattices, safe against quantum computers as far as is known.
    MlKem768,
}

impl Group {
    /// Its transform id.
    #[must_use]
    pub fn id(self) -> u16 {
        match self {
            Self::X25519 => 31,
            Self::P256 => 19,
            Self::MlKem768 => 36,
        }
    }

    /// From a transform id, or the group field of a key exchange payload.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        [Self::X25519, Self::P256, Self::MlKem768]
            .into_iter()
            .find(|group| group.id() == id)
    }

    /// Its name as operators know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X25519 => "X25519",
            Self::P256 => "P-256",
            Self::MlKem768 => "ML-KEM-768",
        }
    }

    /// Octets that an initiator sends.
    #[must_use]
    pub fn offer_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::P256 => 64,
            Self::MlKem768 => 1184,
        }
    }

    /// Octets that a responder sends.
    #[must_use]
    pub fn answer_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::P256 => 64,
            Self::MlKem768 => 1088,
        }
    }

    fn curve(self) -> Option<&'static agreement::Algorithm> {
        match self {
            Self::X25519 => Some(&agreement::X25519),
            Self::P256 => Some(&agreement::ECDH_P256),
            Self::MlKem768 => None,
        }
    }
}

/// Why an algorithm could not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// What the peer sent is no public key of this group, or one that gives no secret.
    #[error("{} is not answered: the peer sent no valid public key for it", .0.name())]
    PublicKey(Group),
    /// The random octets given make no private key, again and again: the source of randomness is broken.
    #[error("no private key for {} from the random octets given: is their source broken?", .0.name())]
    Entropy(Group),
    /// The library refused to work.
    #[error("the cryptographic library failed on {0}")]
    Library(&'static str),
    /// So many messages were sealed under one key that another must take its place.
    #[error("the key has sealed its last message; rekey the IKE security association")]
    Exhausted,
    /// The payloads do not fit in a message, or in as many fragments as there may be.
    #[error("{0} octets of payloads do not fit in one message")]
    TooLong(usize),
}

/// What only the two sides know. Wiped when dropped; neither copied nor shown.
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// For known answers.
    #[cfg(test)]
    pub(crate) fn known(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }
}

/// A private key for one exchange, and the public octets for the peer.
pub struct Ephemeral {
    group: Group,
    public: Vec<u8>,
    private: Private,
}

enum Private {
    Curve(PrivateKey),
    Kem(Box<DecapsulationKey<kem::AlgorithmId>>),
}

impl Ephemeral {
    /// A new key; `entropy` fills what it is given with random octets.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`], [`CryptoError::Library`].
    pub fn offer(group: Group, entropy: &mut dyn FnMut(&mut [u8])) -> Result<Self, CryptoError> {
        let library = CryptoError::Library(group.name());
        let (private, public) = match group.curve() {
            Some(curve) => {
                let private = curve_key(group, curve, entropy)?;
                let public = private
                    .compute_public_key()
                    .map_err(|_| library)?
                    .as_ref()
                    .to_vec();
                // RFC 5903 section 7: x and y without the octet that says "uncompressed".
                let public = if group == Group::P256 {
                    public[1..].to_vec()
                } else {
                    public
                };
                (Private::Curve(private), public)
            }
            None => {
                let private = DecapsulationKey::generate(&kem::ML_KEM_768).map_err(|_| library)?;
                let public = private
                    .encapsulation_key()
                    .and_then(|key| key.key_bytes())
                    .map_err(|_| library)?;
                let public = public.as_ref().to_vec();
                (Private::Kem(Box::new(private)), public)
            }
        };
        Ok(Self {
            group,
            public,
            private,
        })
    }

    /// Which group it is of.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }

    /// The octets of the key exchange payload.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The secret, from what the peer answered. ML-KEM gives one for any ciphertext of the right length: a wrong one shows
    /// only in that nothing opens.
    ///
    /// # Errors
    /// [`CryptoError::PublicKey`]: wrong length, not on the curve, or a point of small order.
    pub fn finish(&self, theirs: &[u8]) -> Result<SharedSecret, CryptoError> {
        let refused = CryptoError::PublicKey(self.group);
        match &self.private {
            Private::Curve(private) => agree(self.group, private, theirs),
            Private::Kem(private) => {
                if theirs.len() != self.group.answer_len() {
                    return Err(refused);
                }
                let secret = private
                    .decapsulate(kem::Ciphertext::from(theirs))
                    .map_err(|_| refused)?;
                Ok(SharedSecret(Zeroizing::new(secret.as_ref().to_vec())))
            }
        }
    }
}

/// What a responder does: its own octets of the key exchange payload, and the secret.
///
/// # Errors
/// [`CryptoError::PublicKey`]: wrong length, not on the curve, a point of small order; [`CryptoError::Entropy`];
/// [`CryptoError::Library`].
pub fn answer(
    group: Group,
    theirs: &[u8],
    entropy: &mut dyn FnMut(&mut [u8]),
) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
    if theirs.len() != group.offer_len() {
        return Err(CryptoError::PublicKey(group));
    }
    if group.curve().is_some() {
        let ours = Ephemeral::offer(group, entropy)?;
        let public = ours.public.clone();
        return Ok((public, ours.finish(theirs)?));
    }
    let refused = CryptoError::PublicKey(group);
    let key = EncapsulationKey::new(&kem::ML_KEM_768, theirs).map_err(|_| refused)?;
    let (ciphertext, secret) = key.encapsulate().map_err(|_| refused)?;
    Ok((
        ciphertext.as_ref().to_vec(),
        SharedSecret(Zeroizing::new(secret.as_ref().to_vec())),
    ))
}

fn curve_key(
    group: Group,
    curve: &'static agreement::Algorithm,
    entropy: &mut dyn FnMut(&mut [u8]),
) -> Result<PrivateKey, CryptoError> {
    let mut seed = Zeroizing::new([0; 32]);
    // P-256 takes no seed of zero or above its order; both happen once in 2^32 seeds. More than a few are no accident.
    for _ in 0..8 {
        entropy(seed.as_mut());
        if bool::from(seed.ct_eq(&[0; 32])) {
            continue;
        }
        if let Ok(key) = PrivateKey::from_private_key(curve, seed.as_ref()) {
            return Ok(key);
        }
    }
    Err(CryptoError::Entropy(group))
}

fn agree(group: Group, private: &PrivateKey, theirs: &[u8]) -> Result<SharedSecret, CryptoError> {
    let refused = CryptoError::PublicKey(group);
    if theirs.len() != group.offer_len() {
        return Err(refused);
    }
    let curve = private.algorithm();
    // RFC 5903 section 7: the payload is x and y; the library wants to be told that nothing is compressed.
    let mut point = Vec::with_capacity(65);
    if group == Group::P256 {
        point.push(4);
    }
    point.extend_from_slice(theirs);
    agreement::agree(private, UnparsedPublicKey::new(curve, point), refused, |secret| {
        // RFC 8031 section 3.2: the top bit and what is not reduced are the library's to see to, as RFC 7748 section 5 says.
        // RFC 7748 6.1: all zeros come from a point of small order, which nobody sends in good faith.
        if bool::from(secret.ct_eq(&[0; 32])) {
            return Err(refused);
        }
        Ok(SharedSecret(Zeroizing::new(secret.to_vec())))
    })
}
