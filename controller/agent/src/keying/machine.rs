//! The state machine of one host: an exchange a member at most in each direction, timers, and what follows from both.

use super::exchange::{Half, Initiated};
use super::liveness::Due;
use super::message::{Kind, LEN, Message, Unauthenticated};
use super::peer::{Answered, Current, Peer, Pending, RATE, Repeat};
use super::secrets::{Ephemeral, PairSecret, Roles};
use super::spis::Spis;
use super::{Action, Event, Fresh, KeyAgreement, Known, Method, Moment, NewKeys, NotNow, View, Whereabouts};
use crate::config::Cipher;
use kith_esp::{Limits, Millis, SaKeys, Spi};
use kith_pipeline::host::tables::MemberIndex;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// An exchange without answer is given up after so long.
const GIVE_UP: u64 = 20_000;
/// The responder of the last exchange rekeys itself if the initiator has not after so long.
const BACKUP: u64 = 5_000;
/// How often a response is repeated at most.
const RESPONSE_RATE: u64 = 100;
/// Inbound keys kept a member; the oldest go first.
const MAX_INBOUND: usize = 8;

/// Fills a slice with randomness.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// What an [`Agreement`] starts with.
pub struct Setup {
    /// Our virtual address.
    pub own: Ipv4Addr,
    /// Where we are reached, if that is known already.
    pub location: Option<Whereabouts>,
    /// What the keys are for.
    pub cipher: Cipher,
    /// How long they live.
    pub limits: Limits,
    /// Places for inbound keys at the receiver.
    pub spis: Spis,
    /// Fills a slice with randomness fit for keys.
    pub entropy: Entropy,
}

/// Pre-shared-key agreement with all members.
pub struct Agreement {
    pub(super) own: Ipv4Addr,
    location: Option<Whereabouts>,
    cipher: Cipher,
    limits: Limits,
    pub(super) spis: Spis,
    entropy: Entropy,
    /// By their index; a place may be vacant.
    pub(super) peers: Vec<Option<Peer>>,
    pub(super) actions: VecDeque<Action>,
}

impl Agreement {
    /// Begins with no keys at all.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            own: setup.own,
            location: setup.location,
            cipher: setup.cipher,
            limits: setup.limits,
            spis: setup.spis,
            entropy: setup.entropy,
            peers: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    fn send(&mut self, index: MemberIndex, message: &[u8; LEN]) {
        self.actions
            .push_back(Action::Send(index, Method::Ticket, message.to_vec()));
    }

    fn half(&mut self, timestamp: u64) -> Option<Half> {
        let mut random = [0; 32];
        (self.entropy)(&mut random);
        let mut nonce = [0; 32];
        (self.entropy)(&mut nonce);
        Some(Half {
            cipher: self.cipher,
            timestamp,
            spi: self.spis.take(&mut self.entropy)?,
            location: self.location,
            nonce,
            ephemeral: Ephemeral::new(random)?,
        })
    }

