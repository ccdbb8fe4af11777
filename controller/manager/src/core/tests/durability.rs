//! What is on disk and what is told: never one without the other.

use super::world::{Disk, settings};
use super::*;
use kith_protocol::records;
use kith_store::Revision;
use prost::Message;

/// All entries but audit records, which the core does not keep.
fn kept(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let entries = disk.entries.iter().filter(|(key, _)| !key.starts_with("audit/"));
    entries
        .map(|(key, entry)| (key.clone(), entry.value.clone()))
        .collect()
}

#[test]
fn nothing_is_told_before_it_is_on_disk_and_then_in_order() {
    let mut world = World::new();
    let agents: Vec<Agent> = (0..3)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    agents[1].meet(&mut world, &agents[0]);
    world.pushes.clear();
    world.ends.clear();
    world.events.clear();
    world.quick_disk = false;
    let leave = world.send(agents[0].from, Call::Leave, agents[0].leave());
    let query = world.send(agents[2].from, Call::Query, agents[2].query("", 1 << 3, 0));
    assert!(
        world.answers.is_empty(),
        "a read that follows a change waits for it too"
    );
    assert!(world.pushes.is_empty() && world.ends.is_empty() && world.events.is_empty());
    world.commit();
    world.settle();
    assert!(granted(&world.answers[&leave]));
    let Answer::Query(found) = &world.answers[&query] else {
        panic!("refused")
    };
    assert_eq!(found.records.len(), 2);
    assert_eq!(world.heard(&agents[1]).len(), 1);
    // A forgery waits for nobody.
    world.send(agents[2].from, Call::Leave, agents[2].leave());
    let mut forged = agents[1].leave();
    forged.authenticator[0] ^= 1;
    let forged = world.send(agents[1].from, Call::Leave, forged);
    assert_eq!(
        dropped(world.answers.remove(&forged).unwrap()),
        DropCause::NotAuthentic
    );
}

#[test]
fn who_asks_for_a_director_waits_only_for_what_the_answer_can_depend_on() {
    let mut world = World::new();
    let agents: Vec<Agent> = (0..4)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    agents[1].meet(&mut world, &agents[0]);
    world.quick_disk = false;
    let leave = |world: &mut World, n: usize| world.send(agents[n].from, Call::Leave, agents[n].leave());
    let init = |world: &mut World, n: usize| world.send(agents[n].from, Call::Init, agents[n].init(n as u8));
    let commit = |world: &mut World| {
        world.commit();
        world.settle();
    };

    leave(&mut world, 0);
    let (left, friend, stranger) = (init(&mut world, 0), init(&mut world, 1), init(&mut world, 2));
    assert!(granted(&world.answers[&stranger]), "nothing of it is under way");
    assert!(!world.answers.contains_key(&left), "that it left is not on disk");
    assert!(
        !world.answers.contains_key(&friend),
        "it is to hear of another first"
    );
    // What has to do with the first transaction does not wait for the second.
    leave(&mut world, 2);
    commit(&mut world);
    assert!(granted(&world.answers[&left]) && granted(&world.answers[&friend]));
    assert_eq!(world.commits.len(), 1);

    // Operators' changes are everybody's.
    world.policy("p", false, "user:bob", "tag:server");
    let all = init(&mut world, 3);
    commit(&mut world);
    assert!(!world.answers.contains_key(&all));
    commit(&mut world);
    assert!(granted(&world.answers[&all]));
}

#[test]
fn a_name_is_answered_only_once_the_join_is_on_disk() {
    let mut world = World::new();
    let asker = world.joined("asker.acme.example");
    let target = world.registered("target.acme.example");
    let init = super::join::init(&mut world, &target, 1);
    world.quick_disk = false;
    let join = world.send(target.from, Call::Join, target.join(&init));
    let ask = |world: &mut World| {
        let (now, name) = (world.now, Target::Name("target.acme.example"));
        world.manager.locate(now, asker.id, name).map(|peer| peer.fqdn)
    };
    assert_eq!(ask(&mut world), Err(LocateRefusal::NotJoined));
    world.commit();
    world.settle();
    assert!(granted(&world.answers[&join]));
    assert_eq!(ask(&mut world).as_deref(), Ok("target.acme.example"));
}

