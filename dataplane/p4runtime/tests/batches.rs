//! What a batch leaves behind: old or new as its atomicity declares, and never a mix, over back ends that fail at random.

mod common;

use common::{community, pseudo, rule, sender, session};
use kith_p4runtime::entry::*;
use kith_p4runtime::query::{Answer, Filter, Query, Which};
use kith_p4runtime::target::{
    Atomicity, Faulty, Memory, Outcome, Parts, Pipeline, Store, Target, UpdateError,
};
use kith_p4runtime::update::{Count, CounterArray, Extras, MeterConfig, Row, Update};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::table::{sender::SenderTable, session::SessionTable};
use kith_pipeline::tables::Tables;
use kith_pipeline::units::PortIndex;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use tonic::Code;

/// The pipeline's tables for 64 sessions, 4 ports, 100 security associations, one worker.
fn pipeline() -> (Pipeline, Arc<Counters>, Arc<DirectCounters>) {
    let (counters, direct) = (Arc::new(Counters::default()), Arc::new(DirectCounters::new(64)));
    let first = pseudo(0);
    let parts = Parts {
        tables: Tables::new(
            Arc::new(SenderTable::new(first, 64)),
            Arc::new(SessionTable::new(first, 64)),
        ),
        ports: 4,
        associations: 100,
        counters: vec![counters.clone()],
        direct: vec![direct.clone()],
        outlet: Arc::new(|_| Ok(())),
    };
    (Pipeline::new(parts), counters, direct)
}

fn insert(entry: Entry) -> Update {
    Update::Insert(entry.into())
}

fn codes(outcomes: &[Outcome]) -> Vec<Code> {
    outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().map_or(Code::Ok, UpdateError::code))
        .collect()
}

/// Everything that can be read.
fn contents(target: &dyn Target) -> BTreeMap<Key, Entry> {
    let query = Query::Rows {
        which: Which::All,
        filter: Filter::default(),
        counter: false,
        meter: false,
    };
    let mut all = BTreeMap::new();
    let outcomes = target.read(&[query, Query::Defaults(Some(Table::Endpoint))], &mut |answers| {
        for answer in answers {
            let entry = match answer {
                Answer::Row(row) => row.entry,
                Answer::Default(kith_p4runtime::query::DefaultEntry::Endpoint(entry)) => entry,
                other => panic!("{other:?}"),
            };
            assert!(all.insert(entry.key(), entry).is_none(), "each entry once");
        }
        ControlFlow::Continue(())
    });
    assert!(outcomes.iter().all(Result::is_ok));
    all
}

fn ask(target: &dyn Target, query: Query) -> Result<Vec<Answer>, UpdateError> {
    let mut all = Vec::new();
    let outcome = target.read(&[query], &mut |answers| {
        all.extend(answers);
        ControlFlow::Continue(())
    });
    outcome.into_iter().next().unwrap().map(|()| all)
}

fn neighbor(last: u8, station: u8) -> (NeighborKey, Resolve) {
    let key = NeighborKey {
        port: PortIndex(1),
        address: Ipv4Addr::new(192, 0, 2, last),
    };
    (
        key,
        Resolve {
            station: kith_wire::ethernet::MacAddr([2, 0, 0, 0, 0, station]),
        },
    )
}

fn association(spi: u32, sa: u32) -> Entry {
    let action = OpenWith {
        sa,
        community: community(7),
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        mtu: 1400,
    };
    Entry::Association(AssociationKey { spi }, action)
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

/// A small generator: xorshift, so that a failing run can be run again.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn update(&mut self, snapshot_only: bool) -> Update {
        let number = self.roll(6) as u32;
        let port = 1 + self.roll(3) as u16;
        let entry = match self.roll(if snapshot_only { 3 } else { 5 }) {
            0 => rule(
                1 + number,
                1,
                if port == 1 {
                    PolicyAction::Allow
                } else {
                    PolicyAction::Deny
                },
            ),
            1 => association(number, port.into()),
            2 => {
                let (key, to) = neighbor(number as u8, port as u8);
                Entry::Neighbor(key, to)
            }
            3 => session(number, port),
            _ => sender(number, port),
        };
        match self.roll(3) {
            0 => insert(entry),
            1 => Update::Modify(entry.into()),
            _ => Update::Delete(entry.key()),
        }
    }
}

