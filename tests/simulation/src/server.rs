//! The manager and its host: the core over a store whose disk is slow and may lose what it has not answered, streams with bounded queues, mail.
//!
//! ```text
//!  requests ──► core ──► transactions ──► [ store: held ] ──► one reaches the disk ──► core ──► answers, pushes, mails
//!                                             └─ crash: so many of those that wait are kept, none was answered
//! ```
//!
//! Every answer is held against the disk at the moment when it leaves.

use crate::hub::Hub;
use crate::mirror::{Mirror, NOTHING_LOST};
use crate::net::{Net, Place};
use crate::pushes::Pushes;
use crate::world::{DAWN, What};
use kith_agent::manager::request::{self, Failure, RequestId};
use kith_manager::core::{
    AdminError, AdminReply, Answer, Call, CommitId, Entropy, GrantOp, Input, Mail, Manager, Output, Settings,
    StreamEnd, StreamId, Time, Token,
};
use kith_protocol::member::update::Change;
use kith_protocol::member::*;
use kith_protocol::records::MemberState;
use kith_store::memory::Memory;
use kith_store::{Key, Transaction};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;

/// Updates that wait for one member at most.
pub const QUEUE: usize = 64;
/// A connection over which nothing passed for so long is dead.
const DEAD: u64 = 20_000;

/// Who asks, and what an answer to it must be true of.
pub struct Asking {
    /// The device and its life.
    pub device: (usize, u32),
    /// Where it is.
    pub place: Place,
    /// Its name for the request.
    pub id: RequestId,
    /// What it asks.
    pub call: Call,
    /// As whom.
    pub fqdn: String,
    /// The request.
    pub envelope: Envelope,
}

/// A member's stream.
struct Line {
    device: (usize, u32),
    place: Place,
    name: request::StreamId,
    fqdn: String,
    waiting: VecDeque<Update>,
    /// Nothing passes since then.
    stuck: Option<u64>,
    /// No more comes; ends so when what waits has been delivered.
    end: Option<Failure>,
    under_way: bool,
}

/// The manager.
pub struct Server {
    store: Memory,
    core: Option<Manager>,
    settings: Settings,
    /// Counts its lives.
    pub generation: u32,
    commits: VecDeque<(CommitId, Transaction)>,
    asking: BTreeMap<Token, Asking>,
    lines: BTreeMap<StreamId, Line>,
    /// Inside the tunnel.
    pub hub: Hub,
    /// What is on disk.
    pub mirror: Mirror,
    /// Who must be told.
    pub pushes: Pushes,
    /// For the directors.
    pub grants: Vec<GrantOp>,
    /// It has read the store: what was granted before and is not said again is to be taken back.
    pub just_started: bool,
    /// What operators were answered.
    pub answered: Vec<(Token, Result<AdminReply, AdminError>)>,
    next: u64,
    wake: u64,
    /// It dies when so many more transactions have been put out.
    pub dies_after: Option<u64>,
    /// The disk refuses one when so many more have been written.
    pub fails_after: Option<u64>,
    /// Percent of mails that are not taken.
    pub bad_mail: u64,
    /// The longest queue of a stream, and the most transactions under way.
    pub longest: (usize, usize),
}

impl Server {
    /// A manager whose store is this, not started yet.
    pub fn new(store: Memory, settings: Settings) -> Self {
        store.hold(true);
        let hub = Hub::new(settings.times.manager_heartbeat);
        Self {
            store,
            core: None,
            settings,
            generation: 0,
            commits: VecDeque::new(),
            asking: BTreeMap::new(),
            lines: BTreeMap::new(),
            hub,
            mirror: Mirror::default(),
            pushes: Pushes::default(),
            grants: Vec::new(),
            just_started: false,
            answered: Vec::new(),
            next: 0,
            wake: u64::MAX,
            dies_after: None,
            fails_after: None,
            bad_mail: 0,
            longest: (0, 0),
        }
    }

    /// Its store.
    pub fn into_store(self) -> Memory {
        self.store
    }