    /// Starts an exchange, unless one is under way.
    pub(super) fn begin(&mut self, now: Moment, index: MemberIndex) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        if peer.pending.is_some() {
            return;
        }
        // Grows even if the wall clock does not, or jumps back while we run.
        peer.sent_timestamp = now.wall_nanos.max(peer.sent_timestamp + 1);
        let (timestamp, roles) = (
            peer.sent_timestamp,
            Roles {
                initiator: self.own,
                responder: peer.address,
            },
        );
        let secret = peer.secret.clone();
        let Some(half) = self.half(timestamp) else { return };
        let initiated = Initiated::new(&secret, roles, half);
        self.send(index, &initiated.octets);
        if let Some(peer) = at(&mut self.peers, index) {
            peer.pending = Some(Pending {
                repeat: Repeat::new(initiated, now.millis()),
                started: now,
                secret,
            });
        }
    }

    /// As [`Agreement::begin`], for reasons that a forger could give: not too often, and not while the other side is at it.
    fn begin_provoked(&mut self, now: Moment, index: MemberIndex) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        let recent = |at: Option<Millis>| at.is_some_and(|at| now.millis().0 < at.0 + RATE);
        if recent(peer.provoked) || peer.is_being_answered(now.millis()) {
            return;
        }
        peer.provoked = Some(now.millis());
        self.begin(now, index);
    }

    fn on_initiation(&mut self, now: Moment, index: MemberIndex, message: Unauthenticated) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        let roles = Roles {
            initiator: peer.address,
            responder: self.own,
        };
        // The other side may not have heard yet that there is a newer secret.
        let mut secret = None;
        let verify = |covered: &[u8], tag: &[u8]| {
            let known = [Some(&peer.secret), peer.former.as_ref()];
            let good = |secret: &&Arc<PairSecret>| secret.verify(roles, None, covered, tag);
            secret = known.into_iter().flatten().find(good).cloned();
            secret.is_some()
        };
        let Some((message, octets)) = message.authenticate(verify) else {
            return;
        };
        let Some(secret) = secret else { return };
        let millis = now.millis();
        if let Some(answered) = &mut peer.answered
            && answered.initiation == octets
        {
            // Our response was lost, or this is a replay: the same again, which changes nothing.
            if millis.0 >= answered.sent.0 + RESPONSE_RATE {
                answered.sent = millis;
                let response = answered.response;
                self.send(index, &response);
            }
            return;
        }
        if message.timestamp <= peer.greatest {
            // A replay, or the other's clock went back over a restart: then it is silent, and we start instead.
            if peer.liveness.heard().is_none_or(|at| millis.0 >= at.0 + 3 * RATE) {
                self.begin_provoked(now, index);
            }
            return;
        }
        self.respond(now, index, roles, &secret, (&message, &octets));
    }

    fn respond(
        &mut self,
        now: Moment,
        index: MemberIndex,
        roles: Roles,
        secret: &PairSecret,
        (message, octets): (&Message, &[u8; LEN]),
    ) {
        let Some(half) = self.half(message.timestamp) else {
            return;
        };
        let (limits, millis, spi) = (self.limits, now.millis(), half.spi);
        let answer = half.answer(secret, roles, (message, octets));
        let (Some(peer), Some((response, agreed))) = (at(&mut self.peers, index), answer) else {
            self.spis.give_back(spi);
            return;
        };
        peer.greatest = message.timestamp;
        if peer.address < self.own
            && let Some(ours) = peer.pending.take()
        {
            self.spis.give_back(ours.repeat.what.spi);
        }
        let new = |spi, keys| new_keys(spi, keys, limits, millis);
        let inbound = new(spi, agreed.keys.forward);
        let outbound = new(agreed.their_spi, agreed.keys.backward);
        peer.answered = Some(Answered {
            initiation: *octets,
            response,
            sent: millis,
            spi,
            location: agreed.location,
            unconfirmed: Some(Box::new(outbound)),
        });
        self.add_inbound(millis, index, inbound);
        self.send(index, &response);
    }

    fn on_response(&mut self, now: Moment, index: MemberIndex, message: Unauthenticated) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        let roles = Roles {
            initiator: self.own,
            responder: peer.address,
        };
        let Some(Pending {
            repeat,
            started,
            secret,
        }) = &peer.pending
        else {
            return;
        };
        let Some(agreed) = repeat.what.finish(secret, roles, message) else {
            return;
        };
        let (spi, millis) = (repeat.what.spi, now.millis());
        if repeat.times == 0 {
            peer.rtt_micros = Some(now.micros.saturating_sub(started.micros));
        }
        peer.pending = None;
        let limits = self.limits;
        let new = |spi, keys| new_keys(spi, keys, limits, millis);
        let inbound = new(spi, agreed.keys.backward);
        let outbound = new(agreed.their_spi, agreed.keys.forward);
        peer.liveness.confirm(millis, spi);
        // A fresh answer to our own nonce: whoever made it is alive and there.
        peer.liveness.on_heard(millis);
        let location = agreed.location;
        self.add_inbound(millis, index, inbound);
        self.use_outbound(millis, index, Box::new(outbound), true, location);
    }

    fn add_inbound(&mut self, now: Millis, index: MemberIndex, inbound: NewKeys) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        let expires = Millis(now.0.saturating_add(self.limits.hard().age.0));
        peer.inbound.push_back((inbound.spi, expires));
        if peer.inbound.len() > MAX_INBOUND
            && let Some((oldest, _)) = peer.inbound.pop_front()
        {
            self.spis.give_back(oldest);
            self.actions.push_back(Action::RemoveInbound(oldest));
        }
        self.actions
            .push_back(Action::InstallInbound(index, Box::new(inbound)));
    }

    fn use_outbound(
        &mut self,
        now: Millis,
        index: MemberIndex,
        outbound: Box<NewKeys>,
        initiator: bool,
        location: Option<Whereabouts>,
    ) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        peer.current = Some(Current {
            spi: outbound.spi,
            since: now,
            initiator,
        });
        peer.agreements += 1;
        peer.rekey_at = None;
        peer.liveness.on_new_keys();
        if let Some(location) = location {
            self.actions.push_back(Action::Moved(index, location));
        }
        self.actions.push_back(Action::InstallOutbound(index, outbound));
        self.actions.push_back(Action::Dummy(index));
    }

    fn on_heard(&mut self, now: Moment, index: MemberIndex, spi: Spi) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        peer.liveness.on_heard_on(now.millis(), spi);
        if let Some(answered) = &mut peer.answered
            && answered.spi == spi
            && let Some(outbound) = answered.unconfirmed.take()
        {
            let location = answered.location;
            self.use_outbound(now.millis(), index, outbound, false, location);
        }
    }

    fn poll_peer(&mut self, now: Moment, index: MemberIndex) {
        let millis = now.millis();
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        if let Some(pending) = &mut peer.pending {
            if millis.0 >= pending.started.millis().0 + GIVE_UP {
                self.spis.give_back(pending.repeat.what.spi);
                peer.pending = None;
                self.actions.push_back(Action::GaveUp(index));
            } else if pending.repeat.is_due(millis) {
                let octets = pending.repeat.what.octets.to_vec();
                self.actions
                    .push_back(Action::Send(index, Method::Ticket, octets));
            }
        }
        let Due { dummy, silent } = peer.liveness.poll(millis);
        if dummy {
            self.actions.push_back(Action::Dummy(index));
        }
        while let Some(&(spi, expires)) = peer.inbound.front()
            && expires <= millis
        {
            peer.inbound.pop_front();
            self.spis.give_back(spi);
            self.actions.push_back(Action::RemoveInbound(spi));
        }
        let hard = self.limits.hard().age.0;
        if peer
            .current
            .as_ref()
            .is_some_and(|current| millis.0 >= current.since.0 + hard)
        {
            peer.current = None;
        }
        let due = peer.rekey_at.is_some_and(|at| at <= millis);
        if due {
            peer.rekey_at = None;
        }
        if silent || due {
            self.begin(now, index);
        }
    }
}

