//! Stores that fail: afterwards there is the old or the new, never a mix, and nobody heard of what did not happen.

mod common;

use common::{Random, Subject, both_with, key, next, put, wait};
use kith_store::{Faults, Operation, Options, Point, Revision, StoreError, Transaction};
use std::sync::{Arc, Mutex};

const PARTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Fails at random: at every fourth transaction or so, on average.
fn at_random(seed: u64) -> Options {
    let random = Mutex::new(Random(seed));
    let faults = Faults::new(move |point| {
        let one_of = match point {
            Point::Write => 40,
            Point::Commit => 10,
            Point::Answer => 30,
        };
        random.lock().expect("no test panics with it").below(one_of) == 0
    });
    Options {
        faults,
        ..Options::default()
    }
}

#[test]
fn a_store_that_fails_at_random_has_the_old_or_the_new() {
    for seed in 1..=3 {
        both_with(at_random(seed), |mut store| {
            let (mut failed, mut unknown) = (0, 0);
            let mut there = (0, Revision(0));
            for number in 1..=300 {
                let tried = store.try_(
                    Vec::new(),
                    PARTS.map(|part| put(part, &number.to_string())).into(),
                );
                there = match tried {
                    Ok(revision) => {
                        assert_eq!(revision.0, there.1.0 + 1);
                        (number, revision)
                    }
                    Err(StoreError::Failed(_)) => {
                        failed += 1;
                        there
                    }
                    Err(StoreError::Closed) => {
                        unknown += 1;
                        store = store.restarted();
                        (number, Revision(there.1.0 + 1))
                    }
                    Err(why) => panic!("{why}"),
                };
                assert_eq!(store.revision(), there.1);
                let numbers = PARTS.map(|part| {
                    store.get(part).map_or("0".into(), |entry| {
                        String::from_utf8(entry.value).expect("a number")
                    })
                });
                assert_eq!(numbers, [const { String::new() }; 5].map(|_| there.0.to_string()));
            }
            assert!(
                failed > 5 && unknown > 2,
                "the test wants failures: {failed}, {unknown}"
            );
        });
    }
}

#[test]
fn a_lease_and_its_keys_end_together_or_not_at_all() {
    for seed in 1..=3 {
        both_with(at_random(seed), |mut store| {
            for _ in 0..60 {
                let Ok(lease) = wait(store.store().grant(std::time::Duration::from_secs(600))) else {
                    store = store.restarted();
                    continue;
                };
                let puts: Vec<_> = PARTS.iter().map(|part| common::leased(part, lease)).collect();
                if let Err(StoreError::Closed) = store.try_(Vec::new(), puts) {
                    store = store.restarted();
                }
                let before = store.all("").len();
                match wait(store.store().revoke(lease)) {
                    Ok(()) => assert!(store.all("").is_empty()),
                    Err(StoreError::Failed(_)) => {
                        assert_eq!(store.all("").len(), before);
                        revoke_at_last(&mut store, lease);
                    }
                    Err(StoreError::Closed) => {
                        store = store.restarted();
                        assert!(store.all("").is_empty(), "it was on disk");
                    }
                    Err(why) => panic!("{why}"),
                }
            }
        });
    }
}

fn revoke_at_last(store: &mut Subject, lease: kith_store::Lease) {
    for _ in 0..100 {
        match wait(store.store().revoke(lease)) {
            Ok(()) | Err(StoreError::NoLease(_)) => return,
            Err(StoreError::Failed(_)) => {}
            Err(StoreError::Closed) => {
                *store = std::mem::replace(store, Subject::memory(Options::default())).restarted()
            }
            Err(why) => panic!("{why}"),
        }
    }
    panic!("not every attempt fails");
}

#[test]
fn watchers_hear_nothing_of_what_failed() {
    let failing = Arc::new(Mutex::new(None));
    let asked = failing.clone();
    let faults = Faults::new(move |point| *asked.lock().expect("no test panics with it") == Some(point));
    both_with(
        Options {
            faults,
            ..Options::default()
        },
        |store| {
            let events = store.watch("", Revision(0));
            store.do_(vec![put("a", "1")]);
            for point in [Point::Write, Point::Commit] {
                *failing.lock().expect("no test panics with it") = Some(point);
                assert!(matches!(
                    store.try_(Vec::new(), vec![put("a", "2")]),
                    Err(StoreError::Failed(_))
                ));
                *failing.lock().expect("no test panics with it") = None;
            }
            store.do_(vec![put("a", "3")]);
            assert_eq!(
                [next(&events), next(&events), next(&events)],
                ["1: +a=1", "2: +a=3", "nothing"]
            );
            let again = store.watch("", Revision(0));
            assert_eq!(
                [next(&again), next(&again), next(&again)],
                ["1: +a=1", "2: +a=3", "nothing"]
            );
        },
    );
}

/// Many at once, so that they share commits that fail.
#[test]
fn of_transactions_that_share_a_failing_commit_each_is_whole_or_refused() {
    both_with(at_random(9), |mut store| {
        let mut told = [0_u64; 32];
        for round in 1..=40_u64 {
            let calls: Vec<_> = (0..told.len())
                .map(|caller| {
                    store.store().transact(Transaction {
                        conditions: Vec::new(),
                        operations: PARTS
                            .map(|part| put(&format!("{caller}/{part}"), &round.to_string()))
                            .into(),
                    })
                })
                .collect();
            let outcomes: Vec<_> = calls.into_iter().map(wait).collect();
            if outcomes
                .iter()
                .any(|outcome| matches!(outcome, Err(StoreError::Closed)))
            {
                store = store.restarted();
            }
            for (caller, outcome) in outcomes.into_iter().enumerate() {
                let found: Vec<_> = store
                    .all(&format!("{caller}/"))
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect();
                assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "a mix");
                assert!(found.is_empty() || found.len() == PARTS.len(), "a part");
                let found = found.first().map_or(0, |value| {
                    String::from_utf8_lossy(value).parse().expect("a number")
                });
                match outcome {
                    Ok(_) => assert_eq!(found, round),
                    Err(StoreError::Failed(_)) => assert_eq!(found, told[caller]),
                    Err(_) => assert!(found == told[caller] || found == round),
                }
                told[caller] = found;
            }
        }
    });
}

#[test]
fn a_full_disk_refuses_what_is_too_large_and_nothing_else() {
    let store = Subject::sqlite(Options {
        largest: Some(512 << 10),
        ..Options::default()
    });
    store.do_(vec![put("a", "1")]);
    let large = Operation::put("large", vec![7; 1 << 20]);
    let transact = |operations| {
        store.store().transact(Transaction {
            conditions: Vec::new(),
            operations,
        })
    };
    let calls = [
        transact(vec![put("a", "2")]),
        transact(vec![put("b", "1"), large]),
        transact(vec![put("c", "1")]),
    ];
    let [before, too_large, behind] = calls.map(wait);
    assert_eq!(before.expect("it fits").revision, Revision(2));
    let why = too_large.expect_err("it does not fit").to_string();
    assert!(why.contains("full"), "{why}");
    assert_eq!(behind.expect("it fits").revision, Revision(3));
    assert_eq!(
        store.all(""),
        [("a".to_owned(), b"2".to_vec()), ("c".to_owned(), b"1".to_vec())]
    );
    let store = store.restarted();
    assert!(wait(store.store().get(key("b"))).expect("it is read").0.is_none());
}
