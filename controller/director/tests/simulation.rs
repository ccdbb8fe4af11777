//! Clients and a director in a bad network, thousands of times.
//!
//! ```text
//!  client ── NAT ──┐   30 % lost, 10 % twice, 5 to 200 ms late and so out of order        ┌─ fast path's table
//!  client ── NAT ──┼──────────────────────────────────────────────────────── director ────┤
//!  client ── NAT ──┘                 │ records, replays from its own address and others'  └─ journal
//!                                 attacker
//! ```
//!
//! For a minute of simulated time NATs change mappings, clients die (some come back with an older clock), and the director
//! is killed with its journal, with half a record too few, or without. Then everybody must agree, while loss goes on.

mod common;

use common::*;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use kith_director::Time;
use kith_director::client::{Client, ClientConfig, Event, Phase};
use kith_director::journal;
use kith_director::server::{Director, DirectorConfig, Output, TableOp};
use kith_wire::control::{KeyId, LEN};
use kith_wire::shim::PseudoIp;
use std::collections::{BTreeMap, BTreeSet};

const MEMBERS: u64 = 5;
const FAULTS_UNTIL: u64 = 60_000;
/// Until then all must be well at one moment, although loss goes on: about thirty tries for each member.
const AGREE_UNTIL: u64 = FAULTS_UNTIL + 240_000;
const ATTACKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 66), 6666);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone)]
enum Fault {
    Nat(usize),
    ClientDies(usize),
    DirectorDies { journal: bool, torn: bool },
    DirectorStarts { journal: bool },
}

enum What {
    ToDirector(SocketAddrV4, [u8; LEN]),
    ToMember(SocketAddrV4, [u8; LEN]),
    Fault(Fault),
}

struct Node {
    client: Client,
    nat: SocketAddrV4,
    lives: u64,
}

struct World {
    now: u64,
    random: Random,
    coming: BTreeMap<(u64, u64), What>,
    sequence: u64,
    nodes: Vec<Node>,
    director: Option<Director>,
    table: BTreeMap<PseudoIp, SocketAddrV4>,
    journal: Vec<u8>,
    /// Every address that ever was a member's: the only ones a session may be bound to.
    owned: BTreeSet<(u64, SocketAddrV4)>,
    rebound_events: u64,
}

fn settings() -> DirectorConfig {
    let mut config = config(8);
    config.lifetime = Duration::from_secs(30);
    config.keep_alive = Duration::from_secs(5);
    config
}

