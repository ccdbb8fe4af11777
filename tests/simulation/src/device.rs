//! A device: what it keeps on its disk, the machine that runs, its session at a director, what its datapath was ordered, and its user.
//!
//! ```text
//!  invitation ─► Enrolment ─► file ─► Membership ─► orders: address, channel, members, rules
//!      ▲ user asks the operator for another       └─► requests, stream, heartbeats ─► network
//!      └───── it does not work any more           Session ─► director
//! ```

use crate::net::{Net, Place};
use crate::seat::Seat;
use crate::world::{DAWN, What};
use kith_agent::config::{self, Secret};
use kith_agent::keying::{Moment, Whereabouts};
use kith_agent::manager::enrolment::{self, Candidate, Enrolment, Hindrance, Wrong};
use kith_agent::manager::membership::{self, Ending, Event, Membership, Settings, Trouble};
use kith_agent::manager::request::{Answer, Failure, Manager, Request, RequestId, StreamId};
use kith_agent::manager::{Credentials, Refused};
use kith_agent::orders::{Order, Report, Rule};
use kith_agent::session::Session;
use kith_protocol::authenticator::PasswordKey;
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{RegistrationFile, Update};
use kith_protocol::secret::Secret32;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A device's own clock runs since long before.
const UPTIME: u64 = 10_000_000;
/// An honest manager is understood.
pub const UNDERSTOOD: &str = "members and manager understand each other";
/// Requests of one device that are open at a time, at most: 16 questions for members, a join, a refresh, a move.
const OPEN: usize = 24;

/// What runs on a device.
pub enum Stage {
    /// Nothing: it has no invitation, or is switched off.
    Off,
    /// It registers.
    Enrolling(Box<Enrolment>),
    /// It is a member.
    Up(Box<Membership>),
    /// It ended, and the reason was shown.
    Ended(Reason),
}

/// Why nothing runs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The user left.
    Left,
    /// The manager said no, for good.
    Refused(Code),
    /// The registration did not work.
    Hindered(Hindrance),
}

/// An invitation, as far as it is needed.
#[derive(Clone)]
pub struct Invited {
    /// Where the manager is.
    pub manager: Manager,
    /// What Argon2id makes of the password.
    pub key: Secret32,
}

/// A member as this device's datapath has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub fqdn: String,
    /// Where it is.
    pub there: Whereabouts,
    sequence: u64,
    /// No packet may pass to it.
    pub denied: bool,
}

/// A device.
pub struct Device {
    /// Which one.
    pub number: usize,
    /// As whom.
    pub fqdn: String,
    /// Its community's domain.
    pub domain: String,
    /// Where it is attached.
    pub seat: Seat,
    /// Networks that it is attached to beside.
    pub lans: Vec<config::Prefix>,
    /// Counts its processes.
    pub life: u32,
    /// What runs.
    pub stage: Stage,
    identity: Secret32,
    /// The registration file, if it has one.
    pub file: Option<RegistrationFile>,
    /// The invitation, if it has one that was not used.
    pub invited: Option<Invited>,
    skew: u64,
    session: Option<Session>,
    told: Option<(SocketAddrV4, Option<Ipv4Addr>, Option<SocketAddrV4>)>,
    /// SPIs of the newest channels: of the manager's packets, and of ours.
    channels: VecDeque<(u32, u32)>,
    /// The virtual address that its adapter has.
    pub holds: Option<Ipv4Addr>,
    /// It has just been given that address.
    pub just_took: bool,
    /// Whom its datapath knows.
    pub known: BTreeMap<Ipv4Addr, Known>,
    /// What may pass.
    pub rules: Option<Vec<Rule>>,
    /// The last trouble, since it was joined last.
    pub trouble: Option<Trouble>,
    /// The stream that it listens to.
    pub stream: Option<StreamId>,
    open: BTreeMap<RequestId, ()>,
    /// Requests made, in all.
    pub requests: u64,
    code: Option<String>,
    asked_for_code: bool,
    mistyped: bool,
    /// Its user needs another invitation.
    pub wants_invitation: bool,
    wake: u64,
    turns: (u64, u32),
}

