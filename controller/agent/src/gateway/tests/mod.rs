//! The control of a gateway against a dataplane that is strict: tables in memory, no packets.

mod world;

use kith_p4runtime::entry::{Entry, Key, Table};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_pipeline::units::PortIndex;
use world::{EXAMPLE, LAN, World, alice, config};

#[test]
fn the_example_is_good_and_contradictions_are_told_all_at_once() {
    let good = config(EXAMPLE).unwrap();
    assert_eq!(
        (good.wan, good.lan, good.devices[0].peers[0].0),
        (PortIndex(0), LAN, 0)
    );
    let bad = EXAMPLE
        .replace("community: 1", "community: 0")
        .replace("lan: 1\n", "lan: 0\n")
        .replace("associations: 8", "associations: 1")
        .replace("stand_in: 192.168.1.201", "stand_in: 192.168.1.20")
        .replace("  public: \"203.0.113.30:20202\"\n", "")
        .replace("member: alice", "member: bob");
    let told = config(&bad).err().unwrap();
    for field in [
        "community:",
        "lan:",
        "associations:",
        "devices[0].local:",
        "devices[0]:",
        "devices[0].peers[0].member: bob.acme.example",
    ] {
        assert!(told.contains(field), "{field} in {told}");
    }
    assert!(!told.contains("89abcdef"), "no secret in what is told");
    let trivial = config(&EXAMPLE.replace(&"0123456789abcdef".repeat(4), &"5a".repeat(32)))
        .err()
        .unwrap();
    assert!(
        trivial.contains("devices[0].peers[0].psk: take a random secret"),
        "{trivial}"
    );
    assert!(
        config(&EXAMPLE.replace("lan: 1", "lna: 1"))
            .err()
            .unwrap()
            .contains("lna")
    );
}

#[test]
fn a_pair_has_keys_before_the_first_packet_and_the_same_at_both_ends() {
    let world = World::up();
    assert_eq!(
        (world.plane.opening().len(), world.plane.associations.len()),
        (1, 2)
    );
}

#[test]
fn packets_that_come_up_wait_for_keys_and_are_submitted_again_in_order() {
    let mut world = World::new();
    world.deaf = true;
    world.connect();
    let frames = [world.keys_missing(1), world.keys_missing(2)];
    world.pass(1_000);
    assert!(world.plane.sent.is_empty());
    world.deaf = false;
    world.pass(5_000);
    let again: Vec<&PacketOut> = world.plane.sent.iter().collect();
    assert_eq!(again.len(), 2);
    for (packet, frame) in again.into_iter().zip(&frames) {
        assert_eq!(
            (packet.mode, packet.egress_port, &packet.frame),
            (PacketOutMode::Submit, LAN, frame)
        );
    }
}

#[test]
fn a_packet_that_comes_right_after_a_failure_asks_again_by_itself() {
    let mut world = World::new();
    world.deaf = true;
    world.connect();
    // The first handshake comes to nothing after 20 s.
    world.pass(20_300);
    world.deaf = false;
    world.keys_missing(1);
    world.pass(5_000);
    assert_eq!(world.plane.sent.len(), 1);
}

#[test]
fn a_soft_limit_brings_a_successor_beside_the_old_one_and_then_the_old_one_goes() {
    let mut world = World::up();
    for round in 0..20 {
        world.traffic();
        world.pass(1_000);
        let before = world.plane.sealing().unwrap();
        let spi = world.plane.associations[&before].0.spi;
        world.plane.state(before).soft = true;
        // Alice began the last one, perhaps: the other end waits for her.
        world.pass(8_000);
        assert!(world.agrees(), "round {round}");
        assert_ne!(
            world.plane.associations[&world.plane.sealing().unwrap()].0.spi,
            spi
        );
        assert!(
            world.plane.associations.len() <= 3,
            "the old one opens what is under way, at most"
        );
    }
}

#[test]
fn a_hard_limit_stops_sealing_and_packets_come_up() {
    let mut world = World::up();
    let sealing = world.plane.sealing().unwrap();
    world.plane.state(sealing).hard = true;
    world.alice = alice(world.now(), 31);
    world.pass(300);
    assert_eq!(world.plane.sealing(), None);
    assert!(!world.plane.associations.contains_key(&sealing));
}

#[test]
fn a_dataplane_that_was_killed_gets_new_keys_and_never_the_old_ones() {
    let mut world = World::up();
    world.disconnect();
    world.plane.entries.clear();
    world.plane.associations.clear();
    world.pass(2_000);
    world.connect();
    world.pass(5_000);
    // The strict dataplane remembers all keys that it ever saw.
    assert!(world.agrees());
}

#[test]
fn another_process_adopts_what_it_finds_until_it_has_keys_of_its_own() {
    let mut world = World::up();
    let before = world.plane.sealing().unwrap();
    let (spi, opening) = (world.plane.associations[&before].0.spi, world.plane.opening());
    world.traffic();
    world.restart();
    assert!(
        opening
            .iter()
            .all(|key| world.plane.associations.contains_key(key)),
        "packets of before still come through"
    );
    world.pass(3_000);
    assert!(world.agrees());
    assert_ne!(
        world.plane.associations[&world.plane.sealing().unwrap()].0.spi,
        spi,
        "new keys"
    );
    world.pass(10_000);
    assert_eq!(
        (world.plane.opening().len(), world.plane.associations.len()),
        (1, 2),
        "nothing is left over"
    );
}

#[test]
fn a_connection_that_breaks_costs_nothing() {
    let mut world = World::up();
    let (entries, sealing) = (world.plane.entries.clone(), world.plane.sealing());
    world.disconnect();
    world.pass(5_000);
    world.connect();
    world.pass(1_000);
    assert_eq!((&world.plane.entries, world.plane.sealing()), (&entries, sealing));
}

#[test]
fn entries_that_are_not_ours_go_and_ours_come_back() {
    let mut world = World::up();
    world.disconnect();
    let ours = world.plane.entries.clone();
    let gone = *ours.keys().find(|key| key.table() == Table::Policy).unwrap();
    let Key::Policy(mut foreign) = gone else {
        panic!("a policy")
    };
    let action = ours[&gone];
    world.plane.entries.remove(&gone);
    foreign.priority = 7;
    let Entry::Policy(_, action) = action else {
        panic!("a policy")
    };
    world
        .plane
        .entries
        .insert(Key::Policy(foreign), (foreign, action).into());
    world.connect();
    assert_eq!(world.plane.entries, ours);
}
