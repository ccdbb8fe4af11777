//! Memberships against a manager that checks everything, over a network that may lose and be cut.

mod joining;
mod lossy;
mod restarts;
mod staying;

use super::super::fake::{self, Fake};
use super::super::request::{Answer, Call, Failure, RequestId, StreamId};
use super::super::{Credentials, Entropy};
use super::*;
use crate::orders::Refusal;
use kith_protocol::heartbeat::{Heartbeat, Sender};
use kith_protocol::member;
use kith_protocol::member::Update;
use kith_protocol::member::update::Change;

/// What the machine ordered, without what a test cannot compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Director(SocketAddrV4),
    NoDirector,
    Joined(Ipv4Addr),
    Channel,
    Peer(Ipv4Addr, u64),
    NoPeer(Ipv4Addr, Refusal),
    Gone(Ipv4Addr),
    Policy(usize),
    Out,
}

enum Arrival {
    Answer(RequestId, Box<Result<Answer, Failure>>),
    Update(StreamId, Option<Change>),
    Broken(StreamId),
    Session(SocketAddrV4),
    Heartbeat(Heartbeat),
}

pub(super) struct World {
    pub now: u64,
    pub machine: Membership,
    pub manager: Fake,
    /// Percent of requests and of answers that do not arrive, and of heartbeats.
    pub loss: u64,
    /// Nothing arrives at all.
    pub cut: bool,
    /// Nothing arrives inside the tunnel.
    pub deaf: bool,
    /// The director gives a session.
    pub sessions: Option<Ipv4Addr>,
    pub seen: Vec<Seen>,
    pub orders: Vec<Order>,
    pub events: Vec<Event>,
    pub hosts: Vec<String>,
    pub watches: Vec<(StreamId, u64)>,
    /// What the manager says at the end of what it tells.
    pub synced: member::Synced,
    /// It was started anew: it does not know what was told.
    pub amnesia: bool,
    pub lists: Vec<u64>,
    /// How often time passed for the machine.
    pub turns: u64,
    stream: Option<StreamId>,
    next_beat: u64,
    beats: u64,
    arrivals: Vec<(u64, Arrival)>,
    dice: Entropy,
}

pub(super) const DELAY: u64 = 20;
pub(super) const PSEUDO: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 9);

pub(super) fn moment(millis: u64) -> Moment {
    Moment {
        micros: millis * 1_000,
        wall_nanos: millis * 1_000_000,
    }
}

pub(super) fn network(local: &str, lan: &str) -> Network {
    Network {
        local: local.parse().unwrap(),
        lans: vec![lan.parse().unwrap()],
    }
}

pub(super) fn director() -> member::Director {
    member::Director {
        name: "d1".into(),
        address: 0xcb00_710a,
        port: 20_202,
        key_id: 7,
        key: vec![8; 32],
        ..member::Director::default()
    }
}

/// The control thread says how the session at the director stands.
fn session(pseudo: Option<Ipv4Addr>) -> Input {
    Input::Report(Report::Session {
        director: director_socket(),
        pseudo,
        observed: None,
    })
}

