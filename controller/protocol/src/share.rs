//! X25519, with the private half passed in: one exchange of registration, join or refresh.

use crate::Rng;
use crate::secret::Secret32;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use thiserror::Error;

/// The other side's public share gives no secret: wrong length, or a point of low order (RFC 7748 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the other side's key share is not usable; it is 32 octets of X25519")]
pub struct BadShare;

/// Our half of an exchange.
pub struct KeyShare {
    private: Secret32,
    public: [u8; 32],
}

impl KeyShare {
    /// A new one.
    #[must_use]
    pub fn generate(rng: Rng<'_>) -> Self {
        Self::from_private(Secret32::generate(rng))
    }

    /// One that was kept: between Register and Confirm a device may restart.
    #[must_use]
    pub fn from_private(private: Secret32) -> Self {
        let public = key(&private)
            .compute_public_key()
            .ok()
            .and_then(|key| key.as_ref().try_into().ok());
        let Some(public) = public else {
            unreachable!("every 32 octets are an X25519 private key")
        };
        Self { private, public }
    }

    /// What the other side is told.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// What is kept.
    #[must_use]
    pub fn private(&self) -> &Secret32 {
        &self.private
    }

    /// The shared secret, as it comes; every use of it goes through HKDF.
    pub(crate) fn agree<T>(&self, theirs: &[u8], derive: impl FnOnce(&[u8]) -> T) -> Result<T, BadShare> {
        agree(
            &key(&self.private),
            UnparsedPublicKey::new(&X25519, theirs),
            BadShare,
            |shared| Ok(derive(shared)),
        )
    }
}

fn key(private: &Secret32) -> PrivateKey {
    match PrivateKey::from_private_key(&X25519, private.expose()) {
        Ok(key) => key,
        Err(_) => unreachable!("every 32 octets are an X25519 private key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_get_the_same_and_points_of_low_order_give_nothing() {
        let (a, b) = (
            KeyShare::from_private(Secret32::new([1; 32])),
            KeyShare::from_private(Secret32::new([2; 32])),
        );
        let ab = a.agree(&b.public(), <[u8]>::to_vec).expect("agrees");
        assert_eq!(ab, b.agree(&a.public(), <[u8]>::to_vec).expect("agrees"));
        assert_eq!(a.agree(&[0; 32], <[u8]>::to_vec), Err(BadShare));
        assert_eq!(a.agree(&[1; 31], <[u8]>::to_vec), Err(BadShare));
    }
}
