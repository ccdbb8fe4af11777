//! The control thread: everything that is not a packet. Keys, members, the director session, timers, status.
//!
//! ```text
//!  notes (channel) ─► what happened ─► key agreement, session, members (sans I/O) ─► commands (channels), tables, datagrams
//! ```

use crate::config::{Location, Validated};
use crate::datapath::shared::{Note, Shared, ToInbound, ToOutbound, Waker, activity};
use crate::datapath::udp::Udp;
use crate::directory::Record;
use crate::envelope;
use crate::keying::{Action, Agreement, Event, KeyAgreement, Moment, PairSecret, Setup, Whereabouts};
use crate::members::Members;
use crate::session::{Change, Session};
use crate::status::{self, KeyState, Packets, PeerStatus, Status};
use kith_esp::{Limits, Millis};
use kith_pipeline::host::tables::{HostTables, MemberIndex};
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::snapshot::Publisher;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often traffic counters are compared.
const TICK: u64 = 250;

/// What the control thread works on.
pub struct ControlThread {
    /// The configuration.
    pub config: Arc<Validated>,
    /// The members, in the order of the tables.
    pub records: Vec<Record>,
    /// Their state.
    pub members: Members,
    /// The tables that the datapath reads.
    pub publisher: Publisher<HostTables>,
    /// Counters and clock.
    pub shared: Arc<Shared>,
    /// The socket.
    pub udp: Arc<Udp>,
    /// What happens.
    pub notes: Receiver<Note>,
    /// To the thread that seals.
    pub outbound: (SyncSender<ToOutbound>, Arc<Waker>),
    /// To the thread that opens.
    pub inbound: (SyncSender<ToInbound>, Arc<Waker>),
    /// Room for inbound keys.
    pub capacity: u32,
}

struct Control {
    thread: ControlThread,
    agreement: Box<dyn KeyAgreement + Send>,
    session: Option<Session>,
    last: Vec<Totals>,
    next_tick: u64,
    keying_tx: u64,
    control_tx: u64,
}

/// Counters of a member when last compared: out and in, packets and dummies.
type Totals = [(u64, u64); 2];

