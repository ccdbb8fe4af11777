//! Is a member there, and does it know that we are? Whichever way its keys came.

use super::Activity;
use super::peer::Repeat;
use kith_esp::{Millis, Spi};

/// Data sent and nothing heard for so long: the other side may have lost the keys.
const DEAD: u64 = 15_000;
/// Data heard and nothing sent for so long: a dummy says that we are alive.
const PASSIVE_KEEP_ALIVE: u64 = 10_000;
/// Confirming dummies sent at most.
const CONFIRMATIONS: u32 = 6;

/// What is known of one member's signs of life, and of ours to it.
#[derive(Default)]
pub(super) struct Liveness {
    heard: Option<Millis>,
    unanswered_since: Option<Millis>,
    owed_since: Option<Millis>,
    /// Dummies that ask for a sign of life on this SPI.
    confirm: Option<Repeat<Spi>>,
}

/// What time has brought.
pub(super) struct Due {
    /// A dummy is to be sent: the member does not know that we are alive, or that we have the keys.
    pub(super) dummy: bool,
    /// Nothing came for what was sent; the next time is counted from now.
    pub(super) silent: bool,
}

impl Liveness {
    /// When something authentic came last.
    pub(super) const fn heard(&self) -> Option<Millis> {
        self.heard
    }

    /// Something authentic came, outside the packets that [`Liveness::note`] is told of.
    pub(super) fn on_heard(&mut self, now: Millis) {
        self.heard = Some(now);
    }

    /// Something authentic came on this SPI.
    pub(super) fn on_heard_on(&mut self, now: Millis, spi: Spi) {
        self.heard = Some(now);
        self.stop_confirming(spi);
    }

    /// Takes in what the datapath saw.
    pub(super) fn note(&mut self, now: Millis, activity: Activity) {
        if activity.heard {
            (self.heard, self.unanswered_since) = (Some(now), None);
        } else if activity.data_sent {
            self.unanswered_since.get_or_insert(now);
        }
        if activity.sent {
            self.owed_since = None;
        } else if activity.data_heard {
            self.owed_since.get_or_insert(now);
        }
    }

    /// Asks for a sign of life on this SPI, with dummies.
    pub(super) fn confirm(&mut self, now: Millis, spi: Spi) {
        self.confirm = Some(Repeat::new(spi, now));
    }

    /// This SPI has been heard, or is over.
    pub(super) fn stop_confirming(&mut self, spi: Spi) {
        if self.confirm.as_ref().is_some_and(|confirm| confirm.what == spi) {
            self.confirm = None;
        }
    }

    /// New keys for sending: what was not answered went out under others.
    pub(super) fn on_new_keys(&mut self) {
        self.unanswered_since = None;
    }

    /// The member is another one now, or has no keys any more.
    pub(super) fn expect_nothing(&mut self) {
        (self.unanswered_since, self.owed_since, self.confirm) = (None, None, None);
    }

    /// What is to be done by now.
    pub(super) fn poll(&mut self, now: Millis) -> Due {
        let past = |since: Option<Millis>, span| since.is_some_and(|at| now.0 >= at.0 + span);
        let asks = self.confirm.as_mut().is_some_and(|confirm| confirm.is_due(now));
        self.confirm = self
            .confirm
            .take()
            .filter(|confirm| confirm.times < CONFIRMATIONS);
        let owed = past(self.owed_since, PASSIVE_KEEP_ALIVE);
        if owed {
            self.owed_since = None;
        }
        let silent = past(self.unanswered_since, DEAD);
        if silent {
            self.unanswered_since = Some(now);
        }
        Due {
            dummy: asks || owed,
            silent,
        }
    }

    /// When to poll.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let plus = |at: Option<Millis>, span| at.map(|at: Millis| Millis(at.0 + span));
        [
            self.confirm.as_ref().map(|confirm| confirm.next),
            plus(self.unanswered_since, DEAD),
            plus(self.owed_since, PASSIVE_KEEP_ALIVE),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
