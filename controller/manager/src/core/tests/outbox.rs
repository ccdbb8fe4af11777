//! What waits for which transaction, whatever comes in whatever order.

use super::super::outbox::{Concerns, Held, Outbox};
use super::*;
use kith_protocol::member::PeerGone;
use kith_store::{Revision, Transaction};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;

const MEMBERS: u64 = 4;

/// One input, as far as the outbox sees it.
#[derive(Debug, Clone)]
struct Step {
    asker: Option<u64>,
    alone: bool,
    /// Whose records it writes, or everybody's; nothing at all.
    writes: Option<Option<BTreeSet<u64>>>,
    /// Who else is told something.
    pushes: Vec<u64>,
    /// So many transactions reach the disk then.
    commits: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let writes = prop::option::of(prop::option::weighted(0.9, btree_set(0..MEMBERS, 1..3)));
    let asker = prop::option::weighted(0.9, 0..MEMBERS);
    (asker, any::<bool>(), writes, vec(0..MEMBERS, 0..3), 0..3usize).prop_map(
        |(asker, alone, writes, pushes, commits)| Step {
            // Who looks at nothing of others tells them nothing.
            pushes: if alone { Vec::new() } else { pushes },
            asker,
            alone,
            writes,
            commits,
        },
    )
}

/// Something held: whom it tells, and the newest transaction that it depends on.
struct Told {
    whom: Option<u64>,
    after: u64,
    gone: bool,
}

/// Its place among all that was ever held.
fn number(held: &Held) -> usize {
    match held {
        Held::Output(Output::Answer { token, .. }) => token.0 as usize,
        Held::Push(_, update) => match &update.change {
            Some(Change::Gone(gone)) => gone.virtual_address as usize,
            _ => unreachable!("no other is pushed here"),
        },
        Held::Tell(..) | Held::Output(_) => unreachable!("no other is held here"),
    }
}

fn held(number: usize, push: Option<u64>) -> Held {
    let gone = PeerGone {
        virtual_address: number as u32,
        ..PeerGone::default()
    };
    let update = Update {
        revision: 0,
        change: Some(Change::Gone(gone)),
    };
    let answer = Output::Answer {
        token: Token(number as u64),
        answer: Answer::Dropped(DropCause::Unknown),
    };
    push.map_or(Held::Output(answer), |to| Held::Push(MemberId(to), update))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing goes before the newest transaction that it can depend on is on disk; what a member is told comes in the order in which it
    /// happened; nothing is lost; and what is of one member alone goes at once if nothing under way has to do with that member.
    #[test]
    fn what_is_told_is_on_disk_and_in_order(steps in vec(step(), 1..40)) {
        let (mut outbox, mut disk, mut told) = (Outbox::default(), 0, Vec::<Told>::new());
        // Of each transaction, whose records it writes; none for everybody's.
        let mut written: Vec<Option<BTreeSet<u64>>> = Vec::new();
        let all_to_disk = Step { asker: Some(0), alone: true, writes: None, pushes: Vec::new(), commits: usize::MAX };
        for step in steps.into_iter().chain([all_to_disk]) {
            let about = |writes: &Option<BTreeSet<u64>>| {
                writes.as_ref().is_none_or(|members| step.asker.is_some_and(|asker| members.contains(&asker)))
            };
            let alone = step.alone && step.asker.is_some() && step.writes.is_none();
            let waits = told.iter().any(|told| !told.gone && (told.whom.is_none() || told.whom == step.asker));
            let free = alone && !waits && !written[disk..].iter().any(about);
            let own = written.iter().rposition(about).map_or(0, |at| at + 1);
            written.extend(step.writes.clone());
            let after = if alone { own } else { written.len() } as u64;

            outbox.asked_by(step.asker.map(MemberId));
            if step.alone {
                outbox.own_alone();
            }
            let answer = told.len();
            for (whom, push) in [(step.asker, None)].into_iter().chain(step.pushes.iter().map(|to| (Some(*to), Some(*to)))) {
                outbox.hold(held(told.len(), push));
                told.push(Told { whom, after, gone: false });
            }
            let transaction = step.writes.map(|writes| {
                let members = |members: BTreeSet<u64>| Concerns::Members(members.into_iter().map(MemberId).collect());
                (Transaction::default(), writes.map_or(Concerns::Everybody, members))
            });
            let mut released = outbox.close_batch(transaction, Revision(disk as u64));
            prop_assert!(!free || released.iter().any(|released| number(&released.held) == answer), "it waits for nothing");
            for turn in 0..=step.commits {
                for item in std::mem::take(&mut released).iter().map(|released| number(&released.held)) {
                    let whom = told[item].whom;
                    prop_assert!(told[item].after <= disk as u64, "told before it was on disk");
                    prop_assert!(!told[..item].iter().any(|before| !before.gone && before.whom == whom && whom.is_some()), "out of order");
                    told[item].gone = true;
                }
                if turn == step.commits || disk == written.len() {
                    break;
                }
                disk += 1;
                released = outbox.committed(CommitId(disk as u64), Revision(disk as u64));
            }
        }
        prop_assert!(told.iter().all(|told| told.gone), "lost");
    }
}
