//! The gateway's control without I/O: what happened goes in, what is to be written and sent comes out, in order.
//!
//! ```text
//!  connected, packet-in, states, time ──► [this] ──► writes, packet-outs      the host carries them out one after the other
//! ```
//!
//! A write that fails ends the connection; the next one begins with what the dataplane really has, and puts it right.

use super::config::GatewayConfig;
use super::pairs::{Pair, Pool};
use super::{frames, tables};
use crate::config::Via;
use crate::envelope;
use crate::keying::{
    Action, Agreement, Agreements, Door, Entropy, Event, KeyAgreement, Known, Method, Moment, PairSecret,
    Setup, Spis, Whereabouts, ike,
};
use crate::members::{self, Seat};
use crate::session::{Change, Session};
use kith_esp::Millis;
use kith_p4runtime::association::{AssociationKey, AssociationState, Direction};
use kith_p4runtime::entry::Entry;
use kith_p4runtime::packet::{PacketIn, PacketOut, PacketOutMode};
use kith_p4runtime::update::Update;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{PortIndex, SaIndex};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// What the host is to do.
pub(super) enum Output {
    /// Write these, each by itself, in order.
    Write(Vec<Update>),
    /// Send this.
    Packet(PacketOut),
}

/// What a dataplane has when a connection to it begins.
pub(super) struct Found {
    /// The address of the port towards directors.
    pub(super) address: Ipv4Addr,
    /// Entries of [`tables::TABLES`].
    pub(super) entries: Vec<Entry>,
    pub(super) associations: Vec<AssociationState>,
}

/// A device behind this gateway.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) local: Ipv4Addr,
    public: Option<SocketAddrV4>,
    pub(super) session: Option<Session>,
    pub(super) agreement: Agreements,
    /// By the places that key agreement knows members by.
    pub(super) pairs: Vec<Pair>,
}

/// All of it.
pub(super) struct Core {
    pub(super) config: GatewayConfig,
    pub(super) devices: Vec<Device>,
    pub(super) started: Millis,
    /// Where we send from, while there is a dataplane.
    pub(super) own: Option<Ipv4Addr>,
    pub(super) begun: bool,
    pub(super) outbound: Pool,
    pub(super) inbound: Pool,
    pub(super) outputs: VecDeque<Output>,
}

impl Device {
    /// Its session at a director.
    pub(super) fn seat(&self) -> Option<Seat> {
        let session = self.session.as_ref()?;
        Some((session.director(), session.pseudo()?))
    }

    fn whereabouts(&self) -> Option<Whereabouts> {
        let seat = self.seat();
        let director = seat.map(|(director, pseudo)| Whereabouts::Director { director, pseudo });
        self.public.map(Whereabouts::Public).or(director)
    }
}

