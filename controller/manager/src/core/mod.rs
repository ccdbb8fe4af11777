//! The manager's core: all its decisions, and no socket, clock or random number of its own.
//!
//! Problem: what the manager decides must be tried in thousands of bad networks and crashes a minute, and must hold when requests come at once,
//! twice, late, altered or from nobody. Idea: a function of time and input; the host does the I/O and gives back what became of it.
//!
//! ```text
//!  members, operators, tunnel, store ──► input(now, Input) ──► State ──► poll() ──► Output ──► store, members, operators, tunnel
//!                                        tick(now) when deadline() has come
//!
//!  registration   register ► mail ► confirm         figure 12        registration.rs, confirmation.rs
//!  join           init ► join ► refresh, move       figures 13, 21   init.rs, directors.rs, join.rs, location.rs
//!  names          locate ► ticket for both          figures 15, 18   locate.rs
//!  changes        relations ► push ► watch          003 figure 2     relations.rs, push.rs, watch.rs
//!  end            leave, silence, revocation        figure 14        leave.rs, heartbeat.rs
//! ```
//!
//! Cost: a call that changes nothing takes microseconds; one that does takes the same and one transaction. Work per change is proportional to
//! those whom it concerns.

mod attendance;
mod authentic;
pub mod command;
mod confirmation;
mod counts;
mod directors;
mod heartbeat;
pub mod ids;
mod init;
pub mod input;
pub(crate) mod join;
mod leave;
pub(crate) mod limits;
mod locate;
mod location;
mod mail;
mod outbox;
pub mod output;
mod push;
mod query;
mod registration;
mod relations;
mod settings;
pub mod state;
mod watch;

#[cfg(test)]
mod tests;

pub use attendance::DIRECTOR_ROLE;
pub use command::{Actor, AdminError, AdminReply, Command, InitialPassword, NoRole, Role};
pub use counts::Counts;
pub use ids::{CommitId, CommunityIndex, MemberId, RunId, StreamId, Time, Token};
pub use input::{Call, Input};
pub use leave::Ended;
pub use limits::Rate;
pub use locate::{LocateRefusal, Target};
pub use output::{Answer, ChannelOp, DropCause, GrantOp, Install, Mail, Output, StreamEnd};
pub use relations::Relations;
pub use settings::{CompilePolicy, Limits, RunCommand, Settings, Times};
pub use state::{LoadError, Place, State};

use authentic::Denial;
use kith_protocol::admin;
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::Envelope;
use kith_protocol::secret::Secret32;
use kith_store::{Entry, Revision};
use limits::Sources;
pub(crate) use outbox::store_refusal;
use outbox::{Held, Outbox, Released, stream_failed};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Random octets, good for keys. The host gives the system's, tests give what they like.
pub struct Entropy(Box<Fill>);

type Fill = dyn FnMut(&mut [u8]) + Send;

impl Entropy {
    /// Of a function that fills.
    pub fn new(fill: impl FnMut(&mut [u8]) + Send + 'static) -> Self {
        Self(Box::new(fill))
    }
}

/// The manager's core.
pub struct Manager {
    settings: Settings,
    state: State,
    entropy: Entropy,
    outbox: Outbox,
    agenda: BinaryHeap<Reverse<(u64, MemberId)>>,
    sources: Sources,
    mails: mail::Mails,
    attendance: attendance::Attendance,
    last_ticket: u64,
    counts: Counts,
    poisoned: Option<String>,
    /// When this process read the store.
    started: Time,
    /// A public key, for requests of those that have none.
    nobody: [u8; 32],
}

impl Manager {
    /// Of all entries of the store, as of this revision. What is there is put out for directors and the tunnel's hub.
    pub fn load(
        settings: Settings,
        entries: &[Entry],
        revision: Revision,
        now: Time,
        mut entropy: Entropy,
    ) -> Result<Self, LoadError> {
        let state = State::load(entries, revision, now)?;
        let mut key = [0; 8];
        (entropy.0)(&mut key);
        let mut manager = Self {
            settings,
            state,
            entropy,
            outbox: Outbox::default(),
            agenda: BinaryHeap::new(),
            sources: Sources::new(u64::from_be_bytes(key)),
            mails: mail::Mails::default(),
            attendance: attendance::Attendance::default(),
            last_ticket: 0,
            counts: Counts::default(),
            poisoned: None,
            started: now,
            nobody: DeviceIdentity::from_seed(Secret32::new([0; 32])).public(),
        };
        manager.sync_on_start();
        manager.expect_directors(now);
        manager.close_batch();
        Ok(manager)
    }

