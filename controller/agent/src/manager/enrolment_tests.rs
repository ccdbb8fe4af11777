//! Enrolments against a manager that checks everything.

use super::super::fake::{self, CODE, FQDN, Fake};
use super::*;
use kith_protocol::member::refusal::Code as Why;

struct World {
    now: u64,
    machine: Enrolment,
    manager: Fake,
    /// Answers that do not come, from now on.
    lose: u32,
    asked: Vec<AskCode>,
    end: Option<Result<RegistrationFile, Hindrance>>,
}

fn moment(millis: u64) -> Moment {
    Moment {
        micros: millis * 1_000,
        wall_nanos: millis * 1_000_000,
    }
}

impl World {
    fn new() -> Self {
        Self::with_password(fake::password())
    }

    fn with_password(password: PasswordKey) -> Self {
        let who = Candidate {
            manager: Manager {
                host: "manager.example".into(),
                port: 443,
                fingerprint: [1; 32],
            },
            fqdn: FQDN.into(),
            password,
            identity: fake::identity(),
            platform: "test".into(),
            program: "kith-agent test".into(),
        };
        Self {
            now: 1_000,
            machine: Enrolment::new(moment(1_000), who, fake::entropy(1)),
            manager: Fake::new(),
            lose: 0,
            asked: Vec::new(),
            end: None,
        }
    }

    /// Lets time pass until the user is asked, or it is over.
    fn run(&mut self) {
        let asked = self.asked.len();
        for _ in 0..1_000 {
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Request(request) => {
                        let result = self.manager.call(self.now, request.call, &request.envelope);
                        if self.lose > 0 {
                            self.lose -= 1;
                        } else {
                            self.machine.input(
                                moment(self.now),
                                Input::Answer {
                                    id: request.id,
                                    result,
                                },
                            );
                        }
                    }
                    Output::AskCode(ask) => self.asked.push(ask),
                    Output::Retrying(_) => {}
                    Output::Registered(file) => self.end = Some(Ok(*file)),
                    Output::Failed(why) => self.end = Some(Err(why)),
                }
            }
            if self.asked.len() > asked || self.end.is_some() {
                return;
            }
            self.now = self.machine.deadline().expect("something is due").0.max(self.now);
            self.machine.tick(moment(self.now));
        }
        panic!("neither asked nor over");
    }

    fn type_code(&mut self, code: &str) {
        self.machine.input(moment(self.now), Input::Code(code.into()));
        self.run();
    }

    fn hindrance(&self) -> &Hindrance {
        self.end.as_ref().unwrap().as_ref().err().unwrap()
    }
}

#[test]
fn an_invitation_and_the_code_give_the_registration_file() {
    let mut world = World::new();
    world.run();
    assert_eq!(
        (world.asked[0].sent_to.as_str(), world.asked[0].seconds_left),
        ("a…@acme.example", 600)
    );
    world.type_code(CODE);
    let file = world.end.unwrap().unwrap();
    assert_eq!((file.fqdn.as_str(), file.token_key), (FQDN, vec![5; 32]));
    assert_eq!(world.manager.calls, [Call::Register, Call::Confirm]);
}

#[test]
fn a_code_may_be_typed_without_its_dash_and_one_that_is_none_costs_no_attempt() {
    let mut world = World::new();
    world.run();
    world.type_code("the code is 12");
    assert_eq!(world.asked[1].wrong, Some(Wrong::Malformed));
    assert_eq!(world.manager.count(Call::Confirm), 0);
    world.type_code(" 12345678\n");
    assert!(world.end.unwrap().is_ok());
}

#[test]
fn a_wrong_code_may_be_corrected_until_no_tries_are_left() {
    let mut world = World::new();
    world.run();
    for left in (1..5).rev() {
        world.type_code("8765-4321");
        assert_eq!(
            world.asked.last().unwrap().wrong,
            Some(Wrong::NotThatOne { left })
        );
    }
    world.type_code("8765-4321");
    assert_eq!(world.hindrance(), &Hindrance::WrongCodes);
}

#[test]
fn a_code_that_comes_too_late_is_replaced_by_a_new_one() {
    let mut world = World::new();
    world.run();
    world.manager.forget_registration();
    world.type_code(CODE);
    assert_eq!(world.asked[1].wrong, Some(Wrong::TooLate));
    world.type_code(CODE);
    assert!(world.end.unwrap().is_ok());
    assert_eq!(world.manager.count(Call::Register), 2);
}

#[test]
fn lost_answers_are_asked_for_again() {
    let mut world = World::new();
    world.lose = 2;
    world.run();
    world.lose = 3;
    world.type_code(CODE);
    assert!(world.end.unwrap().is_ok());
    assert_eq!(
        (
            world.manager.count(Call::Register),
            world.manager.count(Call::Confirm)
        ),
        (3, 4)
    );
}

#[test]
fn a_manager_that_never_answers_is_named() {
    let mut world = World::new();
    world.lose = u32::MAX;
    world.run();
    let words = world.hindrance().to_string();
    assert!(
        words.contains("manager.example:443") && words.contains("TCP port 443"),
        "{words}"
    );
}

#[test]
fn a_used_invitation_is_dropped_and_the_user_told_what_to_do() {
    let other = PasswordKey::derive(
        b"another",
        b"salt of sixteen!",
        kith_protocol::authenticator::Argon2Cost::SIMULATION,
    );
    let mut world = World::with_password(other.unwrap());
    world.run();
    assert_eq!(world.hindrance(), &Hindrance::Dropped);
    assert!(world.hindrance().to_string().contains("Ask for a new invitation"));
}

#[test]
fn an_acknowledgement_by_somebody_who_does_not_know_the_password_ends_it() {
    let mut world = World::new();
    while let Some(output) = world.machine.poll() {
        let Output::Request(request) = output else {
            continue;
        };
        let Ok(Answer::Register(mut answer)) = world.manager.call(0, request.call, &request.envelope) else {
            panic!("acknowledged");
        };
        if let Some(register_answer::Answer::Ack(ack)) = &mut answer.answer {
            ack.key_share[0] ^= 1;
        }
        let result = Ok(Answer::Register(answer));
        world.machine.input(
            moment(1_001),
            Input::Answer {
                id: request.id,
                result,
            },
        );
    }
    assert!(world.asked.is_empty() && world.machine.deadline().is_none());
}

#[test]
fn final_refusals_are_told_in_words_and_busy_ones_wait() {
    for (why, words) in [
        (Why::AlreadyRegistered, "another device"),
        (Why::Revoked, "revoked"),
        (Why::MailFailed, "mail"),
    ] {
        let mut world = World::new();
        world.manager.refuse.insert(Call::Register, fake::refusal(why));
        world.run();
        assert!(
            world.hindrance().to_string().contains(words),
            "{}",
            world.hindrance()
        );
    }
    let mut world = World::new();
    let busy = kith_protocol::member::Refusal {
        retry_after_ms: 20_000,
        ..fake::refusal(Why::Busy)
    };
    world.manager.refuse.insert(Call::Register, busy);
    while let Some(Output::Request(request)) = world.machine.poll() {
        let result = world.manager.call(0, request.call, &request.envelope);
        world.machine.input(
            moment(1_000),
            Input::Answer {
                id: request.id,
                result,
            },
        );
    }
    assert_eq!(world.machine.deadline(), Some(Millis(21_000)));
    world.manager.refuse.clear();
    world.now = 21_000;
    world.machine.tick(moment(21_000));
    world.run();
    assert_eq!(world.asked.len(), 1);
}
