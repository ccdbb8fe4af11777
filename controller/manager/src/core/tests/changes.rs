//! Who is told of what (source document 003, paragraph 33), and who is not.

use super::*;
use kith_protocol::authenticator::Kind;
use kith_protocol::member::peer_gone::Why;
use kith_protocol::member::{Location, Peer, WatchRequest};
use kith_protocol::ticket::{open, open_key};
use std::net::Ipv4Addr;

fn people(world: &mut World, count: usize) -> Vec<Agent> {
    (0..count)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect()
}

/// How many updates each has heard since the last time.
fn heard(world: &mut World, agents: &[Agent]) -> Vec<usize> {
    agents.iter().map(|agent| world.heard(agent).len()).collect()
}

fn peer(update: &Update) -> &Peer {
    match &update.change {
        Some(Change::Peer(peer)) => peer,
        _ => panic!("another change"),
    }
}

fn elsewhere(agent: &Agent) -> Location {
    Location {
        address: agent.from.into(),
        port: 30303,
        ..Location::default()
    }
}

#[test]
fn both_sides_of_a_pair_get_one_key_and_the_ticket_opens_for_the_target_alone() {
    let mut world = World::new();
    let [a, b, c] = [0, 1, 2].map(|n| world.joined(&format!("m{n}.acme.example")));
    let (to_b, to_a) = (a.meet(&mut world, &b), b.meet(&mut world, &a));
    let now = world.now.0;
    let ticket = open(&b.ticket_key(), &b.fqdn, b.address(), now, &to_b.ticket).unwrap();
    let key = open_key(
        &a.ticket_key(),
        &a.fqdn,
        &b.fqdn,
        a.address(),
        now,
        &to_b.sealed_key,
    )
    .unwrap();
    let back = open(&a.ticket_key(), &a.fqdn, a.address(), now, &to_a.ticket).unwrap();
    assert!(ticket.shared_key == key.shared_key && key.shared_key == back.shared_key);
    assert!(
        back.sequence > ticket.sequence,
        "newer tickets are told from older ones"
    );
    assert_eq!(
        (ticket.initiator.as_str(), ticket.initiator_virtual),
        (a.fqdn.as_str(), a.address())
    );
    assert_eq!(ticket.expires_ms - ticket.issued_ms, 3_600_000);
    assert!(open(&c.ticket_key(), &c.fqdn, c.address(), now, &to_b.ticket).is_err());
    assert_eq!(Ipv4Addr::from(to_b.virtual_address), b.address());
    assert_eq!(to_b.location.unwrap().port, 20202);
}

