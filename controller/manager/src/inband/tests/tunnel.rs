//! Who is believed: only what opens under a member's keys, from that member's own address.

use super::*;

#[test]
fn a_packet_heard_before_is_refused() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let packet = member.echo();
    let datagram = member.seal(&packet, world.now);
    assert_eq!(world.give(member.at, &datagram).len(), 1);
    assert_eq!(world.give(member.at, &datagram).len(), 0);
    assert_eq!(world.dropped(DropReason::EspReplayed), 1);
}

#[test]
fn a_member_has_no_address_but_its_own() {
    let mut world = World::new(Settings::default());
    let (mut mallory, alice) = (world.join(1), world.join(2));
    let spoofed = udp_packet((alice.virtual_address, 1), (MANAGER, 53), &question());
    let elsewhere = udp_packet((mallory.virtual_address, 1), (PRINTER, 53), &question());
    for (packet, reason) in [
        (spoofed, DropReason::VirtualSourceSpoofed),
        (elsewhere, DropReason::VirtualNotOurs),
    ] {
        let datagram = mallory.seal(&packet, world.now);
        assert!(world.give(mallory.at, &datagram).is_empty());
        assert_eq!(world.dropped(reason), 1);
    }
    assert!(world.desk.asked.is_empty());
}

#[test]
fn a_header_changed_on_the_way_is_refused_too() {
    let mut world = World::new(Settings::default());
    let (mut mallory, alice) = (world.join(1), world.join(2));
    let mut datagram = mallory.sealed_echo(world.now);
    let (ip, _) = Ipv4::mut_from_prefix(&mut datagram[shim::LEN..]).unwrap();
    ip.readdress(alice.virtual_address, MANAGER);
    assert!(world.give(mallory.at, &datagram).is_empty());
    assert_eq!(world.dropped(DropReason::VirtualSourceSpoofed), 1);
}

#[test]
fn forged_octets_say_nothing_about_where_a_member_is() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let home = member.at;
    world.ping(&mut member);
    let mut forged = member.sealed_echo(world.now);
    *forged.last_mut().unwrap() ^= 1;
    let thief = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 66), 666);
    assert!(world.give(thief, &forged).is_empty());
    assert_eq!(world.dropped(DropReason::EspBadTag), 1);
    let [(to, _)] = &world.later(5_000)[..] else {
        panic!("a heartbeat")
    };
    assert_eq!(*to, home);
}

#[test]
fn answers_follow_the_member_to_its_new_address() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let home = member.at;
    world.ping(&mut member);
    let late = member.sealed_echo(world.now);
    member.at = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 3_333);
    assert_eq!(world.ping(&mut member).len(), 1, "answered at the new address");
    assert_eq!(world.hub.counters().did(Did::Roamed), 1);
    // A packet from before the move arrives late: authentic, answered, but it moves nothing back.
    let [(to, _)] = &world.give(home, &late)[..] else {
        panic!("one answer")
    };
    assert_eq!(*to, member.at);
    assert_eq!(world.hub.counters().did(Did::Roamed), 1);
}

#[test]
fn the_shim_of_an_answer_is_the_question_s_the_other_way_round() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    member.shim.source_director = 1.into();
    member.shim.source_member = 2.into();
    member.shim.destination_director = 3.into();
    member.shim.destination_member = 4.into();
    let datagram = member.sealed_echo(world.now);
    let [(_, answer)] = &world.give(member.at, &datagram)[..] else {
        panic!("one answer")
    };
    let (shim, _) = Shim::parse(answer).unwrap();
    assert_eq!((shim.source_director.get(), shim.source_member.get()), (3, 4));
    assert_eq!(
        (shim.destination_director.get(), shim.destination_member.get()),
        (1, 2)
    );
}

#[test]
fn new_keys_take_over_with_the_first_packet_under_them() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    world.ping(&mut member);
    let mut newer = Member {
        epoch: 1,
        keys: None,
        ..Member::new(1, world.now)
    };
    world.hub.install(newer.install(world.now), world.now).unwrap();
    newer.keys = Some(newer.made(world.now));
    assert_eq!(
        world.ping(&mut member).len(),
        1,
        "old keys still open, and still seal"
    );
    assert_eq!(world.ping(&mut newer).len(), 1, "answered under the new ones");
    let old = member.sealed_echo(world.now);
    assert!(world.give(member.at, &old).is_empty());
    assert_eq!(world.dropped(DropReason::EspSpiUnknown), 1);
    assert_eq!(world.hub.counters().did(Did::Rekeyed), 1);
    let [(to, beat)] = &world.later(5_000)[..] else {
        panic!("one heartbeat, not two")
    };
    newer.take(*to, beat, world.now);
}