#[test]
fn a_failed_commit_refuses_all_that_waits_and_poisons_the_core() {
    let mut world = World::new();
    let agents: Vec<Agent> = (0..3)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    agents[1].meet(&mut world, &agents[0]);
    let invited = world.invite("new.acme.example");
    world.pushes.clear();
    world.quick_disk = false;
    let before = kept(&world.disk);
    let mails = world.mails.len();
    let leave = world.send(agents[0].from, Call::Leave, agents[0].leave());
    let register = world.send(invited.from, Call::Register, invited.register());
    let (id, _) = world.commits.pop_front().unwrap();
    let why = "disk full".to_owned();
    world.input(Input::CommitFailed { id, why });
    for token in [leave, register] {
        assert_eq!(refused(world.answers.remove(&token).unwrap()).0, Code::Store);
    }
    assert!(world.pushes.is_empty(), "nobody hears of what did not happen");
    assert_eq!(world.mails.len(), mails);
    assert_eq!(world.manager.poisoned(), Some("disk full"));
    let ended: Vec<StreamId> = world
        .ends
        .iter()
        .filter(|(_, why)| *why == StreamEnd::Store)
        .map(|(stream, _)| *stream)
        .collect();
    assert!(agents.iter().all(|agent| ended.contains(&agent.stream.unwrap())));
    let later = world.send(agents[2].from, Call::Leave, agents[2].leave());
    assert_eq!(refused(world.answers.remove(&later).unwrap()).0, Code::Store);
    assert!(world.revoke(&agents[2].fqdn, "").is_err());
    // The host reads the store again: it is as before.
    world.quick_disk = true;
    world.restart();
    assert_eq!(kept(&world.disk), before);
    assert!(world.member(&agents[0]).session().is_some());
    assert!(granted(&world.call(
        agents[0].from,
        Call::Leave,
        agents[0].leave()
    )));
}

#[test]
fn a_restart_from_the_entries_gives_the_same_state() {
    let mut world = World::new();
    world.community(2, "globex.example", &["10.88.0.0/24", "10.89.0.0/16"]);
    world.policy("p", false, "user:bob", "tag:server");
    world.director(records::Director {
        name: "nrd".into(),
        udp: true,
        ..records::Director::default()
    });
    let state = world.manager.state_mut();
    state.put_credential(records::Credential {
        id: "c1".into(),
        ..records::Credential::default()
    });
    let agents: Vec<Agent> = (0..8)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    agents[0].heartbeat(&mut world, 100, 200);
    assert!(world.revoke("m1.acme.example", "lost").is_ok());
    let half = world.invite("half.acme.example");
    world.call(half.from, Call::Register, half.register());
    world.pass(60_000);
    world.restart();
    let before = kept(&world.disk);
    let revision = Revision(world.disk.revision);

    // All of it written anew by what was read is, octet for octet, what was there.
    let state = world.manager.state_mut();
    let members: Vec<MemberId> = state.members().map(|member| member.id).collect();
    let communities: Vec<CommunityIndex> = state.communities().map(|community| community.index).collect();
    let policy = state
        .community_named("acme.example")
        .unwrap()
        .policy("p")
        .unwrap()
        .clone();
    let nrd = state.director("nrd").unwrap().record.clone();
    let credential = state.credential("c1").unwrap().clone();
    state.put_policy(CommunityIndex(1), policy);
    state.community_mut(CommunityIndex(1)).unwrap().policy_version -= 1;
    for index in communities {
        state.community_mut(index);
    }
    state.put_director(nrd);
    state.put_credential(credential);
    for id in &members {
        state.member_mut(*id);
        state.session_mut(*id);
        if let Some(address) = state.member(*id).and_then(|member| member.virtual_address) {
            state.own_address(*id, address);
        }
        if state.member(*id).and_then(|member| member.accounting()).is_some() {
            state.accounting_mut(*id);
        }
    }
    world.settle();
    assert_eq!(Revision(world.disk.revision), Revision(revision.0 + 1));
    let after = kept(&world.disk);
    let keys = |kept: &[(String, Vec<u8>)]| kept.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&before), keys(&after));
    for ((key, old), (_, new)) in before.iter().zip(&after) {
        if key.starts_with("session/") {
            // When it was last heard is counted from the restart.
            let [old, new] = [old, new].map(|value| records::Session::decode(value.as_slice()).unwrap());
            assert!(
                records::Session { heard_ms: 0, ..old } == records::Session { heard_ms: 0, ..new },
                "{key}"
            );
        } else {
            assert!(old == new, "{key}");
        }
    }
}

