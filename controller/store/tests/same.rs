//! Both stores are told the same and must say the same.

mod common;

use common::{Subject, key, told, wait, when};
use kith_store::{Compare, History, Lease, Operation, Options, Revision, StoreError, Transaction};
use proptest::prelude::*;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Step {
    Transact(Vec<(u8, u8, u64)>, Vec<(u8, Option<u8>, u64)>),
    Grant,
    Revoke(u64),
    Watch(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let conditions = prop::collection::vec((0..6_u8, 0..3_u8, 0..12_u64), 0..2);
    let operations = prop::collection::vec((0..6_u8, prop::option::of(any::<u8>()), 0..6_u64), 0..4);
    prop_oneof![
        12 => (conditions, operations).prop_map(|(conditions, operations)| Step::Transact(conditions, operations)),
        2 => Just(Step::Grant),
        2 => (0..4_u64).prop_map(Step::Revoke),
        2 => (0..14_u64).prop_map(Step::Watch),
        1 => Just(Step::Restart),
    ]
}

fn name(number: u8) -> String {
    format!("{}/{number}", if number < 3 { "low" } else { "high" })
}

fn transaction(conditions: &[(u8, u8, u64)], operations: &[(u8, Option<u8>, u64)]) -> Transaction {
    let condition = |(number, kind, revision): &(u8, u8, u64)| {
        let is = [
            Compare::Absent,
            Compare::Present,
            Compare::ModifiedAt(Revision(*revision)),
        ][usize::from(*kind)];
        when(&name(*number), is)
    };
    let operation = |(number, value, lease): &(u8, Option<u8>, u64)| match value {
        // Half of what is put is under a lease that there may be or not.
        Some(value) => Operation::Put {
            key: key(&name(*number)),
            value: vec![*value],
            lease: (*lease < 3).then_some(Lease(*lease)),
        },
        None => Operation::delete(name(*number)),
    };
    Transaction {
        conditions: conditions.iter().map(condition).collect(),
        operations: operations.iter().map(operation).collect(),
    }
}

/// Does the steps and says all that can be seen.
fn run(mut store: Subject, steps: &[Step]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut watches = Vec::new();
    for step in steps {
        seen.push(match step {
            Step::Transact(conditions, operations) => {
                said(wait(store.store().transact(transaction(conditions, operations))))
            }
            Step::Grant => said(wait(store.store().grant(Duration::from_secs(3600)))),
            Step::Revoke(lease) => said(wait(store.store().revoke(Lease(*lease)))),
            Step::Watch(after) => {
                watches.push(store.watch(if after % 2 == 0 { "low/" } else { "" }, Revision(*after)));
                String::new()
            }
            Step::Restart => {
                watches.clear();
                store = store.restarted();
                String::new()
            }
        });
        for watch in &watches {
            seen.extend(watch.try_iter().map(|event| told(&event)));
        }
        let page = wait(store.store().range(key(""), None, usize::MAX)).expect("it is read");
        seen.extend(page.entries.iter().map(|entry| {
            format!(
                "{} {:?} {:?} {:?} {:?}",
                entry.key, entry.value, entry.created, entry.modified, entry.lease
            )
        }));
        seen.push(format!("{:?}", page.revision));
    }
    seen
}

fn said<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    format!("{outcome:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_stores_say_the_same(steps in prop::collection::vec(step(), 1..30)) {
        let options = Options {
            history: History { revisions: 5, octets: 1000 },
            watch_events: 3,
            ..Options::default()
        };
        let (file, memory) = (Subject::sqlite(options.clone()), Subject::memory(options));
        prop_assert_eq!(run(file, &steps), run(memory, &steps));
    }
}
