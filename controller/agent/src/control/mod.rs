//! The control thread: everything that is not a packet. Keys, members, the director session, timers, orders, status.
//!
//! ```text
//!  notes (channel) ─► what happened ─► key agreement, session, members (sans I/O) ─► commands (channels), tables, datagrams
//!                     └─ orders ─────► [`orders`]      introductions ─► [`admission`]      status ─► `view`
//! ```

mod admission;
mod management;
mod orders;
mod view;

pub use management::Management;

use crate::clock;
use crate::config::{self, Cipher};
use crate::datapath::shared::{Note, Shared, ToInbound, ToOutbound, Waker, activity};
use crate::datapath::udp::Udp;
use crate::envelope;
use crate::keying::{
    Action, Agreement, Agreements, Door, Event, KeyAgreement, Known, Method, Moment, Setup, Spis,
    Whereabouts, ike,
};
use crate::members::Members;
use crate::session::{Change, Session};
use kith_esp::{Limits, Millis};
use kith_pipeline::host::tables::{HostTables, MemberIndex};
use kith_pipeline::table::snapshot::Publisher;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// How often traffic counters are compared.
const TICK: u64 = 250;

/// What a member is started with.
pub struct Parts {
    /// The member's full name; empty until a manager says it.
    pub name: String,
    /// Name of the adapter, and its MTU.
    pub adapter: (String, u16),
    /// What the keys are for.
    pub cipher: Cipher,
    /// Where we are reached, if not through the director.
    pub public: Option<SocketAddrV4>,
    /// The director to begin with.
    pub director: Option<config::Director>,
    /// How to begin to agree on them.
    pub keying: Method,
    /// The members to begin with and the secrets shared with them, in the order of their places.
    pub peers: Vec<Known>,
    /// How many members there can be.
    pub places: usize,
    /// Their state.
    pub members: Members,
    /// Room for inbound keys.
    pub capacity: u32,
    /// What there is with a manager only.
    pub management: Option<Management>,
}

/// What the control thread works on.
pub struct ControlThread {
    /// The member.
    pub parts: Parts,
    /// The tables that the datapath reads.
    pub publisher: Publisher<HostTables>,
    /// Counters.
    pub shared: Arc<Shared>,
    /// The socket.
    pub udp: Arc<Udp>,
    /// What happens.
    pub notes: Receiver<Note>,
    /// To the thread that seals.
    pub outbound: (SyncSender<ToOutbound>, Arc<Waker>),
    /// To the thread that opens.
    pub inbound: (SyncSender<ToInbound>, Arc<Waker>),
}

struct Control {
    thread: ControlThread,
    agreement: Agreements,
    session: Option<Session>,
    last: Vec<Totals>,
    /// Octets and packets that earlier members left in the counters of a place: out and in.
    bases: Vec<view::Base>,
    /// The same when the keys in use were first sealed with.
    sealed: Vec<view::Base>,
    started: Millis,
    next_tick: u64,
    keying_tx: u64,
    control_tx: u64,
}

/// Counters of a member when last compared: out and in, packets and dummies.
type Totals = [(u64, u64); 2];

impl ControlThread {
    /// Runs until told to stop, then leaves the director and stops the others.
    pub fn run(mut self) {
        let now = moment();
        let parts = &mut self.parts;
        let session = parts.director.take().map(|director| start_session(director, now));
        let agreement = agreements(parts, now);
        let places = parts.places;
        let mut control = Control {
            last: vec![Totals::default(); places],
            bases: vec![view::Base::default(); places],
            sealed: vec![view::Base::default(); places],
            started: now.millis(),
            next_tick: 0,
            agreement,
            session,
            thread: self,
            keying_tx: 0,
            control_tx: 0,
        };
        control.run();
    }
}

