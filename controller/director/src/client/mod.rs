//! The member's side of a director session, as a state machine without I/O.
//!
//! Problem: keep one session at one director through loss, reordering, changing NAT mappings, and directors that die,
//! without flooding anybody. Idea: one question outstanding at a time, repeated with growing pauses; only an
//! authenticated answer to it changes anything.
//!
//! ```text
//!           start            challenge / cookie            ok
//!  Idle ───────────► Requesting ─────────────► Challenged ─────► Bound ──► keep-alive … answered, every interval
//!                        ▲  ▲                      │               │  │      │ no answer: quicker, then lost
//!                        │  └── cookie too old ────┘               │  │      │ challenge: again with cookie, at once
//!                        └───────── lost: silent, or no session ───┘  │
//!                                                   leave             ▼
//!                                      Left ◄──────────────────── Leaving   (a few tries, then left all the same)
//! ```
//!
//! The host calls [`Client::start`], passes control messages to [`Client::datagram`], calls [`Client::tick`] at
//! [`Client::deadline`], and after each of these drains [`Client::poll_transmit`] (send to the director) and
//! [`Client::poll_event`].
//!
//! Keep-alives are sent even while data flows: data keeps the NAT's mapping alive, but the director's relay path does not
//! report each packet to its sessions, so only control messages extend the lifetime.

mod types;

pub use types::{ClientConfig, Event, Ignored, Lost, Phase, SHORTEST_INTERVAL};

use crate::limits::{Bucket, mix};
use crate::{Rate, Time};
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use kith_wire::control::{COOKIE_LEN, Control, FLAG_SENDER_ONLY, LEN, Status};
use kith_wire::shim::{DataType, PseudoIp};
use std::collections::VecDeque;

/// What is answered without waiting for a timer: challenges. A director in error must not start a storm.
const AT_ONCE: Rate = Rate {
    per_second: 2,
    burst: 4,
};

#[derive(Clone, Copy)]
struct Session {
    pseudo: PseudoIp,
    interval: Duration,
    expires: Time,
    observed: SocketAddrV4,
    /// A keep-alive is not answered yet.
    asking: bool,
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    Requesting { cookie: Option<[u8; COOKIE_LEN]> },
    Bound(Session),
    Leaving { pseudo: Option<PseudoIp> },
    Left,
}

/// One member's session at one director.
pub struct Client {
    config: ClientConfig,
    state: State,
    /// The counter of the last message sent.
    counter: u64,
    /// Answers to counters below this come too late.
    asked_since: u64,
    /// Messages sent without an answer to any.
    tries: u32,
    deadline: Option<Time>,
    at_once: Bucket,
    random: u64,
    transmit: Option<[u8; LEN]>,
    events: VecDeque<Event>,
}