fn new_client(id: u64, life: u64, random: &mut Random) -> Client {
    // A clock set back: counters far below those the director has seen.
    let first_counter = if random.percent(20) {
        0
    } else {
        1_000_000 * (life + 1)
    };
    Client::new(ClientConfig::new(
        DIRECTOR,
        KeyId(id),
        key(id),
        first_counter,
        random.next(),
    ))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e6c_63d0_676a_9a99));
        let mut world = Self {
            now: 0,
            coming: BTreeMap::new(),
            sequence: 0,
            nodes: Vec::new(),
            director: Some(director(settings(), MEMBERS)),
            table: BTreeMap::new(),
            journal: journal::encode_all([]),
            owned: BTreeSet::new(),
            rebound_events: 0,
            random: Random(random.next()),
        };
        for id in 1..=MEMBERS {
            let client = new_client(id, 0, &mut world.random);
            let nat = nat(id as u32, 40_000);
            world.owned.insert((id, nat));
            world.nodes.push(Node {
                client,
                nat,
                lives: 0,
            });
        }
        for _ in 0..6 {
            let when = world.random.below(FAULTS_UNTIL);
            let who = world.random.below(MEMBERS) as usize;
            let fault = match world.random.below(3) {
                0 => Fault::Nat(who),
                1 => Fault::ClientDies(who),
                _ => Fault::DirectorDies {
                    journal: world.random.percent(60),
                    torn: world.random.percent(30),
                },
            };
            world.put(when, What::Fault(fault));
        }
        world
    }

    fn put(&mut self, when: u64, what: What) {
        self.sequence += 1;
        self.coming.insert((when, self.sequence), what);
    }

    /// The network: loses, repeats, delays.
    fn carry(&mut self, what: fn(SocketAddrV4, [u8; LEN]) -> What, address: SocketAddrV4, data: [u8; LEN]) {
        let copies = if self.random.percent(10) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.random.percent(30) {
                let when = self.now + 5 + self.random.below(195);
                self.put(when, what(address, data));
            }
        }
        // The attacker saw it, and sends it again from where he is or pretends to be.
        if self.random.percent(10) {
            let when = self.now + self.random.below(20_000);
            let pretended = if self.random.percent(50) {
                ATTACKER
            } else {
                address
            };
            self.put(when, what(pretended, data));
        }
    }

    fn step(&mut self) -> bool {
        let time = |at: Option<Time>| at.map(Time::as_millis);
        let next = self.nodes.iter().filter_map(|node| time(node.client.deadline()));
        let next = next.chain(self.coming.keys().next().map(|&(when, _)| when));
        let next = next.chain(
            self.director
                .as_ref()
                .and_then(|director| time(director.deadline())),
        );
        self.now = next.min().unwrap_or(u64::MAX).max(self.now);
        if self.now > AGREE_UNTIL {
            return false;
        }
        let now = at(self.now);
        if let Some(entry) = self.coming.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                What::ToDirector(from, data) => self.arrive(from, data),
                What::ToMember(to, data) => {
                    // Only the NAT's present mapping leads to the member; a forged source address is the director's.
                    if let Some(node) = self.nodes.iter_mut().find(|node| node.nat == to) {
                        let _ignored_or_not = node.client.datagram(now, DIRECTOR, &data);
                    }
                }
                What::Fault(fault) => self.fault(fault),
            }
        }
        if let Some(director) = &mut self.director {
            director.tick(now);
        }
        self.drain_director();
        for at in 0..self.nodes.len() {
            self.nodes[at].client.tick(now);
            self.drain_client(at);
        }
        true
    }

    fn arrive(&mut self, from: SocketAddrV4, mut data: [u8; LEN]) {
        let Some(director) = &mut self.director else {
            return;
        };
        let verdict = director.datagram(at(self.now), from, &mut data);
        self.drain_director();
        if verdict.is_answered() {
            self.carry(What::ToMember, from, data);
        }
    }

    fn drain_director(&mut self) {
        let Some(director) = &mut self.director else {
            return;
        };
        while let Some(output) = director.poll() {
            match output {
                Output::Journal(entry) => self.journal.extend(entry.encode()),
                Output::Table(TableOp::Bind { pseudo, bound, .. }) => {
                    self.table.insert(pseudo, bound);
                }
                Output::Table(TableOp::Unbind { pseudo }) => {
                    self.table.remove(&pseudo);
                }
                Output::Event(_) => {}
            }
        }
        let sessions: Vec<_> = director.sessions(at(self.now)).collect();
        assert_eq!(sessions.len(), self.table.len(), "the table is the sessions");
        for session in sessions {
            assert_eq!(self.table.get(&session.pseudo), Some(&session.bound));
            assert!(
                self.owned.contains(&(session.key_id.0, session.bound)),
                "stolen: {session:?}"
            );
        }
    }

    fn drain_client(&mut self, at: usize) {
        while let Some(event) = self.nodes[at].client.poll_event() {
            if let Event::Rebound { observed } = event {
                self.rebound_events += 1;
                assert!(self.owned.contains(&(at as u64 + 1, observed)));
            }
        }
        while let Some(data) = self.nodes[at].client.poll_transmit() {
            let from = self.nodes[at].nat;
            self.carry(What::ToDirector, from, data);
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Nat(who) => {
                let id = who as u64 + 1;
                let port = 1024 + self.random.below(60_000) as u16;
                let node = &mut self.nodes[who];
                node.nat = nat(id as u32, port);
                self.owned.insert((id, node.nat));
                // Data goes on from the new mapping; the fast path reports it.
                if let (Some(director), Some(pseudo)) = (&mut self.director, node.client.pseudo())
                    && let Ok(hint) = director.rebound(at(self.now), node.nat, pseudo, 1400)
                {
                    let to = node.nat;
                    self.carry(What::ToMember, to, hint);
                }
            }
            Fault::ClientDies(who) => {
                self.nodes[who].lives += 1;
                let client = new_client(who as u64 + 1, self.nodes[who].lives, &mut self.random);
                self.nodes[who].client = client;
                self.nodes[who].client.start(at(self.now));
                self.drain_client(who);
            }
            Fault::DirectorDies { .. } if self.director.is_none() => {}
            Fault::DirectorDies { journal, torn } => {
                if torn && journal && self.journal.len() > journal::MAGIC.len() {
                    let cut = 1 + self.random.below(journal::RECORD_LEN as u64 - 1) as usize;
                    self.journal.truncate(self.journal.len() - cut);
                }
                self.director = None;
                let back = self.now + 100 + self.random.below(8000);
                self.put(back, What::Fault(Fault::DirectorStarts { journal }));
            }
            Fault::DirectorStarts { journal: _ } if self.director.is_some() => {}
            Fault::DirectorStarts { journal } => {
                let mut config = [0u8; 32];
                config[..8].copy_from_slice(&self.random.next().to_be_bytes());
                let mut fresh = Director::new(settings(), config).unwrap();
                for id in 1..=MEMBERS {
                    fresh.add_grant(at(self.now), grant(id)).unwrap();
                }
                let before = core::mem::take(&mut self.table);
                if journal {
                    let read = journal::read(&self.journal).unwrap();
                    let restored = fresh.restore(at(self.now), &read);
                    assert_eq!((restored.sessions, restored.outdated), (read.bindings.len(), 0));
                    if read.lost_len == 0 {
                        let bindings = read
                            .bindings
                            .iter()
                            .map(|binding| (binding.pseudo, binding.bound));
                        assert_eq!(
                            bindings.collect::<BTreeMap<_, _>>(),
                            before,
                            "nothing is forgotten"
                        );
                    }
                }
                self.journal = journal::encode_all(fresh.journal());
                self.director = Some(fresh);
                self.drain_director();
            }
        }
    }

    /// Does everybody believe the same?
    fn agrees(&self) -> bool {
        let Some(director) = &self.director else {
            return false;
        };
        self.nodes.iter().zip(1..).all(|(node, id)| {
            let session = director
                .sessions(at(self.now))
                .find(|session| session.key_id == KeyId(id));
            session.is_some_and(|session| {
                node.client.phase() == Phase::Bound
                    && node.client.pseudo() == Some(session.pseudo)
                    && node.client.observed() == Some(node.nat)
                    && session.bound == node.nat
            })
        })
    }
}

