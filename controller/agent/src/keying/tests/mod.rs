//! Key agreement as members live it, on good networks and bad ones.

mod nonces;
mod tickets;
mod world;

use super::{Event, KeyAgreement, Method, Whereabouts, message};
use crate::envelope;
use kith_esp::{Bounds, Limits, Millis};
use kith_pipeline::reason::DropReason;
use kith_wire::shim::{DataType, Shim};
use proptest::prelude::*;
use world::{PEER, World};

const MS: u64 = 1_000;
const S: u64 = 1_000_000;

/// Behaviour that does not depend on the method is tested by both.
macro_rules! by_both_methods {
    ($($test:ident),* $(,)?) => {
        mod by_ike {
            $(#[test] fn $test() { super::$test(super::Method::Ike) })*
        }
        mod by_exchange {
            $(#[test] fn $test() { super::$test(super::Method::Ticket) })*
        }
    };
}

by_both_methods!(
    both_at_once_converge_and_lose_nothing,
    a_thousand_rekeys_lose_no_packet,
    traffic_in_one_direction_is_rekeyed_by_whoever_sends,
    one_way_data_does_not_look_dead,
    a_restart_on_either_side_is_over_within_a_round_trip_of_the_next_packet,
    silence_after_data_starts_a_new_exchange,
    bad_networks_converge_and_never_repeat_a_nonce,
    a_move_is_told_to_whoever_has_keys,
    recorded_messages_played_again_change_nothing,
    stale_packets_start_one_exchange_a_second_at_most,
    a_pair_with_different_secrets_never_agrees,
    who_is_forgotten_has_no_keys_here_and_can_be_known_again,
);

/// Rekey at 2 s, stop at 5 s.
fn short() -> Limits {
    let (soft, hard) = (Limits::default().soft(), Limits::default().hard());
    let aged = |bounds: Bounds, age| Bounds {
        age: Millis(age),
        ..bounds
    };
    Limits::new(aged(soft, 2_000), aged(hard, 5_000)).unwrap()
}

#[test]
fn packets_that_waited_arrive_after_one_and_a_half_round_trips() {
    let mut world = World::new(Method::Ticket, 1);
    world.send(0);
    world.send(0);
    world.run(16 * MS);
    assert_eq!((world.nodes[1].received, world.lost()), (2, 0));
    assert!(world.up());
    assert_eq!(world.nodes[0].agreement.view(PEER).rtt_micros, Some(10_000));
    world.send(1);
    world.run(6 * MS);
    assert_eq!(world.lost(), 0);
}

#[test]
fn the_responder_sends_only_once_the_initiator_was_heard() {
    let mut world = World::new(Method::Ticket, 2);
    world.send(0);
    world.run(7 * MS);
    let view = world.nodes[1].agreement.view(PEER);
    assert!(view.inbound.is_some() && view.outbound.is_none(), "{view:?}");
    world.run(9 * MS);
    assert!(world.nodes[1].agreement.view(PEER).outbound.is_some());
}

fn both_at_once_converge_and_lose_nothing(method: Method) {
    for seed in 0..50 {
        let mut world = World::with_limits(method, seed, short());
        world.jitter = seed * 200;
        world.send(0);
        world.send(1);
        world.run(S);
        assert!(world.up());
        assert_eq!(world.lost(), 0, "seed {seed}");
        assert!(world.nodes.iter().all(|node| !node.agreement.view(PEER).agreeing));
    }
}

fn a_thousand_rekeys_lose_no_packet(method: Method) {
    let mut world = World::with_limits(method, 3, short());
    world.jitter = 3 * MS;
    let mut step = 0;
    while world.nodes[0].agreement.view(PEER).agreements < 1_001 {
        world.send(step % 2);
        world.run(50 * MS);
        step += 1;
        assert!(step < 200_000, "rekeying stopped");
    }
    world.run(S);
    assert_eq!(world.lost(), 0);
    // Each took about its soft lifetime: no storm of exchanges.
    assert!(world.micros > 1_000 * 1_900 * MS, "{} s", world.micros / S);
}

fn traffic_in_one_direction_is_rekeyed_by_whoever_sends(method: Method) {
    let mut world = World::with_limits(method, 4, short());
    world.send(0);
    world.run(100 * MS);
    // From here on only the responder of that exchange sends; it is the back-up, seconds later.
    let limits = Limits::default();
    assert!(
        limits.hard().age.0 > limits.soft().age.0 + 5_000,
        "the back-up comes before the end"
    );
    let mut world = World::new(method, 5);
    world.send(0);
    world.run(100 * MS);
    for _ in 0..260 {
        world.send(1);
        world.run(500 * MS);
    }
    assert_eq!(world.lost(), 0);
    assert_eq!(world.nodes[1].agreement.view(PEER).agreements, 2);
}

#[test]
fn an_idle_pair_is_left_alone() {
    let mut world = World::new(Method::Ticket, 6);
    world.send(0);
    world.send(1);
    world.run(S);
    let before: u64 = world.nodes.iter().map(|node| node.messages).sum();
    world.run(1_000 * S);
    assert_eq!(world.nodes.iter().map(|node| node.messages).sum::<u64>(), before);
    world.send(1);
    world.run(S);
    assert_eq!(world.lost(), 0, "keys that ended are replaced when needed");
}

fn one_way_data_does_not_look_dead(method: Method) {
    let mut world = World::new(method, 7);
    for _ in 0..100 {
        world.send(0);
        world.run(S);
    }
    assert_eq!(world.nodes[0].agreement.view(PEER).agreements, 1);
    assert_eq!(world.lost(), 0);
}

fn a_restart_on_either_side_is_over_within_a_round_trip_of_the_next_packet(method: Method) {
    for which in 0..2 {
        let mut world = World::new(method, 8);
        world.send(0);
        world.send(1);
        // A handshake of IKE that follows another one at once may have crossed it.
        world.run(4 * S);
        world.restart(which, 0);
        // The one that still runs does not know: its packet is lost, and tells the other.
        world.send(1 - which);
        world.run(60 * MS);
        let before = world.nodes[which].received;
        world.send(1 - which);
        world.send(which);
        world.run(20 * MS);
        assert_eq!(world.nodes[which].received, before + 1, "restart of {which}");
        assert_eq!(world.nodes[1 - which].received, 2);
    }
}

#[test]
fn a_wall_clock_that_went_back_over_a_restart_only_costs_seconds() {
    let mut world = World::new(Method::Ticket, 9);
    world.send(0);
    world.run(20 * S);
    world.restart(0, -3_600_000_000_000);
    world.send(0);
    world.run(10 * S);
    world.send(0);
    world.run(S);
    assert!(world.up());
    assert!(world.nodes[1].received >= 2, "{}", world.nodes[1].received);
}

fn silence_after_data_starts_a_new_exchange(method: Method) {
    let mut world = World::new(method, 10);
    world.send(0);
    world.run(S);
    world.loss = 100;
    world.send(0);
    world.run(14 * S);
    assert!(!world.nodes[0].agreement.view(PEER).agreeing);
    // IKE asks first, and an association is given 20 s to settle.
    let asking = if method == Method::Ike { 6 * S } else { 0 };
    world.run(2 * S + asking);
    assert!(world.nodes[0].agreement.view(PEER).agreeing);
    world.run(30 * S);
    assert_eq!(world.nodes[0].gave_up, 1);
}

fn bad_networks_converge_and_never_repeat_a_nonce(method: Method) {
    for seed in 0..60 {
        let mut world = World::with_limits(method, seed, short());
        (world.loss, world.duplicates, world.jitter) = (30, 10, 400 * MS);
        for step in 0..400u64 {
            if step == 200 {
                world.restart((seed % 2) as usize, 0);
            }
            world.send((step % 2) as usize);
            world.run(100 * MS);
        }
        (world.loss, world.duplicates, world.jitter) = (0, 0, 0);
        for step in 0..100 {
            world.send(step % 2);
            world.run(100 * MS);
        }
        assert!(world.up(), "seed {seed}");
        for node in &mut world.nodes {
            (node.sent, node.received) = (0, 0);
        }
        for step in 0..20 {
            world.send(step % 2);
            world.run(100 * MS);
        }
        assert_eq!(world.lost(), 0, "seed {seed}");
    }
}

fn a_move_is_told_to_whoever_has_keys(method: Method) {
    let mut world = World::new(method, 11);
    world.send(0);
    world.run(S);
    let there = Whereabouts::Director {
        director: "203.0.113.10:20202".parse().unwrap(),
        pseudo: "240.0.0.9".parse().unwrap(),
    };
    let now = world.now(0);
    world.nodes[0].agreement.moved(now, Some(there));
    world.act(0);
    world.run(S);
    assert_eq!(world.nodes[1].moved, [there]);
    assert!(world.nodes[0].moved.is_empty());
}

fn recorded_messages_played_again_change_nothing(method: Method) {
    let mut world = World::new(method, 12);
    world.tape = Some(Vec::new());
    world.send(0);
    world.send(1);
    world.run(20 * S);
    let tape = world.tape.take().unwrap();
    let before = [0, 1].map(|which| world.nodes[which].agreement.view(PEER));
    for _ in 0..3 {
        for (from, bytes) in &tape {
            world.transmit(*from, bytes.clone());
        }
        world.run(10 * MS);
    }
    let after = [0, 1].map(|which| world.nodes[which].agreement.view(PEER));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.outbound, before.inbound), (after.outbound, after.inbound));
    }
    assert_eq!(world.lost(), 0);
}

