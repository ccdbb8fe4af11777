//! Members agree on keys by IKEv2 (RFC 7296) inside the tunnel, on virtual UDP port 500, in clear.
//!
//! **Problem.** As for [`super`]; and a member that does not know us yet must be able to let us in from our first message, without asking the
//! manager, and without keeping anything of who only pretends.
//!
//! **Idea.** `kith-ike` does IKE. What is left is who may come ([`host`]), what its events mean for keys and members ([`events`]), and
//! when to begin, here. The pre-shared key is the pair's secret, which is in the ticket too.
//!
//! ```text
//!  initiator                                                       responder
//!   ├─ IKE_SA_INIT: KITH_TICKET ──────────────────────────────────► a member, or a good ticket? keeps a half-open handshake
//!   │◄─ IKE_SA_INIT (◄─► IKE_INTERMEDIATE: ML-KEM-768) ────────────┤   answered where the ticket says that its bearer is
//!   ├─ IKE_AUTH: who we are, proof ───────────────────────────────► names and address those of the ticket? proof good?
//!   │◄─ IKE_AUTH ──────────────────────────────────────────────────┤ now a stranger is a member, now the ticket counts as used
//!   ├─ ESP dummy ─────────────────────────────────────────────────► now it seals too
//! ```
//!
//! - **The responder seals only when it has heard the initiator** on the new keys, so that no packet of its overtakes its answer.
//! - **Rekeying**: the end that made the keys in use replaces them at their soft limits, the other one 5 s later.
//! - **A restart**: packets under keys that are not here make the one that forgot begin anew; its peer takes it for the only one. Where keys are
//!   here, such packets only make us ask: anyone can forge them.
//! - **Silence** of 15 s after data makes us ask; no answer, and we begin anew.
//!
//! **Cost.** A handshake of two round trips, three with ML-KEM; one round trip per rekeying.

mod events;
mod host;
mod peer;

use super::peer::{DEAD, PASSIVE_KEEP_ALIVE, RATE};
use super::{
    Action, Activity, Door, Entropy, Event, Fresh, KeyAgreement, Known, Method, Moment, NotNow, PairSecret,
    Spis, Tunnel, View, Whereabouts,
};
use crate::config::Cipher;
use events::Work;
use host::{Doorkeeper, Member, identity};
use kith_esp::{Limits, Millis, Spi};
use kith_ike::codec::{Body, Exchange, Notify, NotifyKind, Payload, Ticket};
use kith_ike::suite::{Additional, IkePreferences};
use kith_ike::{AssociationId, ChildId, Config, Connection, Drop, Endpoint, Nat, Role, Timing};
use kith_pipeline::host::tables::MemberIndex;
use peer::{Bond, Current, Pair, Peer};
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A handshake is given up after so long, and a request without answer a little later.
const HANDSHAKE: u64 = 20_000;
/// An IKE SA is replaced after so long, and ends after so long.
const IKE_SOFT: u64 = 1_800_000;
const IKE_HARD: u64 = 2_400_000;
/// The end that did not make the keys in use replaces them if the other has not after so long.
const BACKUP: u64 = 5_000;
/// Packets are sealed so long after the handshake even if nothing was heard on its keys.
const HELD: u64 = 2_000;
/// Keys of an association that gave way to another open packets for so long.
const LINGER: u64 = 5_000;
/// Confirming dummies sent at most.
const CONFIRMATIONS: u32 = 6;

/// What an [`Agreement`] starts with.
pub struct Setup {
    /// Our virtual address and full name.
    pub own: (Ipv4Addr, String),
    /// Where we are reached, if that is known already.
    pub location: Option<Whereabouts>,
    /// What the keys are for, rather than the other one.
    pub cipher: Cipher,
    /// How long they live.
    pub limits: Limits,
    /// Places for inbound keys at the receiver.
    pub spis: Spis,
    /// Fills a slice with randomness fit for keys.
    pub entropy: Entropy,
    /// What opens tickets.
    pub door: Door,
}

