//! The sending side of an SA: it owns the next sequence number, so no nonce is made twice.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::aead::{Aead, DefaultAead};
use crate::error::SealError;
use crate::ids::{Numbers, SeqNo, Spi};
use crate::keys::{SaKeys, Salt};
use crate::layout::{HEADER_LEN, ICV_LEN, MAX_PAYLOAD, TRAILER_LEN, aad, nonce, pad_len, short_aad};
use crate::lifetime::{Lifetime, Limits, Meter, Millis, Usage};

/// An SA that seals. One owner, no clone: two copies would repeat nonces.
///
/// ```compile_fail
/// fn cloned(sa: kith_esp::Outbound) -> kith_esp::Outbound { sa.clone() }
/// ```
pub struct Outbound<A: Aead = DefaultAead> {
    /// None once the last number is used.
    pub(crate) next: Option<NonZeroU64>,
    pub(crate) spi: Spi,
    pub(crate) salt: Salt,
    pub(crate) numbers: Numbers,
    pub(crate) meter: Meter,
    pub(crate) aead: A,
}

/// What became of a sealed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where in the buffer the ESP packet lies, from SPI to ICV.
    pub packet: Range<usize>,
    /// Its sequence number.
    pub seq: SeqNo,
    /// State of the SA after it; [`Lifetime::Expired`] if this packet was the last.
    pub lifetime: Lifetime,
}

impl Outbound<DefaultAead> {
    /// An SA whose first sequence number is 1, with the production cipher. Its age counts from `now`.
    pub fn new(spi: Spi, keys: SaKeys, limits: Limits, now: Millis) -> Self {
        Self::with_aead(spi, keys, limits, now)
    }
}

impl<A: Aead> Outbound<A> {
    /// As [`Outbound::new`], with the back end of the caller's choice.
    pub fn with_aead(spi: Spi, keys: SaKeys, limits: Limits, now: Millis) -> Self {
        let SaKeys { key, salt } = keys;
        // RFC 4303 3.3.3: the first packet carries 1.
        Self {
            next: Some(NonZeroU64::MIN),
            spi,
            salt,
            numbers: Numbers::Extended,
            meter: Meter::new(limits, now),
            aead: A::new(&key),
        }
    }

    /// With sequence numbers of this length; before the first packet. Short ones make a successor due when three quarters are used.
    #[must_use]
    pub fn with_numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self.meter.fit(numbers);
        self
    }

    /// Seals `buf[payload]` in place. The 16 octets before it become SPI, sequence number and IV; padding, trailer and ICV
    /// go behind it ([`crate::sealed_overhead`] says how much in all). The rest of `buf` is left alone.
    #[inline]
    pub fn seal_in_place(
        &mut self,
        buf: &mut [u8],
        payload: Range<usize>,
        next_header: u8,
        now: Millis,
    ) -> Result<Sealed, SealError> {
        let start = payload.start.checked_sub(HEADER_LEN).ok_or(SealError::NoRoom)?;
        let payload_len = payload.end.checked_sub(payload.start).ok_or(SealError::NoRoom)?;
        if payload_len > MAX_PAYLOAD {
            return Err(SealError::TooLong);
        }
        let pad = pad_len(payload_len);
        let body_len = payload_len + pad + TRAILER_LEN;
        let end = payload
            .start
            .checked_add(body_len + ICV_LEN)
            .ok_or(SealError::NoRoom)?;
        let packet = buf.get_mut(start..end).ok_or(SealError::NoRoom)?;
        let (header, rest) = packet.split_at_mut(HEADER_LEN);
        let (body, icv) = rest.split_at_mut(body_len);

        let usage = self.meter.admit(body_len, now).ok_or(SealError::Expired)?;
        let seq = self.take_number().ok_or(SealError::SequenceExhausted)?;
        self.meter.record(usage);

        header[..4].copy_from_slice(&self.spi.get().to_be_bytes());
        header[4..8].copy_from_slice(&seq.low().to_be_bytes());
        // RFC 4106 3.1: the IV must be unique; the sequence number is.
        let iv = seq.0.to_be_bytes();
        header[8..].copy_from_slice(&iv);
        write_trailer(&mut body[payload_len..], next_header);

        let nonce = nonce(&self.salt, iv);
        // RFC 4106 5: what is authenticated is the number in full.
        let sealed = match self.numbers {
            Numbers::Extended => self.aead.seal(&nonce, &aad(self.spi, seq), body),
            Numbers::Short => self.aead.seal(&nonce, &short_aad(self.spi, seq), body),
        };
        match sealed {
            Ok(tag) => icv.copy_from_slice(&tag),
            Err(_) => {
                body.fill(0);
                return Err(SealError::Cipher);
            }
        }
        Ok(Sealed {
            packet: start..end,
            seq,
            lifetime: self.meter.lifetime(now),
        })
    }

    /// The SPI that every packet of this SA carries.
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// State at `now`.
    pub fn lifetime(&self, now: Millis) -> Lifetime {
        if self.next.is_none() {
            Lifetime::Expired
        } else {
            self.meter.lifetime(now)
        }
    }

    /// What was sealed so far.
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Each number leaves here once, before the cipher runs: whatever happens later, it is spent.
    #[inline]
    fn take_number(&mut self) -> Option<SeqNo> {
        let seq = self.next?;
        self.next = seq
            .checked_add(1)
            .filter(|next| next.get() <= self.numbers.last());
        Some(SeqNo(seq.get()))
    }
}