    /// Something happened.
    pub fn input(&mut self, now: Time, input: Input) {
        if self.poisoned.is_some() {
            return self.refuse_all(input);
        }
        match input {
            Input::Call {
                token,
                from,
                call,
                envelope,
            } => {
                self.outbox.asked_by(self.state.id_named(&envelope.fqdn));
                self.call(now, token, from, call, &envelope);
            }
            Input::Watch {
                stream,
                from,
                envelope,
            } => {
                self.outbox.asked_by(self.state.id_named(&envelope.fqdn));
                self.watch(now, stream, from, &envelope);
            }
            Input::StreamClosed { stream } => drop(self.state.detach_stream(stream)),
            Input::StreamFull { stream } => self.stream_full(stream),
            Input::Admin {
                token,
                actor,
                command,
            } => self.command(now, token, &actor, command),
            Input::Heartbeat {
                member,
                run_id,
                sent,
                received,
                ..
            } => self.heartbeat(now, member, run_id, (sent, received)),
            Input::DirectorHealth {
                name,
                healthy,
                sessions,
                udp,
                tcp,
            } => self.director_health(now, &name, healthy, sessions, (udp, tcp)),
            Input::DirectorPlace { name, place, room } => self.director_place(now, &name, place, room),
            Input::DirectorRefused { name, actor, why } => self.director_refused(now, &name, actor, why),
            Input::Mail { id, result } => self.mailed(now, id, result),
            Input::Committed { id, revision } => self.committed(id, revision),
            Input::CommitFailed { why, .. } => self.poison(&why),
        }
        self.close_batch();
    }

    /// Time has passed: call when [`Self::deadline`] has come, or more often.
    pub fn tick(&mut self, now: Time) {
        if self.poisoned.is_none() {
            self.mails_overdue(now);
            self.agenda_due(now);
            self.directors_due(now);
            self.close_batch();
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let agenda = self.agenda.peek().map(|Reverse((at, _))| Time(*at));
        let others = [self.mails.deadline(), self.attendance.due()];
        agenda.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// What is to be done next; none until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// Why this core takes nothing more; the host loads another from the store.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// All that it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the host decided.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Requests by kind and outcome, and what was pushed.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Transactions that the store has not answered yet.
    #[must_use]
    pub fn commits_under_way(&self) -> usize {
        self.outbox.commits_under_way()
    }

    /// The joined member that has this virtual address in the community.
    #[must_use]
    pub fn member_at(&self, community: &str, address: Ipv4Addr) -> Option<MemberId> {
        let owner = self.state.community_named(community)?.owner_of(address)?;
        self.state.session(owner).map(|_| owner)
    }
}

/// For the operators' half: a command changes state through these and says what happened.
impl Manager {
    /// To change what the manager knows. Every change is part of the transaction of the input under way.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Other addresses under which members reach this manager.
    pub fn set_managers(&mut self, managers: Vec<kith_protocol::member::ManagerAddress>) {
        self.settings.managers = managers;
        self.settings.managers_version += 1;
    }

    /// Random octets.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        (self.entropy.0)(&mut octets);
        octets
    }

    /// A number for a new member.
    pub fn new_member_id(&mut self) -> MemberId {
        loop {
            let id = MemberId(u64::from_be_bytes(self.random()));
            if id.0 != 0 && self.state.member(id).is_none() {
                return id;
            }
        }
    }

    /// Something to be done once the change under way is on disk.
    pub fn emit(&mut self, output: Output) {
        self.outbox.hold(Held::Output(output));
    }

    /// Tells operators who watch.
    pub fn event(
        &mut self,
        now: Time,
        kind: &str,
        community: CommunityIndex,
        subject: &str,
        detail: impl Into<String>,
    ) {
        let event = admin::Event {
            at_ms: now.0,
            kind: kind.to_owned(),
            community: self.state.domain(community).to_owned(),
            subject: subject.to_owned(),
            detail: detail.into(),
            revision: 0,
        };
        self.emit(Output::Event(event));
    }
}

impl Manager {
    fn call(&mut self, now: Time, token: Token, from: SocketAddrV4, call: Call, envelope: &Envelope) {
        let answered = match call {
            Call::Register => self.register(now, token, from, envelope),
            Call::Confirm => self.confirm(now, from, envelope).map(Some),
            Call::Init => self.init(now, from, envelope).map(Some),
            Call::Join => self.join(now, from, envelope).map(Some),
            Call::Move => self.moved(now, from, envelope).map(Some),
            Call::Refresh => self.refresh(now, from, envelope).map(Some),
            Call::Locate => self.located(now, from, envelope).map(Some),
            Call::Query => self.query(now, from, envelope).map(Some),
            Call::Leave => self.leave(now, from, envelope).map(Some),
        };
        match answered {
            Ok(None) => {}
            Ok(Some(answer)) => self.answer(token, call, answer),
            Err(Denial::Refused(refusal)) => self.answer(token, call, Answer::Refused(refusal)),
            Err(Denial::Dropped(cause)) => {
                self.counts.call(call, cause.word());
                let answer = Answer::Dropped(cause);
                self.outbox.now(Output::Answer { token, answer });
            }
        }
    }

