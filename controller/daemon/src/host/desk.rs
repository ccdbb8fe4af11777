//! One director at work: its core, its journal and its dataplane, and time.

use super::build;
use super::grants::{Change, Changes};
use super::ledger::Ledger;
use crate::config;
use crate::director::{Core, News, Standing, Task};
use crate::journal::{Journal, JournalError};
use crate::remote::View;
use crate::southbound::{Event, Southbound};
use crate::status::{self, DirectorStatus, Named, Part, Sessions};
use kith_director::Time;
use kith_director::journal::Read;
use kith_director::server::Event as Session;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

/// Between two looks at the clock of a director that hears nothing.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks at the journal's length.
const COMPACT: Duration = Duration::from_secs(1);
/// Between two reports to the manager about the same standing.
const REPORT: Duration = Duration::from_secs(1);
/// Events taken in one turn at most: they share one append to the journal and one write.
const TURN: usize = 256;

/// A director, and what is asked about it.
pub struct Desk {
    /// As configured; without the grants and their keys.
    pub config: config::Director,
    restored: AtomicU64,
    started: Instant,
    kept: AtomicBool,
    /// Turns taken: it lives as long as they grow.
    pub turns: AtomicU64,
    core: Mutex<(Core, Instant)>,
    ledger: Mutex<Ledger>,
    /// The manager elsewhere.
    view: Option<Arc<View>>,
    /// That manager has not said yet who may have a session.
    waits: AtomicBool,
}

/// Where a director's health is reported: whether it serves, and how many sessions it has.
pub type Report = Box<dyn Fn(bool, u64) + Send + Sync>;

/// What connects a desk with the manager, of this process or elsewhere.
pub(super) struct Manager {
    pub(super) changes: Changes,
    pub(super) report: Report,
}

impl Desk {
    pub(super) fn new(
        mut config: config::Director,
        ledger: Ledger,
        core: Core,
        restored: usize,
        kept: bool,
        started: Instant,
        view: Option<Arc<View>>,
    ) -> Self {
        // The keys are the director's now; the configuration's copies are wiped.
        config.grants.clear();
        Self {
            config,
            restored: AtomicU64::new(restored as u64),
            started,
            kept: AtomicBool::new(kept),
            turns: AtomicU64::new(0),
            core: Mutex::new((core, Instant::now())),
            ledger: Mutex::new(ledger),
            waits: AtomicBool::new(view.is_some()),
            view,
        }
    }

    /// Works until told to stop; then the journal is on disk.
    pub(super) async fn work(
        &self,
        mut southbound: impl Southbound,
        (journal, later): (Option<Journal>, Option<Read>),
        mut manager: Option<Manager>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut told = Told::default();
        let mut keeper = Keeper {
            journal,
            looked: Instant::now(),
        };
        if self.view.is_some() {
            let known = tokio::select! {
                () = self.admit(&mut manager) => true,
                () = stopped(&mut stop) => false,
            };
            if known && let Some(read) = &later {
                self.restore(read);
            }
        }
        self.turn(None, &mut southbound, &mut keeper);
        while !*stop.borrow_and_update() {
            let rest = self.rest();
            let event = tokio::select! {
                event = southbound.event() => Some(event),
                change = next(&mut manager) => {
                    self.changed(change, &mut manager);
                    None
                }
                () = tokio::time::sleep(rest) => None,
                _ = stop.changed() => continue,
            };
            self.turn(event, &mut southbound, &mut keeper);
            if let Some(manager) = &manager {
                told.tell(self, &manager.report);
            }
        }
        if let Some(Err(problem)) = keeper.journal.as_ref().map(Journal::sync) {
            warn!(director = %self.config.name, %problem, "sessions may not be on disk");
        }
    }