impl Device {
    /// One that was never switched on.
    pub fn new(number: usize, fqdn: String, domain: &str, seat: Seat, identity: Secret32, skew: u64) -> Self {
        Self {
            number,
            fqdn,
            domain: domain.into(),
            seat,
            lans: Vec::new(),
            life: 0,
            stage: Stage::Off,
            identity,
            file: None,
            invited: None,
            skew,
            session: None,
            told: None,
            channels: VecDeque::new(),
            holds: None,
            just_took: false,
            known: BTreeMap::new(),
            rules: None,
            trouble: None,
            stream: None,
            open: BTreeMap::new(),
            requests: 0,
            code: None,
            asked_for_code: false,
            mistyped: false,
            wants_invitation: false,
            wake: u64::MAX,
            turns: (0, 0),
        }
    }

    /// Where cuts see it.
    pub fn place(&self) -> Place {
        match self.seat.site {
            Some(site) => Place::Site(site),
            None => Place::Public(self.number),
        }
    }

    /// This process of it.
    pub fn me(&self) -> (usize, u32) {
        (self.number, self.life)
    }

    /// Switched off by chance, by its user, or for want of a second try: it will be on again.
    pub fn is_to_come_back(&self) -> bool {
        match &self.stage {
            Stage::Off => self.file.is_some() || self.invited.is_some(),
            Stage::Ended(Reason::Left) => true,
            _ => false,
        }
    }

    /// Switched on, or its program started: what it does depends on what is on its disk.
    pub fn boot(&mut self, net: &mut Net) {
        self.kill(net);
        let identity = DeviceIdentity::from_seed(self.identity.clone());
        let entropy = Box::new(net.dice.entropy());
        if let Some(file) = self.file.clone() {
            net.tell(&self.fqdn, || format!("device: up, at {:?}", self.seat));
            let Ok((me, managers)) = Credentials::take(file, identity) else {
                return net.wrong(UNDERSTOOD, Some(&self.fqdn), "its registration file is of no use");
            };
            let settings = Settings {
                udp_port: 20_202,
                site: String::new(),
                platform: "linux".into(),
                program: "kith-agent simulated".into(),
                computer: String::new(),
            };
            self.stage = Stage::Up(Box::new(Membership::new(me, managers, settings, entropy)));
            self.attach(net);
        } else if let Some(invited) = self.invited.clone() {
            net.tell(&self.fqdn, || "device: enrols".into());
            let candidate = Candidate {
                manager: invited.manager,
                fqdn: self.fqdn.clone(),
                password: PasswordKey::from_secret(invited.key),
                identity,
                platform: "linux".into(),
                program: "kith-agent simulated".into(),
            };
            let now = self.moment(net);
            self.stage = Stage::Enrolling(Box::new(Enrolment::new(now, candidate, entropy)));
        }
        self.settle(net);
    }

    /// kill -9: what is on its disk stays.
    pub fn kill(&mut self, net: &mut Net) {
        if self.stream.is_some() {
            self.hang_up(net, None);
        }
        self.life += 1;
        self.stage = Stage::Off;
        (self.session, self.told) = (None, None);
        self.channels.clear();
        (self.holds, self.rules, self.trouble, self.stream) = (None, None, None, None);
        self.known.clear();
        self.open.clear();
        (self.code, self.asked_for_code) = (None, false);
    }

    /// Something happened to the membership.
    pub fn input(&mut self, net: &mut Net, input: membership::Input) {
        let now = self.moment(net);
        if let Stage::Up(membership) = &mut self.stage {
            membership.input(now, input);
            self.settle(net);
        }
    }

