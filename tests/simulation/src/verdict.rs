//! Is all well? Asked every second of some, and after the storm of all.
//!
//! Well is a device that is joined, with a stream, with the address, place and rules that the manager says and the truth confirms, and whose neighbours
//! are where it believes them to be; or one that knows why not, where the reason given is the true one.

use crate::device::{Device, Reason, Stage};
use crate::mirror::ONE_HOLDER;
use crate::world::{BOUND, World};
use kith_agent::manager::enrolment::Hindrance;
use kith_agent::manager::membership::{self, Trouble};
use kith_agent::manager::{Refused, convert};
use kith_agent::orders::Report;
use kith_manager::core::state::Prefix;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{Location, Policy};
use kith_protocol::records::{self, MemberState};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Joined, or knows why not.
pub const ENDS_WELL: &str = "every agent ends joined or knows why not, soon after the network is well";

/// A look at some.
pub fn sample(world: &mut World) {
    if !world.server.is_quiet() {
        return;
    }
    for _ in 0..4 {
        let number = world.net.dice.index(world.devices.len());
        world
            .server
            .rules_are_told(&mut world.net, &world.devices[number].fqdn);
    }
}

/// A look at all, after the storm.
pub fn judge(world: &mut World, healed: u64) {
    let now = world.net.now;
    if !world.operator.is_done() || !world.server.is_quiet() {
        if now > healed + BOUND {
            world.net.wrong(ENDS_WELL, None, "the manager is still busy");
        }
        return;
    }
    let mut ill = None;
    for number in 0..world.devices.len() {
        if let Err(why) = is_well(world, &world.devices[number]) {
            ill = Some((number, why));
            break;
        }
    }
    match ill {
        None => finish(world),
        Some((number, why)) if now > healed + BOUND => {
            let fqdn = world.devices[number].fqdn.clone();
            let seconds = BOUND / 1_000;
            world.net.wrong(
                ENDS_WELL,
                Some(&fqdn),
                format!("{seconds} s after the network is well: {why}"),
            );
        }
        Some(_) => doubt(world),
    }
}

/// All is well: a last look at everything.
fn finish(world: &mut World) {
    world.server.mirror.look_at_all(&mut world.net);
    let mut holders: BTreeMap<(&str, Ipv4Addr), &str> = BTreeMap::new();
    for device in &world.devices {
        let Some(address) = device.holds else { continue };
        if let Some(other) = holders.insert((&device.domain, address), &device.fqdn) {
            world.net.wrong(
                ONE_HOLDER,
                Some(&device.fqdn),
                format!("it and {other} have {address}"),
            );
        }
        world.server.rules_are_told(&mut world.net, &device.fqdn);
    }
    world.well = Some(world.net.now);
}

/// Packets to members that are elsewhere get no answer: after a while of that the manager is asked.
fn doubt(world: &mut World) {
    for number in 0..world.devices.len() {
        if (world.net.now / 1_000) % 20 != number as u64 % 20 {
            continue;
        }
        let lost: Vec<Ipv4Addr> = strangers(world, &world.devices[number]).collect();
        for address in lost {
            let report = membership::Input::Report(Report::NeedPeer(address));
            world.devices[number].input(&mut world.net, report);
        }
    }
}

/// Members that are joined, and not where this device believes them to be.
fn strangers<'a>(world: &'a World, device: &'a Device) -> impl Iterator<Item = Ipv4Addr> + 'a {
    device.known.iter().filter_map(move |(address, known)| {
        let session = world.server.mirror.sessions.get(&known.fqdn)?;
        let there = convert::whereabouts(&location(session));
        let here = Ipv4Addr::from(session.virtual_address) == *address;
        (here && !known.denied && there != Some(known.there)).then_some(*address)
    })
}

fn is_well(world: &World, device: &Device) -> Result<(), String> {
    let member = world.server.mirror.members.get(&device.fqdn);
    match &device.stage {
        Stage::Off if device.file.is_none() && device.invited.is_none() && member.is_none() => Ok(()),
        Stage::Off => Err("it is switched off".into()),
        Stage::Enrolling(_) => Err("it registers".into()),
        Stage::Ended(reason) => ended_well(reason, member),
        Stage::Up(machine) => match (machine.view().phase, &device.trouble) {
            ("joined", _) => joined_well(world, device, machine.run_id()),
            ("waiting" | "joining" | "director session", Some(trouble)) if device.holds.is_none() => {
                knows_why_not(world, device, trouble, member)
            }
            // It keeps what it has, and says why it gets nothing better: no address that does not clash, no director where it is now.
            ("rejoining", Some(trouble @ Trouble::Refused(_))) => {
                knows_why_not(world, device, trouble, member)
            }
            (phase, trouble) => Err(format!("it is {phase}: {trouble:?}")),
        },
    }
}

