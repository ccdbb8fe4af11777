//! A membership: from a registration file to a joined member, and staying one (001 figures 13, 14; 21 for the director).
//!
//! ```text
//!              ┌────────────────────────── rest (backoff, jitter) ◄───── refused, silent, dropped
//!              ▼                                                                    ▲
//!  network ─► Init ─► director offered? ─► session ─► Join ─► joined ────────────────┤ (joined stays in force meanwhile)
//!                          └── no ──────────────────►─┘         │ stream of changes, reopened after a Refresh
//!                                                               │ Refresh every 110 s
//!                                                               │ Move when we are reached elsewhere
//!                                                               │ heartbeats both ways, inside the tunnel
//!                                                               └ Leave ─► over
//! ```
//!
//! - **A join that repeats keeps what is**: the run id stays the same, and traffic between members goes on under their own
//!   keys while the manager is away. Only its word ([`Ending`]), or being disowned repeatedly, closes the adapter.
//! - **Lost answers**: Join is repeated unchanged within the time that Init gave; a Refresh is always a new exchange. An
//!   answer to anything but the newest request of its kind is not looked at.
//! - **A silent manager**: after three of its heartbeat intervals without one, the next manager of the list is joined.
//! - **Final refusals** stop the machine with the reason; all others lead to another attempt.

mod changes;
mod director;
mod joining;
mod seeking;
mod staying;
#[cfg(test)]
mod tests;
mod types;

use super::backoff::Backoff;
use super::channel::Half;
use super::request::{Answer, Call, Failure, Manager, Patience, Request, RequestId};
use super::{Credentials, Entropy};
use crate::config::Secret;
use crate::keying::Moment;
use crate::orders::{Order, Report};
use joining::Offer;
use kith_esp::Millis;
use kith_protocol::member::{Envelope, Location};
use kith_protocol::secret::Secret32;
use seeking::Seeking;
use staying::Joined;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

pub use types::{Ending, Event, Input, Network, Output, Place, Settings, Trouble, View};

/// How far the join is.
enum Phase {
    /// Until then, or until there is a network.
    Resting(Option<Millis>),
    Init {
        id: RequestId,
        sent: Moment,
        seed: [u8; 32],
    },
    Session(Box<Offer>),
    Join {
        id: RequestId,
        offer: Box<Offer>,
        half: Box<Half>,
        /// Where the request says that we are.
        location: Location,
        envelope: Envelope,
        /// Sent again then, if the attempt before came to nothing.
        again: Option<Millis>,
    },
    In,
    Leaving(RequestId),
    Over,
}

/// Requests that one answer at a time is awaited for, beside the join.
struct Awaited<T> {
    id: RequestId,
    until: Millis,
    what: T,
}

/// The machine.
pub struct Membership {
    me: Credentials,
    settings: Settings,
    entropy: Entropy,
    managers: Vec<Manager>,
    managers_version: u64,
    /// Which manager is asked.
    current: usize,
    run_id: [u8; 16],
    network: Option<Network>,
    /// A newer token key: for the next join.
    next_token: Option<(Secret32, u64)>,
    /// The director that the control thread was told, and what names its key.
    director: Option<Ordered>,
    /// Our pseudo address there.
    pseudo: Option<Ipv4Addr>,
    phase: Phase,
    /// When the request of the phase is given up.
    phase_until: Option<Millis>,
    joined: Option<Joined>,
    refresh: Option<Awaited<Box<Half>>>,
    moving: Option<Awaited<Location>>,
    seeking: Seeking,
    /// When the members that we deal with joined, by the manager's clock.
    met: BTreeMap<Ipv4Addr, u64>,
    volume: (u64, u64),
    backoff: Backoff,
    /// Requests dropped in a row.
    dropped: u32,
    trouble: Option<String>,
    outputs: VecDeque<Output>,
    last_id: u64,
}

/// The director that was ordered.
struct Ordered {
    address: SocketAddrV4,
    key_id: u64,
    key: Secret,
    sender_only: bool,
}

/// Answers are awaited this long.
const PATIENCE: Patience = Patience(5_000);
/// Leaving takes no longer.
const LEAVE_PATIENCE: Patience = Patience(2_000);
/// Waits between attempts to join: the first and the longest.
const REST_MS: (u64, u64) = (1_000, 60_000);
/// And the longest where the manager disowns us.
const DISOWNED_REST_MS: u64 = 300_000;
/// Dropped so often in a row, we count ourselves out.
const DISOWNED: u32 = 3;

