//! All cases, through both sides: they agree with each other and with what the case says.

use kith_p4_conformance::case::{Book, Case, Expected};
use kith_p4_conformance::compare;
use kith_p4_conformance::entry::Program;
use kith_p4_conformance::p4::P4;
use kith_p4_conformance::rust::Rust;
use kith_p4_conformance::world::{Outcome, Side};
use std::path::Path;

const FILES: [&str; 3] = ["director.cases", "link.cases", "gateway.cases"];

fn cases() -> Vec<Case> {
    let program = Program::load().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut book = Book::default();
    FILES
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            book.read(&program, file, &text)
                .unwrap_or_else(|why| panic!("{why}"))
        })
        .collect()
}

#[test]
fn both_sides_do_what_the_cases_say() {
    let program =
        kith_p4_runner::Program::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiled/kith.spec"))
            .unwrap();
    let mut failed = Vec::new();
    let cases = cases();
    for case in &cases {
        let mut rust = Rust::new(&case.world).unwrap();
        let mut p4 = P4::new(&program, &case.world).unwrap();
        for (number, (input, expected)) in case.packets.iter().enumerate() {
            let place = format!("{} `{}`, packet {}", case.place, case.name, number + 1);
            match compare::both(&mut rust, &mut p4, input) {
                Err(why) => failed.push(format!("{place}\n{why}")),
                Ok(outcome) if !is(&outcome, expected) => {
                    failed.push(format!(
                        "{place}: expected {expected:?}, but both: {}\n{}",
                        compare::in_words(&outcome),
                        compare::shown(&input.frame)
                    ));
                }
                Ok(_) => {}
            }
        }
        if let Some(why) = compare::counters(&rust.counted(), &p4.counted()) {
            failed.push(format!("{} `{}`, counters\n{why}", case.place, case.name));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases:\n\n{}\n",
        failed.len(),
        cases.len(),
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
