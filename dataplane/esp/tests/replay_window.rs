//! The window accepts each number once and forgets none within its size: against a set that remembers everything.

use std::collections::HashSet;

use kith_esp::{ReplayError, ReplayWindow, SeqNo};
use proptest::prelude::*;

const SPAN: u64 = 1 << 32;

/// The specification, as slow as it is plain.
#[derive(Default)]
struct Oracle {
    top: u64,
    seen: HashSet<u64>,
}

impl Oracle {
    fn accept(&mut self, seq: u64, size: u64) -> Result<(), ReplayError> {
        if seq == 0 || u128::from(seq) + u128::from(size) <= u128::from(self.top) {
            return Err(ReplayError::TooOld);
        }
        if !self.seen.insert(seq) {
            return Err(ReplayError::Replayed);
        }
        self.top = self.top.max(seq);
        Ok(())
    }

    /// RFC 4303 A2, said without cases: the number with these low bits among the 2^32 from the window's left edge on.
    fn infer(&self, low: u32, size: u64) -> Option<SeqNo> {
        let left = i128::from(self.top) - i128::from(size) + 1;
        let steps = (i128::from(low) - left).rem_euclid(i128::from(SPAN));
        u64::try_from(left + steps).ok().map(SeqNo)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ahead(u64),
    Behind(u64),
    /// To a number near a multiple of 2^32, where the low word wraps.
    Wrap(u64),
}

fn step(size: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4u64).prop_map(Step::Ahead),
        8 => (0..2 * size).prop_map(Step::Behind),
        2 => (size - 65..size + 66).prop_map(Step::Behind),
        2 => (size - 65..size + 66).prop_map(Step::Ahead),
        2 => (1..300u64).prop_map(Step::Ahead),
        1 => (0..2 * SPAN).prop_map(Step::Ahead),
        1 => (0..2 * size).prop_map(Step::Wrap),
    ]
}

fn walk<const WORDS: usize>(start: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let size = ReplayWindow::<WORDS>::SIZE;
    let (mut window, mut oracle) = (ReplayWindow::<WORDS>::new(), Oracle::default());
    let mut visit = |pick: &dyn Fn(u64) -> u64| {
        let seq = pick(oracle.top);
        for low in [seq as u32, (seq as u32).wrapping_sub(size as u32), 0, u32::MAX] {
            prop_assert_eq!(
                window.infer(low),
                oracle.infer(low, size),
                "low {} at top {}",
                low,
                oracle.top
            );
        }
        let checked = window.check(SeqNo(seq));
        let accepted = window.accept(SeqNo(seq));
        prop_assert_eq!(checked, accepted, "check foretells accept");
        prop_assert_eq!(
            accepted,
            oracle.accept(seq, size),
            "{} at top {}",
            seq,
            oracle.top
        );
        prop_assert_eq!(window.top(), SeqNo(oracle.top));
        Ok(())
    };
    visit(&|_| start)?;
    for step in steps {
        visit(&|top| match *step {
            Step::Ahead(by) => top.saturating_add(by),
            Step::Behind(by) => top.saturating_sub(by),
            Step::Wrap(by) => (top | (SPAN - 1)).saturating_sub(size).saturating_add(by),
        })?;
    }
    Ok(())
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        1..20_000u64,
        any::<u64>(),
        SPAN - 9000..SPAN + 9000,
        u64::MAX - 9000..=u64::MAX
    ]
}

proptest! {
    #[test]
    fn one_word_agrees_with_the_oracle(start in start(), steps in prop::collection::vec(step(65), 1..400)) {
        walk::<1>(start, &steps)?;
    }

    #[test]
    fn four_words_agree_with_the_oracle(start in start(), steps in prop::collection::vec(step(256), 1..400)) {
        walk::<4>(start, &steps)?;
    }

    #[test]
    fn the_window_of_an_sa_agrees_with_the_oracle(start in start(), steps in prop::collection::vec(step(8192), 1..400)) {
        walk::<128>(start, &steps)?;
    }
}