/// Runs a seed; how long after the last fault it took to agree, milliseconds, and how many moves clients were told of.
fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    for at_node in 0..world.nodes.len() {
        world.nodes[at_node].client.start(at(0));
        world.drain_client(at_node);
    }
    while world.step() {
        let faults_over = world.now >= FAULTS_UNTIL && world.director.is_some();
        if faults_over && world.agrees() {
            return (world.now - FAULTS_UNTIL, world.rebound_events);
        }
    }
    let phases: Vec<_> = world.nodes.iter().map(|node| node.client.phase()).collect();
    let counters: Option<Vec<_>> = world.director.as_ref().map(|director| {
        director
            .counters()
            .iter()
            .filter(|&(_, count)| count > 0)
            .collect()
    });
    panic!(
        "seed {seed}: no agreement four minutes after the last fault; clients are {phases:?}; director: {counters:?}"
    );
}

#[test]
fn clients_and_director_agree_in_any_bad_network() {
    let seeds = std::env::var("KITH_SIMULATION_SEEDS").map_or(2000, |seeds| seeds.parse().unwrap());
    let mut runs: Vec<_> = (0..seeds).map(run).collect();
    let moves: u64 = runs.iter().map(|run| run.1).sum();
    assert!(moves > seeds / 2, "NAT rebindings were really exercised: {moves}");
    runs.sort_unstable();
    let at_percent = |percent: usize| runs[(runs.len() - 1) * percent / 100].0;
    println!(
        "{seeds} seeds: agreement after the last fault: median {} ms, p99 {} ms, worst {} ms; {moves} moves",
        at_percent(50),
        at_percent(99),
        at_percent(100)
    );
}