/// Agreement by IKE with all members.
pub struct Agreement {
    endpoint: Endpoint<Doorkeeper>,
    limits: Limits,
    peers: Vec<Option<Peer>>,
    bonds: HashMap<AssociationId, Bond>,
    pairs: HashMap<ChildId, Pair>,
    /// Keys that open packets under way until then, though nobody seals with them any more.
    lingering: VecDeque<(MemberIndex, Spi, Millis)>,
    work: VecDeque<Work>,
    actions: VecDeque<Action>,
    now: Moment,
}

impl Agreement {
    /// Begins with no keys and nobody known.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let ike = IkePreferences {
            additional: Additional::Offer,
            ..IkePreferences::default()
        };
        let mut config = Config::new(ike, Nat::Never);
        config.timing = Timing {
            repeat_first: 250,
            repeat_most: 4_000,
            handshake: HANDSHAKE,
            // Whoever is silent is asked when there is something to send it, not before.
            liveness: u64::from(u32::MAX),
            ike_soft: IKE_SOFT,
            ike_hard: IKE_HARD,
            ..Timing::default()
        };
        let now = Moment {
            micros: 0,
            wall_nanos: 0,
        };
        let (own, name) = setup.own;
        let host = Doorkeeper {
            own,
            name,
            cipher: setup.cipher,
            entropy: setup.entropy,
            spis: setup.spis,
            door: setup.door,
            now,
            members: HashMap::new(),
            knocking: HashMap::new(),
            admitted: None,
            refusals: Vec::new(),
        };
        let mut this = Self {
            endpoint: Endpoint::new(config, host),
            limits: setup.limits,
            peers: Vec::new(),
            bonds: HashMap::new(),
            pairs: HashMap::new(),
            lingering: VecDeque::new(),
            work: VecDeque::new(),
            actions: VecDeque::new(),
            now,
        };
        this.moved(now, setup.location);
        this
    }

    /// What opens tickets.
    pub fn door(&mut self) -> &mut Door {
        &mut self.endpoint.host_mut().door
    }

    /// Datagrams that led to nothing, by name; names without any are left out.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counters = self.endpoint.counters();
        let all = Drop::ALL.into_iter().map(|why| (why.name(), counters.get(why)));
        all.filter(|(_, count)| *count > 0)
    }

    /// A message from a virtual address that is no member's.
    pub fn introduce(&mut self, now: Moment, source: Ipv4Addr, data: &[u8]) {
        let at = self.at(now);
        match first(data) {
            // Later messages of a handshake name an SPI of ours; others are counted.
            None => {}
            Some(ticket) => {
                let until = at.millis.saturating_add(HANDSHAKE);
                let host = self.endpoint.host_mut();
                if let Err(name) = host.knock(source, ticket.as_ref(), until) {
                    return self.actions.push_back(Action::Refused(name));
                }
            }
        }
        self.datagram(at, source, data);
    }

    /// The other method's keys are used from now on. The peer is told, so that it does not wait for anything here.
    pub(super) fn relinquish(&mut self, index: MemberIndex) {
        let at = self.at(self.now);
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        (peer.current, peer.confirm, peer.rekey_at) = (None, None, None);
        (peer.unanswered_since, peer.owed_since, peer.data_sent) = (None, None, None);
        if let Some(id) = peer.association {
            self.endpoint.close(at, id);
        }
        self.drain();
    }

    fn tunnel(&self, id: AssociationId, view: &kith_ike::View) -> Option<Tunnel> {
        let (up, since) = view.since?;
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.association == id)
            .collect();
        pairs.sort_by_key(|(child, _)| **child);
        let of_peer = |peer: &&Peer| peer.association == Some(id);
        let peer = self.peers.iter().flatten().find(of_peer);
        let current = peer
            .and_then(|peer| peer.current.as_ref())
            .map(|current| current.child);
        let told = |(child, pair): (&ChildId, &Pair)| super::Pair {
            spis: pair.spis,
            role: pair.role,
            suite: pair.suite,
            since: pair.since,
            sending: current == Some(*child),
        };
        Some(Tunnel {
            role: view.role,
            up: Millis(up),
            suite: view.suite?,
            ike: [since, since + IKE_SOFT, since + IKE_HARD].map(Millis),
            pairs: pairs.into_iter().map(told).collect(),
            limits: [self.limits.soft(), self.limits.hard()],
        })
    }

    /// Its own clock, and what everything inside takes for now.
    fn at(&mut self, now: Moment) -> kith_ike::Moment {
        self.now = now;
        self.endpoint.host_mut().now = now;
        kith_ike::Moment {
            millis: now.millis().0,
            unix_secs: now.wall_nanos / 1_000_000_000,
        }
    }

    fn datagram(&mut self, at: kith_ike::Moment, source: Ipv4Addr, data: &[u8]) {
        let path = self.endpoint.host().path(source);
        self.endpoint.datagram(at, path, data);
        self.drain();
    }

    /// Sees to it that there will be keys, unless that is under way.
    fn connect(&mut self, index: MemberIndex) {
        let at = self.at(self.now);
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if let Some(view) = peer.association.and_then(|id| self.endpoint.view(id)) {
            if let Some(id) = peer.association.filter(|_| view.up) {
                self.endpoint.ensure_child(at, id);
                self.drain();
            }
            return;
        }
        let ticket = std::mem::take(&mut peer.ticket);
        let connection = self.connection(index, &ticket);
        if let Some(peer) = self.peer(index) {
            peer.ticket = ticket;
        }
        let Some((address, connection)) = connection else {
            return;
        };
        let id = self.endpoint.connect(at, connection);
        self.bonds.entry(id).or_insert(Bond {
            index: Some(index),
            address,
            up_at: None,
        });
        if let Some(peer) = self.peer(index) {
            peer.association = Some(id);
        }
        self.drain();
    }

    /// Begins anew what is under way and not up yet.
    fn connect_anew(&mut self, index: MemberIndex) {
        let at = self.at(self.now);
        let under_way = self.association(index).filter(|id| !self.is_up(*id));
        if let Some(id) = under_way {
            if let Some(peer) = self.peer(index) {
                peer.association = None;
            }
            self.bonds.remove(&id);
            self.endpoint.forget(at, id);
            self.drain();
            self.connect(index);
        }
    }

    /// With whom, and by which ticket.
    fn connection(&self, index: MemberIndex, sealed: &[u8]) -> Option<(Ipv4Addr, Connection)> {
        let host = self.endpoint.host();
        let (address, member) = host.members.iter().find(|(_, member)| member.index == index)?;
        let name = |name: &str, address: &Ipv4Addr| match name {
            "" => address.to_string(),
            name => name.to_owned(),
        };
        let ticket = (!sealed.is_empty()).then(|| Ticket {
            my_name: name(&host.name, &host.own),
            time_ms: host.door.manager_ms(self.now),
            my_virtual: host.own,
            peer_virtual: *address,
            peer_name: name(&member.name, address),
            sealed: sealed.to_vec(),
        });
        let connection = Connection {
            path: host.path(*address),
            peer: identity(&member.name, *address),
            terms: host.terms(*address, member.secret.expose()),
            ticket,
        };
        Some((*address, connection))
    }

    fn rekey(&mut self, index: MemberIndex) {
        let at = self.at(self.now);
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        peer.rekey_at = None;
        match &peer.current {
            Some(current) => {
                peer.replacing = true;
                self.endpoint.rekey_child(at, current.association, current.child);
                self.drain();
            }
            None => self.connect(index),
        }
    }

    fn probe(&mut self, index: MemberIndex) {
        let at = self.at(self.now);
        if let Some(id) = self.association(index) {
            self.endpoint.probe(at, id);
            self.drain();
        }
    }

    /// Packets wait for keys.
    fn on_needed(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        let recent = |current: &Current| now.0 < current.since.0 + RATE;
        let failed = peer.failed.is_some_and(|at| now.0 < at.0 + RATE);
        if failed || peer.held.is_some() || peer.current.as_ref().is_some_and(recent) {
            // They are on their way; or were refused just now, and what waits for them asks again.
        } else if peer.current.is_some() {
            self.rekey(index);
        } else {
            self.connect(index);
        }
    }

    /// Packets came under keys that are not here. Anyone can forge them: what there is stays, and we do not ask often.
    fn on_stale(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if peer.provoked.is_some_and(|at| now.0 < at.0 + RATE) {
            return;
        }
        peer.provoked = Some(now);
        match self.association(index) {
            Some(id) if self.is_up(id) => self.probe(index),
            Some(_) => {}
            None => self.connect(index),
        }
    }

    fn on_activity(&mut self, now: Millis, index: MemberIndex, activity: Activity) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if activity.heard {
            (peer.heard, peer.unanswered_since) = (Some(now), None);
        } else if activity.data_sent {
            peer.unanswered_since.get_or_insert(now);
        }
        if activity.sent {
            peer.owed_since = None;
        } else if activity.data_heard {
            peer.owed_since.get_or_insert(now);
        }
        if activity.data_sent {
            peer.data_sent = Some(now);
            // Sealed with keys of an association that is over.
            if peer.association.is_none() && peer.provoked.is_none_or(|at| now.0 >= at.0 + RATE) {
                peer.provoked = Some(now);
                self.connect(index);
            }
        }
    }

    fn poll_peer(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if let Some(confirm) = &mut peer.confirm
            && confirm.is_due(now)
        {
            self.actions.push_back(Action::Dummy(index));
            if confirm.times >= CONFIRMATIONS {
                peer.confirm = None;
            }
        }
        if peer
            .owed_since
            .is_some_and(|at| now.0 >= at.0 + PASSIVE_KEEP_ALIVE)
        {
            peer.owed_since = None;
            self.actions.push_back(Action::Dummy(index));
        }
        if peer.current.as_ref().is_some_and(|current| current.ends <= now) {
            peer.current = None;
        }
        let due = peer.rekey_at.is_some_and(|at| at <= now);
        let dead = peer.unanswered_since.is_some_and(|at| now.0 >= at.0 + DEAD);
        if dead {
            peer.unanswered_since = Some(now);
        }
        if let Some((child, since)) = peer.held
            && now.0 >= since.0 + HELD
        {
            self.use_pair(child);
        }
        if due {
            self.rekey(index);
        }
        if dead {
            self.probe(index);
        }
    }

    /// Keys at the end of their life are closed: by the end that made them, or else by the other one.
    fn close_old(&mut self, at: kith_ike::Moment) {
        let old: Vec<_> = self
            .pairs
            .iter_mut()
            .filter(|(_, pair)| pair.ends.0 <= at.millis)
            .map(|(child, pair)| {
                pair.ends = Millis(at.millis + HANDSHAKE);
                (pair.association, *child)
            })
            .collect();
        for (association, child) in old {
            self.endpoint.close_child(at, association, child);
        }
    }

    fn peer(&mut self, index: MemberIndex) -> Option<&mut Peer> {
        peer(&mut self.peers, index)
    }

    fn association(&self, index: MemberIndex) -> Option<AssociationId> {
        self.peers.get(index.0 as usize)?.as_ref()?.association
    }

    fn is_up(&self, id: AssociationId) -> bool {
        self.bonds.get(&id).is_some_and(|bond| bond.up_at.is_some())
    }

    fn indices(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0u32..self.peers.len() as u32).map(MemberIndex)
    }
}

