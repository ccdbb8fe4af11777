//! The gateway's control without I/O: what happened goes in, what is to be written and sent comes out, in order.
//!
//! ```text
//!  connected, packet-in, states, time ──► [this] ──► writes, packet-outs      the host carries them out one after the other
//! ```
//!
//! A write that fails ends the connection; the next one begins with what the dataplane really has, and puts it right.

use super::config::GatewayConfig;
use super::pairs::{Opening, Pair, Pool, Sealing};
use super::{frames, tables};
use crate::config::Via;
use crate::envelope;
use crate::keying::{
    Action, Agreement, Agreements, Door, Entropy, Event, KeyAgreement, Known, Method, Moment, NewKeys,
    PairSecret, Setup, Spis, Whereabouts, ike,
};
use crate::members::{self, Seat};
use crate::session::{Change, Session};
use kith_esp::{Millis, Spi};
use kith_p4runtime::association::{Association, AssociationKey, AssociationState, Direction};
use kith_p4runtime::entry::{self, Entry, Key, MemberAction};
use kith_p4runtime::packet::{PacketIn, PacketOut, PacketOutMode};
use kith_p4runtime::update::Update;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{PortIndex, SaIndex};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// Associations of an earlier process go so long after there are others: packets may be under way.
const LINGER: u64 = 5_000;

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
    own: Option<Ipv4Addr>,
    begun: bool,
    outbound: Pool,
    inbound: Pool,
    outputs: VecDeque<Output>,
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

    /// We are its controller now, and this is what it has.
    pub(super) fn connected(&mut self, now: Moment, found: Found) {
        self.own = Some(found.address);
        let states = by_key(found.associations);
        let mut lost = Vec::new();
        let sealing = sealed_with(&found.entries);
        for (d, device) in self.devices.iter_mut().enumerate() {
            for (p, pair) in device.pairs.iter_mut().enumerate() {
                let member = self.config.members[pair.member].address;
                let is_there = |direction, index, spi: Spi| {
                    let state = states.get(&AssociationKey { direction, index });
                    state.is_some_and(|state| state.spi == spi)
                };
                let had = pair.sealing.is_some() || !pair.opening.is_empty();
                pair.sealing = pair
                    .sealing
                    .take()
                    .filter(|sealing| is_there(Direction::Outbound, sealing.index, sealing.spi));
                pair.opening
                    .retain(|opening| is_there(Direction::Inbound, opening.index, opening.spi));
                pair.left = super::pairs::Left::default();
                if pair.sealing.is_none() {
                    let left = sealing.get(&(device.address, member)).copied();
                    pair.left.sealing = left.filter(|index| states.contains_key(&outbound(*index)));
                }
                if had && (pair.sealing.is_none() || pair.opening.is_empty()) || !self.begun {
                    lost.push((d, MemberIndex(p as u32)));
                }
            }
        }
        self.adopt(&found.entries, &states);
        self.put_right(&found.entries, &states);
        self.begun = true;
        for device in &mut self.devices {
            device.agreement.way_open(now);
        }
        for (device, pair) in lost {
            // What was agreed on is gone there, or was another process's: numbers never begin anew, so there must be others.
            self.devices[device].agreement.event(now, pair, Event::KeysNeeded);
        }
        self.settle(now);
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

    /// Packets under these keys can be opened before anybody seals with them.
    fn open_with(&mut self, d: usize, of: MemberIndex, keys: NewKeys) {
        let Some(index) = self.inbound.take() else {
            return tracing::error!(
                device = self.devices[d].name,
                "no place for another association: raise associations"
            );
        };
        let spi = keys.spi;
        let Some(pair) = self.devices[d].pairs.get_mut(of.0 as usize) else {
            return self.inbound.give_back(index);
        };
        pair.opening.push(Opening::new(index, spi));
        let (device, pair) = self.at(d, of);
        let entry = tables::opening(&self.config, device, pair, spi.get(), index);
        let association = Association::new(inbound(index), spi, keys.keys, keys.limits);
        self.write([
            Update::InstallAssociation(association),
            Update::Insert(entry.into()),
        ]);
    }

    /// From the next burst on packets are sealed with this. The association before it goes when no entry names it any more.
    fn seal_with(&mut self, now: Moment, d: usize, of: MemberIndex, keys: NewKeys) {
        let Some(index) = self.outbound.take() else {
            return tracing::error!(
                device = self.devices[d].name,
                "no place for another association: raise associations"
            );
        };
        let spi = keys.spi;
        let Some(pair) = self.devices[d].pairs.get_mut(of.0 as usize) else {
            return self.outbound.give_back(index);
        };
        let before = pair.sealing.replace(Sealing::new(index, spi));
        let before = before.map(|sealing| sealing.index).or(pair.left.sealing.take());
        if !pair.left.opening.is_empty() {
            pair.left.until = Some(Millis(now.millis().0 + LINGER));
        }
        let waiting = std::mem::take(&mut pair.waiting);
        let (device, pair) = self.at(d, of);
        let member = &self.config.members[pair.member].name;
        tracing::info!(device = device.name, member, %spi, "new keys");
        let entry = tables::tunnel(&self.config, device, pair, Some(index));
        let association = Association::new(outbound(index), spi, keys.keys, keys.limits);
        self.write([
            Update::InstallAssociation(association),
            Update::Modify(entry.into()),
        ]);
        if let Some(before) = before {
            self.write([Update::RemoveAssociation(outbound(before))]);
            self.outbound.give_back(before);
        }
        if self.own.is_some() {
            let again = waiting.into_iter().map(|(port, frame)| {
                Output::Packet(PacketOut {
                    egress_port: port,
                    mode: PacketOutMode::Submit,
                    frame,
                })
            });
            self.outputs.extend(again);
        }
    }

    fn forget(&mut self, d: usize, spi: Spi) {
        for p in 0..self.devices[d].pairs.len() {
            let opening = &mut self.devices[d].pairs[p].opening;
            if let Some(at) = opening.iter().position(|opening| opening.spi == spi) {
                let opening = opening.remove(at);
                self.close(spi.get(), opening.index);
            }
        }
    }

    fn close(&mut self, spi: u32, index: SaIndex) {
        self.write([
            Update::Delete(Key::Association(entry::AssociationKey { spi })),
            Update::RemoveAssociation(inbound(index)),
        ]);
        self.inbound.give_back(index);
    }

    /// Its numbers are used up, and there is no successor: packets come up and wait.
    fn stop_sealing(&mut self, d: usize, p: usize) {
        let Some(sealing) = self.devices[d].pairs[p].sealing.take() else {
            return;
        };
        let (device, pair) = self.at(d, MemberIndex(p as u32));
        let entry = tables::tunnel(&self.config, device, pair, None);
        self.write([
            Update::Modify(entry.into()),
            Update::RemoveAssociation(outbound(sealing.index)),
        ]);
        self.outbound.give_back(sealing.index);
    }

    fn clear_left(&mut self, d: usize, p: usize) {
        let left = std::mem::take(&mut self.devices[d].pairs[p].left);
        for (spi, index) in left.opening {
            self.close(spi, index);
        }
        // What is sealed with is taken away by its successor.
        self.devices[d].pairs[p].left.sealing = left.sealing;
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

    fn at(&self, d: usize, of: MemberIndex) -> (&Device, &Pair) {
        let device = &self.devices[d];
        (device, &device.pairs[of.0 as usize])
    }

    /// While the dataplane is away nothing is written: what it has when it is back counts.
    fn write<const N: usize>(&mut self, updates: [Update; N]) {
        if self.own.is_none() {
            return;
        }
        match self.outputs.back_mut() {
            Some(Output::Write(batch)) => batch.extend(updates),
            _ => self.outputs.push_back(Output::Write(updates.into())),
        }
    }
}

/// What is found at a dataplane.
impl Core {
    /// Associations that an earlier process left stay as long as entries of ours name them; indices are free if nobody has them.
    fn adopt(&mut self, entries: &[Entry], states: &HashMap<AssociationKey, AssociationState>) {
        for entry in entries {
            let Entry::Association(key, open) = entry else {
                continue;
            };
            let there = states.get(&inbound(SaIndex(open.sa)));
            if there.is_none_or(|state| state.spi.get() != key.spi) {
                continue;
            }
            let device = self
                .devices
                .iter_mut()
                .find(|device| device.address == open.destination);
            let Some(device) = device else { continue };
            let members = &self.config.members;
            let pair = device
                .pairs
                .iter_mut()
                .find(|pair| members[pair.member].address == open.source);
            if let Some(pair) = pair
                && !pair.opening.iter().any(|opening| opening.spi.get() == key.spi)
            {
                pair.left.opening.push((key.spi, SaIndex(open.sa)));
            }
        }
        let taken = self.taken();
        let count = self.config.associations;
        self.outbound = Pool::new(count, |index| taken.contains(&outbound(index)));
        self.inbound = Pool::new(count, |index| taken.contains(&inbound(index)));
    }

    /// Associations that are ours, or were.
    fn taken(&self) -> HashSet<AssociationKey> {
        let pairs = self.devices.iter().flat_map(|device| &device.pairs);
        let each = pairs.flat_map(|pair| {
            let sealing = pair
                .sealing
                .as_ref()
                .map(|sealing| sealing.index)
                .or(pair.left.sealing);
            let opening = pair.opening.iter().map(|opening| opening.index);
            let left = pair.left.opening.iter().map(|(_, index)| *index);
            sealing
                .map(outbound)
                .into_iter()
                .chain(opening.chain(left).map(inbound))
        });
        each.collect()
    }

    /// Makes the tables what they should be, and takes away what nobody knows.
    fn put_right(&mut self, found: &[Entry], states: &HashMap<AssociationKey, AssociationState>) {
        let mut wanted = tables::fixed(&self.config, &self.devices);
        for device in &self.devices {
            for pair in &device.pairs {
                let sa = pair
                    .sealing
                    .as_ref()
                    .map(|sealing| sealing.index)
                    .or(pair.left.sealing);
                wanted.push(tables::tunnel(&self.config, device, pair, sa));
                let opening = pair
                    .opening
                    .iter()
                    .map(|opening| (opening.spi.get(), opening.index));
                for (spi, index) in opening.chain(pair.left.opening.iter().copied()) {
                    wanted.push(tables::opening(&self.config, device, pair, spi, index));
                }
            }
        }
        let found: BTreeMap<Key, Entry> = found.iter().map(|entry| (entry.key(), *entry)).collect();
        let wanted: BTreeMap<Key, Entry> = wanted.into_iter().map(|entry| (entry.key(), entry)).collect();
        let mut updates = vec![Update::Modify(tables::endpoint(&self.config).into())];
        let gone = found.keys().filter(|key| !wanted.contains_key(key));
        updates.extend(gone.map(|key| Update::Delete(*key)));
        for (key, entry) in wanted {
            match found.get(&key) {
                None => updates.push(Update::Insert(entry.into())),
                Some(there) if *there != entry => updates.push(Update::Modify(entry.into())),
                Some(_) => {}
            }
        }
        let taken = self.taken();
        let unknown = states.keys().filter(|key| !taken.contains(key));
        updates.extend(unknown.map(|key| Update::RemoveAssociation(*key)));
        self.outputs.push_back(Output::Write(updates));
    }
}

fn by_key(states: Vec<AssociationState>) -> HashMap<AssociationKey, AssociationState> {
    states.into_iter().map(|state| (state.key, state)).collect()
}

/// Which association each tunnel is sealed with: by device and member.
fn sealed_with(entries: &[Entry]) -> HashMap<(Ipv4Addr, Ipv4Addr), SaIndex> {
    let sealed = entries.iter().filter_map(|entry| match entry {
        Entry::Member(key, MemberAction::SealTo { sa, .. }) => {
            Some(((key.source, key.destination), SaIndex(*sa)))
        }
        _ => None,
    });
    sealed.collect()
}

fn outbound(index: SaIndex) -> AssociationKey {
    AssociationKey {
        direction: Direction::Outbound,
        index,
    }
}

fn inbound(index: SaIndex) -> AssociationKey {
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
