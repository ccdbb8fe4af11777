//! The store in memory under a simulation: held commits, crashes, forks.

mod common;

use common::{key, leased, next, put, wait, when};
use kith_store::memory::{Memory, Ticket};
use kith_store::{Committed, Compare, Revision, Store, StoreError, Transaction};
use std::time::Duration;

fn write(name: &str, value: &str) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        operations: vec![put(name, value)],
    }
}

fn text(store: &Memory) -> String {
    let page = store.range_now(&key(""), None, usize::MAX).expect("it is read");
    let said = page
        .entries
        .iter()
        .map(|entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)));
    said.collect::<Vec<_>>().join(" ")
}

#[test]
fn without_a_runtime_a_transaction_is_a_call() {
    let store = Memory::new();
    assert_eq!(
        store.transact_now(&write("a", "1")).expect("done"),
        Committed {
            revision: Revision(1)
        }
    );
    assert_eq!(text(&store), "a=1");
}

#[test]
fn held_commits_are_seen_and_answered_when_the_simulation_says_so() {
    let store = Memory::new();
    store.hold(true);
    let events = store.watch_now(key(""), Revision(0)).expect("a watch");
    let (first, second) = (store.transact(write("a", "1")), store.transact(write("b", "1")));
    assert_eq!(store.unacknowledged(), [Ticket(1), Ticket(2)]);
    assert_eq!((text(&store).as_str(), events.len()), ("", 0));
    let (ticket, outcome) = store.commit_next().expect("one waits");
    assert_eq!(
        (ticket, outcome.expect("done").revision),
        (Ticket(1), Revision(1))
    );
    assert_eq!(wait(first).expect("done").revision, Revision(1));
    assert_eq!(
        (text(&store).as_str(), next(&events).as_str()),
        ("a=1", "1: +a=1")
    );
    store.hold(false);
    assert_eq!(wait(second).expect("done").revision, Revision(2));
    assert_eq!(text(&store), "a=1 b=1");
    assert!(store.commit_next().is_none());
}

#[test]
fn a_crash_keeps_the_acknowledged_and_as_much_more_as_it_is_told() {
    for (kept, expected) in [(0, "a=1"), (1, "a=2"), (2, "a=2 b=1"), (9, "a=2 b=1 d=1")] {
        let store = Memory::new();
        store.transact_now(&write("a", "1")).expect("done");
        store.hold(true);
        let waiting = store.transact(write("a", "2"));
        store.submit(write("b", "1"));
        let mut refused = write("c", "1");
        refused.conditions.push(when("a", Compare::Absent));
        store.submit(refused);
        store.submit(write("d", "1"));
        let events = store.watch_now(key(""), Revision(1)).expect("a watch");

        let after = store.crash(kept);
        assert_eq!(text(&after), expected);
        assert!(
            matches!(wait(waiting), Err(StoreError::Closed)),
            "it was never acknowledged"
        );
        assert_eq!(next(&events), "end");
        assert!(matches!(
            store.transact_now(&write("a", "3")),
            Err(StoreError::Closed)
        ));
        assert!(store.unacknowledged().is_empty() && after.unacknowledged().is_empty());
        let again = after.watch_now(key(""), Revision(0)).expect("a watch");
        assert_eq!(next(&again), "1: +a=1", "the history survives as well");
    }
}

#[test]
fn a_fork_is_the_store_as_it_was() {
    let store = Memory::new();
    let lease = store.grant_now(Duration::from_secs(1)).expect("a lease");
    let mut states = vec![text(&store)];
    for transaction in [
        write("a", "1"),
        Transaction {
            conditions: Vec::new(),
            operations: vec![put("a", "2"), leased("b", lease)],
        },
        write("c", "1"),
    ] {
        store.transact_now(&transaction).expect("done");
        states.push(text(&store));
    }
    store.advance(Duration::from_secs(2));
    states.push(text(&store));
    assert_eq!(states[4], "a=2 c=1", "the lease has ended");

    for (revision, state) in (0..).zip(&states) {
        let fork = store
            .fork_at(Revision(revision))
            .expect("the history reaches so far");
        assert_eq!((&text(&fork), fork.revision()), (state, Revision(revision)));
    }
    let fork = store.fork_at(Revision(3)).expect("the history reaches so far");
    fork.advance(Duration::from_millis(1500));
    assert_eq!(
        text(&fork),
        "a=2 c=1",
        "its lease lived again, with its whole time"
    );
    fork.transact_now(&write("d", "1")).expect("done");
    let events = fork.watch_now(key(""), Revision(3)).expect("a watch");
    assert_eq!([next(&events), next(&events)], ["4: -b", "5: +d=1"]);
    assert_eq!(text(&store), states[4], "nothing is shared");
    assert!(store.fork_at(Revision(9)).is_none());
}
