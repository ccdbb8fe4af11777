//! Backups and what is made of them again; files that are refused.

mod common;

use common::{Subject, both, key, next, put, wait, when};
use kith_store::sqlite::{self, Sqlite};
use kith_store::{Compare, Options, Revision, Store, StoreError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn open(path: &Path) -> Result<Sqlite, StoreError> {
    Sqlite::open(path, Options::default())
}

fn refusal<T>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(why) => why.to_string(),
    }
}

fn all(store: &Sqlite) -> Vec<(String, Vec<u8>)> {
    let page = wait(store.range(key(""), None, usize::MAX)).expect("it is read");
    page.entries
        .into_iter()
        .map(|entry| (entry.key.to_string(), entry.value))
        .collect()
}

#[test]
fn a_backup_is_a_store_of_the_same_revision() {
    both(|store| {
        let lease = store.grant(Duration::from_secs(600));
        store.do_(vec![put("a", "1"), common::leased("b", lease)]);
        store.do_(vec![put("a", "2")]);
        let to = store.file("copy");
        assert_eq!(wait(store.store().backup(&to)).expect("a copy"), Revision(2));
        assert_eq!(
            std::fs::metadata(&to).expect("a file").permissions().mode() & 0o777,
            0o600
        );
        let copy = open(&to).expect("it opens");
        assert_eq!(all(&copy), store.all(""));
        let (entry, revision) = wait(copy.get(key("b"))).expect("it is read");
        assert_eq!(
            (entry.expect("it is there").lease, revision),
            (Some(lease), Revision(2))
        );
        wait(copy.revoke(lease)).expect("the lease lives in the copy");
        assert_eq!(store.all("").len(), 2, "the copy is another store");
    });
}

#[test]
fn a_backup_overwrites_nothing() {
    both(|store| {
        let to = store.file("copy");
        std::fs::write(&to, "precious").expect("a file");
        assert!(refusal(wait(store.store().backup(&to))).contains("overwrites nothing"));
        assert_eq!(std::fs::read(&to).expect("it is there"), b"precious");
    });
}

#[test]
fn a_backup_is_of_one_revision_while_others_write() {
    let subject = Subject::sqlite(Options::default());
    subject.do_(
        (0..2000)
            .map(|number| put(&format!("filler/{number}"), &"x".repeat(500)))
            .collect(),
    );
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let (subject, stop, written) = (&subject, &stop, &written);
            threads.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Keys far apart, so that they are on different pages.
                    subject.do_(
                        ["filler/0", "m", "z"]
                            .map(|part| put(&format!("{part}/{writer}"), &number.to_string()))
                            .into(),
                    );
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut during = 0;
        for number in 0..10 {
            let to = subject.file(&format!("copy-{number}"));
            let before = written.load(Ordering::Relaxed);
            let revision = wait(subject.store().backup(&to)).expect("a copy");
            during += written.load(Ordering::Relaxed) - before;
            one_revision(&to, revision);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(during > 0, "writers go on while the copy is made");
    });
}

fn one_revision(copy: &Path, revision: Revision) {
    let copy = open(copy).expect("it opens");
    let (_, found) = wait(copy.get(key("-"))).expect("it is read");
    assert_eq!(found, revision);
    let mut sum = 1;
    for writer in 0..4 {
        let [a, b, c] = ["filler/0", "m", "z"]
            .map(|part| {
                wait(copy.get(key(&format!("{part}/{writer}"))))
                    .expect("it is read")
                    .0
            })
            .map(|entry| entry.map(|entry| (entry.value, entry.modified)));
        assert!(a == b && b == c, "half a transaction");
        let writes = a.map_or(0, |(value, _)| {
            1 + String::from_utf8_lossy(&value).parse::<u64>().expect("a number")
        });
        sum += writes;
    }
    assert_eq!(
        sum, revision.0,
        "every transaction up to the revision, and none behind it"
    );
}

#[test]
fn a_running_store_takes_a_backup_back_as_one_revision() {
    let subject = Subject::sqlite(Options::default());
    let lease = subject.grant(Duration::from_secs(600));
    subject.do_(vec![put("a", "1"), put("b", "1"), common::leased("c", lease)]);
    let copy = subject.file("copy");
    wait(subject.store().backup(&copy)).expect("a copy");
    subject.do_(vec![put("a", "2"), put("d", "2")]);
    wait(subject.store().revoke(lease)).expect("it is revoked");
    let events = subject.watch("", Revision(3));

    let Subject::Sqlite {
        store: Some(store), ..
    } = &subject
    else {
        unreachable!("it was made so")
    };
    assert_eq!(wait(store.restore(&copy)).expect("it is restored"), Revision(4));
    assert_eq!(
        (next(&events), next(&events)),
        ("resync".to_owned(), "end".to_owned())
    );
    assert_eq!(
        subject
            .all("")
            .into_iter()
            .map(|(name, _)| name)
            .collect::<String>(),
        "abc"
    );
    assert_eq!(subject.get("a").expect("it is there").value, b"1");
    assert_eq!(
        next(&subject.watch("", Revision(3))),
        "resync",
        "nobody goes on from before the restore"
    );

    let stale = subject.try_(
        vec![when("b", Compare::ModifiedAt(Revision(1)))],
        vec![put("b", "2")],
    );
    assert!(
        matches!(stale, Err(StoreError::Conflict { .. })),
        "what was read before is not what is there"
    );
    wait(subject.store().keep_alive(lease)).expect("its leases live again");
    assert!(subject.grant(Duration::from_secs(1)) > lease);
    let subject = subject.restarted();
    assert_eq!((subject.revision(), subject.all("").len()), (Revision(4), 3));
}

