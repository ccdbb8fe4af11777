//! Networks that lose a third of everything, and managers that are away for a while.

use super::*;

#[test]
fn with_a_third_of_all_messages_lost_every_member_joins_and_stays() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.loss = 33;
        world.manager.behind_nat = true;
        world.manager.director = Some(director());
        world.attach(network("192.168.1.10", "192.168.1.0/24"));
        world.run(300_000);
        world.loss = 0;
        world.run(130_000);
        assert_eq!(
            world.machine.view().phase,
            "joined",
            "seed {seed}: {:?}",
            world.events.last()
        );
        assert!(world.has_stream(), "seed {seed}");
        assert!(!world.seen.contains(&Seen::Out), "seed {seed}");
        let run_ids = world.manager.joins.iter().map(|join| &join.run_id);
        assert_eq!(
            run_ids.collect::<std::collections::BTreeSet<_>>().len(),
            1,
            "seed {seed}"
        );
        // Nobody storms a manager: not even one that hardly answers.
        let calls = world.manager.calls.len();
        assert!(calls < 400, "seed {seed}: {calls} calls in seven minutes");
    }
}

#[test]
fn a_manager_that_comes_back_after_an_hour_is_joined_again_within_two_minutes() {
    for seed in 0..20 {
        let mut world = World::joined(seed);
        world.cut = true;
        world.break_stream();
        world.run(3_600_000);
        let asked = world.hosts.len();
        assert!((40..400).contains(&asked), "seed {seed}: {asked} attempts");
        assert!(
            !world.seen.contains(&Seen::Out),
            "seed {seed}: traffic between members goes on"
        );
        world.cut = false;
        world.run(120_000);
        assert_eq!(world.machine.view().phase, "joined", "seed {seed}");
        assert!(world.has_stream(), "seed {seed}");
    }
}