/// The member in a place.
pub(super) fn at(peers: &mut [Option<Peer>], index: MemberIndex) -> Option<&mut Peer> {
    peers.get_mut(index.0 as usize)?.as_mut()
}

fn new_keys(spi: Spi, keys: SaKeys, limits: Limits, since: Millis) -> NewKeys {
    NewKeys {
        spi,
        keys,
        limits,
        since,
    }
}

impl KeyAgreement for Agreement {
    fn add(&mut self, _: Moment, index: MemberIndex, known: Known) {
        self.enter(index, known.address, known.secret);
    }

    fn remove(&mut self, _: Moment, index: MemberIndex) {
        self.strike(index);
    }

    fn renew(
        &mut self,
        now: Moment,
        index: MemberIndex,
        (secret, _): (Arc<PairSecret>, Option<Vec<u8>>),
        use_it: bool,
    ) {
        self.replace(now, index, secret, use_it);
    }

    fn readdress(&mut self, own: Ipv4Addr, _: &str) {
        self.own = own;
    }

    fn receive(&mut self, now: Moment, method: Method, peer: MemberIndex, data: &[u8]) {
        let Some(message) = Message::parse(data).filter(|_| method == Method::Ticket) else {
            return;
        };
        match message.kind() {
            Kind::Initiation => self.on_initiation(now, peer, message),
            Kind::Response => self.on_response(now, peer, message),
        }
    }

    fn refresh(&mut self, now: Moment, index: MemberIndex, what: Fresh) -> Result<(), NotNow> {
        let peer = at(&mut self.peers, index);
        if peer.is_none_or(|peer| peer.current.is_none()) {
            return Err(NotNow::NoKeys);
        }
        match what {
            Fresh::Pair => {
                self.begin(now, index);
                Ok(())
            }
            Fresh::Ike => Err(NotNow::Method(Method::Ticket)),
        }
    }

    fn event(&mut self, now: Moment, index: MemberIndex, event: Event) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        match event {
            // New keys are on their way to whoever asks, or to the member.
            Event::KeysNeeded if peer.is_being_answered(now.millis()) || peer.is_fresh(now.millis()) => {}
            Event::KeysNeeded => self.begin(now, index),
            Event::Stale => self.begin_provoked(now, index),
            Event::Heard(spi) => self.on_heard(now, index, spi),
            Event::Activity(activity) => peer.liveness.note(now.millis(), activity),
            Event::RekeyDue => match &peer.current {
                Some(current) if !current.initiator => {
                    peer.rekey_at.get_or_insert(Millis(now.millis().0 + BACKUP));
                }
                _ => self.begin(now, index),
            },
        }
    }

    fn moved(&mut self, now: Moment, own: Option<Whereabouts>) {
        if self.location == own {
            return;
        }
        self.location = own;
        for index in (0u32..self.peers.len() as u32).map(MemberIndex) {
            let started = self.abandon(index);
            let known = at(&mut self.peers, index).is_some_and(|peer| peer.current.is_some());
            // Only who has keys with us, or was being asked for some, needs to know.
            if started || known {
                self.begin(now, index);
            }
        }
    }

    fn way_open(&mut self, now: Moment) {
        let peers = self.peers.iter_mut().flatten();
        for pending in peers.filter_map(|peer| peer.pending.as_mut()) {
            pending.repeat.next = now.millis();
        }
    }

    fn poll(&mut self, now: Moment) {
        for index in (0u32..self.peers.len() as u32).map(MemberIndex) {
            self.poll_peer(now, index);
        }
    }

    fn deadline(&self) -> Option<Millis> {
        self.peers.iter().flatten().filter_map(Peer::deadline).min()
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn view(&self, index: MemberIndex) -> View {
        let peer = self.peers.get(index.0 as usize).and_then(Option::as_ref);
        peer.map_or_else(View::default, |peer| View {
            outbound: peer.current.as_ref().map(|current| (current.spi, current.since)),
            inbound: peer.inbound.back().map(|(spi, _)| *spi),
            method: peer.current.as_ref().map(|_| Method::Ticket),
            tunnel: None,
            agreeing: peer.pending.is_some(),
            agreements: peer.agreements,
            rtt_micros: peer.rtt_micros,
            heard: peer.liveness.heard(),
        })
    }
}
