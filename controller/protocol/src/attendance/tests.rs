//! Whatever changes and whatever breaks: once a stream is quiet, the director holds what the manager grants, and was told nothing twice.

use super::*;
use crate::director::{DirectorOrder, director_order::Order};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn grant(key: u8) -> Grant {
    Grant {
        key: Secret32::new([key; 32]),
        community: 1,
        name: "ada.acme.example".into(),
    }
}

fn fill(roster: &mut Roster, grants: &BTreeMap<u64, u8>) {
    for (key_id, key) in grants {
        roster.add(*key_id, grant(*key));
    }
}

/// A director on a stream, and what its desk has made of the news.
#[derive(Default)]
struct Director {
    mirror: Mirror,
    desk: BTreeMap<u64, u8>,
    complete: usize,
}

impl Director {
    fn attend(&mut self, roster: &Roster) -> (bool, Cursor) {
        let (epoch, sequence) = self.mirror.begin();
        let (welcome, cursor) = roster.attend(epoch, sequence);
        let snapshot = welcome.snapshot;
        let order = Order::Welcome(welcome);
        self.obey(DirectorOrder { order: Some(order) }).unwrap();
        (snapshot, cursor)
    }

    fn obey(&mut self, order: DirectorOrder) -> Result<(), Disorder> {
        let mut news = Vec::new();
        self.mirror.order(order, &mut news)?;
        for one in news {
            match one {
                News::Added(key_id, grant) => {
                    let key = grant.key.expose()[0];
                    assert_ne!(self.desk.insert(key_id, key), Some(key), "told twice");
                }
                News::Removed(key_id) => assert!(self.desk.remove(&key_id).is_some(), "removed twice"),
                News::Complete => self.complete += 1,
            }
        }
        Ok(())
    }

    /// Up to so many orders; what was the last.
    fn hear(&mut self, roster: &Roster, cursor: &mut Cursor, most: usize) -> Next {
        for _ in 0..most {
            match roster.next(cursor) {
                Next::Order(order) => self.obey(order).unwrap(),
                other => return other,
            }
        }
        roster.next(&mut cursor.clone())
    }
}

#[test]
fn a_snapshot_comes_in_pages_and_takes_away_what_it_lacks() {
    let mut roster = Roster::new(7);
    (0..PAGE as u64 + 10).for_each(|key_id| assert!(roster.add(key_id, grant(1))));
    let mut director = Director::default();
    let (snapshot, mut cursor) = director.attend(&roster);
    assert!(snapshot);
    assert!(matches!(director.hear(&roster, &mut cursor, 4), Next::Idle));
    assert_eq!((director.desk.len(), director.complete), (PAGE + 10, 1));

    // Another manager process: another epoch, and one member less.
    let mut restarted = Roster::new(8);
    (1..PAGE as u64 + 10).for_each(|key_id| assert!(restarted.add(key_id, grant(1))));
    let (snapshot, mut cursor) = director.attend(&restarted);
    assert!(snapshot);
    director.hear(&restarted, &mut cursor, 2);
    assert!(
        director.desk.contains_key(&0),
        "it stays until the snapshot's end"
    );
    director.hear(&restarted, &mut cursor, 10);
    assert!(!director.desk.contains_key(&0));
}

#[test]
fn who_was_away_for_a_little_goes_on_and_who_was_away_for_long_begins_anew() {
    let mut roster = Roster::new(7);
    roster.add(1, grant(1));
    let mut director = Director::default();
    let (_, mut cursor) = director.attend(&roster);
    director.hear(&roster, &mut cursor, 10);
    roster.remove(1);
    roster.add(2, grant(2));
    let (snapshot, mut cursor) = director.attend(&roster);
    assert!(!snapshot);
    director.hear(&roster, &mut cursor, 10);
    assert_eq!(director.desk, BTreeMap::from([(2, 2)]));
    for round in 0..=LOG {
        roster.add(3, grant((round % 2) as u8));
    }
    assert!(matches!(director.hear(&roster, &mut cursor, 1), Next::Behind));
    assert!(director.attend(&roster).0);
}

