//! P13: durable joins a second, against etcd's writes.
//!
//! ```text
//!  64 members at a time ── init, join ──► kith-controller ─► SQLite, a sync for all that came meanwhile ─┐
//!  64 writers ── put of 256 octets ─────► etcd ────────────► its log, likewise ──────────────────────────┴► one disk, in turns
//! ```
//!
//! A join is two calls over TLS with two signatures and a key agreement, and one transaction of several keys; a put is one call in clear and
//! one key. Every answer comes after its sync. Both have 32 connections. All members have joined once before: what is measured is
//! a new run of a known device, which takes the place of the run before.

use super::etcd::{self, Etcd};
use super::members::{self, Member};
use super::process::World;
use super::{Options, failed};
use crate::BenchError;
use crate::measure::{Plan, Summary};
use crate::report::{Goal, Row};
use kith_protocol::member::members_client::MembersClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::Channel;

pub const WHAT: &str = "durable joins a second ÷ puts of etcd";
/// At a time.
const LANES: usize = 64;
const CONNECTIONS: usize = 32;
/// What etcd is given: about what a session's record is.
const VALUE: usize = 256;

/// What one turn gave.
#[derive(Debug, Clone, Copy)]
struct Turn {
    rate: f64,
    cpu: f64,
}

/// Both, and the members.
struct Sides {
    etcd: Etcd,
    puts: Vec<Grpc<Channel>>,
    joins: Vec<MembersClient<Channel>>,
    members: Arc<Vec<Mutex<Member>>>,
    next: Arc<AtomicU64>,
}

pub fn run(plan: &Plan, options: &Options, world: &mut World) -> Result<Vec<Row>, BenchError> {
    members::found(world, options.members)?;
    let etcd = Etcd::start(world)?;
    let fingerprint = members::fingerprint(world)?;
    let (mut puts, mut joins) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        puts.push(world.runtime.block_on(etcd.connect())?);
        joins.push(world.runtime.block_on(members::connect(fingerprint))?);
    }
    let members = (0..options.members).map(|index| Mutex::new(Member::new(index)));
    let sides = Sides {
        etcd,
        puts,
        joins,
        members: Arc::new(members.collect()),
        next: Arc::default(),
    };
    // Everybody once, however long it takes.
    let all = u64::from(options.members);
    let first = sides.joining(world, Limit::Count(all))?;
    sides.putting(world, plan.slice / 4)?;
    let pairs = (0..plan.pairs).map(|_| {
        let put = sides.putting(world, plan.slice)?;
        let join = sides.joining(world, Limit::Time(plan.slice))?;
        Ok([put, join])
    });
    let pairs = pairs.collect::<Result<Vec<[Turn; 2]>, BenchError>>()?;
    let joined = world.status()?.joined;
    if joined != all {
        return Err(BenchError::wrong(
            "joins",
            "members that are joined",
            &all.to_be_bytes(),
            &joined.to_be_bytes(),
        ));
    }
    Ok(rows(&pairs, first))
}

fn rows(pairs: &[[Turn; 2]], first: Turn) -> Vec<Row> {
    let figure = |of: &dyn Fn(&[Turn; 2]) -> f64| Summary::of(pairs.iter().map(of).collect());
    let cpu = |which: usize| figure(&|pair| pair[which].cpu).median;
    let goal = Goal::AtLeast {
        reach: 1.0,
        then: Some(3.0),
    };
    vec![
        Row::measured("P13", WHAT, "", figure(&|pair| pair[1].rate / pair[0].rate))
            .goal(goal)
            .note(format!(
                "{LANES} at a time over {CONNECTIONS} connections; a join is two calls over TLS and a transaction of several keys, a put one \
                 key of {VALUE} octets in clear"
            )),
        Row::measured("P13", "joins, a new run of a known device", "/s", figure(&|pair| pair[1].rate)).note(format!(
            "CPU of the manager {:.0} µs a join; first joins {:.0} a second",
            cpu(1),
            first.rate
        )),
        Row::measured("P13", "etcd, puts", "/s", figure(&|pair| pair[0].rate))
            .note(format!("CPU of etcd {:.0} µs a put", cpu(0))),
    ]
}

/// When a turn is over.
#[derive(Clone, Copy)]
enum Limit {
    Time(Duration),
    Count(u64),
}

impl Sides {
    fn putting(&self, world: &World, length: Duration) -> Result<Turn, BenchError> {
        let puts = &self.puts;
        let lane = |lane: usize, shared: Arc<Shared>| {
            let mut client = puts[lane % puts.len()].clone();
            async move {
                let value = [0x5a; VALUE];
                while let Some(number) = shared.next() {
                    let key = format!("session/acme.example/m{:05}", number % 10_000);
                    etcd::put(&mut client, key.as_bytes(), &value).await?;
                    shared.did();
                }
                Ok(())
            }
        };
        turn(world, Limit::Time(length), &self.next, &|| self.etcd.cpu(), lane)
    }

    fn joining(&self, world: &World, limit: Limit) -> Result<Turn, BenchError> {
        let lane = |lane: usize, shared: Arc<Shared>| {
            let mut client = self.joins[lane % self.joins.len()].clone();
            let members = self.members.clone();
            async move {
                while let Some(number) = shared.next() {
                    let mut member = members[number as usize % members.len()].lock().await;
                    member.again();
                    member.join(&mut client).await?;
                    shared.did();
                }
                Ok(())
            }
        };
        turn(world, limit, &self.next, &|| world.cpu(), lane)
    }
}

/// What the lanes of a turn share.
struct Shared {
    over: AtomicBool,
    begun: AtomicU64,
    most: u64,
    done: AtomicU64,
    numbers: Arc<AtomicU64>,
}

impl Shared {
    /// The next number, while there is one.
    fn next(&self) -> Option<u64> {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let goes_on = begun < self.most && !self.over.load(Ordering::Relaxed);
        goes_on.then(|| self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    fn did(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// All lanes until it is over; what was begun is ended, and counts.
fn turn<F: Future<Output = Result<(), BenchError>> + Send + 'static>(
    world: &World,
    limit: Limit,
    numbers: &Arc<AtomicU64>,
    cpu: &dyn Fn() -> Duration,
    lane: impl Fn(usize, Arc<Shared>) -> F,
) -> Result<Turn, BenchError> {
    let shared = Arc::new(Shared {
        over: AtomicBool::new(false),
        begun: AtomicU64::new(0),
        most: match limit {
            Limit::Time(_) => u64::MAX,
            Limit::Count(count) => count,
        },
        done: AtomicU64::new(0),
        numbers: numbers.clone(),
    });
    world.runtime.block_on(async {
        let (before, began) = (cpu(), Instant::now());
        let mut lanes = JoinSet::new();
        for number in 0..LANES {
            lanes.spawn(lane(number, shared.clone()));
        }
        if let Limit::Time(length) = limit {
            tokio::time::sleep(length).await;
            shared.over.store(true, Ordering::Relaxed);
        }
        while let Some(ended) = lanes.join_next().await {
            ended.map_err(|panic| failed(panic.to_string()))??;
        }
        let (done, took) = (shared.done.load(Ordering::Relaxed) as f64, began.elapsed());
        Ok(Turn {
            rate: done / took.as_secs_f64(),
            cpu: (cpu().saturating_sub(before)).as_secs_f64() * 1e6 / done,
        })
    })
}
