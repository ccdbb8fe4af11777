//! What every store does, on each of them.

mod common;

use common::{both, key, leased, next, put, wait, when};
use kith_store::{Compare, Lease, Operation, Revision, StoreError};
use std::time::Duration;

#[test]
fn revisions_grow_by_one_with_each_change_and_not_without() {
    both(|store| {
        assert_eq!(store.revision(), Revision(0));
        assert_eq!(store.do_(vec![put("a", "1"), put("b", "1")]), Revision(1));
        assert_eq!(
            store.do_(vec![put("a", "1")]),
            Revision(2),
            "written again is changed"
        );
        assert_eq!(store.do_(vec![Operation::delete("none")]), Revision(2));
        assert_eq!(store.do_(Vec::new()), Revision(2));
        assert_eq!(store.do_(vec![Operation::delete("a")]), Revision(3));
        assert_eq!(store.revision(), Revision(3));
    });
}

#[test]
fn an_entry_knows_when_it_came_and_when_it_was_last_written() {
    both(|store| {
        store.do_(vec![put("a", "1")]);
        store.do_(vec![put("b", "1")]);
        store.do_(vec![put("a", "2")]);
        let entry = store.get("a").expect("it is there");
        assert_eq!((entry.created, entry.modified), (Revision(1), Revision(3)));
        assert_eq!(entry.value, b"2");
        store.do_(vec![Operation::delete("a")]);
        assert!(store.get("a").is_none());
        store.do_(vec![put("a", "3")]);
        assert_eq!(store.get("a").expect("it is there again").created, Revision(5));
    });
}

#[test]
fn a_value_may_be_empty_and_a_key_may_hold_any_text() {
    both(|store| {
        for name in ["", "a\0b", "ü/☃/\u{10ffff}", "'; DROP TABLE entries; --", "%_"] {
            store.do_(vec![put(name, "")]);
            assert_eq!(store.get(name).expect("it is there").value, b"");
        }
        let events = store.watch("%", Revision(0));
        assert_eq!(next(&events), "5: +%_=", "a prefix is no pattern");
        assert_eq!(store.all("").len(), 5);
    });
}

#[test]
fn a_condition_that_does_not_hold_leaves_nothing_and_names_its_key() {
    both(|store| {
        store.do_(vec![put("a", "1")]);
        let refused = [
            when("a", Compare::Absent),
            when("b", Compare::Present),
            when("a", Compare::ModifiedAt(Revision(2))),
            when("b", Compare::ModifiedAt(Revision(0))),
        ];
        for condition in refused {
            let name = condition.key.clone();
            let tried = store.try_(
                vec![when("a", Compare::Present), condition],
                vec![put("a", "2"), put("c", "2")],
            );
            assert!(matches!(tried, Err(StoreError::Conflict { key }) if key == name));
        }
        assert_eq!(store.all(""), [("a".to_owned(), b"1".to_vec())]);
        let held = vec![
            when("a", Compare::ModifiedAt(Revision(1))),
            when("b", Compare::Absent),
        ];
        assert_eq!(
            store
                .try_(held, vec![put("a", "2"), put("b", "2")])
                .expect("all hold"),
            Revision(2)
        );
    });
}

#[test]
fn a_key_stands_in_one_operation_only() {
    both(|store| {
        let tried = store.try_(
            Vec::new(),
            vec![put("b", "1"), put("a", "1"), Operation::delete("b")],
        );
        assert!(matches!(tried, Err(StoreError::Twice { key: name }) if name == key("b")));
        assert!(store.all("").is_empty());
    });
}

#[test]
fn of_a_hundred_who_want_the_same_key_one_gets_it() {
    both(|store| {
        let claims: Vec<_> = (0..100)
            .map(|claimant| {
                store.store().transact(kith_store::Transaction {
                    conditions: vec![when("address", Compare::Absent)],
                    operations: vec![put("address", &claimant.to_string())],
                })
            })
            .collect();
        let outcomes: Vec<_> = claims.into_iter().map(wait).collect();
        assert!(outcomes[0].is_ok(), "calls made in an order happen in that order");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(store.all(""), [("address".to_owned(), b"0".to_vec())]);
        assert_eq!(store.revision(), Revision(1));
    });
}

#[test]
fn a_call_happens_even_if_nobody_waits_for_it() {
    both(|store| {
        drop(store.store().transact(kith_store::Transaction {
            conditions: Vec::new(),
            operations: vec![put("a", "1")],
        }));
        assert_eq!(store.do_(vec![put("b", "1")]), Revision(2));
        assert!(store.get("a").is_some());
    });
}

