//! Source document 001, figure 12: who may register, and what everybody else is told.

use super::world::{DOMAIN, PUBLIC};
use super::*;
use crate::core::state::Standing;
use kith_protocol::member::{ConfirmAck, RegisterAck};

const LAPTOP: &str = "laptop.acme.example";

fn begin(world: &mut World, agent: &Agent) -> RegisterAck {
    match world.call(agent.from, Call::Register, agent.register()) {
        Answer::Register(ack) => ack,
        other => panic!("{:?}", refused(other)),
    }
}

fn confirm(world: &mut World, agent: &Agent, code: &str) -> Answer {
    world.call(agent.from, Call::Confirm, agent.confirm(code))
}

/// A code that is not the right one.
fn wrong(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &code[..8])
}

#[test]
fn a_device_with_password_and_code_gets_its_registration_file() {
    let mut world = World::new();
    let mut agent = world.invite(LAPTOP);
    let ack = begin(&mut world, &agent);
    assert_eq!(
        (ack.time_to_live_s, ack.code_sent_to.as_str()),
        (600, "l…@mail.example")
    );
    assert_eq!(world.member(&agent).state_word(), "registering");
    assert_eq!(world.mails.last().unwrap().1.to, "laptop@mail.example");
    let code = world.code();
    let Answer::Confirm(sealed) = confirm(&mut world, &agent, &code) else {
        panic!("refused")
    };
    agent.take(&ack, &sealed);
    let file = agent.file.as_ref().unwrap();
    assert_eq!(
        (file.fqdn.as_str(), file.community.as_str(), file.member_id),
        (LAPTOP, DOMAIN, agent.id.0)
    );
    assert_eq!(file.managers[0].host, "manager.acme.example");
    assert_eq!(world.member(&agent).state_word(), "registered");
    let kinds: Vec<&str> = world.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["member.registering", "member.registered"]);
}

#[test]
fn abnormal_unknown_and_forged_requests_are_dropped_alike() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    let good = agent.register();
    let try_with = |world: &mut World, change: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        dropped(world.call(PUBLIC, Call::Register, envelope))
    };
    use DropCause::*;
    assert_eq!(
        try_with(&mut world, &|e| e.fqdn = "Laptop.acme.example".into()),
        Abnormal
    );
    assert_eq!(
        try_with(&mut world, &|e| e.fqdn =
            format!("{}.acme.example", "a".repeat(300))),
        Abnormal
    );
    assert_eq!(try_with(&mut world, &|e| e.authenticator.truncate(31)), Abnormal);
    assert_eq!(try_with(&mut world, &|e| e.payload = vec![0; 9000]), Abnormal);
    assert_eq!(
        try_with(&mut world, &|e| e.fqdn = "nobody.acme.example".into()),
        Unknown
    );
    assert_eq!(
        try_with(&mut world, &|e| e.fqdn = "laptop.other.example".into()),
        Unknown
    );
    assert_eq!(try_with(&mut world, &|e| e.payload[3] ^= 1), NotAuthentic);
    assert_eq!(try_with(&mut world, &|e| e.authenticator[0] ^= 1), NotAuthentic);
    assert_eq!(try_with(&mut world, &|e| e.token_timestamp = 1), NotAuthentic);
    assert_eq!(try_with(&mut world, &|e| e.signature[0] ^= 1), BadSignature);
    assert_eq!(try_with(&mut world, &|e| e.signature.clear()), BadSignature);
    // A request of one kind is none of another.
    assert_eq!(dropped(world.call(PUBLIC, Call::Init, good.clone())), Unknown);
    assert_eq!(
        dropped(world.call(PUBLIC, Call::Confirm, good.clone())),
        NotAuthentic
    );
    assert_eq!(world.member(&agent).state_word(), "not-registered");
    assert!(world.mails.is_empty());
    assert_eq!(world.manager.counts().get("register", "dropped_not_authentic"), 3);
}

#[test]
fn of_a_hundred_devices_that_redeem_one_password_at_once_exactly_one_registers() {
    let mut world = World::new();
    let invited = world.invite(LAPTOP);
    let mut devices: Vec<Agent> = (0..100)
        .map(|number| invited.other_device(1000 + number))
        .collect();
    // The disk is slow: all of them come before the first has been written.
    world.quick_disk = false;
    let tokens: Vec<Token> = devices
        .iter()
        .map(|device| world.send(device.from, Call::Register, device.register()))
        .collect();
    assert!(
        world.answers.is_empty(),
        "nobody is answered before the disk has it"
    );
    while !world.commits.is_empty() {
        world.commit();
        world.settle();
    }
    world.quick_disk = true;
    let answers: Vec<Answer> = tokens
        .iter()
        .map(|token| world.answers.remove(token).unwrap())
        .collect();
    let winners: Vec<usize> = (0..100).filter(|at| granted(&answers[*at])).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(world.mails.len(), 1);
    let code = world.code();
    for (at, answer) in answers.into_iter().enumerate() {
        let device = &mut devices[at];
        let confirmed = confirm(&mut world, device, &code);
        match (answer, confirmed) {
            (Answer::Register(ack), Answer::Confirm(sealed)) => device.take(&ack, &sealed),
            (register, confirm) => {
                assert_eq!(refused(register).0, Code::AlreadyRegistered);
                assert_eq!(dropped(confirm), DropCause::BadSignature);
            }
        }
    }
    assert_eq!(devices.iter().filter(|device| device.file.is_some()).count(), 1);
}

