//! Cookies: proof that a member receives what is sent to the address it sends from, without remembering it.
//!
//! ```text
//! cookie = HMAC-SHA-256-128(secret of this run, epoch of 30 s | source address | source port | key id)
//! ```
//!
//! The lowest bit of the first octet is replaced by the epoch's, so that a check hashes once and not once per accepted
//! epoch. A cookie is good in its epoch and the next: 30 to 60 s. Cost: one HMAC over 22 octets, about 0.2 µs.

use crate::Time;
use crate::auth::first_half;
use core::net::SocketAddrV4;
use kith_wire::control::{COOKIE_LEN, KeyId};
use ring::hmac;
use subtle::ConstantTimeEq;

const EPOCH_MS: u64 = 30_000;

pub(super) type Cookie = [u8; COOKIE_LEN];
pub(super) const NONE: Cookie = [0; COOKIE_LEN];

pub(super) struct Cookies(hmac::Key);

impl Cookies {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(super) fn make(&self, now: Time, from: SocketAddrV4, key_id: KeyId) -> Cookie {
        self.of_epoch(now.as_millis() / EPOCH_MS, from, key_id)
    }

    pub(super) fn is_good(&self, now: Time, from: SocketAddrV4, key_id: KeyId, cookie: &Cookie) -> bool {
        let current = now.as_millis() / EPOCH_MS;
        let epoch = if u64::from(cookie[0] & 1) == current & 1 {
            Some(current)
        } else {
            current.checked_sub(1)
        };
        epoch.is_some_and(|epoch| self.of_epoch(epoch, from, key_id).ct_eq(cookie).into())
    }

    fn of_epoch(&self, epoch: u64, from: SocketAddrV4, key_id: KeyId) -> Cookie {
        let mut covered = [0u8; 22];
        covered[..8].copy_from_slice(&epoch.to_be_bytes());
        covered[8..12].copy_from_slice(&from.ip().octets());
        covered[12..14].copy_from_slice(&from.port().to_be_bytes());
        covered[14..].copy_from_slice(&key_id.0.to_be_bytes());
        let mut cookie = first_half(&self.0, &covered);
        cookie[0] = cookie[0] & !1 | (epoch & 1) as u8;
        cookie
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
