//! SAs at rest: what an SA needs to go on, and nothing that can be made again.
//!
//! **Problem.** An SA holds an expanded key of half a KiB, and an inbound one 1 KiB of window. Who has ten thousand of each, and a packet
//! on each every few seconds, keeps 25 MB for that.
//!
//! **Idea.** Between packets there is the key as it was agreed, the counters, and the newest end of the window. For a packet the SA is
//! woken: the same [`Inbound`] or [`Outbound`] as everywhere, for as long as a closure runs.
//!
//! ```text
//!  at rest: key, salt, counters, newest numbers ── wake(act) ──► SA on the stack: act ──► counters and numbers back, the SA wiped
//! ```
//!
//! **Cost.** 216 octets for both directions in place of 2,352. For each packet a key schedule to wake and another to wipe: with 100 octets,
//! sealing and opening took 1.0 µs in place of 0.3 in the quietest of seven rounds on two shared CPUs. What comes more than 192 numbers behind
//! the newest may be refused as seen; RFC 4303 3.4.3 asks for a window of 64.

use std::num::NonZeroU64;

use crate::aead::{Aead, DefaultAead};
use crate::ids::{Numbers, Spi};
use crate::inbound::{Inbound, SaId};
use crate::keys::SaKeys;
use crate::lifetime::{Limits, Meter, Millis, Usage};
use crate::outbound::Outbound;
use crate::replay::{Recent, ReplayWindow};

/// An [`Inbound`] at rest, under the default limits.
///
/// ```compile_fail
/// fn cloned(sa: kith_esp::RestingInbound) -> kith_esp::RestingInbound { sa.clone() }
/// ```
pub struct RestingInbound {
    spi: Spi,
    keys: SaKeys,
    id: SaId,
    used: Usage,
    born: Millis,
    recent: Recent<4>,
}

/// An [`Outbound`] at rest, under the default limits.
///
/// ```compile_fail
/// fn cloned(sa: kith_esp::RestingOutbound) -> kith_esp::RestingOutbound { sa.clone() }
/// ```
pub struct RestingOutbound {
    /// None once the last number is used, and while the SA is awake.
    next: Option<NonZeroU64>,
    spi: Spi,
    keys: SaKeys,
    used: Usage,
    born: Millis,
}

impl RestingInbound {
    /// An SA that has seen nothing. Its age counts from `now`.
    pub fn new(spi: Spi, keys: SaKeys, now: Millis) -> Self {
        Self {
            spi,
            keys,
            id: SaId::fresh(),
            used: Usage::default(),
            born: now,
            recent: ReplayWindow::<128>::new().recent(),
        }
    }

    /// Lets the SA act.
    pub fn wake<R>(&mut self, act: impl FnOnce(&mut Inbound) -> R) -> R {
        let mut awake = Inbound {
            numbers: Numbers::Extended,
            spi: self.spi,
            salt: self.keys.salt.again(),
            id: self.id,
            meter: Meter::resumed(Limits::default(), self.born, self.used),
            aead: DefaultAead::new(&self.keys.key),
            window: ReplayWindow::resumed(&self.recent),
        };
        let result = act(&mut awake);
        (self.used, self.recent) = (awake.meter.usage(), awake.window.recent());
        result
    }

    /// The SPI that every packet of this SA carries.
    pub fn spi(&self) -> Spi {
        self.spi
    }
}

impl RestingOutbound {
    /// An SA whose first sequence number is 1. Its age counts from `now`.
    pub fn new(spi: Spi, keys: SaKeys, now: Millis) -> Self {
        Self {
            next: Some(NonZeroU64::MIN),
            spi,
            keys,
            used: Usage::default(),
            born: now,
        }
    }

    /// Lets the SA act. Should that panic, the SA never seals again: which numbers it used, nobody knows.
    pub fn wake<R>(&mut self, act: impl FnOnce(&mut Outbound) -> R) -> R {
        let mut awake = Outbound {
            numbers: Numbers::Extended,
            next: self.next.take(),
            spi: self.spi,
            salt: self.keys.salt.again(),
            meter: Meter::resumed(Limits::default(), self.born, self.used),
            aead: DefaultAead::new(&self.keys.key),
        };
        let result = act(&mut awake);
        (self.next, self.used) = (awake.next, awake.meter.usage());
        result
    }

    /// The SPI that every packet of this SA carries.
    pub fn spi(&self) -> Spi {
        self.spi
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CommitError, OpenError, SealError};
    use crate::ids::SeqNo;
    use crate::keys::{Key, Salt};

    const NOW: Millis = Millis(5);

    fn keys() -> SaKeys {
        SaKeys::new(Key::aes256(&[1; 32]), Salt::new(&[2; 4]))
    }

