//! The core's tests: each says what is promised.

/// Of the operators' half, in this same world.
#[path = "../../admin/tests/mod.rs"]
mod admin_tests;
mod agent;
mod changes;
mod directors;
mod durability;
mod join;
mod outbox;
mod properties;
mod registration;
mod streams;
mod world;

use super::*;
use agent::Agent;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Refusal, Update};
use world::World;

/// The refusal in an answer.
fn refused(answer: Answer) -> (Code, Refusal) {
    match answer {
        Answer::Refused(refusal) => (refusal.code(), refusal),
        Answer::Dropped(cause) => panic!("dropped: {cause:?}"),
        _ => panic!("granted"),
    }
}

fn dropped(answer: Answer) -> DropCause {
    match answer {
        Answer::Dropped(cause) => cause,
        Answer::Refused(refusal) => panic!("refused: {}", refusal.reason),
        _ => panic!("granted"),
    }
}

fn granted(answer: &Answer) -> bool {
    !matches!(answer, Answer::Refused(_) | Answer::Dropped(_))
}
