//! Two members with their real packet paths, and a network between them that loses, doubles and reorders.

use super::nonces::Ledger;
use crate::config::{Cipher, Secret};
use crate::envelope;
use crate::keying::{
    Action, Activity, Agreement, Agreements, Door, Event, KeyAgreement, Known, Method, Moment, PairSecret,
    Setup, Spis, Whereabouts, ike,
};
use kith_esp::{Limits, Spi};
use kith_pipeline::counters::Counters;
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{DataType, Shim};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use zerocopy::IntoBytes;

pub(super) const PEER: MemberIndex = MemberIndex(0);
const TICK: u64 = 250_000;
/// Room for what goes in front of a packet.
const HEADROOM: usize = 128;
pub(super) const NAMES: [&str; 2] = ["alice.acme.example", "bob.acme.example"];

/// A datagram under way: when it arrives, which it is, to whom, its octets.
type Flight = (u64, u64, usize, Vec<u8>);

/// xorshift64*: enough randomness for a network, and the same each time.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() >> 33 < chance * ((1 << 31) / 100)
    }
}

pub(super) struct Node {
    which: usize,
    pub(super) own: Ipv4Addr,
    peer: Ipv4Addr,
    pub(super) agreement: Agreements,
    encap: Encap,
    decap: Decap,
    tables: HostTables,
    pub(super) counters: Counters,
    waiting: Vec<HostPacket>,
    activity: Activity,
    last_heard: Option<Spi>,
    /// Offset of the wall clock, nanoseconds.
    wall: i64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) moved: Vec<Whereabouts>,
    pub(super) gave_up: u64,
    pub(super) messages: u64,
    /// What makes it known to the other.
    pub(super) ticket: Vec<u8>,
    /// Is the other one a member here?
    pub(super) is_known: bool,
    pub(super) refused: Vec<&'static str>,
    pub(super) introduced: u64,
}

pub(super) struct World {
    pub(super) micros: u64,
    pub(super) nodes: [Node; 2],
    queue: BinaryHeap<Reverse<Flight>>,
    serial: u64,
    pub(super) random: Random,
    pub(super) loss: u64,
    pub(super) duplicates: u64,
    /// Delay is 5 ms to this more.
    pub(super) jitter: u64,
    /// (sender, SPI, IV) of all packets ever sealed.
    nonces: HashSet<(usize, [u8; 16])>,
    /// An account of packets instead, if there are too many to remember.
    pub(super) ledger: Option<Ledger>,
    /// Every datagram ever sent, if asked for.
    pub(super) tape: Option<Vec<(usize, Vec<u8>)>>,
    methods: [Method; 2],
    limits: Limits,
    next_tick: u64,
}

pub(super) fn psk() -> Secret {
    Secret::new(std::array::from_fn(|at| at as u8 ^ 0x5a))
}

impl Node {
    fn new(which: usize, (method, limits): (Method, Limits), wall: i64, seed: u64, psk: Secret) -> Self {
        let addresses = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
        let (own, peer) = (addresses[which], addresses[1 - which]);
        let member = Member {
            address: peer,
            endpoint: "203.0.113.1:20202".parse().unwrap(),
            shim: Shim::new(DataType::Virtual),
            path_mtu: 1500,
        };
        let entropy = |which: u64| -> crate::keying::Entropy {
            let mut random = Random::new(seed.wrapping_mul(2) + which);
            Box::new(move |out| out.fill_with(|| random.next() as u8))
        };
        let spis = Spis::new(64);
        let exchange = Agreement::new(Setup {
            own,
            location: None,
            cipher: Cipher::Aes256Gcm,
            limits,
            spis: spis.clone(),
            entropy: entropy(0),
        });
        let ike = ike::Agreement::new(ike::Setup {
            own: (own, NAMES[which].into()),
            location: None,
            cipher: Cipher::Aes256Gcm,
            limits,
            spis,
            entropy: entropy(1),
            door: Door::new(true),
        });
        Self {
            which,
            own,
            peer,
            agreement: Agreements::new(method, ike, exchange),
            encap: Encap::new(),
            decap: Decap::new(64),
            tables: HostTables::new(own, vec![member]),
            counters: Counters::default(),
            waiting: Vec::new(),
            activity: Activity::default(),
            last_heard: None,
            wall,
            sent: 0,
            received: 0,
            moved: Vec::new(),
            gave_up: 0,
            messages: 0,
            ticket: Vec::new(),
            is_known: false,
            refused: Vec::new(),
            introduced: 0,
        }
        .knowing(psk)
    }

