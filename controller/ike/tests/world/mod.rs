//! Two ends and a bad network between them, all from one seed.
//!
//! ```text
//!  End 0: Endpoint + ESP SAs ──► loss, copies, delay ──► End 1
//!         ◄───────────────────────────────────────────
//! ```
//!
//! Each end seals packets under the keys that its endpoint gave it and opens what comes, so that keys which do not fit show at once.
#![allow(dead_code, reason = "each test file uses its part of this")]

use kith_esp::{DefaultAead, HEADER_LEN, Inbound, Limits, Millis, Outbound, sealed_overhead};
use kith_ike::auth::{OwnProof, PeerProof};
use kith_ike::codec::{Identity, Selector, Ticket};
use kith_ike::suite::{Additional, EspPreferences, EspSuite, IkePreferences};
use kith_ike::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

/// xorshift64*: reproducible, and nothing more is asked of it.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub struct TestHost {
    random: Random,
    last_spi: u32,
    pub free: usize,
    pub taken: usize,
    pub terms: Option<Arc<Terms>>,
    pub refuse: Option<Refused>,
    pub screen: bool,
}

impl TestHost {
    pub fn name(&self) -> u32 {
        (self.last_spi >> 16) - 1
    }
}

impl Host for TestHost {
    fn entropy(&mut self, out: &mut [u8]) {
        for octet in out {
            *octet = self.random.next() as u8;
        }
    }

    fn take_spi(&mut self) -> Option<kith_esp::Spi> {
        if self.taken >= self.free {
            return None;
        }
        self.taken += 1;
        self.last_spi += 1;
        kith_esp::Spi::new(self.last_spi).ok()
    }

    fn give_back_spi(&mut self, _spi: kith_esp::Spi) {
        self.taken -= 1;
    }

    fn screen(&mut self, _: Moment, _: Path, _: Option<&Ticket>) -> Result<(), Refused> {
        if self.screen {
            Ok(())
        } else {
            Err(Refused::Unknown)
        }
    }

    fn admit(&mut self, _: Moment, _: &Claim<'_>) -> Result<Arc<Terms>, Refused> {
        match (&self.refuse, &self.terms) {
            (Some(refused), _) => Err(refused.clone()),
            (None, Some(terms)) => Ok(terms.clone()),
            (None, None) => Err(Refused::Unknown),
        }
    }
}

/// One end: the endpoint and the SAs that it was given.
pub struct End {
    pub endpoint: Endpoint<TestHost>,
    pub inbound: HashMap<u32, (ChildId, AssociationId, Inbound<DefaultAead>)>,
    pub outbound: Option<(ChildId, Outbound<DefaultAead>)>,
    waiting: BTreeMap<ChildId, Outbound<DefaultAead>>,
    pub spis: BTreeMap<ChildId, (u32, u32)>,
    pub up: Vec<AssociationId>,
    pub downs: Vec<(AssociationId, Down)>,
    /// Algorithms of the newest pair.
    pub suite: Option<EspSuite>,
    /// What the last one that came up found between the ends.
    pub nat: NatFound,
    pub events: Vec<String>,
    pub sent: u64,
    pub received: u64,
    /// Packets for which there was no SA.
    pub lost: u64,
    pub sent_octets: u64,
    /// Datagrams that were sent before the keys that the same input led to were given to the host.
    pub answered_before_keys: u64,
}

enum What {
    Ike(Path, Vec<u8>),
    Esp(Vec<u8>),
}

pub struct World {
    pub ends: [End; 2],
    pub now: u64,
    pub random: Random,
    /// Percent.
    pub loss: u64,
    pub copies: u64,
    /// Milliseconds at least and at most.
    pub delay: (u64, u64),
    /// Drops the n-th IKE datagram from this end.
    pub cut: [bool; 2],
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    in_flight: HashMap<u64, What>,
    count: u64,
    /// Packets of data that the network itself took.
    pub taken_by_network: u64,
    /// Percent of IKE datagrams in which a bit is changed.
    pub flips: u64,
    /// IKE datagrams are kept: to whom, how they arrive, what they are.
    pub record: bool,
    pub recorded: Vec<(usize, Path, Vec<u8>)>,
    pub largest: usize,
}

