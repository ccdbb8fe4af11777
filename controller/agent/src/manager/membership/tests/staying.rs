//! Staying joined, moving, and leaving.

use super::*;
use kith_protocol::member::PeerGone;
use kith_protocol::member::refusal::Code as Why;

const BOB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

#[test]
fn the_channel_gets_new_keys_before_the_old_ones_are_old() {
    let mut world = World::joined(1);
    world.run(1_000_000);
    assert_eq!(world.manager.count(Call::Refresh), 9, "every 110 s");
    assert_eq!(
        world.seen.iter().filter(|seen| **seen == Seen::Channel).count(),
        10
    );
    assert_eq!((world.manager.count(Call::Init), world.watches.len()), (1, 1));
}

#[test]
fn a_broken_stream_is_opened_again_after_new_keys_from_where_it_broke() {
    let mut world = World::joined(1);
    world.push(Change::Synced(member::Synced::default()));
    world.run(1_000);
    world.break_stream();
    world.run(2_000);
    assert_eq!(world.manager.calls[2..], [Call::Refresh]);
    assert_eq!(
        world.watches.iter().map(|(_, from)| *from).collect::<Vec<_>>(),
        [10, 11]
    );
    assert!(world.has_stream());
}

#[test]
fn a_pushed_member_is_ordered_with_the_pairs_secret_and_its_departure_too() {
    let mut world = World::joined(1);
    let peer = world.manager.peer(world.now, BOB, 5);
    world.push(Change::Peer(peer));
    world.push(Change::Gone(PeerGone {
        virtual_address: BOB.to_bits(),
        ..PeerGone::default()
    }));
    world.run(1_000);
    assert_eq!(world.seen[3..], [Seen::Peer(BOB, 5), Seen::Gone(BOB)]);
    let Some(Order::Peer(peer)) = world.orders.get(3) else {
        panic!("the member")
    };
    assert_eq!(
        (peer.psk.expose(), peer.fqdn.as_str()),
        (&[3; 32], "m3.acme.example")
    );
    assert_eq!(peer.ticket, vec![9; 64]);
}

#[test]
fn a_member_that_has_begun_anew_is_forgotten_first_and_one_that_moved_is_not() {
    let mut world = World::joined(1);
    let run = |world: &mut World, joined_at_ms| {
        let peer = world.manager.peer(world.now, BOB, 5);
        world.push(Change::Peer(member::Peer { joined_at_ms, ..peer }));
        world.run(1_000);
    };
    run(&mut world, 1_000);
    run(&mut world, 1_000);
    assert_eq!(world.seen[3..], [Seen::Peer(BOB, 5), Seen::Peer(BOB, 5)]);
    run(&mut world, 2_000);
    assert_eq!(world.seen[5..], [Seen::Gone(BOB), Seen::Peer(BOB, 5)]);
}

#[test]
fn a_member_sealed_for_somebody_else_or_under_another_name_is_not_let_in() {
    let mut world = World::joined(1);
    let mut renamed = world.manager.peer(world.now, BOB, 5);
    renamed.fqdn = "mallory.acme.example".into();
    let mut altered = world.manager.peer(world.now, BOB, 5);
    *altered.sealed_key.last_mut().unwrap() ^= 1;
    let mut moved = world.manager.peer(world.now, BOB, 5);
    moved.virtual_address += 1;
    let outside = world.manager.peer(world.now, Ipv4Addr::new(10, 78, 0, 3), 5);
    let ourselves = world.manager.peer(world.now, fake::OWN, 5);
    let manager = world.manager.peer(world.now, fake::MANAGER, 5);
    let mut expired = world.manager.peer(0, BOB, 5);
    world.run(4_000_000);
    expired.joined_at_ms = 1;
    for peer in [renamed, altered, moved, outside, ourselves, manager, expired] {
        world.push(Change::Peer(peer));
    }
    world.run(1_000);
    assert!(
        !world.seen.iter().any(|seen| matches!(seen, Seen::Peer(..))),
        "{:?}",
        world.seen
    );
}

#[test]
fn a_new_policy_and_a_new_list_of_managers_are_taken() {
    let mut world = World::joined(1);
    let rule = member::Rule::default();
    world.push(Change::Policy(member::Policy {
        version: 2,
        rules: vec![rule, rule, rule],
    }));
    let address = |host: &str| member::ManagerAddress {
        host: host.into(),
        port: 443,
        fingerprint: vec![1; 32],
    };
    let managers = vec![address("second.example"), address("manager.example")];
    world.push(Change::Managers(member::Managers { managers, version: 5 }));
    world.run(1_000);
    assert_eq!(world.seen[3..], [Seen::Policy(3)]);
    assert_eq!(
        (
            world.lists.as_slice(),
            world.machine.manager().unwrap().host.as_str()
        ),
        (&[5][..], "manager.example")
    );
}

