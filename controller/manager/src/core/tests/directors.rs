//! Source document 001, figure 21: who needs which director, and what a member may say about where it is.

use super::join::{init, join};
use super::*;
use kith_protocol::authenticator::Kind;
use kith_protocol::records;
use std::net::Ipv4Addr;

const LAPTOP: &str = "laptop.acme.example";

fn network_director(name: &str) -> records::Director {
    records::Director {
        name: name.into(),
        address: 0xcb00_7132,
        port: 20202,
        udp: true,
        tcp: true,
        capacity: 100,
        ..records::Director::default()
    }
}

fn health(world: &mut World, name: &str, healthy: bool, sessions: u64) {
    world.input(Input::DirectorHealth {
        name: name.into(),
        healthy,
        sessions,
        udp: true,
        tcp: true,
    });
}

#[test]
fn nats_are_seen_and_a_director_is_chosen_or_the_reason_told() {
    let mut world = World::new();
    let mut agent = world.registered(LAPTOP);
    agent.behind_nat("192.168.1.20");
    let (code, refusal) = refused(world.call(agent.from, Call::Init, agent.init(1)));
    assert_eq!(code, Code::NoDirector);
    assert!(refusal.reason.contains("no route director is known"));

    world.director(network_director("nrd-b"));
    world.director(network_director("nrd-a"));
    let chosen = |world: &mut World, agent: &Agent, seed| init(world, agent, seed).director.unwrap();
    let first = chosen(&mut world, &agent, 2);
    assert_eq!(
        (first.name.as_str(), first.tcp, first.private, first.sender_only),
        ("nrd-a", false, false, false)
    );
    assert!(
        matches!(world.grants.last(), Some(GrantOp::Add { director, key_id, .. })
        if &**director == "nrd-a" && *key_id == first.key_id)
    );
    // By load, then by health; a full one and a sick one are named in the refusal.
    health(&mut world, "nrd-a", true, 50);
    health(&mut world, "nrd-b", true, 10);
    assert_eq!(chosen(&mut world, &agent, 3).name, "nrd-b");
    health(&mut world, "nrd-b", false, 0);
    assert_eq!(chosen(&mut world, &agent, 4).name, "nrd-a");
    health(&mut world, "nrd-a", true, 100);
    let (_, refusal) = refused(world.call(agent.from, Call::Init, agent.init(5)));
    assert!(
        refusal
            .reason
            .contains("nrd-a is full with 100 sessions; nrd-b is down"),
        "{}",
        refusal.reason
    );
    // The member's site before the load.
    health(&mut world, "nrd-a", true, 90);
    health(&mut world, "nrd-b", true, 0);
    let mut at_site = network_director("nrd-a");
    at_site.sites = vec!["paris".into()];
    world.director(at_site);
    agent.site = "paris".into();
    assert_eq!(chosen(&mut world, &agent, 6).name, "nrd-a");
    // TCP where UDP is blocked.
    agent.udp_blocked = true;
    assert!(chosen(&mut world, &agent, 7).tcp);
}

#[test]
fn a_private_director_serves_its_nat_and_its_site_only() {
    let mut world = World::new();
    let mut agent = world.registered(LAPTOP);
    agent.behind_nat("192.168.1.20");
    world.director(records::Director {
        private: true,
        private_address: 0xc0a8_0102,
        nat_addresses: vec![agent.from.into()],
        sites: vec!["lyon".into()],
        ..network_director("prd")
    });
    world.director(network_director("a-nrd"));
    let ack = init(&mut world, &agent, 1);
    assert!(
        ack.director
            .as_ref()
            .is_some_and(|director| director.private && director.name == "prd")
    );
    let joined = join(&mut world, &agent, &ack);
    assert_ne!(joined.virtual_address, 0);
    assert_eq!(world.session(&agent).location.address, agent.local);
    agent.from = Ipv4Addr::new(192, 0, 2, 99);
    assert_eq!(init(&mut world, &agent, 2).director.unwrap().name, "a-nrd");
    agent.site = "lyon".into();
    assert_eq!(init(&mut world, &agent, 3).director.unwrap().name, "prd");
}

