//! What a batch does and leaves behind, counters and meters, wildcards.

mod common;

use common::*;
use kith_p4runtime::entry::*;
use kith_p4runtime::query::{Answer, Filter, Query, Which};
use kith_p4runtime::target::{Atomicity, Memory, Outcome, Store, Target, UpdateError};
use kith_p4runtime::update::{Count, CounterArray, Extras, MeterConfig, Row, Update};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::PortIndex;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use tonic::Code;

fn codes(outcomes: &[Outcome]) -> Vec<Code> {
    outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().map_or(Code::Ok, UpdateError::code))
        .collect()
}

fn ask(target: &dyn Target, query: Query) -> Result<Vec<Answer>, UpdateError> {
    let mut all = Vec::new();
    let outcome = target.read(&[query], &mut |answers| {
        all.extend(answers);
        ControlFlow::Continue(())
    });
    outcome.into_iter().next().unwrap().map(|()| all)
}

fn member(last: u8, action: MemberAction) -> Entry {
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, last));
    Entry::Member(
        MemberKey {
            community: community(7),
            source,
            destination,
        },
        action,
    )
}

#[test]
fn what_cannot_be_is_refused_with_its_code_and_changes_nothing() {
    let store = Store::new(pipeline().0, &[]).unwrap();
    let before = contents(&store);
    let route = |port| {
        let destination = Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap();
        Entry::Route(
            RouteKey { destination },
            RouteAction::OnLink {
                port: PortIndex(port),
            },
        )
    };
    let leave = |port| {
        let station = kith_wire::ethernet::MacAddr([2; 6]);
        Entry::EgressPort(
            EgressPortKey { port: PortIndex(1) },
            LeaveBy {
                port: PortIndex(port),
                station,
            },
        )
    };
    let tiny = RelayTo {
        address: Ipv4Addr::LOCALHOST,
        port: 1,
        community: community(1),
        mtu: 67,
    };
    let batch = [
        insert(session(64, 1)),
        insert(sender(64, 1)),
        insert(route(4)),
        insert(leave(2)),
        insert(association(1, 100)),
        insert(Entry::Session(
            SessionKey {
                destination_member: pseudo(1),
            },
            tiny,
        )),
        Update::Modify(session(1, 1).into()),
        Update::Delete(sender(1, 1).key()),
        Update::DirectCounter(association(5, 1).key(), None),
        Update::DirectMeter(sender(1, 1).key(), None),
    ];
    use Code::{InvalidArgument, NotFound, OutOfRange};
    let expected = [
        OutOfRange,
        OutOfRange,
        OutOfRange,
        InvalidArgument,
        OutOfRange,
        OutOfRange,
        NotFound,
        NotFound,
        NotFound,
        NotFound,
    ];
    assert_eq!(
        codes(&store.write(&batch, Atomicity::Continue).unwrap()),
        expected
    );
    assert_eq!(contents(&store), before);
}

#[test]
fn a_full_table_says_so_and_takes_one_more_when_one_is_gone() {
    let store = Store::new(pipeline().0, &[]).unwrap();
    let size = Table::Route.size() as u32;
    let route = |number: u32| {
        let destination = Prefix::new(Ipv4Addr::from_bits(number << 8), 24).unwrap();
        Entry::Route(
            RouteKey { destination },
            RouteAction::OnLink { port: PortIndex(0) },
        )
    };
    let all: Vec<_> = (1..=size).map(|number| insert(route(number))).collect();
    assert!(
        store
            .write(&all, Atomicity::Dataplane)
            .unwrap()
            .iter()
            .all(Result::is_ok)
    );
    let one_more = [insert(route(size + 1))];
    assert_eq!(
        codes(&store.write(&one_more, Atomicity::Continue).unwrap()),
        [Code::ResourceExhausted]
    );
    let swap = [Update::Delete(route(1).key()), insert(route(size + 1))];
    assert_eq!(
        codes(&store.write(&swap, Atomicity::Dataplane).unwrap()),
        [Code::Ok, Code::Ok]
    );
}