#[test]
fn telling_everything_again_changes_nothing_but_what_is_over() {
    let mut roster = Roster::new(7);
    fill(&mut roster, &BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
    roster.begin();
    assert!(!roster.add(1, grant(1)));
    assert!(roster.add(2, grant(9)));
    assert!(roster.add(4, grant(1)));
    assert_eq!(roster.end(), [3]);
    assert_eq!(roster.len(), 3);
}

#[test]
fn orders_out_of_order_are_refused_and_the_next_stream_begins_from_nothing() {
    let mut roster = Roster::new(7);
    roster.add(1, grant(1));
    let mut director = Director::default();
    let (_, mut cursor) = director.attend(&roster);
    director.hear(&roster, &mut cursor, 10);
    let change = |sequence, key: usize| {
        let mut add = grant(1).message(9);
        add.key.truncate(key);
        let change = Some(director::change::Change::Add(add));
        let order = Order::Change(director::Change { sequence, change });
        DirectorOrder { order: Some(order) }
    };
    let welcome = || DirectorOrder {
        order: Some(Order::Welcome(director::Welcome::default())),
    };
    for (order, expected) in [
        (change(1, 32), Disorder::Sequence { last: 1, got: 1 }),
        (change(3, 32), Disorder::Sequence { last: 1, got: 3 }),
        (change(2, 31), Disorder::Grant),
        (welcome(), Disorder::Unexpected("welcome")),
        (DirectorOrder { order: None }, Disorder::Empty),
    ] {
        assert_eq!(director.obey(order), Err(expected));
        assert_eq!(director.mirror.begin(), (0, 0));
        let (snapshot, mut cursor) = director.attend(&roster);
        assert!(snapshot);
        director.hear(&roster, &mut cursor, 10);
    }
    director.mirror.begin();
    assert_eq!(director.obey(change(2, 32)), Err(Disorder::Unexpected("change")));
    director.mirror.begin();
    assert_eq!(
        director.obey(welcome()),
        Err(Disorder::Epoch),
        "it holds nothing to go on behind"
    );
    assert_eq!(director.desk, BTreeMap::from([(1, 1)]), "what is held stays");
}

#[derive(Debug, Clone)]
enum Event {
    Add(u64, u8),
    Remove(u64),
    /// So many orders arrive.
    Hear(usize),
    /// The connection is lost and made again.
    Reconnect,
    /// The manager is killed: a new roster with the same grants.
    Restart,
    /// The core is loaded again: everything is told again, without one.
    Reload(u64),
    /// The director is killed.
    Forget,
    /// More changes than the log keeps.
    Storm,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..400u64, 0..3u8).prop_map(|(key_id, key)| Event::Add(key_id, key)),
        4 => (0..400u64).prop_map(Event::Remove),
        6 => (0..4usize).prop_map(Event::Hear),
        3 => Just(Event::Reconnect),
        1 => Just(Event::Restart),
        1 => (0..400u64).prop_map(Event::Reload),
        1 => Just(Event::Forget),
        1 => Just(Event::Storm),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_director_ends_with_the_managers_set(first in 0..350u64, events in prop::collection::vec(event(), 0..80)) {
        let mut roster = Roster::new(1);
        fill(&mut roster, &(0..first).map(|key_id| (key_id, 0)).collect());
        let mut truth: BTreeMap<u64, u8> = (0..first).map(|key_id| (key_id, 0)).collect();
        let (mut director, mut epoch) = (Director::default(), 1);
        let (_, mut cursor) = director.attend(&roster);
        for event in events {
            match event {
                Event::Add(key_id, key) => {
                    roster.add(key_id, grant(key));
                    truth.insert(key_id, key);
                }
                Event::Remove(key_id) => {
                    roster.remove(key_id);
                    truth.remove(&key_id);
                }
                Event::Hear(most) => {
                    if matches!(director.hear(&roster, &mut cursor, most), Next::Behind) {
                        cursor = director.attend(&roster).1;
                    }
                }
                Event::Reconnect => cursor = director.attend(&roster).1,
                Event::Restart => {
                    epoch += 1;
                    roster = Roster::new(epoch);
                    fill(&mut roster, &truth);
                    cursor = director.attend(&roster).1;
                }
                Event::Reload(without) => {
                    roster.begin();
                    truth.remove(&without);
                    fill(&mut roster, &truth);
                    roster.end();
                }
                Event::Forget => {
                    director = Director::default();
                    cursor = director.attend(&roster).1;
                }
                Event::Storm => {
                    for round in 0..=LOG as u64 {
                        roster.add(1_000, grant((round % 2) as u8));
                    }
                    roster.remove(1_000);
                }
            }
        }
        // Time enough, and one more connection if it had fallen behind.
        for _ in 0..2 {
            if matches!(director.hear(&roster, &mut cursor, usize::MAX), Next::Behind) {
                cursor = director.attend(&roster).1;
            }
        }
        prop_assert_eq!(&director.desk, &truth);
        let held: BTreeMap<u64, u8> = director.mirror.held().map(|(id, grant)| (id, grant.key.expose()[0])).collect();
        prop_assert_eq!(&held, &truth);
    }
}
