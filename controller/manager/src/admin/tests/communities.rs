//! Communities and their pools.

use super::*;
use kith_protocol::member::refusal::Code;

#[test]
fn a_community_is_there_with_the_managers_address_first() {
    let mut world = world();
    let AdminReply::Community(made) = done(
        &mut world,
        Command::CreateCommunity(community("Globex.example", &["10.78.0.0/24", "10.79.0.0/29"])),
    ) else {
        panic!()
    };
    assert_eq!(
        (made.domain.as_str(), made.manager_address.as_str()),
        ("globex.example", "10.78.0.1")
    );
    assert_eq!(made.addresses_free, 253 + 6);
    assert!(
        matches!(world.channels.last(), Some(ChannelOp::Community { domain, .. }) if &**domain == "globex.example")
    );
    world.restart();
    let AdminReply::Communities(listed) = done(&mut world, Command::ListCommunities) else {
        panic!()
    };
    assert_eq!(
        listed
            .communities
            .iter()
            .map(|one| one.domain.as_str())
            .collect::<Vec<_>>(),
        ["acme.example", "globex.example"]
    );
    assert_eq!(listed.communities[1], made);
}

#[test]
fn communities_that_cannot_work_are_refused() {
    let mut world = world();
    let cases = [
        (
            community("acme.example", &["10.80.0.0/24"]),
            "change it with: kith community update acme.example",
        ),
        (
            community("lab.acme.example", &["10.80.0.0/24"]),
            "lies in the other",
        ),
        (community("example", &["10.80.0.0/24"]), "has no dot"),
        (
            community("bad_name.example", &["10.80.0.0/24"]),
            "lower case letters, digits and hyphens",
        ),
        (community("x.example", &[]), "needs a pool"),
        (
            community("x.example", &["10.0.0.0/16", "10.0.7.0/24"]),
            "have addresses in common",
        ),
        (
            a::Community {
                ticket_lifetime_s: 5,
                ..community("x.example", &["10.80.0.0/24"])
            },
            "from 60 to 86400 seconds",
        ),
        (
            a::Community {
                directors: vec!["d9".into()],
                ..community("x.example", &["10.80.0.0/24"])
            },
            "there is no director d9",
        ),
    ];
    for (wish, words) in cases {
        let error = refused(&mut world, Command::CreateCommunity(wish));
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(world.manager.state().communities().count(), 1);
}

#[test]
fn pools_of_different_communities_may_overlap_and_that_is_noted() {
    let mut world = world();
    done(
        &mut world,
        Command::CreateCommunity(community("globex.example", &["10.77.0.0/16"])),
    );
    let record = audit(&world).pop().unwrap();
    assert_eq!(
        record.detail,
        "note: 10.77.0.0/16 has addresses in common with 10.77.0.0/24 of acme.example: no device can be in both"
    );
}

#[test]
fn another_pool_makes_those_who_are_joined_join_again() {
    let mut world = world();
    let pc = joined(&mut world, invitee("pc.acme.example"));
    let AdminReply::Community(changed) = done(
        &mut world,
        Command::UpdateCommunity(community(DOMAIN, &["10.77.0.0/23"])),
    ) else {
        panic!()
    };
    assert_eq!(changed.addresses_free, 510 - 2);
    let heard = world.heard(&pc);
    assert!(matches!(changes(&heard)[..], [Change::Resync(_)]));
    assert_eq!(world.ends.pop(), Some((pc.stream.unwrap(), StreamEnd::Told)));
    assert_eq!(
        audit(&world).pop().unwrap().detail,
        "pools: 10.77.0.0/24 -> 10.77.0.0/23"
    );
    // What changes no network concerns nobody.
    let mut pc = pc;
    pc.up(&mut world);
    done(
        &mut world,
        Command::UpdateCommunity(a::Community {
            description: "Acme".into(),
            ..community(DOMAIN, &["10.77.0.0/23"])
        }),
    );
    assert!(world.heard(&pc).is_empty());
}

#[test]
fn a_join_that_is_asked_for_again_after_another_pool_came_is_to_begin_anew() {
    let mut world = world();
    let mut pc = invited(&mut world, invitee("pc.acme.example"));
    pc.enroll(&mut world);
    let Answer::Init(init) = world.call(pc.from, Call::Init, pc.init(1)) else {
        panic!()
    };
    let request = pc.join(&init);
    let Answer::Join(first) = world.call(pc.from, Call::Join, request.clone()) else {
        panic!()
    };
    // Its answer was lost: the same again is the same.
    let Answer::Join(again) = world.call(pc.from, Call::Join, request.clone()) else {
        panic!()
    };
    assert_eq!(again.virtual_address, first.virtual_address);
    let moved = Command::UpdateCommunity(community(DOMAIN, &["10.78.0.0/24"]));
    done(&mut world, moved);
    // A request that was long on its way may come before it watches anew, or after.
    for _ in 0..2 {
        let Answer::Refused(refusal) = world.call(pc.from, Call::Join, request.clone()) else {
            panic!("an address of a pool that is gone")
        };
        assert_eq!(refusal.code(), Code::TooLate);
        pc.watch(&mut world, 0);
    }
    pc.up(&mut world);
    assert_eq!(pc.address().octets()[..2], [10, 78]);
}

#[test]
fn moving_to_other_pools_moves_the_manager_and_everybody() {
    let mut world = world();
    let mut pc = joined(&mut world, invitee("pc.acme.example"));
    world.channels.clear();
    done(
        &mut world,
        Command::UpdateCommunity(community(DOMAIN, &["10.99.0.0/24"])),
    );
    let is_there = |op: &ChannelOp| matches!(op, ChannelOp::Community { manager_address, .. } if manager_address.to_string() == "10.99.0.1");
    assert!(world.channels.iter().any(is_there));
    world.heard(&pc);
    pc.new_run();
    pc.up(&mut world);
    assert_eq!(pc.address().to_string(), "10.99.0.2");
}

#[test]
fn pools_cannot_leave_reserved_addresses_behind() {
    let mut world = world();
    invited(
        &mut world,
        a::Invitee {
            address: "10.77.0.9".into(),
            ..invitee("pc.acme.example")
        },
    );
    let error = refused(
        &mut world,
        Command::UpdateCommunity(community(DOMAIN, &["10.77.0.0/29"])),
    );
    assert_eq!(
        error,
        "community acme.example: 10.77.0.9 is reserved for pc.acme.example and would be in no pool; change that first"
    );
}

#[test]
fn only_an_empty_community_is_deleted() {
    let mut world = world();
    invited(&mut world, invitee("pc.acme.example"));
    let error = refused(&mut world, Command::DeleteCommunity(name(DOMAIN)));
    assert_eq!(
        error,
        "acme.example has 1 member; delete them first: kith member list --community acme.example"
    );
    done(&mut world, Command::DeleteMember(name("pc.acme.example")));
    done(&mut world, Command::DeleteCommunity(name(DOMAIN)));
    assert!(matches!(
        world.channels.last(),
        Some(ChannelOp::NoCommunity { .. })
    ));
    assert!(world.disk.entries.keys().all(|key| key.starts_with("audit/")));
    assert!(
        refused(&mut world, Command::DeleteCommunity(name(DOMAIN)))
            .contains("there is no community acme.example")
    );
}
