//! Old or new as a batch's atomicity declares, and never a mix, over a back end that fails at random.

mod common;

use common::*;
use kith_p4runtime::entry::*;
use kith_p4runtime::target::{Atomicity, Faulty, Store, Target, UpdateError};
use kith_p4runtime::update::Update;
use kith_pipeline::tables::Tables;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

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
