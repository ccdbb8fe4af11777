//! What is kept of each member during and between exchanges.

use super::exchange::Initiated;
use super::liveness::Liveness;
use super::message::LEN;
use super::secrets::PairSecret;
use super::{Moment, NewKeys, Whereabouts};
use kith_esp::{Millis, Spi};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// First repetition of an initiation or a confirming dummy; each further one waits twice as long.
const REPEAT_FIRST: u64 = 250;
/// The longest wait between repetitions.
const REPEAT_MOST: u64 = 4_000;
/// Exchanges started by packets that anyone could have forged, and repeated responses: no more often than this.
pub(super) const RATE: u64 = 1_000;

pub(super) struct Peer {
    pub(super) address: Ipv4Addr,
    pub(super) secret: Arc<PairSecret>,
    /// Taken in initiations, never used for ours.
    pub(super) former: Option<Arc<PairSecret>>,
    pub(super) pending: Option<Pending>,
    pub(super) answered: Option<Answered>,
    /// Of initiations received, and of ours.
    pub(super) greatest: u64,
    pub(super) sent_timestamp: u64,
    pub(super) inbound: VecDeque<(Spi, Millis)>,
    pub(super) current: Option<Current>,
    pub(super) rekey_at: Option<Millis>,
    pub(super) provoked: Option<Millis>,
    pub(super) liveness: Liveness,
    pub(super) agreements: u64,
    pub(super) rtt_micros: Option<u64>,
}

/// Something sent again and again, more and more rarely.
pub(super) struct Repeat<T> {
    pub(super) what: T,
    pub(super) next: Millis,
    pub(super) times: u32,
}

pub(super) struct Pending {
    pub(super) repeat: Repeat<Initiated>,
    pub(super) started: Moment,
    /// It was made with this one.
    pub(super) secret: Arc<PairSecret>,
}

pub(super) struct Answered {
    pub(super) initiation: [u8; LEN],
    pub(super) response: [u8; LEN],
    pub(super) sent: Millis,
    pub(super) spi: Spi,
    pub(super) location: Option<Whereabouts>,
    /// Until the initiator has been heard on `spi`.
    pub(super) unconfirmed: Option<Box<NewKeys>>,
}

pub(super) struct Current {
    pub(super) spi: Spi,
    pub(super) since: Millis,
    pub(super) initiator: bool,
}

impl Peer {
    pub(super) fn new(address: Ipv4Addr, secret: Arc<PairSecret>) -> Self {
        Self {
            address,
            secret,
            former: None,
            pending: None,
            answered: None,
            greatest: 0,
            sent_timestamp: 0,
            inbound: VecDeque::new(),
            current: None,
            rekey_at: None,
            provoked: None,
            liveness: Liveness::default(),
            agreements: 0,
            rtt_micros: None,
        }
    }

    /// Did we answer just now, and wait for the first packet on those keys?
    pub(super) fn is_being_answered(&self, now: Millis) -> bool {
        self.answered
            .as_ref()
            .is_some_and(|answered| answered.unconfirmed.is_some() && now.0 < answered.sent.0 + RATE)
    }

    /// Were keys for sending installed just now?
    pub(super) fn is_fresh(&self, now: Millis) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| now.0 < current.since.0 + RATE)
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        [
            self.pending.as_ref().map(|pending| pending.repeat.next),
            self.inbound.front().map(|(_, expires)| *expires),
            self.rekey_at,
            self.liveness.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl<T> Repeat<T> {
    /// Sent now for the first time.
    pub(super) fn new(what: T, now: Millis) -> Self {
        Self {
            what,
            next: Millis(now.0 + REPEAT_FIRST),
            times: 0,
        }
    }

    /// Is it time again? Then the next time is set.
    pub(super) fn is_due(&mut self, now: Millis) -> bool {
        if now < self.next {
            return false;
        }
        self.times += 1;
        let wait = (REPEAT_FIRST << self.times.min(16)).min(REPEAT_MOST);
        self.next = Millis(now.0 + wait);
        true
    }
}