impl Control {
    fn run(&mut self) {
        let mut stopping = false;
        self.settle(moment(), Change::default());
        while !self.thread.shared.stopping() {
            let note = self.thread.notes.recv_timeout(self.patience());
            let now = moment();
            let mut change = Change::default();
            match note {
                Ok(Note::Keys(member, event)) => self.agreement.event(now, member, event),
                Ok(Note::Keying(method, member, data)) => self.receive(now, method, member, &data),
                Ok(Note::Stranger(Method::Ike, source, data)) => {
                    self.agreement.introduce(now, source, &data);
                }
                Ok(Note::Stranger(Method::Ticket, source, data)) => self.introduce(now, source, &data),
                Ok(Note::NeedPeer(address)) => self.need_peer(address),
                Ok(Note::Director(from, message)) => {
                    if let Some(session) = &mut self.session {
                        change = session.datagram(now, from, &*message);
                    }
                }
                Ok(Note::TooBig { to, member, mtu }) => {
                    if self.thread.parts.members.too_big(now.millis(), to, member, mtu) {
                        tracing::info!(%to, ?member, mtu, "packets were too large for the path");
                        self.publish();
                    }
                }
                Ok(Note::Status(answer)) => {
                    // Who asked may have gone.
                    let _told = answer.try_send(self.status(now));
                }
                Ok(Note::Rekey(what, answer)) => {
                    let _told = answer.try_send(self.rekey(now, &what));
                }
                Ok(Note::Order(order)) if !stopping => change = self.obey(now, *order),
                Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) if !stopping => {
                    stopping = true;
                    match &mut self.session {
                        Some(session) => change = session.leave(now),
                        None => change.left = true,
                    }
                }
                Ok(Note::Stop | Note::Order(_)) | Err(_) => {}
            }
            change = merge(change, self.pass_time(now));
            self.settle(now, change);
            if stopping && change.left {
                self.thread.shared.stop();
            }
        }
        self.thread.outbound.1.wake();
        self.thread.inbound.1.wake();
    }

    /// How long nothing needs to be done.
    fn patience(&self) -> Duration {
        let session = self.session.as_ref().and_then(Session::deadline);
        let due = [Some(Millis(self.next_tick)), self.agreement.deadline(), session];
        let due = due.into_iter().flatten().min().unwrap_or_default();
        Duration::from_millis(due.0.saturating_sub(clock::now().0))
    }

    fn pass_time(&mut self, now: Moment) -> Change {
        if now.millis().0 >= self.next_tick {
            self.next_tick = now.millis().0 + TICK;
            self.compare_traffic(now);
            if self.thread.parts.members.forget_reports(now.millis()) {
                self.publish();
            }
            self.manage(now);
        }
        self.agreement.poll(now);
        match &mut self.session {
            Some(session) => session.tick(now),
            None => Change::default(),
        }
    }

    fn compare_traffic(&mut self, now: Moment) {
        let shared = self.thread.shared.clone();
        let ways = shared.outbound.members.iter().zip(&shared.inbound.members);
        for (index, ((out, inward), last)) in (0u32..).map(MemberIndex).zip(ways.zip(&mut self.last)) {
            let totals = [out.totals(), inward.totals()];
            if totals != *last {
                let activity = activity([last[0], totals[0]], [last[1], totals[1]]);
                *last = totals;
                self.agreement.event(now, index, Event::Activity(activity));
                if let Some(management) = &mut self.thread.parts.management
                    && activity.heard
                    && self
                        .thread
                        .parts
                        .members
                        .get(index)
                        .is_some_and(|one| one.is_manager())
                {
                    management.manager_heard();
                }
            }
        }
    }

    /// Where others reach us.
    fn whereabouts(&self) -> Option<Whereabouts> {
        if let Some(public) = self.thread.parts.public {
            return Some(Whereabouts::Public(public));
        }
        let session = self
            .session
            .as_ref()
            .filter(|session| !session.is_sender_only())?;
        Some(Whereabouts::Director {
            director: session.director(),
            pseudo: session.pseudo()?,
        })
    }

    /// Does what the state machines want, until they want nothing more.
    fn settle(&mut self, now: Moment, change: Change) {
        if change.pseudo {
            let pseudo = self.session.as_ref().and_then(Session::pseudo);
            self.thread.parts.members.set_session(pseudo);
            self.publish();
            if let Some(here) = self.whereabouts() {
                self.agreement.moved(now, Some(here));
            }
            if pseudo.is_some() {
                self.agreement.way_open(now);
            }
        }
        self.send_to_director();
        while let Some(action) = self.agreement.next_action() {
            self.act(now, action);
        }
    }

    fn send_to_director(&mut self) {
        let Some(session) = &mut self.session else { return };
        while let Some((message, to)) = session.transmit() {
            self.control_tx += 1;
            if let Err(error) = self.thread.udp.send(&message, to) {
                tracing::debug!(%error, %to, "cannot send to the director");
            }
        }
    }

    fn act(&mut self, now: Moment, action: Action) {
        match action {
            Action::Send(member, method, message) => self.send(member, method, message),
            Action::Answer(to, there, message) => self.answer(to, there, &message),
            Action::Introduce(ticket) => self.welcome(now, &ticket),
            Action::Renewed(member, ticket) => self.renewed(now, member, &ticket),
            Action::Refused(name) => self.refuse(name),
            Action::InstallInbound(member, keys) => {
                self.tell_inbound(ToInbound::Install(member, Box::new(keys.inbound())));
            }
            Action::RemoveInbound(spi) => self.tell_inbound(ToInbound::Remove(spi)),
            Action::InstallOutbound(member, keys) => {
                tracing::info!(peer = self.name(member), spi = %keys.spi, "new keys");
                let counted = self.counted(member);
                if let Some(sealed) = self.sealed.get_mut(member.0 as usize) {
                    *sealed = counted;
                }
                self.tell_outbound(ToOutbound::Install(member, Box::new(keys.outbound())));
            }
            Action::Dummy(member) => self.tell_outbound(ToOutbound::Dummy(member)),
            Action::GaveUp(member) => {
                tracing::warn!(peer = self.name(member), "no answer to key agreement");
                self.tell_outbound(ToOutbound::GaveUp(member));
                self.doubt(member);
            }
            Action::Moved(member, to) => {
                if self.thread.parts.members.moved(member, to) {
                    tracing::info!(peer = self.name(member), ?to, "member moved");
                    self.publish();
                }
            }
        }
    }

    fn send(&mut self, member: MemberIndex, method: Method, message: Vec<u8>) {
        let tables = self.thread.publisher.current();
        let (Some(peer), Some(one)) = (tables.member(member), self.thread.parts.members.get(member)) else {
            return;
        };
        // Otherwise it is repeated, and sent at once when the session is there.
        if !self.thread.parts.members.is_reachable(member) {
            return;
        }
        let message = match (method, one.grant()) {
            (Method::Ticket, Some(grant)) => envelope::with_ticket(&message, &grant.ticket),
            _ => message,
        };
        let datagram = envelope::keying(&peer.shim, tables.own(), peer.address, method, &message);
        let endpoint = peer.endpoint;
        self.send_keying(datagram, endpoint);
    }

    /// To somebody who is no member yet.
    fn answer(&mut self, to: Ipv4Addr, there: Whereabouts, message: &[u8]) {
        let members = &self.thread.parts.members;
        let Some((shim, endpoint)) = members.way(there) else {
            return;
        };
        let datagram = envelope::keying(&shim, members.own(), to, Method::Ike, message);
        self.send_keying(datagram, endpoint);
    }

    fn send_keying(&mut self, datagram: Option<Vec<u8>>, to: SocketAddrV4) {
        let Some(datagram) = datagram else { return };
        self.keying_tx += 1;
        if let Err(error) = self.thread.udp.send(&datagram, to) {
            tracing::debug!(%error, %to, "cannot send a key agreement message");
        }
    }

    /// The threads drain their channels before every burst: a full one empties at once.
    fn tell_outbound(&self, command: ToOutbound) {
        self.thread.outbound.1.wake();
        let _ended = self.thread.outbound.0.send(command);
        self.thread.outbound.1.wake();
    }

    fn tell_inbound(&self, command: ToInbound) {
        self.thread.inbound.1.wake();
        let _ended = self.thread.inbound.0.send(command);
        self.thread.inbound.1.wake();
    }

    fn publish(&mut self) {
        self.thread.publisher.publish(self.thread.parts.members.tables());
    }

    fn name(&self, member: MemberIndex) -> &str {
        self.thread.parts.members.get(member).map_or("", |one| &one.name)
    }
}

