//! One route director of one dataplane, without I/O: packets that come up, sessions, entries that go down.
//!
//! Problem: who is told "you have a session" must have one, in the dataplane's tables and in the journal, although writes
//! take time, fail, and are lost with a connection, and although both sides restart when they like. Idea: the director
//! decides at once, the [`Mirror`] knows what the dataplane lacks, and an answer is held until nothing is lacking for the
//! member that it names.
//!
//! ```text
//!  packet-in ─► envelope ─► Director ─┬─► journal ───────────────────────► written first
//!                                     ├─► mirror ─► updates ─► results ──► written second
//!                                     └─► answer ─ held until then ──────► packet-out
//!
//!  away ──► primary: endpoint and meters written, entries read ──► compared ──► difference written ──► serving
//!    ▲         │ another controller has a higher election id
//!    └─────────┴──► backup: nothing is written, nothing answered
//! ```
//!
//! The host passes events ([`Core::event`]) and time ([`Core::tick`], about ten times a second and at [`Core::deadline`]),
//! and does what [`Core::poll`] says, in this order. While the dataplane is away or decides for another, sessions do not
//! age: nobody could have extended them.
//!
//! Bounds: one write under way, of [`MAX_UPDATES`] updates; [`MAX_HELD`] answers held, none longer than [`HOLD`]; what comes
//! up beyond that is dropped and counted. Cost of a message: two HMACs and about 2 µs.

mod counts;
pub mod envelope;
mod held;
mod mirror;
mod packets;
mod path;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use held::{HOLD, MAX_HELD};
pub use mirror::{Difference, Mirror, Outcome, Wanted};

use crate::southbound::{Entries, Event as Heard, Refused, Request, SenderEntry, SessionEntry, Update};
use held::Held;
use kith_director::Time;
use kith_director::journal::Entry;
use kith_director::server::{Director, Event as Session, Output, TableOp};
use kith_pipeline::meter::Rate;
use kith_pipeline::reason::PuntReason;
use kith_wire::shim::PseudoIp;
use path::Paths;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Updates in one write at most.
pub const MAX_UPDATES: usize = 1_000;
/// A read or write that takes longer is given up, and the connection with it.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The number of writes that prepare the dataplane: no batch's.
const PREPARATION: u64 = 0;
/// When a preparation that failed is tried again.
const PREPARE_AGAIN: Duration = Duration::from_secs(1);
/// Refusals are logged this often at most.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// What a director tells its dataplane beside sessions.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many packets a second each member may send.
    pub sender_rate: Option<Rate>,
    /// How many packets come up for which reason.
    pub punt_rates: Vec<(PuntReason, Rate)>,
}

/// How things stand with the dataplane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no connection; why not.
    Away(String),
    /// Another controller decides.
    Backup,
    /// The entries are being read.
    Comparing,
    /// The dataplane has been compared, and gets what it lacks.
    Serving,
}

/// Something for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// About a session.
    Session(Session),
    /// The standing has changed.
    Standing(Standing),
    /// The dataplane's entries were read.
    Compared(Difference),
    /// Everything that was lacking has been written.
    Reconciled,
    /// The dataplane has no place for these members' entries.
    Refused {
        /// The first of them.
        member: Ipv4Addr,
        /// How many in this batch.
        count: usize,
        /// Why the first one's were refused.
        why: Refused,
    },
    /// The endpoint or a meter could not be set.
    NotPrepared(Refused),
}

/// Work for the host, to be done in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Append to the journal.
    Journal(Vec<Entry>),
    /// Submit to the dataplane.
    Request(Request),
    /// Log.
    News(News),
}

/// A director and its side of the dataplane's tables.
pub struct Core {
    director: Director,
    settings: Settings,
    standing: Standing,
    mirror: Mirror,
    paths: Paths,
    held: Held,
    /// The write or read under way: its number, and since when.
    waiting: Option<(u64, Time)>,
    next_number: u64,
    reconciling: bool,
    prepare_at: Option<Time>,
    complained: Option<Time>,
    journal: Vec<Entry>,
    requests: VecDeque<Request>,
    news: VecDeque<News>,
    counts: Counts,
}

impl Core {
    /// A core around a director, whose sessions may have been restored.
    #[must_use]
    pub fn new(director: Director, settings: Settings) -> Self {
        let own = SocketAddrV4::new(director.config().address, director.config().port);
        let mut core = Self {
            director,
            settings,
            standing: Standing::Away("not connected yet".into()),
            mirror: Mirror::default(),
            paths: Paths::new(own),
            held: Held::default(),
            waiting: None,
            next_number: PREPARATION + 1,
            reconciling: false,
            prepare_at: None,
            complained: None,
            journal: Vec::new(),
            requests: VecDeque::new(),
            news: VecDeque::new(),
            counts: Counts::default(),
        };
        core.obey();
        core
    }

