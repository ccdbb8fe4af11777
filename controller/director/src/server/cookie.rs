//! Cookies: proof that a member receives what is sent to the address it sends from, without remembering it.
//!
//! ```text
//! cookie = HMAC-SHA-256-96(secret of this run, claim) | SipHash-32(other secret of this run, claim)
//! claim  = epoch of 30 s | source address | source port | key id
//! ```
//!
//! The short hash is no proof, but forged cookies fail it for some nanoseconds instead of the 0.2 µs of an HMAC: a flood
//! of made-up cookies must not keep members with true ones waiting. The lowest bit of the first octet is replaced by the
//! epoch's, so that a check hashes once and not once per accepted epoch. A cookie is good in its epoch and the next: 30
//! to 60 s.

use crate::Time;
use crate::auth::first_half;
use core::hash::Hasher;
use core::net::SocketAddrV4;
use kith_wire::control::{COOKIE_LEN, KeyId};
use ring::hmac;
use std::hash::DefaultHasher;
use subtle::ConstantTimeEq;

const EPOCH_MS: u64 = 30_000;
const PROOF_LEN: usize = 12;
const CLAIM_LEN: usize = 22;

pub(super) type Cookie = [u8; COOKIE_LEN];
pub(super) const NONE: Cookie = [0; COOKIE_LEN];

pub(super) struct Cookies {
    key: hmac::Key,
    /// A hasher that has swallowed its secret.
    short: DefaultHasher,
}

impl Cookies {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut short = DefaultHasher::new();
        short.write(&first_half(&key, b"short hash"));
        Self { key, short }
    }

    pub(super) fn make(&self, now: Time, from: SocketAddrV4, key_id: KeyId) -> Cookie {
        let epoch = now.as_millis() / EPOCH_MS;
        let claim = claim(epoch, from, key_id);
        let mut cookie = NONE;
        cookie[..PROOF_LEN].copy_from_slice(&self.proof(epoch, &claim));
        cookie[PROOF_LEN..].copy_from_slice(&self.short_hash(&claim));
        cookie
    }

    /// Cheap, and no proof: is it worth the whole check?
    pub(super) fn looks_good(&self, now: Time, from: SocketAddrV4, key_id: KeyId, cookie: &Cookie) -> bool {
        epoch_of(now, cookie)
            .is_some_and(|epoch| self.short_hash(&claim(epoch, from, key_id)) == cookie[PROOF_LEN..])
    }

    pub(super) fn is_good(&self, now: Time, from: SocketAddrV4, key_id: KeyId, cookie: &Cookie) -> bool {
        let proof = epoch_of(now, cookie).map(|epoch| self.proof(epoch, &claim(epoch, from, key_id)));
        self.looks_good(now, from, key_id, cookie)
            && proof.is_some_and(|proof| proof.ct_eq(&cookie[..PROOF_LEN]).into())
    }

    fn proof(&self, epoch: u64, claim: &[u8; CLAIM_LEN]) -> [u8; PROOF_LEN] {
        let whole = first_half(&self.key, claim);
        let mut proof: [u8; PROOF_LEN] = core::array::from_fn(|at| whole[at]);
        proof[0] = proof[0] & !1 | (epoch & 1) as u8;
        proof
    }

    fn short_hash(&self, claim: &[u8; CLAIM_LEN]) -> [u8; COOKIE_LEN - PROOF_LEN] {
        let mut hasher = self.short.clone();
        hasher.write(claim);
        (hasher.finish() as u32).to_be_bytes()
    }
}

fn claim(epoch: u64, from: SocketAddrV4, key_id: KeyId) -> [u8; CLAIM_LEN] {
    let mut claim = [0u8; CLAIM_LEN];
    claim[..8].copy_from_slice(&epoch.to_be_bytes());
    claim[8..12].copy_from_slice(&from.ip().octets());
    claim[12..14].copy_from_slice(&from.port().to_be_bytes());
    claim[14..].copy_from_slice(&key_id.0.to_be_bytes());
    claim
}

/// The epoch a cookie can be of: the present one or the one before.
fn epoch_of(now: Time, cookie: &Cookie) -> Option<u64> {
    let current = now.as_millis() / EPOCH_MS;
    match u64::from(cookie[0] & 1) == current & 1 {
        true => Some(current),
        false => current.checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const KEY: KeyId = KeyId(5);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn from(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, last), port)
    }

    #[test]
    fn a_cookie_is_good_for_its_source_and_key_only() {
        let cookies = Cookies::new(&[1; 32]);
        let cookie = cookies.make(at(0), from(1, 9), KEY);
        assert!(cookies.is_good(at(0), from(1, 9), KEY, &cookie));
        assert!(!cookies.is_good(at(0), from(2, 9), KEY, &cookie));
        assert!(!cookies.is_good(at(0), from(1, 8), KEY, &cookie));
        assert!(!cookies.is_good(at(0), from(1, 9), KeyId(6), &cookie));
        assert!(!Cookies::new(&[2; 32]).is_good(at(0), from(1, 9), KEY, &cookie));
        for bit in 0..128 {
            let mut changed = cookie;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.is_good(at(0), from(1, 9), KEY, &changed), "bit {bit}");
            let by_short_hash = !cookies.looks_good(at(0), from(1, 9), KEY, &changed);
            assert_eq!(by_short_hash, bit == 0 || bit >= PROOF_LEN * 8, "bit {bit}");
        }
    }

    #[test]
    fn a_cookie_outlives_its_epoch_by_one() {
        let cookies = Cookies::new(&[1; 32]);
        for made in [29_999, 30_000, 59_999] {
            let cookie = cookies.make(at(made), from(1, 9), KEY);
            let end = (made / EPOCH_MS + 2) * EPOCH_MS;
            assert!(cookies.is_good(at(end - 1), from(1, 9), KEY, &cookie), "{made}");
            assert!(!cookies.is_good(at(end), from(1, 9), KEY, &cookie), "{made}");
            assert!(
                !cookies.is_good(at(end + EPOCH_MS), from(1, 9), KEY, &cookie),
                "{made}"
            );
        }
    }
}
