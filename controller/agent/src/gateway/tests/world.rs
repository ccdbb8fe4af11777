//! A dataplane that is strict, a gateway's control, and a member with an agent of her own.

use super::super::config::{GatewayConfig, Written};
use super::super::core::{Core, Found, Output};
use super::super::{frames, tables};
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

pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
pub(super) const ALICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(super) const PRINTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
pub(super) const LAN: PortIndex = PortIndex(1);
pub(super) const EXAMPLE: &str = r#"
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

pub(super) fn config(text: &str) -> Result<GatewayConfig, String> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    written.validate().map_err(|invalid| invalid.to_string())
}

/// A dataplane that takes nothing that makes no sense, in no order that loses a packet.
#[derive(Default)]
pub(super) struct Plane {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) associations: BTreeMap<AssociationKey, (Association, AssociationState)>,
    /// Keys that sealed or opened, ever: also before it was started anew.
    pub(super) ever: HashSet<Vec<u8>>,
    pub(super) sent: Vec<PacketOut>,
}

impl Plane {
    pub(super) fn write(&mut self, update: Update) {
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

    pub(super) fn names_what_is_there(&self, entry: &Entry) {
        assert!(
            names(entry).is_none_or(|key| self.associations.contains_key(&key)),
            "{entry:?}"
        );
    }

    pub(super) fn found(&self) -> Found {
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

    pub(super) fn states(&self) -> Vec<AssociationState> {
        self.associations.values().map(|(_, state)| *state).collect()
    }

    /// What the tunnel to alice is sealed with.
    pub(super) fn sealing(&self) -> Option<AssociationKey> {
        self.entries
            .values()
            .filter(|entry| entry.key().table() == Table::Member)
            .find_map(names)
    }

    pub(super) fn state(&mut self, key: AssociationKey) -> &mut AssociationState {
        &mut self.associations.get_mut(&key).unwrap().1
    }

    pub(super) fn opening(&self) -> Vec<AssociationKey> {
        let open = self
            .entries
            .values()
            .filter(|entry| entry.key().table() == Table::Association);
        open.filter_map(names).collect()
    }
}

pub(super) fn names(entry: &Entry) -> Option<AssociationKey> {
    match entry {
        Entry::Member(_, MemberAction::SealTo { sa, .. }) => Some(key(Direction::Outbound, *sa)),
        Entry::Association(_, open) => Some(key(Direction::Inbound, open.sa)),
        _ => None,
    }
}

pub(super) fn key(direction: Direction, index: u32) -> AssociationKey {
    AssociationKey {
        direction,
        index: SaIndex(index),
    }
}

/// A gateway with its dataplane, and the member alice with an agent of her own.
pub(super) struct World {
    pub(super) micros: u64,
    pub(super) core: Core,
    pub(super) plane: Plane,
    pub(super) connected: bool,
    /// Nothing gets to alice.
    pub(super) deaf: bool,
    pub(super) alice: Agreements,
    /// Alice's keys, newest last: what she opens and seals with.
    pub(super) alices: [Vec<NewKeys>; 2],
    pub(super) seed: u8,
}

pub(super) fn entropy(seed: u8) -> Entropy {
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

pub(super) fn known(address: Ipv4Addr, name: &str) -> Known {
    Known {
        address,
        name: name.into(),
        secret: Arc::new(PairSecret::new(
            Secret::from_hex(&"0123456789abcdef".repeat(4)).unwrap(),
        )),
        ticket: Vec::new(),
    }
}

pub(super) fn alice(now: Moment, seed: u8) -> Agreements {
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
    pub(super) fn new() -> Self {
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

    pub(super) fn up() -> Self {
        let mut world = Self::new();
        world.connect();
        world.pass(3_000);
        assert!(world.agrees(), "keys are agreed on at once");
        world
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            micros: self.micros,
            wall_nanos: 1_800_000_000_000_000_000 + self.micros * 1000,
        }
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        let (now, found) = (self.now(), self.plane.found());
        self.core.connected(now, found);
        self.settle();
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.core.away();
    }

    /// Another process takes over; what the last one knew is gone.
    pub(super) fn restart(&mut self) {
        self.seed += 10;
        let (now, seed) = (self.now(), self.seed);
        self.core = Core::new(config(EXAMPLE).unwrap(), now, &|| entropy(seed));
        self.connect();
    }

    pub(super) fn settle(&mut self) {
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

    pub(super) fn packet_out(&mut self, packet: PacketOut) {
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

    pub(super) fn punt(&mut self, reason: PuntReason, ingress_port: PortIndex, frame: Vec<u8>) {
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
    pub(super) fn keys_missing(&mut self, mark: u8) -> Vec<u8> {
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
    pub(super) fn pass(&mut self, milliseconds: u64) {
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
    pub(super) fn agrees(&self) -> bool {
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
    pub(super) fn traffic(&mut self) {
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
