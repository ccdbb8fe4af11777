//! A network that loses 30 % and copies 10 % of all datagrams and delivers the rest in any order: at the end both ends agree on what they have,
//! or both have nothing (shared security goals: "converge or fail clean").
//!
//! A seed is a story; one that failed is run again with `KITH_SEED=n`, their number is set with `KITH_SEEDS=n`.

mod world;

use kith_ike::suite::{Additional, EspPreferences};
use world::*;

const SEEDS: u64 = 10_000;
/// Seeds are shared out to so many threads.
const THREADS: u64 = 2;

fn story(seed: u64) -> Result<(), String> {
    let mut config = if seed.is_multiple_of(4) {
        post_quantum()
    } else {
        config()
    };
    // Some stories see IKE SAs grow old.
    if seed.is_multiple_of(3) {
        (config.timing.ike_soft, config.timing.ike_hard) = (40_000, 120_000);
    }
    let mut terms = [psk(0, b"secret"), psk(1, b"secret")];
    // In some, pairs have two secrets of their own, so that CREATE_CHILD_SA is followed by IKE_FOLLOWUP_KE.
    if seed % 8 < 2 {
        for one in &mut terms {
            one.child.suites = EspPreferences {
                additional: Additional::Offer,
                ..EspPreferences::default()
            };
        }
    }
    let mut world = World::with(seed, [config.clone(), config], terms);
    (world.loss, world.copies, world.delay) = (30, 10, (1, 400));
    world.connect(0);
    if world.random.percent(30) {
        world.run(seed % 700);
        world.connect(1);
    }
    for _ in 0..30 {
        let span = world.random.below(4_000);
        world.run(span);
        let end = world.random.below(2) as usize;
        let Some(id) = world.ends[end].up.first().copied() else {
            continue;
        };
        let child = world.ends[end].newest();
        match (world.random.below(12), child) {
            (0..=4, Some(child)) => world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child)),
            (5..=6, _) => world.act(end, |endpoint, now| endpoint.rekey(now, id)),
            (7, Some(child)) => world.act(end, |endpoint, now| endpoint.close_child(now, id, child)),
            // By one end only: RFC 7296 knows no collision of two that ask for a first pair; both get one.
            (8, None) if end == 0 => world.act(end, |endpoint, now| endpoint.ensure_child(now, id)),
            (9, Some(child)) => {
                // Both at once.
                world.act(end, |endpoint, now| endpoint.rekey_child(now, id, child));
                if let (Some(id), Some(child)) = (
                    world.ends[1 - end].up.first().copied(),
                    world.ends[1 - end].newest(),
                ) {
                    world.act(1 - end, |endpoint, now| endpoint.rekey_child(now, id, child));
                }
            }
            (10, _) => {
                for end in 0..2 {
                    if let Some(id) = world.ends[end].up.first().copied() {
                        world.act(end, |endpoint, now| endpoint.rekey(now, id));
                    }
                }
            }
            (11, _) if seed.is_multiple_of(5) => world.act(end, |endpoint, now| endpoint.close(now, id)),
            _ => {
                world.data(0);
                world.data(1);
            }
        }
    }
    // The network is well again. Whatever is to come to rest does: repetitions, liveness, lingering.
    (world.loss, world.copies) = (0, 0);
    world.run(300_000);
    let show = |world: &World| format!("{:#?}", world.ends.each_ref().map(|end| (&end.events, &end.spis)));
    if !world.agree() {
        return Err(format!("the ends disagree: {}", show(&world)));
    }
    let alive = world.ends.each_ref().map(|end| end.up.len());
    if alive[0] != alive[1] || alive[0] > 1 {
        return Err(format!("associations: {alive:?}: {}", show(&world)));
    }
    if world.ends[0].spis.len() > 1 {
        return Err(format!("more than one pair: {}", show(&world)));
    }
    // And from here on it works: what is there can be used, what is not can be begun.
    if alive[0] == 0 {
        world.connect(0);
        world.run(20_000);
    } else if let Some(child) = world.ends[0].newest() {
        let id = world.ends[0].up[0];
        world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
        world.run(20_000);
    } else {
        let id = world.ends[0].up[0];
        world.act(0, |endpoint, now| endpoint.ensure_child(now, id));
        world.run(20_000);
    }
    let received = world.ends.each_ref().map(|end| end.received);
    for end in [0, 1] {
        if !world.data(end) {
            return Err(format!("end {end} has no keys: {}", show(&world)));
        }
        world.run(1_000);
    }
    if world.ends.each_ref().map(|end| end.received) != received.map(|count| count + 1) {
        return Err(format!("packets do not pass: {}", show(&world)));
    }
    Ok(())
}

#[test]
fn ends_agree_after_any_story_or_have_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("KITH_SEED") {
        story(seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        return;
    }
    let seeds = number("KITH_SEEDS").unwrap_or(SEEDS);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mine = (thread..seeds).step_by(THREADS as usize);
                    mine.filter_map(|seed| story(seed).err().map(|why| format!("seed {seed}: {why}")))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {seeds} failed, the first: {}",
        failures.len(),
        failures[0]
    );
}
