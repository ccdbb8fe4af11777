//! What operators are promised: through commands alone, against members that really register and join.

mod audited;
mod communities;
mod credentials;
mod members;
mod networks;
mod policies;

use super::agent::Agent;
use super::world::{DOMAIN, World, settings};
use crate::core::*;
use kith_protocol::admin as a;
use kith_protocol::authenticator::{Argon2Cost, PasswordKey};
use kith_protocol::member::Update;
use kith_protocol::member::update::Change;
use kith_protocol::records;
use prost::Message;
use zeroize::Zeroizing;

/// A manager with the operators' half in it, and the community acme.example.
fn world() -> World {
    let mut settings = settings();
    (settings.compile_policy, settings.command) = (crate::policy::compile, crate::admin::run);
    World::with(settings)
}

fn by(world: &mut World, role: Role, command: Command) -> Result<AdminReply, AdminError> {
    let token = world.token();
    let actor = Actor {
        name: format!("token {role}"),
        role,
    };
    world.input(Input::Admin {
        token,
        actor,
        command,
    });
    world
        .admin_answers
        .remove(&token)
        .expect("every command is answered")
}

fn admin(world: &mut World, command: Command) -> Result<AdminReply, AdminError> {
    by(world, Role::Admin, command)
}

fn done(world: &mut World, command: Command) -> AdminReply {
    admin(world, command).unwrap_or_else(|error| panic!("{error}"))
}

/// The words of a refusal.
fn refused(world: &mut World, command: Command) -> String {
    match admin(world, command) {
        Ok(_) => panic!("granted"),
        Err(error) => error.to_string(),
    }
}

fn password(number: u64) -> InitialPassword {
    let password: [u8; 16] = number.to_be_bytes().repeat(2).try_into().unwrap();
    let key = PasswordKey::derive(&password, &[9; 16], Argon2Cost::SIMULATION).unwrap();
    InitialPassword {
        password: Zeroizing::new(password),
        salt: [9; 16],
        key: key.secret().clone(),
    }
}

fn passwords(count: u64) -> Vec<InitialPassword> {
    (1..=count).map(password).collect()
}

fn invitee(fqdn: &str) -> a::Invitee {
    let host = fqdn.split('.').next().unwrap();
    a::Invitee {
        fqdn: fqdn.into(),
        email: format!("{host}@mail.example"),
        ..a::Invitee::default()
    }
}

fn invitation(invitee: a::Invitee, number: u64) -> Command {
    let asked = a::InviteRequest {
        invitees: vec![invitee],
        ..a::InviteRequest::default()
    };
    Command::Invite(asked, vec![password(number)])
}

/// A member that was invited; its device has done nothing yet.
fn invited(world: &mut World, invitee: a::Invitee) -> Agent {
    let fqdn = invitee.fqdn.clone();
    let number = 0x0101_0000 + world.manager.state().member_count() * 0x100;
    done(world, invitation(invitee, number));
    let mut agent = Agent::new(&fqdn, MemberId(number));
    agent.id = world.manager.state().id_named(&fqdn).unwrap();
    agent
}

/// A member that is joined and watches.
fn joined(world: &mut World, invitee: a::Invitee) -> Agent {
    let mut agent = invited(world, invitee);
    agent.enroll(world);
    agent.up(world);
    agent
}

fn policy(id: &str, allow: bool, from: &str, to: &str, service: &str) -> Command {
    Command::PutPolicy(policy_wish(id, allow, from, to, service))
}

fn policy_wish(id: &str, allow: bool, from: &str, to: &str, service: &str) -> a::Policy {
    a::Policy {
        id: id.into(),
        community: DOMAIN.into(),
        allow,
        from: from.into(),
        to: to.into(),
        services: vec![service.into()],
        ..a::Policy::default()
    }
}

fn community(domain: &str, pools: &[&str]) -> a::Community {
    let pools = pools.iter().map(ToString::to_string).collect();
    a::Community {
        domain: domain.into(),
        pools,
        ..a::Community::default()
    }
}

fn name(name: &str) -> a::Name {
    a::Name { name: name.into() }
}

/// Has it heard of a policy, and of nothing else, since it was last asked?
fn told_policy(world: &mut World, agent: &Agent) -> bool {
    let heard = world.heard(agent);
    let policies = heard
        .iter()
        .filter(|update| matches!(update.change, Some(Change::Policy(_))))
        .count();
    assert_eq!(policies, heard.len());
    assert!(policies <= 1, "told twice");
    policies == 1
}

/// All audit records, oldest first.
fn audit(world: &World) -> Vec<records::Audit> {
    let records = world
        .disk
        .entries
        .iter()
        .filter(|(key, _)| key.starts_with("audit/"));
    records
        .map(|(_, entry)| records::Audit::decode(entry.value.as_slice()).unwrap())
        .collect()
}

/// Does anything on disk hold these octets?
fn on_disk(world: &World, octets: &[u8]) -> bool {
    world
        .disk
        .entries
        .values()
        .any(|entry| entry.value.windows(octets.len()).any(|window| window == octets))
}

fn changes(updates: &[Update]) -> Vec<&Change> {
    updates
        .iter()
        .filter_map(|update| update.change.as_ref())
        .collect()
}
