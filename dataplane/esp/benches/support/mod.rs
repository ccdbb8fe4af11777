//! Interleaved comparison of a few pieces of work.
//!
//! The machine's speed wanders, so the works take turns in short slices (A B C A B C ...): each round gives one ratio
//! of the first work's time to each other's, and the median and spread of those are printed.
//! Cycles are of the clock in `/proc/cpuinfo`, which on virtual machines is the time stamp counter's.

use std::time::{Duration, Instant};

/// A name, and what handles [`BURST`] packets per call.
pub type Work = (&'static str, Box<dyn FnMut()>);

/// Packets per call of a work.
pub const BURST: u64 = 32;

const ROUNDS: usize = 31;
const SLICE: Duration = Duration::from_millis(20);

/// Column names of [`compare`].
pub fn heading() {
    println!(
        "{:>5} {:>6}  {:<13} {:>8} {:>8}  {:>6} [10 %, 90 %]",
        "", "octets", "", "cycles", "Gbit/s", "ratio"
    );
}

/// Runs the works turn by turn and prints a line each; ratio is the first one's time ÷ this one's.
pub fn compare(what: &str, size: usize, mut works: Vec<Work>) {
    let mut nanos = vec![Vec::new(); works.len()];
    for round in 0..ROUNDS + 1 {
        for ((_, work), nanos) in works.iter_mut().zip(&mut nanos) {
            let took = slice(work);
            // The first round warms up.
            if round > 0 {
                nanos.push(took);
            }
        }
    }
    for ((name, _), of_this) in works.iter().zip(&nanos) {
        let ratios = sorted(
            of_this
                .iter()
                .zip(&nanos[0])
                .map(|(this, first)| first / this)
                .collect(),
        );
        let typical = at(&sorted(of_this.clone()), 0.5);
        println!(
            "{what:>5} {size:>6}  {name:<13} {:>8.0} {:>8.1}  {:>6.2} [{:.2}, {:.2}]",
            typical * clock_ghz(),
            size as f64 * 8.0 / typical,
            at(&ratios, 0.5),
            at(&ratios, 0.1),
            at(&ratios, 0.9),
        );
    }
}

/// Nanoseconds a packet over one slice of time.
fn slice(work: &mut dyn FnMut()) -> f64 {
    let begin = Instant::now();
    let mut packets = 0;
    loop {
        for _ in 0..8 {
            work();
        }
        packets += 8 * BURST;
        let elapsed = begin.elapsed();
        if elapsed >= SLICE {
            return elapsed.as_nanos() as f64 / packets as f64;
        }
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn at(sorted: &[f64], quantile: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
}

fn clock_ghz() -> f64 {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mhz = info
        .lines()
        .find(|line| line.starts_with("cpu MHz"))
        .and_then(|line| line.split(':').nth(1));
    mhz.and_then(|mhz| mhz.trim().parse::<f64>().ok())
        .map_or(f64::NAN, |mhz| mhz / 1000.0)
}