pub(super) fn director_socket() -> SocketAddrV4 {
    "203.0.113.10:20202".parse().unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with_managers(seed, &["manager.example"])
    }

    pub fn with_managers(seed: u64, managers: &[&str]) -> Self {
        let (me, managers) = Credentials::take(fake::registration(managers), fake::identity()).unwrap();
        let settings = Settings {
            udp_port: 20_202,
            site: String::new(),
            platform: "test".into(),
            program: "kith-agent test".into(),
            computer: "alice".into(),
        };
        Self {
            now: 10_000,
            machine: Membership::new(me, managers, settings, fake::entropy(seed)),
            manager: Fake::new(),
            loss: 0,
            cut: false,
            deaf: false,
            sessions: Some(PSEUDO),
            seen: Vec::new(),
            orders: Vec::new(),
            events: Vec::new(),
            hosts: Vec::new(),
            watches: Vec::new(),
            synced: member::Synced::default(),
            amnesia: false,
            lists: Vec::new(),
            turns: 0,
            stream: None,
            next_beat: 0,
            beats: 0,
            arrivals: Vec::new(),
            dice: fake::entropy(seed ^ 0xd1ce),
        }
    }

    pub fn attach(&mut self, network: Network) {
        self.input(Input::Network(Some(network)));
    }

    /// Attached, and given a second.
    pub fn joined(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.attach(network("198.51.100.7", "198.51.100.0/24"));
        world.run(1_000);
        assert_eq!(world.machine.view().phase, "joined");
        world
    }

    pub fn input(&mut self, input: Input) {
        self.machine.input(moment(self.now), input);
        self.drain();
    }

    /// The manager pushes a change.
    pub fn push(&mut self, change: Change) {
        self.manager.revision += 1;
        let stream = self.stream.expect("a stream");
        self.arrivals
            .push((self.now + DELAY, Arrival::Update(stream, Some(change))));
    }

    pub fn break_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.arrivals.push((self.now, Arrival::Broken(stream)));
        }
    }

    pub fn has_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Lets so much time pass.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + millis;
        loop {
            let due = self.machine.deadline().map(|at| at.0);
            let arrival = self.arrivals.iter().map(|(at, _)| *at).min();
            let beat = self.next_beat.max(self.now);
            let next = [due, arrival, Some(beat)]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(end)
                .max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            self.manager_beats();
            let (due, later) = std::mem::take(&mut self.arrivals)
                .into_iter()
                .partition(|(at, _)| *at <= next);
            self.arrivals = later;
            for (_, arrival) in due {
                self.arrive(arrival);
            }
            self.machine.tick(moment(self.now));
            self.turns += 1;
            self.drain();
            // What is due is done when its time comes; at most it leads to something that is due at once.
            let stuck = self.machine.deadline().is_some_and(|at| at.0 < self.now);
            assert!(!stuck, "a deadline that passing time does not meet");
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let input = match arrival {
            Arrival::Answer(id, result) => Input::Answer { id, result: *result },
            Arrival::Update(stream, change) => {
                let revision = self.manager.revision;
                Input::Update {
                    stream,
                    update: Box::new(Update { revision, change }),
                }
            }
            Arrival::Broken(stream) => Input::StreamEnded {
                stream,
                failure: Failure::Unreachable("cut".into()),
            },
            Arrival::Session(director) => {
                let (pseudo, observed) = (self.sessions, None);
                Input::Report(Report::Session {
                    director,
                    pseudo,
                    observed,
                })
            }
            Arrival::Heartbeat(heartbeat) => Input::Heartbeat(heartbeat),
        };
        self.input(input);
    }

    /// The manager beats while it knows us as joined and the way is open.
    fn manager_beats(&mut self) {
        if self.now < self.next_beat {
            return;
        }
        self.next_beat = self.now + u64::from(fake::BEAT_MS);
        if self.manager.joins.is_empty() || self.deaf || self.lost() {
            return;
        }
        self.beats += 1;
        let heartbeat = Heartbeat {
            sender: Sender::Manager,
            sequence: self.beats,
            run_id: self.machine.run_id(),
            octets_sent: 0,
            octets_received: 0,
            time_ms: self.now,
            heard_sequence: 0,
            heard_time_ms: 0,
        };
        self.arrivals
            .push((self.now + DELAY, Arrival::Heartbeat(heartbeat)));
    }

    fn lost(&mut self) -> bool {
        let mut die = [0; 2];
        (self.dice)(&mut die);
        self.cut || u64::from(u16::from_le_bytes(die)) % 100 < self.loss
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Request(request) => {
                    self.hosts.push(request.manager.host.clone());
                    if self.lost() {
                        continue;
                    }
                    let result = self
                        .manager
                        .call(self.now + DELAY, request.call, &request.envelope);
                    if !self.lost() {
                        let at = self.now + 2 * DELAY;
                        self.arrivals
                            .push((at, Arrival::Answer(request.id, Box::new(result))));
                    }
                }
                Output::Watch { stream, envelope, .. } => self.watch(stream, &envelope),
                Output::Unwatch(stream) => {
                    if self.stream == Some(stream) {
                        self.stream = None;
                    }
                }
                Output::Order(order) => self.order(order),
                Output::Heartbeat(_) => {}
                Output::Event(event) => self.events.push(event),
                Output::Managers { version, .. } => self.lists.push(version),
            }
        }
    }

    fn watch(&mut self, stream: StreamId, envelope: &Envelope) {
        use kith_protocol::authenticator::{AuthKey, Kind, verify};
        use prost::Message;
        assert!(verify(
            Kind::Watch,
            envelope,
            &AuthKey::of(&fake::token_key()),
            None
        ));
        let request = member::WatchRequest::decode(envelope.payload.as_slice()).unwrap();
        self.watches.push((stream, request.from_revision));
        let arrival = if self.lost() {
            Arrival::Broken(stream)
        } else {
            self.stream = Some(stream);
            let anew = request.from_revision == 0;
            self.amnesia &= !anew;
            let at = self.now + 2 * DELAY;
            if anew {
                let policy = Change::Policy(member::Policy::default());
                self.arrivals.push((at, Arrival::Update(stream, Some(policy))));
            }
            let last = match self.amnesia {
                true => Change::Resync(member::Resync {}),
                false => Change::Synced(self.synced.clone()),
            };
            Arrival::Update(stream, Some(last))
        };
        self.arrivals.push((self.now + 2 * DELAY, arrival));
    }

    fn order(&mut self, order: Order) {
        self.seen.push(match &order {
            Order::Director(director) => {
                if self.sessions.is_some() {
                    self.arrivals
                        .push((self.now + DELAY, Arrival::Session(director.address)));
                }
                Seen::Director(director.address)
            }
            Order::NoDirector => Seen::NoDirector,
            Order::Joined(joined) => Seen::Joined(joined.address),
            Order::Channel(_) => Seen::Channel,
            Order::Peer(peer) => Seen::Peer(peer.address, peer.sequence),
            Order::NoPeer(address, refusal) => Seen::NoPeer(*address, *refusal),
            Order::Gone(address) => Seen::Gone(*address),
            Order::Policy(rules) => Seen::Policy(rules.len()),
            Order::Out => Seen::Out,
            #[allow(unreachable_patterns, reason = "orders that are not the machine's")]
            _ => return,
        });
        self.orders.push(order);
    }
}