pub const NAMES: [&str; 2] = ["alice.example", "bob.example"];

pub fn path(from: usize) -> Path {
    let of = |end: usize| format!("10.77.0.{}:500", end + 1).parse().unwrap();
    Path {
        local: of(from),
        remote: of(1 - from),
    }
}

pub fn identity(end: usize) -> Identity {
    Identity::Fqdn(NAMES[end].to_owned())
}

pub fn one(end: usize) -> Vec<Selector> {
    let address = format!("10.77.0.{}", end + 1).parse().unwrap();
    vec![Selector::v4(address, address)]
}

pub fn psk(own: usize, secret: &[u8]) -> Terms {
    Terms {
        own: identity(own),
        proof: OwnProof::Psk(secret.to_vec().into()),
        peer_proof: PeerProof::Psk(secret.to_vec().into()),
        child: ChildTerms {
            suites: EspPreferences {
                groups: Vec::new(),
                ..EspPreferences::default()
            },
            mode: Mode::Transport,
            local: one(own),
            remote: one(1 - own),
        },
    }
}

pub fn config() -> Config {
    Config::new(IkePreferences::default(), Nat::Never)
}

pub fn post_quantum() -> Config {
    let ike = IkePreferences {
        additional: Additional::Require,
        ..IkePreferences::default()
    };
    Config::new(ike, Nat::Never)
}

impl World {
    pub fn new(seed: u64, config: Config) -> Self {
        Self::with(
            seed,
            [config.clone(), config],
            [psk(0, b"secret"), psk(1, b"secret")],
        )
    }

    pub fn with(seed: u64, configs: [Config; 2], terms: [Terms; 2]) -> Self {
        let mut which = 0;
        let ends = configs.into_iter().zip(terms).map(|(config, terms)| {
            which += 1;
            let host = TestHost {
                random: Random::new(seed.wrapping_mul(2) + which),
                last_spi: (which as u32) << 16,
                free: usize::MAX,
                taken: 0,
                terms: Some(Arc::new(terms)),
                refuse: None,
                screen: true,
            };
            End::new(Endpoint::new(config, host))
        });
        let ends: Vec<End> = ends.collect();
        Self {
            ends: ends.try_into().ok().unwrap(),
            now: 1_000,
            random: Random::new(seed ^ 0xdead_beef),
            loss: 0,
            copies: 0,
            delay: (10, 10),
            cut: [false; 2],
            queue: BinaryHeap::new(),
            in_flight: HashMap::new(),
            count: 0,
            taken_by_network: 0,
            flips: 0,
            record: false,
            recorded: Vec::new(),
            largest: 0,
        }
    }

    pub fn moment(&self) -> Moment {
        Moment {
            millis: self.now,
            unix_secs: 1_800_000_000 + self.now / 1000,
        }
    }

    pub fn connection(&self, from: usize) -> Connection {
        Connection {
            path: path(from),
            peer: identity(1 - from),
            terms: self.ends[from].endpoint.host().terms.clone().unwrap(),
            ticket: None,
        }
    }

    pub fn connect(&mut self, from: usize) -> AssociationId {
        let (now, connection) = (self.moment(), self.connection(from));
        let id = self.ends[from].endpoint.connect(now, connection);
        self.settle(from);
        id
    }

    /// Something done to one end, and what follows.
    pub fn act(&mut self, end: usize, act: impl FnOnce(&mut Endpoint<TestHost>, Moment)) {
        let now = self.moment();
        act(&mut self.ends[end].endpoint, now);
        self.settle(end);
    }

