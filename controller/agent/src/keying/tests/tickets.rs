//! IKE with tickets: who gets in, who does not, and what is left of either.

use super::world::{NAMES, PEER, World, psk};
use super::{MS, S};
use crate::config::Secret;
use crate::keying::{Event, Home, KeyAgreement, Known, Method, PairSecret};
use kith_esp::Limits;
use kith_ike::codec::{Body, NotifyKind, Payload};
use kith_protocol::authenticator::TicketKey;
use kith_protocol::member::Location;
use kith_protocol::secret::Secret32;
use kith_protocol::ticket::{self, TicketBody};
use std::net::Ipv4Addr;
use std::sync::Arc;

const HOUR: u64 = 3_600_000;
/// By the wall clock of [`World::now`].
const START: u64 = 1_700_000_001_000;
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];

fn key(of: u8) -> TicketKey {
    TicketKey::from_secret(Secret32::new([of; 32]))
}

/// Alice's ticket for Bob.
fn sealed(change: impl FnOnce(&mut TicketBody)) -> Vec<u8> {
    sealed_under(0xb0, change)
}

fn sealed_under(ticket_key: u8, change: impl FnOnce(&mut TicketBody)) -> Vec<u8> {
    let mut body = TicketBody {
        sequence: START * 1000,
        issued_ms: START,
        expires_ms: START + HOUR,
        shared_key: Secret32::new(*psk().expose()),
        target_virtual: ADDRESSES[1],
        initiator_virtual: ADDRESSES[0],
        initiator_location: Location {
            director: 0,
            director_port: 0,
            address: u32::from_be_bytes([203, 0, 113, 7]),
            port: 20202,
        },
        initiator_private: Ipv4Addr::UNSPECIFIED,
        initiator_subnet: 24,
        initiator: NAMES[0].into(),
        target: NAMES[1].into(),
    };
    change(&mut body);
    ticket::seal(&key(ticket_key), &body, &mut |out| out.fill(5)).unwrap()
}

/// Alice knows Bob and has this ticket and secret; Bob knows nobody, and opens tickets.
fn strangers(seed: u64, ticket: Vec<u8>, secret: Secret) -> World {
    let mut world = World::new(Method::Ike, seed);
    give(&mut world, ticket, secret);
    world.forget(1);
    open(&mut world);
    world
}

fn open(world: &mut World) {
    let door = world.nodes[1].agreement.door();
    door.set_home(Some(Home {
        fqdn: NAMES[1].into(),
        address: ADDRESSES[1],
        clock_offset_ms: 0,
    }));
    door.set_key(Some(key(0xb0)));
}

fn give(world: &mut World, ticket: Vec<u8>, secret: Secret) {
    let now = world.now(0);
    world.nodes[0].ticket.clone_from(&ticket);
    let known = Known {
        address: ADDRESSES[1],
        name: NAMES[1].into(),
        secret: Arc::new(PairSecret::new(secret)),
        ticket,
    };
    world.nodes[0].agreement.add(now, PEER, known);
}

fn renew(world: &mut World, ticket: Vec<u8>, secret: Secret) {
    let now = world.now(0);
    let with = (Arc::new(PairSecret::new(secret)), Some(ticket));
    world.nodes[0].agreement.renew(now, PEER, with, true);
    world.act(0);
}

/// The messages of IKE on a tape.
fn ike(tape: &[(usize, Vec<u8>)]) -> impl Iterator<Item = (usize, &[u8])> {
    let messages = tape.iter().filter(|(_, octets)| octets[29] == 17);
    messages.map(|(from, octets)| (*from, &octets[48..]))
}

#[test]
fn the_first_message_carries_the_ticket_and_the_stranger_is_let_in_when_it_has_proved_itself() {
    let mut world = strangers(1, sealed(|_| {}), psk());
    world.tape = Some(Vec::new());
    world.send(0);
    world.run(MS);
    {
        let tape = world.tape.as_ref().unwrap();
        let (_, first) = ike(tape).next().unwrap();
        let Body::Clear(payloads) = kith_ike::codec::parse(first).unwrap().body else {
            panic!("sealed");
        };
        let is_ticket = |payload: &&Payload| matches!(payload, Payload::Notify(notify) if notify.kind == NotifyKind::KITH_TICKET);
        assert_eq!(payloads.iter().filter(is_ticket).count(), 1);
    }
    // IKE_SA_INIT and the additional key exchange prove nothing.
    world.run(14 * MS);
    assert_eq!(world.nodes[1].introduced, 0);
    world.run(30 * MS);
    assert_eq!(world.nodes[1].introduced, 1);
    assert!(world.up());
    assert_eq!((world.lost(), world.nodes[1].refused.len()), (0, 0));
    world.send(1);
    world.run(20 * MS);
    assert_eq!(world.lost(), 0);
    let views = [0, 1].map(|which| world.nodes[which].agreement.view(PEER));
    assert!(views.iter().all(|view| view.method == Some(Method::Ike)));
    let suites = views
        .each_ref()
        .map(|view| view.tunnel.as_ref().map(|tunnel| tunnel.suite));
    assert!(suites[0].is_some() && suites[0] == suites[1]);
}

