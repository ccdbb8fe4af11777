//! A manager that was started anew, was away, or lost count: what is joined stays so, and nothing is missed.

use super::*;
use kith_protocol::member::refusal::Code as Why;

const BOB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const CAROL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const DAVE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);

/// Joined; Bob was pushed to us, Carol came by herself.
fn acquainted() -> World {
    let mut world = World::joined(1);
    let peer = world.manager.peer(world.now, BOB, 5);
    world.push(Change::Peer(peer));
    world.run(1_000);
    world.input(Input::Report(Report::Introduced(CAROL)));
    world.run(1_000);
    world
}

fn restart(world: &mut World) {
    world.amnesia = true;
    world.break_stream();
}

#[test]
fn after_a_managers_restart_new_keys_the_policy_and_whom_we_deal_with_are_asked_for_and_nothing_is_joined() {
    let mut world = acquainted();
    let (calls, seen) = (world.manager.calls.len(), world.seen.len());
    restart(&mut world);
    world.run(3_000);
    assert_eq!(
        world.manager.calls[calls..],
        [Call::Refresh, Call::Locate, Call::Locate]
    );
    let froms: Vec<u64> = world.watches[1..].iter().map(|(_, from)| *from).collect();
    assert_eq!(
        froms[1..],
        [0],
        "after it was asked in vain for what happened since"
    );
    assert!(froms[0] > 0);
    let told = &world.seen[seen..];
    assert_eq!(told[0], Seen::Channel);
    for expected in [Seen::Policy(0), Seen::Peer(BOB, 1), Seen::Peer(CAROL, 1)] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
    assert_eq!(told.len(), 4, "nobody is forgotten meanwhile: {told:?}");
    assert!(world.has_stream() && world.machine.view().phase == "joined");
    // From here on all is as before.
    world.break_stream();
    world.run(3_000);
    assert_eq!(world.manager.count(Call::Join), 1);
    assert!(world.watches.last().unwrap().1 > 0);
}

#[test]
fn who_left_or_was_forbidden_while_the_manager_could_not_say_so_is_forgotten() {
    for why in [Why::UnknownName, Why::Denied] {
        let mut world = acquainted();
        world.manager.refuse.insert(Call::Locate, fake::refusal(why));
        let seen = world.seen.len();
        restart(&mut world);
        world.run(3_000);
        for gone in [BOB, CAROL] {
            assert!(world.seen[seen..].contains(&Seen::Gone(gone)), "{:?}", world.seen);
        }
        // Of somebody whom we never dealt with there is nothing to forget.
        world.input(Input::Report(Report::NeedPeer(DAVE)));
        world.run(1_000);
        assert!(!world.seen.contains(&Seen::Gone(DAVE)));
        assert_eq!(world.manager.count(Call::Join), 1);
    }
}

#[test]
fn whose_ticket_is_long_over_is_not_asked_for() {
    let mut world = acquainted();
    world.run(3_700_000);
    restart(&mut world);
    world.run(3_000);
    assert_eq!(world.manager.count(Call::Locate), 0);
    assert_eq!(world.manager.count(Call::Join), 1);
}

#[test]
fn a_manager_that_does_not_know_the_session_any_more_is_joined() {
    let mut world = acquainted();
    world
        .manager
        .refuse
        .insert(Call::Refresh, fake::refusal(Why::NotJoined));
    restart(&mut world);
    world.run(3_000);
    world.manager.refuse.clear();
    world.run(3_000);
    assert_eq!(world.manager.joins.len(), 2);
    assert!(world.manager.joins[1].rejoin && !world.seen.contains(&Seen::Out));
}

#[test]
fn other_networks_than_those_we_joined_with_are_joined_anew() {
    let network = member::Prefix {
        address: 0x0a4d_0000,
        length: 24,
    };
    let same = member::Synced {
        networks: vec![network],
        manager_virtual_address: fake::MANAGER.to_bits(),
    };
    let wider = member::Synced {
        networks: vec![member::Prefix {
            length: 23,
            ..network
        }],
        ..same.clone()
    };
    let another = member::Synced {
        manager_virtual_address: BOB.to_bits(),
        ..same.clone()
    };
    for (synced, joins) in [(same, 1), (wider, 2), (another, 2)] {
        let mut world = World::joined(1);
        world.synced = synced;
        world.push(Change::Resync(member::Resync {}));
        // Else it would never end: what it says goes on to differ.
        world.run(50 + 4 * DELAY);
        world.synced = member::Synced::default();
        world.run(3_000);
        assert_eq!(world.manager.count(Call::Join), joins);
        assert!(world.has_stream() && world.machine.view().phase == "joined");
    }
}

#[test]
fn a_manager_that_cannot_say_anything_even_from_0_on_is_joined_anew_and_not_asked_for_ever() {
    let mut world = World::joined(1);
    world.push(Change::Resync(member::Resync {}));
    world.run(DELAY + 1);
    world.push(Change::Resync(member::Resync {}));
    world.run(3_000);
    assert_eq!(world.manager.count(Call::Join), 2);
    assert!(world.watches.len() <= 3 && world.has_stream());
}

#[test]
fn the_only_manager_may_be_away_for_long_and_nobody_joins_when_it_is_back() {
    let mut world = acquainted();
    world.break_stream();
    world.cut = true;
    world.amnesia = true;
    world.run(600_000);
    assert_eq!(world.machine.view().phase, "joined");
    world.cut = false;
    world.run(30_000);
    assert_eq!(
        (world.manager.count(Call::Init), world.manager.count(Call::Join)),
        (1, 1)
    );
    assert!(world.has_stream() && !world.seen.contains(&Seen::Out));
}

#[test]
fn a_manager_that_answers_but_is_silent_inside_the_tunnel_is_joined_anew() {
    let mut world = World::joined(1);
    world.deaf = true;
    world.run(20 * u64::from(fake::BEAT_MS));
    assert!(world.manager.count(Call::Join) >= 2);
}