/// What one update by itself does.
fn apply(model: &mut BTreeMap<Key, Entry>, update: &Update) {
    match update {
        Update::Insert(row) | Update::Modify(row) => drop(model.insert(row.entry.key(), row.entry)),
        Update::Delete(key) => drop(model.remove(key)),
        other => panic!("{other:?}"),
    }
}

/// 10,000 batches over a back end of which every tenth write fails: the tables are old or new, never a mix. What is read is compared
/// with a model, and what workers see with what is read.
#[test]
fn tables_are_old_or_new_never_a_mix() {
    let (pipeline, ..) = pipeline();
    let mut workers = pipeline.reader();
    let fails = Arc::new(Mutex::new((Dice(0x5eed), false)));
    let chance = {
        let fails = fails.clone();
        move || {
            let (dice, armed) = &mut *fails.lock().unwrap();
            *armed && dice.roll(10) == 0
        }
    };
    let store = Store::new(Faulty::new(pipeline, chance), &[]).unwrap();
    fails.lock().unwrap().1 = true;
    let mut dice = Dice(0xd1ce);
    let mut model = contents(&store);
    let (mut whole, mut none, mut faults) = (0, 0, 0);
    for run in 0..10_000 {
        let atomicity =
            [Atomicity::Continue, Atomicity::Rollback, Atomicity::Dataplane][dice.roll(3) as usize];
        let length = 1 + dice.roll(8);
        let batch: Vec<_> = (0..length)
            .map(|_| dice.update(atomicity == Atomicity::Dataplane))
            .collect();
        let outcomes = store.write(&batch, atomicity).unwrap();
        assert_eq!(outcomes.len(), batch.len());
        faults += outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(UpdateError::Backend(_))))
            .count();
        if atomicity == Atomicity::Continue {
            // Whatever is said to have happened has, and nothing else.
            let done = batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            done.for_each(|(update, _)| apply(&mut model, update));
        } else if outcomes.iter().all(Result::is_ok) {
            batch.iter().for_each(|update| apply(&mut model, update));
            whole += 1;
        } else {
            assert!(
                outcomes.iter().all(Result::is_err),
                "run {run}: a part is said to have happened: {outcomes:?}"
            );
            none += 1;
        }
        assert_eq!(
            contents(&store),
            model,
            "run {run}, {atomicity:?}: {batch:?} {outcomes:?}"
        );
        seen_by_workers(workers.load(), &model);
    }
    assert!(
        whole > 100 && none > 100 && faults > 100,
        "{whole} whole, {none} none, {faults} faults"
    );
}

/// The generation that workers have is the one that is read.
fn seen_by_workers(tables: &Tables, model: &BTreeMap<Key, Entry>) {
    let count = |table: Table| model.keys().filter(|key| key.table() == table).count();
    assert_eq!(tables.policy.len(), count(Table::Policy));
    assert_eq!(tables.association.len(), count(Table::Association));
    assert_eq!(tables.neighbor.len(), count(Table::Neighbor));
    for entry in model.values() {
        match entry {
            Entry::Association(key, to) => {
                assert_eq!(
                    tables.association.get(key.spi).map(|(there, _)| there.sa.0),
                    Some(to.sa)
                );
            }
            Entry::Neighbor(key, to) => {
                let place = kith_pipeline::table::neighbor::OnLink {
                    port: key.port,
                    address: key.address,
                };
                assert_eq!(tables.neighbor.get(place), Some(&to.station));
            }
            Entry::Session(key, to) => {
                let there = tables.session.get(key.destination_member).unwrap();
                assert_eq!((there.binding.port(), there.mtu), (to.port, to.mtu));
            }
            Entry::Sender(key, to) => {
                assert_eq!(tables.sender.get(key.source_member).unwrap().port(), to.port);
            }
            _ => {}
        }
    }
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
