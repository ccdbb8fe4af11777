//! SK and SKF: what protects messages once there are keys (RFC 7296 3.14, RFC 5282, RFC 7383).
//!
//! **Problem.** AES-GCM breaks if one initialisation vector is used twice under a key; a forged message must leave no trace.
//!
//! **Idea.** [`Sealer`] owns the only counter that makes initialisation vectors, cannot be copied, and stops. [`Opener`] gives
//! payloads, or nothing at all. A request that is sent again is sent as it was sealed the first time.
//!
//! ```text
//!  header │ generic header │ (SKF: number, total) │ IV, 8 │ payloads │ 0 │ tag, 16
//!  └──────────── associated data ────────────────┘         └─ sealed ─┘
//! ```
//!
//! **Cost.** One allocation of the message's size, one pass of the cipher.

use super::cipher::Cipher;
use super::group::CryptoError;
use crate::codec::{
    Fragment, GENERIC_LEN, HEADER_LEN, Header, Malformed, Payload, PayloadKind, Sealed, encode_chain,
    parse_chain,
};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Messages that one key seals at most; RFC 5282 would allow 2^64.
const LAST: u64 = 1 << 32;
/// Octets around the payloads of a message: header, generic header, IV, pad length, tag.
const AROUND: usize = HEADER_LEN + GENERIC_LEN + Cipher::IV + 1 + Cipher::TAG;
/// Octets of a fragment's number and total (RFC 7383 2.5).
const FRAGMENT: usize = 4;

/// Seals the messages of one side. Not to be copied: it owns the initialisation vectors.
pub struct Sealer {
    key: Keyed,
    used: u64,
}

/// Opens the messages of one side.
pub struct Opener {
    key: Keyed,
}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short to hold anything: drop it.
    #[error("encrypted payload of {0} octets is too short")]
    TooShort(usize),
    /// Nobody who has the key sent this, or not so: drop it (RFC 7296 2.21).
    #[error("not sealed with our key")]
    Forged,
    /// The peer itself sent nonsense: INVALID_SYNTAX (RFC 7296 2.21.2).
    #[error("authentic, and yet no message: {0}")]
    Malformed(#[from] Malformed),
}

/// What was inside SK, as octets.
pub struct Plain {
    /// Kind of the first payload.
    pub first: PayloadKind,
    /// The chain of payloads, without padding.
    pub octets: Zeroizing<Vec<u8>>,
    /// What stood before it, with whatever was set there that nobody has to understand; of several fragments, the first one's.
    pub front: Front,
}

/// Header of a message, and generic header of SK or SKF.
pub type Front = [u8; HEADER_LEN + GENERIC_LEN];

/// What was inside a fragment.
pub struct Piece {
    /// From 1 on.
    pub number: u16,
    /// How many there are.
    pub total: u16,
    /// Kind of the first payload; only in the first.
    pub first: PayloadKind,
    /// Its part of the chain of payloads.
    pub plain: Zeroizing<Vec<u8>>,
    /// What stood before it.
    pub front: Front,
}

impl Plain {
    /// As payloads.
    ///
    /// # Errors
    /// [`OpenError::Malformed`].
    pub fn payloads(&self) -> Result<Vec<Payload>, OpenError> {
        Ok(parse_chain(self.first, &self.octets)?)
    }
}

impl Sealer {
    pub(super) fn new(keymat: &[u8]) -> Result<Self, CryptoError> {
        Ok(Self {
            key: Keyed::new(keymat)?,
            used: 0,
        })
    }

    /// A whole message.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`], [`CryptoError::TooLong`].
    pub fn seal(&mut self, header: &Header, payloads: &[Payload]) -> Result<Vec<u8>, CryptoError> {
        let (first, chain) = encode_chain(payloads);
        let chain = Zeroizing::new(chain);
        self.seal_part(header, PayloadKind::SK, first, &[], &chain)
    }

    /// A message in fragments of at most `max_datagram` octets each (RFC 7383 2.5), or whole if it fits.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`]; [`CryptoError::TooLong`], also if `max_datagram` has no room for anything.
    pub fn seal_fragments(
        &mut self,
        header: &Header,
        payloads: &[Payload],
        max_datagram: usize,
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        let (first, chain) = encode_chain(payloads);
        let chain = Zeroizing::new(chain);
        if AROUND + chain.len() <= max_datagram {
            return Ok(vec![self.seal_part(
                header,
                PayloadKind::SK,
                first,
                &[],
                &chain,
            )?]);
        }
        let too_long = CryptoError::TooLong(chain.len());
        let room = max_datagram
            .checked_sub(AROUND + FRAGMENT)
            .filter(|room| *room > 0)
            .ok_or(too_long)?;
        let total = u16::try_from(chain.len().div_ceil(room)).map_err(|_| too_long)?;
        let seal = |(number, part): (u16, &[u8])| {
            // RFC 7383 2.5: only the first fragment says what the chain begins with.
            let first = if number == 1 { first } else { PayloadKind::NONE };
            let [a, b] = number.to_be_bytes();
            let [c, d] = total.to_be_bytes();
            self.seal_part(header, PayloadKind::SKF, first, &[a, b, c, d], part)
        };
        (1..=total).zip(chain.chunks(room)).map(seal).collect()
    }