impl Client {
    /// A client that does nothing yet.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            state: State::Idle,
            counter: config.first_counter,
            asked_since: u64::MAX,
            tries: 0,
            deadline: None,
            at_once: Bucket::full(AT_ONCE, Time::ZERO),
            random: config.entropy,
            transmit: None,
            events: VecDeque::new(),
            config,
        }
    }

    /// Asks for a session, if there is none.
    pub fn start(&mut self, now: Time) {
        if matches!(self.state, State::Idle | State::Left) {
            self.request(now, None);
        }
    }

    /// Gives the session back. Done at [`Event::Left`], which comes whether the director answers or not.
    pub fn leave(&mut self, now: Time) {
        let pseudo = match self.state {
            State::Idle => return self.left(false),
            State::Leaving { .. } | State::Left => return,
            // Perhaps there is a session of which the answer was lost.
            State::Requesting { .. } => None,
            State::Bound(session) => Some(session.pseudo),
        };
        self.ask(State::Leaving { pseudo });
        self.send(now);
    }

    /// The host's own addresses or routes changed: makes sure at once that the director knows where this member is.
    pub fn network_changed(&mut self, now: Time) {
        if let State::Bound(session) = self.state {
            self.ask(State::Bound(Session {
                asking: true,
                ..session
            }));
            self.send(now);
        } else if matches!(self.state, State::Requesting { .. }) {
            self.request(now, None);
        }
    }

    /// Takes a control message that came from `from`.
    pub fn datagram(&mut self, now: Time, from: SocketAddrV4, data: &[u8]) -> Result<(), Ignored> {
        if from != self.config.director {
            return Err(Ignored::Source(from));
        }
        let message = Control::parse(data)?;
        if message.key_id() != self.config.key_id {
            return Err(Ignored::Key(message.key_id()));
        }
        let answer = self.config.key.open(message).ok_or(Ignored::Authenticator)?;
        if !answer.is_response() || answer.director != self.config.director.ip().to_bits() {
            return Err(Ignored::Unexpected);
        }
        let timely = (self.asked_since..=self.counter).contains(&answer.counter);
        match (self.state, answer.data_type) {
            (State::Bound(session), DataType::KeepAlive) => self.kept_alive(now, session, &answer, timely),
            _ if !timely => Err(Ignored::Outdated),
            (State::Requesting { .. }, DataType::AddressResponse) => self.responded(now, &answer),
            (State::Leaving { .. }, DataType::Leave) => {
                self.left(matches!(answer.status, Status::Ok | Status::NoSession));
                Ok(())
            }
            _ => Err(Ignored::Unexpected),
        }
    }

    /// Repeats what was not answered, and keeps the session alive. Call at [`Client::deadline`].
    pub fn tick(&mut self, now: Time) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Idle | State::Left => self.deadline = None,
            State::Requesting { .. } => self.send(now),
            State::Bound(session) if !session.asking => {
                self.ask(State::Bound(Session {
                    asking: true,
                    ..session
                }));
                self.send(now);
            }
            State::Bound(session) => {
                if self.tries >= self.config.keep_alive_tries || now >= session.expires {
                    self.lose(now, Lost::Silent, None);
                } else {
                    self.send(now);
                }
            }
            State::Leaving { .. } if self.tries >= self.config.leave_tries => self.left(false),
            State::Leaving { .. } => self.send(now),
        }
    }

    /// When [`Client::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The next datagram to send to the director.
    pub fn poll_transmit(&mut self) -> Option<[u8; LEN]> {
        self.transmit.take()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Idle => Phase::Idle,
            State::Requesting { cookie: None } => Phase::Requesting,
            State::Requesting { cookie: Some(_) } => Phase::Challenged,
            State::Bound(_) => Phase::Bound,
            State::Leaving { .. } => Phase::Leaving,
            State::Left => Phase::Left,
        }
    }

    /// The pseudo address, while bound.
    #[must_use]
    pub fn pseudo(&self) -> Option<PseudoIp> {
        match self.state {
            State::Bound(session) => Some(session.pseudo),
            _ => None,
        }
    }

    /// Where the director sees this member, while bound.
    #[must_use]
    pub fn observed(&self) -> Option<SocketAddrV4> {
        match self.state {
            State::Bound(session) => Some(session.observed),
            _ => None,
        }
    }

    /// The counter of the last message sent. A host that keeps it over restarts saves one round trip when its clock was
    /// set back.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.counter
    }
}

impl Client {
    fn responded(&mut self, now: Time, answer: &Control) -> Result<(), Ignored> {
        match answer.status {
            Status::Ok => self.bound(now, answer),
            Status::Challenge => {
                let last = u64::from(answer.lifetime_ms) << 32 | u64::from(answer.keep_alive_ms);
                self.counter = self.counter.max(last);
                if self.at_once.take(AT_ONCE, now) {
                    self.request(now, Some(answer.cookie));
                } else {
                    // The timer that runs already sends it.
                    self.state = State::Requesting {
                        cookie: Some(answer.cookie),
                    };
                    self.asked_since = self.counter.saturating_add(1);
                }
                Ok(())
            }
            status => {
                self.ask(State::Requesting { cookie: None });
                let asked_for = match status {
                    Status::Busy => Duration::from_millis(answer.lifetime_ms.into()),
                    _ => self.config.longest_retry,
                };
                let pause = asked_for.clamp(self.config.first_retry, Duration::from_secs(60));
                self.deadline = Some(now.after(self.jittered(pause)));
                self.events.push_back(Event::Refused { status });
                Ok(())
            }
        }
    }

    fn bound(&mut self, now: Time, answer: &Control) -> Result<(), Ignored> {
        let pseudo = PseudoIp::new(answer.pseudo).ok_or(Ignored::Unexpected)?;
        let session = self.session(now, pseudo, answer);
        self.rest(now, session);
        self.events.push_back(Event::Bound {
            pseudo,
            lifetime: Duration::from_millis(answer.lifetime_ms.into()),
            keep_alive: session.interval,
            observed: session.observed,
        });
        Ok(())
    }