/// The member in a place.
fn peer(peers: &mut [Option<Peer>], index: MemberIndex) -> Option<&mut Peer> {
    peers.get_mut(index.0 as usize)?.as_mut()
}

/// Is it the first message of a handshake? Then the ticket in it.
fn first(data: &[u8]) -> Option<Option<Ticket>> {
    let datagram = kith_ike::codec::parse(data).ok()?;
    let header = datagram.header;
    let Body::Clear(payloads) = datagram.body else {
        return None;
    };
    if header.exchange != Exchange::IkeSaInit || header.response {
        return None;
    }
    let ticket = payloads.iter().find_map(|payload| match payload {
        Payload::Notify(Notify { kind, data, .. }) if *kind == NotifyKind::KITH_TICKET => {
            Ticket::parse(data).ok()
        }
        _ => None,
    });
    Some(ticket)
}

impl KeyAgreement for Agreement {
    fn add(&mut self, now: Moment, index: MemberIndex, known: Known) {
        self.remove(now, index);
        let place = index.0 as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        // Who has just proved itself was waiting for a place.
        let waiting = |bond: &&mut Bond| bond.index.is_none() && bond.address == known.address;
        let mut association = None;
        for (id, bond) in &mut self.bonds {
            if waiting(&bond) {
                bond.index = Some(index);
                association = Some(*id);
            }
        }
        let member = Member {
            index,
            name: known.name,
            secret: known.secret,
        };
        let host = self.endpoint.host_mut();
        host.knocking.remove(&known.address);
        host.members.insert(known.address, member);
        self.peers[place] = Some(Peer {
            ticket: known.ticket,
            association,
            ..Peer::default()
        });
    }

