//! Two ends and a bad network between them, all from one seed.
//!
//! ```text
//!  End 0: Endpoint + ESP SAs ──► loss, copies, delay ──► End 1
//!         ◄───────────────────────────────────────────
//! ```
//!
//! Each end seals packets under the keys that its endpoint gave it and opens what comes, so that keys which do not fit show at once.
#![allow(dead_code, reason = "each test file uses its part of this")]

mod end;
mod host;

pub use end::End;
pub use host::{Random, TestHost};

use kith_esp::{HEADER_LEN, Millis, sealed_overhead};
use kith_ike::auth::{OwnProof, PeerProof};
use kith_ike::codec::{Identity, Selector};
use kith_ike::suite::{Additional, EspPreferences, IkePreferences};
use kith_ike::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

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

/// Begun by the first end, and up.
pub fn up(mut world: World) -> (World, AssociationId) {
    let id = world.connect(0);
    world.run(200);
    assert_eq!(
        [world.ends[0].up.len(), world.ends[1].up.len()],
        [1, 1],
        "{:?}",
        world.ends.each_ref().map(|end| &end.events)
    );
    (world, id)
}

/// The keys of a pair that nobody used are too old by now.
pub fn renew(world: &mut World) {
    let (id, child) = (world.ends[0].up[0], world.ends[0].newest().unwrap());
    world.act(0, |endpoint, now| endpoint.rekey_child(now, id, child));
    world.run(100);
    let (id, child) = (world.ends[1].up[0], world.ends[1].newest().unwrap());
    world.act(1, |endpoint, now| endpoint.heard(now, id, child));
}

/// A packet each way.
pub fn talk(world: &mut World) {
    let before = world.ends.each_ref().map(|end| end.received);
    for end in 0..2 {
        assert!(world.data(end), "end {end} has keys");
    }
    world.run(50);
    let after = world.ends.each_ref().map(|end| end.received);
    assert_eq!(after, before.map(|count| count + 1));
}