    fn spi() -> Spi {
        let Ok(spi) = Spi::new(256) else {
            unreachable!("256 is not reserved")
        };
        spi
    }

    fn pair() -> (RestingOutbound, RestingInbound) {
        (
            RestingOutbound::new(spi(), keys(), NOW),
            RestingInbound::new(spi(), keys(), NOW),
        )
    }

    fn seal(sa: &mut RestingOutbound, now: Millis) -> Result<[u8; 64], SealError> {
        let mut buf = [0x5A; 64];
        sa.wake(|sa| sa.seal_in_place(&mut buf, 16..44, 17, now))?;
        Ok(buf)
    }

    fn open(sa: &mut RestingInbound, packet: &[u8; 64], now: Millis) -> Result<SeqNo, String> {
        let mut packet = *packet;
        sa.wake(|sa| {
            let opened = sa
                .open_in_place(&mut packet, now)
                .map_err(|why| format!("{why:?}"))?;
            let seq = opened.token.seq();
            sa.commit(opened.token).map_err(|why| format!("{why:?}"))?;
            Ok(seq)
        })
    }

    #[test]
    fn numbers_go_on_and_no_packet_is_taken_twice() {
        let (mut outbound, mut inbound) = pair();
        let packets: Vec<[u8; 64]> = (0..1000).map(|_| seal(&mut outbound, NOW).unwrap()).collect();
        // In order but for every third, which comes a hundred later.
        let order = (0..1100usize).flat_map(|at| {
            let late = at.checked_sub(100).filter(|late| late.is_multiple_of(3));
            let here = (!at.is_multiple_of(3) && at < 1000).then_some(at);
            here.into_iter().chain(late)
        });
        let mut taken = 0;
        for at in order {
            assert_eq!(open(&mut inbound, &packets[at], NOW), Ok(SeqNo(at as u64 + 1)));
            taken += 1;
        }
        assert_eq!(taken, 1000);
        for packet in &packets {
            let refused = open(&mut inbound, packet, NOW).unwrap_err();
            assert!(
                refused == format!("{:?}", OpenError::Replayed)
                    || refused == format!("{:?}", OpenError::TooOld),
                "{refused}"
            );
        }
        assert_eq!(
            inbound.wake(|sa| sa.usage().packets),
            1000,
            "what was refused wears nothing out"
        );
    }

    #[test]
    fn what_was_never_seen_but_is_behind_all_that_is_remembered_is_refused() {
        let (mut outbound, mut inbound) = pair();
        let packets: Vec<[u8; 64]> = (0..400).map(|_| seal(&mut outbound, NOW).unwrap()).collect();
        assert_eq!(open(&mut inbound, &packets[399], NOW), Ok(SeqNo(400)));
        assert_eq!(open(&mut inbound, &packets[399 - 192], NOW), Ok(SeqNo(208)));
        assert!(open(&mut inbound, &packets[100], NOW).is_err());
    }

    #[test]
    fn age_counts_from_the_beginning_however_often_it_was_woken() {
        let (mut outbound, mut inbound) = pair();
        let packet = seal(&mut outbound, NOW).unwrap();
        let over = Millis(NOW.0 + 180_000);
        let last = seal(&mut outbound, Millis(over.0 - 1)).unwrap();
        assert_eq!(seal(&mut outbound, over), Err(SealError::Expired));
        assert_eq!(open(&mut inbound, &packet, Millis(over.0 - 1)), Ok(SeqNo(1)));
        assert_eq!(
            open(&mut inbound, &last, over),
            Err(format!("{:?}", OpenError::Expired))
        );
    }

    #[test]
    fn a_token_is_good_for_its_own_sa_only() {
        let (mut outbound, mut inbound) = pair();
        let (_, mut other) = pair();
        let mut packet = seal(&mut outbound, NOW).unwrap();
        let token = inbound.wake(|sa| sa.open_in_place(&mut packet, NOW).unwrap().token);
        assert_eq!(other.wake(|sa| sa.commit(token)), Err(CommitError::ForeignToken));
    }

    #[test]
    fn a_panic_while_it_seals_ends_an_sa() {
        let (mut outbound, _) = pair();
        let woken = std::panic::AssertUnwindSafe(|| outbound.wake(|_| panic!("of the test")));
        assert!(std::panic::catch_unwind(woken).is_err());
        assert_eq!(seal(&mut outbound, NOW), Err(SealError::SequenceExhausted));
    }

    #[test]
    fn at_rest_it_is_small() {
        assert!(
            size_of::<RestingInbound>() <= 136,
            "{}",
            size_of::<RestingInbound>()
        );
        assert!(
            size_of::<RestingOutbound>() <= 96,
            "{}",
            size_of::<RestingOutbound>()
        );
    }
}