/// Both methods, with the members that there are to begin with.
fn agreements(parts: &mut Parts, now: Moment) -> Agreements {
    let (own, spis) = (parts.members.own(), Spis::new(parts.capacity));
    let location = parts.public.map(Whereabouts::Public);
    let exchange = Agreement::new(Setup {
        own,
        location,
        cipher: parts.cipher,
        limits: Limits::default(),
        spis: spis.clone(),
        entropy: Box::new(entropy),
    });
    let ike = ike::Agreement::new(ike::Setup {
        own: (own, parts.name.clone()),
        location,
        cipher: parts.cipher,
        limits: Limits::default(),
        spis,
        entropy: Box::new(entropy),
        door: Door::new(parts.management.is_some()),
    });
    let mut agreements = Agreements::new(parts.keying, ike, exchange);
    let peers = std::mem::take(&mut parts.peers);
    for (index, known) in (0u32..).map(MemberIndex).zip(peers) {
        agreements.add(now, index, known);
    }
    agreements
}

/// Asks for a session at this director.
fn start_session(director: config::Director, now: Moment) -> Session {
    let mut random = [0; 8];
    entropy(&mut random);
    Session::start(director, now, u64::from_ne_bytes(random))
}

fn merge(a: Change, b: Change) -> Change {
    Change {
        pseudo: a.pseudo || b.pseudo,
        left: a.left || b.left,
    }
}

fn moment() -> Moment {
    Moment {
        micros: clock::micros(),
        wall_nanos: clock::wall_nanos(),
    }
}

/// Randomness fit for keys.
fn entropy(out: &mut [u8]) {
    // The library gets it from the kernel; without it no key can be made and no promise kept.
    if aws_lc_rs::rand::fill(out).is_err() {
        tracing::error!("the system gives no randomness: cannot make keys");
        std::process::abort();
    }
}
