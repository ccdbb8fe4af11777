//! Everything together, event by event.

use crate::chaos::{self, Fault};
use crate::device::{Device, Stage};
use crate::director::Node;
use crate::mirror::ONE_HOLDER;
use crate::net::{Net, Place};
use crate::operator::Operator;
use crate::server::{Asking, Server};
use crate::verdict;
use kith_agent::manager::membership;
use kith_agent::manager::request::{self, Answer, Failure, RequestId};
use kith_agent::orders::Report;
use kith_manager::core::{self, MemberId, StreamId};
use kith_protocol::heartbeat::Heartbeat;
use kith_protocol::member::{Envelope, Update};
use kith_wire::control::LEN;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The manager's clock when the simulation's stands at 0: milliseconds since 1970.
pub const DAWN: u64 = 1_800_000_000_000;
/// Who was registered before registered within the hour before a seed's story begins.
pub const START: u64 = 3_600_000;
/// So long it storms, milliseconds.
pub const STORM: u64 = 120_000;
/// Then all must be well within this time: the longest pause of an agent between two attempts (60 s) twice, a session's lifetime at a director, and
/// a look at all heartbeats.
pub const BOUND: u64 = 300_000;
/// A device: which one, and which process on it.
pub type Me = (usize, u32);

/// What happens.
#[allow(missing_docs, reason = "the names say it")]
pub enum What {
    Call {
        device: Me,
        from: SocketAddrV4,
        id: RequestId,
        call: request::Call,
        envelope: Box<Envelope>,
    },
    Answer {
        device: Me,
        id: RequestId,
        result: Box<Result<Answer, Failure>>,
    },
    Watch {
        device: Me,
        from: SocketAddrV4,
        stream: request::StreamId,
        envelope: Box<Envelope>,
    },
    Unwatch {
        device: Me,
        stream: Option<request::StreamId>,
    },
    Update {
        device: Me,
        stream: request::StreamId,
        update: Box<Update>,
    },
    StreamEnded {
        device: Me,
        stream: request::StreamId,
        failure: Failure,
    },
    MemberBeat {
        spi: u32,
        from: SocketAddrV4,
        beat: Heartbeat,
    },
    ManagerBeat {
        to: SocketAddrV4,
        spi: u32,
        beat: Heartbeat,
    },
    BeatDue(MemberId, u64),
    ToDirector {
        device: usize,
        to: SocketAddrV4,
        data: Box<[u8; LEN]>,
    },
    AtDirector {
        director: usize,
        from: (Place, usize, SocketAddrV4),
        data: Box<[u8; LEN]>,
    },
    FromDirector {
        director: usize,
        to: (usize, SocketAddrV4),
        data: Box<[u8; LEN]>,
    },
    Disk(u32),
    Deliver(StreamId),
    Mailed(u32, u64, bool),
    Letter(String, String),
    WakeManager(u64),
    WakeDevice(usize, u64),
    WakeDirector(usize, u64),
    Boot(usize, u32),
    Impatient(usize, u32),
    ManagerDies(Option<usize>),
    ManagerStarts,
    DirectorStarts(usize, bool),
    Talk(usize),
    Mended(Place, Option<Place>),
    Fault(Fault),
    Operator,
    Second,
    Heal,
}

/// Everything.
pub struct World {
    /// The network.
    pub net: Net,
    /// The manager.
    pub server: Server,
    /// The directors.
    pub directors: Vec<Node>,
    /// The devices.
    pub devices: Vec<Device>,
    /// Who runs the communities.
    pub operator: Operator,
    /// Where datagrams to an address arrive.
    pub mappings: BTreeMap<(usize, SocketAddrV4), usize>,
    /// Outside addresses of the sites.
    pub sites: Vec<Ipv4Addr>,
    /// Only registers, nobody joins.
    pub registers_only: bool,
    /// Since when nothing bad happens any more.
    pub healed: Option<u64>,
    /// All was well then.
    pub well: Option<u64>,
    /// How often two devices believed to have one address, each for a while and one of them with no right to it.
    pub overlaps: u64,
    /// Events so far.
    pub events: u64,
}

impl World {
    /// Runs until all is well, or something is wrong.
    pub fn run(&mut self) {
        while self.well.is_none() && self.net.violation().is_none() {
            let Some(what) = self.net.next() else {
                return self
                    .net
                    .wrong("the story has an end", None, "nothing happens any more");
            };
            self.events += 1;
            self.happens(what);
            self.follow_up();
        }
    }

