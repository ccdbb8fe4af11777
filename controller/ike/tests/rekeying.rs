//! Pairs and IKE SAs are replaced, by either end and by both at once, over a network that loses nothing (RFC 7296 sections 1.3, 2.8 and 2.25).

mod world;

use world::*;

#[test]
fn a_pair_is_rekeyed_by_either_end_and_no_packet_is_lost() {
    for end in 0..2 {
        let (mut world, _) = up(World::new(7, config()));
        for round in 0..20 {
            let id = world.ends[end].up[0];
            let child = world.ends[end].newest().unwrap();
            world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
            for _ in 0..40 {
                world.data(0);
                world.data(1);
                world.run(7);
            }
            let _ = round;
        }
        world.run(20_000);
        assert_eq!(world.ends.each_ref().map(|end| end.lost), [0, 0]);
        let sent = world.ends.each_ref().map(|end| end.sent);
        assert_eq!(world.ends.each_ref().map(|end| end.received), [sent[1], sent[0]]);
        assert_eq!(world.ends[0].spis.len(), 1, "{:?}", world.ends[0].events);
        assert!(world.agree());
    }
}

#[test]
fn both_ends_rekey_a_pair_at_once_and_one_new_pair_remains() {
    for seed in 0..64 {
        let (mut world, _) = up(World::new(seed, config()));
        for _ in 0..3 {
            for end in 0..2 {
                let (id, child) = (world.ends[end].up[0], world.ends[end].newest().unwrap());
                world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
            }
            for _ in 0..100 {
                world.data(0);
                world.data(1);
                world.run(5);
            }
            world.run(20_000);
            assert_eq!(
                world.ends[0].spis.len(),
                1,
                "seed {seed}: {:?}",
                world.ends.each_ref().map(|end| &end.events)
            );
            assert!(world.agree(), "seed {seed}");
        }
        assert_eq!(world.ends.each_ref().map(|end| end.lost), [0, 0], "seed {seed}");
        talk(&mut world);
    }
}

#[test]
fn the_ike_sa_is_rekeyed_by_either_end_and_the_pairs_stay() {
    for end in 0..2 {
        let (mut world, _) = up(World::new(3, config()));
        for _ in 0..10 {
            let id = world.ends[end].up[0];
            world.act(end, |endpoint, now| endpoint.rekey(now, id));
            world.run(500);
            talk(&mut world);
        }
        let rekeyed = |end: &End| {
            end.events
                .iter()
                .filter(|event| event.starts_with("rekeyed"))
                .count()
        };
        assert_eq!(world.ends.each_ref().map(rekeyed), [10, 10]);
        // And pairs can be rekeyed under the new one.
        let (id, child) = (world.ends[1 - end].up[0], world.ends[1 - end].newest().unwrap());
        world.act(1 - end, |endpoint, now| endpoint.rekey_child(now, id, child));
        world.run(10_000);
        assert_eq!(world.ends[0].spis.len(), 1);
        talk(&mut world);
    }
}

#[test]
fn both_ends_rekey_the_ike_sa_at_once_and_one_new_one_remains() {
    for seed in 0..64 {
        let (mut world, _) = up(World::new(seed, config()));
        for end in 0..2 {
            let id = world.ends[end].up[0];
            world.act(end, |endpoint, now| endpoint.rekey(now, id));
        }
        world.run(20_000);
        for end in 0..2 {
            let (id, child) = (world.ends[end].up[0], world.ends[end].newest().unwrap());
            world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
            world.run(10_000);
            assert_eq!(world.ends[end].downs, [], "seed {seed}");
        }
        assert!(world.agree(), "seed {seed}");
        talk(&mut world);
    }
}

#[test]
fn a_pair_is_rekeyed_while_the_other_end_closes_it() {
    for seed in 0..32 {
        let (mut world, _) = up(World::new(seed, config()));
        let (id, child) = (world.ends[0].up[0], world.ends[0].newest().unwrap());
        world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
        let (id, child) = (world.ends[1].up[0], world.ends[1].newest().unwrap());
        world.act(1, |endpoint, now| endpoint.close_child(now, id, child));
        world.run(60_000);
        assert!(
            world.agree(),
            "seed {seed}: {:?}",
            world.ends.each_ref().map(|end| &end.events)
        );
        assert_eq!(world.ends[0].downs, []);
    }
}

#[test]
fn a_pair_is_rekeyed_while_the_other_end_rekeys_the_ike_sa() {
    for seed in 0..32 {
        let (mut world, _) = up(World::new(seed, config()));
        let (id, child) = (world.ends[0].up[0], world.ends[0].newest().unwrap());
        world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
        let id = world.ends[1].up[0];
        world.act(1, |endpoint, now| endpoint.rekey(now, id));
        world.run(60_000);
        assert!(
            world.agree(),
            "seed {seed}: {:?}",
            world.ends.each_ref().map(|end| &end.events)
        );
        assert_eq!(world.ends[0].spis.len(), 1);
        assert!(
            world
                .ends
                .iter()
                .all(|end| end.events.iter().any(|event| event.starts_with("rekeyed"))),
            "{:?}",
            world.ends.each_ref().map(|end| &end.events)
        );
        talk(&mut world);
    }
}

#[test]
fn an_old_ike_sa_is_replaced_by_itself() {
    let mut config = config();
    config.timing.ike_soft = 60_000;
    config.timing.ike_hard = 80_000;
    let (mut world, _) = up(World::new(5, config));
    world.run(3_600_000);
    assert_eq!(world.ends.each_ref().map(|end| end.downs.len()), [0, 0]);
    let rekeyed = world.ends[0]
        .events
        .iter()
        .filter(|event| event.starts_with("rekeyed"))
        .count();
    assert!((50..=60).contains(&rekeyed), "{rekeyed}");
    renew(&mut world);
    talk(&mut world);
}

#[test]
fn pairs_with_a_secret_of_their_own_can_be_rekeyed() {
    let mut terms = [psk(0, b"x"), psk(1, b"x")];
    for one in &mut terms {
        one.child.suites = kith_ike::suite::EspPreferences::default();
    }
    terms[1].child.suites.groups = vec![kith_ike::suite::Group::P256];
    let (mut world, _) = up(World::with(5, [config(), config()], terms));
    let (id, child) = (world.ends[0].up[0], world.ends[0].newest().unwrap());
    world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
    world.run(20_000);
    assert_eq!(world.ends[0].spis.len(), 1);
    assert_ne!(world.ends[0].newest(), Some(child), "{:?}", world.ends[0].events);
    talk(&mut world);
}
