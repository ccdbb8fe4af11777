//! The host: the core behind one lock, and everything that the core may not do itself.
//!
//! Problem: the core decides in microseconds and must see one thing at a time; disks, mail servers and slow readers take as long as they
//! like. Idea: under the lock the core is told one thing and its outputs are handed on, in their order, to places that never wait:
//! queues, one-shot answers, bounded streams. Everything slow happens behind those.
//!
//! ```text
//!  members, operators, tunnel, clock ── input ──► ┌──────────── lock ────────────┐
//!            ▲            ▲                       │ core ──► outputs, in order   │
//!            │ answers    │ streams (bounded)     └──┬──────┬──────┬──────┬──────┘
//!            └────────────┴──────────────────────────┘      │      │      └──► hub, directors
//!                                       committer ◄─────────┘      └──► mailer
//!                                 store ◄──┘ └── Committed ──► input
//! ```
//!
//! When the store refuses a transaction, what the core holds in memory is not what is on disk: it is thrown away, everybody waiting is told,
//! and another is loaded (see `reload`). Cost: the lock is held for one input, some tens of microseconds.

use super::clock::Clock;
use super::commit::{Committer, Job};
use super::limits::Limits;
use super::outlets::Outlets;
use super::peer::Peer;
use super::streams::{self, Full, Pusher, Updates};
use crate::core::{
    Actor, AdminError, AdminReply, Answer, Call, Command, Input, Manager, Output, StreamEnd, StreamId, Time,
    Token,
};
use crate::mail::{Letter, Mailer};
use crate::metrics::Metrics;
use kith_protocol::member::{Envelope, Refusal, Update, refusal, update};
use kith_protocol::{admin, member};
use kith_store::Store;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, oneshot, watch};
use tonic::Status;

/// Events that wait for the slowest operator who watches; whoever falls behind further is told.
const EVENTS: usize = 1_024;
/// Operators' requests under way.
const OPERATORS: usize = 64;
/// The longest pause between two looks at the core's deadline.
const REST: Duration = Duration::from_secs(1);

/// The host of one manager.
pub struct Host {
    pub(super) desk: Mutex<Desk>,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    pub(super) committer: Committer,
    pub(super) metrics: Arc<Metrics>,
    pub(super) mailer: Mailer,
    pub(super) limits: Limits,
    pub(super) load: super::reload::Load,
    pub(super) started: Instant,
    events: broadcast::Sender<admin::Event>,
    calls: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    next: AtomicU64,
    earlier: Notify,
}

/// What the lock guards.
pub(super) struct Desk {
    /// None while all is read again.
    pub(super) manager: Option<Manager>,
    /// Counts managers: what a former one asked for is not told to this one.
    pub(super) generation: u64,
    pub(super) outlets: Outlets,
    asking: HashMap<Token, Asking>,
    ordering: HashMap<Token, oneshot::Sender<Result<AdminReply, AdminError>>>,
    streams: HashMap<StreamId, Line>,
    /// When the clock's task will look again.
    planned: Option<Time>,
}

struct Asking {
    call: Call,
    answer: oneshot::Sender<Answer>,
    // A call that nobody waits for any more still counts until the core has answered it.
    _place: OwnedSemaphorePermit,
}

struct Line {
    push: Pusher<Update>,
    peer: Peer,
}

/// A letter that the core wants sent, until the lock is free.
struct Post {
    id: u64,
    generation: u64,
    letter: Letter,
}

/// What a host is made of.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) committer: Committer,
    pub(super) metrics: Arc<Metrics>,
    pub(super) mailer: Mailer,
    pub(super) limits: Limits,
    pub(super) load: super::reload::Load,
    pub(super) outlets: Outlets,
    pub(super) clock: Clock,
}