#[test]
fn revocation_closes_everything_at_once_and_is_the_end() {
    for why in [Why::Revoked, Why::Superseded] {
        let mut world = World::joined(1);
        world.push(Change::Ended(fake::refusal(why)));
        world.run(2 * DELAY);
        assert_eq!(world.seen[3..], [Seen::Out, Seen::NoDirector]);
        world.run(600_000);
        assert_eq!(world.manager.calls, [Call::Init, Call::Join]);
        assert!(world.machine.is_over());
    }
}

#[test]
fn who_was_silent_for_too_long_joins_again_as_the_same_run() {
    let mut world = World::joined(1);
    world.push(Change::Ended(fake::refusal(Why::NotJoined)));
    world.run(3_000);
    assert_eq!(
        world.manager.calls,
        [Call::Init, Call::Join, Call::Init, Call::Join]
    );
    let [first, second] = &world.manager.joins[..] else {
        panic!("two joins")
    };
    assert!(!first.rejoin && second.rejoin && first.run_id == second.run_id);
    assert!(!world.seen.contains(&Seen::Out), "traffic goes on meanwhile");
    assert!(world.has_stream());
}

#[test]
fn another_pseudo_address_is_told_at_once() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    let report = |pseudo: [u8; 4]| session(Some(Ipv4Addr::from(pseudo)));
    world.input(report([240, 0, 0, 9]));
    assert_eq!(world.manager.moves.len(), 0, "nothing has changed");
    world.input(report([240, 0, 0, 10]));
    assert_eq!(world.manager.moves[0].location.unwrap().address, 0xf000_000a);
    // And again while the first is under way.
    world.input(report([240, 0, 0, 11]));
    world.run(1_000);
    assert_eq!(
        world.manager.moves.last().unwrap().location.unwrap().address,
        0xf000_000b
    );
    assert_eq!(
        (world.manager.moves.len(), world.manager.count(Call::Init)),
        (2, 1)
    );
}

#[test]
fn another_local_address_is_a_move_behind_a_director_and_a_new_join_with_a_public_address() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    world.attach(network("192.168.7.10", "192.168.7.0/24"));
    world.run(1_000);
    assert_eq!(
        (world.manager.moves.len(), world.manager.count(Call::Init)),
        (1, 1)
    );
    // The virtual address would be one of the new network's.
    world.attach(network("10.77.0.200", "10.77.0.0/24"));
    world.run(1_000);
    assert_eq!(world.manager.count(Call::Init), 2);

    let mut world = World::joined(1);
    world.attach(network("192.168.7.10", "192.168.7.0/24"));
    world.run(1_000);
    assert_eq!(
        world.manager.calls,
        [Call::Init, Call::Join, Call::Init, Call::Join]
    );
}

#[test]
fn a_move_that_needs_another_director_is_a_new_join() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    world
        .manager
        .refuse
        .insert(Call::Move, fake::refusal(Why::NoDirector));
    world.manager.behind_nat = false;
    world.manager.director = None;
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(1_000);
    assert_eq!(world.manager.calls[2..], [Call::Move, Call::Init, Call::Join]);
    assert_eq!(world.manager.joins[1].location.unwrap().director, 0);
    assert!(world.seen.contains(&Seen::NoDirector) && world.machine.view().phase == "joined");
}

#[test]
fn a_silent_manager_is_left_for_the_next_of_the_list_while_traffic_goes_on() {
    let mut world = World::with_managers(1, &["one.example", "two.example"]);
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(20_000);
    assert!(world.hosts.iter().all(|host| host == "one.example"));
    world.cut = true;
    let asked = world.hosts.len();
    world.run(3 * u64::from(fake::BEAT_MS) + 1_000);
    assert_eq!(world.hosts[asked], "two.example");
    world.cut = false;
    world.run(120_000);
    assert_eq!(world.machine.view().phase, "joined");
    assert!(world.manager.joins.last().unwrap().rejoin && !world.seen.contains(&Seen::Out));
}

#[test]
fn heartbeats_go_out_and_echo_what_was_heard() {
    let mut world = World::joined(1);
    world.run(20_000);
    world.input(Input::Volume { sent: 5, received: 6 });
    let mut beats = Vec::new();
    for _ in 0..10_000 {
        world.now += 1;
        world.machine.tick(moment(world.now));
        while let Some(output) = world.machine.poll() {
            if let Output::Heartbeat(heartbeat) = output {
                beats.push(heartbeat);
            }
        }
    }
    assert_eq!(beats.len(), 2, "every 5 s");
    assert_eq!((beats[0].octets_sent, beats[0].octets_received), (5, 6));
    assert!(beats[0].heard_sequence > 0 && beats[1].sequence == beats[0].sequence + 1);
}

