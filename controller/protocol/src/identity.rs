//! A device's Ed25519 identity: made on the device, named at registration, signs Register, Confirm, Init and Join.
//!
//! The initial password proves the invitation, the confirmation code the mailbox, and this that it is still the same device.

use crate::Rng;
use crate::secret::Secret32;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::HEXLOWER;

/// A device's key pair.
pub struct DeviceIdentity {
    seed: Secret32,
    pair: Ed25519KeyPair,
}

impl DeviceIdentity {
    /// A new one.
    #[must_use]
    pub fn generate(rng: Rng<'_>) -> Self {
        Self::from_seed(Secret32::generate(rng))
    }

    /// From the 32 octets it was made of (RFC 8032 section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: Secret32) -> Self {
        match Ed25519KeyPair::from_seed_unchecked(seed.expose()) {
            Ok(pair) => Self { seed, pair },
            Err(_) => unreachable!("every 32 octets are an Ed25519 seed"),
        }
    }

    /// What is kept.
    #[must_use]
    pub fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// What others know it by.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let public = self.pair.public_key().as_ref();
        std::array::from_fn(|at| public[at])
    }

    /// A signature (deterministic, RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        std::array::from_fn(|at| signature.as_ref()[at])
    }
}

/// Is this the device's signature?
#[must_use]
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}

/// As people see it: "ed25519:…".
#[must_use]
pub fn display(public: &[u8]) -> String {
    format!("ed25519:{}", HEXLOWER.encode(public))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// RFC 8032 section 7.1, test 2.
    #[test]
    fn signs_as_the_rfc_says() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).expect("hexadecimal");
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let device = DeviceIdentity::from_seed(Secret32::from_slice(&seed).expect("32 octets"));
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(display(&device.public()), format!("ed25519:{public}"));
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let signature = device.sign(&[0x72]);
        assert_eq!(signature.to_vec(), hex(expected));
        assert!(verify(&device.public(), &[0x72], &signature));
        assert!(!verify(&device.public(), &[0x73], &signature));
        assert!(!verify(&[], &[0x72], &signature));
        assert!(!verify(&device.public(), &[0x72], &[]));
    }
}