#[test]
fn of_a_hundred_redemptions_of_one_code_exactly_one_makes_a_key() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    begin(&mut world, &agent);
    let code = world.code();
    world.quick_disk = false;
    let tokens: Vec<Token> = (0..100)
        .map(|_| world.send(agent.from, Call::Confirm, agent.confirm(&code)))
        .collect();
    while !world.commits.is_empty() {
        world.commit();
        world.settle();
    }
    let sealed: Vec<ConfirmAck> = tokens
        .iter()
        .map(|token| match world.answers.remove(token) {
            Some(Answer::Confirm(sealed)) => sealed,
            _ => panic!("the same request gets the same answer"),
        })
        .collect();
    assert!(sealed.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(world.manager.counts().get("confirm", "granted"), 100);
    assert_eq!(
        world
            .events
            .iter()
            .filter(|event| event.kind == "member.registered")
            .count(),
        1
    );
}

#[test]
fn a_registered_name_is_refused_to_every_device() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let (code, refusal) = refused(world.call(agent.from, Call::Register, agent.register()));
    assert_eq!(code, Code::AlreadyRegistered);
    assert!(refusal.reason.contains("this device has registered"));
    let other = agent.other_device(5);
    let (code, refusal) = refused(world.call(other.from, Call::Register, other.register()));
    assert_eq!(code, Code::AlreadyRegistered);
    assert!(refusal.reason.contains("another device"));
}

#[test]
fn a_request_repeated_after_a_restart_stays_of_its_agreement() {
    let mut world = World::new();
    let mut agent = world.invite(LAPTOP);
    let first = begin(&mut world, &agent);
    world.restart();
    // Its copy comes late, say: the device goes by the first answer, and another letter is all that it notices.
    let second = begin(&mut world, &agent);
    assert_eq!(first.key_share, second.key_share);
    let code = world.code();
    let Answer::Confirm(sealed) = confirm(&mut world, &agent, &code) else {
        panic!("refused")
    };
    agent.take(&first, &sealed);
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut world = World::new();
    let mut agent = world.invite(LAPTOP);
    let first = begin(&mut world, &agent);
    world.pass(1000);
    let second = begin(&mut world, &agent);
    assert_eq!(
        (&first.key_share, world.mails.len()),
        (&second.key_share, 1),
        "no second code"
    );
    let code = world.code();
    let Answer::Confirm(sealed) = confirm(&mut world, &agent, &code) else {
        panic!("refused")
    };
    world.pass(9 * 60_000);
    world.restart();
    let Answer::Confirm(again) = confirm(&mut world, &agent, &code) else {
        panic!("refused")
    };
    assert_eq!(sealed, again);
    agent.take(&first, &again);
    world.pass(60_000);
    let late = confirm(&mut world, &agent, &code);
    assert_eq!(refused(late).0, Code::NotRegistering);
    assert!(
        world.member(&agent).confirmed.is_none(),
        "the file is not kept for ever"
    );
}

#[test]
fn the_same_device_may_begin_anew_and_gets_a_new_code_every_half_minute() {
    let mut world = World::new();
    let mut agent = world.invite(LAPTOP);
    let first = begin(&mut world, &agent);
    let first_code = world.code();
    // The agent restarts: another key share, but the code that was sent stays good.
    agent.share = kith_protocol::share::KeyShare::from_private(world.secret());
    let ack = begin(&mut world, &agent);
    assert_ne!(first.key_share, ack.key_share, "another agreement");
    assert_eq!(world.mails.len(), 1);
    world.pass(30_000);
    let renewed = begin(&mut world, &agent);
    assert_eq!(world.mails.len(), 2);
    assert_eq!(renewed.time_to_live_s, 570, "a new code gives no more time");
    assert_eq!(ack.key_share, renewed.key_share, "another code for the same one");
    let old = confirm(&mut world, &agent, &first_code);
    assert_eq!(refused(old).1.attempts_left, 4);
    let code = world.code();
    let Answer::Confirm(sealed) = confirm(&mut world, &agent, &code) else {
        panic!("refused")
    };
    agent.take(&renewed, &sealed);
}

