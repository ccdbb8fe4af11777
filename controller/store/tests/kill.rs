//! A process that writes is killed at random points: every acknowledged transaction is there afterwards, none is half there.
//!
//! ```text
//!  this test ──► the same binary, as a child: 4 writers, each puts its number under 4 keys, then tells it ──► kill -9
//!      ▲                                                             │
//!      └──────────────── numbers that were acknowledged ◄────────────┘ (a pipe; what was told before the kill is read)
//! ```

mod common;

use common::{Random, key, put, wait};
use kith_store::sqlite::Sqlite;
use kith_store::{Change, Compare, Condition, Options, Revision, Store, Transaction, WatchEvent};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const KILLS: usize = 60;
const WRITERS: usize = 4;
const PARTS: [&str; 4] = ["a", "b", "c", "d"];
/// Tells the child where its store is.
const CHILD: &str = "KITH_STORE_TEST_CHILD";

#[test]
fn sixty_kills_lose_nothing_acknowledged_and_leave_nothing_half_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut random = Random(4);
    let mut told = [0; WRITERS];
    let (mut unseen, mut total) = (0, 0);
    for _ in 0..KILLS {
        let acknowledged = kill_a_child(&path, Duration::from_millis(random.below(140)));
        for (writer, number) in acknowledged {
            assert!(
                number > told[writer],
                "a child goes on where the one before it was"
            );
            told[writer] = number;
            total += 1;
        }
        unseen += 1;
        // Sometimes the next child finds the file as the killed one left it.
        if random.below(3) > 0 {
            told = verify(&path, told, unseen);
            unseen = 0;
        }
    }
    verify(&path, told, unseen);
    assert!(
        total > KILLS as u64,
        "the children must have come to write: {total}"
    );
    println!("{total} transactions acknowledged over {KILLS} kills");
}

/// Not a test by itself: what the child does.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let store = Sqlite::open(Path::new(&path), small()).expect("the store opens after any kill");
    std::thread::scope(|threads| {
        for writer in 0..WRITERS {
            let store = &store;
            threads.spawn(move || write_for_ever(store, writer));
        }
    });
}

/// A short history and a short log, so that forgetting the one and bringing in the other are under test too.
fn small() -> Options {
    let mut options = Options {
        log: 128 << 10,
        ..Options::default()
    };
    options.history.revisions = 50;
    options
}

fn write_for_ever(store: &Sqlite, writer: usize) {
    let first = name(writer, PARTS[0]);
    loop {
        let before = wait(store.get(key(&first))).expect("it is read").0;
        let number = 1 + before.as_ref().map_or(0, |entry| parse(&entry.value));
        let is = before.map_or(Compare::Absent, |entry| Compare::ModifiedAt(entry.modified));
        let transaction = Transaction {
            conditions: vec![Condition { key: key(&first), is }],
            operations: PARTS
                .map(|part| put(&name(writer, part), &number.to_string()))
                .into(),
        };
        wait(store.transact(transaction)).expect("it is written");
        let line = format!("acknowledged {writer} {number}\n");
        // Not `print`: the test harness would keep it.
        std::io::stdout()
            .lock()
            .write_all(line.as_bytes())
            .expect("the parent listens");
    }
}

/// Lets a child write for a while and kills it. Gives what it was acknowledged.
fn kill_a_child(path: &Path, after: Duration) -> Vec<(usize, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("our own binary"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    std::thread::sleep(after);
    child.kill().expect("it is killed");
    let status = child.wait().expect("it is gone");
    assert_eq!(status.code(), None, "it was killed and did not end by itself");
    let acknowledged = lines.map_while(Result::ok).filter_map(|line| {
        let mut words = line.strip_prefix("acknowledged ")?.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    });
    acknowledged.collect()
}

/// All that was told is there, at most one more for each kill, and every revision is whole. Gives what is there.
fn verify(path: &Path, told: [u64; WRITERS], unseen: u64) -> [u64; WRITERS] {
    let store = Sqlite::open(path, small()).expect("the store opens after any kill");
    let found = std::array::from_fn(|writer| {
        let numbers = PARTS.map(|part| {
            let entry = wait(store.get(key(&name(writer, part)))).expect("it is read").0;
            entry.map_or((0, Revision(0)), |entry| (parse(&entry.value), entry.modified))
        });
        assert!(
            numbers.iter().all(|number| *number == numbers[0]),
            "half a transaction: {numbers:?}"
        );
        let number = numbers[0].0;
        assert!(
            number >= told[writer],
            "{number} is there, {} was acknowledged",
            told[writer]
        );
        assert!(number <= told[writer] + unseen, "{number} was never asked for");
        number
    });
    let revision = wait(store.get(key("-"))).expect("it is read").1;
    assert_eq!(
        revision.0,
        found.iter().sum::<u64>(),
        "each transaction is a revision"
    );
    history_is_whole(&store, revision);
    found
}

fn history_is_whole(store: &Sqlite, revision: Revision) {
    let after = Revision(revision.0.saturating_sub(50));
    let events = wait(store.watch(key(""), after)).expect("a watch");
    for expected in after.0 + 1..=revision.0 {
        let Ok(WatchEvent::Changed { revision, changes }) = events.try_recv() else {
            panic!("revision {expected} is missing in the history")
        };
        assert_eq!(revision.0, expected);
        let value = |change: &Change| match change {
            Change::Put(entry) => parse(&entry.value),
            Change::Deleted(key) => panic!("{key} was never deleted"),
        };
        let values: Vec<_> = changes.iter().map(value).collect();
        assert_eq!(values, vec![values[0]; PARTS.len()]);
    }
    assert!(events.is_empty());
}

fn name(writer: usize, part: &str) -> String {
    format!("{part}/{writer}")
}

fn parse(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}