    fn remove(&mut self, now: Moment, index: MemberIndex) {
        let at = self.at(now);
        let Some(_) = self.peers.get_mut(index.0 as usize).and_then(Option::take) else {
            return;
        };
        let host = self.endpoint.host_mut();
        host.members.retain(|_, member| member.index != index);
        let theirs = |(_, bond): &(&AssociationId, &Bond)| bond.index == Some(index);
        let ids: Vec<_> = self.bonds.iter().filter(theirs).map(|(id, _)| *id).collect();
        for id in ids {
            self.endpoint.forget(at, id);
        }
        self.drain();
        // What they leave is taken away before anybody else gets the place.
        for work in std::mem::take(&mut self.work) {
            self.process(work);
        }
        let actions = &mut self.actions;
        self.lingering.retain(|(of, spi, _)| {
            if *of == index {
                actions.push_back(Action::RemoveInbound(*spi));
            }
            *of != index
        });
    }

    fn renew(
        &mut self,
        now: Moment,
        index: MemberIndex,
        (secret, ticket): (Arc<PairSecret>, Option<Vec<u8>>),
        use_it: bool,
    ) {
        self.at(now);
        // One to be taken beside ours comes with a ticket, and that is asked when it is needed.
        if !use_it {
            return;
        }
        let members = self.endpoint.host_mut().members.values_mut();
        let Some(member) = members.into_iter().find(|member| member.index == index) else {
            return;
        };
        let is_same = member.secret.is(&secret);
        member.secret = secret;
        let Some(peer) = self.peer(index) else { return };
        // A ticket that we had has another secret in it.
        let before = std::mem::take(&mut peer.ticket);
        peer.ticket = match ticket {
            Some(ticket) => ticket,
            None if is_same => before.clone(),
            None => Vec::new(),
        };
        if !is_same || peer.ticket != before {
            self.connect_anew(index);
        }
    }