    fn settle(&mut self, end: usize) {
        let mut sent = 0;
        while let Some(output) = self.ends[end].endpoint.next_output() {
            if matches!(output, Output::Event(_, Event::Child(_))) {
                self.ends[end].answered_before_keys += sent;
            }
            match output {
                Output::Send { path, octets } => {
                    sent += 1;
                    self.largest = self.largest.max(octets.len());
                    self.ends[end].sent_octets += octets.len() as u64;
                    let arrives = Path {
                        local: path.remote,
                        remote: path.local,
                    };
                    if self.record {
                        self.recorded.push((1 - end, arrives, octets.clone()));
                    }
                    let mut octets = octets;
                    if self.flips > 0 && self.random.percent(self.flips) {
                        let at = self.random.below(octets.len() as u64 * 8);
                        octets[at as usize / 8] ^= 1 << (at % 8);
                    }
                    self.transmit(end, &|| What::Ike(arrives, octets.clone()));
                }
                Output::Event(id, event) => {
                    let now = Millis(self.now);
                    self.ends[end].event(now, id, event);
                }
            }
        }
    }

    fn transmit(&mut self, from: usize, what: &dyn Fn() -> What) {
        if self.cut[from] || self.random.percent(self.loss) {
            if let What::Esp(_) = what() {
                self.taken_by_network += 1;
            }
            return;
        }
        let times = if self.random.percent(self.copies) { 2 } else { 1 };
        for _ in 0..times {
            let (least, most) = self.delay;
            let at = self.now + least + self.random.below(most - least + 1);
            self.count += 1;
            self.in_flight.insert(self.count, what());
            self.queue.push(Reverse((at, self.count, 1 - from)));
        }
    }

    /// One packet of data, if there are keys.
    pub fn data(&mut self, from: usize) -> bool {
        let Some((_, outbound)) = &mut self.ends[from].outbound else {
            return false;
        };
        let payload = b"data";
        let mut buffer = vec![0; HEADER_LEN];
        buffer.extend_from_slice(payload);
        buffer.resize(payload.len() + sealed_overhead(payload.len()), 0);
        let range = HEADER_LEN..HEADER_LEN + payload.len();
        let sealed = outbound.seal_in_place(&mut buffer, range, 17, Millis(self.now));
        // Too old: the host should have asked for others.
        let Ok(sealed) = sealed else { return false };
        let octets = buffer[sealed.packet].to_vec();
        self.ends[from].sent += 1;
        self.transmit(from, &|| What::Esp(octets.clone()));
        true
    }

    /// Time passes until then.
    pub fn run_until(&mut self, until: u64) {
        loop {
            let arrival = self.queue.peek().map(|Reverse((at, _, _))| *at);
            let timers = self.ends.iter().filter_map(|end| end.endpoint.deadline());
            let next = timers.chain(arrival).min().unwrap_or(u64::MAX);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some(Reverse((_, number, to))) = self.queue.pop() else {
                    return;
                };
                match self.in_flight.remove(&number) {
                    Some(What::Ike(path, octets)) => {
                        self.act(to, |endpoint, now| endpoint.datagram(now, path, &octets));
                    }
                    Some(What::Esp(octets)) => self.open(to, octets),
                    None => {}
                }
            } else {
                for end in 0..2 {
                    self.act(end, |endpoint, now| endpoint.poll(now));
                }
            }
        }
    }

    pub fn run(&mut self, millis: u64) {
        self.run_until(self.now + millis);
    }

    fn open(&mut self, end: usize, mut octets: Vec<u8>) {
        let spi = u32::from_be_bytes(octets[..4].try_into().unwrap());
        let now = Millis(self.now);
        let this = &mut self.ends[end];
        let Some((child, id, inbound)) = this.inbound.get_mut(&spi) else {
            this.lost += 1;
            return;
        };
        let opened = match inbound.open_in_place(&mut octets, now) {
            Ok(opened) => opened,
            // A copy that the network made.
            Err(kith_esp::OpenError::Replayed) => return,
            Err(error) => panic!("keys of the ends differ: {error}"),
        };
        inbound.commit(opened.token).unwrap();
        this.received += 1;
        let (child, id) = (*child, *id);
        self.act(end, |endpoint, now| endpoint.heard(now, id, child));
    }

    /// Both ends say the same about the one association that they have.
    pub fn agree(&self) -> bool {
        let live = |end: usize| {
            let end = &self.ends[end];
            let mut pairs: Vec<(u32, u32)> = end.spis.values().copied().collect();
            pairs.sort_unstable();
            pairs
        };
        let mirrored = {
            let mut pairs: Vec<(u32, u32)> = live(1).into_iter().map(|(a, b)| (b, a)).collect();
            pairs.sort_unstable();
            pairs
        };
        live(0) == mirrored
            && self
                .ends
                .iter()
                .all(|end| end.endpoint.host().taken == end.spis.len())
    }
}

