//! All associations of one end: which datagram is whose, who may begin, what to do when two begin at once.
//!
//! ```text
//!  datagram ── SPI of ours? ──► association ──► outputs
//!         └─── a first message ─► cookie? ─► room? ─► screened? ─► Responding
//! ```
//!
//! Cost: a stranger's first message costs one parse and, under load, one HMAC; keys are made for who returned a cookie and passed the host's
//! screening, and at most [`Config::half_open_most`] such handshakes are kept.

mod cookie;
mod counters;
mod strangers;
mod twins;

pub use counters::{Counters, Drop};

use crate::association::context::{Context, Desk};
use crate::association::tasks::Task;
use crate::association::{Association, Effect};
use crate::codec::{self, IkeSpi, Malformed};
use crate::event::{Down, Event, Output};
use crate::host::Host;
use crate::suite::IkeSuite;
use crate::terms::{Config, Connection};
use crate::units::{AssociationId, ChildId, Moment, Path, Role};
use cookie::Cookies;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

/// One end of many associations.
pub struct Endpoint<H: Host> {
    config: Config,
    host: H,
    desk: Desk,
    associations: BTreeMap<AssociationId, Association>,
    deadlines: BTreeSet<(u64, AssociationId)>,
    due: HashMap<AssociationId, u64>,
    /// Handshakes that strangers began, by their SPI and address.
    strangers: HashMap<(IkeSpi, SocketAddr), AssociationId>,
    cookies: Cookies,
    last: u64,
}

/// What an operator is shown of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Both ends have proved who they are.
    pub up: bool,
    /// Who began.
    pub role: Role,
    /// Where both are.
    pub path: Option<Path>,
    /// How the IKE SA is protected.
    pub suite: Option<IkeSuite>,
    /// When it came up, and when its keys were made; milliseconds.
    pub since: Option<(u64, u64)>,
    /// When the peer last said something authentic; milliseconds.
    pub heard: Option<u64>,
    /// Its pairs of ESP SAs.
    pub children: Vec<ChildId>,
}

impl<H: Host> Endpoint<H> {
    /// With nobody to talk to yet.
    #[must_use]
    pub fn new(config: Config, host: H) -> Self {
        Self {
            config,
            host,
            desk: Desk::default(),
            associations: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            due: HashMap::new(),
            strangers: HashMap::new(),
            cookies: Cookies::new(),
            last: 0,
        }
    }

    /// The host that it asks.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The same, to change what it answers.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// Begins anew with a peer: what there was with it is forgotten. Whether it comes up, an event says. One that has only just begun or come up
    /// is as good as a new one, and is given instead.
    pub fn connect(&mut self, now: Moment, connection: Connection) -> AssociationId {
        let handshake = self.config.timing.handshake;
        for id in self.with_peer(&connection.peer) {
            let up = self.associations.get(&id).and_then(Association::up);
            if up.is_some_and(|up| now.millis >= up.since + handshake) {
                self.remove(now, id, Down::Replaced);
            } else {
                return id;
            }
        }
        let id = self.next_id();
        let (context, _) = self.context(now);
        let mut context = context;
        match Association::initiate(&mut context, id, connection) {
            Ok(association) => {
                self.associations.insert(id, association);
                self.reschedule(id);
            }
            Err(down) => self.desk.outputs.push_back(Output::Event(id, Event::Down(down))),
        }
        id
    }

    /// Octets came on this path, without the marker of port 4500.
    pub fn datagram(&mut self, now: Moment, path: Path, octets: &[u8]) {
        let datagram = match codec::parse(octets) {
            Ok(datagram) => datagram,
            Err(Malformed::Version { header, .. }) => return self.other_version(path, header, octets.len()),
            Err(_) => return self.desk.counters.count(Drop::Malformed),
        };
        let header = datagram.header;
        if header.from_initiator && header.responder_spi == IkeSpi::ZERO {
            return self.stranger(now, path, &datagram);
        }
        let ours = if header.from_initiator {
            header.responder_spi
        } else {
            header.initiator_spi
        };
        match self.desk.spis.get(&ours).copied() {
            Some(id) => self.with(now, id, |context, association| {
                association.datagram(context, path, &datagram)
            }),
            // RFC 7296 section 2.21.4: an answer may be sent, and nobody may believe it; so none is.
            None => self.desk.counters.count(Drop::UnknownSpi),
        }
    }

    /// Replaces a pair of ESP SAs by one under new keys, as soon as that can be.
    pub fn rekey_child(&mut self, now: Moment, id: AssociationId, child: ChildId) {
        self.task(now, id, Task::RekeyChild(child));
    }

    /// Replaces the IKE SA.
    pub fn rekey(&mut self, now: Moment, id: AssociationId) {
        self.task(now, id, Task::RekeyIke);
    }

    /// Asks for a pair of ESP SAs, unless there is one.
    pub fn ensure_child(&mut self, now: Moment, id: AssociationId) {
        self.task(now, id, Task::Create);
    }

    /// Closes a pair.
    pub fn close_child(&mut self, now: Moment, id: AssociationId, child: ChildId) {
        self.task(now, id, Task::DeleteChild(child));
    }

    /// Asks whether the peer is alive.
    pub fn probe(&mut self, now: Moment, id: AssociationId) {
        self.task(now, id, Task::Probe);
    }

    /// Closes everything with the peer, and tells it.
    pub fn close(&mut self, now: Moment, id: AssociationId) {
        self.with(now, id, |context, association| match association.up_mut() {
            Some(up) => {
                up.close(context);
                Effect::default()
            }
            None => association.down(context, Down::Closed),
        });
    }

