//! Joining, and not joining.

use super::*;
use kith_esp::Millis;
use kith_protocol::member::refusal::Code as Why;

#[test]
fn without_a_network_nothing_is_asked_and_people_know_why() {
    let mut world = World::new(1);
    world.run(60_000);
    world.input(Input::Network(None));
    assert!(world.hosts.is_empty());
    assert!(matches!(
        world.events[..],
        [Event::Trouble {
            why: Trouble::NoNetwork(_),
            ..
        }]
    ));
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(1_000);
    assert_eq!(world.machine.view().phase, "joined");
}

#[test]
fn a_public_member_joins_in_two_phases_and_is_told_of_changes_from_there_on() {
    let world = World::joined(1);
    assert_eq!(world.manager.calls, [Call::Init, Call::Join]);
    assert_eq!(
        world.seen,
        [Seen::Joined(fake::OWN), Seen::Policy(1), Seen::Channel]
    );
    assert_eq!(
        world.watches.iter().map(|(_, from)| *from).collect::<Vec<_>>(),
        [10]
    );
    let join = &world.manager.joins[0];
    let location = join.location.unwrap();
    assert_eq!(
        (location.director, location.address, location.port),
        (0, fake::OBSERVED.to_bits(), 20_202)
    );
    let Some(Order::Joined(joined)) = world.orders.first() else {
        panic!("joined")
    };
    assert_eq!(joined.public, Some(SocketAddrV4::new(fake::OBSERVED, 20_202)));
    assert_eq!(joined.networks, ["10.77.0.0/24".parse().unwrap()]);
    assert!(
        joined.clock_offset_ms.abs() <= DELAY as i64,
        "{}",
        joined.clock_offset_ms
    );
}

#[test]
fn both_ends_of_the_channel_have_the_same_keys_and_no_direction_is_the_other() {
    let mut world = World::joined(1);
    let Some(Order::Channel(mut ours)) = world.orders.pop() else {
        panic!("the channel")
    };
    let mut theirs = world.manager.channel.take().unwrap();
    let now = Millis(world.now);
    let mut packet = vec![0; 128];
    let sealed = ours.outbound.seal_in_place(&mut packet, 16..52, 17, now).unwrap();
    assert!(
        theirs
            .inbound
            .open_in_place(&mut packet[sealed.packet], now)
            .is_ok()
    );
    let mut packet = vec![0; 128];
    let sealed = theirs
        .outbound
        .seal_in_place(&mut packet, 16..52, 17, now)
        .unwrap();
    assert!(
        ours.inbound
            .open_in_place(&mut packet[sealed.packet], now)
            .is_ok()
    );
    assert_eq!(ours.endpoint, SocketAddrV4::new(fake::OBSERVED, 20_202));
    assert!(ours.inbound.spi().get() >= 1 << 31);
}

#[test]
fn behind_a_translator_the_directors_session_comes_before_the_join() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    assert_eq!(
        world.seen[..2],
        [Seen::Director(director_socket()), Seen::Joined(fake::OWN)]
    );
    let location = world.manager.joins[0].location.unwrap();
    assert_eq!((location.director, location.director_port), (0xcb00_710a, 20_202));
    assert_eq!(location.address, PSEUDO.to_bits());
    assert_eq!(world.machine.view().phase, "joined");
}

#[test]
fn a_private_director_is_reached_inside_and_named_as_it_is_known_outside() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(member::Director {
        private: true,
        private_address: 0xc0a8_0102,
        ..director()
    });
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(1_000);
    assert_eq!(
        world.seen[0],
        Seen::Director("192.168.1.2:20202".parse().unwrap())
    );
    let location = world.manager.joins[0].location.unwrap();
    assert_eq!(
        (location.director, location.address),
        (0xcb00_710a, 0xc0a8_010a),
        "and our own private address"
    );
}

#[test]
fn a_director_that_gives_no_session_is_named_and_asked_for_again() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.sessions = None;
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(40_000);
    let told = world.events.iter().any(
        |event| matches!(event, Event::Trouble { why: Trouble::NoSession(at), .. } if *at == director_socket()),
    );
    assert!(told && world.manager.count(Call::Init) >= 2 && world.manager.joins.is_empty());
    // The session comes at last; it was ordered once, for it is still the same.
    world.sessions = Some(PSEUDO);
    world.input(session(Some(PSEUDO)));
    world.run(60_000);
    assert_eq!(world.machine.view().phase, "joined");
    assert_eq!(
        world
            .seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Director(_)))
            .count(),
        1
    );
}