#[test]
fn a_batch_with_one_mistake_is_taken_back_whole() {
    let store = Store::new(pipeline().0, &[insert(rule(1, 1, PolicyAction::Allow))]).unwrap();
    store
        .write(
            &[insert(session(1, 1)), insert(sender(1, 1))],
            Atomicity::Continue,
        )
        .unwrap();
    let before = contents(&store);
    let director = EndpointAction::Director {
        address: Ipv4Addr::LOCALHOST,
        udp_port: 20_202,
    };
    let batch = [
        Update::Modify(session(1, 2).into()),
        Update::Delete(sender(1, 1).key()),
        insert(session(2, 1)),
        Update::Modify(Entry::Endpoint(EndpointKey {}, director).into()),
        Update::Delete(rule(1, 1, PolicyAction::Allow).key()),
        insert(rule(2, 2, PolicyAction::Deny)),
        insert(session(2, 1)),
        insert(session(3, 1)),
    ];
    let outcomes = store.write(&batch, Atomicity::Rollback).unwrap();
    let mut expected = [Code::Aborted; 8];
    expected[6] = Code::AlreadyExists;
    assert_eq!(codes(&outcomes), expected);
    assert_eq!(contents(&store), before);
    assert_eq!(
        codes(&store.write(&batch[..6], Atomicity::Rollback).unwrap()),
        [Code::Ok; 6]
    );
    assert_eq!(
        store.write(&batch, Atomicity::Dataplane),
        Err(UpdateError::NotAtomic)
    );
}

#[test]
fn a_learnt_neighbour_yields_to_a_written_one() {
    let store = Store::new(pipeline().0, &[]).unwrap();
    let (key, learnt) = neighbor(1, 1);
    let (_, written) = neighbor(1, 2);
    assert_eq!(store.learn(key, learnt), Ok(true));
    assert_eq!(store.learn(key, learnt), Ok(false), "known");
    assert_eq!(
        contents(&store)[&Key::Neighbor(key)],
        Entry::Neighbor(key, learnt),
        "it can be read"
    );
    let write = store
        .write(&[insert(Entry::Neighbor(key, written))], Atomicity::Continue)
        .unwrap();
    assert_eq!(
        codes(&write),
        [Code::Ok],
        "an insert over a learnt one is no conflict"
    );
    assert_eq!(store.learn(key, learnt), Ok(false), "the controller knows better");
    assert_eq!(store.forget(key), Ok(false), "and its entries do not age");
    assert_eq!(
        contents(&store)[&Key::Neighbor(key)],
        Entry::Neighbor(key, written)
    );
    store
        .write(&[Update::Delete(Key::Neighbor(key))], Atomicity::Continue)
        .unwrap();
    assert_eq!(store.learn(key, learnt), Ok(true));
    assert_eq!(store.forget(key), Ok(true));
}

#[test]
fn counters_begin_at_insertion_and_go_where_they_are_set() {
    let (pipeline, counters, direct) = pipeline();
    let store = Store::new(pipeline, &[]).unwrap();
    let of = |key: Key| match ask(&store, Query::DirectCounters(Which::Key(key)))?.as_slice() {
        [Answer::DirectCounter(_, count)] => Ok::<_, UpdateError>((count.packets, count.bytes)),
        other => panic!("{other:?}"),
    };
    let (one, spi, pair) = (
        session(3, 1),
        association(9, 1),
        member(5, MemberAction::AwaitKeys),
    );
    for (index, entry) in [(3, one), (0, spi), (0, pair)] {
        let counts = [&direct.session, &direct.association, &direct.member];
        let counter = counts[[Table::Session, Table::Association, Table::Member]
            .iter()
            .position(|table| *table == entry.key().table())
            .unwrap()];
        counter.add(index, 1000);
        assert_eq!(of(entry.key()).map_err(|error| error.code()), Err(Code::NotFound));
        store.write(&[insert(entry)], Atomicity::Continue).unwrap();
        assert_eq!(
            of(entry.key()),
            Ok((0, 0)),
            "what was counted before is not its own"
        );
        counter.add(index, 100);
        assert_eq!(of(entry.key()), Ok((1, 100)));
        let set = Update::DirectCounter(
            entry.key(),
            Some(Count {
                packets: 50,
                bytes: 7,
            }),
        );
        store.write(&[set], Atomicity::Continue).unwrap();
        counter.add(index, 100);
        assert_eq!(of(entry.key()), Ok((51, 107)));
        store
            .write(&[Update::Modify(entry.into())], Atomicity::Continue)
            .unwrap();
        assert_eq!(of(entry.key()), Ok((51, 107)), "a change keeps the counter");
    }
    let drop = kith_pipeline::reason::DropReason::PolicyDenied;
    counters.dropped(drop).add(3);
    let cell = || {
        ask(
            &store,
            Query::Counters(Some(CounterArray::Drops), Some(drop as usize)),
        )
        .unwrap()
    };
    assert_eq!(
        cell(),
        [Answer::Counter(
            CounterArray::Drops,
            drop as usize,
            Count { packets: 3, bytes: 0 }
        )]
    );
    store
        .write(
            &[Update::Counter(CounterArray::Drops, None, Some(Count::default()))],
            Atomicity::Continue,
        )
        .unwrap();
    counters.dropped(drop).add(2);
    assert_eq!(
        cell(),
        [Answer::Counter(
            CounterArray::Drops,
            drop as usize,
            Count { packets: 2, bytes: 0 }
        )]
    );
    let all = ask(&store, Query::Counters(None, None)).unwrap();
    assert_eq!(all.len(), CounterArray::Drops.size() + CounterArray::Punts.size());
}