impl Membership {
    /// Begins as soon as there is a network. `managers` is not empty.
    #[must_use]
    pub fn new(
        me: Credentials,
        managers: (Vec<Manager>, u64),
        settings: Settings,
        mut entropy: Entropy,
    ) -> Self {
        let mut run_id = [0; 16];
        entropy(&mut run_id);
        Self {
            me,
            settings,
            entropy,
            managers: managers.0,
            managers_version: managers.1,
            current: 0,
            run_id,
            network: None,
            next_token: None,
            director: None,
            pseudo: None,
            phase: Phase::Resting(None),
            phase_until: None,
            joined: None,
            refresh: None,
            moving: None,
            seeking: Seeking::default(),
            met: BTreeMap::new(),
            volume: (0, 0),
            backoff: Backoff::new(REST_MS.0, REST_MS.1),
            dropped: 0,
            trouble: None,
            outputs: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Something happened.
    pub fn input(&mut self, now: Moment, input: Input) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match input {
            Input::Answer { id, result } => self.answered(now, id, result),
            Input::Update { stream, update } => self.update(now, stream, *update),
            Input::StreamEnded { stream, failure } => self.stream_ended(now, stream, &failure),
            Input::Report(report) => self.report(now, report),
            Input::Heartbeat(heartbeat) => self.manager_beat(now, &heartbeat),
            Input::Network(network) => self.network(now, network),
            Input::Volume { sent, received } => self.volume = (sent, received),
            Input::Found(peer) => self.peer(now, &peer),
            Input::Leave => self.leave(now),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment) {
        let time = now.millis();
        if self.phase_until.is_some_and(|until| time >= until) {
            self.phase_until = None;
            self.phase_timed_out(now);
        }
        match &self.phase {
            Phase::Over | Phase::Leaving(_) => return,
            Phase::Resting(Some(until)) if time >= *until => self.init(now),
            Phase::Join { again: Some(at), .. } if time >= *at => self.repeat_join(now),
            _ => {}
        }
        self.stay(now);
        self.seek_on(now);
    }

    /// When [`Membership::tick`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let phase = match &self.phase {
            Phase::Over => return None,
            // Nothing else is done any more: what would have been due must not wake anybody.
            Phase::Leaving(_) => return self.phase_until,
            Phase::Resting(until) => *until,
            Phase::Join { again, .. } => *again,
            _ => None,
        };
        [
            self.phase_until,
            phase,
            self.stay_deadline(),
            self.seeking.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing that is wanted; call until `None` after every other call.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Is it over?
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The manager that is asked now.
    #[must_use]
    pub fn manager(&self) -> Option<&Manager> {
        self.managers.get(self.current)
    }

    /// This run of the agent, as the manager knows it.
    #[must_use]
    pub fn run_id(&self) -> [u8; 16] {
        self.run_id
    }

    /// For status.
    #[must_use]
    pub fn view(&self) -> View {
        let phase = match (&self.phase, &self.joined) {
            (Phase::Over, _) => "over",
            (Phase::Leaving(_), _) => "leaving",
            (Phase::In, _) => "joined",
            (_, Some(_)) => "rejoining",
            (Phase::Resting(None), None) => "no network",
            (Phase::Resting(Some(_)), None) => "waiting",
            (Phase::Session(_), None) => "director session",
            (Phase::Init { .. } | Phase::Join { .. }, None) => "joining",
        };
        View {
            phase,
            place: self.joined.as_ref().map(|joined| joined.place.clone()),
            manager: self.manager().cloned(),
            trouble: self.trouble.clone(),
        }
    }

    fn answered(&mut self, now: Moment, id: RequestId, result: Result<Answer, Failure>) {
        // Only an answer shows that the manager knows us; one that did not come shows nothing.
        if result.is_ok() {
            self.dropped = 0;
        }
        match &self.phase {
            Phase::Init { id: asked, .. } if *asked == id => return self.init_answered(now, result),
            Phase::Join { id: asked, .. } if *asked == id => return self.join_answered(now, result),
            Phase::Leaving(asked) if *asked == id => return self.over(Ending::Left),
            _ => {}
        }
        if self.refresh.as_ref().is_some_and(|refresh| refresh.id == id) {
            self.refresh_answered(now, result);
        } else if self.moving.as_ref().is_some_and(|moving| moving.id == id) {
            self.move_answered(now, result);
        } else {
            self.locate_answered(now, id, result);
        }
    }

    fn report(&mut self, now: Moment, report: Report) {
        match report {
            Report::Session { director, pseudo, .. } => self.session(now, director, pseudo),
            Report::ManagerHeard => self.manager_heard(now),
            Report::NeedPeer(address) | Report::Expiring(address) => self.seek(now, address),
            Report::Introduced(_) => {}
        }
    }

    fn leave(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Leaving(_)) {
            return;
        }
        // A join under way may have succeeded already.
        if self.joined.is_some() || matches!(self.phase, Phase::Join { .. }) {
            let request = kith_protocol::member::LeaveRequest {
                run_id: self.run_id.to_vec(),
            };
            let envelope = self.me.envelope(Call::Leave, &request);
            let id = self.request(Call::Leave, envelope, LEAVE_PATIENCE);
            self.phase = Phase::Leaving(id);
            self.phase_until = Some(after(now, LEAVE_PATIENCE.0));
        } else {
            self.over(Ending::Left);
        }
    }

    /// The end, whatever was under way.
    fn over(&mut self, ending: Ending) {
        self.unwatch();
        self.joined = None;
        self.phase = Phase::Over;
        self.phase_until = None;
        self.outputs.push_back(Output::Order(Order::Out));
        self.outputs.push_back(Output::Order(Order::NoDirector));
        self.outputs.push_back(Output::Event(Event::Over(ending)));
    }

    fn request(&mut self, call: Call, envelope: Envelope, patience: Patience) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        // The list is never empty, and `current` is always taken modulo its length.
        if let Some(manager) = self.manager().cloned() {
            let request = Request {
                id,
                manager,
                call,
                envelope,
                patience,
            };
            self.outputs.push_back(Output::Request(Box::new(request)));
        }
        id
    }

    fn order(&mut self, order: Order) {
        self.outputs.push_back(Output::Order(order));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        (self.entropy)(&mut out);
        out
    }
}

fn after(now: Moment, wait_ms: u64) -> Millis {
    Millis(now.millis().0.saturating_add(wait_ms))
}