#[test]
fn whoever_moves_out_of_a_private_directors_network_must_join_again() {
    let mut world = World::new();
    world.director(network_director("nrd"));
    let mut agent = world.registered(LAPTOP);
    agent.behind_nat("192.168.1.20");
    world.director(records::Director {
        private: true,
        private_address: 0xc0a8_0132,
        nat_addresses: vec![agent.from.into()],
        ..network_director("prd")
    });
    agent.up(&mut world);
    let place = |world: &World, agent: &Agent| {
        let mut location = world.session(agent).location.message();
        location.address = agent.local.into();
        location
    };
    // Another address inside the same network.
    agent.local = Ipv4Addr::new(192, 168, 1, 21);
    let there = place(&world, &agent);
    assert!(granted(&world.call(agent.from, Call::Move, agent.moved(there))));
    assert_eq!(world.session(&agent).location.address, agent.local);
    // Outside of it: nobody reaches it through that director any more.
    (agent.local, agent.from) = (Ipv4Addr::new(10, 9, 9, 9), Ipv4Addr::new(192, 0, 2, 99));
    let there = place(&world, &agent);
    let answer = world.call(agent.from, Call::Move, agent.moved(there));
    assert_eq!(refused(answer).0, Code::NoDirector);
    let ack = init(&mut world, &agent, 7);
    assert_eq!(ack.director.as_ref().unwrap().name, "nrd");
    join(&mut world, &agent, &ack);
    assert_ne!(world.session(&agent).location.address, agent.local);
}

#[test]
fn a_public_member_gets_a_director_to_send_through_and_no_private_one() {
    let mut world = World::new();
    let agent = world.registered(LAPTOP);
    world.director(network_director("nrd"));
    world.director(records::Director {
        private: true,
        nat_addresses: vec![agent.from.into()],
        ..network_director("prd")
    });
    let ack = init(&mut world, &agent, 1);
    assert!(
        ack.director
            .as_ref()
            .is_some_and(|director| director.sender_only && director.name == "nrd")
    );
    join(&mut world, &agent, &ack);
    assert_eq!(world.session(&agent).location.director, Ipv4Addr::UNSPECIFIED);
}

#[test]
fn a_member_may_not_claim_another_place_than_it_was_offered() {
    let mut world = World::new();
    let mut agent = world.registered(LAPTOP);
    let offered = init(&mut world, &agent, 1);
    let mut request = agent.join_request(&offered);
    request.location.as_mut().unwrap().address = 0x0808_0808;
    let answer = world.call(agent.from, Call::Join, agent.envelope(Kind::Join, &request));
    assert_eq!(refused(answer).0, Code::NoDirector);
    agent.behind_nat("10.1.1.1");
    world.director(network_director("nrd"));
    let offered = init(&mut world, &agent, 2);
    let mut request = agent.join_request(&offered);
    request.location.as_mut().unwrap().director = 0;
    let answer = world.call(agent.from, Call::Join, agent.envelope(Kind::Join, &request));
    assert_eq!(refused(answer).0, Code::NoDirector);
}

#[test]
fn grants_follow_the_session() {
    let mut world = World::new();
    let mut agent = world.registered(LAPTOP);
    agent.behind_nat("10.1.1.1");
    world.director(network_director("nrd"));
    let words = |world: &mut World| -> Vec<&str> {
        let word = |op| match op {
            GrantOp::Add { .. } => "add",
            GrantOp::Remove { .. } => "remove",
        };
        std::mem::take(&mut world.grants).into_iter().map(word).collect()
    };
    agent.up(&mut world);
    assert_eq!(words(&mut world), ["add"]);
    // Another first phase at the same director does not cut the session that it has there.
    init(&mut world, &agent, 9);
    world.pass(61_000);
    assert_eq!(words(&mut world), ["add"]);
    world.restart();
    assert_eq!(
        words(&mut world),
        ["add"],
        "directors are told again after a restart"
    );
    assert!(granted(&world.call(agent.from, Call::Leave, agent.leave())));
    assert_eq!(words(&mut world), ["remove"]);
    // A first phase without a second.
    init(&mut world, &agent, 10);
    world.pass(61_000);
    assert_eq!(words(&mut world), ["add", "remove"]);
}
