//! Message numbers, repetition, and answers given twice (RFC 7296 sections 2.1 to 2.3). The window is one message in each direction.
//!
//! ```text
//!  ours:   request n ──► … repeated until ◄── response n, then n + 1
//!  theirs: request m ──► answered once; the same octets again get the same answer; m - 2 and m + 1 get nothing
//! ```

use crate::terms::Timing;
use crate::units::Moment;

/// One request repeated until it is answered.
pub(crate) struct Repeater {
    datagrams: Vec<Vec<u8>>,
    sent: u64,
    next: u64,
    tries: u32,
}

/// What to do about an unanswered request.
pub(crate) enum Due {
    Nothing,
    Repeat,
    GiveUp,
}

impl Repeater {
    pub(crate) fn new(datagrams: Vec<Vec<u8>>, now: Moment, timing: &Timing) -> Self {
        Self {
            datagrams,
            sent: now.millis,
            next: now.after(timing.repeat_first),
            tries: 0,
        }
    }

    /// Is it time? Then the next time is set.
    pub(crate) fn due(&mut self, now: Moment, timing: &Timing) -> Due {
        if now.millis < self.next {
            return Due::Nothing;
        }
        if self.tries >= timing.repeat_tries {
            return Due::GiveUp;
        }
        self.tries += 1;
        // RFC 7296 section 2.4: the wait grows exponentially.
        let wait = timing
            .repeat_first
            .saturating_mul(1 << self.tries.min(16))
            .min(timing.repeat_most);
        self.next = now.after(wait);
        Due::Repeat
    }

    pub(crate) fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.next
    }

    /// The path may be another one: send at once, and begin to count anew.
    pub(crate) fn hurry(&mut self, now: Moment) {
        (self.next, self.tries) = (now.millis, 0);
    }

    /// Round-trip time, if it is known to which sending the answer belongs.
    pub(crate) fn rtt(&self, now: Moment) -> Option<u64> {
        (self.tries == 0).then(|| now.millis.saturating_sub(self.sent))
    }
}

/// Both directions of one IKE SA.
pub(crate) struct Window<P> {
    next_out: u32,
    outstanding: Option<Outstanding<P>>,
    next_in: u32,
    answered: Option<Answered>,
}

/// A request of ours.
pub(crate) struct Outstanding<P> {
    pub(crate) id: u32,
    pub(crate) what: P,
    pub(crate) repeater: Repeater,
}

struct Answered {
    datagrams: Vec<Vec<u8>>,
    again: u64,
}

/// What a message number of a request means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one: open it.
    New,
    /// The one that was answered last.
    Again,
    /// Outside of the window.
    Other,
}

/// How often an answer is given again at most: a recorded request makes us talk to the peer, and to nobody else.
const AGAIN: u64 = 50;

