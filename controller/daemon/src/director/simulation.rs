//! Members that come, move and go, and a controller and a dataplane that are killed, cut off and refused at random: in the
//! end both agree, no member was told what is not so, and a session that nobody touched was never out of the tables.

use super::tests::{director, fake, settings, settle};
use super::*;
use crate::southbound::Southbound;
use crate::southbound::fake::{Badness, Fake};
use kith_director::DirectorKey;
use kith_director::client::{Client, ClientConfig, Phase};
use kith_director::journal;
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::Packet;
use kith_wire::control::{Control, KeyId, Status};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::DataType;

const MEMBERS: u32 = 12;
/// Large enough that addresses which rest are not missed.
const POOL: u32 = 128;
const STATION: (MacAddr, MacAddr) = (MacAddr([2, 0, 0, 0, 0, 10]), MacAddr([2, 0, 0, 0, 0, 21]));

struct World {
    core: Core,
    fake: Fake,
    /// The journal's octets, which a kill leaves.
    disk: Vec<u8>,
    members: Vec<(Client, SocketAddrV4)>,
    now: u64,
    random: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let own = SocketAddrV4::new(director(1, 1).config().address, 20202);
        let members = (0..MEMBERS).map(|index| {
            let key = DirectorKey::new([7; 32]);
            let config = ClientConfig::new(own, KeyId(index.into()), key, 1, seed ^ u64::from(index));
            let at = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, index as u8), 4000);
            (Client::new(config), at)
        });
        Self {
            core: Core::new(director(MEMBERS, POOL), settings()),
            fake: Fake::new(PseudoIp::new(super::tests::FIRST).unwrap(), POOL, seed | 1),
            disk: journal::encode_all([]),
            members: members.collect(),
            now: 0,
            random: seed | 1,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn now(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// One event on its way up, and whatever follows.
    fn turn(&mut self) {
        if let Some(event) = self.fake.ready() {
            self.core.event(self.now(), event);
        }
        self.core.tick(self.now());
        while let Some(task) = self.core.poll(self.now()) {
            match task {
                Task::Journal(entries) => self.disk.extend(entries.iter().flat_map(Entry::encode)),
                Task::Request(request) => {
                    if let Request::PacketOut { frame, .. } = &request
                        && self.fake.takes_requests()
                    {
                        self.assert_true(frame);
                    }
                    if let Err(request) = self.fake.submit(request) {
                        self.core.not_submitted(&request);
                    }
                }
                Task::News(_) => {}
            }
        }
    }

    /// Messages of members go up, answers down; `lost` percent of both do not.
    fn carry(&mut self, lost: u64) {
        for index in 0..self.members.len() {
            self.members[index].0.tick(Time::from_millis(self.now));
            while let Some(message) = self.members[index].0.poll_transmit() {
                let frame = frame(self.members[index].1, &message);
                if self.below(100) >= lost {
                    self.fake.punt(PuntReason::Control as u16, frame);
                }
            }
        }
        for (_, frame) in std::mem::take(&mut self.fake.sent) {
            if self.below(100) < lost {
                continue;
            }
            let (envelope, packet) = envelope::open(0, frame).unwrap();
            let member = self.members.iter_mut().find(|(_, at)| *at == envelope.to);
            if let Some((client, _)) = member {
                let _ignored = client.datagram(Time::from_millis(self.now), envelope.from, packet.bytes());
            }
        }
    }

    /// Whoever is told "ok" at this moment is in the tables and in the journal, at the address where it is told so.
    fn assert_true(&self, frame: &[u8]) {
        let (envelope, packet) = envelope::open(0, frame.to_vec()).unwrap();
        let unproven = Control::parse(packet.bytes()).unwrap();
        let answer = DirectorKey::new([7; 32]).open(unproven).unwrap();
        let journal = journal::read(&self.disk).unwrap();
        let kept = journal
            .bindings
            .iter()
            .find(|it| it.pseudo.to_bits() == answer.pseudo);
        let entries = (
            self.fake.senders.get(&answer.pseudo),
            self.fake.sessions.get(&answer.pseudo),
        );
        match (answer.status, answer.data_type) {
            (Status::Ok, DataType::Leave) => assert_eq!((kept, entries), (None, (None, None))),
            (Status::Ok, _) => {
                assert_eq!(entries.0.map(|it| it.bound), Some(envelope.to), "{answer:?}");
                assert_eq!(entries.1.map(|it| it.bound), Some(envelope.to), "{answer:?}");
                assert_eq!(kept.map(|it| it.bound), Some(envelope.to), "{answer:?}");
            }
            _ => {}
        }
    }

    /// kill -9, and a new process with the journal.
    fn kill_controller(&mut self) {
        self.fake.disconnect();
        while self.fake.ready().is_some() {}
        let mut director = director(MEMBERS, POOL);
        director.restore(self.now(), &journal::read(&self.disk).unwrap());
        self.core = Core::new(director, settings());
    }

    fn mishap(&mut self) {
        match self.below(400) {
            0 => self.kill_controller(),
            1 => self.fake.restart(),
            2..=4 => self.fake.disconnect(),
            5..=8 => {
                let index = self.below(MEMBERS.into()) as usize;
                self.members[index].1.set_port(4000 + self.random as u16 % 1000);
            }
            9 => {
                let index = self.below(MEMBERS.into()) as usize;
                let now = self.now();
                self.members[index].0.leave(now);
            }
            10..=12 => {
                for (client, _) in &mut self.members {
                    client.start(Time::from_millis(self.now));
                }
            }
            _ => {}
        }
    }

    fn assert_agreed(&self, seed: u64) {
        let wanted: Vec<_> = self.core.director().sessions(self.now()).collect();
        let senders: Vec<_> = self
            .fake
            .senders
            .iter()
            .map(|(&key, it)| (key, it.bound))
            .collect();
        let sessions: Vec<_> = self
            .fake
            .sessions
            .iter()
            .map(|(&key, it)| (key, it.bound, it.mtu))
            .collect();
        let all: Vec<_> = wanted.iter().map(|it| (it.pseudo.to_bits(), it.bound)).collect();
        assert_eq!(senders, all, "seed {seed}: senders");
        let all: Vec<_> = wanted
            .iter()
            .map(|it| (it.pseudo.to_bits(), it.bound, it.mtu))
            .collect();
        assert_eq!(sessions, all, "seed {seed}: sessions");
        let mut kept: Vec<_> = journal::read(&self.disk)
            .unwrap()
            .bindings
            .iter()
            .map(|it| it.pseudo)
            .collect();
        kept.sort();
        let all: Vec<_> = wanted.iter().map(|it| it.pseudo).collect();
        assert_eq!(kept, all, "seed {seed}: journal");
    }
}

fn frame(from: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = kith_pipeline::packet::HostPacket::from_bytes(data);
    let outer = Outer {
        source: (STATION.1, from),
        destination: (
            STATION.0,
            SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 20202),
        ),
        checksum: true,
    };
    outer.push(&mut packet).unwrap();
    packet.bytes().to_vec()
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.fake.badness = Badness {
        failures: 10,
        breaks: 1,
    };
    for (client, _) in &mut world.members {
        client.start(Time::ZERO);
    }
    for _ in 0..4_000 {
        world.now += 25;
        world.mishap();
        if !world.fake.is_connected() && world.below(4) == 0 {
            world.fake.connect();
        }
        world.carry(10);
        world.turn();
    }
    // Everybody is well again.
    world.fake.badness = Badness::default();
    if !world.fake.is_connected() {
        world.fake.connect();
    }
    for _ in 0..6_000 {
        world.now += 10;
        for (client, _) in &mut world.members {
            client.start(Time::from_millis(world.now));
        }
        world.carry(0);
        world.turn();
        world.turn();
    }
    world.assert_agreed(seed);
    for (index, (client, _)) in world.members.iter().enumerate() {
        assert_eq!(client.phase(), Phase::Bound, "seed {seed}, member {index}");
    }
    assert_eq!((world.core.held(), world.core.lacking()), (0, 0), "seed {seed}");
}