    fn readdress(&mut self, own: Ipv4Addr, name: &str) {
        let host = self.endpoint.host_mut();
        (host.own, host.name) = (own, name.to_owned());
    }

    fn receive(&mut self, now: Moment, method: Method, index: MemberIndex, data: &[u8]) {
        let at = self.at(now);
        let members = &self.endpoint.host().members;
        let address = members.iter().find(|(_, member)| member.index == index);
        if let Some((address, _)) = address
            && method == Method::Ike
        {
            self.datagram(at, *address, data);
        }
    }

    fn refresh(&mut self, now: Moment, index: MemberIndex, what: Fresh) -> Result<(), NotNow> {
        let at = self.at(now);
        let current = self.peer(index).and_then(|peer| peer.current.as_ref());
        let (id, child) = current
            .map(|current| (current.association, current.child))
            .ok_or(NotNow::NoKeys)?;
        match what {
            Fresh::Pair => self.endpoint.rekey_child(at, id, child),
            Fresh::Ike => self.endpoint.rekey(at, id),
        }
        self.drain();
        Ok(())
    }

    fn event(&mut self, now: Moment, index: MemberIndex, event: Event) {
        let at = self.at(now);
        let millis = now.millis();
        match event {
            Event::KeysNeeded => self.on_needed(millis, index),
            Event::Stale => self.on_stale(millis, index),
            Event::Activity(activity) => self.on_activity(millis, index, activity),
            Event::Heard(spi) => {
                let pair = self.pairs.iter().find(|(_, pair)| pair.spis.0 == spi);
                let Some((child, pair)) = pair.map(|(child, pair)| (*child, pair)) else {
                    return;
                };
                self.endpoint.heard(at, pair.association, child);
                self.on_heard(millis, index, (child, spi));
                self.drain();
            }
            Event::RekeyDue => {
                let Some(peer) = self.peer(index) else { return };
                match &peer.current {
                    Some(current) if current.role == Role::Responder => {
                        peer.rekey_at.get_or_insert(Millis(millis.0 + BACKUP));
                    }
                    _ => self.rekey(index),
                }
            }
        }
    }