#[test]
fn an_sa_remembers_8192_packets() {
    const { assert!(ReplayWindow::<128>::SIZE == 8192) };
    let mut window: ReplayWindow = ReplayWindow::new();
    window.accept(SeqNo(8192)).unwrap();
    assert_eq!(
        window.accept(SeqNo(1)),
        Ok(()),
        "the left edge itself is in the window"
    );
    assert_eq!(window.accept(SeqNo(1)), Err(ReplayError::Replayed));
    window.accept(SeqNo(8193)).unwrap();
    assert_eq!(
        window.accept(SeqNo(1)),
        Err(ReplayError::TooOld),
        "one further and it is out"
    );
    assert_eq!(window.accept(SeqNo(2)), Ok(()));
}

#[test]
fn number_zero_is_never_accepted() {
    let mut window: ReplayWindow = ReplayWindow::new();
    assert_eq!(window.accept(SeqNo(0)), Err(ReplayError::TooOld));
    window.accept(SeqNo(1)).unwrap();
    assert_eq!(window.accept(SeqNo(0)), Err(ReplayError::TooOld));
}

#[test]
fn everything_in_reverse_order_is_accepted_once() {
    let mut window: ReplayWindow = ReplayWindow::new();
    let top = 3 * 8192 + 17;
    for seq in (top - 8191..=top).rev() {
        assert_eq!(window.accept(SeqNo(seq)), Ok(()));
    }
    for seq in top - 8191..=top {
        assert_eq!(window.accept(SeqNo(seq)), Err(ReplayError::Replayed));
    }
}

#[test]
fn the_high_word_follows_the_low_words_wrap() {
    let mut window: ReplayWindow = ReplayWindow::new();
    window.accept(SeqNo(SPAN - 2)).unwrap();
    assert_eq!(
        window.infer(3),
        Some(SeqNo(SPAN + 3)),
        "a small low word is ahead, across the wrap"
    );
    window.accept(SeqNo(SPAN + 3)).unwrap();
    assert_eq!(
        window.infer(u32::MAX),
        Some(SeqNo(SPAN - 1)),
        "a large one is behind, before the wrap"
    );
    assert_eq!(window.accept(SeqNo(SPAN - 1)), Ok(()));
    assert_eq!(window.infer(4), Some(SeqNo(SPAN + 4)));
}

#[test]
fn no_number_below_zero_or_beyond_the_last_is_inferred() {
    let mut window: ReplayWindow = ReplayWindow::new();
    assert_eq!(window.infer(u32::MAX), None, "would be number -1");
    window.accept(SeqNo(u64::MAX)).unwrap();
    assert_eq!(window.infer(0), None, "would be number 2^64");
    assert_eq!(window.accept(SeqNo(u64::MAX)), Err(ReplayError::Replayed));
}

#[test]
fn a_jump_of_any_distance_forgets_exactly_what_left_the_window() {
    for jump in (1..=200)
        .chain(8192 - 130..8192 + 130)
        .chain([SPAN - 1, SPAN, 1 << 50])
    {
        let mut window: ReplayWindow = ReplayWindow::new();
        let before: Vec<u64> = (8100..=9000).collect();
        before.iter().for_each(|&seq| window.accept(SeqNo(seq)).unwrap());
        let top = 9000 + jump;
        window.accept(SeqNo(top)).unwrap();
        for seq in before {
            let want = if top - seq < 8192 {
                ReplayError::Replayed
            } else {
                ReplayError::TooOld
            };
            assert_eq!(
                window.check(SeqNo(seq)),
                Err(want),
                "{seq} after a jump of {jump}"
            );
        }
        for seq in (9001.max(top - 8191)..top).rev() {
            assert_eq!(
                window.check(SeqNo(seq)),
                Ok(()),
                "{seq} was skipped by a jump of {jump}"
            );
        }
    }
}