#[test]
fn meters_are_kept_whole_and_reach_the_workers() {
    let (pipeline, ..) = pipeline();
    let mut workers = pipeline.reader();
    let store = Store::new(pipeline, &[]).unwrap();
    let config = MeterConfig {
        cir: 10,
        cburst: 5,
        pir: 100,
        pburst: 20,
    };
    let row = Row {
        entry: sender(1, 1),
        extras: Extras {
            meter: Some(config),
            ..Extras::default()
        },
    };
    let key = row.entry.key();
    store
        .write(
            &[Update::Insert(row), Update::Meter(Some(2), Some(config))],
            Atomicity::Continue,
        )
        .unwrap();
    let direct = || ask(&store, Query::DirectMeters(Which::Key(key))).unwrap();
    assert_eq!(direct(), [Answer::DirectMeter(key, Some(config))]);
    let rate = |tables: &Tables| {
        tables
            .sender
            .rate(pseudo(1))
            .map(|rate| (rate.per_second, rate.burst))
    };
    assert_eq!(rate(workers.load()), Some((100, 20)));
    assert_eq!(
        (
            workers.load().punt_rates[2].per_second,
            workers.load().punt_rates[1].per_second
        ),
        (100, u32::MAX)
    );
    assert_eq!(
        ask(&store, Query::Meters(Some(2))).unwrap(),
        [Answer::Meter(2, Some(config))]
    );
    store
        .write(&[Update::DirectMeter(key, None)], Atomicity::Continue)
        .unwrap();
    assert_eq!(
        (direct(), rate(workers.load())),
        (vec![Answer::DirectMeter(key, None)], None)
    );
}

#[test]
fn wildcards_priorities_metadata_and_defaults() {
    let store = Store::new(Memory::new(4), &[]).unwrap();
    let noted = Extras {
        metadata: b"mine".to_vec(),
        controller_metadata: 9,
        ..Extras::default()
    };
    let row = |entry, extras: &Extras| {
        Update::Insert(Row {
            entry,
            extras: extras.clone(),
        })
    };
    let batch = [
        row(rule(10, 1, PolicyAction::Allow), &noted),
        row(rule(10, 2, PolicyAction::Allow), &Extras::default()),
        row(rule(20, 3, PolicyAction::Deny), &Extras::default()),
        insert(session(1, 1)),
    ];
    assert_eq!(
        codes(&store.write(&batch, Atomicity::Continue).unwrap()),
        [Code::Ok; 4]
    );
    let count = |which, filter| {
        ask(
            &store,
            Query::Rows {
                which,
                filter,
                counter: false,
                meter: false,
            },
        )
        .unwrap()
        .len()
    };
    assert_eq!(count(Which::All, Filter::default()), 4);
    assert_eq!(count(Which::Table(Table::Policy), Filter::default()), 3);
    assert_eq!(
        count(
            Which::Table(Table::Policy),
            Filter {
                priority: 10,
                ..Filter::default()
            }
        ),
        2
    );
    assert_eq!(
        count(
            Which::All,
            Filter {
                metadata: b"mine".to_vec(),
                ..Filter::default()
            }
        ),
        1
    );
    assert_eq!(
        count(
            Which::All,
            Filter {
                controller_metadata: 9,
                ..Filter::default()
            }
        ),
        1
    );
    assert_eq!(
        count(Which::Key(session(2, 1).key()), Filter::default()),
        0,
        "nothing there is no error"
    );
    let found = ask(
        &store,
        Query::Rows {
            which: Which::Key(rule(10, 1, PolicyAction::Allow).key()),
            filter: Filter::default(),
            counter: true,
            meter: true,
        },
    );
    assert_eq!(
        found.unwrap(),
        [Answer::Row(Row {
            entry: rule(10, 1, PolicyAction::Allow),
            extras: noted
        })]
    );
    assert_eq!(
        ask(&store, Query::Defaults(None)).unwrap().len(),
        Table::ALL.len()
    );
}

#[test]
fn a_reset_goes_back_to_what_the_dataplane_is_configured_with() {
    let initial = [insert(rule(1, 1, PolicyAction::Allow))];
    let store = Store::new(pipeline().0, &initial).unwrap();
    let (key, station) = neighbor(1, 1);
    store.learn(key, station).unwrap();
    let before = contents(&store);
    let batch = [
        insert(session(1, 1)),
        insert(sender(1, 1)),
        Update::Delete(rule(1, 1, PolicyAction::Allow).key()),
    ];
    store.write(&batch, Atomicity::Continue).unwrap();
    store.reset().unwrap();
    assert_eq!(contents(&store), before);
}
