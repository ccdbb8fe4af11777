//! The receiving side of an SA: check, decrypt, and, once the caller has checked the source, accept.
//!
//! ```text
//!  ESP packet ──► lengths ──► window: not seen? ──► tag ──► padding ──► Opened { payload, token }
//!                 (nothing changed so far)                                   │
//!                                        caller: is the source the SA's own? │
//!                                                                            ▼
//!                                                   commit(token): not seen since? window moves
//! ```
//!
//! A packet that fails anywhere before `commit` leaves the window where it was: neither a forger nor a member that lies
//! about its source can push it ahead of honest packets.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::aead::{Aead, DefaultAead};
use crate::error::{CommitError, OpenError};
use crate::ids::{Numbers, SeqNo, Spi};
use crate::keys::{SaKeys, Salt};
use crate::layout::{HEADER_LEN, ICV_LEN, MAX_SEALED, MIN_SEALED, TRAILER_LEN, aad, nonce, short_aad};
use crate::lifetime::{Lifetime, Limits, Meter, Millis, Usage};
use crate::replay::ReplayWindow;

/// An SA that opens. One owner: two copies would accept each packet twice.
///
/// ```compile_fail
/// fn cloned(sa: kith_esp::Inbound) -> kith_esp::Inbound { sa.clone() }
/// ```
pub struct Inbound<A: Aead = DefaultAead> {
    pub(crate) spi: Spi,
    pub(crate) salt: Salt,
    pub(crate) id: SaId,
    pub(crate) numbers: Numbers,
    pub(crate) meter: Meter,
    pub(crate) aead: A,
    pub(crate) window: ReplayWindow,
}

/// A packet whose tag and padding are good. It is not accepted until its token is committed.
#[derive(Debug)]
pub struct Opened {
    /// Where in the buffer the payload lies.
    pub payload: Range<usize>,
    /// What the payload is; [`crate::NO_NEXT_HEADER`] marks a dummy, to be committed and discarded.
    pub next_header: u8,
    /// To be given to [`Inbound::commit`] once the source has been checked.
    pub token: ReplayToken,
}

/// The right to mark one sequence number of one SA as seen. Made only by [`Inbound::open_in_place`].
///
/// ```compile_fail
/// fn cloned(token: kith_esp::ReplayToken) -> kith_esp::ReplayToken { token.clone() }
/// ```
#[derive(Debug)]
#[must_use = "the window moves only when the token is committed"]
pub struct ReplayToken {
    sa: SaId,
    seq: SeqNo,
}

/// Tells SAs apart for the life of the process, even when an SPI is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaId(u64);

impl Inbound<DefaultAead> {
    /// An SA that has seen nothing, with the production cipher. Its age counts from `now`.
    pub fn new(spi: Spi, keys: SaKeys, limits: Limits, now: Millis) -> Self {
        Self::with_aead(spi, keys, limits, now)
    }
}

impl<A: Aead> Inbound<A> {
    /// As [`Inbound::new`], with the back end of the caller's choice.
    pub fn with_aead(spi: Spi, keys: SaKeys, limits: Limits, now: Millis) -> Self {
        let SaKeys { key, salt } = keys;
        let (meter, window) = (Meter::new(limits, now), ReplayWindow::new());
        Self {
            spi,
            salt,
            id: SaId::fresh(),
            numbers: Numbers::Extended,
            meter,
            aead: A::new(&key),
            window,
        }
    }

