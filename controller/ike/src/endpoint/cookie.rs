//! Cookies: proof that a stranger receives at the address it sends from, with nothing kept here (RFC 7296 section 2.6).
//!
//! ```text
//!  cookie = epoch u32 | HMAC-SHA-256-128( secret of the epoch, epoch | initiator SPI | address | port | nonce )
//! ```
//!
//! A secret lives for one epoch of 30 s, and its cookies until the end of the next.

use crate::codec::IkeSpi;
use crate::units::Path;
use aws_lc_rs::hmac;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

const EPOCH_MS: u64 = 30_000;
const TAG: usize = 16;

/// Makes and checks cookies.
pub(crate) struct Cookies {
    /// Of this epoch and the one before.
    keys: [Option<(u32, hmac::Key)>; 2],
}

impl Cookies {
    pub(crate) fn new() -> Self {
        Self { keys: [None, None] }
    }

    pub(crate) fn make(
        &mut self,
        now: u64,
        (path, spi, nonce): (Path, IkeSpi, &[u8]),
        entropy: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<u8> {
        let epoch = epoch(now);
        if self.keys[0].as_ref().is_none_or(|(at, _)| *at != epoch) {
            let mut secret = zeroize::Zeroizing::new([0; 32]);
            entropy(&mut *secret);
            self.keys[1] = self.keys[0].take();
            self.keys[0] = Some((epoch, hmac::Key::new(hmac::HMAC_SHA256, &*secret)));
        }
        let mut cookie = epoch.to_be_bytes().to_vec();
        if let Some((_, key)) = &self.keys[0] {
            cookie.extend_from_slice(&tag(key, epoch, path, spi, nonce)[..TAG]);
        }
        cookie
    }

    /// Did we give this cookie to whoever sends from there, with this SPI and nonce, and not long ago?
    pub(crate) fn is_good(&self, now: u64, (path, spi, nonce): (Path, IkeSpi, &[u8]), cookie: &[u8]) -> bool {
        let Some((number, brought)) = cookie.split_first_chunk::<4>() else {
            return false;
        };
        let number = u32::from_be_bytes(*number);
        let current = epoch(now);
        if number != current && number != current.wrapping_sub(1) {
            return false;
        }
        let key = self.keys.iter().flatten().find(|(at, _)| *at == number);
        key.is_some_and(|(_, key)| {
            let good = tag(key, number, path, spi, nonce);
            brought.len() == TAG && bool::from(good[..TAG].ct_eq(brought))
        })
    }
}

fn epoch(now: u64) -> u32 {
    // Wraps after 4,000 years.
    (now / EPOCH_MS) as u32
}

fn tag(key: &hmac::Key, epoch: u32, path: Path, spi: IkeSpi, nonce: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    context.update(&epoch.to_be_bytes());
    context.update(&spi.0.to_be_bytes());
    match path.remote.ip() {
        IpAddr::V4(address) => context.update(&address.to_ipv6_mapped().octets()),
        IpAddr::V6(address) => context.update(&address.octets()),
    }
    context.update(&path.remote.port().to_be_bytes());
    context.update(nonce);
    let tag = context.sign();
    std::array::from_fn(|at| tag.as_ref()[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(remote: &str) -> Path {
        Path {
            local: "192.0.2.1:500".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_bearer_for_a_while_and_for_nobody_else() {
        let mut cookies = Cookies::new();
        let mut entropy = |out: &mut [u8]| out.fill(7);
        let who = (path("198.51.100.1:500"), IkeSpi(1), &b"nonce"[..]);
        let cookie = cookies.make(10_000, who, &mut entropy);
        assert!(cookies.is_good(10_000, who, &cookie));
        assert!(cookies.is_good(59_999, who, &cookie));
        assert!(!cookies.is_good(60_000, who, &cookie), "too old");
        let others = [
            (path("198.51.100.2:500"), IkeSpi(1), &b"nonce"[..]),
            (path("198.51.100.1:501"), IkeSpi(1), &b"nonce"[..]),
            (path("198.51.100.1:500"), IkeSpi(2), &b"nonce"[..]),
            (path("198.51.100.1:500"), IkeSpi(1), &b"other"[..]),
        ];
        assert!(
            others
                .iter()
                .all(|other| !cookies.is_good(10_000, *other, &cookie))
        );
        for at in 0..cookie.len() {
            let mut forged = cookie.clone();
            forged[at] ^= 1;
            assert!(!cookies.is_good(10_000, who, &forged));
            assert!(!cookies.is_good(10_000, who, &cookie[..at]));
        }
    }

    #[test]
    fn a_cookie_of_the_last_epoch_is_still_good_after_a_new_secret() {
        let mut cookies = Cookies::new();
        let mut count = 0;
        let mut entropy = |out: &mut [u8]| {
            count += 1;
            out.fill(count);
        };
        let who = (path("198.51.100.1:500"), IkeSpi(1), &b"nonce"[..]);
        let old = cookies.make(29_999, who, &mut entropy);
        let new = cookies.make(30_000, who, &mut entropy);
        assert!(old != new && cookies.is_good(30_001, who, &old) && cookies.is_good(30_001, who, &new));
    }
}