    /// Waits until the manager elsewhere has said who may have a session. Whoever took the dataplane over before would find all of its sessions
    /// without a grant, and end them; so it is left to forward alone.
    async fn admit(&self, manager: &mut Option<Manager>) {
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let Ok(change) = tokio::time::timeout(TICK, next(manager)).await else {
                continue;
            };
            let complete = matches!(change, Change::Complete);
            self.changed(change, &mut None);
            if complete {
                self.waits.store(false, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Brings back the sessions of the journal that members may still have.
    fn restore(&self, read: &Read) {
        let (now, mut guard) = (self.now(), self.core());
        let name = &self.config.name;
        let sessions = guard
            .0
            .with_director(|director| build::restore(name, now, director, read));
        self.restored.store(sessions as u64, Ordering::Relaxed);
    }

    /// Does what the manager wants: this, and what has come meanwhile.
    fn changed(&self, first: Change, manager: &mut Option<Manager>) {
        let now = self.now();
        let mut core = self.core();
        let mut ledger = self.ledger();
        let mut next = Some(first);
        while let Some(change) = next {
            let at = &self.config.name;
            core.0
                .with_director(|director| ledger.apply(at, now, director, change));
            next = manager
                .as_mut()
                .and_then(|manager| manager.changes.try_recv().ok());
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::since_epoch(self.started.elapsed())
    }

    fn core(&self) -> MutexGuard<'_, (Core, Instant)> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> Duration {
        let deadline = self.core().0.deadline();
        let rest = deadline.map_or(TICK, |deadline| deadline.since(self.now()));
        // A millisecond at least: time has no finer steps.
        rest.clamp(Duration::from_millis(1), TICK)
    }

    /// What has happened, and what follows: journal first, then writes, then answers.
    fn turn(&self, event: Option<Event>, southbound: &mut impl Southbound, keeper: &mut Keeper) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let now = self.now();
        let mut guard = self.core();
        let (core, since) = &mut *guard;
        let mut next = event;
        for _ in 0..TURN {
            let Some(event) = next else { break };
            core.event(now, event);
            next = southbound.ready();
        }
        core.tick(now);
        while let Some(task) = core.poll(now) {
            match task {
                Task::Journal(entries) => {
                    let kept = keeper.append(&entries);
                    self.note(kept);
                }
                Task::Request(request) => {
                    if let Err(request) = southbound.submit(request) {
                        core.not_submitted(&request);
                    }
                }
                Task::News(news) => {
                    if matches!(news, News::Standing(_) | News::Compared(_)) {
                        *since = Instant::now();
                    }
                    self.tell(news);
                }
            }
        }
        let kept = keeper.compact(core);
        self.note(kept);
    }

    /// A journal that failed once has a hole: better none at all. Sessions live on; only a restart forgets them.
    fn note(&self, kept: Result<(), JournalError>) {
        if let Err(problem) = kept {
            self.kept.store(false, Ordering::Relaxed);
            error!(director = %self.config.name, %problem, "sessions are not kept any more; a restart will forget them");
        }
    }

    fn tell(&self, news: News) {
        let director = &self.config.name;
        let dataplane = &self.config.dataplane.address;
        match news {
            News::Session(event) => tell_session(director, event),
            News::Standing(Standing::Away(why)) => {
                warn!(%director, %dataplane, %why, "no connection; the dataplane goes on alone");
            }
            News::Standing(Standing::Backup) => {
                warn!(%director, %dataplane, "another controller is primary; nothing is written or answered");
            }
            News::Standing(standing) => info!(%director, %dataplane, ?standing, "primary"),
            News::Compared(difference) => info!(%director, ?difference, "entries compared with sessions"),
            News::Reconciled => info!(%director, "dataplane and director agree"),
            News::Refused { member, count, why } => warn!(
                %director, %member, count, ?why,
                "the dataplane refuses entries; do pseudo_pool here and the dataplane's table agree?"
            ),
            News::NotPrepared(why) => {
                warn!(%director, ?why, "the dataplane refuses to be a director's; trying again");
            }
        }
    }

    /// For the status socket.
    #[must_use]
    pub fn status(&self) -> DirectorStatus {
        let guard = self.core();
        let (core, since) = &*guard;
        let occupancy = core.director().occupancy();
        let (standing, why) = match core.standing() {
            Standing::Away(_) if self.waits.load(Ordering::Relaxed) => {
                let why = "the manager has not said yet who may have a session; the dataplane goes on alone";
                (status::Standing::Away, Some(why.into()))
            }
            Standing::Away(why) => (status::Standing::Away, Some(why.clone())),
            Standing::Backup => (status::Standing::Backup, None),
            Standing::Comparing => (status::Standing::Comparing, None),
            Standing::Serving => (status::Standing::Serving, None),
        };
        let named = |(name, count): (&str, u64)| Named {
            name: name.into(),
            count,
        };
        DirectorStatus {
            name: self.config.name.clone(),
            address: SocketAddrV4::new(self.config.address, self.config.udp_port),
            dataplane: self.config.dataplane.address.to_string(),
            device_id: self.config.dataplane.device_id,
            standing,
            why,
            standing_ms: millis(since.elapsed()),
            sessions: occupancy.sessions as u64,
            session_capacity: occupancy.pool as u64,
            resting: occupancy.resting as u64,
            grants: occupancy.grants as u64,
            restored: self.restored.load(Ordering::Relaxed),
            kept: self.kept.load(Ordering::Relaxed),
            memory: occupancy.memory as u64,
            lacking: core.lacking() as u64,
            held: core.held() as u64,
            director: core.director().counters().iter().map(named).collect(),
            dataplane_side: core.counts().iter().map(named).collect(),
            manager: self.view.as_ref().map(|view| view.status()),
        }
    }

    /// For the status socket.
    #[must_use]
    pub fn sessions(&self, part: &Part) -> Sessions {
        let (offset, limit) = window(part);
        let guard = self.core();
        let core = &guard.0;
        let ledger = self.ledger();
        let listed = core.director().sessions(self.now()).skip(offset).take(limit);
        let sessions = listed.map(|session| status::Session {
            pseudo: Ipv4Addr::from_bits(session.pseudo.to_bits()),
            member: session.name.into(),
            key_id: session.key_id.0,
            community: ledger.community(session.community),
            community_index: session.community,
            bound: session.bound,
            age_ms: millis(session.age),
            idle_ms: millis(session.idle),
            mtu: session.mtu,
            sender_only: session.sender_only,
        });
        Sessions {
            offset: part.offset,
            sessions: sessions.collect(),
            total: core.director().occupancy().sessions as u64,
        }
    }

    /// For the status socket.
    #[must_use]
    pub fn grants(&self, part: &Part) -> status::Grants {
        let (offset, limit) = window(part);
        let ledger = self.ledger();
        status::Grants {
            total: ledger.total() as u64,
            offset: part.offset,
            grants: ledger.listed().skip(offset).take(limit).cloned().collect(),
        }
    }
}

/// The next change that the manager wants; never, if there is no manager.
async fn next(manager: &mut Option<Manager>) -> Change {
    if let Some(manager) = manager
        && let Some(change) = manager.changes.recv().await
    {
        return change;
    }
    std::future::pending().await
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        // Whoever could say so is gone.
        if stop.changed().await.is_err() {
            return;
        }
    }
}

/// What the manager was told last.
#[derive(Default)]
struct Told {
    last: Option<(bool, u64, Instant)>,
}

impl Told {
    /// At once whether it serves; how many sessions, now and then.
    fn tell(&mut self, desk: &Desk, report: &Report) {
        let (serving, sessions) = {
            let guard = desk.core();
            let sessions = guard.0.director().occupancy().sessions as u64;
            (*guard.0.standing() == Standing::Serving, sessions)
        };
        let same = |&(before, _, at): &(bool, u64, Instant)| before == serving && at.elapsed() < REPORT;
        if !self.last.as_ref().is_some_and(same) {
            self.last = Some((serving, sessions, Instant::now()));
            report(serving, sessions);
        }
    }
}

/// The journal, as long as it can be written.
struct Keeper {
    journal: Option<Journal>,
    looked: Instant,
}

impl Keeper {
    fn append(&mut self, entries: &[kith_director::journal::Entry]) -> Result<(), JournalError> {
        self.guarded(|journal| journal.append(entries))
    }