impl Core {
    /// `entropy` makes what fills slices with randomness fit for keys.
    pub(super) fn new(mut config: GatewayConfig, now: Moment, entropy: &dyn Fn() -> Entropy) -> Self {
        let spis = Spis::new(config.associations.saturating_mul(2));
        let written = std::mem::take(&mut config.devices);
        let mut devices = Vec::with_capacity(written.len());
        for device in written {
            let location = device.public.map(Whereabouts::Public);
            let exchange = Agreement::new(Setup {
                own: device.address,
                location,
                cipher: config.cipher,
                limits: config.limits,
                spis: spis.clone(),
                entropy: entropy(),
            });
            let ike = ike::Agreement::new(ike::Setup {
                own: (device.address, device.name.clone()),
                location,
                cipher: config.cipher,
                limits: config.limits,
                spis: spis.clone(),
                entropy: entropy(),
                door: Door::new(false),
            });
            let mut agreement = Agreements::new(Method::Ike, ike, exchange);
            let mut pairs = Vec::with_capacity(device.peers.len());
            for (index, (member, psk)) in (0..).map(MemberIndex).zip(device.peers) {
                let member_of = &config.members[member];
                let known = Known {
                    address: member_of.address,
                    name: member_of.name.clone(),
                    secret: Arc::new(PairSecret::new(psk)),
                    ticket: Vec::new(),
                };
                agreement.add(now, index, known);
                pairs.push(Pair::new(member, whereabouts(member_of.via)));
            }
            let session = device.director.map(|director| {
                let mut random = [0; 8];
                entropy()(&mut random);
                Session::start(director, now, u64::from_ne_bytes(random))
            });
            devices.push(Device {
                name: device.name,
                address: device.address,
                local: device.local,
                public: device.public,
                session,
                agreement,
                pairs,
            });
        }
        Self {
            inbound: Pool::new(config.associations, |_| false),
            outbound: Pool::new(config.associations, |_| false),
            config,
            devices,
            started: now.millis(),
            own: None,
            begun: false,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub(super) fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::tick`] is due at the latest.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let devices = self.devices.iter();
        let each = devices.flat_map(|device| {
            let session = device.session.as_ref().and_then(Session::deadline);
            [session, device.agreement.deadline()]
        });
        each.flatten().min()
    }

    /// The dataplane is gone, or does not listen. What is to be done is worth nothing any more.
    pub(super) fn away(&mut self) {
        self.own = None;
        self.outputs.clear();
    }

    /// Something came up.
    pub(super) fn packet_in(&mut self, now: Moment, packet: PacketIn) {
        let is = |reason: PuntReason| packet.reason == reason as u16;
        if is(PuntReason::Keying) {
            self.keying(now, &packet.frame);
        } else if is(PuntReason::Control) {
            self.control(now, &packet.frame);
        } else if is(PuntReason::KeysMissing) {
            self.wait(now, packet.ingress_port, packet.frame);
        }
        self.settle(now);
    }

    /// How far all associations are.
    pub(super) fn states(&mut self, now: Moment, states: Vec<AssociationState>) {
        let states = by_key(states);
        for d in 0..self.devices.len() {
            for p in 0..self.devices[d].pairs.len() {
                let progress = self.devices[d].pairs[p].compare(now.millis(), &states);
                let index = MemberIndex(p as u32);
                let agreement = &mut self.devices[d].agreement;
                for spi in progress.heard {
                    agreement.event(now, index, Event::Heard(spi));
                }
                agreement.event(now, index, Event::Activity(progress.activity));
                if progress.due {
                    agreement.event(now, index, Event::RekeyDue);
                }
                if progress.over {
                    self.stop_sealing(d, p);
                }
                // Who was refused a moment ago is not asked again at once: what waits reminds of itself.
                let device = &mut self.devices[d];
                if !device.pairs[p].waiting.is_empty() {
                    device.agreement.event(now, index, Event::KeysNeeded);
                }
                let left = &self.devices[d].pairs[p].left;
                if left.until.is_some_and(|until| until <= now.millis()) {
                    self.clear_left(d, p);
                }
            }
        }
        self.settle(now);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Moment) {
        for d in 0..self.devices.len() {
            let device = &mut self.devices[d];
            device.agreement.poll(now);
            if let Some(session) = &mut device.session {
                let change = session.tick(now);
                self.changed(now, d, change);
            }
        }
        self.settle(now);
    }

    fn keying(&mut self, now: Moment, frame: &[u8]) {
        let Some(message) = frames::keying(frame) else {
            return tracing::debug!("a key agreement message that is none");
        };
        let device = |device: &&mut Device| device.address == message.destination;
        let Some(device) = self.devices.iter_mut().find(device) else {
            return tracing::debug!(to = %message.destination, "a key agreement message for nobody here");
        };
        let members = &self.config.members;
        let pair = device
            .pairs
            .iter()
            .position(|pair| members[pair.member].address == message.source);
        match pair {
            Some(pair) => {
                let index = MemberIndex(pair as u32);
                device.agreement.receive(now, message.method, index, message.data);
            }
            None => {
                tracing::debug!(from = %message.source, device = device.name, "it speaks with nobody there")
            }
        }
    }

    /// Its director authenticates itself; which device is meant, only the right one can tell.
    fn control(&mut self, now: Moment, frame: &[u8]) {
        let Some((from, message)) = frames::control(frame) else {
            return;
        };
        for d in 0..self.devices.len() {
            let session = self.devices[d].session.as_mut();
            if let Some(session) = session.filter(|session| session.director() == from) {
                let change = session.datagram(now, from, message);
                self.changed(now, d, change);
            }
        }
    }

    fn wait(&mut self, now: Moment, port: PortIndex, frame: Vec<u8>) {
        let Some((source, destination)) = frames::device(&frame) else {
            return;
        };
        let members = &self.config.members;
        let device = self.devices.iter_mut().find(|device| device.local == source);
        let Some(device) = device else { return };
        let to = |pair: &Pair| members[pair.member].stand_in == destination;
        if let Some(p) = device.pairs.iter().position(to) {
            if !device.pairs[p].wait(port, frame) {
                tracing::debug!(
                    device = device.name,
                    "a packet waits too long for keys, and is lost"
                );
            }
            device
                .agreement
                .event(now, MemberIndex(p as u32), Event::KeysNeeded);
        }
    }

    /// The session came, went or is another one.
    fn changed(&mut self, now: Moment, d: usize, change: Change) {
        if !change.pseudo {
            return;
        }
        let entry = tables::source(&self.config, &self.devices[d]);
        self.write([Update::Modify(entry.into())]);
        let device = &mut self.devices[d];
        tracing::info!(device = device.name, seat = ?device.seat(), "director session");
        if let Some(here) = device.whereabouts() {
            device.agreement.moved(now, Some(here));
        }
        if device.seat().is_some() {
            device.agreement.way_open(now);
        }
    }

    /// Does what the state machines want, until they want nothing more.
    pub(super) fn settle(&mut self, now: Moment) {
        for d in 0..self.devices.len() {
            let own = self.own.map(|own| SocketAddrV4::new(own, self.config.udp_port));
            if let Some(session) = &mut self.devices[d].session {
                while let Some((message, to)) = session.transmit() {
                    if let Some(own) = own {
                        self.outputs.extend(routed(own, to, &message));
                    }
                }
            }
            while let Some(action) = self.devices[d].agreement.next_action() {
                self.act(now, d, action);
            }
        }
    }

    fn act(&mut self, now: Moment, d: usize, action: Action) {
        match action {
            Action::Send(to, method, message) => self.send(d, to, method, &message),
            Action::InstallInbound(of, keys) => self.open_with(d, of, *keys),
            Action::InstallOutbound(of, keys) => self.seal_with(now, d, of, *keys),
            Action::RemoveInbound(spi) => self.forget(d, spi),
            Action::Moved(of, there) => self.moved(d, of, there),
            Action::GaveUp(of) => {
                let device = &mut self.devices[d];
                let Some(pair) = device.pairs.get_mut(of.0 as usize) else {
                    return;
                };
                let member = &self.config.members[pair.member].name;
                tracing::warn!(
                    device = device.name,
                    member,
                    lost = pair.waiting.len(),
                    "no answer to key agreement"
                );
                pair.waiting.clear();
            }
            Action::Refused(name) => tracing::debug!(device = self.devices[d].name, name, "refused"),
            // The dataplane alone can seal, and seals what devices send. Tickets are a manager's, and there is none.
            Action::Dummy(_) | Action::Answer(..) | Action::Introduce(_) | Action::Renewed(..) => {}
        }
    }

    fn send(&mut self, d: usize, to: MemberIndex, method: Method, message: &[u8]) {
        let device = &self.devices[d];
        let (Some(own), Some(pair)) = (self.own, device.pairs.get(to.0 as usize)) else {
            return;
        };
        // Without a session it is repeated, and sent at once when the session is there.
        let Some((shim, endpoint)) = members::way(device.seat(), pair.there) else {
            return;
        };
        let member = self.config.members[pair.member].address;
        let datagram = envelope::keying(&shim, device.address, member, method, message);
        let own = SocketAddrV4::new(own, self.config.udp_port);
        let packet = datagram.and_then(|datagram| routed(own, endpoint, &datagram));
        self.outputs.extend(packet);
    }

    /// It said so authentically.
    fn moved(&mut self, d: usize, of: MemberIndex, there: Whereabouts) {
        let Some(pair) = self.devices[d].pairs.get_mut(of.0 as usize) else {
            return;
        };
        if std::mem::replace(&mut pair.there, there) == there {
            return;
        }
        let (device, pair) = self.at(d, of);
        let member = &self.config.members[pair.member].name;
        tracing::info!(device = device.name, member, ?there, "member moved");
        let sa = pair
            .sealing
            .as_ref()
            .map(|sealing| sealing.index)
            .or(pair.left.sealing);
        let entry = tables::tunnel(&self.config, device, pair, sa);
        self.write([Update::Modify(entry.into())]);
    }

    pub(super) fn at(&self, d: usize, of: MemberIndex) -> (&Device, &Pair) {
        let device = &self.devices[d];
        (device, &device.pairs[of.0 as usize])
    }

    /// While the dataplane is away nothing is written: what it has when it is back counts.
    pub(super) fn write<const N: usize>(&mut self, updates: [Update; N]) {
        if self.own.is_none() {
            return;
        }
        match self.outputs.back_mut() {
            Some(Output::Write(batch)) => batch.extend(updates),
            _ => self.outputs.push_back(Output::Write(updates.into())),
        }
    }
}

pub(super) fn by_key(states: Vec<AssociationState>) -> HashMap<AssociationKey, AssociationState> {
    states.into_iter().map(|state| (state.key, state)).collect()
}

pub(super) fn outbound(index: SaIndex) -> AssociationKey {
    AssociationKey {
        direction: Direction::Outbound,
        index,
    }
}

pub(super) fn inbound(index: SaIndex) -> AssociationKey {
    AssociationKey {
        direction: Direction::Inbound,
        index,
    }
}

/// A datagram whose way the dataplane finds.
fn routed(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Option<Output> {
    let frame = frames::routed(from, to, data)?;
    Some(Output::Packet(PacketOut {
        egress_port: PortIndex(0),
        mode: PacketOutMode::Routed,
        frame,
    }))
}

fn whereabouts(via: Via) -> Whereabouts {
    match via {
        Via::Direct { direct } => Whereabouts::Public(direct),
        Via::Director { director, pseudo } => Whereabouts::Director { director, pseudo },
    }
}