impl End {
    fn new(endpoint: Endpoint<TestHost>) -> Self {
        Self {
            endpoint,
            inbound: HashMap::new(),
            outbound: None,
            waiting: BTreeMap::new(),
            spis: BTreeMap::new(),
            up: Vec::new(),
            downs: Vec::new(),
            suite: None,
            nat: NatFound::default(),
            events: Vec::new(),
            sent: 0,
            received: 0,
            lost: 0,
            sent_octets: 0,
            answered_before_keys: 0,
        }
    }

    /// Something that its endpoint has to say.
    pub fn tell(&mut self, millis: u64, id: AssociationId, event: Event) {
        self.event(Millis(millis), id, event);
    }

    fn event(&mut self, now: Millis, id: AssociationId, event: Event) {
        if let Ok(name) = std::env::var("KITH_TRACE") {
            let what = match &event {
                Event::Child(new) => format!(
                    "child {} {:?} replaces {:?} in {} out {}",
                    new.id.0, new.role, new.replaces, new.inbound.0, new.outbound.0
                ),
                Event::Send(id) => format!("send {}", id.0),
                Event::Forget(id, why) => format!("forget {} {why:?}", id.0),
                Event::ChildRefused { replaces, why } => format!("refused {replaces:?} {why}"),
                Event::Rekeyed { by, .. } => format!("rekeyed {by:?}"),
                Event::Down(down) => format!("down {down}"),
                _ => "other".into(),
            };
            eprintln!("{name} {} end {} {what}", now.0, self.endpoint.host().name());
        }
        match event {
            Event::Up(up) => {
                self.events.push(format!("up {}", up.suite));
                self.nat = up.nat;
                self.up.push(id);
            }
            Event::Child(new) => {
                self.suite = Some(new.suite);
                let NewChild {
                    id: child,
                    inbound: (spi, keys),
                    outbound: (peer_spi, peer_keys),
                    ..
                } = *new;
                let limits = Limits::default();
                let inbound = Inbound::new(spi, keys, limits, now);
                self.inbound.insert(spi.get(), (child, id, inbound));
                self.waiting
                    .insert(child, Outbound::new(peer_spi, peer_keys, limits, now));
                self.spis.insert(child, (spi.get(), peer_spi.get()));
                self.events.push(format!("child {}", child.0));
            }
            Event::Send(child) => {
                let outbound = self.waiting.remove(&child).unwrap();
                self.outbound = Some((child, outbound));
                self.events.push(format!("send {}", child.0));
            }
            Event::Forget(child, why) => {
                let (spi, _) = self.spis.remove(&child).unwrap();
                self.inbound.remove(&spi);
                self.waiting.remove(&child);
                if self
                    .outbound
                    .as_ref()
                    .is_some_and(|(current, _)| *current == child)
                {
                    self.outbound = None;
                }
                self.events.push(format!("forget {} {why:?}", child.0));
            }
            Event::ChildRefused { replaces, why } => {
                self.events
                    .push(format!("refused {:?} {why}", replaces.map(|id| id.0)));
            }
            Event::Rekeyed { by, .. } => self.events.push(format!("rekeyed {by:?}")),
            Event::Moved(path) => self.events.push(format!("moved {}", path.remote)),
            Event::Whereabouts(octets) => {
                self.events
                    .push(format!("whereabouts {}", String::from_utf8_lossy(&octets)));
            }
            Event::Down(down) => {
                self.events.push(format!("down {down}"));
                self.up.retain(|up| *up != id);
                self.downs.push((id, down));
            }
        }
    }

    /// The newest pair.
    pub fn newest(&self) -> Option<ChildId> {
        self.spis.keys().next_back().copied()
    }
}