    fn happens(&mut self, what: What) {
        let Self {
            net,
            server,
            devices,
            directors,
            ..
        } = self;
        match what {
            What::Call {
                device,
                from,
                id,
                call,
                envelope,
            } => {
                let asking = self.asking(device, id, call, *envelope);
                if matches!(call, request::Call::Leave | request::Call::Confirm) {
                    self.server.mirror.act(self.net.now, &asking.fqdn);
                }
                self.server.call(&mut self.net, from, asking);
            }
            What::Answer { device, id, result } => {
                if let Some(device) = alive(devices, device) {
                    device.answer(net, id, *result);
                }
            }
            What::Watch {
                device,
                from,
                stream,
                envelope,
            } => {
                let asking = self.asking(device, RequestId(0), request::Call::Query, *envelope);
                self.server.watch(&mut self.net, from, stream, asking);
            }
            What::Unwatch { device, stream } => server.unwatch(net, device, stream),
            What::Update {
                device,
                stream,
                update,
            } => {
                if let Some(device) = alive(devices, device) {
                    device.update(net, stream, update);
                }
            }
            What::StreamEnded {
                device,
                stream,
                failure,
            } => {
                if let Some(device) = alive(devices, device) {
                    device.stream_ended(net, stream, failure);
                }
            }
            What::MemberBeat { spi, from, beat } => {
                if let Some((fqdn, input)) = server.hub.heard(spi, from, &beat) {
                    let session = server
                        .core()
                        .and_then(|core| core.state().member_named(&fqdn)?.session());
                    if session.is_some_and(|session| session.run_id.0 == beat.run_id) {
                        server.mirror.heard(net.now, &fqdn);
                    }
                    server.input(net, input);
                }
            }
            What::ManagerBeat { to, spi, beat } => {
                if let Some(device) = self
                    .mappings
                    .get(&(0, to))
                    .and_then(|number| devices.get_mut(*number))
                    && net.is_open(Place::Manager, device.place())
                {
                    device.beat(net, spi, beat);
                }
            }
            What::BeatDue(member, serial) => server.hub.beat(net, member, serial),
            What::ToDirector { device, to, data } => self.for_director(device, to, data),
            What::AtDirector { director, from, data } => directors[director].datagram(net, from, *data),
            What::FromDirector { director, to, data } => {
                let from = directors[director].at.1;
                if let Some(number) = self.mappings.get(&to) {
                    devices[*number].datagram(net, from, &data[..]);
                }
            }
            What::Disk(generation) => server.disk(net, generation),
            What::Deliver(stream) => server.deliver(net, stream),
            What::Mailed(generation, id, sent) => server.mailed(net, generation, id, sent),
            What::Letter(to, code) => {
                let number = to
                    .split('@')
                    .next()
                    .and_then(|name| name.strip_prefix('u')?.parse::<usize>().ok());
                if let Some(device) = number.and_then(|number| devices.get_mut(number)) {
                    device.letter(net, code);
                }
            }
            What::WakeManager(at) => server.tick(net, at),
            What::WakeDevice(number, at) => devices[number].tick(net, at),
            What::WakeDirector(number, at) => directors[number].tick(net, at),
            What::Boot(number, life) => {
                let device = &mut devices[number];
                let stays = self.registers_only && device.file.is_some();
                if device.life == life && !stays {
                    device.boot(net);
                }
            }
            What::Impatient(number, life) => {
                if let Some(device) = alive(devices, (number, life)) {
                    device.impatient(net);
                }
            }
            What::ManagerDies(kept) => self.kill_manager(kept),
            What::ManagerStarts => server.start(net),
            What::DirectorStarts(number, with_journal) => {
                if !directors[number].is_up() {
                    directors[number].start(net, with_journal);
                }
            }
            What::Talk(number) => self.talk(number),
            What::Mended(a, b) => net.mend(a, b),
            What::Fault(fault) => chaos::strike(self, fault),
            What::Operator => {
                self.operator.turn(net, server, devices);
                net.after(200, What::Operator);
            }
            What::Second => self.second(),
            What::Heal => chaos::heal(self),
        }
    }

    /// What follows from whatever happened: grants, operators' answers, and whether somebody has an address now.
    fn follow_up(&mut self) {
        for op in std::mem::take(&mut self.server.grants) {
            let (core::GrantOp::Add { director, .. } | core::GrantOp::Remove { director, .. }) = &op;
            if let Some(node) = self.directors.iter_mut().find(|node| *node.name == **director) {
                node.grant(&mut self.net, &op);
            }
        }
        if self.server.just_started {
            self.server.just_started = false;
            self.take_back_grants();
        }
        for (token, answer) in std::mem::take(&mut self.server.answered) {
            self.operator
                .answered(&mut self.net, &mut self.server, &mut self.devices, token, answer);
        }
        for number in 0..self.devices.len() {
            if std::mem::take(&mut self.devices[number].just_took) {
                self.took(number);
            }
        }
    }