    /// It runs.
    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// The core, while it runs.
    pub fn core(&self) -> Option<&Manager> {
        self.core.as_ref()
    }

    /// Nothing is on its way to the disk.
    pub fn is_quiet(&self) -> bool {
        self.commits.is_empty() && self.core.is_some()
    }

    /// Transactions under way.
    pub fn under_way(&self) -> usize {
        self.commits.len()
    }

    /// Starts: reads the store.
    pub fn start(&mut self, net: &mut Net) {
        if self.core.is_some() {
            return;
        }
        let everything = self.store.range_now(&Key::new(""), None, usize::MAX);
        let Ok(page) = everything else {
            return net.wrong(NOTHING_LOST, None, "the store cannot be read");
        };
        let entropy = Entropy::new(net.dice.entropy());
        let loaded = Manager::load(
            self.settings.clone(),
            &page.entries,
            page.revision,
            time(net),
            entropy,
        );
        match loaded {
            Err(why) => net.wrong(NOTHING_LOST, None, why.to_string()),
            Ok(manager) => {
                self.generation += 1;
                self.mirror.compare(net, &manager);
                self.pushes.forget_all();
                self.core = Some(manager);
                self.just_started = true;
                net.tell_all(|| "the manager is up".into());
                self.drain(net);
            }
        }
    }

    /// kill -9. The first `kept` transactions of those that wait had reached the disk.
    pub fn kill(&mut self, net: &mut Net, kept: usize) {
        if self.core.take().is_none() {
            return;
        }
        net.tell_all(|| {
            format!(
                "the manager dies; {kept} of {} transactions under way are kept",
                self.commits.len()
            )
        });
        self.store = self.store.crash(kept);
        self.store.hold(true);
        for (_, transaction) in std::mem::take(&mut self.commits).into_iter().take(kept) {
            self.mirror.take(net, self.settings.times.silence, &transaction);
        }
        self.forget_callers(net);
        self.hub = Hub::new(self.settings.times.manager_heartbeat);
        (self.dies_after, self.wake) = (None, u64::MAX);
    }

    /// A member asks.
    pub fn call(&mut self, net: &mut Net, from: SocketAddrV4, asking: Asking) {
        if self.core.is_none() {
            return self.broken(net, &asking);
        }
        let token = Token(self.number());
        let (call, envelope) = (asking.call, asking.envelope.clone());
        self.asking.insert(token, asking);
        self.input(
            net,
            Input::Call {
                token,
                from,
                call,
                envelope,
            },
        );
    }

    /// A member wants to hear of changes.
    pub fn watch(&mut self, net: &mut Net, from: SocketAddrV4, name: request::StreamId, asking: Asking) {
        let (device, place, fqdn) = (asking.device, asking.place, asking.fqdn);
        if self.core.is_none() {
            return ended(
                net,
                device,
                name,
                Failure::Unreachable("connection refused".into()),
            );
        }
        let stream = StreamId(self.number());
        self.lines.insert(
            stream,
            Line {
                device,
                place,
                name,
                fqdn,
                waiting: VecDeque::new(),
                stuck: None,
                end: None,
                under_way: false,
            },
        );
        self.input(
            net,
            Input::Watch {
                stream,
                from,
                envelope: asking.envelope,
            },
        );
    }

    /// A member's end of its streams is gone.
    pub fn unwatch(&mut self, net: &mut Net, device: (usize, u32), name: Option<request::StreamId>) {
        let its = |line: &Line| line.device == device && name.is_none_or(|name| line.name == name);
        let streams: Vec<StreamId> = self
            .lines
            .iter()
            .filter(|(_, line)| its(line))
            .map(|(id, _)| *id)
            .collect();
        for stream in streams {
            self.lines.remove(&stream);
            self.input(net, Input::StreamClosed { stream });
        }
    }

    /// An operator asks; the answer is in `answered` when it comes.
    pub fn command(&mut self, net: &mut Net, command: kith_manager::core::Command) -> Option<Token> {
        self.core.as_ref()?;
        let token = Token(self.number());
        let actor = kith_manager::core::Actor {
            name: "uid 0 (root)".into(),
            role: kith_manager::core::Role::Admin,
        };
        self.input(
            net,
            Input::Admin {
                token,
                actor,
                command,
            },
        );
        Some(token)
    }