    /// With sequence numbers of this length; before the first packet.
    #[must_use]
    pub fn with_numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self.meter.fit(numbers);
        self
    }

    /// Opens the ESP packet that is all of `packet`, from SPI to ICV, in place.
    ///
    /// The packet is untouched if refused before decryption; after a bad tag or bad padding, all behind its header is zero.
    #[inline]
    pub fn open_in_place(&mut self, packet: &mut [u8], now: Millis) -> Result<Opened, OpenError> {
        if packet.len() < MIN_SEALED {
            return Err(OpenError::Truncated);
        }
        // Header, ICV, and payload with trailer (RFC 4303 2.4) are all whole words.
        if packet.len() > MAX_SEALED || !packet.len().is_multiple_of(4) {
            return Err(OpenError::BadLength);
        }
        let (header, sealed) = packet.split_at_mut(HEADER_LEN);
        let [s0, s1, s2, s3, q0, q1, q2, q3, iv @ ..] = header else {
            return Err(OpenError::Truncated);
        };
        if u32::from_be_bytes([*s0, *s1, *s2, *s3]) != self.spi.get() {
            return Err(OpenError::WrongSpi);
        }
        let iv = <[u8; 8]>::try_from(&*iv).map_err(|_| OpenError::Truncated)?;
        let body_len = sealed.len() - ICV_LEN;
        let usage = self.meter.admit(body_len, now).ok_or(OpenError::Expired)?;

        // RFC 4303 3.4.3: the window is asked before the cipher, so replays cost little, and again by `commit`.
        let low = u32::from_be_bytes([*q0, *q1, *q2, *q3]);
        let seq = match self.numbers {
            Numbers::Extended => self.window.infer(low).ok_or(OpenError::TooOld)?,
            Numbers::Short => SeqNo(low.into()),
        };
        self.window.check(seq)?;

        // RFC 4106 3.1: the receiver takes the IV as it comes, whatever the sender made it from.
        let nonce = nonce(&self.salt, iv);
        let opened = match self.numbers {
            Numbers::Extended => self.aead.open(&nonce, &aad(self.spi, seq), sealed),
            Numbers::Short => self.aead.open(&nonce, &short_aad(self.spi, seq), sealed),
        };
        if opened.is_err() {
            sealed.fill(0);
            return Err(OpenError::BadTag);
        }
        // Only authentic packets age the SA: a forger must not be able to wear it out.
        self.meter.record(usage);

        let Some((payload_len, next_header)) = read_trailer(&sealed[..body_len]) else {
            sealed.fill(0);
            return Err(OpenError::BadPadding);
        };
        Ok(Opened {
            payload: HEADER_LEN..HEADER_LEN + payload_len,
            next_header,
            token: ReplayToken { sa: self.id, seq },
        })
    }

    /// Accepts an opened packet: marks it as seen and moves the window. An error means it must be dropped after all.
    #[inline]
    pub fn commit(&mut self, token: ReplayToken) -> Result<(), CommitError> {
        if token.sa != self.id {
            return Err(CommitError::ForeignToken);
        }
        Ok(self.window.accept(token.seq)?)
    }

    /// The SPI that every packet of this SA carries.
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// State at `now`.
    pub fn lifetime(&self, now: Millis) -> Lifetime {
        self.meter.lifetime(now)
    }

    /// What was authentic so far, committed or not.
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// The highest sequence number committed; 0 before the first.
    pub fn highest(&self) -> SeqNo {
        self.window.top()
    }
}

impl ReplayToken {
    /// The packet's sequence number.
    pub fn seq(&self) -> SeqNo {
        self.seq
    }
}

impl SaId {
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Only uniqueness matters; nothing is ordered by it.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Length of the payload and next header, if the padding is 1, 2, 3... (RFC 4303 2.4: the receiver should look).
/// A sender may pad up to 255 octets to hide lengths.
#[inline]
fn read_trailer(body: &[u8]) -> Option<(usize, u8)> {
    let (rest, &[pad_len, next_header]) = body.split_last_chunk::<TRAILER_LEN>()?;
    let payload_len = rest.len().checked_sub(usize::from(pad_len))?;
    let good = rest[payload_len..]
        .iter()
        .zip(1u8..=255)
        .all(|(octet, want)| *octet == want);
    good.then_some((payload_len, next_header))
}

#[cfg(test)]
impl<A: Aead> Inbound<A> {
    /// Pretends that `top` was committed.
    pub(crate) fn after(mut self, top: SeqNo) -> Self {
        let Ok(()) = self.window.accept(top) else {
            unreachable!("nothing was seen before")
        };
        self
    }
}