    /// As if all messages but one were sealed.
    #[cfg(test)]
    pub(super) fn age_to_last(&mut self) {
        self.used = LAST - 1;
    }

    fn seal_part(
        &mut self,
        header: &Header,
        kind: PayloadKind,
        first: PayloadKind,
        extra: &[u8],
        chain: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if self.used >= LAST {
            return Err(CryptoError::Exhausted);
        }
        let length = AROUND + extra.len() + chain.len();
        // A datagram holds no more, and the length field of SK not much more.
        let inner = u16::try_from(length).map_err(|_| CryptoError::TooLong(chain.len()))?;
        let generic = (inner - HEADER_LEN as u16).to_be_bytes();
        // RFC 5282 section 3.1: each value once under a key.
        let iv = self.used.to_be_bytes();
        self.used += 1;

        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&header.encode(kind, u32::from(inner)));
        out.extend_from_slice(&[first.0, 0, generic[0], generic[1]]);
        out.extend_from_slice(extra);
        let associated = out.len();
        out.extend_from_slice(&iv);
        let start = out.len();
        out.extend_from_slice(chain);
        // RFC 5282 section 3: no padding is needed; the pad length says so.
        out.push(0);
        let (front, plain) = out.split_at_mut(start);
        let tag = self
            .key
            .key
            .seal_in_place_separate_tag(self.key.nonce(iv), Aad::from(&front[..associated]), plain)
            .map_err(|_| CryptoError::Library("AES-GCM"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }
}

impl Opener {
    pub(super) fn new(keymat: &[u8]) -> Result<Self, CryptoError> {
        Ok(Self {
            key: Keyed::new(keymat)?,
        })
    }

    /// The payloads of a message.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] comes from the peer itself; the other two from anyone.
    pub fn open(&self, sealed: &Sealed<'_>) -> Result<Vec<Payload>, OpenError> {
        self.open_plain(sealed)?.payloads()
    }

    /// The payloads of a message as octets: what IKE_INTERMEDIATE authenticates (RFC 9242 3.3.2).
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_plain(&self, sealed: &Sealed<'_>) -> Result<Plain, OpenError> {
        Ok(Plain {
            first: sealed.first,
            octets: self.open_part(sealed.associated, sealed.content)?,
            front: front(sealed.associated),
        })
    }

    /// One fragment; to be joined in the order of their numbers.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_fragment(&self, fragment: &Fragment<'_>) -> Result<Piece, OpenError> {
        let plain = self.open_part(fragment.associated, fragment.content)?;
        Ok(Piece {
            number: fragment.number,
            total: fragment.total,
            first: fragment.first,
            plain,
            front: front(fragment.associated),
        })
    }

    fn open_part(&self, associated: &[u8], content: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let short = OpenError::TooShort(content.len());
        let (iv, sealed) = content.split_first_chunk::<{ Cipher::IV }>().ok_or(short)?;
        if sealed.len() < 1 + Cipher::TAG {
            return Err(short);
        }
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length = self
            .key
            .key
            .open_in_place(self.key.nonce(*iv), Aad::from(associated), &mut plain)
            .map_err(|_| OpenError::Forged)?
            .len();
        plain.truncate(length);
        // RFC 7296 3.14: the last octet counts the padding before it, of any value.
        let padding = usize::from(plain.last().copied().ok_or(short)?);
        let chain = length
            .checked_sub(1 + padding)
            .ok_or(OpenError::Malformed(Malformed::At {
                what: "padding",
                at: length - 1,
                fault: crate::codec::Fault::Length,
            }))?;
        plain.truncate(chain);
        Ok(plain)
    }
}

/// A message that was parsed has as many octets there, and more.
fn front(associated: &[u8]) -> Front {
    std::array::from_fn(|at| associated.get(at).copied().unwrap_or_default())
}

/// Key and salt of one direction.
struct Keyed {
    key: LessSafeKey,
    salt: Zeroizing<[u8; Cipher::SALT]>,
}

impl Keyed {
    fn new(keymat: &[u8]) -> Result<Self, CryptoError> {
        let refused = CryptoError::Library("AES-GCM");
        let (key, salt) = keymat.split_last_chunk().ok_or(refused)?;
        let algorithm = if key.len() == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| refused)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            salt: Zeroizing::new(*salt),
        })
    }

    /// RFC 5282 section 4: salt, then initialisation vector.
    fn nonce(&self, iv: [u8; Cipher::IV]) -> Nonce {
        let mut nonce = [0; Cipher::SALT + Cipher::IV];
        nonce[..Cipher::SALT].copy_from_slice(self.salt.as_ref());
        nonce[Cipher::SALT..].copy_from_slice(&iv);
        Nonce::assume_unique_for_key(nonce)
    }
}
