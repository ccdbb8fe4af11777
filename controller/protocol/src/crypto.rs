//! The three constructions everything here is made of: HKDF-SHA-256, HMAC-SHA-256, AES-256-GCM with a random nonce.

use crate::Rng;
use crate::secret::Secret32;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf, hmac};
use zeroize::Zeroizing;

/// Nonce in front and tag behind.
pub(crate) const SEALED_OVERHEAD: usize = NONCE_LEN + 16;

/// Several pieces, one after the other.
pub(crate) type Parts<'a> = &'a [&'a [u8]];

/// RFC 5869, 32 octets out.
pub(crate) fn hkdf(salt: &[u8], input: &[u8], info: Parts<'_>) -> Secret32 {
    Secret32::made(|out| hkdf_into(salt, input, info, out))
}

/// RFC 5869, as many octets as there is room for, at most 64.
pub(crate) fn hkdf_into(salt: &[u8], input: &[u8], info: Parts<'_>, out: &mut [u8]) {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(input);
    let filled = extracted
        .expand(info, Length(out.len()))
        .and_then(|made| made.fill(out));
    let Ok(()) = filled else {
        unreachable!("HKDF-SHA-256 gives up to 8160 octets, and no more than 64 are asked for")
    };
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 2104 over the parts.
pub(crate) fn hmac(key: &[u8; 32], parts: Parts<'_>) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let tag = context.sign();
    std::array::from_fn(|at| tag.as_ref()[at])
}

/// SHA-256 over the parts.
pub(crate) fn sha256(parts: Parts<'_>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let hash = context.finish();
    std::array::from_fn(|at| hash.as_ref()[at])
}

/// `nonce | ciphertext | tag`. Nonces are random: a key seals far fewer than 2^32 texts (NIST SP 800-38D, 8.3).
pub(crate) fn seal(key: &Secret32, aad: Parts<'_>, plain: &[u8], rng: Rng<'_>) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    rng(&mut nonce);
    let mut sealed = Vec::with_capacity(plain.len() + SEALED_OVERHEAD);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = aead(key).seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(aad.concat()),
        &mut sealed[NONCE_LEN..],
    );
    let Ok(tag) = tag else {
        unreachable!("AES-GCM seals up to 64 GiB")
    };
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// What [`seal`] sealed; `None` if it is not authentic.
pub(crate) fn open(key: &Secret32, aad: Parts<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let len = aead(key)
        .open_in_place(nonce, Aad::from(aad.concat()), &mut plain)
        .ok()?
        .len();
    plain.truncate(len);
    Some(plain)
}

fn aead(key: &Secret32) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM, key.expose()) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("32 octets are an AES-256 key"),
    }
}

/// Length of a name as it stands in front of it; names are at most 253 octets, and what is longer must not collide with what is not.
pub(crate) fn name_len(name: &str) -> [u8; 2] {
    u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes()
}
