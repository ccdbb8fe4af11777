//! A P4Runtime service and its client, kept off the CPU that is measured: batches go in, and when they are done it says how long they took.

use crate::BenchError;
use kith_p4runtime::client::{Address, Client, ClientError};
use kith_p4runtime::entry::Table;
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind};
use kith_p4runtime::service::{Config, Service, serve_unix};
use kith_p4runtime::target::{Atomicity, Target};
use kith_p4runtime::update::Update;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the service may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service and a client.
pub struct Writer {
    orders: Option<Sender<Order>>,
    answers: Receiver<Result<Written, ClientError>>,
    thread: Option<JoinHandle<Result<(), BenchError>>>,
}

/// What batches came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Entries that were written, or found.
    pub entries: u64,
    /// From the first octet of the first batch to the last answer.
    pub took: Duration,
}

enum Order {
    Write(Vec<Vec<Update>>),
    /// How many senders and sessions are there?
    Count,
}

impl Writer {
    /// Serves this target on all CPUs of the process but one, and becomes its primary.
    pub fn start(target: Arc<dyn Target>, but: usize) -> Result<Self, BenchError> {
        let others = others(but)?;
        let (orders, inbox) = channel();
        let (outbox, answers) = channel();
        let work = move || -> Result<(), BenchError> {
            // Threads of the runtime inherit it.
            sched_setaffinity(Pid::from_raw(0), &others)
                .map_err(|error| failed(format!("CPUs cannot be chosen: {error}")))?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(BenchError::io("threads for P4Runtime"))?;
            let folder = tempfile::tempdir().map_err(BenchError::io("a folder for the socket"))?;
            let socket = folder.path().join("p4runtime.sock");
            let (service, path) = (Service::new(target, Config::default()), socket.clone());
            runtime.spawn(async move { serve_unix(service, &path, std::future::pending()).await });
            runtime.block_on(serve(&socket, &inbox, &outbox))
        };
        let thread = std::thread::Builder::new().name("p4runtime".into()).spawn(work);
        Ok(Self {
            orders: Some(orders),
            answers,
            thread: Some(thread.map_err(BenchError::io("a thread for P4Runtime"))?),
        })
    }

    /// Begins to write these batches, one after the other.
    pub fn begin(&mut self, batches: Vec<Vec<Update>>) -> Result<(), BenchError> {
        self.order(Order::Write(batches))
    }

    /// What they came to, once they are all written; none until then.
    pub fn done(&mut self) -> Option<Result<Written, BenchError>> {
        match self.answers.try_recv() {
            Ok(answer) => Some(answer.map_err(failed)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.why())),
        }
    }

    /// Writes batches, and waits.
    pub fn write(&mut self, batches: Vec<Vec<Update>>) -> Result<Written, BenchError> {
        self.begin(batches)?;
        self.wait()
    }

    /// How many senders and sessions a client can read.
    pub fn entries(&mut self) -> Result<u64, BenchError> {
        self.order(Order::Count)?;
        self.wait().map(|written| written.entries)
    }

    fn order(&mut self, order: Order) -> Result<(), BenchError> {
        let sent = self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.send(order).is_ok());
        if sent { Ok(()) } else { Err(self.why()) }
    }

    fn wait(&mut self) -> Result<Written, BenchError> {
        match self.answers.recv() {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(self.why()),
        }
    }

    /// Why the thread ended.
    fn why(&mut self) -> BenchError {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error,
            _ => failed("its thread ended"),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without orders the thread ends, and with it the runtime.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn serve(
    socket: &Path,
    inbox: &Receiver<Order>,
    outbox: &Sender<Result<Written, ClientError>>,
) -> Result<(), BenchError> {
    let begin = Instant::now();
    while !socket.exists() {
        if begin.elapsed() > PATIENCE {
            return Err(failed("it does not listen"));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut client = Client::connect(&Address::Unix(socket.to_owned()), 1)
        .await
        .map_err(failed)?;
    let mut session = client.arbitrate(Some(1)).await.map_err(failed)?;
    if !session.is_primary().await.map_err(failed)? {
        return Err(failed("it lets nobody write"));
    }
    // Nothing else is to be done by this thread, so it may wait here.
    while let Ok(order) = inbox.recv() {
        let answer = match order {
            Order::Write(batches) => write(&mut client, &batches).await,
            Order::Count => count(&mut client).await,
        };
        if outbox.send(answer).is_err() {
            break;
        }
    }
    Ok(())
}

async fn write(client: &mut Client, batches: &[Vec<Update>]) -> Result<Written, ClientError> {
    let begin = Instant::now();
    for batch in batches {
        client.write(batch, Atomicity::Continue).await?;
    }
    Ok(Written {
        entries: batches.iter().map(|batch| batch.len() as u64).sum(),
        took: begin.elapsed(),
    })
}

async fn count(client: &mut Client) -> Result<Written, ClientError> {
    let begin = Instant::now();
    let filters = [Table::Sender, Table::Session].map(|table| v1::Entity {
        entity: Some(Kind::TableEntry(v1::TableEntry {
            table_id: table.id(),
            ..Default::default()
        })),
    });
    let mut reading = client.read(filters.into()).await?;
    let mut entries = 0;
    while let Some(piece) = reading.next().await? {
        entries += piece.len() as u64;
    }
    Ok(Written {
        entries,
        took: begin.elapsed(),
    })
}

/// All CPUs but one. The calling thread may be bound to that one already, so its own set says nothing.
fn others(but: usize) -> Result<CpuSet, BenchError> {
    let mut set = CpuSet::new();
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")
        .map_err(BenchError::io("/sys/devices/system/cpu/online"))?;
    let bounds = online.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    });
    for cpu in bounds
        .flatten()
        .filter(|cpu| *cpu != but && *cpu < CpuSet::count())
    {
        set.set(cpu).map_err(failed)?;
    }
    // A process may be allowed fewer than are online: the system takes those that it may use.
    let none = (0..CpuSet::count()).all(|cpu| !set.is_set(cpu).unwrap_or(false));
    if none {
        return Err(failed(
            "there is one CPU only: nothing could be written beside the relay; use two",
        ));
    }
    Ok(set)
}

fn failed(what: impl ToString) -> BenchError {
    BenchError::Program {
        program: "P4Runtime service".into(),
        what: what.to_string(),
    }
}