#[test]
fn bad_tickets_are_refused_by_name_and_leave_nothing() {
    let mut altered = sealed(|_| {});
    altered[60] ^= 1;
    let bad = [
        ("ticket_altered", altered),
        ("ticket_foreign", sealed_under(0xc0, |_| {})),
        ("ticket_malformed", b"KTK1".to_vec()),
        ("ticket_missing", Vec::new()),
        (
            "ticket_expired",
            sealed(|body| (body.issued_ms, body.expires_ms) = (START - 2 * HOUR, START - HOUR)),
        ),
        (
            "ticket_not_yet",
            sealed(|body| (body.issued_ms, body.expires_ms) = (START + HOUR, START + 2 * HOUR)),
        ),
        (
            "ticket_wrong_target",
            sealed(|body| body.target_virtual = [10, 77, 0, 9].into()),
        ),
        (
            "ticket_not_theirs",
            sealed(|body| body.initiator_virtual = [10, 77, 0, 9].into()),
        ),
    ];
    for (name, ticket) in bad {
        let mut world = strangers(2, ticket, psk());
        world.send(0);
        world.run(10 * MS);
        assert_eq!(world.nodes[1].refused, [name]);
        assert_eq!(
            (world.nodes[1].messages, world.nodes[1].introduced),
            (0, 0),
            "{name}"
        );
        // Nothing is left that time could do anything with.
        assert_eq!(world.nodes[1].agreement.deadline(), None, "{name}");
    }
}

#[test]
fn somebody_with_another_name_than_the_tickets_is_refused_when_it_says_so() {
    let mut world = strangers(
        3,
        sealed(|body| body.initiator = "carol.acme.example".into()),
        psk(),
    );
    world.send(0);
    world.run(100 * MS);
    assert_eq!(world.nodes[1].refused, ["ticket_not_theirs"]);
    assert_eq!(world.nodes[1].introduced, 0);
    assert_eq!(world.nodes[0].gave_up, 1);
}

#[test]
fn an_overheard_ticket_gets_nobody_in_and_keeps_nobody_out() {
    // Mallory has the ticket and Alice's address, but not the secret.
    let mut world = strangers(4, sealed(|_| {}), Secret::new([9; 32]));
    for _ in 0..40 {
        world.send(0);
        world.run(S);
        world.restart(0, 0);
        give(&mut world, sealed(|_| {}), Secret::new([9; 32]));
    }
    assert_eq!(world.nodes[1].introduced, 0);
    assert!(!world.nodes[1].refused.is_empty());
    assert!(
        world.nodes[1]
            .refused
            .iter()
            .all(|name| *name == "ike_not_authentic")
    );
    // Handshakes begun and left are more than are kept without a cookie.
    let mut world = strangers(5, sealed(|_| {}), psk());
    world.tape = Some(Vec::new());
    for _ in 0..100 {
        world.send(0);
        world.restart(0, 0);
        give(&mut world, sealed(|_| {}), psk());
    }
    world.run(S);
    let (before, answered) = (world.nodes[1].introduced, world.nodes[1].messages);
    assert_eq!((before, answered), (0, 100), "an answer or a cookie each");
    world.send(0);
    world.run(S);
    assert_eq!(world.nodes[1].introduced, 1, "the honest one");
    assert!(world.up());
}

#[test]
fn a_ticket_that_a_newer_one_replaced_is_a_replay() {
    let mut world = strangers(6, sealed(|body| body.sequence += 10), psk());
    world.send(0);
    world.run(S);
    assert!(world.up());
    world.forget(1);
    world.restart(0, 0);
    give(&mut world, sealed(|_| {}), psk());
    world.run(30 * S);
    world.send(0);
    world.run(S);
    assert_eq!(world.nodes[1].refused.last(), Some(&"ticket_replayed"));
    assert_eq!(world.nodes[1].introduced, 1);
}