#[test]
fn members_have_time_to_come_back_after_a_restart_and_then_are_silent() {
    let mut world = World::new();
    let mut agents: Vec<Agent> = (0..2)
        .map(|n| world.joined(&format!("m{n}.acme.example")))
        .collect();
    world.pass(10_000);
    world.restart();
    assert_eq!(world.manager.state().joined_count(), 2);
    world.pass(170_000);
    assert_eq!(world.manager.state().joined_count(), 2);
    // What it was told before the restart nobody knows: it is told all, and keeps its session.
    let revision = world.disk.revision;
    agents[0].watch(&mut world, revision);
    assert!(matches!(
        world.heard(&agents[0])[0].change,
        Some(Change::Resync(_))
    ));
    let joined_ms = world.session(&agents[0]).joined_ms;
    agents[0].watch(&mut world, 0);
    let heard = world.heard(&agents[0]);
    let revisions: Vec<u64> = heard.iter().map(|update| update.revision).collect();
    assert_eq!(
        revisions,
        [0, 0, revision],
        "it has everything with the last word"
    );
    let [
        Some(Change::Managers(_)),
        Some(Change::Policy(policy)),
        Some(Change::Synced(synced)),
    ] = [0, 1, 2].map(|at: usize| heard[at].change.clone())
    else {
        panic!("{heard:?}")
    };
    assert!(!policy.rules.is_empty());
    assert_eq!(synced.networks.len(), 1);
    assert_eq!(
        Ipv4Addr::from(synced.manager_virtual_address),
        Ipv4Addr::new(10, 77, 0, 1)
    );
    assert_eq!(world.session(&agents[0]).joined_ms, joined_ms);
    // From now on it may watch from where it was, and is told again of those it asks for.
    agents[0].watch(&mut world, revision);
    assert!(matches!(
        world.heard(&agents[0])[0].change,
        Some(Change::Synced(_))
    ));
    agents[0].meet(&mut world, &agents[1]);
    world.pass(20_000);
    assert_eq!(world.manager.state().joined_count(), 1);
    assert!(world.member(&agents[1]).session().is_none());
    assert!(matches!(world.heard(&agents[0])[0].change, Some(Change::Gone(_))));
}

#[test]
fn joined_time_and_volume_are_counted_once() {
    let mut world = World::new();
    let mut agent = world.joined("a.acme.example");
    for minute in 1..=10 {
        for _ in 0..3 {
            world.pass(20_000);
            agent.heartbeat(&mut world, minute * 1000, minute * 10);
        }
        if minute == 4 {
            world.restart();
        }
    }
    assert!(granted(&world.call(agent.from, Call::Leave, agent.leave())));
    let account = world.member(&agent).accounting().unwrap().clone();
    assert_eq!(
        (account.joined_ms, account.octets_sent, account.octets_received),
        (600_000, 10_000, 100)
    );
    // The same process joins again and counts on.
    agent.up(&mut world);
    world.pass(20_000);
    agent.heartbeat(&mut world, 10_500, 100);
    assert!(granted(&world.call(agent.from, Call::Leave, agent.leave())));
    let account = world.member(&agent).accounting().unwrap();
    assert_eq!(
        (account.joined_ms, account.octets_sent, account.sessions),
        (620_000, 10_500, 2)
    );
    let entry = &world.disk.entries["accounting/acme.example/a"];
    assert_eq!(
        &records::Accounting::decode(entry.value.as_slice()).unwrap(),
        account
    );
}

#[test]
fn what_does_not_fit_together_is_not_loaded() {
    let mut world = World::new();
    world.joined("a.acme.example");
    world.joined("b.acme.example");
    let load = |change: &dyn Fn(&mut Disk)| {
        let mut disk = world.disk.clone();
        change(&mut disk);
        let entropy = Entropy::new(super::world::entropy(3));
        let loaded = Manager::load(
            settings(),
            &disk.entries(),
            Revision(disk.revision),
            world.now,
            entropy,
        );
        loaded.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(load(&|_| {}), "");
    let damaged = load(&|disk| {
        disk.entries
            .get_mut("member/acme.example/a")
            .unwrap()
            .value
            .push(7)
    });
    assert!(
        damaged.contains("member/acme.example/a in the store is damaged"),
        "{damaged}"
    );
    let orphan = load(&|disk| drop(disk.entries.remove("community/acme.example")));
    assert!(
        orphan.contains("belongs to acme.example, which is not there"),
        "{orphan}"
    );
    let orphan = load(&|disk| drop(disk.entries.remove("member/acme.example/a")));
    assert!(orphan.contains("belongs to a.acme.example"), "{orphan}");
    let twice = load(&|disk| {
        let value = disk.entries["member/acme.example/a"].value.clone();
        let a = records::Member::decode(value.as_slice()).unwrap();
        let entry = disk.entries.get_mut("member/acme.example/b").unwrap();
        let b = records::Member::decode(entry.value.as_slice()).unwrap();
        entry.value = records::Member {
            virtual_address: a.virtual_address,
            ..b
        }
        .encode_to_vec();
    });
    assert!(twice.contains("claims the address 10.77.0.2"), "{twice}");
}