    fn answer(&mut self, token: Token, call: Call, answer: Answer) {
        self.counts.call(call, counts::outcome(&answer));
        self.emit(Output::Answer { token, answer });
    }

    fn command(&mut self, now: Time, token: Token, actor: &Actor, command: Command) {
        let run = self.settings.command;
        let answer = run(self, now, actor, command);
        self.emit(Output::AdminAnswer { token, answer });
    }

    fn committed(&mut self, id: CommitId, revision: Revision) {
        self.state.set_revision(revision);
        let released = self.outbox.committed(id, revision);
        released.into_iter().for_each(|released| self.release(released));
    }

    fn close_batch(&mut self) {
        let transaction = self.state.take_transaction();
        let released = self.outbox.close_batch(transaction, self.state.revision());
        released.into_iter().for_each(|released| self.release(released));
    }

    fn release(&mut self, Released { held, revision }: Released) {
        let output = match held {
            Held::Output(output) => {
                if let Output::Answer {
                    answer: Answer::Join(ack),
                    ..
                } = &output
                    && ack.revision == revision.0
                    && let Some(live) = self.state.live_mut(MemberId(ack.member_id))
                {
                    live.joined_at(revision);
                }
                output
            }
            Held::Tell(stream, member, update) => {
                let Some(live) = self.state.live_mut(member) else {
                    return;
                };
                let is_last = update.revision == revision.0;
                if live.stream != Some(stream) {
                    // What else was told of this revision, only this word would have ended.
                    if is_last && live.stream.is_some() {
                        live.told = u64::MAX;
                    }
                    return;
                }
                if is_last {
                    live.tell(revision);
                }
                Output::Push { stream, update }
            }
            Held::Push(member, update) => {
                let Some(live) = self.state.live_mut(member) else {
                    return;
                };
                if update.revision == revision.0 {
                    live.tell(revision);
                }
                let Some(stream) = live.stream else {
                    return self.counts.add("push", "no_stream");
                };
                self.counts.add("push", "sent");
                Output::Push { stream, update }
            }
        };
        self.outbox.now(output);
    }

    fn poison(&mut self, why: &str) {
        self.poisoned = Some(why.to_owned());
        self.outbox.fail(why);
        let waiting = self.mails.take_all();
        waiting.into_iter().for_each(|token| self.refuse(token));
        let streams: Vec<StreamId> = self.state.streams().map(|(stream, _)| stream).collect();
        streams
            .into_iter()
            .for_each(|stream| self.outbox.now(stream_failed(stream)));
    }

    fn refuse(&mut self, token: Token) {
        let answer = Answer::Refused(store_refusal());
        self.outbox.now(Output::Answer { token, answer });
    }

    fn refuse_all(&mut self, input: Input) {
        let why = self.poisoned.clone().unwrap_or_default();
        match input {
            Input::Call { token, .. } => self.refuse(token),
            Input::Watch { stream, .. } => self.outbox.now(stream_failed(stream)),
            Input::Admin { token, .. } => self.outbox.now(Output::AdminAnswer {
                token,
                answer: Err(AdminError::Store(why)),
            }),
            _ => {}
        }
    }
}