#[test]
fn who_packets_go_to_is_asked_for_and_a_scan_is_not_passed_on() {
    let mut world = World::joined(1);
    world.input(Input::Report(Report::NeedPeer(BOB)));
    world.input(Input::Report(Report::NeedPeer(BOB)));
    world.run(200);
    assert_eq!(
        (world.manager.count(Call::Locate), world.seen.last()),
        (1, Some(&Seen::Peer(BOB, 1)))
    );
    world
        .manager
        .refuse
        .insert(Call::Locate, fake::refusal(Why::UnknownName));
    for round in 0..10 {
        for host in 10..=250 {
            world.input(Input::Report(Report::NeedPeer(Ipv4Addr::new(10, 77, 0, host))));
        }
        world.run(100);
        let asked = world.manager.count(Call::Locate);
        assert!(asked <= 1 + 16 * 3 * (round + 1), "{asked} in round {round}");
    }
    world.run(4_000);
    assert_eq!(world.manager.count(Call::Locate), 1 + 241, "each once");
    // Not ours, we ourselves, the manager: nobody is asked.
    for address in ["192.0.2.1", "10.77.0.1", "10.77.0.2", "10.77.0.255"] {
        world.input(Input::Report(Report::NeedPeer(address.parse().unwrap())));
    }
    assert_eq!(world.manager.count(Call::Locate), 1 + 241);
}

#[test]
fn who_cannot_be_reached_is_said_to_the_datapath_and_again_without_asking_again() {
    for (why, refusal) in [
        (Why::UnknownName, Refusal::Unreachable),
        (Why::Denied, Refusal::Prohibited),
    ] {
        let mut world = World::joined(1);
        world.manager.refuse.insert(Call::Locate, fake::refusal(why));
        for times in 1..=2 {
            world.input(Input::Report(Report::NeedPeer(BOB)));
            world.run(200);
            let told = Seen::NoPeer(BOB, refusal);
            assert_eq!(world.seen.iter().filter(|seen| **seen == told).count(), times);
            assert_eq!(world.manager.count(Call::Locate), 1);
        }
    }
    // The manager being busy says nothing about who is sought.
    let mut world = World::joined(1);
    world
        .manager
        .refuse
        .insert(Call::Locate, fake::refusal(Why::Busy));
    world.input(Input::Report(Report::NeedPeer(BOB)));
    world.run(200);
    assert_eq!(world.manager.count(Call::Locate), 1);
    assert!(!world.seen.iter().any(|seen| matches!(seen, Seen::NoPeer(..))));
}

#[test]
fn leaving_tells_the_manager_and_takes_no_longer_than_two_seconds() {
    let mut world = World::joined(1);
    world.input(Input::Leave);
    world.run(100);
    assert_eq!(world.manager.count(Call::Leave), 1);
    assert_eq!(world.events.last(), Some(&Event::Over(Ending::Left)));
    let mut world = World::joined(1);
    world.cut = true;
    world.input(Input::Leave);
    world.run(2_100);
    assert!(world.machine.is_over());
    let mut world = World::new(1);
    world.input(Input::Leave);
    assert!(world.machine.is_over() && world.hosts.is_empty());
}

#[test]
fn a_heartbeat_that_falls_due_while_it_leaves_does_not_keep_the_machine_busy() {
    let mut world = World::joined(1);
    world.run(u64::from(fake::BEAT_MS) - 1_500);
    world.cut = true;
    world.input(Input::Leave);
    let turns = world.turns;
    world.run(3_000);
    assert!(world.machine.is_over());
    assert!(world.turns - turns < 20, "{} turns", world.turns - turns);
}

/// A member behind a director, which has just taken its session back.
fn without_session() -> World {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    assert_eq!(world.machine.view().phase, "joined");
    world.sessions = None;
    world.input(session(None));
    world
}

#[test]
fn a_director_that_gives_no_session_for_long_is_left_for_another() {
    let mut world = without_session();
    world.run(19_000);
    assert_eq!(world.manager.count(Call::Init), 1, "it may have begun anew");
    // The manager knows that it is down.
    world.manager.director = Some(member::Director {
        key_id: 8,
        ..director()
    });
    world.sessions = Some(Ipv4Addr::new(240, 0, 0, 99));
    world.run(22_000);
    assert_eq!(world.manager.count(Call::Init), 2);
    let place = world.manager.joins.last().unwrap().location.unwrap();
    assert_eq!(place.address, 0xf000_0063);
    assert!(world.machine.view().phase == "joined" && !world.seen.contains(&Seen::Out));

    let mut world = without_session();
    world.run(10_000);
    world.input(session(Some(Ipv4Addr::new(240, 0, 0, 11))));
    world.run(60_000);
    assert_eq!(world.manager.count(Call::Init), 1, "it has given another");
}

#[test]
fn who_moves_without_a_session_joins_anew() {
    let mut world = without_session();
    world.attach(network("192.168.7.10", "192.168.7.0/24"));
    world.run(1_000);
    assert_eq!(world.manager.count(Call::Init), 2);
}