    /// Tells the core something that nobody waits for.
    pub fn input(&mut self, net: &mut Net, input: Input) {
        let now = time(net);
        if let Some(core) = &mut self.core {
            core.input(now, input);
            self.drain(net);
        }
    }

    /// A transaction reaches the disk.
    pub fn disk(&mut self, net: &mut Net, generation: u32) {
        if generation != self.generation || self.core.is_none() {
            return;
        }
        let Some((id, transaction)) = self.commits.pop_front() else {
            return;
        };
        if let Some(left) = &mut self.fails_after {
            if *left == 0 {
                return self.fail(net, id);
            }
            *left -= 1;
        }
        let Some((_, Ok(committed))) = self.store.commit_next() else {
            return net.wrong(
                NOTHING_LOST,
                None,
                "the store refused a transaction: its conditions do not hold",
            );
        };
        let moved = self.mirror.take(net, self.settings.times.silence, &transaction);
        if let Some(core) = &self.core {
            self.pushes.expect(core, &self.open(), &moved);
        }
        let revision = committed.revision;
        self.input(net, Input::Committed { id, revision });
        self.pushes.all_told(net);
    }

    /// What waits on a stream arrives.
    pub fn deliver(&mut self, net: &mut Net, stream: StreamId) {
        let Some(line) = self.lines.get_mut(&stream) else {
            return;
        };
        line.under_way = false;
        if !net.is_open(Place::Manager, line.place) {
            let since = *line.stuck.get_or_insert(net.now);
            if net.now > since + DEAD {
                let (device, name) = (line.device, line.name);
                self.lines.remove(&stream);
                ended(
                    net,
                    device,
                    name,
                    Failure::Unreachable("connection timed out".into()),
                );
                return self.input(net, Input::StreamClosed { stream });
            }
            line.under_way = true;
            return net.after(1_000, What::Deliver(stream));
        }
        line.stuck = None;
        let (device, name) = (line.device, line.name);
        match line.waiting.pop_front() {
            Some(update) => net.at(
                net.now,
                What::Update {
                    device,
                    stream: name,
                    update: Box::new(update),
                },
            ),
            None => {
                if let Some(failure) = line.end.take() {
                    self.lines.remove(&stream);
                    ended(net, device, name, failure);
                    self.input(net, Input::StreamClosed { stream });
                }
                return;
            }
        }
        self.carry_on(net, stream);
    }