/// Behind a NAT, with a join under way that names [`PSEUDO`].
fn joining() -> World {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    while world.manager.joins.is_empty() {
        world.run(1);
    }
    world
}

#[test]
fn a_pseudo_address_that_changes_while_the_join_is_under_way_is_told_to_the_manager_afterwards() {
    for taken_first in [false, true] {
        let mut world = joining();
        if taken_first {
            world.input(session(None));
            world.run(100);
            assert_eq!(world.machine.view().phase, "joined", "by what the join said");
        }
        let other = Ipv4Addr::new(240, 0, 0, 10);
        world.input(session(Some(other)));
        world.run(5_000);
        assert_eq!(world.machine.view().phase, "joined");
        let moves: Vec<u32> = world
            .manager
            .moves
            .iter()
            .map(|request| request.location.unwrap().address)
            .collect();
        assert_eq!(moves, [other.to_bits()]);
    }
}

#[test]
fn a_device_that_is_attached_elsewhere_while_it_joins_joins_from_there() {
    let mut world = World::new(1);
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    assert_eq!(world.manager.count(Call::Init), 1, "the first phase is under way");
    world.attach(network("198.51.100.99", "198.51.100.0/24"));
    world.run(5_000);
    assert_eq!(world.machine.view().phase, "joined");
    assert_eq!(world.manager.count(Call::Init), 2);
    let last = world.manager.joins.last().unwrap();
    assert_eq!(last.local_address, Ipv4Addr::new(198, 51, 100, 99).to_bits());
}

#[test]
fn a_move_that_waits_for_the_director_does_not_keep_the_machine_busy() {
    let mut world = joining();
    world.run(1_000);
    world.loss = 100;
    world.input(session(Some(Ipv4Addr::new(240, 0, 0, 10))));
    world.run(1_000);
    // No answer, and before it is tried again the director takes its session back.
    world.input(session(None));
    world.run(4_000);
    let turns = world.turns;
    world.run(10_000);
    assert!(
        world.turns - turns < 100,
        "{} turns in ten seconds",
        world.turns - turns
    );
}

#[test]
fn who_gets_no_session_twice_says_that_udp_is_blocked_and_then_tries_udp_again() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.manager.tcp_director = Some(member::Director {
        name: "d-tcp".into(),
        tcp: true,
        ..director()
    });
    world.sessions = None;
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(200_000);
    let said = world.manager.udp_blocked.clone();
    assert_eq!(said[..5], [false, false, true, false, false], "{said:?}");
    let tcp_only = Trouble::TcpOnly("d-tcp".into());
    let told = |world: &World, wanted: &Trouble| {
        let mut events = world.events.iter();
        events.any(|event| matches!(event, Event::Trouble { why, .. } if why == wanted))
    };
    assert!(told(&world, &tcp_only));
    assert!(tcp_only.to_string().contains("UDP port 20202"), "what to do");
    // UDP is let through after all.
    world.sessions = Some(PSEUDO);
    world.input(session(Some(PSEUDO)));
    world.run(120_000);
    assert_eq!(world.machine.view().phase, "joined");
    assert_eq!(world.machine.view().trouble, None);
}

#[test]
fn a_manager_that_has_no_director_without_udp_is_quoted_in_status_and_asked_again() {
    let mut world = World::new(1);
    world.manager.behind_nat = true;
    world.manager.director = Some(director());
    world.sessions = None;
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    while world.manager.udp_blocked.len() < 2 {
        world.run(1_000);
    }
    let mut no_director = fake::refusal(Why::NoDirector);
    no_director.reason = "nrd takes no TCP, and UDP is blocked".into();
    world.manager.refuse.insert(Call::Init, no_director);
    let asked = world.manager.count(Call::Init);
    while world.manager.count(Call::Init) == asked {
        world.run(1_000);
    }
    world.run(100);
    let trouble = world.machine.view().trouble.unwrap();
    assert!(
        trouble.contains("UDP port 20202") && trouble.contains("takes no TCP"),
        "{trouble}"
    );
    world.manager.refuse.clear();
    world.sessions = Some(PSEUDO);
    world.input(session(Some(PSEUDO)));
    world.run(120_000);
    assert_eq!(world.machine.view().phase, "joined");
}

