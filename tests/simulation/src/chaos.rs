//! What goes wrong, and the end of it.

use crate::device::Stage;
use crate::dice::Dice;
use crate::net::{Place, Weather};
use crate::operator::Act;
use crate::seat::Seat;
use crate::world::{START, STORM, What, World};
use kith_agent::config::Prefix;
use kith_agent::manager::membership;
use kith_protocol::admin;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Something goes wrong, or changes.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fault {
    /// Dies at some transaction from now on, or at once.
    Manager {
        after: Option<u64>,
    },
    /// The disk refuses one transaction.
    Disk {
        after: u64,
    },
    Director {
        number: usize,
        journal: bool,
    },
    /// kill -9 of an agent; it comes back.
    Agent(usize),
    /// Its NAT gives it another port.
    Rebinding(usize),
    /// The site's outside address changes.
    SiteMoves(usize),
    /// The device is attached elsewhere.
    Roams(usize),
    /// It is attached to a network in which its virtual address lies.
    Clash(usize),
    /// Its user leaves, and comes back.
    Leaves(usize),
    Cut {
        of: Place,
        from: Option<Place>,
        time: u64,
    },
}

/// Enters all that goes wrong in a seed, and what is talked.
pub fn plan(world: &mut World) {
    let dice = &mut world.net.dice;
    world.net.weather = Weather {
        loss: [0, 3, 10, 25][dice.index(4)],
        twice: [0, 2, 10][dice.index(3)],
        delay: [(5, 40), (20, 250), (1, 1_500)][dice.index(3)],
    };
    world.server.bad_mail = [0, 10][dice.index(2)];
    let (devices, directors, sites) = (world.devices.len(), world.directors.len(), world.sites.len());
    let mut faults = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let after = dice.percent(70).then(|| dice.below(200));
        faults.push(Fault::Manager { after });
    }
    if dice.percent(30) {
        faults.push(Fault::Disk {
            after: dice.below(200),
        });
    }
    for _ in 0..dice.below(3) {
        faults.push(Fault::Director {
            number: dice.index(directors),
            journal: dice.percent(60),
        });
    }
    for _ in 0..dice.between(5, 30) {
        faults.push(match dice.below(10) {
            0 | 1 => Fault::Agent(dice.index(devices)),
            2 | 3 => Fault::Rebinding(dice.index(devices)),
            4..=6 => Fault::Roams(dice.index(devices)),
            7 => Fault::Clash(dice.index(devices)),
            8 => Fault::Leaves(dice.index(devices)),
            _ => Fault::Rebinding(dice.index(devices)),
        });
    }
    if dice.percent(30) {
        faults.push(Fault::SiteMoves(dice.index(sites)));
    }
    for _ in 0..dice.below(6) {
        let (of, from) = match dice.below(4) {
            0 => (Place::Site(dice.index(sites)), None),
            1 => (
                Place::Site(dice.index(sites)),
                Some(Place::Director(dice.index(2))),
            ),
            2 => (Place::Site(dice.index(sites)), Some(Place::Manager)),
            _ => (Place::Public(dice.index(devices)), None),
        };
        faults.push(Fault::Cut {
            of,
            from,
            time: dice.between(2_000, 90_000),
        });
    }
    for fault in faults {
        let at = START + world.net.dice.below(STORM - 1_000);
        world.net.at(at, What::Fault(fault));
    }
    for _ in 0..300 {
        let (at, who) = (
            START + 5_000 + world.net.dice.below(STORM),
            world.net.dice.index(devices),
        );
        world.net.at(at, What::Talk(who));
    }
    world.net.at(START + STORM, What::Heal);
    acts(world);
}

/// What operators do meanwhile.
fn acts(world: &mut World) {
    let dice = &mut world.net.dice;
    let mut acts: Vec<Act> = Vec::new();
    let mut devices: Vec<usize> = (0..world.devices.len()).collect();
    let mut pick = |dice: &mut crate::dice::Dice| devices.swap_remove(dice.index(devices.len()));
    for _ in 0..dice.below(4) {
        acts.push(Act::Revoke(pick(dice)));
    }
    for _ in 0..dice.below(3) {
        acts.push(Act::Delete(pick(dice)));
    }
    for _ in 0..dice.below(3) {
        acts.push(Act::Invite(vec![pick(dice)]));
    }
    for number in 0..dice.below(4) {
        let from = [
            "any",
            "tag:servers",
            "user:user3@mail.example",
            "machine:m7.acme.example",
        ][dice.index(4)];
        let policy = admin::Policy {
            id: format!("p{number}"),
            community: "acme.example".into(),
            level: if from.starts_with("machine") {
                "machine"
            } else if from.starts_with("user") {
                "user"
            } else {
                "domain"
            }
            .into(),
            priority: 1,
            allow: dice.percent(50),
            from: from.into(),
            to: ["any", "tag:servers"][dice.index(2)].into(),
            services: vec!["tcp/22".into()],
            comment: String::new(),
        };
        acts.push(Act::Policy(policy));
        if dice.percent(40) {
            acts.push(Act::NoPolicy("acme.example".into(), format!("p{number}")));
        }
    }
    let mut plan: Vec<(u64, Act)> = Vec::new();
    for act in acts {
        // In their order, the one before which another makes no sense first.
        let last = plan.last().map_or(START, |(at, _)| *at);
        plan.push((last + dice.below(12_000), act));
    }
    if dice.percent(30) {
        let pools = [vec!["10.77.0.0/24", "10.78.0.0/24"], vec!["10.78.0.0/24"]];
        let at = START + dice.below(STORM);
        plan.push((
            at,
            Act::Community(community("acme.example", &pools[dice.index(2)], dice.percent(50))),
        ));
    }
    if dice.percent(30) {
        let at = START + dice.below(STORM);
        plan.push((
            at,
            Act::Community(community("tight.example", &["10.66.0.0/27"], false)),
        ));
    }
    plan.sort_by_key(|(at, _)| *at);
    world.operator.plan.extend(plan);
}