#[test]
fn a_move_is_told_to_exactly_those_who_deal_with_the_member() {
    let mut world = World::new();
    let agents = people(&mut world, 10);
    agents[0].meet(&mut world, &agents[1]);
    agents[2].meet(&mut world, &agents[0]);
    agents[3].meet(&mut world, &agents[4]);
    world.pushes.clear();
    let before = world.manager.counts().get("push", "sent");
    let envelope = agents[0].moved(elsewhere(&agents[0]));
    assert!(granted(&world.call(agents[0].from, Call::Move, envelope.clone())));
    assert_eq!(world.manager.counts().get("push", "sent") - before, 2);
    let update = world.heard(&agents[1]);
    assert_eq!(peer(&update[0]).location.unwrap().port, 30303);
    assert_eq!(update[0].revision, world.disk.revision);
    assert!(
        open(
            &agents[0].ticket_key(),
            &agents[0].fqdn,
            agents[0].address(),
            world.now.0,
            &peer(&update[0]).ticket
        )
        .is_ok()
    );
    assert_eq!(heard(&mut world, &agents), [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Said again it is no change: nothing is written, nobody is told.
    let revision = world.disk.revision;
    assert!(granted(&world.call(agents[0].from, Call::Move, envelope)));
    assert_eq!((world.disk.revision, world.pushes.len()), (revision, 0));
}

#[test]
fn relations_end_with_the_ticket() {
    let mut world = World::new();
    let agents = people(&mut world, 2);
    agents[0].meet(&mut world, &agents[1]);
    for _ in 0..121 {
        world.pass(30_000);
        agents.iter().for_each(|agent| agent.heartbeat(&mut world, 0, 0));
    }
    world.pushes.clear();
    let envelope = agents[0].moved(elsewhere(&agents[0]));
    assert!(granted(&world.call(agents[0].from, Call::Move, envelope)));
    assert_eq!(heard(&mut world, &agents), [0, 0]);
}

#[test]
fn leaving_revocation_and_silence_are_told_by_name() {
    let mut world = World::new();
    let agents = people(&mut world, 5);
    for other in &agents[1..4] {
        other.meet(&mut world, &agents[0]);
        other.meet(&mut world, &agents[4]);
    }
    agents[1].meet(&mut world, &agents[2]);
    world.pass(120_000);
    agents.iter().for_each(|agent| agent.heartbeat(&mut world, 0, 0));
    world.pushes.clear();
    let gone = |update: &Update| match &update.change {
        Some(Change::Gone(gone)) => (gone.why(), gone.fqdn.clone()),
        _ => panic!("another change"),
    };
    assert!(granted(&world.call(
        agents[1].from,
        Call::Leave,
        agents[1].leave()
    )));
    assert_eq!(
        world.ends.last(),
        Some(&(agents[1].stream.unwrap(), StreamEnd::Left))
    );
    assert_eq!(heard(&mut world, &agents), [1, 0, 1, 0, 1]);

    assert!(world.revoke(&agents[0].fqdn, "stolen").is_ok());
    let own = world.heard(&agents[0]);
    let Some(Change::Ended(refusal)) = &own[0].change else {
        panic!("not told")
    };
    assert_eq!((refusal.code(), own.len()), (Code::Revoked, 1));
    assert_eq!(
        world.ends.last(),
        Some(&(agents[0].stream.unwrap(), StreamEnd::Told))
    );
    assert_eq!(
        gone(&world.heard(&agents[2])[0]),
        (Why::Revoked, agents[0].fqdn.clone())
    );
    assert_eq!(heard(&mut world, &agents), [0, 0, 0, 1, 0]);
    assert!(matches!(world.channels.last(), Some(ChannelOp::Remove { member }) if *member == agents[0].id));

    // Three heartbeats are missing from one of them.
    for _ in 0..6 {
        world.pass(20_000);
        agents[2..4]
            .iter()
            .for_each(|agent| agent.heartbeat(&mut world, 0, 0));
    }
    assert!(world.member(&agents[4]).session().is_none());
    assert_eq!(
        gone(&world.heard(&agents[3])[0]),
        (Why::Silent, agents[4].fqdn.clone())
    );
    assert_eq!(
        heard(&mut world, &agents),
        [0, 0, 1, 0, 1],
        "and itself, should it hear"
    );
    assert!(world.member(&agents[2]).session().is_some());
}

#[test]
fn a_policy_is_pushed_to_exactly_those_whose_rules_it_changes() {
    let mut world = World::new();
    let agents = people(&mut world, 6);
    world.pushes.clear();
    world.policy("ssh", false, "machine:m1.acme.example", "machine:m2.acme.example");
    assert_eq!(heard(&mut world, &agents), [0, 1, 1, 0, 0, 0]);
    // The same again changes nobody's rules.
    world.policy("ssh", false, "machine:m1.acme.example", "machine:m2.acme.example");
    assert_eq!(heard(&mut world, &agents), [0; 6]);
    // A member that is named joins for the first time: its address is news to the other side.
    world.policy(
        "new",
        false,
        "machine:late.acme.example",
        "machine:m4.acme.example",
    );
    assert_eq!(heard(&mut world, &agents), [0; 6]);
    let late = world.joined("late.acme.example");
    assert_eq!(heard(&mut world, &agents), [0, 0, 0, 0, 1, 0]);
    assert_eq!(
        late.joined.as_ref().unwrap().policy.as_ref().unwrap().rules.len(),
        2
    );
}

#[test]
fn where_no_packet_may_pass_no_ticket_is_given() {
    let mut world = World::new();
    let agents = people(&mut world, 3);
    world.policy(
        "apart",
        false,
        "machine:m0.acme.example",
        "machine:m1.acme.example",
    );
    // One direction is still open: replies may need it.
    agents[0].meet(&mut world, &agents[1]);
    world.policy(
        "apart too",
        false,
        "machine:m1.acme.example",
        "machine:m0.acme.example",
    );
    let answer = world.call(agents[0].from, Call::Locate, agents[0].locate(&agents[1].fqdn));
    assert_eq!(refused(answer).0, Code::Denied);
    agents[0].meet(&mut world, &agents[2]);
}

#[test]
fn communities_do_not_see_each_other() {
    let mut world = World::new();
    world.community(2, "globex.example", &["10.88.0.0/24"]);
    let (a, b) = (world.joined("a.acme.example"), world.joined("b.globex.example"));
    let answer = world.call(a.from, Call::Locate, a.locate(&b.fqdn));
    assert_eq!(refused(answer).0, Code::UnknownName);
    let Answer::Query(found) = world.call(a.from, Call::Query, a.query("", 0, 0)) else {
        panic!("refused")
    };
    assert_eq!(found.records.len(), 1);
    assert_eq!(world.manager.member_at("acme.example", b.address()), None);
    assert_eq!(world.manager.member_at("globex.example", b.address()), Some(b.id));
}

#[test]
fn names_without_a_session_are_refused_by_name() {
    let mut world = World::new();
    let (a, _) = (world.joined("a.acme.example"), world.registered("b.acme.example"));
    let mut ask = |name: &str| refused(world.call(a.from, Call::Locate, a.locate(name))).0;
    assert_eq!(
        ask("b.acme.example"),
        Code::UnknownName,
        "a member, but not joined"
    );
    assert_eq!(ask("c.acme.example"), Code::UnknownName);
    let c = world.registered("c.acme.example");
    let answer = world.call(c.from, Call::Locate, c.locate("a.acme.example"));
    assert_eq!(refused(answer).0, Code::NotJoined, "who asks must be joined");
}

#[test]
fn a_query_answers_by_pattern_status_and_limit() {
    let mut world = World::new();
    let a = world.joined("a.acme.example");
    world.invite("invited.acme.example");
    world.registered("phone-1.acme.example");
    world.joined("phone-2.acme.example");
    let mut ask =
        |pattern: &str, mask, limit| match world.call(a.from, Call::Query, a.query(pattern, mask, limit)) {
            Answer::Query(ack) => (
                ack.records
                    .into_iter()
                    .map(|record| record.fqdn)
                    .collect::<Vec<_>>(),
                ack.more,
            ),
            other => panic!("{:?}", refused(other)),
        };
    assert_eq!(
        ask("phone-?.*", 0, 0).0,
        ["phone-1.acme.example", "phone-2.acme.example"]
    );
    assert_eq!(ask("", 1 << 3, 0).0, ["a.acme.example", "phone-2.acme.example"]);
    assert_eq!(ask("", 1 << 0, 0).0, ["invited.acme.example"]);
    assert_eq!(ask("", 0, 3).0.len(), 3);
    assert!(ask("", 0, 3).1 && !ask("", 0, 4).1);
}

#[test]
fn a_newer_run_takes_over_and_the_older_one_is_told() {
    let mut world = World::new();
    let agents = people(&mut world, 2);
    let [mut a, b]: [Agent; 2] = agents.try_into().unwrap_or_else(|_| panic!("two"));
    b.meet(&mut world, &a);
    let (old_stream, old_leave, address) = (a.stream.unwrap(), a.leave(), a.address());
    world.pushes.clear();
    world.pass(1000);
    a.new_run();
    a.up(&mut world);
    let (_, told) = world
        .pushes
        .iter()
        .find(|(stream, _)| *stream == old_stream)
        .unwrap();
    assert!(matches!(&told.change, Some(Change::Ended(refusal)) if refusal.code() == Code::Superseded));
    assert!(world.ends.contains(&(old_stream, StreamEnd::Told)));
    assert_eq!(
        peer(&world.heard(&b)[0]).virtual_address,
        u32::from(address),
        "where it is now"
    );
    assert_eq!(
        refused(world.call(a.from, Call::Leave, old_leave)).0,
        Code::Superseded
    );
    // The same run joins again: nothing has changed for anybody.
    world.pass(1000);
    a.up(&mut world);
    assert!(world.heard(&b).is_empty());
}

#[test]
fn a_stream_begins_where_the_last_one_ended_or_asks_for_a_new_join() {
    let mut world = World::new();
    let agents = people(&mut world, 2);
    let [a, mut b]: [Agent; 2] = agents.try_into().unwrap_or_else(|_| panic!("two"));
    b.meet(&mut world, &a);
    let move_to = |world: &mut World, port| {
        let location = Location {
            port,
            ..elsewhere(&a)
        };
        assert!(granted(&world.call(a.from, Call::Move, a.moved(location))));
    };
    move_to(&mut world, 1000);
    let seen = world.heard(&b).last().unwrap().revision;
    // Nothing was missed: synced at once. An older stream of the run is closed.
    let old = b.stream.unwrap();
    b.watch(&mut world, seen);
    assert!(matches!(world.heard(&b)[0].change, Some(Change::Synced(_))));
    assert!(world.ends.contains(&(old, StreamEnd::Replaced)));
    // Closed while somebody moved: the member must join again.
    let stream = b.stream.unwrap();
    world.input(Input::StreamClosed { stream });
    move_to(&mut world, 1001);
    b.watch(&mut world, seen);
    assert!(matches!(world.heard(&b)[0].change, Some(Change::Resync(_))));
    assert_eq!(world.ends.last(), Some(&(b.stream.unwrap(), StreamEnd::Told)));
    b.up(&mut world);
    move_to(&mut world, 1002);
    assert_eq!(world.heard(&b).len(), 1);
    // Too slow: the host's queue is full.
    let stream = b.stream.unwrap();
    world.input(Input::StreamFull { stream });
    assert!(matches!(world.heard(&b)[0].change, Some(Change::Resync(_))));
    let newest = world.disk.revision;
    b.watch(&mut world, newest);
    assert!(matches!(world.heard(&b)[0].change, Some(Change::Resync(_))));
    // From the future, as after a backup was restored.
    b.up(&mut world);
    b.watch(&mut world, newest + 100);
    assert!(matches!(world.heard(&b)[0].change, Some(Change::Resync(_))));
}

#[test]
fn of_several_updates_in_one_change_only_the_last_ends_the_revision() {
    let mut world = World::new();
    let agents = people(&mut world, 3);
    agents[2].meet(&mut world, &agents[0]);
    agents[2].meet(&mut world, &agents[1]);
    world.pushes.clear();
    let now = world.now;
    for at in [0, 1] {
        world.manager.end_session(now, agents[at].id, Ended::Left);
    }
    world.settle();
    let revisions: Vec<u64> = world
        .heard(&agents[2])
        .iter()
        .map(|update| update.revision)
        .collect();
    assert_eq!(revisions, [0, world.disk.revision]);
}

#[test]
fn streams_of_nobody_are_dropped_and_of_the_unjoined_refused() {
    let mut world = World::new();
    let mut a = world.registered("a.acme.example");
    a.watch(&mut world, 0);
    let heard = world.heard(&a);
    assert!(matches!(&heard[0].change, Some(Change::Ended(refusal)) if refusal.code() == Code::NotJoined));
    let stream = world.stream();
    let mut envelope = a.envelope(Kind::Watch, &WatchRequest::default());
    envelope.authenticator[1] ^= 1;
    let from = "192.0.2.1:1".parse().unwrap();
    world.input(Input::Watch {
        stream,
        from,
        envelope,
    });
    assert_eq!(
        world.ends.last(),
        Some(&(stream, StreamEnd::Dropped(DropCause::NotAuthentic)))
    );
}
