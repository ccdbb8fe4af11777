//! Transactions a second with 1, 16 and 256 callers, each of whom waits for its answer before it asks again.
//!
//! `cargo run --release -p kith-store --example throughput [FOLDER]`: FOLDER must be on the disk that is to be measured.

use kith_store::sqlite::Sqlite;
use kith_store::{Faults, Operation, Options, Point, Store, Transaction};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(folder)?;
    println!(
        "the disk alone: {:.0} syncs a second (4 KiB appended, then fdatasync)",
        syncs(folder.path())?
    );
    println!("callers  transactions/s  commits/s  shared by  median ms  99 % ms");
    for callers in [1, 16, 256] {
        measure(folder.path(), callers).await?;
    }
    Ok(())
}

/// What a write and a sync cost without a store.
fn syncs(folder: &Path) -> std::io::Result<f64> {
    let mut file = std::fs::File::create(folder.join("alone"))?;
    let (start, mut count) = (Instant::now(), 0.0);
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / start.elapsed().as_secs_f64())
}

async fn measure(folder: &Path, callers: usize) -> Result<(), Box<dyn std::error::Error>> {
    let commits = Arc::new(AtomicU64::new(0));
    let counted = commits.clone();
    let options = Options {
        faults: Faults::new(move |point| {
            counted.fetch_add(u64::from(point == Point::Commit), Ordering::Relaxed);
            false
        }),
        ..Options::default()
    };
    let store = Arc::new(Sqlite::open(folder.join(format!("store-{callers}")), options)?);
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(call(store.clone(), caller, start + TIME)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let seconds = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |part: usize| {
        waits
            .get(waits.len() * part / 100)
            .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    #[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
    let (done, commits) = (waits.len() as f64, commits.load(Ordering::Relaxed) as f64);
    println!(
        "{callers:7}  {:14.0}  {:9.0}  {:9.1}  {:9.2}  {:7.2}",
        done / seconds,
        commits / seconds,
        done / commits,
        at(50),
        at(99)
    );
    Ok(())
}

/// Two keys of 200 octets in each transaction, as a member's session and its audit record.
async fn call(
    store: Arc<Sqlite>,
    caller: usize,
    until: Instant,
) -> Result<Vec<Duration>, kith_store::StoreError> {
    let (mut waits, mut number) = (Vec::new(), 0);
    while Instant::now() < until {
        number += 1;
        let asked = Instant::now();
        let operations = vec![
            Operation::put(format!("session/{caller}"), vec![7; 200]),
            Operation::put(format!("audit/{caller}/{number:08}"), vec![7; 200]),
        ];
        store
            .transact(Transaction {
                conditions: Vec::new(),
                operations,
            })
            .await?;
        waits.push(asked.elapsed());
    }
    Ok(waits)
}
