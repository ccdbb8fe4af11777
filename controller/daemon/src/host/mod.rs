//! A running controller: each director at its desk, as a task of its own, and what is asked about all of them.

mod build;
mod desk;
mod grants;
mod ledger;
#[cfg(test)]
mod tests;

pub use build::{StartError, punt_rates};
pub use desk::{Desk, Report};
pub use grants::{Change, Grants};

use crate::config::{self, Config};
use crate::remote::{Link, Remote};
use crate::southbound::Southbound;
use crate::status::{Part, Request, Response, Status};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

/// Threads for all directors; one alone fills half of one only under load.
const THREADS: usize = 2;
/// How long directors may take to end.
const END: Duration = Duration::from_secs(5);

/// What connects directors with the manager of this process: grants that it gives, and a way to report to it for each.
pub type Liaison<'a> = (Grants, &'a dyn Fn(&str) -> Report);

/// A running controller.
pub struct Controller {
    office: Arc<Office>,
    runtime: Runtime,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// What can be asked about it.
struct Office {
    name: String,
    started: Instant,
    election_id: u64,
    desks: Vec<Arc<Desk>>,
}

impl Controller {
    /// Starts the directors of a configuration, which was checked. `southbound` makes the way to a director's dataplane; it is
    /// called inside the runtime. `manager` connects directors with the manager of this process: grants that it gives, and a
    /// way to report to it for each director.
    pub fn start<S: Southbound + 'static>(
        mut config: Config,
        mut manager: Option<Liaison<'_>>,
        southbound: impl Fn(&config::Director, u64) -> Result<S, String>,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("kith-director")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let election_id = config.election_id.unwrap_or_else(wall_clock);
        let (stop, stopped) = watch::channel(false);
        let (mut desks, mut tasks, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let _inside = runtime.enter();
        let remote = config.remote_manager.take().map(|wanted| Remote::new(&wanted));
        let remote = remote.transpose()?;
        for director in std::mem::take(&mut config.directors) {
            let (changes, report, view) = match &remote {
                Some(remote) => {
                    let (link, ends) = Link::new(remote.clone(), &director);
                    links.push(runtime.spawn(link.work(stopped.clone())));
                    (Some(ends.changes), Some(ends.report), Some(ends.view))
                }
                None => {
                    let reports = manager.as_mut();
                    let changes = reports.and_then(|(grants, _)| grants.take(&director.name));
                    let report = manager.as_ref().map(|(_, reports)| reports(&director.name));
                    (changes, report, None)
                }
            };
            let prepared = build::desk(&config, director, started, changes, view)?;
            let desk = Arc::new(prepared.desk);
            let way = southbound(&desk.config, election_id).map_err(|what| StartError::Southbound {
                name: desk.config.name.clone(),
                what,
            })?;
            let connected = prepared.changes.zip(report);
            let connected = connected.map(|(changes, report)| desk::Manager { changes, report });
            let (working, stopped) = (desk.clone(), stopped.clone());
            let kept = (prepared.journal, prepared.later);
            tasks.push(runtime.spawn(async move { working.work(way, kept, connected, stopped).await }));
            desks.push(desk);
        }
        drop(_inside);
        tasks.append(&mut links);
        let office = Arc::new(Office {
            name: config.name,
            started,
            election_id,
            desks,
        });
        Ok(Self {
            office,
            runtime,
            tasks,
            stop,
        })
    }

    /// What the status socket answers.
    pub fn answers(&self) -> impl Fn(Request) -> Response + Send + Sync + use<> {
        let office = self.office.clone();
        move |request| office.answer(request)
    }

    /// Has a director ended that should not have?
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// A number for each director, which grows while it works.
    pub fn pulse(&self) -> impl Iterator<Item = u64> {
        let desks = self.office.desks.iter();
        desks.map(|desk| desk.turns.load(Ordering::Relaxed))
    }

    /// Stops everything in order. The dataplanes go on.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let ended = self
                .runtime
                .block_on(async { tokio::time::timeout(END, task).await });
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(_)) => error!("a director ended by a panic"),
                Err(_) => error!("a director does not end; its journal may not be on disk"),
            }
        }
        self.runtime.shutdown_background();
    }
}

impl Office {
    fn answer(&self, request: Request) -> Response {
        let part = match request {
            Request::Status => return Response::Status(self.status()),
            Request::Sessions(ref part) | Request::Grants(ref part) => part,
        };
        let desk = match self.desk(part) {
            Ok(desk) => desk,
            Err(why) => return Response::Error(why),
        };
        match &request {
            Request::Sessions(part) => Response::Sessions(desk.sessions(part)),
            Request::Status | Request::Grants(_) => Response::Grants(desk.grants(part)),
        }
    }

    fn desk(&self, part: &Part) -> Result<&Desk, String> {
        let found = match (&part.director, &self.desks[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), desks) => desks.iter().find(|desk| desk.config.name == *name),
        };
        found.map(|desk| &**desk).ok_or_else(|| {
            let names: Vec<_> = self.desks.iter().map(|desk| desk.config.name.as_str()).collect();
            let names = names.join(", ");
            match &part.director {
                Some(name) => format!("there is no director {name:?}; there are: {names}"),
                None => format!("name one of the directors: {names}"),
            }
        })
    }

    fn status(&self) -> Status {
        Status {
            name: self.name.clone(),
            program: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            election_id: self.election_id,
            directors: self.desks.iter().map(|desk| desk.status()).collect(),
        }
    }
}

/// Microseconds since 1970: whoever starts later has the higher number.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1)
}