/// A community as an operator writes it.
pub fn community(domain: &str, pools: &[&str], deny_by_default: bool) -> admin::Community {
    admin::Community {
        domain: domain.into(),
        pools: pools.iter().map(ToString::to_string).collect(),
        deny_by_default,
        directors: if domain == "lonely.example" {
            vec!["nrd3".into()]
        } else {
            Vec::new()
        },
        ..admin::Community::default()
    }
}

/// It goes wrong.
pub fn strike(world: &mut World, fault: Fault) {
    if world.healed.is_some() {
        return;
    }
    world.net.tell_all(|| format!("{fault:?}"));
    let number = match fault {
        Fault::Manager { after: Some(after) } => return world.server.dies_after = Some(after),
        Fault::Manager { after: None } => return world.net.at(world.net.now, What::ManagerDies(None)),
        Fault::Disk { after } => return world.server.fails_after = Some(after),
        Fault::Director { number, journal } => {
            let down = world.net.dice.between(100, 20_000);
            world.directors[number].kill(&mut world.net.dice);
            return world.net.after(down, What::DirectorStarts(number, journal));
        }
        Fault::Cut { of, from, time } => {
            world.net.cut(of, from);
            return world.net.after(time, What::Mended(of, from));
        }
        Fault::SiteMoves(site) => return site_moves(world, site),
        Fault::Agent(number)
        | Fault::Rebinding(number)
        | Fault::Roams(number)
        | Fault::Clash(number)
        | Fault::Leaves(number) => number,
    };
    match fault {
        Fault::Agent(_) => {
            let down = world.net.dice.between(100, 20_000);
            let device = &mut world.devices[number];
            if !matches!(device.stage, Stage::Ended(_)) {
                device.kill(&mut world.net);
                world.net.after(down, What::Boot(number, device.life));
            }
        }
        Fault::Rebinding(_) => {
            let port = port(&mut world.net.dice, number);
            let device = &mut world.devices[number];
            if device.seat.site.is_some() {
                device.seat.nat.set_port(port);
            }
            world.map(number);
        }
        Fault::Roams(_) => {
            let seat = any_seat(world, number);
            roam(world, number, seat);
        }
        Fault::Clash(_) => {
            let device = &mut world.devices[number];
            if let Some(holds) = device.holds {
                let network = Ipv4Addr::from(u32::from(holds) & 0xffff_fffe);
                device.lans = Prefix::new(network, 31).into_iter().collect();
                world.server.mirror.readdress(&device.fqdn);
                device.attach(&mut world.net);
            }
        }
        _ => {
            world.devices[number].input(&mut world.net, membership::Input::Leave);
        }
    }
}

/// All is well with the network and the machines; with agents it will be.
pub fn heal(world: &mut World) {
    world.net.tell_all(|| "the storm is over".into());
    world.net.heal();
    let server = &mut world.server;
    (server.dies_after, server.fails_after, server.bad_mail) = (None, None, 0);
    if !server.is_up() {
        world.net.after(0, What::ManagerStarts);
    }
    for director in &world.directors {
        if !director.is_up() && director.name != "nrd3" {
            world.net.after(0, What::DirectorStarts(director.number(), true));
        }
    }
    for device in &mut world.devices {
        if device.is_to_come_back() {
            world.net.after(0, What::Boot(device.number, device.life));
        }
    }
    world.healed = Some(world.net.now);
}

/// A place to attach a device to.
pub fn any_seat(world: &mut World, number: usize) -> Seat {
    let dice = &mut world.net.dice;
    if dice.percent(30) {
        let address = Ipv4Addr::from(0xc000_0200u32 + (dice.below(1 << 12) as u32) * 256 + number as u32);
        return Seat::public(address);
    }
    let site = dice.index(world.sites.len());
    let port = port(dice, number);
    Seat::behind(site, number, world.sites[site], port)
}

/// A port of a NAT that no other device has: they differ in the lower octet.
fn port(dice: &mut Dice, number: usize) -> u16 {
    1_024 + (dice.below(200) * 256) as u16 + number as u16
}

fn roam(world: &mut World, number: usize, seat: Seat) {
    world.devices[number].seat = seat;
    world.map(number);
    if matches!(world.devices[number].stage, Stage::Up(_)) {
        world.devices[number].moved(&mut world.net);
    }
}

fn site_moves(world: &mut World, site: usize) {
    let outside = Ipv4Addr::from(u32::from(world.sites[site]) ^ 0x80);
    world.sites[site] = outside;
    for number in 0..world.devices.len() {
        let seat = &mut world.devices[number].seat;
        if seat.site == Some(site) {
            seat.nat = SocketAddrV4::new(outside, seat.nat.port());
            world.map(number);
        }
    }
}
