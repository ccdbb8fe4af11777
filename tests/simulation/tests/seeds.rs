//! A thousand seeds, in four parts so that cores share them.
//!
//! `KITH_SEED=17 cargo nextest run -p kith-simulation one_seed --no-capture` tells one seed's story; `KITH_SEEDS=10000` runs more of them.

use kith_simulation::{Ending, run, tell};

/// Seeds of one part, unless said otherwise.
const SEEDS: u64 = 250;
/// Lines of a story that went wrong, unless `KITH_LINES` asks for more.
const LINES: usize = 60;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|it| it.parse().ok())
}

fn judge(seed: u64, ending: &Ending) {
    let Some(violation) = &ending.violation else {
        return;
    };
    let member = violation.member.as_deref();
    panic!(
        "seed {seed}: {}\n{}: {}\n{}\nalone: KITH_SEED={seed} cargo nextest run -p kith-simulation one_seed --no-capture",
        violation.property,
        member.unwrap_or("the network"),
        violation.what,
        tell(
            seed,
            member,
            asked("KITH_LINES").map_or(LINES, |lines| lines as usize)
        ),
    );
}

fn part(number: u64) {
    let seeds = asked("KITH_SEEDS").map_or(SEEDS, |seeds| seeds.div_ceil(4));
    let mut endings: Vec<Ending> = Vec::new();
    for seed in number * seeds..(number + 1) * seeds {
        let ending = run(seed);
        judge(seed, &ending);
        endings.push(ending);
    }
    let mut well: Vec<u64> = endings.iter().map(|ending| ending.well_after).collect();
    well.sort_unstable();
    let at_percent = |percent: usize| well[(well.len() - 1) * percent / 100] / 1_000;
    let sum = |what: fn(&Ending) -> u64| endings.iter().map(what).sum::<u64>();
    let most = |what: fn(&Ending) -> u64| endings.iter().map(what).max().unwrap_or(0);
    println!(
        "{seeds} seeds: well after the storm: median {} s, p99 {} s, worst {} s; {} events; manager's lives {}; told {} times of members, {} of rules; \
         acts {} done, {} refused; requests of one device at most {}; queue of a stream at most {}, transactions under way at most {}; overlaps {}",
        at_percent(50),
        at_percent(99),
        at_percent(100),
        sum(|ending| ending.events),
        sum(|ending| ending.lives.into()),
        sum(|ending| ending.told.0),
        sum(|ending| ending.told.1),
        sum(|ending| ending.acts.0),
        sum(|ending| ending.acts.1),
        most(|ending| ending.most_requests),
        most(|ending| ending.longest.0 as u64),
        most(|ending| ending.longest.1 as u64),
        sum(|ending| ending.overlaps),
    );
}

#[test]
fn in_any_storm_all_promises_hold_part_1() {
    part(0);
}

#[test]
fn in_any_storm_all_promises_hold_part_2() {
    part(1);
}

#[test]
fn in_any_storm_all_promises_hold_part_3() {
    part(2);
}

#[test]
fn in_any_storm_all_promises_hold_part_4() {
    part(3);
}

#[test]
fn one_seed() {
    let seed = asked("KITH_SEED").unwrap_or(1_000_000);
    let ending = run(seed);
    judge(seed, &ending);
    println!("seed {seed}: {ending:?}");
    let again = run(seed);
    assert_eq!(
        format!("{again:?}"),
        format!("{ending:?}"),
        "the same seed is the same story"
    );
}
