//! The control of a gateway against a dataplane that is strict: tables in memory, no packets.

use super::config::{GatewayConfig, Written};
use super::core::{Core, Found, Output};
use super::{frames, tables};
use crate::config::{Cipher, Secret};
use crate::envelope;
use crate::keying::{
    Action, Agreement, Agreements, Door, Entropy, Event, KeyAgreement, Known, Method, Moment, NewKeys,
    PairSecret, Setup, Spis, Whereabouts, ike,
};
use crate::members;
use kith_esp::Limits;
use kith_p4runtime::association::{Association, AssociationKey, AssociationState, Direction};
use kith_p4runtime::entry::{Entry, Key, MemberAction, Table};
use kith_p4runtime::packet::{PacketIn, PacketOut, PacketOutMode};
use kith_p4runtime::update::Update;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::{PortIndex, SaIndex};
use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
const ALICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PRINTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
const LAN: PortIndex = PortIndex(1);
const EXAMPLE: &str = r#"
dataplane: unix:/run/kith/dataplane.sock
community: 1
lan: 1
associations: 8
members:
- { name: alice.acme.example, address: 10.77.0.1, stand_in: 192.168.1.201, via: { direct: "203.0.113.40:20202" } }
devices:
- name: printer.acme.example
  address: 10.77.0.20
  local: 192.168.1.20
  public: "203.0.113.30:20202"
  peers: [ { member: alice.acme.example, psk: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" } ]
policies:
- { allow: true, protocol: 6, port: 631 }
"#;

fn config(text: &str) -> Result<GatewayConfig, String> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    written.validate().map_err(|invalid| invalid.to_string())
}

/// A dataplane that takes nothing that makes no sense, in no order that loses a packet.
#[derive(Default)]
struct Plane {
    entries: BTreeMap<Key, Entry>,
    associations: BTreeMap<AssociationKey, (Association, AssociationState)>,
    /// Keys that sealed or opened, ever: also before it was started anew.
    ever: HashSet<Vec<u8>>,
    sent: Vec<PacketOut>,
}

impl Plane {
    fn write(&mut self, update: Update) {
        match update {
            Update::Insert(row) => {
                self.names_what_is_there(&row.entry);
                assert!(
                    self.entries.insert(row.entry.key(), row.entry).is_none(),
                    "{:?}",
                    row.entry
                );
            }
            Update::Modify(row) => {
                self.names_what_is_there(&row.entry);
                let before = self.entries.insert(row.entry.key(), row.entry);
                assert!(
                    before.is_some() || row.entry.key().table() == Table::Endpoint,
                    "{:?}",
                    row.entry
                );
            }
            Update::Delete(key) => assert!(self.entries.remove(&key).is_some(), "{key:?}"),
            Update::InstallAssociation(association) => {
                assert!(association.key.index.0 < 8);
                let keys = association.keys().keymat().to_vec();
                assert!(self.ever.insert(keys), "a key comes a second time");
                let state = AssociationState {
                    key: association.key,
                    spi: association.spi,
                    cipher: association.cipher(),
                    limits: association.limits,
                    packets: 0,
                    octets: 0,
                    blocks: 0,
                    dummies: 0,
                    age: kith_esp::Millis(0),
                    soft: false,
                    hard: false,
                    worker: 0,
                };
                let before = self.associations.insert(association.key, (association, state));
                assert!(before.is_none(), "the place is taken");
            }
            Update::RemoveAssociation(key) => {
                let named = self.entries.values().find(|entry| names(entry) == Some(key));
                assert!(named.is_none(), "{named:?} still names it");
                assert!(self.associations.remove(&key).is_some(), "{key:?}");
            }
            _ => panic!("nothing else is written"),
        }
    }

    fn names_what_is_there(&self, entry: &Entry) {
        assert!(
            names(entry).is_none_or(|key| self.associations.contains_key(&key)),
            "{entry:?}"
        );
    }

    fn found(&self) -> Found {
        let theirs = self
            .entries
            .values()
            .filter(|entry| tables::TABLES.contains(&entry.key().table()));
        Found {
            address: GATEWAY,
            entries: theirs.copied().collect(),
            associations: self.states(),
        }
    }

    fn states(&self) -> Vec<AssociationState> {
        self.associations.values().map(|(_, state)| *state).collect()
    }

    /// What the tunnel to alice is sealed with.
    fn sealing(&self) -> Option<AssociationKey> {
        self.entries
            .values()
            .filter(|entry| entry.key().table() == Table::Member)
            .find_map(names)
    }

    fn state(&mut self, key: AssociationKey) -> &mut AssociationState {
        &mut self.associations.get_mut(&key).unwrap().1
    }

    fn opening(&self) -> Vec<AssociationKey> {
        let open = self
            .entries
            .values()
            .filter(|entry| entry.key().table() == Table::Association);
        open.filter_map(names).collect()
    }
}

fn names(entry: &Entry) -> Option<AssociationKey> {
    match entry {
        Entry::Member(_, MemberAction::SealTo { sa, .. }) => Some(key(Direction::Outbound, *sa)),
        Entry::Association(_, open) => Some(key(Direction::Inbound, open.sa)),
        _ => None,
    }
}

fn key(direction: Direction, index: u32) -> AssociationKey {
    AssociationKey {
        direction,
        index: SaIndex(index),
    }
}

/// A gateway with its dataplane, and the member alice with an agent of her own.
struct World {
    micros: u64,
    core: Core,
    plane: Plane,
    connected: bool,
    /// Nothing gets to alice.
    deaf: bool,
    alice: Agreements,
    /// Alice's keys, newest last: what she opens and seals with.
    alices: [Vec<NewKeys>; 2],
    seed: u8,
}

fn entropy(seed: u8) -> Entropy {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Box::new(move |out| {
        for octet in out {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            *octet = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u8;
        }
    })
}

fn known(address: Ipv4Addr, name: &str) -> Known {
    Known {
        address,
        name: name.into(),
        secret: Arc::new(PairSecret::new(
            Secret::from_hex(&"0123456789abcdef".repeat(4)).unwrap(),
        )),
        ticket: Vec::new(),
    }
}

fn alice(now: Moment, seed: u8) -> Agreements {
    let (own, location, spis) = (ALICE, None, Spis::new(64));
    let (cipher, limits) = (Cipher::Aes256Gcm, Limits::default());
    let exchange = Agreement::new(Setup {
        own,
        location,
        cipher,
        limits,
        spis: spis.clone(),
        entropy: entropy(seed),
    });
    let ike = ike::Agreement::new(ike::Setup {
        own: (own, "alice.acme.example".into()),
        location,
        cipher,
        limits,
        spis,
        entropy: entropy(seed + 1),
        door: Door::new(false),
    });
    let mut alice = Agreements::new(Method::Ike, ike, exchange);
    alice.add(now, MemberIndex(0), known(PRINTER, "printer.acme.example"));
    alice
}

impl World {
    fn new() -> Self {
        let now = Moment {
            micros: 1_000_000,
            wall_nanos: 1_800_000_000_000_000_000,
        };
        Self {
            micros: now.micros,
            core: Core::new(config(EXAMPLE).unwrap(), now, &|| entropy(101)),
            plane: Plane::default(),
            connected: false,
            deaf: false,
            alice: alice(now, 11),
            alices: [Vec::new(), Vec::new()],
            seed: 101,
        }
    }

    fn up() -> Self {
        let mut world = Self::new();
        world.connect();
        world.pass(3_000);
        assert!(world.agrees(), "keys are agreed on at once");
        world
    }

    fn now(&self) -> Moment {
        Moment {
            micros: self.micros,
            wall_nanos: 1_800_000_000_000_000_000 + self.micros * 1000,
        }
    }

    fn connect(&mut self) {
        self.connected = true;
        let (now, found) = (self.now(), self.plane.found());
        self.core.connected(now, found);
        self.settle();
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.core.away();
    }

    /// Another process takes over; what the last one knew is gone.
    fn restart(&mut self) {
        self.seed += 10;
        let (now, seed) = (self.now(), self.seed);
        self.core = Core::new(config(EXAMPLE).unwrap(), now, &|| entropy(seed));
        self.connect();
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.core.output() {
                quiet = false;
                match output {
                    Output::Write(updates) => updates.into_iter().for_each(|update| self.plane.write(update)),
                    Output::Packet(packet) => self.packet_out(packet),
                }
            }
            while let Some(action) = self.alice.next_action() {
                quiet = false;
                match action {
                    Action::Send(_, method, message) => {
                        let (shim, _) =
                            members::way(None, Whereabouts::Public("203.0.113.30:20202".parse().unwrap()))
                                .unwrap();
                        let datagram = envelope::keying(&shim, ALICE, PRINTER, method, &message).unwrap();
                        let (from, to) = (
                            "203.0.113.40:20202".parse().unwrap(),
                            "203.0.113.30:20202".parse().unwrap(),
                        );
                        let frame = frames::routed(from, to, &datagram).unwrap();
                        self.punt(PuntReason::Keying, PortIndex(0), frame);
                    }
                    Action::InstallInbound(_, keys) => self.alices[0].push(*keys),
                    Action::InstallOutbound(_, keys) => self.alices[1].push(*keys),
                    _ => {}
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn packet_out(&mut self, packet: PacketOut) {
        if packet.mode != PacketOutMode::Routed {
            return self.plane.sent.push(packet);
        }
        let message = frames::keying(&packet.frame).expect("nothing else is sent without a director");
        assert_eq!((message.source, message.destination), (PRINTER, ALICE));
        if self.deaf {
            return;
        }
        let (method, data, now) = (message.method, message.data.to_vec(), self.now());
        self.alice.receive(now, method, MemberIndex(0), &data);
    }

    fn punt(&mut self, reason: PuntReason, ingress_port: PortIndex, frame: Vec<u8>) {
        if self.connected {
            let reason = reason as u16;
            let packet = PacketIn {
                ingress_port,
                reason,
                frame,
            };
            self.core.packet_in(self.now(), packet);
        }
    }

    /// A packet of the printer's for alice comes up.
    fn keys_missing(&mut self, mark: u8) -> Vec<u8> {
        let (from, to) = (
            "192.168.1.20:9".parse().unwrap(),
            "192.168.1.201:9".parse().unwrap(),
        );
        let frame = frames::routed(from, to, &[mark]).unwrap();
        self.punt(PuntReason::KeysMissing, LAN, frame.clone());
        self.settle();
        frame
    }

    /// Time passes; the dataplane is asked four times a second, and alice says that she hears everything.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.micros + milliseconds * 1000;
        while self.micros < end {
            self.micros += 50_000;
            let now = self.now();
            if self.connected && self.micros.is_multiple_of(250_000) {
                self.core.states(now, self.plane.states());
            }
            self.core.tick(now);
            self.alice.poll(now);
            self.settle();
        }
    }

    /// Both ends have the same keys for both directions, and the tables use them.
    fn agrees(&self) -> bool {
        let [opens, seals] = &self.alices;
        let same = |theirs: &NewKeys, ours: &Association| {
            theirs.spi == ours.spi && *theirs.keys.keymat() == *ours.keys().keymat()
        };
        let Some((sealing, _)) = self.plane.sealing().map(|key| &self.plane.associations[&key]) else {
            return false;
        };
        let opening = self.plane.opening();
        opens.iter().any(|theirs| same(theirs, sealing))
            && seals.last().is_some_and(|theirs| {
                opening
                    .iter()
                    .any(|key| same(theirs, &self.plane.associations[key].0))
            })
    }

    /// A packet under the newest association, in each direction.
    fn traffic(&mut self) {
        let sealing = self.plane.sealing().expect("sealed");
        self.plane.state(sealing).packets += 1;
        let spi = self.alices[1].last().expect("alice seals").spi;
        let opening = self.plane.opening();
        let open = opening
            .into_iter()
            .find(|key| self.plane.associations[key].0.spi == spi);
        self.plane
            .state(open.expect("what alice seals can be opened"))
            .packets += 1;
        let now = self.now();
        let newest = self.alices[0].last().map(|keys| keys.spi).expect("alice opens");
        self.alice.event(now, MemberIndex(0), Event::Heard(newest));
    }
}

#[test]
fn the_example_is_good_and_contradictions_are_told_all_at_once() {
    let good = config(EXAMPLE).unwrap();
    assert_eq!(
        (good.wan, good.lan, good.devices[0].peers[0].0),
        (PortIndex(0), LAN, 0)
    );
    let bad = EXAMPLE
        .replace("community: 1", "community: 0")
        .replace("lan: 1\n", "lan: 0\n")
        .replace("associations: 8", "associations: 1")
        .replace("stand_in: 192.168.1.201", "stand_in: 192.168.1.20")
        .replace("  public: \"203.0.113.30:20202\"\n", "")
        .replace("member: alice", "member: bob");
    let told = config(&bad).err().unwrap();
    for field in [
        "community:",
        "lan:",
        "associations:",
        "devices[0].local:",
        "devices[0]:",
        "devices[0].peers[0].member: bob.acme.example",
    ] {
        assert!(told.contains(field), "{field} in {told}");
    }
    assert!(!told.contains("89abcdef"), "no secret in what is told");
    let trivial = config(&EXAMPLE.replace(&"0123456789abcdef".repeat(4), &"5a".repeat(32)))
        .err()
        .unwrap();
    assert!(
        trivial.contains("devices[0].peers[0].psk: take a random secret"),
        "{trivial}"
    );
    assert!(
        config(&EXAMPLE.replace("lan: 1", "lna: 1"))
            .err()
            .unwrap()
            .contains("lna")
    );
}

#[test]
fn a_pair_has_keys_before_the_first_packet_and_the_same_at_both_ends() {
    let world = World::up();
    assert_eq!(
        (world.plane.opening().len(), world.plane.associations.len()),
        (1, 2)
    );
}

#[test]
fn packets_that_come_up_wait_for_keys_and_are_submitted_again_in_order() {
    let mut world = World::new();
    world.deaf = true;
    world.connect();
    let frames = [world.keys_missing(1), world.keys_missing(2)];
    world.pass(1_000);
    assert!(world.plane.sent.is_empty());
    world.deaf = false;
    world.pass(5_000);
    let again: Vec<&PacketOut> = world.plane.sent.iter().collect();
    assert_eq!(again.len(), 2);
    for (packet, frame) in again.into_iter().zip(&frames) {
        assert_eq!(
            (packet.mode, packet.egress_port, &packet.frame),
            (PacketOutMode::Submit, LAN, frame)
        );
    }
}

#[test]
fn a_packet_that_comes_right_after_a_failure_asks_again_by_itself() {
    let mut world = World::new();
    world.deaf = true;
    world.connect();
    // The first handshake comes to nothing after 20 s.
    world.pass(20_300);
    world.deaf = false;
    world.keys_missing(1);
    world.pass(5_000);
    assert_eq!(world.plane.sent.len(), 1);
}

#[test]
fn a_soft_limit_brings_a_successor_beside_the_old_one_and_then_the_old_one_goes() {
    let mut world = World::up();
    for round in 0..20 {
        world.traffic();
        world.pass(1_000);
        let before = world.plane.sealing().unwrap();
        let spi = world.plane.associations[&before].0.spi;
        world.plane.state(before).soft = true;
        // Alice began the last one, perhaps: the other end waits for her.
        world.pass(8_000);
        assert!(world.agrees(), "round {round}");
        assert_ne!(
            world.plane.associations[&world.plane.sealing().unwrap()].0.spi,
            spi
        );
        assert!(
            world.plane.associations.len() <= 3,
            "the old one opens what is under way, at most"
        );
    }
}

#[test]
fn a_hard_limit_stops_sealing_and_packets_come_up() {
    let mut world = World::up();
    let sealing = world.plane.sealing().unwrap();
    world.plane.state(sealing).hard = true;
    world.alice = alice(world.now(), 31);
    world.pass(300);
    assert_eq!(world.plane.sealing(), None);
    assert!(!world.plane.associations.contains_key(&sealing));
}

#[test]
fn a_dataplane_that_was_killed_gets_new_keys_and_never_the_old_ones() {
    let mut world = World::up();
    world.disconnect();
    world.plane.entries.clear();
    world.plane.associations.clear();
    world.pass(2_000);
    world.connect();
    world.pass(5_000);
    // The strict dataplane remembers all keys that it ever saw.
    assert!(world.agrees());
}

#[test]
fn another_process_adopts_what_it_finds_until_it_has_keys_of_its_own() {
    let mut world = World::up();
    let before = world.plane.sealing().unwrap();
    let (spi, opening) = (world.plane.associations[&before].0.spi, world.plane.opening());
    world.traffic();
    world.restart();
    assert!(
        opening
            .iter()
            .all(|key| world.plane.associations.contains_key(key)),
        "packets of before still come through"
    );
    world.pass(3_000);
    assert!(world.agrees());
    assert_ne!(
        world.plane.associations[&world.plane.sealing().unwrap()].0.spi,
        spi,
        "new keys"
    );
    world.pass(10_000);
    assert_eq!(
        (world.plane.opening().len(), world.plane.associations.len()),
        (1, 2),
        "nothing is left over"
    );
}

#[test]
fn a_connection_that_breaks_costs_nothing() {
    let mut world = World::up();
    let (entries, sealing) = (world.plane.entries.clone(), world.plane.sealing());
    world.disconnect();
    world.pass(5_000);
    world.connect();
    world.pass(1_000);
    assert_eq!((&world.plane.entries, world.plane.sealing()), (&entries, sealing));
}

#[test]
fn entries_that_are_not_ours_go_and_ours_come_back() {
    let mut world = World::up();
    world.disconnect();
    let ours = world.plane.entries.clone();
    let gone = *ours.keys().find(|key| key.table() == Table::Policy).unwrap();
    let Key::Policy(mut foreign) = gone else {
        panic!("a policy")
    };
    let action = ours[&gone];
    world.plane.entries.remove(&gone);
    foreign.priority = 7;
    let Entry::Policy(_, action) = action else {
        panic!("a policy")
    };
    world
        .plane
        .entries
        .insert(Key::Policy(foreign), (foreign, action).into());
    world.connect();
    assert_eq!(world.plane.entries, ours);
}