#[test]
fn a_range_is_in_order_and_comes_in_pages_of_one_revision() {
    both(|store| {
        store.do_(
            ["m/3", "m/1", "n/1", "m/2", "m", "l/9", "m/\u{10ffff}x"]
                .map(|name| put(name, name))
                .into(),
        );
        let page = |after: Option<&str>, limit| {
            let page = wait(store.store().range(key("m/"), after.map(key), limit)).expect("a page");
            assert_eq!(page.revision, Revision(1));
            let names: Vec<_> = page.entries.iter().map(|entry| entry.key.to_string()).collect();
            (names.join(" "), page.more)
        };
        assert_eq!(page(None, 2), ("m/1 m/2".to_owned(), true));
        assert_eq!(page(Some("m/2"), 2), ("m/3 m/\u{10ffff}x".to_owned(), false));
        assert_eq!(
            page(Some("a"), 1),
            ("m/1".to_owned(), true),
            "behind a key before the prefix is all of it"
        );
        assert_eq!(
            page(Some("m/25"), 9),
            ("m/3 m/\u{10ffff}x".to_owned(), false),
            "the key need not be there"
        );
        assert_eq!(page(Some("z"), 9), (String::new(), false));
        assert_eq!(page(None, 0), (String::new(), true));
    });
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    both(|store| {
        for number in 0..50 {
            store.do_(vec![
                put(&format!("k/{number:02}"), "1"),
                put("last", &number.to_string()),
            ]);
        }
        let before = store.all("");
        let store = store.restarted();
        assert_eq!(store.all(""), before);
        assert_eq!(store.revision(), Revision(50));
        assert_eq!(store.do_(vec![put("last", "50")]), Revision(51));
    });
}

#[test]
fn a_lease_that_ends_takes_its_keys_in_one_revision() {
    both(|store| {
        // Longer than a busy disk may keep the writes below waiting.
        let lease = store.grant(Duration::from_secs(2));
        store.do_(vec![leased("a", lease), leased("b", lease), put("c", "1")]);
        store.do_(vec![leased("d", lease)]);
        let events = store.watch("", Revision(2));
        store.pass(Duration::from_millis(2100));
        assert_eq!(next(&events), "3: -a -b -d");
        assert_eq!(store.all("").len(), 1);
        assert!(matches!(
            wait(store.store().keep_alive(lease)),
            Err(StoreError::NoLease(_))
        ));
    });
}

#[test]
fn a_lease_kept_alive_lives() {
    both(|store| {
        let lease = store.grant(Duration::from_secs(2));
        store.do_(vec![leased("a", lease)]);
        for _ in 0..6 {
            store.pass(Duration::from_millis(400));
            wait(store.store().keep_alive(lease)).expect("it lives");
        }
        assert!(store.get("a").is_some());
        store.pass(Duration::from_millis(2100));
        assert!(store.get("a").is_none());
    });
}

#[test]
fn a_revoked_lease_takes_its_keys_and_is_never_given_out_again() {
    both(|store| {
        let lease = store.grant(Duration::from_secs(60));
        store.do_(vec![leased("a", lease)]);
        wait(store.store().revoke(lease)).expect("it is revoked");
        assert!(store.get("a").is_none());
        assert_eq!(store.revision(), Revision(2));
        assert!(matches!(
            wait(store.store().revoke(lease)),
            Err(StoreError::NoLease(_))
        ));
        let store = store.restarted();
        assert!(store.grant(Duration::from_secs(60)) > lease);
    });
}

#[test]
fn a_key_follows_its_last_writer_from_lease_to_lease() {
    both(|store| {
        let (first, second) = (
            store.grant(Duration::from_secs(60)),
            store.grant(Duration::from_secs(60)),
        );
        store.do_(vec![
            leased("stays", first),
            leased("moves", first),
            leased("goes", first),
        ]);
        store.do_(vec![put("stays", "1"), leased("moves", second)]);
        assert_eq!(store.get("moves").expect("it is there").lease, Some(second));
        wait(store.store().revoke(first)).expect("it is revoked");
        assert_eq!(store.all("").len(), 2);
        wait(store.store().revoke(second)).expect("it is revoked");
        assert_eq!(store.all("").len(), 1);
    });
}

#[test]
fn nothing_is_put_under_a_lease_that_is_not() {
    both(|store| {
        let tried = store.try_(Vec::new(), vec![put("a", "1"), leased("b", Lease(7))]);
        assert!(matches!(tried, Err(StoreError::NoLease(Lease(7)))));
        assert!(store.all("").is_empty());
    });
}

#[test]
fn a_lease_has_its_whole_time_again_after_a_restart() {
    both(|store| {
        let lease = store.grant(Duration::from_millis(1200));
        store.do_(vec![leased("a", lease)]);
        store.pass(Duration::from_millis(800));
        let store = store.restarted();
        store.pass(Duration::from_millis(800));
        assert!(
            store.get("a").is_some(),
            "400 ms of 600 have passed since the restart"
        );
        store.pass(Duration::from_millis(800));
        assert!(store.get("a").is_none());
        assert_eq!(store.revision(), Revision(2));
    });
}