#[test]
fn a_copy_becomes_the_store_where_there_is_none() {
    both(|store| {
        store.do_(vec![put("a", "1")]);
        let (copy, new) = (store.file("copy"), store.file("new"));
        wait(store.store().backup(&copy)).expect("a copy");
        let revision = sqlite::restore(&copy, &new).expect("it is restored");
        assert!(
            revision > Revision(1 << 30),
            "beyond whatever the lost store can have reached"
        );
        let restored = open(&new).expect("it opens");
        assert_eq!(all(&restored), store.all(""));
        let events = wait(restored.watch(key(""), Revision(1))).expect("a watch");
        assert_eq!(next(&events), "resync");
    });
}

#[test]
fn a_store_in_use_is_neither_opened_twice_nor_restored_from_outside() {
    let subject = Subject::sqlite(Options::default());
    subject.do_(vec![put("a", "1")]);
    let (path, copy) = (subject.file("store"), subject.file("copy"));
    wait(subject.store().backup(&copy)).expect("a copy");
    assert!(refusal(open(&path)).contains("has it open"));
    assert!(refusal(sqlite::restore(&copy, &path)).contains("has it open"));
    drop(subject.restarted());
}

#[test]
fn what_is_no_backup_is_refused_and_changes_nothing() {
    let subject = Subject::sqlite(Options::default());
    subject.do_(
        (0..500)
            .map(|number| put(&format!("k/{number}"), &"x".repeat(100)))
            .collect(),
    );
    let before = subject.all("");
    let (copy, none, text) = (subject.file("copy"), subject.file("none"), subject.file("text"));
    wait(subject.store().backup(&copy)).expect("a copy");
    std::fs::write(&text, "x".repeat(10_000)).expect("a file");
    let damaged = subject.file("damaged");
    let mut octets = std::fs::read(&copy).expect("a copy");
    for octet in octets.iter_mut().skip(20_000).take(3000) {
        *octet ^= 0x55;
    }
    std::fs::write(&damaged, &octets).expect("a file");
    let cut = subject.file("cut");
    std::fs::write(&cut, &octets[..octets.len() / 2]).expect("a file");

    let Subject::Sqlite {
        store: Some(store), ..
    } = &subject
    else {
        unreachable!("it was made so")
    };
    assert!(refusal(wait(store.restore(&none))).contains("no such file"));
    assert!(!none.exists());
    assert!(refusal(wait(store.restore(&text))).contains("not a database"));
    for broken in [&damaged, &cut] {
        let why = refusal(wait(store.restore(broken)));
        assert!(why.contains("damaged") || why.contains("malformed"), "{why}");
    }
    assert_eq!(subject.all(""), before);
    assert_eq!(subject.revision(), Revision(1));
    subject.do_(vec![put("a", "1")]);
}

#[test]
fn a_copy_that_is_refused_leaves_no_empty_store_where_there_was_none() {
    let subject = Subject::sqlite(Options::default());
    subject.do_(
        (0..500)
            .map(|number| put(&format!("k/{number}"), &"x".repeat(100)))
            .collect(),
    );
    let (copy, new) = (subject.file("copy"), subject.file("new"));
    wait(subject.store().backup(&copy)).expect("a copy");
    let octets = std::fs::read(&copy).expect("a copy");
    let damaged = subject.file("damaged");
    let mut bad = octets.clone();
    for octet in bad.iter_mut().skip(20_000).take(3000) {
        *octet ^= 0x55;
    }
    std::fs::write(&damaged, &bad).expect("a file");
    let cut = subject.file("cut");
    std::fs::write(&cut, &octets[..octets.len() / 2]).expect("a file");
    // Whole as a database, and one of ours, but without the tables of a store.
    let hollow = subject.file("hollow");
    std::fs::write(&hollow, &octets).expect("a file");
    rusqlite::Connection::open(&hollow)
        .expect("a database")
        .execute_batch("DROP TABLE entries")
        .expect("written");
    let missing = subject.file("missing");
    for broken in [&damaged, &cut, &hollow, &missing] {
        let why = refusal(sqlite::restore(broken, &new));
        assert!(!why.is_empty());
        for suffix in ["", "-wal", "-shm"] {
            let left = subject.file(&format!("new{suffix}"));
            assert!(
                !left.exists(),
                "{} is left of {}",
                left.display(),
                broken.display()
            );
        }
    }
    assert!(
        sqlite::restore(&copy, &new).is_ok(),
        "the good one is taken after all"
    );
}

#[test]
fn files_of_later_programs_and_of_others_are_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    drop(open(&path).expect("a new store"));
    rusqlite::Connection::open(&path)
        .expect("it is SQLite's")
        .pragma_update(None, "user_version", 9)
        .expect("written");
    let why = refusal(open(&path));
    assert!(why.contains("format 9") && why.contains("newer program"), "{why}");

    let other = folder.path().join("other");
    rusqlite::Connection::open(&other)
        .expect("a database")
        .execute_batch("CREATE TABLE t (a)")
        .expect("written");
    assert!(refusal(open(&other)).contains("something else"));
    assert!(refusal(open(&folder.path().join("no/folder/store"))).contains("No such file"));
}

#[test]
fn only_its_owner_may_read_a_store() {
    let subject = Subject::sqlite(Options::default());
    subject.do_(vec![put("a", "secret")]);
    std::fs::set_permissions(subject.file("store"), std::fs::Permissions::from_mode(0o644)).expect("changed");
    let subject = subject.restarted();
    subject.do_(vec![put("a", "secret")]);
    for name in ["store", "store-wal", "store-shm", "store.lock"] {
        let mode = std::fs::metadata(subject.file(name))
            .expect(name)
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