    /// A request was answered, or will not be.
    pub fn answer(&mut self, net: &mut Net, id: RequestId, result: Result<Answer, Failure>) {
        // A request ends once: what comes after its deadline comes to nobody.
        if self.open.remove(&id).is_none() {
            return;
        }
        let now = self.moment(net);
        match &mut self.stage {
            Stage::Up(membership) => membership.input(now, membership::Input::Answer { id, result }),
            Stage::Enrolling(enrolment) => enrolment.input(now, enrolment::Input::Answer { id, result }),
            _ => return,
        }
        self.settle(net);
    }

    /// A change came.
    pub fn update(&mut self, net: &mut Net, stream: StreamId, update: Box<Update>) {
        self.input(net, membership::Input::Update { stream, update });
    }

    /// A stream broke.
    pub fn stream_ended(&mut self, net: &mut Net, stream: StreamId, failure: Failure) {
        if self.stream == Some(stream) {
            self.stream = None;
        }
        self.input(net, membership::Input::StreamEnded { stream, failure });
    }

    /// Its address is another one: connections from the old one are dead.
    pub fn moved(&mut self, net: &mut Net) {
        if let Some(stream) = self.stream.take() {
            let failure = Failure::Unreachable("this computer's address has changed".into());
            self.hang_up(net, Some(stream));
            self.input(net, membership::Input::StreamEnded { stream, failure });
        }
        self.attach(net);
    }

    /// Says what it is attached to.
    pub fn attach(&mut self, net: &mut Net) {
        let mut lans = self.lans.clone();
        lans.extend(self.seat.lan());
        let network = membership::Network {
            local: self.seat.local,
            lans,
        };
        self.input(net, membership::Input::Network(Some(network)));
    }

    /// A director's message came.
    pub fn datagram(&mut self, net: &mut Net, from: SocketAddrV4, data: &[u8]) {
        let now = self.moment(net);
        if let Some(session) = &mut self.session {
            session.datagram(now, from, data);
            self.settle(net);
        }
    }

    /// The manager's heartbeat, under this SPI.
    pub fn beat(&mut self, net: &mut Net, spi: u32, beat: kith_protocol::heartbeat::Heartbeat) {
        if self.channels.iter().any(|(inbound, _)| *inbound == spi) {
            self.input(net, membership::Input::Heartbeat(beat));
        }
    }

    /// The user read a code in a mail.
    pub fn letter(&mut self, net: &mut Net, code: String) {
        self.code = Some(code);
        self.type_code(net);
        self.settle(net);
    }

