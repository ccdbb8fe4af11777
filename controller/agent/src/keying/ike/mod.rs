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
//! - **Silence** of 15 s after data makes us ask; no answer for 3 s, and we begin anew.
//!
//! **Cost.** A handshake of two round trips, three with ML-KEM; one round trip per rekeying.

mod events;
mod host;
mod interface;
mod peer;
mod upkeep;

use super::{Action, Door, Entropy, KeyAgreement, Moment, Spis, Tunnel, Whereabouts};
use crate::config::Cipher;
use events::Work;
use host::{Doorkeeper, identity};
use kith_esp::{Limits, Millis, Spi};
use kith_ike::codec::{Body, Exchange, Notify, NotifyKind, Payload, Ticket};
use kith_ike::suite::{Additional, IkePreferences};
use kith_ike::{AssociationId, ChildId, Config, Connection, Drop, Endpoint, Nat, Timing};
use kith_pipeline::host::tables::MemberIndex;
use peer::{Bond, Pair, Peer};
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

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
/// Who is asked whether it is there has so long to answer.
const PATIENCE: u64 = 3_000;

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
        (peer.current, peer.rekey_at, peer.data_sent) = (None, None, None);
        peer.liveness.expect_nothing();
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