    fn knowing(mut self, psk: Secret) -> Self {
        self.know(
            Moment {
                micros: 1_000_000,
                wall_nanos: 0,
            },
            psk,
        );
        self
    }

    /// A packet of an application's.
    fn data(&self) -> [u8; 100] {
        let mut bytes = [0xd5; 100];
        bytes[..20].copy_from_slice(Ipv4::new(self.own, self.peer, 17, 100).as_bytes());
        bytes
    }

    fn know(&mut self, now: Moment, psk: Secret) {
        self.is_known = true;
        let known = Known {
            address: self.peer,
            name: NAMES[1 - self.which].into(),
            secret: Arc::new(PairSecret::new(psk)),
            ticket: self.ticket.clone(),
        };
        self.agreement.add(now, PEER, known);
    }
}

impl World {
    pub(super) fn new(method: Method, seed: u64) -> Self {
        Self::with_limits(method, seed, Limits::default())
    }

    pub(super) fn with_limits(method: Method, seed: u64, limits: Limits) -> Self {
        Self::mixed([method; 2], seed, limits)
    }

    /// Each begins by a method of its own.
    pub(super) fn mixed(methods: [Method; 2], seed: u64, limits: Limits) -> Self {
        Self {
            micros: 1_000_000,
            nodes: std::array::from_fn(|which| {
                Node::new(which, (methods[which], limits), 0, seed * 4 + which as u64, psk())
            }),
            methods,
            queue: BinaryHeap::new(),
            serial: 0,
            random: Random::new(seed + 77),
            loss: 0,
            duplicates: 0,
            jitter: 0,
            nonces: HashSet::new(),
            ledger: None,
            tape: None,
            limits,
            next_tick: 0,
        }
    }

    /// kill -9 and a new start, with the wall clock `wall` nanoseconds off.
    pub(super) fn restart(&mut self, which: usize, wall: i64) {
        let seed = self.random.next();
        self.nodes[which] = Node::new(which, (self.methods[which], self.limits), wall, seed, psk());
    }

    /// Gives one of them a newer secret, or one to take beside its own.
    pub(super) fn renew(&mut self, which: usize, octet: u8, use_it: bool) {
        let (now, secret) = (
            self.now(which),
            Arc::new(PairSecret::new(Secret::new([octet; 32]))),
        );
        self.nodes[which]
            .agreement
            .renew(now, PEER, (secret, None), use_it);
        self.act(which);
    }

    /// One forgets the other, or knows it again.
    pub(super) fn forget(&mut self, which: usize) {
        let now = self.now(which);
        self.nodes[which].is_known = false;
        self.nodes[which].agreement.remove(now, PEER);
        self.nodes[which].encap.remove(PEER);
        self.act(which);
    }

    pub(super) fn know(&mut self, which: usize) {
        let now = self.now(which);
        self.nodes[which].know(now, psk());
    }

    /// Gives one of them another secret than the pair's.
    pub(super) fn estrange(&mut self, which: usize) {
        let seed = self.random.next();
        self.nodes[which] = Node::new(
            which,
            (self.methods[which], self.limits),
            0,
            seed,
            Secret::new([9; 32]),
        );
    }

    pub(super) fn now(&self, which: usize) -> Moment {
        let wall = 1_700_000_000_000_000_000u64 + self.micros * 1000;
        Moment {
            micros: self.micros,
            wall_nanos: wall.saturating_add_signed(self.nodes[which].wall),
        }
    }

