//! Packets from seeds, through both sides. `KITH_CONFORMANCE_PACKETS` sets how many, `KITH_CONFORMANCE_SEED` another first seed.

use kith_p4_conformance::compare;
use kith_p4_conformance::generate::Generator;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::rust::Rust;
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::world::Side;
use std::collections::BTreeMap;

/// How many packets each world meets.
const A_WORLD: usize = 1_000;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn packets_and_entries_nobody_thought_of_make_no_difference() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let worlds = number("KITH_CONFORMANCE_PACKETS", 120_000).div_ceil(A_WORLD as u64);
    let first = number("KITH_CONFORMANCE_SEED", 1);
    let mut became: BTreeMap<String, usize> = BTreeMap::new();
    for seed in first..first + worlds {
        let (role, action) =
            [("director", "act_as_director"), ("gateway", "act_as_gateway")][seed as usize % 2];
        let mut generator = Generator::new(seed, suite.packets(action));
        let like = suite.world(role).unwrap();
        // Every fourth world is one that people wrote.
        let world = if seed % 8 < 2 {
            like.clone()
        } else {
            generator.world(&suite.tables, like)
        };
        let mut rust = Rust::new(&world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let mut p4 = P4::new(&suite.compiled, &world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        for packet in 0..A_WORLD {
            let input = generator.packet(&world);
            match compare::both(&mut rust, &mut p4, &input) {
                Ok(outcome) => {
                    *became
                        .entry(
                            compare::in_words(&outcome)
                                .split(" octets")
                                .next()
                                .unwrap_or("")
                                .replace(char::is_numeric, ""),
                        )
                        .or_default() += 1
                }
                Err(why) => panic!(
                    "seed {seed}, packet {packet}\n{why}\n\nkeep it in cases/found.cases:\n{}",
                    kith_p4_conformance::case::written(role, like, &world, &input)
                ),
            }
        }
        if let Some(why) = compare::counters(&rust.counted(), &p4.counted()) {
            panic!("seed {seed}, counters\n{why}");
        }
    }
    for (what, times) in &became {
        println!("{times:>7}  {what}");
    }
    // Bent as they are, packets must still come far enough to show something.
    let sent = became
        .iter()
        .filter(|(what, _)| what.starts_with("sends"))
        .map(|(_, times)| times)
        .sum::<usize>();
    let all = became.values().sum::<usize>();
    assert!(sent * 20 > all, "only {sent} of {all} packets went on");
}
