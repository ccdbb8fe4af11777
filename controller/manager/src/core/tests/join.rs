//! Source document 001, figure 13: who may join, and which address it gets.

use super::world::PUBLIC;
use super::*;
use kith_protocol::authenticator::Kind;
use kith_protocol::join::{Exchange, join_secret};
use kith_protocol::member::{InitAck, JoinAck};
use std::net::Ipv4Addr;

const LAPTOP: &str = "laptop.acme.example";

pub(super) fn init(world: &mut World, agent: &Agent, seed: u8) -> InitAck {
    match world.call(agent.from, Call::Init, agent.init(seed)) {
        Answer::Init(ack) => *ack,
        other => panic!("{:?}", refused(other)),
    }
}

pub(super) fn join(world: &mut World, agent: &Agent, init: &InitAck) -> JoinAck {
    match world.call(agent.from, Call::Join, agent.join(init)) {
        Answer::Join(ack) => *ack,
        other => panic!("{:?}", refused(other)),
    }
}

#[test]
fn two_phases_give_an_address_keys_and_a_policy() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let init = init(&mut world, &agent, 7);
    assert_eq!(
        (init.member_seed.as_slice(), init.behind_nat),
        ([7; 32].as_slice(), false)
    );
    assert!(init.director.is_none(), "a public address needs none");
    let ack = join(&mut world, &agent, &init);
    assert_eq!(Ipv4Addr::from(ack.virtual_address), Ipv4Addr::new(10, 77, 0, 2));
    assert_eq!(
        Ipv4Addr::from(ack.manager_virtual_address),
        Ipv4Addr::new(10, 77, 0, 1)
    );
    assert_eq!(
        (ack.networks[0].address, ack.networks[0].length),
        (0x0a4d_0000, 24)
    );
    assert_eq!((ack.manager_port, ack.member_heartbeat_ms), (20203, 20_000));
    assert_eq!(ack.revision, world.disk.revision, "of this very join");
    assert_eq!(world.member(&agent).state_word(), "joined");
    // Both sides have the same keys.
    let exchange = Exchange {
        member_seed: &init.member_seed,
        manager_seed: &init.manager_seed,
        fqdn: LAPTOP,
        run_id: &agent.run_id,
    };
    let keys = join_secret(&agent.share, &ack.key_share, exchange)
        .unwrap()
        .keys();
    let Some(ChannelOp::Install(install)) = world.channels.last() else {
        panic!("no channel")
    };
    assert!(
        install.keys.to_manager.key == keys.to_manager.key
            && install.keys.to_member.salt == keys.to_member.salt
    );
    assert_eq!(
        (install.manager_spi, install.member_spi),
        (ack.manager_spi, 0x1000_0001)
    );
    assert!(ack.manager_spi > 255);
}

#[test]
fn a_lost_answer_of_either_phase_is_given_again() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let first = init(&mut world, &agent, 7);
    world.pass(5000);
    let second = init(&mut world, &agent, 7);
    assert!(first == second);
    let acks = [(); 2].map(|()| join(&mut world, &agent, &first));
    assert_eq!(acks[0], acks[1]);
    assert_eq!(
        world
            .events
            .iter()
            .filter(|event| event.kind == "member.joined")
            .count(),
        1
    );
    assert_eq!(world.member(&agent).accounting().unwrap().sessions, 1);
}

#[test]
fn a_join_repeated_after_a_change_hears_of_that_change() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let first = init(&mut world, &agent, 7);
    join(&mut world, &agent, &first);
    world.policy(
        "p1",
        true,
        "machine:laptop.acme.example",
        "machine:phone.acme.example",
    );
    let _other = world.joined("phone.acme.example");
    let again = join(&mut world, &agent, &first);
    let mut agent = agent;
    agent.watch(&mut world, again.revision);
    assert!(matches!(world.heard(&agent)[0].change, Some(Change::Resync(_))));
}

#[test]
fn replayed_and_late_joins_are_refused() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let first = init(&mut world, &agent, 1);
    world.pass(60_000);
    let late = world.call(agent.from, Call::Join, agent.join(&first));
    assert_eq!(refused(late).0, Code::TooLate);
    // A newer first phase ends the older.
    let old = init(&mut world, &agent, 2);
    let new = init(&mut world, &agent, 3);
    assert_eq!(
        refused(world.call(agent.from, Call::Join, agent.join(&old))).0,
        Code::TooLate
    );
    let request = agent.join(&new);
    assert!(granted(&world.call(agent.from, Call::Join, request.clone())));
    agent.heartbeat(&mut world, 0, 0);
    // It was heard, so it has its answer: the same request now is a replay.
    assert_eq!(
        refused(world.call(agent.from, Call::Join, request)).0,
        Code::TooLate
    );
    assert_eq!(world.session(&agent).run_id, RunId(agent.run_id));
}