    /// Something happened at the dataplane.
    pub fn event(&mut self, now: Time, event: Heard) {
        match event {
            Heard::Primary => self.primary(now),
            Heard::Backup => self.stand(Standing::Backup),
            Heard::Away { why } => self.stand(Standing::Away(why)),
            Heard::Entries(entries) => self.compare(&entries),
            Heard::Written { number, results } => self.written(now, number, &results),
            Heard::PacketIn { port, reason, frame } => self.packet_in(now, port, reason, frame),
        }
    }

    /// Time passes.
    pub fn tick(&mut self, now: Time) {
        if !self.decides() {
            return;
        }
        self.director.tick(now);
        self.obey();
        self.counts.answers_dropped += self.held.expire(now) as u64;
        if self.prepare_at.is_some_and(|due| due <= now) {
            self.prepare_at = None;
            self.prepare();
        }
        if self
            .waiting
            .is_some_and(|(_, since)| now.since(since) >= PATIENCE)
        {
            self.requests.push_back(Request::Reconnect);
            self.stand(Standing::Away("it did not answer a read or write".into()));
        }
    }

    /// When [`Core::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let waiting = self.waiting.map(|(_, since)| since.after(PATIENCE));
        let all = [
            self.director.deadline(),
            self.mirror.deadline(),
            self.prepare_at,
            self.held.deadline(),
            waiting,
        ];
        self.decides().then(|| all.into_iter().flatten().min()).flatten()
    }

    /// The next thing for the host to do; `None` when there is nothing more for now.
    pub fn poll(&mut self, now: Time) -> Option<Task> {
        if !self.journal.is_empty() {
            return Some(Task::Journal(std::mem::take(&mut self.journal)));
        }
        if let Some(news) = self.news.pop_front() {
            return Some(Task::News(news));
        }
        if let Some(request) = self.requests.pop_front() {
            self.counts.packets_out += u64::from(matches!(request, Request::PacketOut { .. }));
            return Some(Task::Request(request));
        }
        if self.standing != Standing::Serving || self.waiting.is_some() {
            return None;
        }
        let updates = self.mirror.batch(now);
        self.release_settled();
        let Some(updates) = updates else {
            // What was released, or that nothing is lacking any more.
            if self.reconciling && self.mirror.unsettled() == 0 {
                self.reconciling = false;
                self.news.push_back(News::Reconciled);
            }
            return (!self.requests.is_empty() || !self.news.is_empty())
                .then(|| self.poll(now))
                .flatten();
        };
        self.counts.writes += 1;
        self.counts.updates += updates.len() as u64;
        let number = self.await_answer(now);
        Some(Task::Request(Request::Write { number, updates }))
    }

    /// A request could not be submitted.
    pub fn not_submitted(&mut self, request: &Request) {
        match request {
            Request::PacketOut { .. } => {
                self.counts.packets_out -= 1;
                self.counts.answers_dropped += 1;
            }
            // The connection is gone, or it will be given up: either ends the wait.
            Request::Read | Request::Write { .. } | Request::Reconnect => {}
        }
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The director.
    #[must_use]
    pub fn director(&self) -> &Director {
        &self.director
    }

    /// Changes the director's grants, and notes what follows from it.
    pub fn with_director<R>(&mut self, act: impl FnOnce(&mut Director) -> R) -> R {
        let result = act(&mut self.director);
        self.obey();
        result
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Members whose entries the dataplane lacks.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.mirror.unsettled()
    }

    /// Answers that wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

impl Core {
    fn decides(&self) -> bool {
        matches!(self.standing, Standing::Comparing | Standing::Serving)
    }

    fn primary(&mut self, now: Time) {
        if self.decides() {
            return;
        }
        // Members could not be heard meanwhile: each gets a whole lifetime to be heard again.
        self.director.hear_all(now);
        self.stand(Standing::Comparing);
        self.prepare();
        self.requests.push_back(Request::Read);
        self.await_answer(now);
    }

    /// Makes the dataplane a director's.
    fn prepare(&mut self) {
        let config = self.director.config();
        let endpoint = Update::Endpoint {
            address: config.address,
            udp_port: config.port,
        };
        let rates = self.settings.punt_rates.iter();
        let rates = rates.map(|&(reason, rate)| Update::PuntRate { reason, rate });
        self.requests.push_back(Request::Write {
            number: PREPARATION,
            updates: [endpoint].into_iter().chain(rates).collect(),
        });
    }

    fn await_answer(&mut self, now: Time) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting = Some((number, now));
        number
    }

    fn stand(&mut self, standing: Standing) {
        if self.standing == standing {
            return;
        }
        // What was on its way belongs to the connection, or the role, that is gone.
        self.waiting = None;
        self.reconciling = false;
        self.prepare_at = None;
        self.mirror.forget();
        self.counts.answers_dropped += self.held.clear() as u64;
        self.requests
            .retain(|request| matches!(request, Request::Reconnect));
        self.news.push_back(News::Standing(standing.clone()));
        self.standing = standing;
    }

    fn compare(&mut self, entries: &Entries) {
        if self.standing != Standing::Comparing {
            return;
        }
        self.waiting = None;
        let difference = self.mirror.learn(entries);
        self.counts.reconciliations += 1;
        self.reconciling = true;
        self.standing = Standing::Serving;
        self.news.push_back(News::Compared(difference));
        let settled: Vec<u32> = self.held.members().collect();
        for member in settled {
            if self.mirror.is_settled(member) {
                self.release(member);
            }
        }
    }

    fn written(&mut self, now: Time, number: u64, results: &[Result<(), Refused>]) {
        if number == PREPARATION {
            self.prepared(now, results);
            return;
        }
        if self.waiting.is_none_or(|(awaited, _)| awaited != number) {
            return;
        }
        self.waiting = None;
        self.counts.update_failures += results.iter().filter(|result| result.is_err()).count() as u64;
        let outcome = self.mirror.written(now, results);
        self.release_settled();
        for &(member, _) in &outcome.refused {
            self.give_up(member);
        }
        if let Some(&(member, why)) = outcome.refused.first()
            && self.complained.is_none_or(|at| now.since(at) >= COMPLAINTS)
        {
            self.complained = Some(now);
            let (member, count) = (Ipv4Addr::from_bits(member), outcome.refused.len());
            self.news.push_back(News::Refused { member, count, why });
        }
        if outcome.deposed {
            self.stand(Standing::Backup);
        }
    }

    fn prepared(&mut self, now: Time, results: &[Result<(), Refused>]) {
        let Some(&why) = results.iter().find_map(|result| result.as_ref().err()) else {
            return;
        };
        self.counts.update_failures += 1;
        self.news.push_back(News::NotPrepared(why));
        if why == Refused::NotPrimary {
            self.stand(Standing::Backup);
        } else if self.decides() {
            self.prepare_at = Some(now.after(PREPARE_AGAIN));
        }
    }

    /// Sends an answer when what it says of this member is in force.
    fn answer(&mut self, now: Time, about: Option<u32>, port: u16, frame: Vec<u8>) {
        self.counts.answered += 1;
        match about {
            Some(member) if !self.mirror.is_settled(member) => self.held.hold(now, member, (port, frame)),
            _ => self.requests.push_back(Request::PacketOut { port, frame }),
        }
    }

    fn release_settled(&mut self) {
        for member in self.mirror.take_settled() {
            self.release(member);
        }
    }

    fn release(&mut self, member: u32) {
        let answers = self.held.take(member).into_iter();
        self.requests
            .extend(answers.map(|(port, frame)| Request::PacketOut { port, frame }));
    }

    /// What a member would have been told is not so.
    fn give_up(&mut self, member: u32) {
        self.counts.answers_dropped += self.held.take(member).len() as u64;
    }

    /// Notes what the director wants done; gives the member whose session changed last.
    fn obey(&mut self) -> Option<u32> {
        let mut touched = None;
        while let Some(output) = self.director.poll() {
            match output {
                Output::Journal(entry) => self.journal.push(entry),
                Output::Event(event) => self.news.push_back(News::Session(event)),
                Output::Table(TableOp::Unbind { pseudo }) => {
                    self.want(pseudo, None);
                    touched = Some(pseudo.to_bits());
                }
                Output::Table(TableOp::Bind {
                    pseudo,
                    bound,
                    community,
                    mtu,
                    sender_only,
                }) => {
                    let sender = SenderEntry {
                        bound,
                        community,
                        rate: self.settings.sender_rate,
                    };
                    let session = SessionEntry {
                        bound,
                        community,
                        mtu,
                    };
                    let session = (!sender_only).then_some(session);
                    self.want(pseudo, Some(Wanted { sender, session }));
                    touched = Some(pseudo.to_bits());
                }
            }
        }
        touched
    }

    fn want(&mut self, pseudo: PseudoIp, wanted: Option<Wanted>) {
        let member = pseudo.to_bits();
        let old = self.mirror.wanted(member).map(|it| it.sender.bound);
        let new = wanted.map(|it| it.sender.bound);
        if old.is_some() && old != new {
            // Answers that wait say what was so before.
            self.give_up(member);
        }
        self.paths.moved(pseudo, old, new);
        self.mirror.want(member, wanted);
    }
}