#[test]
fn a_final_refusal_is_the_end_with_its_reason() {
    for (why, word) in [
        (Why::Revoked, "revoked"),
        (Why::StaleToken, "newer"),
        (Why::NotRegistered, "new invitation"),
    ] {
        let mut world = World::new(1);
        world.manager.refuse.insert(Call::Init, fake::refusal(why));
        world.attach(network("198.51.100.7", "198.51.100.0/24"));
        world.run(60_000);
        assert!(world.machine.is_over() && world.machine.deadline().is_none());
        let Some(Event::Over(ending)) = world.events.last() else {
            panic!("over")
        };
        assert!(ending.to_string().contains(word), "{ending}");
        assert_eq!(world.seen, [Seen::Out, Seen::NoDirector]);
        assert_eq!(world.manager.calls, [Call::Init]);
    }
}

#[test]
fn other_refusals_are_told_and_tried_again_ever_more_slowly() {
    let mut world = World::new(1);
    world
        .manager
        .refuse
        .insert(Call::Init, fake::refusal(Why::NoDirector));
    world.attach(network("192.168.1.10", "192.168.1.0/24"));
    world.run(3_600_000);
    let asked = world.manager.count(Call::Init);
    assert!((60..=140).contains(&asked), "{asked}: about once a minute");
    assert!(
        world
            .machine
            .view()
            .trouble
            .unwrap()
            .contains("address translator")
    );
    world.manager.refuse.clear();
    world.run(61_000);
    assert_eq!(world.machine.view().phase, "joined");
    assert_eq!(world.machine.view().trouble, None);
}

#[test]
fn a_busy_manager_says_when_to_come_back() {
    let mut world = World::new(1);
    let busy = member::Refusal {
        retry_after_ms: 30_000,
        ..fake::refusal(Why::Busy)
    };
    world.manager.refuse.insert(Call::Join, busy);
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(29_000);
    assert_eq!(world.manager.count(Call::Join), 1);
    world.manager.refuse.clear();
    world.run(20_000);
    assert_eq!(world.machine.view().phase, "joined");
}

#[test]
fn a_join_whose_answer_was_lost_is_repeated_unchanged() {
    let mut world = World::new(1);
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(2 * DELAY + 1);
    assert_eq!(world.manager.calls, [Call::Init, Call::Join]);
    // The answer is on its way: it never arrives.
    world.arrivals.clear();
    world.run(8_000);
    assert_eq!(world.manager.count(Call::Join), 2);
    assert_eq!(world.manager.joins.len(), 1, "the same join, to the manager");
    assert_eq!(
        (world.manager.count(Call::Init), world.machine.view().phase),
        (1, "joined")
    );
}

#[test]
fn who_is_disowned_keeps_asking_but_lets_nothing_pass() {
    let mut world = World::joined(1);
    world.manager.drop_all = true;
    world.break_stream();
    world.input(Input::Report(Report::NeedPeer("10.77.0.9".parse().unwrap())));
    world.run(3_600_000);
    assert_eq!(world.seen.iter().filter(|seen| **seen == Seen::Out).count(), 1);
    assert!(!world.machine.is_over() && world.machine.view().place.is_none());
    let asked = world.manager.count(Call::Init);
    assert!((12..60).contains(&asked), "{asked}");
    assert!(world.machine.view().trouble.unwrap().contains("new invitation"));
    world.manager.drop_all = false;
    world.run(300_000);
    assert_eq!(world.machine.view().phase, "joined");
}

#[test]
fn requests_that_nobody_answers_between_those_that_are_dropped_do_not_keep_a_member_in() {
    let mut world = World::joined(1);
    world.manager.drop_all = true;
    world.break_stream();
    for _ in 0..20 {
        world.loss = 100;
        world.run(10_000);
        world.loss = 0;
        world.run(10_000);
    }
    assert!(world.seen.contains(&Seen::Out), "it was disowned often enough");
}

#[test]
fn an_answer_with_an_address_outside_its_network_is_not_obeyed() {
    let mut world = World::new(1);
    world.attach(network("198.51.100.7", "198.51.100.0/24"));
    world.run(2 * DELAY + 1);
    for (_, arrival) in &mut world.arrivals {
        if let Arrival::Answer(_, result) = arrival
            && let Ok(Answer::Join(answer)) = &mut **result
            && let Some(member::join_answer::Answer::Ack(ack)) = &mut answer.answer
        {
            ack.networks = vec![member::Prefix {
                address: 0,
                length: 0,
            }];
        }
    }
    world.run(300);
    assert!(world.seen.is_empty(), "{:?}", world.seen);
    assert!(matches!(
        world.events[..],
        [Event::Trouble {
            why: Trouble::Untrue(_),
            ..
        }]
    ));
}
