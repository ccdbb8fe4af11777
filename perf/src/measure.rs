//! How loops are timed on a machine that others load.
//!
//! Problem: the machine is small, shared and noisy; its speed wanders by tens of per cent within a second. Idea: nothing is
//! compared but what ran next to each other. The loops of an [`Arena`] take turns in slices of about a second:
//!
//! ```text
//!  pair 1          pair 2                       pair n
//!  A    B    C     A    B    C     ...          A    B    C
//!  └────┴────┘ one value of "B − A", one of "C − A", one of "(B − A) ÷ (C − A)" from each pair
//! ```
//!
//! A slice is a few thousand batches of some 64 bursts, each timed by the time stamp counter; a slice counts as the
//! **median of its batches**. A batch lasts tens of microseconds and a scheduler's turn milliseconds, so what other programs
//! take is in few batches and moves no median. Beside it the thread's CPU time for the whole slice is kept as a check:
//! it includes what the others' cache footprint costs. Printed is the median over the pairs with the 10 and 90 % quantiles.
//! Output bytes are verified before the first slice and after every one, outside the timed part.

use crate::BenchError;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many pairs (turns of all loops) count.
    pub pairs: usize,
    /// How long a loop runs each turn.
    pub slice: Duration,
}

/// Some loops that are to be compared, over state that they share.
pub trait Arena {
    /// The loops' names.
    fn loops(&self) -> &'static [&'static str];
    /// Runs a batch of one loop and gives how many packets that were.
    fn batch(&mut self, which: usize) -> u64;
    /// Runs one loop for a while and compares the bytes it puts out with what they should be.
    fn verify(&mut self, which: usize) -> Result<(), BenchError>;
}

/// Cycles a packet of every loop in every pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    /// `[pair][loop]`, by medians of batches.
    pub cycles: Vec<Vec<f64>>,
    /// `[pair][loop]`, by the thread's CPU time.
    pub cpu: Vec<Vec<f64>>,
}

/// Median and spread of one figure over all pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Half of the pairs are below.
    pub median: f64,
    /// A tenth is below.
    pub p10: f64,
    /// A tenth is above.
    pub p90: f64,
    /// One value a pair, in the order they were measured.
    pub pairs: Vec<f64>,
}

/// Lets all loops of an arena take turns.
pub fn interleave(plan: &Plan, arena: &mut dyn Arena) -> Result<Slices, BenchError> {
    let count = arena.loops().len();
    let mut slices = Slices {
        cycles: Vec::new(),
        cpu: Vec::new(),
    };
    for which in 0..count {
        arena.verify(which)?;
        // Caches, branch predictors and page tables warm up.
        slice(plan.slice / 4, which, arena)?;
    }
    for _ in 0..plan.pairs {
        let (mut cycles, mut cpu) = (Vec::new(), Vec::new());
        for which in 0..count {
            let (by_batches, by_cpu) = slice(plan.slice, which, arena)?;
            cycles.push(by_batches);
            cpu.push(by_cpu);
            arena.verify(which)?;
        }
        slices.cycles.push(cycles);
        slices.cpu.push(cpu);
    }
    Ok(slices)
}

/// Runs one loop for a slice: cycles a packet by the median batch, and by CPU time.
fn slice(length: Duration, which: usize, arena: &mut dyn Arena) -> Result<(f64, f64), BenchError> {
    let begin = Instant::now();
    slice_until(&mut || begin.elapsed() >= length, which, arena)
}

/// The same, until somebody says that it is over.
pub(crate) fn slice_until(
    over: &mut dyn FnMut() -> bool,
    which: usize,
    arena: &mut dyn Arena,
) -> Result<(f64, f64), BenchError> {
    let mut batches = Vec::with_capacity(1 << 16);
    let mut packets = 0;
    let cpu_before = thread_cpu();
    while !over() {
        let before = kith_dpdk::tsc();
        let handled = arena.batch(which);
        let took = kith_dpdk::tsc().wrapping_sub(before);
        if handled == 0 {
            return Err(BenchError::Idle(arena.loops()[which]));
        }
        packets += handled;
        batches.push(took as f64 / handled as f64);
    }
    let cpu = (thread_cpu() - cpu_before).as_secs_f64() * kith_dpdk::tsc_hz() as f64 / packets as f64;
    batches.sort_by(f64::total_cmp);
    Ok((quantile(&batches, 0.5), cpu))
}

impl Slices {
    /// One figure from the cycles of all loops of a pair, over all pairs.
    #[must_use]
    pub fn figure(&self, of: impl Fn(&[f64]) -> f64) -> Summary {
        Summary::of(self.cycles.iter().map(|pair| of(pair)).collect())
    }

    /// The same figure from CPU times: its median.
    #[must_use]
    pub fn figure_by_cpu(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        Summary::of(self.cpu.iter().map(|pair| of(pair)).collect()).median
    }
}

impl Summary {
    /// Of these values; of none, all is NaN.
    #[must_use]
    pub fn of(pairs: Vec<f64>) -> Self {
        let mut sorted = pairs.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: quantile(&sorted, 0.5),
            p10: quantile(&sorted, 0.1),
            p90: quantile(&sorted, 0.9),
            pairs,
        }
    }
}

/// CPU time of this thread.
#[must_use]
pub fn thread_cpu() -> Duration {
    clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// What a clock of this process shows; zero for one that does not exist.
pub(crate) fn clock(id: ClockId) -> Duration {
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

pub(crate) fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1) as f64 * at).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let summary = Summary::of((0..=10).rev().map(f64::from).collect());
        assert_eq!((summary.p10, summary.median, summary.p90), (1.0, 5.0, 9.0));
        assert_eq!(summary.pairs[0], 10.0, "pairs stay in the order of measurement");
        assert!(Summary::of(Vec::new()).median.is_nan());
    }

    #[test]
    fn figures_are_made_pair_by_pair() {
        let slices = Slices {
            cycles: vec![vec![10.0, 60.0], vec![20.0, 80.0], vec![1000.0, 1055.0]],
            cpu: vec![vec![1.0, 2.0]],
        };
        assert_eq!(
            slices.figure(|of| of[1] - of[0]).median,
            55.0,
            "a slow pair is slow in both loops"
        );
        assert_eq!(slices.figure_by_cpu(|of| of[1] / of[0]), 2.0);
    }
}