/// Fills `room` with padding 1, 2, 3 (RFC 4303 2.4), its length, and the next header.
#[inline]
fn write_trailer(room: &mut [u8], next_header: u8) {
    let pad = room.len() - TRAILER_LEN;
    for (octet, value) in room[..pad].iter_mut().zip(1u8..) {
        *octet = value;
    }
    room[pad] = pad as u8;
    room[pad + 1] = next_header;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::{AeadError, Portable};
    use crate::keys::Key;

    const NOW: Millis = Millis(5);

    fn sa<A: Aead>() -> Outbound<A> {
        let keys = SaKeys::new(Key::aes128(&[1; 16]), Salt::new(&[2; 4]));
        let Ok(spi) = Spi::new(256) else {
            unreachable!("256 is not reserved")
        };
        Outbound::with_aead(spi, keys, Limits::default(), NOW)
    }

    fn seal<A: Aead>(sa: &mut Outbound<A>, buf: &mut [u8; 64]) -> Result<SeqNo, SealError> {
        buf.fill(0x5A);
        sa.seal_in_place(buf, 16..40, 17, NOW).map(|sealed| sealed.seq)
    }

    #[test]
    fn the_counter_stops_at_its_last_number() {
        let (mut sa, mut buf) = (sa::<Portable>(), [0; 64]);
        sa.next = NonZeroU64::new(u64::MAX - 1);
        assert_eq!(seal(&mut sa, &mut buf), Ok(SeqNo(u64::MAX - 1)));
        assert_eq!(seal(&mut sa, &mut buf), Ok(SeqNo(u64::MAX)));
        for _ in 0..3 {
            assert_eq!(seal(&mut sa, &mut buf), Err(SealError::SequenceExhausted));
            assert_eq!(buf, [0x5A; 64], "left as it was");
        }
        assert_eq!(sa.lifetime(NOW), Lifetime::Expired);
    }

    #[test]
    fn the_header_shows_the_low_word_and_the_iv_all_of_it() {
        let (mut sa, mut buf) = (sa::<Portable>(), [0; 64]);
        sa.next = NonZeroU64::new(0xFFFF_FFFF);
        for (number, low) in [(0xFFFF_FFFFu64, [0xFF; 4]), (1 << 32, [0; 4])] {
            assert_eq!(seal(&mut sa, &mut buf), Ok(SeqNo(number)));
            assert_eq!((&buf[4..8], &buf[8..16]), (&low[..], &number.to_be_bytes()[..]));
        }
    }

    #[test]
    fn short_numbers_end_at_32_bits() {
        let (sa, mut buf) = (sa::<Portable>(), [0; 64]);
        let mut sa = sa.with_numbers(Numbers::Short);
        sa.next = NonZeroU64::new(0xFFFF_FFFE);
        assert_eq!(seal(&mut sa, &mut buf), Ok(SeqNo(0xFFFF_FFFE)));
        assert_eq!(seal(&mut sa, &mut buf), Ok(SeqNo(0xFFFF_FFFF)));
        assert_eq!(seal(&mut sa, &mut buf), Err(SealError::SequenceExhausted));
        assert_eq!(sa.lifetime(NOW), Lifetime::Expired);
    }

    /// A cipher that always fails.
    struct Broken;

    impl Aead for Broken {
        const NAME: &'static str = "broken";

        fn new(_: &Key) -> Self {
            Self
        }

        fn seal(&self, _: &[u8; 12], _: &[u8], _: &mut [u8]) -> Result<[u8; 16], AeadError> {
            Err(AeadError)
        }

        fn open(&self, _: &[u8; 12], _: &[u8], _: &mut [u8]) -> Result<(), AeadError> {
            Err(AeadError)
        }
    }

    #[test]
    fn a_failing_cipher_spends_the_number_and_leaves_no_plaintext() {
        let (mut sa, mut buf) = (sa::<Broken>(), [0; 64]);
        assert_eq!(seal(&mut sa, &mut buf), Err(SealError::Cipher));
        assert_eq!(buf[16..44], [0; 28]);
        assert_eq!(sa.next, NonZeroU64::new(2));
        assert_eq!(sa.usage().packets, 1);
    }
}
