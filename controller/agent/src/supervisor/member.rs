//! One membership at work: its machine, the requests and streams it wants, and the channel of orders.
//!
//! ```text
//!   gRPC tasks ──┐                                   ┌──► orders, bounded ──► adapter, control thread
//!   reports ─────┤ inbox, bounded ─► Membership ─────┼──► requests, streams (a task each)
//!   heartbeats ──┤                                   ├──► heartbeats (a task)
//!   DNS ─────────┘                                   └──► zones for DNS, state folder, log
//! ```

use super::beats::Beats;
use super::volume;
use crate::clock;
use crate::dns::zones::{Zone, Zones};
use crate::keying::Moment;
use crate::link::Link;
use crate::manager::Manager;
use crate::manager::membership::{Ending, Event, Input, Membership, Network, Output, Place, View};
use crate::manager::request::{Failure, Request, StreamId};
use crate::orders::Order;
use crate::state::State;
use kith_protocol::member::{Envelope, Peer};
use kith_protocol::names::Fqdn;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// What is told to a membership.
pub enum Message {
    /// For its machine.
    Input(Input),
    /// DNS has found a member: answered when it is in force.
    Found(Box<Peer>, oneshot::Sender<()>),
    /// The way out of this computer is another one.
    Rerouted,
    /// How is it?
    View(oneshot::Sender<View>),
}

/// Messages that may wait for a membership.
pub const INBOX: usize = 256;
/// Orders that may wait for the control thread.
pub const ORDERS: usize = 256;
/// How often octets are counted.
const VOLUME: Duration = Duration::from_secs(5);
/// Orders that found no room are tried again then.
const CONGESTED: Duration = Duration::from_millis(5);
/// The control thread takes an order within this time, or never.
const TAKEN: Duration = Duration::from_secs(2);

/// What a membership works with.
pub struct Member {
    /// Its name.
    pub fqdn: Fqdn,
    /// Its community's domain.
    pub community: String,
    /// Its machine.
    pub machine: Membership,
    /// Where its registration is kept.
    pub state: State,
    /// Its adapter.
    pub tun: String,
    /// To the control thread.
    pub orders: SyncSender<Order>,
    /// To itself.
    pub sender: mpsc::Sender<Message>,
    /// What it is told.
    pub inbox: mpsc::Receiver<Message>,
    /// What DNS knows.
    pub zones: Zones,
    /// How it is, in a word: for the service manager.
    pub news: mpsc::Sender<()>,
}

struct Driver {
    member: Member,
    backlog: VecDeque<Order>,
    links: Vec<(Manager, Arc<Link>)>,
    stream: Option<(StreamId, AbortHandle)>,
    beats: Option<Beats>,
    /// The local address that reached the manager last.
    local: Option<Ipv4Addr>,
    ending: Option<Ending>,
}

impl Member {
    /// Works until it is over; says how it ended. The orders' sender is dropped then, which ends the datapath too.
    pub async fn run(self) -> Ending {
        let mut driver = Driver {
            member: self,
            backlog: VecDeque::new(),
            links: Vec::new(),
            stream: None,
            beats: None,
            local: None,
            ending: None,
        };
        driver.run().await;
        driver.ending.unwrap_or(Ending::Left)
    }
}

fn now() -> Moment {
    Moment {
        micros: clock::micros(),
        wall_nanos: clock::wall_nanos(),
    }
}

impl Driver {
    async fn run(&mut self) {
        let mut volume = tokio::time::interval(VOLUME);
        while !self.member.machine.is_over() || !self.backlog.is_empty() {
            let due = self
                .member
                .machine
                .deadline()
                .map_or(Duration::from_secs(3_600), |deadline| {
                    Duration::from_millis(deadline.0.saturating_sub(clock::now().0))
                });
            let due = if self.backlog.is_empty() {
                due
            } else {
                due.min(CONGESTED)
            };
            tokio::select! {
                message = self.member.inbox.recv() => match message {
                    Some(message) => self.told(message),
                    // It holds a sender itself.
                    None => return,
                },
                () = tokio::time::sleep(due) => self.member.machine.tick(now()),
                _ = volume.tick() => {
                    if let Some((sent, received)) = volume::of(&self.member.tun) {
                        self.member.machine.input(now(), Input::Volume { sent, received });
                    }
                }
            }
            self.obey();
        }
        self.member.zones.remove(self.member.fqdn.as_str());
    }

    fn told(&mut self, message: Message) {
        match message {
            Message::Input(Input::Network(network)) => self.attached(network),
            Message::Input(input) => self.member.machine.input(now(), input),
            Message::Rerouted => self.order(Order::Roamed),
            Message::Found(peer, taken) => {
                self.member.machine.input(now(), Input::Found(peer));
                self.obey();
                let (done, barrier) = sync_channel(1);
                self.order(Order::Barrier(done));
                tokio::task::spawn_blocking(move || {
                    // If not in time, the answer comes all the same: the first packet waits for keys then.
                    let _in_time = barrier.recv_timeout(TAKEN);
                    let _asker_gone = taken.send(());
                });
            }
            Message::View(answer) => {
                let _asker_gone = answer.send(self.member.machine.view());
            }
        }
    }

    /// Connections from an address that is ours no more are dead, and would be found so only after a while.
    fn attached(&mut self, network: Option<Network>) {
        let local = network.as_ref().map(|network| network.local);
        if local.is_some() && self.local.is_some() && local != self.local {
            self.order(Order::Roamed);
            self.links.clear();
            if let Some((stream, task)) = self.stream.take() {
                task.abort();
                let failure = Failure::Unreachable("this computer's address has changed".into());
                self.member
                    .machine
                    .input(now(), Input::StreamEnded { stream, failure });
            }
        }
        self.local = local.or(self.local);
        self.member.machine.input(now(), Input::Network(network));
    }