impl<P> Window<P> {
    /// The next request of ours and of theirs carry these numbers.
    pub(crate) fn new(next_out: u32, next_in: u32) -> Self {
        Self {
            next_out,
            outstanding: None,
            next_in,
            answered: None,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.is_none()
    }

    /// The number of the next request; `None` when they are used up.
    pub(crate) fn next_out(&self) -> Option<u32> {
        // RFC 7296 section 2.2: numbers never wrap.
        (self.next_out < u32::MAX).then_some(self.next_out)
    }

    /// RFC 7296 section 2.2: one of the directions has no number left, so the IKE SA must end.
    pub(crate) fn is_used_up(&self) -> bool {
        self.next_out == u32::MAX || self.next_in == u32::MAX
    }

    /// The number of the request that is taken next.
    pub(crate) fn next_in(&self) -> u32 {
        self.next_in
    }

    pub(crate) fn sent(&mut self, what: P, datagrams: Vec<Vec<u8>>, now: Moment, timing: &Timing) {
        self.outstanding = Some(Outstanding {
            id: self.next_out,
            what,
            repeater: Repeater::new(datagrams, now, timing),
        });
        self.next_out += 1;
    }

    pub(crate) fn outstanding(&self) -> Option<&Outstanding<P>> {
        self.outstanding.as_ref()
    }

    pub(crate) fn outstanding_mut(&mut self) -> Option<&mut Outstanding<P>> {
        self.outstanding.as_mut()
    }

    /// An authentic response under this number: what it answers.
    pub(crate) fn answer_to(&mut self, id: u32) -> Option<Outstanding<P>> {
        self.outstanding.take_if(|outstanding| outstanding.id == id)
    }

    /// Our request is not waited for any more.
    pub(crate) fn forget(&mut self) -> Option<Outstanding<P>> {
        self.outstanding.take()
    }

    pub(crate) fn arrival(&self, id: u32) -> Arrival {
        if id == self.next_in {
            Arrival::New
        } else if self.next_in.checked_sub(1) == Some(id) {
            Arrival::Again
        } else {
            Arrival::Other
        }
    }

    /// The request with the next number was opened and is answered with this.
    pub(crate) fn answered(&mut self, datagrams: Vec<Vec<u8>>, now: Moment) {
        self.next_in = self.next_in.saturating_add(1);
        self.answered = Some(Answered {
            datagrams,
            again: now.after(AGAIN),
        });
    }

    /// The same answer again, for a request with the last number that the caller has found authentic.
    pub(crate) fn again(&mut self, now: Moment) -> &[Vec<u8>] {
        match &mut self.answered {
            Some(answered) if now.millis >= answered.again => {
                answered.again = now.after(AGAIN);
                &answered.datagrams
            }
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        repeat_first: 100,
        repeat_most: 400,
        repeat_tries: 3,
        handshake: 0,
        liveness: 0,
        ike_soft: 0,
        ike_hard: 0,
        linger: 0,
        retry: 0,
        handover: 0,
    };

    fn at(millis: u64) -> Moment {
        Moment { millis, unix_secs: 0 }
    }

    #[test]
    fn an_unanswered_request_is_repeated_more_and_more_rarely_and_given_up() {
        let mut repeater = Repeater::new(vec![vec![1]], at(0), &TIMING);
        let mut repeated = Vec::new();
        for millis in 0..10_000 {
            match repeater.due(at(millis), &TIMING) {
                Due::Nothing => {}
                Due::Repeat => repeated.push(millis),
                Due::GiveUp => {
                    assert_eq!((millis, repeated), (1_100, vec![100, 300, 700]));
                    return;
                }
            }
        }
        unreachable!("it is given up");
    }

    #[test]
    fn the_last_request_gets_the_same_answer_again_and_not_too_often() {
        let mut window: Window<()> = Window::new(0, 0);
        assert_eq!(window.arrival(0), Arrival::New);
        window.answered(vec![b"answer".to_vec()], at(0));
        assert_eq!(
            [0, 1, 2].map(|id| window.arrival(id)),
            [Arrival::Again, Arrival::New, Arrival::Other]
        );
        assert_eq!(window.again(at(1_000)), [b"answer".to_vec()]);
        assert!(
            window.again(at(1_001)).is_empty(),
            "a recorded request does not make us shout"
        );
    }

    #[test]
    fn numbers_never_wrap() {
        let mut window = Window::new(u32::MAX - 1, 0);
        assert!(!window.is_used_up());
        window.sent("the last", vec![], at(0), &TIMING);
        assert_eq!((window.next_out(), window.is_used_up()), (None, true));
        let mut window: Window<()> = Window::new(0, u32::MAX - 1);
        assert!(!window.is_used_up());
        window.answered(Vec::new(), at(0));
        assert!(window.is_used_up());
    }

    #[test]
    fn an_answer_is_taken_once_and_under_its_number_only() {
        let mut window = Window::new(7, 0);
        window.sent("probe", vec![], at(0), &TIMING);
        assert!(window.answer_to(6).is_none());
        assert_eq!(
            window.answer_to(7).map(|outstanding| outstanding.what),
            Some("probe")
        );
        assert!(window.answer_to(7).is_none());
        assert_eq!(window.next_out(), Some(8));
    }
}