#[test]
fn keys_that_were_never_used_give_way_and_their_spi_is_free() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let at_epoch = |epoch| Member {
        epoch,
        keys: None,
        ..Member::new(
            1,
            Now {
                clock: Millis(0),
                unix_ms: 0,
            },
        )
    };
    for epoch in 1..=200 {
        world
            .hub
            .install(at_epoch(epoch).install(world.now), world.now)
            .unwrap();
    }
    assert_eq!(world.ping(&mut member).len(), 1);
    let mut unused = at_epoch(199);
    unused.keys = Some(unused.made(world.now));
    let datagram = unused.sealed_echo(world.now);
    assert!(world.give(unused.at, &datagram).is_empty());
    assert_eq!(world.dropped(DropReason::EspSpiUnknown), 1);
}

#[test]
fn another_run_replaces_the_keys_at_once() {
    let mut world = World::new(Settings::default());
    let mut before = world.join(1);
    world.ping(&mut before);
    let mut after = Member {
        epoch: 1,
        run_id: [0xee; 16],
        keys: None,
        ..Member::new(1, world.now)
    };
    world.hub.install(after.install(world.now), world.now).unwrap();
    after.keys = Some(after.made(world.now));
    let old = before.sealed_echo(world.now);
    assert!(world.give(before.at, &old).is_empty());
    assert!(
        world.later(5_000).is_empty(),
        "where the new run is, nobody knows yet"
    );
    assert_eq!(world.ping(&mut after).len(), 1);
    assert_eq!(world.hub.members(), 1);
}

#[test]
fn who_is_removed_is_heard_no_more() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    world.ping(&mut member);
    world.hub.remove(member.id);
    let datagram = member.sealed_echo(world.now);
    assert!(world.give(member.at, &datagram).is_empty());
    assert!(world.later(60_000).is_empty());
    assert_eq!(
        (world.dropped(DropReason::EspSpiUnknown), world.hub.members()),
        (1, 0)
    );
}

#[test]
fn keys_grow_old() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let datagram = member.sealed_echo(world.now);
    world.now.clock.0 += 180_000;
    assert!(world.give(member.at, &datagram).is_empty());
    assert_eq!(world.dropped(DropReason::EspExpired), 1);
}

#[test]
fn an_spi_names_one_association() {
    let mut world = World::new(Settings::default());
    let member = world.join(1);
    let taken = Uninstalled::SpiTaken(member.spis().0.get());
    assert_eq!(
        world.hub.install(member.install(world.now), world.now),
        Err(taken),
        "the same keys twice"
    );
    let mut other = Member::new(2, world.now).install(world.now);
    other.association = member.install(world.now).association;
    assert_eq!(world.hub.install(other, world.now), Err(taken));
}

#[test]
fn every_prefix_and_every_changed_octet_is_dropped_or_means_the_same() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let whole = member.sealed_echo(world.now);
    for len in 0..whole.len() {
        assert!(world.give(member.at, &whole[..len]).is_empty(), "cut to {len}");
    }
    for at in 0..whole.len() {
        // The shim's flags and addresses steer nothing but the answer's shim; TOS and ID of the virtual header are covered by its checksum.
        if (2..shim::LEN).contains(&at) {
            continue;
        }
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        assert!(world.give(member.at, &changed).is_empty(), "octet {at}");
    }
    assert_eq!(
        world.give(member.at, &whole).len(),
        1,
        "and none of that has moved the replay window"
    );
}

#[test]
fn clear_packets_and_other_types_are_refused() {
    let mut world = World::new(Settings::default());
    let member = world.join(1);
    let clear = [Shim::new(DataType::Virtual).as_bytes(), &member.echo()].concat();
    assert!(world.give(member.at, &clear).is_empty());
    let ping = [Shim::new(DataType::Ping).as_bytes(), &[0; 12]].concat();
    assert!(world.give(member.at, &ping).is_empty());
    assert_eq!(
        (
            world.dropped(DropReason::CleartextRefused),
            world.dropped(DropReason::ShimTypeUnknown)
        ),
        (1, 1)
    );
}