#[test]
fn an_old_initiation_after_a_restart_moves_no_traffic() {
    let mut world = World::new(Method::Ticket, 13);
    world.tape = Some(Vec::new());
    world.send(0);
    world.run(S);
    let tape = world.tape.take().unwrap();
    world.restart(1, 0);
    // The first thing that the new process hears is a recording.
    world.transmit(0, tape[0].1.clone());
    world.run(S);
    assert_eq!(world.nodes[1].agreement.view(PEER).outbound, None);
    world.send(0);
    world.run(50 * MS);
    world.send(0);
    world.run(50 * MS);
    assert!(world.up());
    assert_eq!(
        world.nodes[1].received, 1,
        "the first told it to start again, the second arrived"
    );
}

#[test]
fn answers_are_as_large_as_questions() {
    let mut world = World::new(Method::Ticket, 14);
    world.tape = Some(Vec::new());
    world.send(0);
    world.run(S);
    let tape = world.tape.take().unwrap();
    assert_eq!((tape[0].0, tape[1].0), (0, 1));
    assert_eq!(
        (tape[0].1.len(), tape[1].1.len()),
        (envelope::KEYING_LEN, envelope::KEYING_LEN)
    );
}

fn stale_packets_start_one_exchange_a_second_at_most(method: Method) {
    let mut world = World::new(method, 15);
    world.loss = 100;
    for _ in 0..1_000 {
        let now = world.now(0);
        world.nodes[0].agreement.event(now, PEER, Event::Stale);
        world.act(0);
    }
    assert_eq!(world.nodes[0].messages, 1);
}

