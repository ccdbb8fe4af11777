//! All cases, through both sides: they agree with each other and with what the case says.

use kith_p4_conformance::case::Expected;
use kith_p4_conformance::compare;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::rust::Rust;
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::world::{Outcome, Side};

#[test]
fn both_sides_do_what_the_cases_say() {
    let suite = Suite::load().unwrap_or_else(|why| panic!("{why}"));
    let mut failed = Vec::new();
    for case in &suite.cases {
        let mut rust = Rust::new(&case.world).unwrap();
        let mut p4 = P4::new(&suite.compiled, &case.world).unwrap();
        for (number, (input, expected)) in case.packets.iter().enumerate() {
            let place = format!("{} `{}`, packet {}", case.place, case.name, number + 1);
            match compare::both(&mut rust, &mut p4, input) {
                Err(why) => failed.push(format!("{place}\n{why}")),
                Ok(outcome) if !is(&outcome, expected) => {
                    let (words, frame) = (compare::in_words(&outcome), compare::shown(&input.frame));
                    failed.push(format!(
                        "{place}: expected {expected:?}, but both: {words}\n{frame}"
                    ));
                }
                Ok(_) => {}
            }
        }
        if let Some(why) = compare::counters(&rust.counted(), &p4.counted()) {
            failed.push(format!("{} `{}`, counters\n{why}", case.place, case.name));
        }
    }
    let (bad, all) = (failed.len(), suite.cases.len());
    assert!(
        failed.is_empty(),
        "{bad} failures in {all} cases:\n\n{}\n",
        failed.join("\n\n")
    );
}

fn is(outcome: &Outcome, expected: &Expected) -> bool {
    match (outcome, expected) {
        (Outcome::Sent { port, .. }, Expected::Send(to)) => port == to,
        (Outcome::Up { reason, .. }, Expected::Up(why)) => reason == why,
        (Outcome::Dropped { reason }, Expected::Drop(why)) => reason == why,
        (Outcome::Consumed, Expected::Nothing) => true,
        _ => false,
    }
}
