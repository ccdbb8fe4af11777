//! Registration (source document 001, figure 12): from an invitation and a code to the registration file.
//!
//! ```text
//!  device                                              manager
//!    │ Register: key share m, identity    authenticator under the password's key
//!    ├────────────────────────────────────────────────────►│ code by mail
//!    │◄────────────────────────────────────────────────────┤ ack: key share M, authenticator under the password's key
//!    │ Confirm: m, identity               authenticator covers the code's hash
//!    ├────────────────────────────────────────────────────►│
//!    │◄────────────────────────────────────────────────────┤ registration file, sealed under the file key
//!
//!  file key = HKDF-SHA-256(X25519(m, M), salt SHA-256(m | M), info "kith registration 1" | fqdn)
//!  sealed   = nonce, 12 | AES-256-GCM(file key, aad "kith registration 1" | fqdn, RegistrationFile) | tag, 16
//! ```

use crate::Rng;
use crate::authenticator::{CodeHash, PasswordKey};
use crate::crypto;
use crate::member::{ConfirmAck, RegisterAck, RegistrationFile};
use crate::secret::Secret32;
use crate::share::{BadShare, KeyShare};
use prost::Message;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

const LABEL: &[u8] = b"kith registration 1";
const CRYPTO_TYPE: u32 = 1;
/// Octets of a sealed registration file at most.
const MAX_SEALED: usize = 16 << 10;

/// Why a registration file or a token key could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Sealed in a way this program does not know.
    #[error("the manager sealed it in way {0}, which this version does not know; update this program")]
    CryptoType(u32),
    /// Not for us, or altered.
    #[error(
        "it does not open under the agreed key: it was altered, or is not for this device; register again"
    )]
    NotAuthentic,
    /// It opens, and is nonsense.
    #[error("it opens, but does not hold what it should; the manager is faulty")]
    Malformed,
}

/// The agreed key, under which the registration file travels.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Secret32);

impl FileKey {
    /// At the device.
    ///
    /// # Errors
    /// If the manager's share gives no secret.
    pub fn at_member(ours: &KeyShare, manager_share: &[u8], fqdn: &str) -> Result<Self, BadShare> {
        Self::agree(ours, manager_share, &[&ours.public(), manager_share], fqdn)
    }

    /// At the manager.
    ///
    /// # Errors
    /// If the member's share gives no secret.
    pub fn at_manager(ours: &KeyShare, member_share: &[u8], fqdn: &str) -> Result<Self, BadShare> {
        Self::agree(ours, member_share, &[member_share, &ours.public()], fqdn)
    }

    /// As it was kept between the phases.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }

    /// What is kept between the phases.
    #[must_use]
    pub fn secret(&self) -> &Secret32 {
        &self.0
    }

    /// Seals the file.
    #[must_use]
    pub fn seal(&self, fqdn: &str, file: &RegistrationFile, rng: Rng<'_>) -> ConfirmAck {
        let plain = Zeroizing::new(file.encode_to_vec());
        let sealed = crypto::seal(&self.0, &[LABEL, fqdn.as_bytes()], &plain, rng);
        ConfirmAck {
            crypto_type: CRYPTO_TYPE,
            sealed,
        }
    }

    /// Opens it, and checks that it is for this name and has what a join needs.
    ///
    /// # Errors
    /// Why not.
    pub fn open(&self, fqdn: &str, ack: &ConfirmAck) -> Result<RegistrationFile, OpenError> {
        if ack.crypto_type != CRYPTO_TYPE {
            return Err(OpenError::CryptoType(ack.crypto_type));
        }
        if ack.sealed.len() > MAX_SEALED {
            return Err(OpenError::Malformed);
        }
        let plain =
            crypto::open(&self.0, &[LABEL, fqdn.as_bytes()], &ack.sealed).ok_or(OpenError::NotAuthentic)?;
        let file = RegistrationFile::decode(plain.as_slice()).map_err(|_| OpenError::Malformed)?;
        let good = file.fqdn == fqdn && file.token_key.len() == 32 && !file.managers.is_empty();
        if good { Ok(file) } else { Err(OpenError::Malformed) }
    }