impl Host {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let desk = Desk {
            manager: None,
            generation: 0,
            outlets: parts.outlets,
            asking: HashMap::new(),
            ordering: HashMap::new(),
            streams: HashMap::new(),
            planned: None,
        };
        Arc::new(Self {
            desk: Mutex::new(desk),
            clock: parts.clock,
            store: parts.store,
            committer: parts.committer,
            metrics: parts.metrics,
            mailer: parts.mailer,
            load: parts.load,
            started: Instant::now(),
            events: broadcast::Sender::new(EVENTS),
            calls: Arc::new(Semaphore::new(parts.limits.calls)),
            operators: Arc::new(Semaphore::new(OPERATORS)),
            limits: parts.limits,
            next: AtomicU64::new(1),
            earlier: Notify::new(),
        })
    }

    /// A member's call.
    pub async fn call(
        self: &Arc<Self>,
        from: SocketAddrV4,
        call: Call,
        envelope: Envelope,
    ) -> Result<Answer, Status> {
        let Ok(place) = self.calls.clone().try_acquire_owned() else {
            self.metrics.call(call.word(), "busy");
            return Err(Status::resource_exhausted(
                "the manager is busy; try again in a second",
            ));
        };
        let (answer, answered) = oneshot::channel();
        let token = Token(self.number());
        let asking = Asking {
            call,
            answer,
            _place: place,
        };
        let told = self.drive_with(
            None,
            |desk| drop(desk.asking.insert(token, asking)),
            |now, manager| {
                manager.input(
                    now,
                    Input::Call {
                        token,
                        from,
                        call,
                        envelope,
                    },
                )
            },
        );
        if told.is_none() {
            self.desk().asking.remove(&token);
            return Ok(Answer::Refused(store_refusal()));
        }
        // The sender is dropped unanswered only when the host goes away.
        Ok(answered
            .await
            .unwrap_or_else(|_| Answer::Refused(store_refusal())))
    }

    /// A member's stream of changes.
    pub fn watch(self: &Arc<Self>, peer: &Peer, from: SocketAddrV4, envelope: Envelope) -> Updates<Update> {
        let stream = StreamId(self.number());
        let host = Arc::downgrade(self);
        let (push, updates) = streams::stream(self.limits.queue, move || {
            if let Some(host) = host.upgrade() {
                host.closed(stream);
            }
        });
        let unavailable = push.ender();
        let line = Line {
            push,
            peer: peer.clone(),
        };
        let told = self.drive_with(
            None,
            |desk| drop(desk.streams.insert(stream, line)),
            |now, manager| {
                manager.input(
                    now,
                    Input::Watch {
                        stream,
                        from,
                        envelope,
                    },
                )
            },
        );
        if told.is_none() {
            unavailable.end(Err(unavailable_status()));
        }
        updates
    }

    fn closed(self: &Arc<Self>, stream: StreamId) {
        self.drive_with(
            None,
            |desk| drop(desk.streams.remove(&stream)),
            |now, manager| manager.input(now, Input::StreamClosed { stream }),
        );
    }

    /// An operator's request.
    pub async fn command(self: &Arc<Self>, actor: Actor, command: Command) -> Result<AdminReply, AdminError> {
        let Ok(_place) = self.operators.acquire().await else {
            return Err(AdminError::Store("the manager stops".into()));
        };
        let (answer, answered) = oneshot::channel();
        let token = Token(self.number());
        let told = self.drive_with(
            None,
            |desk| drop(desk.ordering.insert(token, answer)),
            |now, manager| {
                manager.input(
                    now,
                    Input::Admin {
                        token,
                        actor,
                        command,
                    },
                )
            },
        );
        if told.is_none() {
            self.desk().ordering.remove(&token);
        }
        let reading = || AdminError::Store("it is being read again after a failure".into());
        answered.await.unwrap_or_else(|_| Err(reading()))
    }

    /// What happens from now on, for an operator.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<admin::Event> {
        self.events.subscribe()
    }

    /// Tells the core something that nobody waits for; false while there is none.
    pub fn tell(self: &Arc<Self>, input: Input) -> bool {
        self.drive(|now, manager| manager.input(now, input)).is_some()
    }

    /// Does something with the core, and what follows from it; none while all is read again.
    pub fn drive<R>(self: &Arc<Self>, act: impl FnOnce(Time, &mut Manager) -> R) -> Option<R> {
        self.drive_with(None, |_| (), act)
    }

    fn drive_with<R>(
        self: &Arc<Self>,
        generation: Option<u64>,
        prepare: impl FnOnce(&mut Desk),
        act: impl FnOnce(Time, &mut Manager) -> R,
    ) -> Option<R> {
        let mut letters = Vec::new();
        let result = {
            let mut desk = self.desk();
            if generation.is_some_and(|meant| meant != desk.generation) {
                return None;
            }
            prepare(&mut desk);
            let now = Time(self.clock.now());
            let result = desk.manager.as_mut().map(|manager| act(now, manager));
            self.hand_on(&mut desk, now, &mut letters);
            result
        };
        for post in letters {
            self.send(post);
        }
        result
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Outputs.
impl Host {
    /// Hands on all that the core wants done. Nothing here waits.
    fn hand_on(&self, desk: &mut Desk, now: Time, letters: &mut Vec<Post>) {
        let Desk {
            manager: Some(manager),
            generation,
            outlets,
            asking,
            ordering,
            streams,
            planned,
        } = desk
        else {
            return;
        };
        while let Some(output) = manager.poll() {
            match output {
                Output::Commit { id, transaction } => {
                    self.committer.put(Job {
                        generation: *generation,
                        id,
                        transaction,
                    });
                }
                Output::Answer { token, answer } => {
                    if let Some(asked) = asking.remove(&token) {
                        self.metrics.call(asked.call.word(), &outcome(&answer));
                        // Whoever asked may have gone.
                        drop(asked.answer.send(answer));
                    }
                }
                Output::AdminAnswer { token, answer } => {
                    if let Some(asked) = ordering.remove(&token) {
                        drop(asked.send(answer));
                    }
                }
                Output::Push { stream, update } => {
                    let Some(line) = streams.get(&stream) else {
                        continue;
                    };
                    line.peer.prove();
                    // What the core pushes because a queue was full has room: it is the last.
                    let last = matches!(
                        update.change,
                        Some(update::Change::Resync(_) | update::Change::Ended(_))
                    );
                    self.metrics.push();
                    if last {
                        line.push.replace(update);
                    } else if line.push.push(update) == Err(Full) {
                        self.metrics.full();
                        manager.input(now, Input::StreamFull { stream });
                    }
                }
                Output::StreamEnd { stream, why } => {
                    if let Some(line) = streams.remove(&stream) {
                        line.push.end(ended(why));
                    }
                }
                // Nobody may be watching.
                Output::Event(event) => drop(self.events.send(event)),
                Output::Mail { id, mail } => {
                    let letter = Letter {
                        to: mail.to,
                        subject: mail.subject,
                        body: mail.body,
                    };
                    letters.push(Post {
                        id,
                        generation: *generation,
                        letter,
                    });
                }
                Output::Channel(order) => outlets.channel(order),
                Output::Grant(order) => outlets.grant(order),
            }
        }
        let deadline = manager.deadline();
        if deadline.is_some_and(|at| planned.is_none_or(|planned| at < planned)) {
            *planned = deadline;
            self.earlier.notify_one();
        }
    }

    fn send(
        self: &Arc<Self>,
        Post {
            id,
            generation,
            letter,
        }: Post,
    ) {
        let host = self.clone();
        let done = move |result: Result<(), crate::mail::MailError>| {
            host.metrics.mail(result.is_ok());
            let result = result.map_err(|problem| problem.to_string());
            host.of_generation(generation, |now, manager| {
                manager.input(now, Input::Mail { id, result })
            });
        };
        self.mailer.send(letter, Box::new(done));
    }

    /// As [`Host::drive`], if it is still the same manager.
    pub(super) fn of_generation(
        self: &Arc<Self>,
        generation: u64,
        act: impl FnOnce(Time, &mut Manager),
    ) -> Option<()> {
        self.drive_with(Some(generation), |_| (), act)
    }

    /// Puts a manager in its place: the first, or one that was loaded again.
    pub(super) fn install(self: &Arc<Self>, manager: Manager) {
        self.drive_with(
            None,
            |desk| {
                desk.planned = None;
                desk.manager = Some(manager);
                desk.outlets.begin();
            },
            |_, _| (),
        );
        self.desk().outlets.end();
    }

    /// Takes the manager away and tells everybody who waits.
    pub(super) fn discard(&self) {
        let mut desk = self.desk();
        desk.manager = None;
        desk.generation += 1;
        for (_, asked) in desk.asking.drain() {
            self.metrics.call(asked.call.word(), "store");
            drop(asked.answer.send(Answer::Refused(store_refusal())));
        }
        for (_, asked) in desk.ordering.drain() {
            drop(asked.send(Err(AdminError::Store("see the manager's log".into()))));
        }
        for (_, line) in desk.streams.drain() {
            line.push.end(Err(unavailable_status()));
        }
    }
}

/// The end.
impl Host {
    /// Closes every member's stream: the manager stops, another may come.
    pub(super) fn end_streams(&self) {
        for (_, line) in self.desk().streams.drain() {
            line.push.end(Err(Status::unavailable("the manager stops")));
        }
    }
}

/// Time.
impl Host {
    /// Lets time pass for the core until stopped.
    pub(super) async fn keep_time(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let rest = {
                let mut desk = self.desk();
                let deadline = desk.manager.as_ref().and_then(Manager::deadline);
                desk.planned = deadline;
                if let Some(tunnel) = desk.outlets.tunnel() {
                    tunnel.flush();
                }
                let now = Time(self.clock.now());
                deadline.map_or(REST, |at| Duration::from_millis(at.since(now).max(1)).min(REST))
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => drop(self.drive(|now, manager| manager.tick(now))),
                () = self.earlier.notified() => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Brings gauges up to date.
    pub fn measure(&self) {
        let mut desk = self.desk();
        self.metrics.streams(desk.streams.len());
        if let Some(tunnel) = desk.outlets.tunnel() {
            for (kind, name, count) in tunnel.counts() {
                self.metrics.inband(kind, name, count);
            }
        }
        if let Some(manager) = &desk.manager {
            let state = manager.state();
            let communities = state.communities().count() as u64;
            self.metrics
                .population(communities, state.member_count(), state.joined_count());
            for (kind, outcome, count) in manager.counts().iter() {
                self.metrics.core(kind, outcome, count);
            }
        }
    }
}

#[cfg(test)]
impl Host {
    /// Calls, operators' requests and streams that are open.
    pub(super) fn under_way(&self) -> (usize, usize, usize) {
        let desk = self.desk();
        (desk.asking.len(), desk.ordering.len(), desk.streams.len())
    }

    pub(super) fn free_calls(&self) -> usize {
        self.calls.available_permits()
    }
}

fn outcome(answer: &Answer) -> String {
    match answer {
        Answer::Dropped(cause) => cause.word().into(),
        Answer::Refused(refusal) => refusal.code().as_str_name().to_ascii_lowercase(),
        _ => "granted".into(),
    }
}

fn ended(why: StreamEnd) -> Result<(), Status> {
    match why {
        StreamEnd::Dropped(_) => Err(dropped()),
        StreamEnd::Replaced => Err(Status::aborted("another stream of this run took its place")),
        StreamEnd::Store => Err(unavailable_status()),
        StreamEnd::Told | StreamEnd::Left => Ok(()),
    }
}

/// "Dropped" (figure 12): the same for every cause.
pub(super) fn dropped() -> Status {
    Status::unauthenticated("")
}

fn unavailable_status() -> Status {
    Status::unavailable("the manager cannot keep anything now; try again")
}

fn store_refusal() -> member::Refusal {
    Refusal {
        code: refusal::Code::Store.into(),
        reason: "the manager cannot keep anything now; try again".into(),
        retry_after_ms: 1_000,
        attempts_left: 0,
    }
}