#[test]
fn after_any_crashes_controller_and_dataplane_agree() {
    let seeds = std::env::var("KITH_SEEDS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(100u64);
    for seed in 0..seeds {
        run(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

#[test]
fn a_controller_that_was_killed_takes_nothing_from_the_tables() {
    let mut director = director(MEMBERS, POOL);
    let bindings: Vec<_> = (0..MEMBERS)
        .map(|index| journal::Binding {
            pseudo: PseudoIp::new(super::tests::FIRST + index).unwrap(),
            key_id: KeyId(index.into()),
            bound: SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, index as u8), 4000),
            community: 1,
            counter: 1,
            sender_only: index % 2 == 1,
        })
        .collect();
    let read = journal::Read {
        bindings,
        ..journal::Read::default()
    };
    director.restore(Time::ZERO, &read);
    let mut fake = fake(POOL);
    let mut core = Core::new(director, settings());
    fake.connect();
    settle(&mut core, &mut fake, 0);
    let before = (fake.senders.clone(), fake.sessions.clone());
    let octets = journal::encode_all(core.director().journal());
    for _ in 0..100 {
        fake.disconnect();
        while fake.ready().is_some() {}
        let mut director = super::tests::director(MEMBERS, POOL);
        director.restore(Time::ZERO, &journal::read(&octets).unwrap());
        core = Core::new(director, settings());
        fake.asked = (0, 0, 0);
        fake.connect();
        settle(&mut core, &mut fake, 0);
        assert_eq!(fake.asked, (0, 0, 0), "not one entry was touched");
    }
    assert_eq!((&fake.senders, &fake.sessions), (&before.0, &before.1));
}