#[test]
fn a_restart_between_the_phases_makes_the_member_begin_again() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let first = init(&mut world, &agent, 1);
    world.restart();
    assert_eq!(
        refused(world.call(agent.from, Call::Join, agent.join(&first))).0,
        Code::TooLate
    );
    let second = init(&mut world, &agent, 1);
    join(&mut world, &agent, &second);
}

#[test]
fn altered_foreign_and_unregistered_requests_are_dropped() {
    let mut world = World::new();
    let (agent, other) = (world.registered(LAPTOP), world.registered("phone.acme.example"));
    let good = agent.init(1);
    let drop_with = |world: &mut World, change: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        dropped(world.call(PUBLIC, Call::Init, envelope))
    };
    use DropCause::*;
    for octet in 0..good.payload.len() {
        assert_eq!(drop_with(&mut world, &|e| e.payload[octet] ^= 0x10), NotAuthentic);
    }
    assert_eq!(
        drop_with(&mut world, &|e| e.fqdn = other.fqdn.clone()),
        NotAuthentic
    );
    assert_eq!(
        drop_with(&mut world, &|e| e.fqdn = "nobody.acme.example".into()),
        Unknown
    );
    assert_eq!(drop_with(&mut world, &|e| e.signature[9] ^= 1), BadSignature);
    assert_eq!(drop_with(&mut world, &|e| e.token_timestamp += 1), NotAuthentic);
    assert_eq!(
        dropped(world.call(PUBLIC, Call::Join, good.clone())),
        NotAuthentic,
        "an init is no join"
    );
    // Authentic, but nonsense inside.
    let mut request = agent.init_request(1);
    request.seed.push(0);
    assert_eq!(
        dropped(world.call(PUBLIC, Call::Init, agent.envelope(Kind::Init, &request))),
        Abnormal
    );
    let mut request = agent.init_request(1);
    request.local_networks = vec![Default::default(); 65];
    assert_eq!(
        dropped(world.call(PUBLIC, Call::Init, agent.envelope(Kind::Init, &request))),
        Abnormal
    );
    let mut request = agent.init_request(1);
    request.local_networks = vec![kith_protocol::member::Prefix {
        address: 0,
        length: 33,
    }];
    assert_eq!(
        dropped(world.call(PUBLIC, Call::Init, agent.envelope(Kind::Init, &request))),
        Abnormal
    );
    let invited = world.invite("new.acme.example");
    let mut unregistered = agent.init(1);
    unregistered.fqdn = invited.fqdn.clone();
    assert_eq!(dropped(world.call(PUBLIC, Call::Init, unregistered)), Unknown);
}

#[test]
fn an_older_registration_file_of_the_same_device_is_called_stale() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    let old = agent.init(1);
    let newer = world.secret();
    if let Some(token) = world
        .manager
        .state_mut()
        .member_mut(agent.id)
        .and_then(|member| member.token.as_mut())
    {
        (token.timestamp, token.key) = (token.timestamp + 1, newer);
    }
    assert_eq!(
        refused(world.call(agent.from, Call::Init, old)).0,
        Code::StaleToken
    );
}

#[test]
fn a_withdrawn_or_revoked_device_is_refused_by_name() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    world.manager.state_mut().member_mut(agent.id).unwrap().standing = state::Standing::NotRegistered;
    assert_eq!(
        refused(world.call(agent.from, Call::Init, agent.init(1))).0,
        Code::NotRegistered
    );
    assert!(world.revoke(LAPTOP, "lost").is_ok());
    let (code, refusal) = refused(world.call(agent.from, Call::Init, agent.init(2)));
    assert_eq!((code, refusal.reason.ends_with(": lost")), (Code::Revoked, true));
}

#[test]
fn the_address_is_kept_across_rejoins_and_restarts() {
    let mut world = World::new();
    let mut agent = world.joined(LAPTOP);
    let address = agent.address();
    let mut others: Vec<Agent> = (0..5)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    assert!(granted(&world.call(agent.from, Call::Leave, agent.leave())));
    world.restart();
    others.push(world.joined("late.acme.example"));
    agent.new_run();
    agent.up(&mut world);
    assert_eq!(agent.address(), address);
    assert!(others.iter().all(|other| other.address() != address));
}