#[test]
fn who_was_killed_and_knows_nobody_any_more_is_found_out_by_its_silence() {
    // Soon after the handshake, and long after it.
    for (age, patience) in [(3 * S, 20 * S), (60 * S, 20 * S)] {
        let mut world = strangers(11, sealed(|_| {}), psk());
        for _ in 0..age / S {
            world.send(0);
            world.send(1);
            world.run(S);
        }
        assert_eq!(world.lost(), 0);
        world.restart(1, 0);
        world.forget(1);
        open(&mut world);
        let killed = world.micros;
        while world.nodes[1].received == 0 {
            world.send(0);
            world.run(100 * MS);
            assert!(world.micros < killed + patience, "killed after {age} us");
        }
        eprintln!(
            "killed after {} s: {} ms without traffic",
            age / S,
            (world.micros - killed) / MS
        );
        let before = world.nodes[0].received;
        world.send(1);
        world.run(100 * MS);
        assert_eq!(
            (world.nodes[0].received, world.nodes[1].introduced),
            (before + 1, 1)
        );
    }
}

#[test]
fn a_managers_renewal_keeps_the_keys_and_the_next_handshake_is_under_the_new_secret() {
    let mut world = strangers(7, sealed(|_| {}), psk());
    world.send(0);
    world.run(S);
    let new = || Secret::new([7; 32]);
    let newer = sealed(|body| {
        body.sequence += 10;
        body.shared_key = Secret32::new([7; 32]);
    });
    renew(&mut world, newer.clone(), new());
    world.send(0);
    world.send(1);
    world.run(S);
    assert_eq!(world.nodes[0].agreement.view(PEER).agreements, 1, "keys stay");
    assert_eq!(world.lost(), 0);
    world.run(30 * S);
    world.restart(0, 0);
    give(&mut world, newer, new());
    world.send(0);
    world.run(S);
    assert!(world.up());
    assert!(world.nodes[1].refused.is_empty(), "{:?}", world.nodes[1].refused);
    // Bob has learnt it, and proves himself with it.
    world.run(30 * S);
    let ticket = Vec::new();
    world.restart(0, 0);
    give(&mut world, ticket, new());
    world.send(1);
    world.run(S);
    world.send(1);
    world.run(S);
    assert!(world.up());
}

#[test]
fn a_handshake_under_an_old_secret_is_begun_again_under_the_new_one() {
    let mut world = strangers(8, sealed_under(0xc0, |_| {}), psk());
    world.send(0);
    world.run(S);
    assert!(world.nodes[0].agreement.view(PEER).agreeing && !world.up());
    renew(&mut world, sealed(|_| {}), psk());
    world.run(100 * MS);
    assert!(world.up());
    assert_eq!(world.lost(), 0);
}

#[test]
fn a_reply_that_is_quicker_than_the_keys_does_not_begin_the_other_method() {
    for (first, by) in [(0, Method::Ike), (1, Method::Ticket)] {
        let mut world = World::mixed([Method::Ike, Method::Ticket], 11, Limits::default());
        world.send(first);
        // From when the answerer has keys to open with, until well after it has those to seal with.
        for _ in 0..40 {
            world.run(MS);
            let now = world.now(1 - first);
            let answerer = &mut world.nodes[1 - first].agreement;
            if answerer.view(PEER).inbound.is_some() {
                answerer.event(now, PEER, Event::KeysNeeded);
                world.act(1 - first);
            }
        }
        world.run(5 * S);
        for node in &world.nodes {
            let view = node.agreement.view(PEER);
            assert_eq!((view.method, view.agreements), (Some(by), 1));
        }
    }
}

#[test]
fn who_begins_with_one_method_is_answered_by_who_begins_with_the_other() {
    for (first, by) in [(0, Method::Ike), (1, Method::Ticket)] {
        let mut world = World::mixed([Method::Ike, Method::Ticket], 9, Limits::default());
        world.send(first);
        world.run(S);
        assert!(world.up());
        for which in 0..2 {
            assert_eq!(world.nodes[which].agreement.view(PEER).method, Some(by));
        }
        // Rekeying stays with the method in use.
        for step in 0..600 {
            world.send(step % 2);
            world.run(S / 2);
        }
        assert_eq!(world.lost(), 0);
        assert!(
            world
                .nodes
                .iter()
                .all(|node| node.agreement.view(PEER).agreements >= 3)
        );
        for which in 0..2 {
            assert_eq!(world.nodes[which].agreement.view(PEER).method, Some(by));
        }
    }
    // Both at once.
    let mut world = World::mixed([Method::Ike, Method::Ticket], 10, Limits::default());
    world.send(0);
    world.send(1);
    world.run(5 * S);
    for step in 0..20 {
        world.send(step % 2);
        world.run(S);
    }
    assert_eq!(world.lost(), 0);
}
