//! A seed's story from its beginning to its end; and the hour before, which all seeds share.

use crate::chaos;
use crate::device::Device;
use crate::dice::Dice;
use crate::director::Node;
use crate::net::{Net, Violation};
use crate::operator::{Act, Operator};
use crate::seat::Seat;
use crate::server::Server;
use crate::world::{START, What, World};
use kith_agent::manager::request::Manager;
use kith_manager::admin::{compile_policy, run as command};
use kith_manager::core::{Rate, Settings};
use kith_protocol::admin;
use kith_protocol::member::{ManagerAddress, RegistrationFile};
use kith_protocol::secret::Secret32;
use kith_store::memory::Memory;
use kith_store::{History, Options, Revision};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::OnceLock;

/// Devices of a seed.
pub const DEVICES: usize = 200;
/// So many of them registered in the hour before; the others do in the storm.
pub const KNOWN: usize = 160;
const SITES: usize = 8;
const HOST: &str = "manager.example";
const FINGERPRINT: [u8; 32] = [7; 32];

/// How a seed's story ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// What was wrong, if something was.
    pub violation: Option<Violation>,
    /// After so many milliseconds of a good network all was well.
    pub well_after: u64,
    /// Events, and what they add up to: the same for the same seed.
    pub events: u64,
    /// Requests of the device that made most.
    pub most_requests: u64,
    /// The longest queue of a stream, and most transactions under way.
    pub longest: (usize, usize),
    /// How often members were told of a member, and of rules.
    pub told: (u64, u64),
    /// Operators' acts done and refused.
    pub acts: (u64, u64),
    /// Lives of the manager.
    pub lives: u32,
    /// How often a device had an address to which another had the right by then.
    pub overlaps: u64,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> Ending {
    ending(&play(seed, None))
}

/// Runs a seed that went wrong again, and gives its last lines about this member.
#[must_use]
pub fn tell(seed: u64, member: Option<&str>, lines: usize) -> String {
    play(seed, Some(member.unwrap_or("nobody").to_owned()))
        .net
        .story(lines)
}

fn ending(world: &World) -> Ending {
    Ending {
        violation: world.net.violation().cloned(),
        well_after: world
            .well
            .zip(world.healed)
            .map_or(0, |(well, healed)| well - healed),
        events: world.events,
        most_requests: world
            .devices
            .iter()
            .map(|device| device.requests)
            .max()
            .unwrap_or(0),
        longest: world.server.longest,
        told: world.server.pushes.told,
        acts: world.operator.done,
        lives: world.server.generation,
        overlaps: world.overlaps,
    }
}

fn play(seed: u64, heroine: Option<String>) -> World {
    let before = before();
    let mut world = world(
        seed,
        before.store.fork_at(before.revision).unwrap_or_default(),
        heroine,
    );
    world.server.mirror.begin(&before.entries);
    world.net.now = START;
    for (number, file) in &before.files {
        world.devices[*number].file = Some(file.clone());
        let at = START + world.net.dice.below(20_000);
        world.net.at(at, What::Boot(*number, 0));
    }
    let new: Vec<usize> = (KNOWN..DEVICES).collect();
    for (wave, numbers) in new.chunks(10).enumerate() {
        let at = START + 15_000 * wave as u64;
        world.operator.plan.push_back((at, Act::Invite(numbers.to_vec())));
    }
    chaos::plan(&mut world);
    begin(&mut world);
    world.run();
    world
}

/// The hour before: communities are made, and most devices register.
struct Before {
    store: Memory,
    revision: Revision,
    entries: Vec<kith_store::Entry>,
    files: BTreeMap<usize, RegistrationFile>,
}