    /// The user has waited for long enough.
    pub fn impatient(&mut self, net: &mut Net) {
        if self.asked_for_code {
            self.boot(net);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, net: &mut Net, at: u64) {
        if self.wake != at {
            return;
        }
        self.wake = u64::MAX;
        let now = self.moment(net);
        match &mut self.stage {
            Stage::Up(membership) => membership.tick(now),
            Stage::Enrolling(enrolment) => enrolment.tick(now),
            _ => {}
        }
        if let Some(session) = &mut self.session {
            session.tick(now);
        }
        self.settle(net);
    }

    fn moment(&self, net: &Net) -> Moment {
        Moment {
            micros: (net.now + UPTIME) * 1_000,
            wall_nanos: (DAWN + net.now + self.skew - 5_000) * 1_000_000,
        }
    }

    /// Does what machines want, until they want nothing more, and notes when they want to be woken.
    fn settle(&mut self, net: &mut Net) {
        loop {
            self.drain(net);
            self.transmit(net);
            let seen = self
                .session
                .as_ref()
                .map(|session| (session.director(), session.pseudo(), session.observed()));
            if seen.is_none() || self.told == seen {
                break;
            }
            self.told = seen;
            if let (Some((director, pseudo, observed)), Stage::Up(membership)) = (seen, &mut self.stage) {
                let now = Moment {
                    micros: (net.now + UPTIME) * 1_000,
                    wall_nanos: (DAWN + net.now + self.skew - 5_000) * 1_000_000,
                };
                net.tell(&self.fqdn, || {
                    format!("device: session at {director}: {pseudo:?}")
                });
                membership.input(
                    now,
                    membership::Input::Report(Report::Session {
                        director,
                        pseudo,
                        observed,
                    }),
                );
            }
        }
        let machine = match &self.stage {
            Stage::Up(membership) => membership.deadline(),
            Stage::Enrolling(enrolment) => enrolment.deadline(),
            _ => None,
        };
        let session = self.session.as_ref().and_then(Session::deadline);
        let due = [machine, session].into_iter().flatten().min();
        if let Some(due) = due.map(|due| due.0.saturating_sub(UPTIME).max(net.now))
            && due < self.wake
        {
            self.wake = due;
            net.at(due, What::WakeDevice(self.number, due));
        }
        self.turns = if self.turns.0 == net.now {
            (net.now, self.turns.1 + 1)
        } else {
            (net.now, 0)
        };
        if self.turns.1 > 1_000 {
            net.wrong(
                "machines rest",
                Some(&self.fqdn),
                "it turns a thousand times in one millisecond",
            );
        }
    }

    fn drain(&mut self, net: &mut Net) {
        if matches!(self.stage, Stage::Enrolling(_)) {
            return self.drain_enrolment(net);
        }
        loop {
            let Stage::Up(membership) = &mut self.stage else {
                return;
            };
            let Some(output) = membership.poll() else { return };
            match output {
                membership::Output::Request(request) => self.request(net, *request),
                membership::Output::Watch { stream, envelope, .. } => {
                    if let Some(before) = self.stream.replace(stream) {
                        self.hang_up(net, Some(before));
                    }
                    let (device, from) = (self.me(), self.seat.source(net));
                    match net.passage(self.place(), Place::Manager) {
                        Some(wait) => net.after(
                            wait,
                            What::Watch {
                                device,
                                from,
                                stream,
                                envelope: Box::new(envelope),
                            },
                        ),
                        None => {
                            let wait = net.dice.between(50, 3_000);
                            let failure = Failure::Unreachable("no route".into());
                            net.after(
                                wait,
                                What::StreamEnded {
                                    device,
                                    stream,
                                    failure,
                                },
                            );
                        }
                    }
                }
                membership::Output::Unwatch(stream) => {
                    if self.stream == Some(stream) {
                        self.stream = None;
                    }
                    self.hang_up(net, Some(stream));
                }
                membership::Output::Order(order) => self.obey(net, order),
                membership::Output::Heartbeat(beat) => {
                    if let Some((_, spi)) = self.channels.back().copied() {
                        let from = self.seat.nat;
                        net.datagram(self.place(), Place::Manager, || What::MemberBeat {
                            spi,
                            from,
                            beat,
                        });
                    }
                }
                membership::Output::Event(event) => self.event(net, event),
                membership::Output::Managers { managers, version } => {
                    if let Some(file) = &mut self.file {
                        (file.managers, file.managers_version) = (managers, version);
                    }
                }
                membership::Output::Token { key, timestamp } => {
                    if let Some(file) = &mut self.file {
                        (file.token_key, file.token_timestamp) = (key.expose().to_vec(), timestamp);
                    }
                }
            }
        }
    }

    fn obey(&mut self, net: &mut Net, order: Order) {
        let now = self.moment(net);
        match order {
            Order::Director(director) => {
                let director = config::Director {
                    address: director.address,
                    key_id: director.key_id,
                    key: Secret::new(*director.key.expose()),
                    sender_only: director.sender_only,
                    keep_alive_ms: None,
                };
                self.told = None;
                if self.session.as_ref().is_some_and(|session| session.is(&director)) {
                    return;
                }
                self.end_session(net);
                self.session = Some(Session::start(director, now, net.dice.next()));
            }
            Order::NoDirector => self.end_session(net),
            Order::Joined(joined) => {
                if self.holds != Some(joined.address) {
                    self.forget();
                }
                net.tell(&self.fqdn, || format!("device: has {}", joined.address));
                (self.holds, self.just_took) = (Some(joined.address), true);
            }
            Order::Channel(channel) => {
                self.channels
                    .push_back((channel.inbound.spi().get(), channel.outbound.spi().get()));
                if self.channels.len() > 2 {
                    self.channels.pop_front();
                }
            }
            Order::Peer(peer) => {
                let newer = self
                    .known
                    .get(&peer.address)
                    .is_none_or(|known| known.sequence < peer.sequence);
                if newer {
                    let known = Known {
                        fqdn: peer.fqdn,
                        there: peer.location,
                        sequence: peer.sequence,
                        denied: false,
                    };
                    net.tell(&self.fqdn, || {
                        format!("device: {} is at {:?}", known.fqdn, known.there)
                    });
                    self.known.insert(peer.address, known);
                }
            }
            Order::Gone(address) => drop(self.known.remove(&address)),
            Order::Policy(rules) => self.rules = Some(rules),
            Order::Out => {
                net.tell(&self.fqdn, || "device: out".into());
                self.forget();
                self.holds = None;
            }
            Order::Barrier(_) => {}
        }
    }

    fn forget(&mut self) {
        self.known.clear();
        self.channels.clear();
        self.rules = None;
    }

    fn end_session(&mut self, net: &mut Net) {
        let now = self.moment(net);
        if let Some(session) = &mut self.session {
            session.leave(now);
        }
        self.transmit(net);
        (self.session, self.told) = (None, None);
    }

    fn transmit(&mut self, net: &mut Net) {
        let Some(session) = &mut self.session else { return };
        while let Some((data, to)) = session.transmit() {
            let device = self.number;
            net.at(
                net.now,
                What::ToDirector {
                    device,
                    to,
                    data: Box::new(data),
                },
            );
        }
    }

    fn event(&mut self, net: &mut Net, event: Event) {
        net.tell(&self.fqdn, || format!("device: {event:?}"));
        match event {
            Event::Joined(_) => self.trouble = None,
            Event::Trouble { why, .. } => {
                if let Trouble::Untrue(what) = why {
                    net.wrong(
                        UNDERSTOOD,
                        Some(&self.fqdn),
                        format!("the manager's answer cannot be used: {what}"),
                    );
                }
                self.trouble = Some(why);
            }
            Event::Over(ending) => {
                let reason = match ending {
                    Ending::Left => Reason::Left,
                    Ending::Refused(Refused { code, .. }) => Reason::Refused(code),
                };
                self.transmit(net);
                self.kill(net);
                if reason == Reason::Left {
                    // Its user will be back.
                    let wait = net.dice.between(3_000, 20_000);
                    net.after(wait, What::Boot(self.number, self.life));
                }
                if self.invited.is_some() && reason != Reason::Left {
                    // Its user has another invitation.
                    self.file = None;
                    let wait = net.dice.between(500, 5_000);
                    net.after(wait, What::Boot(self.number, self.life));
                }
                self.stage = Stage::Ended(reason);
            }
            Event::NoPeer(address, refused) => {
                if let Some(known) = self.known.get_mut(&address) {
                    known.denied = refused.code == Code::Denied;
                }
            }
            _ => {}
        }
    }

    fn drain_enrolment(&mut self, net: &mut Net) {
        loop {
            let Stage::Enrolling(enrolment) = &mut self.stage else {
                return;
            };
            let Some(output) = enrolment.poll() else { return };
            match output {
                enrolment::Output::Request(request) => self.request(net, *request),
                enrolment::Output::AskCode(asked) => {
                    net.tell(&self.fqdn, || {
                        format!("device: asks for the code ({:?})", asked.wrong)
                    });
                    let stale = match asked.wrong {
                        Some(Wrong::NotThatOne { .. }) => !self.mistyped,
                        Some(Wrong::TooLate) => true,
                        _ => false,
                    };
                    if stale {
                        // Another one is on its way.
                        self.code = None;
                    }
                    self.asked_for_code = true;
                    // Who gets no mail begins anew after a while.
                    net.after(45_000, What::Impatient(self.number, self.life));
                    self.type_code(net);
                }
                enrolment::Output::Retrying(failure) => {
                    net.tell(&self.fqdn, || format!("device: retries, {failure}"))
                }
                enrolment::Output::Registered(file) => {
                    net.tell(&self.fqdn, || "device: registered".into());
                    (self.file, self.invited) = (Some(*file), None);
                    self.kill(net);
                    net.after(200, What::Boot(self.number, self.life));
                }
                enrolment::Output::Failed(hindrance) => self.hindered(net, hindrance),
            }
        }
    }

    fn type_code(&mut self, net: &mut Net) {
        if !self.asked_for_code {
            return;
        }
        let Some(code) = self.code.clone() else { return };
        // Sometimes a user mistypes.
        self.mistyped = net.dice.percent(5);
        let typed = if self.mistyped {
            "0000-0001".to_owned()
        } else {
            code
        };
        let now = self.moment(net);
        if let Stage::Enrolling(enrolment) = &mut self.stage {
            self.asked_for_code = false;
            enrolment.input(now, enrolment::Input::Code(typed));
        }
    }

    /// What a user does about a registration that did not work.
    fn hindered(&mut self, net: &mut Net, hindrance: Hindrance) {
        net.tell(&self.fqdn, || format!("device: {hindrance}"));
        self.kill(net);
        let again = match &hindrance {
            Hindrance::Unreachable(..) => true,
            Hindrance::Refused(refused) => {
                matches!(refused.code, Code::MailFailed | Code::Busy | Code::Store)
            }
            Hindrance::WrongCodes => true,
            Hindrance::Dropped => false,
            Hindrance::Impostor(_) | Hindrance::Untrue(_) => {
                net.wrong(UNDERSTOOD, Some(&self.fqdn), hindrance.to_string());
                false
            }
        };
        if again {
            let wait = net.dice.between(2_000, 8_000);
            net.after(wait, What::Boot(self.number, self.life));
        } else {
            let refused = |code| matches!(&hindrance, Hindrance::Refused(refused) if refused.code == code);
            self.wants_invitation = !refused(Code::Revoked);
        }
        self.stage = Stage::Ended(Reason::Hindered(hindrance));
    }

    fn request(&mut self, net: &mut Net, request: Request) {
        self.requests += 1;
        self.open.insert(request.id, ());
        if self.open.len() > OPEN {
            let open = self.open.len();
            net.wrong(
                "queues and tables are bounded",
                Some(&self.fqdn),
                format!("it has {open} open requests"),
            );
        }
        net.tell(&self.fqdn, || format!("device: asks {:?}", request.call));
        let (device, id) = (self.me(), request.id);
        let patience = request.patience.0;
        let envelope = Box::new(request.envelope);
        let passage = net.passage(self.place(), Place::Manager);
        if let Some(wait) = passage {
            let from = self.seat.source(net);
            if net.dice.percent(net.weather.twice) {
                let later = wait + net.delay();
                let envelope = envelope.clone();
                net.after(
                    later,
                    What::Call {
                        device,
                        from,
                        id,
                        call: request.call,
                        envelope,
                    },
                );
            }
            net.after(
                wait,
                What::Call {
                    device,
                    from,
                    id,
                    call: request.call,
                    envelope,
                },
            );
        } else if net.dice.percent(50) {
            broken(net, device, id);
        }
        // The connection's own deadline.
        net.after(
            patience,
            What::Answer {
                device,
                id,
                result: Box::new(Err(Failure::TimedOut)),
            },
        );
    }

    fn hang_up(&self, net: &mut Net, stream: Option<StreamId>) {
        let device = self.me();
        // A connection that is cut ends for the manager when it has been silent for long enough.
        let wait = net.passage(self.place(), Place::Manager).unwrap_or(20_000);
        net.after(wait, What::Unwatch { device, stream });
    }
}

/// A request's connection broke: whether it arrived is not known.
pub fn broken(net: &mut Net, device: (usize, u32), id: RequestId) {
    let wait = net.dice.between(20, 2_000);
    let result = Box::new(Err(Failure::Unreachable("connection reset".into())));
    net.after(wait, What::Answer { device, id, result });
}
