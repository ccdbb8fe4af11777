//! Watches: each revision once, whole, in order; or the word to resync.

mod common;

use common::{Random, both, both_with, key, next, put, told, wait};
use kith_store::{History, Operation, Options, Revision};
use std::collections::BTreeMap;

#[test]
fn a_watcher_hears_whole_revisions_of_its_prefix_in_order() {
    both(|store| {
        let events = store.watch("m/", Revision(0));
        store.do_(vec![put("m/b", "1"), put("x", "1"), put("m/a", "1")]);
        store.do_(vec![put("x", "2")]);
        store.do_(vec![Operation::delete("m/a"), put("m/b", "2")]);
        assert_eq!(next(&events), "1: +m/a=1 +m/b=1");
        assert_eq!(next(&events), "3: -m/a +m/b=2");
        assert_eq!(next(&events), "nothing");
    });
}

#[test]
fn a_watch_from_an_old_revision_hears_what_happened_since_as_it_happened() {
    both(|store| {
        store.do_(vec![put("a", "1")]);
        store.do_(vec![put("a", "2"), put("b", "1")]);
        store.do_(vec![Operation::delete("a")]);
        let store = store.restarted();
        let events = store.watch("", Revision(1));
        store.do_(vec![put("a", "3")]);
        assert_eq!(next(&events), "2: +a=2 +b=1");
        assert_eq!(next(&events), "3: -a");
        assert_eq!(next(&events), "4: +a=3");
        assert_eq!(next(&events), "nothing");
    });
}

#[test]
fn beyond_the_history_a_watcher_is_told_to_resync() {
    let options = Options {
        history: History {
            revisions: 3,
            octets: usize::MAX,
        },
        ..Options::default()
    };
    both_with(options, |store| {
        for number in 1..=10 {
            store.do_(vec![put("a", &number.to_string())]);
        }
        let store = store.restarted();
        for too_old in [0, 6] {
            let events = store.watch("", Revision(too_old));
            assert_eq!(
                (next(&events), next(&events)),
                ("resync".to_owned(), "end".to_owned())
            );
        }
        let events = store.watch("", Revision(7));
        assert_eq!(
            [next(&events), next(&events), next(&events)],
            ["8: +a=8", "9: +a=9", "10: +a=10"]
        );
    });
}

#[test]
fn the_history_is_bounded_in_octets_too() {
    let options = Options {
        history: History {
            revisions: usize::MAX,
            octets: 5000,
        },
        ..Options::default()
    };
    both_with(options, |store| {
        for _ in 0..10 {
            store.do_(vec![put("a", &"x".repeat(1000))]);
        }
        assert_eq!(next(&store.watch("", Revision(5))), "resync");
        assert!(next(&store.watch("", Revision(6))).starts_with("7: "));
        store.do_(vec![put("a", &"x".repeat(9000))]);
        assert!(
            next(&store.watch("", Revision(10))).starts_with("11: "),
            "the last revision is always kept"
        );
    });
}

#[test]
fn a_revision_that_never_was_is_no_place_to_watch_from() {
    both(|store| {
        store.do_(vec![put("a", "1")]);
        assert_eq!(next(&store.watch("", Revision(2))), "resync");
        assert_eq!(next(&store.watch("", Revision(u64::MAX))), "resync");
    });
}

#[test]
fn a_slow_watcher_is_told_to_resync_and_holds_no_more_than_its_bound() {
    let options = Options {
        watch_events: 8,
        ..Options::default()
    };
    both_with(options, |store| {
        let slow = store.watch("", Revision(0));
        let quick = store.watch("", Revision(0));
        let other = store.watch("elsewhere", Revision(0));
        for number in 1..=100 {
            store.do_(vec![put("a", &number.to_string())]);
            assert_eq!(next(&quick), format!("{number}: +a={number}"));
            assert!(slow.len() <= 9);
        }
        for number in 1..=8 {
            assert_eq!(next(&slow), format!("{number}: +a={number}"));
        }
        assert_eq!(
            (next(&slow), next(&slow)),
            ("resync".to_owned(), "end".to_owned())
        );
        assert_eq!(next(&other), "nothing", "who watches something else is not slow");
    });
}

