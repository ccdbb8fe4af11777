//! From an invitation and a code to a registration file (001 figure 12).
//!
//! ```text
//!  invitation ─► Register ─► acknowledged ─► the user is asked for the code ─► Confirm ─► registration file
//!                  │ ▲                         ▲     wrong, tries left ◄──────────┤
//!                  │ └── too late: a new code ◄┼──────────────────────────────────┤
//!                  ▼                           └── not eight digits               ▼
//!               refused, in words                                      no tries left: refused
//! ```
//!
//! - **Lost answers**: requests are repeated unchanged; the manager answers the same Confirm in the same way.
//! - **Nobody in between**: the acknowledgement carries an authenticator that only a manager who knows the invitation's password can
//!   make, and TLS is pinned to the invitation's fingerprint besides.

use super::backoff::Backoff;
use super::request::{Answer, Call, Failure, Manager, Patience, Request, RequestId};
use super::{Entropy, Refused};
use crate::keying::Moment;
use kith_esp::Millis;
use kith_protocol::authenticator::{Kind, PasswordKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::refusal::Code as Refusal;
use kith_protocol::member::{
    ConfirmAck, ConfirmRequest, Envelope, RegisterAck, RegisterRequest, RegistrationFile, confirm_answer,
    register_answer,
};
use kith_protocol::registration::{Code, FileKey, verify_ack};
use kith_protocol::share::KeyShare;
use prost::Message;
use std::collections::VecDeque;

/// Who enrols, and what for.
pub struct Candidate {
    /// Who is asked.
    pub manager: Manager,
    /// The name that the invitation is for.
    pub fqdn: String,
    /// Made of the invitation's password.
    pub password: PasswordKey,
    /// This device.
    pub identity: DeviceIdentity,
    /// Kind of computer.
    pub platform: String,
    /// This program and its version.
    pub program: String,
}

/// What happens to an enrolment.
pub enum Input {
    /// A request was answered, or will not be.
    Answer {
        /// Which.
        id: RequestId,
        /// How.
        result: Result<Answer, Failure>,
    },
    /// What the user typed.
    Code(String),
}

/// What an enrolment wants.
pub enum Output {
    /// Ask the manager.
    Request(Box<Request>),
    /// Ask the user for the code.
    AskCode(AskCode),
    /// It did not work; the next attempt comes by itself.
    Retrying(Failure),
    /// Done: keep this.
    Registered(Box<RegistrationFile>),
    /// It does not work.
    Failed(Hindrance),
}

/// The user is asked for the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskCode {
    /// Where it went: "a…@acme.example".
    pub sent_to: String,
    /// It is good for so many seconds more.
    pub seconds_left: u64,
    /// What was wrong with the last one.
    pub wrong: Option<Wrong>,
}

/// What was wrong with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Not eight digits. The manager has not been asked.
    #[error("a code has eight digits, as in 1234-5678")]
    Malformed,
    /// Another one.
    #[error("that is not the code that was sent; {left} more {} possible", if *.left == 1 { "try is" } else { "tries are" })]
    NotThatOne {
        /// How many more may be tried.
        left: u32,
    },
    /// A new one has been sent.
    #[error("the code came too late; a new one has been sent")]
    TooLate,
}

/// Why an enrolment ends without a registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// The manager drops it.
    #[error(
        "the manager does not accept this invitation. It has been used, or replaced by a newer one, or the member was deleted. \
         Ask for a new invitation"
    )]
    Dropped,
    /// The manager refuses.
    #[error("{0}")]
    Refused(Refused),
    /// Too many codes were wrong.
    #[error(
        "too many codes were wrong: the registration has been given up. Start again with the same invitation; if that is refused, ask for a new one"
    )]
    WrongCodes,
    /// Nobody answers.
    #[error(
        "the manager {0} cannot be reached: {1}. Is this computer connected, and is TCP port {2} let through?"
    )]
    Unreachable(String, Failure, u16),
    /// Who answers is not the one who invited.
    #[error("whoever answers at {0} does not know the invitation: this is not the manager that made it")]
    Impostor(Manager),
    /// An answer makes no sense.
    #[error("the manager's answer cannot be used: {0}")]
    Untrue(String),
}

enum Phase {
    Registering,
    Asking,
    Confirming,
    Over,
}

