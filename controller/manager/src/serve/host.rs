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
use super::commit::Committer;
use super::limits::Limits;
use super::outlets::Outlets;
use super::outputs::unavailable;
use super::peer::Peer;
use super::streams::{self, Pusher, Updates};
use crate::core::{
    Actor, AdminError, AdminReply, Answer, Call, Command, Input, Manager, StreamId, Time, Token,
    store_refusal,
};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use kith_protocol::admin;
use kith_protocol::member::{Envelope, Update};
use kith_store::Store;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, oneshot, watch};
use tonic::Status;

/// Events that wait for the slowest operator who watches; whoever falls behind further is told.
const EVENTS: usize = 1_024;
/// Operators' requests under way.
const OPERATORS: usize = 64;
/// The longest pause between two looks at the core's deadline.
const REST: Duration = Duration::from_millis(100);

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
    pub(super) events: broadcast::Sender<admin::Event>,
    calls: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    next: AtomicU64,
    pub(super) earlier: Notify,
    turns: AtomicU64,
    hopeless: AtomicBool,
}

/// What the lock guards.
pub(super) struct Desk {
    /// None while all is read again.
    pub(super) manager: Option<Manager>,
    /// Counts managers: what a former one asked for is not told to this one.
    pub(super) generation: u64,
    pub(super) outlets: Outlets,
    pub(super) asking: HashMap<Token, Asking>,
    pub(super) ordering: HashMap<Token, oneshot::Sender<Result<AdminReply, AdminError>>>,
    pub(super) streams: HashMap<StreamId, Line>,
    /// When the clock's task will look again.
    pub(super) planned: Option<Time>,
}

pub(super) struct Asking {
    pub(super) call: Call,
    pub(super) answer: oneshot::Sender<Answer>,
    // A call that nobody waits for any more still counts until the core has answered it.
    _place: OwnedSemaphorePermit,
}

pub(super) struct Line {
    pub(super) push: Pusher<Update>,
    pub(super) peer: Peer,
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
            turns: AtomicU64::new(0),
            hopeless: AtomicBool::new(false),
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
        let nobody = push.ender();
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
            nobody.end(Err(unavailable()));
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

    pub(super) fn drive_with<R>(
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

    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Time.
impl Host {
    /// Lets time pass for the core until stopped.
    pub(super) async fn keep_time(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
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

    /// Grows while the manager lives, ten times a second at least.
    #[must_use]
    pub fn pulse(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The store will not come back in this process.
    pub(super) fn give_up(&self) {
        self.hopeless.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_hopeless(&self) -> bool {
        self.hopeless.load(Ordering::Relaxed)
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
            // One that is gone reports nothing: the core knows what is believed of it.
            for director in state.directors() {
                let health = director.health;
                self.metrics.director(
                    &director.record.name,
                    health.known && health.healthy,
                    health.sessions,
                );
            }
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
