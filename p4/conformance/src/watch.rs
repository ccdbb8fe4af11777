//! One case, packet by packet, through both sides, as text.

use crate::case::Case;
use crate::compare::{counters, difference, in_words, octets_between, shown};
use crate::p4::P4;
use crate::rust::Rust;
use crate::suite::Suite;
use crate::world::{Outcome, Side};
use kith_p4::Folder;
use std::fmt::Write;

/// Why a case cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The world has an entry that the pipeline cannot hold.
    #[error(transparent)]
    Rust(#[from] crate::rust::Refused),
    /// The runner refuses.
    #[error(transparent)]
    P4(#[from] kith_p4_runner::RunnerError),
    /// The compiled program cannot be read.
    #[error(transparent)]
    Program(#[from] kith_p4::Error),
}

/// What both sides make of a case.
pub fn watch(suite: &Suite, case: &Case) -> Result<String, WatchError> {
    let order = kith_p4::spec::order(&Folder::at(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))?;
    let (mut rust, mut p4) = (Rust::new(&case.world)?, P4::new(&suite.compiled, &case.world)?);
    let mut text = format!("{}  {}\n", case.place, case.name);
    for (number, (input, _)) in case.packets.iter().enumerate() {
        let before: Vec<_> = order.iter().map(|table| p4.met(table)).collect();
        let (of_rust, of_p4) = (rust.process(input), p4.process(input));
        let (packet, port) = (number + 1, input.port);
        let _fits = write!(
            text,
            "\npacket {packet}, by port {port}\n{}\n\ntables of the P4 program\n",
            shown(&input.frame)
        );
        for (table, (hits, misses)) in order.iter().zip(before) {
            // A packet that was sealed or opened came by twice.
            let now = p4.met(table);
            let (hits, misses) = (now.0 - hits, now.1 - misses);
            if hits + misses > 0 {
                let how = ["hit ", "miss ", ""];
                let words = how[0].repeat(hits as usize) + &how[1].repeat(misses as usize);
                let words = if table == "endpoint" {
                    "default action"
                } else {
                    words.trim_end()
                };
                let _fits = writeln!(text, "  {table:<20} {words}");
            }
        }
        let _fits = write!(text, "\nRust {}\nP4   {}\n", in_words(&of_rust), in_words(&of_p4));
        match difference(&of_rust, &of_p4) {
            Some(why) => {
                let _fits = writeln!(text, "\nTHEY DIFFER\n{why}");
            }
            None => text.push_str(&made(&input.frame, &of_rust)),
        }
    }
    match counters(&rust.counted(), &p4.counted()) {
        None => text.push_str("\ncounters: the same\n"),
        Some(why) => {
            let _fits = writeln!(text, "\nTHE COUNTERS DIFFER\n{why}");
        }
    }
    Ok(text)
}

/// What was made of a frame, if it was sent or handed up.
fn made(came: &[u8], outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { frame, .. } if frame.len() == came.len() => {
            format!(
                "     the same octets from both; what changed on the way:\n{}",
                octets_between(("came", came), ("left", frame))
            )
        }
        Outcome::Sent { frame, .. } => format!("  the same octets from both:\n{}\n", shown(frame)),
        Outcome::Up { frame, .. } if frame == came => "  as it came\n".to_owned(),
        _ => String::new(),
    }
}