#[test]
fn five_wrong_codes_end_the_registration_and_three_registrations_the_password() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    for _ in 0..3 {
        begin(&mut world, &agent);
        let code = world.code();
        for left in (0..5).rev() {
            let (why, refusal) = refused(confirm(&mut world, &agent, &wrong(&code)));
            assert_eq!((why, refusal.attempts_left), (Code::WrongCode, left));
        }
        assert_eq!(world.member(&agent).standing, Standing::NotRegistered);
        let late = confirm(&mut world, &agent, &code);
        assert_eq!(
            refused(late).0,
            Code::NotRegistering,
            "the right one does not help any more"
        );
        world.pass(60_000);
    }
    let (code, refusal) = refused(world.call(agent.from, Call::Register, agent.register()));
    assert_eq!(code, Code::Expired);
    assert!(refusal.reason.contains("ask for a new one"));
}

#[test]
fn a_new_code_gives_no_new_attempts() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    begin(&mut world, &agent);
    for left in (1..5).rev() {
        let code = world.code();
        assert_eq!(
            refused(confirm(&mut world, &agent, &wrong(&code)))
                .1
                .attempts_left,
            left
        );
        world.pass(31_000);
        begin(&mut world, &agent);
    }
    let code = world.code();
    assert_eq!(
        refused(confirm(&mut world, &agent, &wrong(&code)))
            .1
            .attempts_left,
        0
    );
}

#[test]
fn a_stranger_without_the_devices_key_uses_up_no_attempts() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    begin(&mut world, &agent);
    let code = world.code();
    let thief = agent.other_device(9);
    for _ in 0..20 {
        assert_eq!(
            dropped(confirm(&mut world, &thief, &wrong(&code))),
            DropCause::BadSignature
        );
    }
    assert!(granted(&confirm(&mut world, &agent, &code)));
}

#[test]
fn phase_two_without_phase_one_or_too_late_is_refused() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    assert_eq!(
        dropped(confirm(&mut world, &agent, "1234-5678")),
        DropCause::NotAuthentic
    );
    begin(&mut world, &agent);
    let code = world.code();
    world.pass(600_000);
    assert_eq!(
        world.member(&agent).state_word(),
        "not-registered",
        "without anybody asking"
    );
    let (why, refusal) = refused(confirm(&mut world, &agent, &code));
    assert_eq!(why, Code::NotRegistering);
    assert!(refusal.reason.contains("register again"));
    // And it can.
    begin(&mut world, &agent);
    let code = world.code();
    assert!(granted(&confirm(&mut world, &agent, &code)));
}

#[test]
fn an_old_invitation_is_refused_by_name() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    world.pass(3_600_000);
    assert_eq!(
        refused(world.call(agent.from, Call::Register, agent.register())).0,
        Code::Expired
    );
}

#[test]
fn a_mail_that_cannot_be_sent_undoes_the_registration() {
    let mut world = World::new();
    let mut agent = world.invite(LAPTOP);
    world.quick_mail = false;
    for attempt in 0..5 {
        let token = world.send(agent.from, Call::Register, agent.register());
        assert!(world.answers.is_empty(), "the answer waits for the mail");
        if attempt == 0 {
            // The mail server does not answer at all.
            world.pass(30_000);
        } else {
            let (id, _) = world.mails.pop().unwrap();
            let result = Err("no such mailbox".to_owned());
            world.input(Input::Mail { id, result });
        }
        assert_eq!(refused(world.answers.remove(&token).unwrap()).0, Code::MailFailed);
        assert_eq!(world.member(&agent).standing, Standing::NotRegistered);
        world.pass(10_000);
    }
    assert!(world.events.iter().any(|event| event.kind == "mail.failed"));
    world.quick_mail = true;
    agent.enroll(&mut world);
}

#[test]
fn a_member_without_a_mail_address_is_told_to_ask() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    world.manager.state_mut().member_mut(agent.id).unwrap().email = Box::default();
    let (code, refusal) = refused(world.call(agent.from, Call::Register, agent.register()));
    assert_eq!(code, Code::MailFailed);
    assert!(refusal.reason.contains("ask the operator"));
}

#[test]
fn a_revoked_member_is_told_so() {
    let mut world = World::new();
    let agent = world.invite(LAPTOP);
    assert!(world.revoke(LAPTOP, "left the company").is_ok());
    let (code, refusal) = refused(world.call(agent.from, Call::Register, agent.register()));
    assert_eq!(code, Code::Revoked);
    assert!(refusal.reason.ends_with("left the company"));
}

#[test]
fn a_flood_of_registrations_is_refused_and_harms_no_other_source() {
    let mut world = World::new();
    let (agent, other) = (world.invite(LAPTOP), world.invite("phone.acme.example"));
    let mut busy = 0;
    for _ in 0..3000 {
        match world.call(agent.from, Call::Register, agent.other_device(3).register()) {
            Answer::Refused(refusal) if refusal.code() == Code::Busy => {
                assert!(refusal.retry_after_ms > 0);
                busy += 1;
            }
            _ => {}
        }
    }
    assert!(busy > 900, "{busy}");
    assert_ne!(agent.from, other.from);
    begin(&mut world, &other);
}