/// The machine.
pub struct Enrolment {
    who: Candidate,
    entropy: Entropy,
    share: KeyShare,
    phase: Phase,
    /// The acknowledgement of phase one, and until when it is good.
    ack: Option<(RegisterAck, Millis)>,
    wrong: Option<Wrong>,
    /// The request under way: repeated unchanged.
    request: Option<(Call, Envelope)>,
    id: RequestId,
    due: Option<Millis>,
    waits_for_answer: bool,
    backoff: Backoff,
    outputs: VecDeque<Output>,
}

const PATIENCE: Patience = Patience(15_000);
/// Waits between attempts: the first and the longest.
const AGAIN_MS: (u64, u64) = (500, 8_000);
/// Attempts without an answer until the user is told so.
const ATTEMPTS: u32 = 5;
/// An acknowledgement is good for at least and at most so long, whatever it says.
const TIME_TO_LIVE_S: (u32, u32) = (10, 86_400);

impl Enrolment {
    /// Begins.
    #[must_use]
    pub fn new(now: Moment, who: Candidate, mut entropy: Entropy) -> Self {
        let mut enrolment = Self {
            who,
            share: KeyShare::generate(&mut *entropy),
            entropy,
            phase: Phase::Registering,
            ack: None,
            wrong: None,
            request: None,
            id: RequestId(0),
            due: None,
            waits_for_answer: false,
            backoff: Backoff::new(AGAIN_MS.0, AGAIN_MS.1),
            outputs: VecDeque::new(),
        };
        enrolment.register(now);
        enrolment
    }

    /// Something happened.
    pub fn input(&mut self, now: Moment, input: Input) {
        match (input, &self.phase) {
            (Input::Answer { id, result }, Phase::Registering) if self.awaits(id) => match result {
                Ok(Answer::Register(answer)) => match answer.answer {
                    Some(register_answer::Answer::Ack(ack)) => self.acknowledged(now, ack),
                    Some(register_answer::Answer::Refusal(refusal)) => {
                        self.refused(now, Refused::read(&refusal));
                    }
                    None => self.fail(Hindrance::Untrue("it is empty".into())),
                },
                Ok(_) => self.fail(Hindrance::Untrue("it is of another kind".into())),
                Err(failure) => self.failed(now, failure),
            },
            (Input::Answer { id, result }, Phase::Confirming) if self.awaits(id) => match result {
                Ok(Answer::Confirm(answer)) => match answer.answer {
                    Some(confirm_answer::Answer::Ack(ack)) => self.confirmed(&ack),
                    Some(confirm_answer::Answer::Refusal(refusal)) => {
                        self.refused(now, Refused::read(&refusal));
                    }
                    None => self.fail(Hindrance::Untrue("it is empty".into())),
                },
                Ok(_) => self.fail(Hindrance::Untrue("it is of another kind".into())),
                Err(failure) => self.failed(now, failure),
            },
            (Input::Code(text), Phase::Asking) => self.code(now, &text),
            _ => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment) {
        if self.due.is_none_or(|due| now.millis() < due) {
            return;
        }
        self.due = None;
        if self.waits_for_answer {
            self.failed(now, Failure::TimedOut);
        } else {
            self.send(now);
        }
    }

    /// When [`Enrolment::tick`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.due
    }