    /// An application sends a packet of 100 octets.
    pub(super) fn send(&mut self, which: usize) {
        let node = &mut self.nodes[which];
        node.sent += 1;
        let bytes = node.data();
        self.push(which, HostPacket::from_bytes(&bytes), true);
    }

    /// So many of these packets are sealed one after the other, and all are lost; fewer, if keys come to an end.
    pub(super) fn burst(&mut self, which: usize, count: u64) {
        let now = self.now(which);
        let node = &mut self.nodes[which];
        let (bytes, mut rekeys) = (node.data(), false);
        let mut packet = HostPacket::from_bytes(&bytes);
        for _ in 0..count {
            packet.refill(HEADROOM)[..bytes.len()].copy_from_slice(&bytes);
            packet.set_len(bytes.len());
            let sealed = node
                .encap
                .encapsulate(&node.tables, &node.counters, now.millis(), &mut packet);
            let Encapsulated::Send { rekey, .. } = sealed else {
                break;
            };
            rekeys |= rekey;
            if let Some(ledger) = &mut self.ledger {
                ledger.sealed(which, &packet.bytes()[40..], true);
            }
        }
        if rekeys {
            node.agreement.event(now, PEER, Event::RekeyDue);
        }
        self.act(which);
    }

    fn push(&mut self, which: usize, mut packet: HostPacket, data: bool) {
        let now = self.now(which);
        let node = &mut self.nodes[which];
        let sealed = node
            .encap
            .encapsulate(&node.tables, &node.counters, now.millis(), &mut packet);
        match sealed {
            Encapsulated::Send { rekey, .. } => {
                node.activity.sent = true;
                node.activity.data_sent |= data;
                if let Some(ledger) = &mut self.ledger {
                    ledger.sealed(which, &packet.bytes()[40..], data);
                } else {
                    let nonce = packet.bytes()[40..56].try_into().unwrap();
                    assert!(self.nonces.insert((which, nonce)), "a nonce was used twice");
                }
                if rekey {
                    node.agreement.event(now, PEER, Event::RekeyDue);
                }
                self.transmit(which, packet.bytes().to_vec());
            }
            Encapsulated::NeedKeys { .. } if data && node.waiting.len() < 32 => {
                node.waiting.push(packet);
                node.agreement.event(now, PEER, Event::KeysNeeded);
            }
            _ => {}
        }
        self.act(which);
    }

    pub(super) fn transmit(&mut self, from: usize, bytes: Vec<u8>) {
        if let Some(tape) = &mut self.tape {
            tape.push((from, bytes.clone()));
        }
        let copies = 1 + u64::from(self.random.percent(self.duplicates));
        for _ in 0..copies {
            if self.random.percent(self.loss) {
                continue;
            }
            let delay = 5_000
                + if self.jitter == 0 {
                    0
                } else {
                    self.random.next() % self.jitter
                };
            self.serial += 1;
            self.queue.push(Reverse((
                self.micros + delay,
                self.serial,
                1 - from,
                bytes.clone(),
            )));
        }
    }

    fn say(&mut self, which: usize, method: Method, message: &[u8]) {
        let node = &mut self.nodes[which];
        node.messages += 1;
        let shim = Shim::new(DataType::Virtual);
        let bytes = envelope::keying(&shim, node.own, node.peer, method, message).unwrap();
        self.transmit(which, bytes);
    }