    fn kept_alive(
        &mut self,
        now: Time,
        session: Session,
        answer: &Control,
        timely: bool,
    ) -> Result<(), Ignored> {
        if answer.status == Status::Challenge {
            // Asked for or not: the director may have seen this member's data come from elsewhere. An old challenge, played
            // back, leads to a useless keep-alive, and the bucket bounds how many.
            if answer.pseudo != session.pseudo.to_bits() {
                return Err(Ignored::Unexpected);
            }
            if !self.at_once.take(AT_ONCE, now) {
                return Err(Ignored::RateLimited);
            }
            self.ask(State::Bound(Session {
                asking: true,
                ..session
            }));
            self.transmit(DataType::KeepAlive, session.pseudo.to_bits(), Some(answer.cookie));
            self.again_later(now);
            return Ok(());
        }
        if !timely {
            return Err(Ignored::Outdated);
        }
        match answer.status {
            Status::Ok if answer.pseudo == session.pseudo.to_bits() => {
                let renewed = self.session(now, session.pseudo, answer);
                self.rest(now, renewed);
                if renewed.observed != session.observed {
                    self.events.push_back(Event::Rebound {
                        observed: renewed.observed,
                    });
                }
                Ok(())
            }
            Status::NoSession => {
                let cookie = (answer.cookie != [0; COOKIE_LEN]).then_some(answer.cookie);
                self.lose(now, Lost::NoSession, cookie);
                Ok(())
            }
            _ => Err(Ignored::Unexpected),
        }
    }

    fn session(&self, now: Time, pseudo: PseudoIp, answer: &Control) -> Session {
        let lifetime = Duration::from_millis(answer.lifetime_ms.into());
        let asked_for = Duration::from_millis(answer.keep_alive_ms.into()).min(lifetime / 3);
        let wanted = self.config.keep_alive_at_most.unwrap_or(Duration::MAX);
        Session {
            pseudo,
            interval: asked_for.min(wanted).max(SHORTEST_INTERVAL),
            expires: now.after(lifetime),
            observed: SocketAddrV4::new(Ipv4Addr::from_bits(answer.observed.0), answer.observed.1),
            asking: false,
        }
    }

    /// Nothing is outstanding until the next keep-alive is due.
    fn rest(&mut self, now: Time, session: Session) {
        self.ask(State::Bound(session));
        self.deadline = Some(now.after(self.jittered(session.interval)));
    }

    fn lose(&mut self, now: Time, reason: Lost, cookie: Option<[u8; COOKIE_LEN]>) {
        self.events.push_back(Event::Lost { reason });
        self.request(now, cookie);
    }

    fn left(&mut self, confirmed: bool) {
        self.state = State::Left;
        self.deadline = None;
        self.transmit = None;
        self.events.push_back(Event::Left { confirmed });
    }

    fn request(&mut self, now: Time, cookie: Option<[u8; COOKIE_LEN]>) {
        self.ask(State::Requesting { cookie });
        self.send(now);
    }

    /// A new question: answers to older ones no longer count.
    fn ask(&mut self, state: State) {
        self.state = state;
        self.tries = 0;
        self.asked_since = self.counter.saturating_add(1);
    }

    /// Sends the question of the state, and when it is due again.
    fn send(&mut self, now: Time) {
        match self.state {
            State::Idle | State::Left => return,
            State::Requesting { cookie } => self.transmit(DataType::AddressRequest, 0, cookie),
            State::Bound(session) => self.transmit(DataType::KeepAlive, session.pseudo.to_bits(), None),
            State::Leaving { pseudo } => {
                self.transmit(DataType::Leave, pseudo.map_or(0, PseudoIp::to_bits), None);
            }
        }
        self.again_later(now);
    }

    fn transmit(&mut self, data_type: DataType, pseudo: u32, cookie: Option<[u8; COOKIE_LEN]>) {
        self.counter = self.counter.saturating_add(1);
        self.tries = self.tries.saturating_add(1);
        let asks_to_send_only = data_type == DataType::AddressRequest && self.config.sender_only;
        // Only the newest question matters.
        self.transmit = Some(self.config.key.seal(&Control {
            data_type,
            flags: if asks_to_send_only { FLAG_SENDER_ONLY } else { 0 },
            director: self.config.director.ip().to_bits(),
            pseudo,
            status: Status::Ok,
            key_id: self.config.key_id,
            counter: self.counter,
            cookie: cookie.unwrap_or([0; COOKIE_LEN]),
            lifetime_ms: 0,
            keep_alive_ms: 0,
            observed: (0, 0),
        }));
    }

    fn again_later(&mut self, now: Time) {
        let doublings = self.tries.saturating_sub(1).min(16);
        let pause = self.config.first_retry.saturating_mul(1 << doublings);
        let pause = self.jittered(pause.min(self.config.longest_retry));
        self.deadline = Some(now.after(pause));
    }

    /// Between 80 and 100 % of a pause, so that members that started together drift apart.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.random = mix(self.random);
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        pause - Duration::from_millis(self.random % (millis / 5 + 1))
    }
}