    /// A device's adapter has an address: nobody else's may have it, unless one of the two has no right to it any more and does not know that
    /// yet: it was told before it lost it.
    fn took(&mut self, number: usize) {
        let me = &self.devices[number];
        let has_right = |device: &Device| {
            let session = self.server.mirror.sessions.get(&device.fqdn);
            session.map(|session| Some(Ipv4Addr::from(session.virtual_address))) == Some(device.holds)
        };
        for other in &self.devices {
            if other.number == number || other.domain != me.domain || other.holds != me.holds {
                continue;
            }
            if has_right(me) && has_right(other) {
                let what = format!("it and {} have {:?}", other.fqdn, me.holds);
                self.net.wrong(ONE_HOLDER, Some(&me.fqdn), what);
            }
            self.overlaps += 1;
        }
    }

    fn asking(&self, device: Me, id: RequestId, call: request::Call, envelope: Envelope) -> Asking {
        let it = &self.devices[device.0];
        Asking {
            device,
            place: it.place(),
            id,
            call: crate::convert::call(call),
            fqdn: it.fqdn.clone(),
            envelope,
        }
    }

    fn for_director(&mut self, number: usize, to: SocketAddrV4, data: Box<[u8; LEN]>) {
        let device = &self.devices[number];
        let reached = |node: &&Node| node.at.1 == to && device.seat.seen_in(node.at.0).is_some();
        let Some(node) = self.directors.iter().find(reached) else {
            return;
        };
        let (director, realm, here) = (node.number(), node.at.0, device.place());
        let Some(seen) = device.seat.seen_in(realm) else {
            return;
        };
        self.net.datagram(here, node.place(), || What::AtDirector {
            director,
            from: (here, realm, seen),
            data: data.clone(),
        });
    }

    fn kill_manager(&mut self, kept: Option<usize>) {
        let most = self.server.under_way();
        let kept = kept.unwrap_or_else(|| self.net.dice.index(most + 1));
        let down = match self.net.dice.below(3) {
            0 => self.net.dice.between(5_000, 25_000),
            _ => self.net.dice.between(50, 2_000),
        };
        self.server.kill(&mut self.net, kept);
        self.net.after(down, What::ManagerStarts);
    }

    /// A program on a device sends to another member.
    fn talk(&mut self, number: usize) {
        let me = &self.devices[number];
        if me.holds.is_none() {
            return;
        }
        let others: Vec<Ipv4Addr> = self
            .devices
            .iter()
            .filter(|other| other.number != number && other.domain == me.domain)
            .filter_map(|other| other.holds)
            .collect();
        if let Some(address) = others.get(self.net.dice.index(others.len())) {
            let report = membership::Input::Report(Report::NeedPeer(*address));
            self.devices[number].input(&mut self.net, report);
        }
    }

    /// Directors' health, a sample of everybody's rules; and after the storm: is all well?
    fn second(&mut self) {
        self.net.after(1_000, What::Second);
        for node in &self.directors {
            let input = core::Input::DirectorHealth {
                name: node.name.clone(),
                healthy: node.is_up() || node.is_away(),
                sessions: node.sessions(),
                udp: true,
                tcp: false,
            };
            self.server.input(&mut self.net, input);
        }
        verdict::sample(self);
        if self.registers_only {
            let ready = |device: &Device| device.file.is_some() || matches!(device.stage, Stage::Off);
            let invited = self.devices.iter().filter(|device| device.file.is_some()).count();
            if invited > 0 && self.operator.is_done() && self.devices.iter().all(ready) {
                self.well = Some(self.net.now);
            }
        } else if let Some(healed) = self.healed {
            verdict::judge(self, healed);
        }
    }

    /// After a start, what is not granted again is taken back.
    fn take_back_grants(&mut self) {
        let Some(core) = self.server.core() else { return };
        let state = core.state();
        let mut wanted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for member in state.members() {
            let director = member.session().and_then(|session| session.director.clone());
            if let (Some(director), Some((key, _))) = (director, &member.director_key) {
                wanted.entry(director.to_string()).or_default().push(*key);
            }
        }
        for node in &mut self.directors {
            let wanted = wanted.remove(&node.name).unwrap_or_default();
            let surplus: Vec<u64> = node.granted().filter(|key| !wanted.contains(key)).collect();
            for key_id in surplus {
                let op = core::GrantOp::Remove {
                    director: node.name.as_str().into(),
                    key_id,
                };
                node.grant(&mut self.net, &op);
            }
        }
    }

    /// Datagrams to where a device is seen arrive at it from now on.
    pub fn map(&mut self, number: usize) {
        self.mappings.retain(|_, owner| *owner != number);
        let seat = self.devices[number].seat;
        self.mappings.insert((0, seat.nat), number);
        if let Some(site) = seat.site {
            self.mappings
                .insert((site + 1, SocketAddrV4::new(seat.local, 20_202)), number);
        }
    }
}

fn alive(devices: &mut [Device], (number, life): Me) -> Option<&mut Device> {
    devices.get_mut(number).filter(|device| device.life == life)
}