    /// Ends it here; the peer is not told, because it is known to be gone.
    pub fn forget(&mut self, now: Moment, id: AssociationId) {
        self.with(now, id, |context, association| {
            association.down(context, Down::Closed)
        });
    }

    /// The peer is reached on another path from now on, or we are.
    pub fn moved(&mut self, now: Moment, id: AssociationId, path: Path) {
        self.with(now, id, |context, association| {
            association.moved(context, path);
            Effect::default()
        });
    }

    /// What peers of our kind are told about us from now on; empty: nothing.
    pub fn announce(&mut self, now: Moment, whereabouts: Vec<u8>) {
        if self.desk.announcement == whereabouts {
            return;
        }
        self.desk.announcement = whereabouts;
        let ids: Vec<_> = self.associations.keys().copied().collect();
        for id in ids {
            self.with(now, id, |context, association| {
                if let Some(up) = association.up_mut() {
                    up.announce(context);
                }
                Effect::default()
            });
        }
    }

    /// Something authentic came on this pair.
    pub fn heard(&mut self, now: Moment, id: AssociationId, child: ChildId) {
        self.with(now, id, |context, association| {
            if let Some(up) = association.up_mut() {
                up.heard_child(context, child);
            }
            Effect::default()
        });
    }

    /// Time passes.
    pub fn poll(&mut self, now: Moment) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now.millis {
                return;
            }
            self.with(now, id, |context, association| association.poll(context));
            // A deadline that did not move would turn this into a loop.
            if self.deadlines.first() == Some(&(at, id)) {
                self.set_deadline(id, now.after(1));
            }
        }
    }

    /// When [`Self::poll`] is wanted next, milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.desk.outputs.pop_front()
    }

    /// Datagrams that led to nothing, by name.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    /// Associations, and how many of them strangers began and nobody knows yet.
    #[must_use]
    pub fn occupancy(&self) -> (usize, usize) {
        (self.associations.len(), self.strangers.len())
    }

    /// What there is to show of one.
    #[must_use]
    pub fn view(&self, id: AssociationId) -> Option<View> {
        let association = self.associations.get(&id)?;
        let up = association.up();
        let current = up.and_then(|up| up.current());
        Some(View {
            up: up.is_some(),
            role: association.role(),
            path: up.map(|up| up.path),
            suite: current.map(|sa| sa.suite),
            since: up.zip(current).map(|(up, sa)| (up.since, sa.since)),
            heard: up.map(|up| up.heard),
            children: up.map_or_else(Vec::new, |up| up.children().collect()),
        })
    }

    fn task(&mut self, now: Moment, id: AssociationId, task: Task) {
        self.with(now, id, |context, association| {
            if let Some(up) = association.up_mut() {
                up.add_task(context, task);
            }
            Effect::default()
        });
    }

    fn next_id(&mut self) -> AssociationId {
        self.last += 1;
        AssociationId(self.last)
    }

    fn context(&mut self, now: Moment) -> (Context<'_>, &mut BTreeMap<AssociationId, Association>) {
        let context = Context {
            now,
            config: &self.config,
            host: &mut self.host,
            desk: &mut self.desk,
        };
        (context, &mut self.associations)
    }

    /// Gives an input to an association, and does what follows from it for others.
    fn with(
        &mut self,
        now: Moment,
        id: AssociationId,
        input: impl FnOnce(&mut Context<'_>, &mut Association) -> Effect,
    ) {
        let (mut context, associations) = self.context(now);
        let Some(association) = associations.get_mut(&id) else {
            return;
        };
        let effect = input(&mut context, association);
        self.follow(now, id, effect);
    }

    fn follow(&mut self, now: Moment, id: AssociationId, effect: Effect) {
        if let Some(down) = effect.down {
            self.remove(now, id, down);
        } else {
            if let Some(initial_contact) = effect.up {
                self.strangers.retain(|_, stranger| *stranger != id);
                if self.one_of_two(now, id, initial_contact) {
                    self.start(now, id);
                }
            }
            self.reschedule(id);
        }
    }

    fn remove(&mut self, now: Moment, id: AssociationId, down: Down) {
        let (mut context, associations) = self.context(now);
        let Some(mut association) = associations.remove(&id) else {
            return;
        };
        let peer = association.peer.take();
        association.down(&mut context, down.clone());
        let known = self.strangers.len();
        self.strangers.retain(|_, stranger| *stranger != id);
        // A stranger's handshake that came to nothing is no event, unless it failed for a reason worth telling.
        let quiet = self.strangers.len() < known;
        self.desk.peers.remove(&id);
        if let Some(at) = self.due.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        if quiet && down == Down::Silent {
            return self.desk.counters.count(Drop::HandshakeAbandoned);
        }
        self.desk.outputs.push_back(Output::Event(id, Event::Down(down)));
        // One that was about to give way to it is used after all.
        for other in peer.map_or_else(Vec::new, |peer| self.with_peer(&peer)) {
            self.start(now, other);
        }
    }

    fn reschedule(&mut self, id: AssociationId) {
        if let Some(association) = self.associations.get(&id) {
            let at = association.deadline(&self.config.timing);
            self.set_deadline(id, at);
        }
    }

    fn set_deadline(&mut self, id: AssociationId, at: u64) {
        if let Some(old) = self.due.insert(id, at) {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.insert((at, id));
    }

    fn send(&mut self, path: Path, octets: Vec<u8>) {
        self.desk.outputs.push_back(Output::Send { path, octets });
    }
}