    /// Does what key agreement wants.
    pub(super) fn act(&mut self, which: usize) {
        while let Some(action) = self.nodes[which].agreement.next_action() {
            let node = &mut self.nodes[which];
            match action {
                Action::Send(_, method, message) => {
                    let message = match method {
                        Method::Ike => message,
                        Method::Ticket => envelope::with_ticket(&message, &node.ticket),
                    };
                    self.say(which, method, &message);
                }
                Action::Answer(to, _, message) => {
                    assert_eq!(to, node.peer);
                    self.say(which, Method::Ike, &message);
                }
                Action::Introduce(body) => {
                    node.introduced += 1;
                    let now = self.now(which);
                    self.nodes[which].know(now, Secret::new(*body.shared_key.expose()));
                }
                Action::Renewed(_, body) => {
                    let secret = Arc::new(PairSecret::new(Secret::new(*body.shared_key.expose())));
                    let now = self.now(which);
                    let agreement = &mut self.nodes[which].agreement;
                    agreement.renew(now, PEER, (secret, None), true);
                }
                Action::Refused(name) => node.refused.push(name),
                Action::InstallInbound(member, sa) => node.decap.install(member, sa.inbound()),
                Action::RemoveInbound(spi) => node.decap.remove(spi),
                Action::InstallOutbound(member, sa) => {
                    if let Some(ledger) = &mut self.ledger {
                        ledger.keys(which);
                    }
                    node.encap.install(member, sa.outbound());
                    for packet in std::mem::take(&mut node.waiting) {
                        self.push(which, packet, true);
                    }
                }
                Action::Dummy(_) => {
                    let packet = HostPacket::from_bytes(&envelope::dummy(node.own, node.peer));
                    self.push(which, packet, false);
                }
                Action::Moved(_, to) => node.moved.push(to),
                Action::GaveUp(_) => {
                    node.gave_up += 1;
                    node.waiting.clear();
                }
            }
        }
    }

    fn deliver(&mut self, which: usize, bytes: &[u8]) {
        let now = self.now(which);
        let node = &mut self.nodes[which];
        if !node.is_known && bytes.get(29) == Some(&17) {
            // Somebody whom the packet path does not know: see the tests of its tables.
            node.agreement.introduce(now, node.peer, &bytes[48..]);
            return self.act(which);
        }
        let mut packet = HostPacket::from_bytes(bytes);
        let opened = node
            .decap
            .decapsulate(&node.tables, &node.counters, now.millis(), &mut packet);
        match opened {
            Decapsulated::Deliver { spi, .. } | Decapsulated::Dummy { spi, .. } => {
                let data = matches!(opened, Decapsulated::Deliver { .. });
                node.activity.heard = true;
                node.activity.data_heard |= data;
                node.received += u64::from(data);
                if node.last_heard != Some(spi) {
                    node.last_heard = Some(spi);
                    node.agreement.event(now, PEER, Event::Heard(spi));
                }
            }
            Decapsulated::Keying { port, .. } => {
                let method = Method::of(port).unwrap();
                node.agreement.receive(now, method, PEER, packet.bytes());
            }
            Decapsulated::Drop { stale: Some(_), .. } => node.agreement.event(now, PEER, Event::Stale),
            _ => {}
        }
        self.act(which);
    }

    /// Lets this much time pass, microseconds.
    pub(super) fn run(&mut self, span: u64) {
        let end = self.micros + span;
        loop {
            let arrival = self.queue.peek().map(|Reverse((at, ..))| *at);
            let timer = self
                .nodes
                .iter()
                .filter_map(|node| node.agreement.deadline())
                .min();
            let timer = timer.map(|at| at.0 * 1000);
            let next = [arrival, timer, Some(self.next_tick)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.micros = self.micros.max(next);
            while let Some(Reverse((at, ..))) = self.queue.peek()
                && *at <= self.micros
                && let Some(Reverse((_, _, to, bytes))) = self.queue.pop()
            {
                self.deliver(to, &bytes);
            }
            for which in 0..2 {
                let now = self.now(which);
                if self.micros >= self.next_tick {
                    let activity = std::mem::take(&mut self.nodes[which].activity);
                    self.nodes[which]
                        .agreement
                        .event(now, PEER, Event::Activity(activity));
                }
                self.nodes[which].agreement.poll(now);
                self.act(which);
            }
            if self.micros >= self.next_tick {
                self.next_tick = self.micros + TICK;
            }
        }
        self.micros = end;
    }

    pub(super) fn up(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.agreement.view(PEER).outbound.is_some())
    }

    /// Data sent by one that the other did not get.
    pub(super) fn lost(&self) -> u64 {
        (self.nodes[0].sent - self.nodes[1].received) + (self.nodes[1].sent - self.nodes[0].received)
    }
}