    /// The next thing that is wanted; call until `None` after every other call.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn awaits(&self, id: RequestId) -> bool {
        self.waits_for_answer && self.id == id
    }

    fn register(&mut self, now: Moment) {
        let request = RegisterRequest {
            key_share: self.share.public().to_vec(),
            identity: self.who.identity.public().to_vec(),
            platform: self.who.platform.clone(),
            program: self.who.program.clone(),
        };
        let envelope = self.envelope(Kind::Register, &request, None);
        self.phase = Phase::Registering;
        self.ask(now, Call::Register, envelope);
    }

    fn acknowledged(&mut self, now: Moment, ack: RegisterAck) {
        if !verify_ack(&self.who.password, &self.share.public(), &ack) {
            return self.fail(Hindrance::Impostor(self.who.manager.clone()));
        }
        let seconds = ack.time_to_live_s.clamp(TIME_TO_LIVE_S.0, TIME_TO_LIVE_S.1);
        self.ack = Some((ack, Millis(now.millis().0 + u64::from(seconds) * 1_000)));
        self.ask_code(now);
    }

    fn ask_code(&mut self, now: Moment) {
        let Some((ack, until)) = &self.ack else { return };
        self.phase = Phase::Asking;
        self.request = None;
        self.due = None;
        self.waits_for_answer = false;
        let shown = ack
            .code_sent_to
            .chars()
            .filter(|letter| !letter.is_control())
            .take(254);
        self.outputs.push_back(Output::AskCode(AskCode {
            sent_to: shown.collect(),
            seconds_left: until.0.saturating_sub(now.millis().0) / 1_000,
            wrong: self.wrong.take(),
        }));
    }

    fn code(&mut self, now: Moment, text: &str) {
        let Ok(code) = Code::parse(text) else {
            self.wrong = Some(Wrong::Malformed);
            return self.ask_code(now);
        };
        let request = ConfirmRequest {
            key_share: self.share.public().to_vec(),
            identity: self.who.identity.public().to_vec(),
        };
        let envelope = self.envelope(Kind::Confirm, &request, Some(&code));
        self.phase = Phase::Confirming;
        self.ask(now, Call::Confirm, envelope);
    }

    fn confirmed(&mut self, sealed: &ConfirmAck) {
        let Some((ack, _)) = &self.ack else { return };
        let opened = FileKey::at_member(&self.share, &ack.key_share, &self.who.fqdn)
            .map_err(|error| error.to_string())
            .and_then(|key| {
                key.open(&self.who.fqdn, sealed)
                    .map_err(|error| error.to_string())
            });
        match opened {
            Ok(file) => {
                self.finish();
                self.outputs.push_back(Output::Registered(Box::new(file)));
            }
            Err(why) => self.fail(Hindrance::Untrue(why)),
        }
    }

    fn refused(&mut self, now: Moment, refused: Refused) {
        match refused.code {
            Refusal::WrongCode if refused.attempts_left > 0 => {
                self.wrong = Some(Wrong::NotThatOne {
                    left: refused.attempts_left,
                });
                self.ask_code(now);
            }
            Refusal::WrongCode => self.fail(Hindrance::WrongCodes),
            Refusal::NotRegistering if matches!(self.phase, Phase::Confirming) => {
                self.wrong = Some(Wrong::TooLate);
                // Another exchange: nobody is to have the old share's secret and the new code.
                self.share = KeyShare::generate(&mut *self.entropy);
                self.register(now);
            }
            Refusal::Busy | Refusal::Store if self.backoff.attempts() < ATTEMPTS => {
                let wait = self
                    .backoff
                    .next(&mut self.entropy)
                    .max(refused.retry_after_ms.unwrap_or(0));
                self.again(now, wait, Failure::Busy);
            }
            _ => self.fail(Hindrance::Refused(refused)),
        }
    }

    fn failed(&mut self, now: Moment, failure: Failure) {
        let attempts = self.backoff.attempts();
        match failure {
            Failure::Dropped => self.fail(Hindrance::Dropped),
            failure if attempts + 1 >= ATTEMPTS => {
                let manager = &self.who.manager;
                let (name, port) = (manager.to_string(), manager.port);
                self.fail(Hindrance::Unreachable(name, failure, port));
            }
            failure => {
                let wait = self.backoff.next(&mut self.entropy);
                self.again(now, wait, failure);
            }
        }
    }

    fn again(&mut self, now: Moment, wait_ms: u64, failure: Failure) {
        self.waits_for_answer = false;
        self.due = Some(Millis(now.millis().0 + wait_ms));
        self.outputs.push_back(Output::Retrying(failure));
    }

    fn ask(&mut self, now: Moment, call: Call, envelope: Envelope) {
        self.backoff.reset();
        self.request = Some((call, envelope));
        self.send(now);
    }

    fn send(&mut self, now: Moment) {
        let Some((call, envelope)) = self.request.clone() else {
            return;
        };
        self.id = RequestId(self.id.0 + 1);
        self.waits_for_answer = true;
        self.due = Some(Millis(now.millis().0 + PATIENCE.0));
        let (id, manager, patience) = (self.id, self.who.manager.clone(), PATIENCE);
        self.outputs.push_back(Output::Request(Box::new(Request {
            id,
            manager,
            call,
            envelope,
            patience,
        })));
    }

    fn fail(&mut self, hindrance: Hindrance) {
        self.finish();
        self.outputs.push_back(Output::Failed(hindrance));
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.due = None;
        self.request = None;
    }

    fn envelope(&self, kind: Kind, payload: &impl Message, code: Option<&Code>) -> Envelope {
        let who = &self.who;
        let hash = code.map(|code| code.hash(&who.fqdn));
        let payload = payload.encode_to_vec();
        seal_envelope(
            kind,
            &who.fqdn,
            0,
            payload,
            &who.password,
            hash.as_ref(),
            Some(&who.identity),
        )
    }
}

#[cfg(test)]
#[path = "enrolment_tests.rs"]
mod tests;