fn a_pair_with_different_secrets_never_agrees(method: Method) {
    let mut world = World::new(method, 16);
    world.estrange(1);
    for step in 0..20 {
        world.send(step % 2);
        world.run(S);
    }
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.agreement.view(PEER).agreements == 0 && node.received == 0)
    );
}

#[test]
fn a_newer_secret_is_used_by_whoever_has_it_and_taken_by_who_has_it_beside_its_own() {
    // One has heard of the newer secret and starts; the other was told of it by the ticket in front.
    let mut world = World::new(Method::Ticket, 20);
    world.send(0);
    world.run(S);
    world.renew(0, 7, true);
    world.renew(1, 7, true);
    world.run(S);
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.agreement.view(PEER).agreements == 1),
        "keys stay"
    );
    // One still has the older secret: who has the newer one takes both.
    for (newer, older) in [(0, 1), (1, 0)] {
        let mut world = World::with_limits(Method::Ticket, 21, short());
        world.renew(newer, 7, true);
        world.send(older);
        world.run(S);
        assert!(world.up());
        // What the newer one starts with is unknown to the older until its ticket says so.
        world.renew(older, 7, false);
        for _ in 0..40 {
            world.send(newer);
            world.run(100 * MS);
        }
        assert_eq!(world.lost(), 0, "newer is {newer}");
    }
}

#[test]
fn an_exchange_under_an_old_secret_is_begun_again_under_the_new_one() {
    let mut world = World::new(Method::Ticket, 22);
    world.estrange(1);
    world.send(0);
    world.run(S);
    assert!(world.nodes[0].agreement.view(PEER).agreeing && !world.up());
    world.renew(0, 9, true);
    world.run(20 * MS);
    assert!(world.up());
    assert_eq!(world.lost(), 0);
}

fn who_is_forgotten_has_no_keys_here_and_can_be_known_again(method: Method) {
    let mut world = World::new(method, 23);
    for _ in 0..200 {
        world.send(0);
        world.send(1);
        world.run(S / 2);
        assert!(world.up(), "places for keys are given back");
        let before = world.nodes[1].received;
        world.forget(1);
        world.send(0);
        world.run(20 * MS);
        assert_eq!(world.nodes[1].received, before);
        assert_eq!(world.nodes[1].agreement.view(PEER), super::View::default());
        world.know(1);
        world.restart(0, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_and_damaged_messages_change_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        bit in 0usize..message::LEN * 8,
    ) {
        let mut world = World::new(Method::Ticket, 18);
        world.tape = Some(Vec::new());
        world.send(0);
        let mut damaged = world.tape.take().unwrap()[0].1[48..].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        for which in 0..2 {
            let before = world.nodes[which].agreement.view(PEER);
            for data in [&bytes, &damaged] {
                let now = world.now(which);
                world.nodes[which]
                    .agreement
                    .receive(now, Method::Ticket, PEER, data);
                prop_assert!(world.nodes[which].agreement.next_action().is_none());
            }
            prop_assert_eq!(world.nodes[which].agreement.view(PEER), before);
        }
        world.run(50 * MS);
        prop_assert_eq!(world.lost(), 0);
    }
}

#[test]
fn a_forged_envelope_is_refused_by_name() {
    let mut world = World::new(Method::Ticket, 19);
    let node = &world.nodes[0];
    let peer = "10.77.0.2".parse().unwrap();
    let shim = Shim::new(DataType::Virtual);
    let mut bytes = envelope::keying(&shim, peer, node.own, Method::Ike, &[0; 28]).unwrap();
    bytes[60] ^= 1;
    world.transmit(1, bytes);
    world.run(10 * MS);
    assert_eq!(world.nodes[0].counters.dropped(DropReason::UdpChecksum).get(), 1);
}