#[test]
fn no_address_lies_in_a_network_that_the_member_is_attached_to() {
    let mut world = World::with(super::world::settings());
    world.community(2, "globex.example", &["10.1.0.0/29", "10.2.0.0/29"]);
    let mut agent = world.registered("a.globex.example");
    agent.lan("10.1.0.0/16");
    agent.up(&mut world);
    assert_eq!(agent.address(), Ipv4Addr::new(10, 2, 0, 1));
    assert_eq!(
        agent.joined.as_ref().unwrap().networks[0].address,
        0x0a02_0000,
        "its own network comes first"
    );
    // It moves into a LAN that has its address: it gets another, and the old one is free.
    agent.lans.clear();
    agent.lan("10.2.0.0/30");
    agent.new_run();
    agent.up(&mut world);
    assert_eq!(agent.address(), Ipv4Addr::new(10, 1, 0, 2));
    agent.lan("10.0.0.0/8");
    let refusal = agent.try_up(&mut world).unwrap_err();
    assert_eq!(refusal.code(), Code::AddressesExhausted);
    assert_eq!(
        world
            .manager
            .state()
            .community_named("globex.example")
            .unwrap()
            .addresses()
            .count(),
        1
    );
}

#[test]
fn a_reserved_address_that_clashes_is_an_operators_business() {
    let mut world = World::new();
    let mut agent = world.registered(LAPTOP);
    let state = world.manager.state_mut();
    state.own_address(agent.id, Ipv4Addr::new(10, 77, 0, 200));
    state.member_mut(agent.id).unwrap().address_reserved = true;
    agent.lan("10.77.0.0/16");
    let refusal = agent.try_up(&mut world).unwrap_err();
    assert!(
        refusal.reason.contains("10.77.0.200 lies in 10.77.0.0/16"),
        "{}",
        refusal.reason
    );
    agent.lans.clear();
    world.pass(1000);
    agent.up(&mut world);
    assert_eq!(agent.address(), Ipv4Addr::new(10, 77, 0, 200));
}

#[test]
fn a_full_pool_is_refused_with_its_reason() {
    let mut world = World::new();
    world.community(2, "tiny.example", &["10.9.0.0/30"]);
    let first = world.joined("a.tiny.example");
    assert_eq!(
        first.address(),
        Ipv4Addr::new(10, 9, 0, 2),
        "network, broadcast and manager have the others"
    );
    let mut second = world.registered("b.tiny.example");
    for _ in 0..3 {
        let refusal = second.try_up(&mut world).unwrap_err();
        assert_eq!(refusal.code(), Code::AddressesExhausted);
        assert!(refusal.reason.contains("another pool"));
        world.pass(1000);
    }
    // An operator takes the other's address: there is one again.
    assert!(granted(&world.call(first.from, Call::Leave, first.leave())));
    world.manager.state_mut().release_address(first.id);
    second.up(&mut world);
    assert_eq!(second.address(), Ipv4Addr::new(10, 9, 0, 2));
}

#[test]
fn new_keys_replace_the_old_and_older_runs_get_none() {
    let mut world = World::new();
    let agent = world.joined(LAPTOP);
    let request = kith_protocol::member::RefreshRequest {
        run_id: agent.run_id.to_vec(),
        key_share: agent.share.public().to_vec(),
        spi: 0x2000_0000,
        seed: vec![3; 32],
    };
    let commits = world.disk.revision;
    let Answer::Refresh(ack) = world.call(agent.from, Call::Refresh, agent.envelope(Kind::Refresh, &request))
    else {
        panic!("refused")
    };
    let exchange = Exchange {
        member_seed: &request.seed,
        manager_seed: &ack.seed,
        fqdn: LAPTOP,
        run_id: &agent.run_id,
    };
    let keys = kith_protocol::join::refresh_secret(&agent.share, &ack.key_share, exchange)
        .unwrap()
        .keys();
    let Some(ChannelOp::Install(install)) = world.channels.last() else {
        panic!("no channel")
    };
    assert!(install.keys.to_member.key == keys.to_member.key);
    assert_eq!(
        (install.manager_spi, install.member_spi),
        (ack.manager_spi, 0x2000_0000)
    );
    assert_eq!(world.disk.revision, commits, "keys are not written");
    let mut other_run = request;
    other_run.run_id[0] ^= 1;
    let answer = world.call(
        agent.from,
        Call::Refresh,
        agent.envelope(Kind::Refresh, &other_run),
    );
    assert_eq!(refused(answer).0, Code::Superseded);
}