    /// A mail was handed over, or not.
    pub fn mailed(&mut self, net: &mut Net, generation: u32, id: u64, sent: bool) {
        if generation == self.generation {
            let result = if sent {
                Ok(())
            } else {
                Err("550 no such mailbox".to_owned())
            };
            self.input(net, Input::Mail { id, result });
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, net: &mut Net, at: u64) {
        if self.wake != at {
            return;
        }
        self.wake = u64::MAX;
        let now = time(net);
        if let Some(core) = &mut self.core {
            core.tick(now);
            self.drain(net);
        }
    }

    /// Does what the core wants, until it wants nothing more.
    fn drain(&mut self, net: &mut Net) {
        loop {
            let Some(output) = self.core.as_mut().and_then(Manager::poll) else {
                break;
            };
            match output {
                Output::Commit { id, transaction } => self.submit(net, id, transaction),
                Output::Answer { token, answer } => self.answer(net, token, answer),
                Output::AdminAnswer { token, answer } => self.answered.push((token, answer)),
                Output::Push { stream, update } => self.push(net, stream, update),
                Output::StreamEnd { stream, why } => self.end(net, stream, why),
                Output::Event(event) => net.tell(&event.subject, || {
                    format!("manager: {} {}", event.kind, event.detail)
                }),
                Output::Mail { id, mail } => self.mail(net, id, &mail),
                Output::Channel(op) => self.hub.order(net, op, self.core.as_ref()),
                Output::Grant(op) => self.grants.push(op),
            }
        }
        self.longest.1 = self.longest.1.max(self.commits.len());
        let due = self.core.as_ref().and_then(Manager::deadline);
        if let Some(due) = due.map(|due| due.0.saturating_sub(DAWN).max(net.now))
            && due < self.wake
        {
            self.wake = due;
            net.at(due, What::WakeManager(due));
        }
    }

    fn submit(&mut self, net: &mut Net, id: CommitId, transaction: Transaction) {
        self.store.submit(transaction.clone());
        self.commits.push_back((id, transaction));
        let slow = net.dice.percent(2);
        let wait = if slow {
            net.dice.between(50, 400)
        } else {
            net.dice.between(1, 12)
        };
        net.after(wait, What::Disk(self.generation));
        match &mut self.dies_after {
            Some(0) => {
                let kept = net.dice.index(self.commits.len() + 1);
                self.dies_after = None;
                net.at(net.now, What::ManagerDies(Some(kept)));
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// The disk refuses a transaction: the core is of no use any more, and another is loaded.
    fn fail(&mut self, net: &mut Net, id: CommitId) {
        self.fails_after = None;
        net.tell_all(|| "the disk refuses a transaction".into());
        self.input(
            net,
            Input::CommitFailed {
                id,
                why: "no space left on device".into(),
            },
        );
        self.commits.clear();
        self.kill(net, 0);
        net.after(100, What::ManagerStarts);
    }

    fn answer(&mut self, net: &mut Net, token: Token, answer: Answer) {
        let Some(asking) = self.asking.remove(&token) else {
            return;
        };
        self.holds(net, &asking, &answer);
        net.tell(&asking.fqdn, || {
            format!(
                "manager answers {}: {}",
                asking.call.word(),
                crate::convert::words(&answer)
            )
        });
        let result = crate::convert::answer(asking.call, answer);
        match net.passage(Place::Manager, asking.place) {
            Some(wait) => net.after(
                wait,
                What::Answer {
                    device: asking.device,
                    id: asking.id,
                    result: Box::new(result),
                },
            ),
            None => self.broken(net, &asking),
        }
    }

    /// Is what the member is told on disk?
    fn holds(&mut self, net: &mut Net, asking: &Asking, answer: &Answer) {
        let fqdn = &asking.fqdn;
        let session = self.mirror.sessions.get(fqdn);
        let true_so = match answer {
            Answer::Join(ack) => {
                if let Some(policy) = &ack.policy {
                    self.pushes.ruled(net, fqdn, policy, false);
                }
                session.is_some_and(|session| session.virtual_address == ack.virtual_address)
            }
            Answer::Move(_) => {
                let asked: MoveRequest = decoded(&asking.envelope);
                let asked = asked.location.unwrap_or_default();
                session.is_some_and(|session| {
                    (session.address, session.director) == (asked.address, asked.director)
                })
            }
            Answer::Leave(_) => session.is_none(),
            Answer::Confirm(_) => {
                let member = self.mirror.members.get(fqdn);
                member.is_some_and(|member| {
                    member.state() == MemberState::Registered && !member.token_key.is_empty()
                })
            }
            Answer::Locate(peer) => {
                if !peer.ticket.is_empty() {
                    self.pushes.relate(fqdn, &peer.fqdn);
                }
                true
            }
            _ => true,
        };
        if !true_so {
            let what = format!(
                "it is told that its {} is granted, and the disk does not say so",
                asking.call.word()
            );
            net.wrong(NOTHING_LOST, Some(fqdn), what);
        }
    }

    fn push(&mut self, net: &mut Net, stream: StreamId, update: Update) {
        let Some(line) = self.lines.get_mut(&stream).filter(|line| line.end.is_none()) else {
            return;
        };
        let last = matches!(update.change, Some(Change::Resync(_) | Change::Ended(_)));
        if let Some(change) = &update.change {
            let fqdn = line.fqdn.clone();
            self.pushes.pushed(net, &fqdn, change);
            net.tell(&fqdn, || {
                format!(
                    "manager pushes {} of revision {}",
                    crate::convert::change(change),
                    update.revision
                )
            });
        }
        if last {
            line.waiting.clear();
        } else if line.waiting.len() >= QUEUE {
            if let Some(core) = &mut self.core {
                core.input(time(net), Input::StreamFull { stream });
            }
            return;
        }
        line.waiting.push_back(update);
        self.longest.0 = self.longest.0.max(line.waiting.len());
        self.carry_on(net, stream);
    }

    fn end(&mut self, net: &mut Net, stream: StreamId, why: StreamEnd) {
        let Some(line) = self.lines.get_mut(&stream) else {
            return;
        };
        line.end = Some(match why {
            StreamEnd::Dropped(_) => Failure::Dropped,
            StreamEnd::Told | StreamEnd::Left => Failure::Unreachable("the manager closed the stream".into()),
            StreamEnd::Replaced => Failure::Unreachable("another stream of this run took its place".into()),
            StreamEnd::Store => Failure::Unreachable("the manager cannot keep anything now".into()),
        });
        self.carry_on(net, stream);
    }

    fn carry_on(&mut self, net: &mut Net, stream: StreamId) {
        let Some(line) = self.lines.get_mut(&stream) else {
            return;
        };
        if line.under_way || (line.waiting.is_empty() && line.end.is_none()) {
            return;
        }
        line.under_way = true;
        let again = if net.dice.percent(net.weather.loss) {
            300
        } else {
            0
        };
        let wait = net.delay() + again;
        net.after(wait, What::Deliver(stream));
    }

    fn mail(&mut self, net: &mut Net, id: u64, mail: &Mail) {
        let sent = !net.dice.percent(self.bad_mail);
        let wait = net.dice.between(20, 900);
        net.after(wait, What::Mailed(self.generation, id, sent));
        let code = mail
            .body
            .lines()
            .map(str::trim)
            .find(|line| line.len() == 9 && line.as_bytes()[4] == b'-');
        if let Some(code) = code.filter(|_| sent) {
            let wait = wait + net.dice.between(500, 4_000);
            net.after(wait, What::Letter(mail.to.clone(), code.to_owned()));
        }
    }

    /// Everybody who waits is told by a connection that breaks.
    fn forget_callers(&mut self, net: &mut Net) {
        for asking in std::mem::take(&mut self.asking).into_values() {
            self.broken(net, &asking);
        }
        for line in std::mem::take(&mut self.lines).into_values() {
            ended(
                net,
                line.device,
                line.name,
                Failure::Unreachable("connection reset".into()),
            );
        }
    }

    fn broken(&self, net: &mut Net, asking: &Asking) {
        crate::device::broken(net, asking.device, asking.id);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Streams to which something can still be pushed.
    fn open(&self) -> BTreeSet<StreamId> {
        let open = self.lines.iter().filter(|(_, line)| line.end.is_none());
        open.map(|(stream, _)| *stream).collect()
    }

    /// Nothing is on its way to the disk: has this member, if it is online, the rules that are?
    pub fn rules_are_told(&self, net: &mut Net, fqdn: &str) {
        if let Some(core) = &self.core {
            self.pushes.has_its_rules(net, core, &self.open(), fqdn);
        }
    }

    /// Members that have a stream.
    pub fn online(&self) -> BTreeSet<&str> {
        self.lines
            .values()
            .filter(|line| line.end.is_none())
            .map(|line| line.fqdn.as_str())
            .collect()
    }
}

/// Now, by the manager's clock.
pub fn time(net: &Net) -> Time {
    Time(DAWN + net.now)
}

/// The request in an envelope that was made well.
pub fn decoded<M: prost::Message + Default>(envelope: &Envelope) -> M {
    M::decode(envelope.payload.as_slice()).unwrap_or_default()
}

fn ended(net: &mut Net, device: (usize, u32), stream: request::StreamId, failure: Failure) {
    let wait = net.delay();
    net.after(
        wait,
        What::StreamEnded {
            device,
            stream,
            failure,
        },
    );
}
