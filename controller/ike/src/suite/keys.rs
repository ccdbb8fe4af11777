//! The keys of a security association and of its children (RFC 7296 2.14, 2.17, 2.18; RFC 9370 2.2.2, 2.2.4).

use super::cipher::Cipher;
use super::group::SharedSecret;
use super::offer::EspSuite;
use super::prf::{Prf, Secret};
use super::sealing::{Opener, Sealer};
use crate::codec::IkeSpi;
use kith_esp::SaKeys;

/// The two nonces of one exchange: of whoever began the exchange, and of the other.
#[derive(Clone, Copy)]
pub struct Nonces<'a> {
    /// Of whoever began the exchange.
    pub initiator: &'a [u8],
    /// Of the other.
    pub responder: &'a [u8],
}

/// The two SPIs of an IKE security association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spis {
    /// Of whoever began it.
    pub initiator: IkeSpi,
    /// Of the other.
    pub responder: IkeSpi,
}

/// Keys of an IKE security association: SK_d, SK_ei, SK_er, SK_pi, SK_pr. Wiped when dropped; neither copied nor shown.
/// (SK_ai and SK_ar are empty with an AEAD cipher, RFC 5282 7.)
pub struct IkeKeys {
    prf: Prf,
    cipher: Cipher,
    derive: Secret,
    encrypt_initiator: Secret,
    encrypt_responder: Secret,
    prove_initiator: Secret,
    prove_responder: Secret,
}

/// Keys of a child. Who "initiator" is, is said by the exchange that made the child, not by the IKE security association.
pub struct ChildKeys {
    /// From whoever began the exchange.
    pub initiator_to_responder: SaKeys,
    /// To whoever began the exchange.
    pub responder_to_initiator: SaKeys,
}

impl IkeKeys {
    /// After IKE_SA_INIT: SKEYSEED = prf(Ni | Nr, g^ir) (RFC 7296 2.14).
    #[must_use]
    pub fn first(prf: Prf, cipher: Cipher, nonces: Nonces<'_>, shared: &SharedSecret, spis: Spis) -> Self {
        let key = [nonces.initiator, nonces.responder].concat();
        Self::expand(prf, cipher, &prf.prf(&key, &[shared.octets()]), nonces, spis)
    }

    /// After an additional key exchange in IKE_INTERMEDIATE: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), with the nonces and
    /// SPIs of IKE_SA_INIT (RFC 9370 2.2.2).
    #[must_use]
    pub fn additional(&self, shared: &SharedSecret, nonces: Nonces<'_>, spis: Spis) -> Self {
        let seed = self.seed(&[shared], nonces);
        Self::expand(self.prf, self.cipher, &seed, nonces, spis)
    }

    /// Of the association that replaces this one: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr | SK(1) ...) by the old prf, all
    /// else by the new (RFC 7296 2.18, RFC 9370 2.2.4). `shared`: the secret of the key exchange, then those of the
    /// additional ones; `nonces` and `spis` are the new ones.
    #[must_use]
    pub fn rekeyed(
        &self,
        prf: Prf,
        cipher: Cipher,
        nonces: Nonces<'_>,
        shared: &[&SharedSecret],
        spis: Spis,
    ) -> Self {
        let seed = self.seed(shared, nonces);
        Self::expand(prf, cipher, &seed, nonces, spis)
    }

    /// Keys of a child: KEYMAT = prf+(SK_d, g^ir (new) | Ni | Nr | SK(1) ...) (RFC 7296 2.17, RFC 9370 2.2.4). `shared` is empty
    /// without a key exchange of its own; in IKE_AUTH the nonces are those of IKE_SA_INIT.
    #[must_use]
    pub fn child_keys(&self, suite: EspSuite, nonces: Nonces<'_>, shared: &[&SharedSecret]) -> ChildKeys {
        let one = suite.cipher.keymat_len();
        let keymat = self
            .prf
            .prf_plus(self.derive.octets(), &seed_parts(shared, nonces), 2 * one);
        // RFC 7296 2.17: the initiator's direction first.
        let (first, second) = keymat.octets().split_at(one);
        let keys =
            |octets| SaKeys::from_keymat(octets).unwrap_or_else(|_| unreachable!("cut to its length above"));
        ChildKeys {
            initiator_to_responder: keys(first),
            responder_to_initiator: keys(second),
        }
    }

    /// The function that these keys were made with, and proofs are.
    #[must_use]
    pub fn prf(&self) -> Prf {
        self.prf
    }

    /// SK_pi or SK_pr, for the proof of that side.
    #[must_use]
    pub fn prove(&self, of_initiator: bool) -> &Secret {
        if of_initiator {
            &self.prove_initiator
        } else {
            &self.prove_responder
        }
    }

    /// Seals what that side sends. To be made once a side: it counts its initialisation vectors from zero.
    ///
    /// # Errors
    /// If the library fails.
    pub fn sealer(&self, of_initiator: bool) -> Result<Sealer, super::CryptoError> {
        Sealer::new(self.encrypt(of_initiator).octets())
    }

    /// Opens what that side sends.
    ///
    /// # Errors
    /// If the library fails.
    pub fn opener(&self, of_initiator: bool) -> Result<Opener, super::CryptoError> {
        Opener::new(self.encrypt(of_initiator).octets())
    }

    fn encrypt(&self, of_initiator: bool) -> &Secret {
        if of_initiator {
            &self.encrypt_initiator
        } else {
            &self.encrypt_responder
        }
    }

    fn seed(&self, shared: &[&SharedSecret], nonces: Nonces<'_>) -> Secret {
        self.prf.prf(self.derive.octets(), &seed_parts(shared, nonces))
    }

    /// RFC 7296 2.14: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
    fn expand(prf: Prf, cipher: Cipher, seed: &Secret, nonces: Nonces<'_>, spis: Spis) -> Self {
        let (short, long) = (prf.len(), cipher.keymat_len());
        let (initiator, responder) = (spis.initiator.to_octets(), spis.responder.to_octets());
        let parts = [nonces.initiator, nonces.responder, &initiator, &responder];
        let stream = prf.prf_plus(seed.octets(), &parts, 3 * short + 2 * long);
        let mut left = stream.octets();
        let mut take = |count| {
            let (front, rest) = left.split_at(count);
            left = rest;
            Secret::new(front.to_vec().into())
        };
        Self {
            prf,
            cipher,
            derive: take(short),
            encrypt_initiator: take(long),
            encrypt_responder: take(long),
            prove_initiator: take(short),
            prove_responder: take(short),
        }
    }

    /// All of it in the order of RFC 7296 2.14, for known answers.
    #[cfg(test)]
    pub(crate) fn stream(&self) -> Vec<u8> {
        let keys = [
            &self.derive,
            &self.encrypt_initiator,
            &self.encrypt_responder,
            &self.prove_initiator,
            &self.prove_responder,
        ];
        keys.iter().flat_map(|key| key.octets()).copied().collect()
    }
}

/// SK(0) | Ni | Nr | SK(1) | ...; without SK(0) if there was no exchange.
fn seed_parts<'a>(shared: &[&'a SharedSecret], nonces: Nonces<'a>) -> Vec<&'a [u8]> {
    let mut secrets = shared.iter().map(|secret| secret.octets());
    secrets
        .next()
        .into_iter()
        .chain([nonces.initiator, nonces.responder])
        .chain(secrets)
        .collect()
}