    /// Does what the machine wants, until it wants nothing more.
    fn obey(&mut self) {
        self.push_orders();
        while let Some(output) = self.member.machine.poll() {
            match output {
                Output::Request(request) => self.request(*request),
                Output::Watch {
                    stream,
                    manager,
                    envelope,
                } => self.watch(stream, &manager, envelope),
                Output::Unwatch(stream) => {
                    if let Some((_, task)) = self.stream.take_if(|(open, _)| *open == stream) {
                        task.abort();
                    }
                }
                Output::Order(order) => self.order(order),
                Output::Heartbeat(heartbeat) => {
                    if let Some(beats) = &self.beats {
                        beats.send(heartbeat);
                    }
                }
                Output::Event(event) => self.event(event),
                Output::Managers { managers, version } => {
                    let kept = self
                        .member
                        .state
                        .keep_managers(&self.member.fqdn, managers, version);
                    self.complain(kept);
                }
            }
        }
    }

    fn complain(&self, kept: Result<(), crate::state::StateError>) {
        if let Err(error) = kept {
            tracing::error!(member = %self.member.fqdn, %error, "cannot keep what the manager said");
        }
    }

    /// Orders stay in order, whether there is room or not.
    fn order(&mut self, order: Order) {
        self.backlog.push_back(order);
        self.push_orders();
    }

    fn push_orders(&mut self) {
        while let Some(order) = self.backlog.pop_front() {
            match self.member.orders.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => return self.backlog.push_front(order),
                Err(TrySendError::Disconnected(_)) => {
                    self.backlog.clear();
                    if self.ending.is_none() {
                        tracing::error!(member = %self.member.fqdn, "the datapath has ended: leaving");
                        self.ending = Some(Ending::Left);
                        self.member.machine.input(now(), Input::Leave);
                    }
                }
            }
        }
    }

    fn link(&mut self, manager: &Manager) -> Arc<Link> {
        if let Some((_, link)) = self.links.iter().find(|(known, _)| known == manager) {
            return link.clone();
        }
        let link = Arc::new(Link::new(manager));
        // Only the one in use and the one before it keep a connection.
        self.links.truncate(1);
        self.links.insert(0, (manager.clone(), link.clone()));
        link
    }

    fn request(&mut self, request: Request) {
        let (link, sender) = (self.link(&request.manager), self.member.sender.clone());
        tokio::spawn(async move {
            let Request {
                id,
                call,
                envelope,
                patience,
                ..
            } = request;
            let result = link.call(call, envelope, patience).await;
            let _over = sender.send(Message::Input(Input::Answer { id, result })).await;
        });
    }

    fn watch(&mut self, stream: StreamId, manager: &Manager, envelope: Envelope) {
        let (link, sender) = (self.link(manager), self.member.sender.clone());
        let task = tokio::spawn(async move {
            let failure = changes(&link, envelope, stream, &sender).await;
            let _over = sender
                .send(Message::Input(Input::StreamEnded { stream, failure }))
                .await;
        });
        if let Some((_, before)) = self.stream.replace((stream, task.abort_handle())) {
            before.abort();
        }
    }

    fn event(&mut self, event: Event) {
        let member = self.member.fqdn.as_str();
        match event {
            Event::Joined(place) => {
                tracing::info!(member, address = %place.address, adapter = self.member.tun, "joined");
                self.joined(&place);
            }
            Event::Trouble { why, retry_ms } => {
                tracing::warn!(member, retry_ms, "{why}");
            }
            Event::ManagerSilent(next) => tracing::warn!(member, %next, "the manager is silent"),
            Event::Moved => tracing::info!(member, "the manager knows where we are reached now"),
            Event::NoPeer(address, why) => tracing::debug!(member, %address, %why, "no such member"),
            Event::Over(ending) => {
                match &ending {
                    Ending::Left => tracing::info!(member, "left"),
                    Ending::Refused(why) => tracing::error!(member, "{why}"),
                }
                self.beats = None;
                if let Some((_, task)) = self.stream.take() {
                    task.abort();
                }
                self.ending.get_or_insert(ending);
            }
        }
        // Somebody reads it, or one more is no news.
        let _full = self.member.news.try_send(());
    }

    fn joined(&mut self, place: &Place) {
        let same = self
            .beats
            .as_ref()
            .is_some_and(|beats| beats.is_at(place.address, place.manager));
        if !same {
            self.beats = Some(Beats::start(
                place.address,
                place.manager,
                self.member.sender.clone(),
            ));
        }
        self.member.zones.set(Zone {
            domain: self.member.community.clone(),
            fqdn: self.member.fqdn.as_str().into(),
            adapter: self.member.tun.clone(),
            own: place.address,
            manager: place.manager,
            networks: place.networks.clone(),
            member: self.member.sender.clone(),
        });
    }
}

/// Passes changes on, until the stream ends.
async fn changes(
    link: &Link,
    envelope: Envelope,
    stream: StreamId,
    sender: &mpsc::Sender<Message>,
) -> Failure {
    let mut updates = match link.watch(envelope).await {
        Ok(updates) => updates,
        Err(failure) => return failure,
    };
    loop {
        match updates.message().await {
            Ok(Some(update)) => {
                let update = Box::new(update);
                if sender
                    .send(Message::Input(Input::Update { stream, update }))
                    .await
                    .is_err()
                {
                    return Failure::TimedOut;
                }
            }
            Ok(None) => return Failure::Unreachable("the manager closed the stream".into()),
            Err(status) => return crate::link::failure(&status),
        }
    }
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;