    fn moved(&mut self, now: Moment, own: Option<Whereabouts>) {
        let at = self.at(now);
        let said = own.map_or_else(Vec::new, |own| own.encode().to_vec());
        self.endpoint.announce(at, said);
        self.drain();
    }

    fn way_open(&mut self, now: Moment) {
        let at = self.at(now);
        for index in self.indices() {
            if let Some(id) = self.association(index).filter(|id| !self.is_up(*id))
                && let Some(bond) = self.bonds.get(&id)
            {
                let path = self.endpoint.host().path(bond.address);
                self.endpoint.moved(at, id, path);
                self.endpoint.poll(at);
            }
        }
        self.drain();
    }

    fn poll(&mut self, now: Moment) {
        let at = self.at(now);
        self.close_old(at);
        while let Some((_, spi, until)) = self.lingering.front().copied()
            && until <= now.millis()
        {
            self.lingering.pop_front();
            self.actions.push_back(Action::RemoveInbound(spi));
        }
        self.endpoint.poll(at);
        self.drain();
        for index in self.indices() {
            self.poll_peer(now.millis(), index);
        }
    }

    fn deadline(&self) -> Option<Millis> {
        let plus = |at: Option<Millis>, span: u64| at.map(|at| Millis(at.0 + span));
        let peers = self.peers.iter().flatten().flat_map(|peer| {
            [
                peer.confirm.as_ref().map(|confirm| confirm.next),
                peer.current.as_ref().map(|current| current.ends),
                peer.rekey_at,
                plus(peer.held.map(|(_, since)| since), HELD),
                plus(peer.unanswered_since, DEAD),
                plus(peer.owed_since, PASSIVE_KEEP_ALIVE),
            ]
        });
        let pairs = self.pairs.values().map(|pair| pair.ends);
        let endpoint = self.endpoint.deadline().map(Millis);
        let lingering = self.lingering.front().map(|(_, _, until)| *until);
        peers
            .flatten()
            .chain(pairs)
            .chain(endpoint)
            .chain(lingering)
            .min()
    }

    fn next_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            // One at a time: what follows an introduction needs the place that it leads to.
            let work = self.work.pop_front()?;
            self.process(work);
        }
    }

    fn view(&self, index: MemberIndex) -> View {
        let Some(peer) = self.peers.get(index.0 as usize).and_then(Option::as_ref) else {
            return View::default();
        };
        let newest = self.pairs.iter().filter(|(_, pair)| pair.index == index);
        let newest: Option<(&ChildId, Spi)> = newest
            .map(|(child, pair)| (child, pair.spis.0))
            .max_by_key(|(child, _)| **child);
        let association = peer.association.and_then(|id| self.endpoint.view(id));
        View {
            outbound: peer.current.as_ref().map(|current| (current.spi, current.since)),
            inbound: newest.map(|(_, spi)| spi),
            method: peer.current.as_ref().map(|_| Method::Ike),
            agreeing: peer.replacing || association.as_ref().is_some_and(|view| !view.up),
            tunnel: peer
                .association
                .zip(association)
                .and_then(|(id, view)| self.tunnel(id, &view)),
            agreements: peer.agreements,
            rtt_micros: peer.rtt_micros,
            heard: peer.heard,
        }
    }
}