    fn compact(&mut self, core: &Core) -> Result<(), JournalError> {
        if self.looked.elapsed() < COMPACT {
            return Ok(());
        }
        self.looked = Instant::now();
        let director = core.director();
        self.guarded(|journal| match journal.wants_compaction(director.journal_len()) {
            true => journal.replace(director.journal()),
            false => Ok(()),
        })
    }

    fn guarded(
        &mut self,
        act: impl FnOnce(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let result = self.journal.as_mut().map_or(Ok(()), act);
        if result.is_err() {
            self.journal = None;
        }
        result
    }
}

fn tell_session(director: &str, event: Session) {
    match event {
        Session::Opened {
            pseudo,
            key_id,
            bound,
        } => info!(%director, %pseudo, key_id = key_id.0, %bound, "session opened"),
        Session::Moved { pseudo, from, to } => debug!(%director, %pseudo, %from, %to, "session moved"),
        Session::Ended { pseudo, key_id, why } => {
            info!(%director, %pseudo, key_id = key_id.0, ?why, "session ended");
        }
        Session::PoolExhausted => warn!(%director, "every pseudo address is taken; enlarge pseudo_pool"),
    }
}

/// Which part of a list is wanted.
fn window(part: &Part) -> (usize, usize) {
    let limit = match part.limit {
        0 => status::MAX_LISTED,
        some => some.min(status::MAX_LISTED),
    };
    (part.offset as usize, limit as usize)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