    fn agree(
        ours: &KeyShare,
        theirs: &[u8],
        shares: crypto::Parts<'_>,
        fqdn: &str,
    ) -> Result<Self, BadShare> {
        let salt = crypto::sha256(shares);
        ours.agree(theirs, |shared| {
            Self(crypto::hkdf(&salt, shared, &[LABEL, fqdn.as_bytes()]))
        })
    }
}

/// The answer to Register, with its authenticator.
#[must_use]
pub fn seal_ack(
    key: &PasswordKey,
    member_share: &[u8],
    time_to_live_s: u32,
    manager_share: [u8; 32],
    code_sent_to: String,
) -> RegisterAck {
    let mut ack = RegisterAck {
        time_to_live_s,
        key_share: manager_share.to_vec(),
        code_sent_to,
        authenticator: Vec::new(),
    };
    ack.authenticator = ack_authenticator(key, member_share, &ack).to_vec();
    ack
}

/// Does it come from who knows the initial password's key, as answer to this share?
#[must_use]
pub fn verify_ack(key: &PasswordKey, member_share: &[u8], ack: &RegisterAck) -> bool {
    ack_authenticator(key, member_share, ack)
        .ct_eq(ack.authenticator.as_slice())
        .into()
}

fn ack_authenticator(key: &PasswordKey, member_share: &[u8], ack: &RegisterAck) -> [u8; 32] {
    // Hashed, so that no length of one can be taken for a part of the other.
    let (theirs, ours) = (crypto::sha256(&[member_share]), crypto::sha256(&[&ack.key_share]));
    crypto::hmac(
        key.secret().expose(),
        &[
            b"kith register ack 1",
            &theirs,
            &ack.time_to_live_s.to_be_bytes(),
            &ours,
            ack.code_sent_to.as_bytes(),
        ],
    )
}

/// What is wrong with a code that somebody typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a confirmation code has eight digits, as 1234-5678")]
pub struct NotACode;

/// The confirmation code: eight digits, shown as 1234-5678. No `Debug`: it is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<[u8; 8]>);

impl Code {
    /// A new one, every code equally likely.
    #[must_use]
    pub fn generate(rng: Rng<'_>) -> Self {
        // Of 2^32 the largest multiple of 10^8; what is above would favour small codes.
        const BOUND: u32 = 42 * 100_000_000;
        loop {
            let mut octets = [0; 4];
            rng(&mut octets);
            let number = u32::from_be_bytes(octets);
            octets.zeroize();
            if number < BOUND {
                let mut rest = number % 100_000_000;
                let mut digits = Zeroizing::new([0; 8]);
                for digit in digits.iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                return Self(digits);
            }
        }
    }

    /// As people type it: blanks and hyphens do not matter.
    ///
    /// # Errors
    /// If it is not eight digits.
    pub fn parse(text: &str) -> Result<Self, NotACode> {
        let mut digits = Zeroizing::new([0; 8]);
        let mut room = digits.iter_mut();
        for c in text
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}'))
        {
            let digit = c
                .to_digit(10)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(NotACode)?;
            *room.next().ok_or(NotACode)? = b'0' + digit;
        }
        if room.next().is_some() {
            Err(NotACode)
        } else {
            Ok(Self(digits))
        }
    }

    /// As people read it: "1234-5678".
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let (left, right) = self.0.split_at(4);
        Zeroizing::new(
            left.iter()
                .chain(b"-")
                .chain(right)
                .map(|octet| char::from(*octet))
                .collect(),
        )
    }

    /// What the manager keeps, and the authenticator covers: SHA-256("kith code 1" | len u16 | fqdn | digits).
    #[must_use]
    pub fn hash(&self, fqdn: &str) -> CodeHash {
        crypto::sha256(&[
            b"kith code 1",
            &crypto::name_len(fqdn),
            fqdn.as_bytes(),
            self.0.as_slice(),
        ])
    }
}