fn before() -> &'static Before {
    static BEFORE: OnceLock<Before> = OnceLock::new();
    BEFORE.get_or_init(|| {
        let options = Options {
            history: History {
                revisions: 8,
                octets: 16 << 20,
            },
            ..Options::default()
        };
        let mut world = world(0, Memory::with(options), None);
        world.registers_only = true;
        let communities = [
            chaos::community("acme.example", &["10.77.0.0/24"], false),
            chaos::community("tight.example", &["10.66.0.0/28"], false),
            chaos::community("lonely.example", &["10.55.0.0/24"], false),
        ];
        let directors = [
            ("nrd1", "203.0.113.11", ""),
            ("nrd2", "203.0.113.12", ""),
            ("nrd3", "203.0.113.13", ""),
            ("prd1", "203.0.113.20", "192.168.0.5"),
        ];
        let plan = &mut world.operator.plan;
        for (name, address, inside) in directors {
            plan.push_back((0, Act::Director(director(name, address, inside))));
        }
        plan.extend(communities.map(|community| (0, Act::Create(community))));
        plan.push_back((0, Act::Invite((0..KNOWN).collect())));
        begin(&mut world);
        world.run();
        assert!(world.net.violation().is_none(), "{:?}", world.net.violation());
        let files = world
            .devices
            .iter_mut()
            .filter_map(|device| Some((device.number, device.file.take()?)));
        let files = files.collect();
        let store = world.server.into_store();
        let page = store.range_now(&kith_store::Key::new(""), None, usize::MAX);
        let Ok(page) = page else {
            unreachable!("a store in memory can be read")
        };
        Before {
            revision: page.revision,
            entries: page.entries,
            store,
            files,
        }
    })
}

fn begin(world: &mut World) {
    for director in &mut world.directors {
        if director.name != "nrd3" {
            director.start(&mut world.net, false);
        }
    }
    world.server.start(&mut world.net);
    world.net.after(1, What::Operator);
    world.net.after(500, What::Second);
}

fn world(seed: u64, store: Memory, heroine: Option<String>) -> World {
    let mut net = Net::new(Dice::new(seed), heroine);
    let sites: Vec<Ipv4Addr> = (0..SITES)
        .map(|site| Ipv4Addr::new(198, 51, 100, 10 + site as u8))
        .collect();
    let address = ManagerAddress {
        host: HOST.into(),
        port: 443,
        fingerprint: FINGERPRINT.to_vec(),
    };
    let tunnel = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 20_203);
    let mut settings = Settings::new(vec![address], tunnel, compile_policy, command);
    // A site's members share one address.
    settings.limits.source = Rate {
        per_second: 5_000,
        burst: 20_000,
    };
    if seed % 2 == 1 {
        let times = &mut settings.times;
        (times.member_heartbeat, times.manager_heartbeat) = (10_000, 10_000);
        (times.silence, times.grace, times.accounting) = (30_000, 40_000, 30_000);
    }
    let node = |number, name, realm, address: [u8; 4]| {
        Node::new(number, name, (realm, SocketAddrV4::new(address.into(), 20_202)))
    };
    let directors = vec![
        node(0, "nrd1", 0, [203, 0, 113, 11]),
        node(1, "nrd2", 0, [203, 0, 113, 12]),
        node(2, "nrd3", 0, [203, 0, 113, 13]),
        node(3, "prd1", 1, [192, 168, 0, 5]),
    ];
    let operator = Operator::of(Manager {
        host: HOST.into(),
        port: 443,
        fingerprint: FINGERPRINT,
    });
    let devices = (0..DEVICES).map(|number| {
        let mut octets = [0x5a; 32];
        octets[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let domain = match number % 20 {
            3 | 9 => "tight.example",
            17 => "lonely.example",
            _ => "acme.example",
        };
        let seat = Seat::public(Ipv4Addr::new(192, 0, 2, number as u8));
        let skew = net.dice.below(10_000);
        Device::new(
            number,
            format!("m{number}.{domain}"),
            domain,
            seat,
            Secret32::new(octets),
            skew,
        )
    });
    let mut world = World {
        devices: devices.collect(),
        server: Server::new(store, settings),
        directors,
        operator,
        mappings: BTreeMap::new(),
        sites,
        registers_only: false,
        healed: None,
        well: None,
        overlaps: 0,
        events: 0,
        net,
    };
    for number in 0..DEVICES {
        let seat = chaos::any_seat(&mut world, number);
        world.devices[number].seat = seat;
        world.map(number);
    }
    world
}

fn director(name: &str, address: &str, inside: &str) -> admin::Director {
    admin::Director {
        name: name.into(),
        private: !inside.is_empty(),
        address: address.into(),
        private_address: inside.into(),
        port: 20_202,
        udp: true,
        nat_addresses: if inside.is_empty() {
            Vec::new()
        } else {
            vec!["198.51.100.10".into()]
        },
        draining: name == "nrd3",
        ..admin::Director::default()
    }
}