fn ended_well(reason: &Reason, member: Option<&records::Member>) -> Result<(), String> {
    let revoked = member.is_some_and(|member| member.state() == MemberState::Revoked);
    match reason {
        Reason::Refused(Code::Revoked) if revoked || member.is_none() => Ok(()),
        Reason::Hindered(Hindrance::Refused(Refused {
            code: Code::Revoked, ..
        })) if revoked => Ok(()),
        Reason::Hindered(Hindrance::Dropped) if member.is_none() => Ok(()),
        other => Err(format!(
            "it ended with {other:?}; on disk it is {:?}",
            member.map(records::Member::state)
        )),
    }
}

fn knows_why_not(
    world: &World,
    device: &Device,
    trouble: &Trouble,
    member: Option<&records::Member>,
) -> Result<(), String> {
    let told = match trouble {
        Trouble::Disowned(_) => {
            return if member.is_none() {
                Ok(())
            } else {
                Err("it is disowned, and a member".into())
            };
        }
        Trouble::Refused(refused) => refused.code,
        other => return Err(format!("{other}")),
    };
    match told {
        Code::AddressesExhausted if is_full(world, &device.domain) || !device.lans.is_empty() => Ok(()),
        Code::NoDirector if device.domain == "lonely.example" && device.seat.site.is_some() => Ok(()),
        code => Err(format!("it was refused with {code:?}: {trouble}")),
    }
}

/// No address of the pools is free.
fn is_full(world: &World, domain: &str) -> bool {
    let mirror = &world.server.mirror;
    let Some(community) = mirror.communities.get(domain) else {
        return false;
    };
    let pools: Vec<Prefix> = community
        .pools
        .iter()
        .filter_map(|pool| pool.parse().ok())
        .collect();
    let hosts = pools
        .iter()
        .filter_map(|pool| pool.hosts())
        .map(|(first, last)| last - first + 1)
        .sum::<u32>();
    let inside = |address: u32| pools.iter().any(|pool| pool.contains(address.into()));
    let owned = mirror
        .of(domain)
        .filter(|(_, member)| inside(member.virtual_address))
        .count();
    // One is the manager's.
    owned as u32 + 1 >= hosts
}

fn joined_well(world: &World, device: &Device, run_id: [u8; 16]) -> Result<(), String> {
    let Some(session) = world.server.mirror.sessions.get(&device.fqdn) else {
        return Err("it believes to be joined, and the manager does not".into());
    };
    if session.run_id != run_id {
        return Err("another run of it is joined".into());
    }
    if device.holds != Some(session.virtual_address.into()) {
        return Err(format!(
            "it has {:?}, the manager says {}",
            device.holds,
            Ipv4Addr::from(session.virtual_address)
        ));
    }
    if device.stream.is_none() || !world.server.online().contains(device.fqdn.as_str()) {
        return Err("it has no stream of changes".into());
    }
    is_there(world, device, session)?;
    let core = world.server.core().ok_or("the manager is away")?;
    let id = core
        .state()
        .id_named(&device.fqdn)
        .ok_or("the manager does not know it")?;
    let rules = (core.settings().compile_policy)(core.state(), id);
    let rules = convert::policy(Some(&Policy { version: 0, rules }));
    if device.rules.as_ref() != Some(&rules) {
        let has = device.rules.clone().unwrap_or_default();
        let lacking = rules.iter().find(|rule| !has.contains(rule));
        let beside = has.iter().find(|rule| !rules.contains(rule));
        return Err(format!(
            "its rules are not those of the policies: it lacks {lacking:?} and has {beside:?} beside"
        ));
    }
    match strangers(world, device).next() {
        Some(address) => Err(format!(
            "{address} is not where it believes: {:?}",
            device.known.get(&address)
        )),
        None => Ok(()),
    }
}

/// Do packets to where the manager says it is arrive?
fn is_there(world: &World, device: &Device, session: &records::Session) -> Result<(), String> {
    let (seat, at) = (&device.seat, location(session));
    if at.director == 0 {
        let straight = seat.site.is_none() && u32::from(seat.local) == at.address && at.port == 20_202;
        return if straight {
            Ok(())
        } else {
            Err(format!(
                "the manager says that it is at {at:?}, it is at {seat:?}"
            ))
        };
    }
    let node = world
        .directors
        .iter()
        .find(|node| node.name == session.director_name);
    let node = node.ok_or("it is at a director that is none")?;
    let (pseudo, bound) = node.pseudo_of(world.net.now, &device.fqdn).ok_or_else(|| {
        format!(
            "its director {} has no session of it, at {seat:?}, known at {at:?}",
            node.name
        )
    })?;
    if seat.seen_in(node.at.0) != Some(bound) {
        return Err(format!("its director believes it at {bound}, it is at {seat:?}"));
    }
    let named = Ipv4Addr::from(at.address);
    let right = if node.at.0 == 0 {
        named == pseudo
    } else {
        named == seat.local
    };
    if right {
        Ok(())
    } else {
        Err(format!(
            "the manager names it {named} at its director, which names it {pseudo}"
        ))
    }
}

fn location(session: &records::Session) -> Location {
    Location {
        director: session.director,
        director_port: session.director_port,
        address: session.address,
        port: session.port,
    }
}