impl ControlThread {
    /// Runs until told to stop, then leaves the director and stops the others.
    pub fn run(self) {
        let now = moment(&self.shared);
        let mut random = [0; 8];
        entropy(&mut random);
        let session = Session::start(&self.config, now, u64::from_ne_bytes(random));
        let location = match self.config.location {
            Location::Public { public } => Some(Whereabouts::Public(public)),
            Location::Director { .. } => None,
        };
        let peers = self
            .records
            .iter()
            .map(|record| (record.address, PairSecret::new(record.psk.clone())));
        let agreement = Agreement::new(Setup {
            own: self.config.address,
            location,
            cipher: self.config.cipher,
            limits: Limits::default(),
            peers: peers.collect(),
            capacity: self.capacity,
            entropy: Box::new(entropy),
        });
        let mut control = Control {
            last: vec![Totals::default(); self.records.len()],
            next_tick: 0,
            agreement: Box::new(agreement),
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
        self.settle(self.now(), Change::default());
        while !self.thread.shared.stopping() {
            let note = self.thread.notes.recv_timeout(self.patience());
            let now = self.now();
            let mut change = Change::default();
            match note {
                Ok(Note::Keys(member, event)) => self.agreement.event(now, member, event),
                Ok(Note::Keying(member, message)) => self.agreement.receive(now, member, &*message),
                Ok(Note::Director(from, message)) => {
                    if let Some(session) = &mut self.session {
                        change = session.datagram(now, from, &*message);
                    }
                }
                Ok(Note::TooBig { to, member, mtu }) => {
                    if self.thread.members.too_big(now.millis(), to, member, mtu) {
                        tracing::info!(%to, ?member, mtu, "packets were too large for the path");
                        self.publish();
                    }
                }
                Ok(Note::Status(answer)) => {
                    // Who asked may have gone.
                    let _told = answer.try_send(self.status(now));
                }
                Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) if !stopping => {
                    stopping = true;
                    match &mut self.session {
                        Some(session) => change = session.leave(now),
                        None => change.left = true,
                    }
                }
                Ok(Note::Stop) | Err(_) => {}
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

    fn now(&self) -> Moment {
        moment(&self.thread.shared)
    }

    /// How long nothing needs to be done.
    fn patience(&self) -> Duration {
        let session = self.session.as_ref().and_then(Session::deadline);
        let due = [Some(Millis(self.next_tick)), self.agreement.deadline(), session];
        let due = due.into_iter().flatten().min().unwrap_or_default();
        Duration::from_millis(due.0.saturating_sub(self.thread.shared.now().0))
    }

    fn pass_time(&mut self, now: Moment) -> Change {
        if now.millis().0 >= self.next_tick {
            self.next_tick = now.millis().0 + TICK;
            self.compare_traffic(now);
            if self.thread.members.forget_reports(now.millis()) {
                self.publish();
            }
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
        for (index, ((out, inward), last)) in (0u32..).zip(ways.zip(&mut self.last)) {
            let totals = [out.totals(), inward.totals()];
            if totals != *last {
                let activity = activity([last[0], totals[0]], [last[1], totals[1]]);
                *last = totals;
                self.agreement
                    .event(now, MemberIndex(index), Event::Activity(activity));
            }
        }
    }

    /// Does what the state machines want, until they want nothing more.
    fn settle(&mut self, now: Moment, change: Change) {
        if change.pseudo {
            let pseudo = self.session.as_ref().and_then(Session::pseudo);
            self.thread.members.set_session(pseudo);
            self.publish();
            if let (Location::Director { director, .. }, Some(pseudo)) = (self.thread.config.location, pseudo)
            {
                self.agreement
                    .moved(now, Some(Whereabouts::Director { director, pseudo }));
            }
            if pseudo.is_some() {
                self.agreement.way_open(now);
            }
        }
        if let Some(session) = &mut self.session {
            while let Some((message, to)) = session.transmit() {
                self.control_tx += 1;
                if let Err(error) = self.thread.udp.send(&message, to) {
                    tracing::debug!(%error, %to, "cannot send to the director");
                }
            }
        }
        while let Some(action) = self.agreement.next_action() {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(member, message) => {
                let tables = self.thread.publisher.current();
                let Some(peer) = tables.members().get(member.0 as usize) else {
                    return;
                };
                // Otherwise it is repeated, and sent at once when the session is there.
                if self.thread.members.is_reachable(member) {
                    let datagram = envelope::keying(&peer.shim, tables.own(), peer.address, &message);
                    self.keying_tx += 1;
                    if let Err(error) = self.thread.udp.send(&datagram, peer.endpoint) {
                        tracing::debug!(%error, peer = %peer.address, "cannot send a key agreement message");
                    }
                }
            }
            Action::InstallInbound(member, sa) => self.tell_inbound(ToInbound::Install(member, sa)),
            Action::RemoveInbound(spi) => self.tell_inbound(ToInbound::Remove(spi)),
            Action::InstallOutbound(member, sa) => {
                tracing::info!(peer = self.name(member), spi = %sa.spi(), "new keys");
                self.tell_outbound(ToOutbound::Install(member, sa));
            }
            Action::Dummy(member) => self.tell_outbound(ToOutbound::Dummy(member)),
            Action::GaveUp(member) => {
                tracing::warn!(peer = self.name(member), "no answer to key agreement");
                self.tell_outbound(ToOutbound::GaveUp(member));
            }
            Action::Moved(member, to) => {
                if self.thread.members.moved(member, to) {
                    tracing::info!(peer = self.name(member), ?to, "member moved");
                    self.publish();
                }
            }
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
        self.thread.publisher.publish(self.thread.members.tables());
    }

    fn name(&self, member: MemberIndex) -> &str {
        self.thread
            .records
            .get(member.0 as usize)
            .map_or("", |record| &record.name)
    }

    fn status(&self, now: Moment) -> Status {
        let config = &self.thread.config;
        let tables = self.thread.publisher.current();
        let members = (0u32..).map(MemberIndex).zip(tables.members());
        let peers = members
            .zip(&self.thread.records)
            .map(|((index, member), record)| {
                let view = self.agreement.view(index);
                let since = |at: Millis| now.millis().0.saturating_sub(at.0);
                let (out, inward) = (
                    &self.thread.shared.outbound.members[index.0 as usize],
                    &self.thread.shared.inbound.members[index.0 as usize],
                );
                PeerStatus {
                    name: record.name.clone(),
                    address: member.address,
                    endpoint: member.endpoint,
                    pseudo: match self.thread.members.location(index) {
                        Some(Whereabouts::Director { pseudo, .. }) => Some(pseudo),
                        _ => None,
                    },
                    keys: match (view.outbound, view.agreeing) {
                        (None, false) => KeyState::None,
                        (None, true) => KeyState::Agreeing,
                        (Some(_), false) => KeyState::Up,
                        (Some(_), true) => KeyState::Rekeying,
                    },
                    keys_age_ms: view.outbound.map(|(_, at)| since(at)),
                    spi_out: view.outbound.map(|(spi, _)| spi.get()),
                    spi_in: view.inbound.map(kith_esp::Spi::get),
                    agreements: view.agreements,
                    rtt_ms: view.rtt_micros.map(|micros| micros as f64 / 1000.0),
                    heard_ms: view.heard.map(since),
                    path_mtu: member.path_mtu,
                    tx_packets: out.packets.get(),
                    tx_bytes: out.bytes.get(),
                    rx_packets: inward.packets.get(),
                    rx_bytes: inward.bytes.get(),
                }
            });
        Status {
            name: config.name.clone(),
            address: config.address,
            tun: config.tun.clone(),
            mtu: config.adapter_mtu(),
            uptime_ms: now.millis().0,
            director: self.session.as_ref().map(|session| session.status(now)),
            peers: peers.collect(),
            drops: self.drops(),
            packets: self.packets(),
        }
    }

    fn drops(&self) -> BTreeMap<String, u64> {
        let shared = &self.thread.shared;
        let both = |reason| {
            shared.outbound.counters.dropped(reason).get() + shared.inbound.counters.dropped(reason).get()
        };
        DropReason::ALL
            .iter()
            .map(|reason| (reason.name().to_string(), both(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn packets(&self) -> Packets {
        let (out, inward) = (&self.thread.shared.outbound, &self.thread.shared.inbound);
        status::Packets {
            tun_rx: out.counters.received.get(),
            tun_tx: inward.counters.transmitted.get(),
            udp_tx: out.counters.transmitted.get(),
            udp_rx: inward.counters.received.get(),
            dummies_tx: out.dummies.get(),
            dummies_rx: inward.dummies.get(),
            keying_rx: inward.keying.get(),
            keying_tx: self.keying_tx,
            control_rx: inward.counters.punted(PuntReason::Control).get(),
            control_tx: self.control_tx,
            waiting: out.waiting.get(),
            drops_out: out.counters.all_drops(),
            drops_in: inward.counters.all_drops(),
            tun_reads: out.tun_calls.get(),
            tun_writes: inward.tun_calls.get(),
            udp_sends: out.udp_calls.get(),
            udp_receives: inward.udp_calls.get(),
            udp_overflow: inward.overflow.get(),
        }
    }
}

fn merge(a: Change, b: Change) -> Change {
    Change {
        pseudo: a.pseudo || b.pseudo,
        left: a.left || b.left,
    }
}

fn moment(shared: &Shared) -> Moment {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment {
        micros: shared.micros(),
        wall_nanos: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
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