#[test]
fn a_watcher_that_begins_far_back_is_not_slow_for_that() {
    let options = Options {
        watch_events: 4,
        ..Options::default()
    };
    both_with(options, |store| {
        for number in 1..=50 {
            store.do_(vec![put("a", &number.to_string())]);
        }
        let events = store.watch("", Revision(0));
        store.do_(vec![put("a", "51")]);
        for number in 1..=51 {
            assert_eq!(next(&events), format!("{number}: +a={number}"));
        }
    });
}

/// Watchers that begin and resync at random while many write: what each has put together is what is there.
#[test]
fn what_watchers_put_together_is_what_is_there() {
    let options = Options {
        watch_events: 16,
        history: History {
            revisions: 40,
            octets: usize::MAX,
        },
        ..Options::default()
    };
    for seed in 1..=4 {
        both_with(options.clone(), |store| {
            let mut random = Random(seed);
            let mut mirrors: Vec<Mirror> = (0..4).map(|_| Mirror::default()).collect();
            for _ in 0..400 {
                let mut operations = BTreeMap::new();
                for _ in 0..=random.below(4) {
                    let name = format!("k/{}", random.below(12));
                    let operation = match random.below(3) {
                        0 => Operation::delete(name.clone()),
                        _ => put(&name, &random.next().to_string()),
                    };
                    operations.insert(name, operation);
                }
                store.do_(operations.into_values().collect());
                let mirror = &mut mirrors[usize::try_from(random.below(4)).expect("small")];
                match random.below(12) {
                    0 => mirror.events = None,
                    1..6 => mirror.follow(&store),
                    _ => {}
                }
            }
            for mirror in &mut mirrors {
                mirror.follow(&store);
                assert_eq!(
                    mirror.entries.clone().into_iter().collect::<Vec<_>>(),
                    store.all("k/")
                );
                assert_eq!(mirror.at, store.revision());
            }
            let resyncs: usize = mirrors.iter().map(|mirror| mirror.resyncs).sum();
            assert!(resyncs > 0, "the test wants some to fall behind");
        });
    }
}

#[derive(Default)]
struct Mirror {
    entries: BTreeMap<String, Vec<u8>>,
    at: Revision,
    events: Option<flume::Receiver<kith_store::WatchEvent>>,
    resyncs: usize,
}

impl Mirror {
    /// Takes all events that are there; resyncs if told so.
    fn follow(&mut self, store: &common::Subject) {
        loop {
            let events = self.events.get_or_insert_with(|| store.watch("k/", self.at));
            match events.try_recv() {
                Ok(kith_store::WatchEvent::Changed { revision, changes }) => {
                    assert!(revision > self.at, "{} after {:?}", revision.0, self.at);
                    self.at = revision;
                    for change in changes {
                        match change {
                            kith_store::Change::Put(entry) => {
                                self.entries.insert(entry.key.to_string(), entry.value);
                            }
                            kith_store::Change::Deleted(name) => {
                                assert!(
                                    self.entries.remove(name.as_str()).is_some(),
                                    "{name} was not there"
                                );
                            }
                        }
                    }
                }
                Ok(event @ kith_store::WatchEvent::Resync) => {
                    assert_eq!(told(&event), "resync");
                    let page = wait(store.store().range(key("k/"), None, usize::MAX)).expect("a page");
                    let named = page
                        .entries
                        .into_iter()
                        .map(|entry| (entry.key.to_string(), entry.value));
                    (self.entries, self.at, self.events) = (named.collect(), page.revision, None);
                    self.resyncs += 1;
                }
                Err(flume::TryRecvError::Empty) => {
                    // A revision may have changed nothing here.
                    self.at = self.at.max(store.revision());
                    return;
                }
                Err(flume::TryRecvError::Disconnected) => panic!("a watch ends with the word to resync"),
            }
        }
    }
}
