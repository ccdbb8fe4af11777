//! Whatever happens in whatever order: no address twice, and nothing that was answered is lost in a crash.

use super::world::Disk;
use super::*;
use kith_protocol::records;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// More members than the pools have addresses.
const MEMBERS: usize = 9;
const POOLS: [&str; 2] = ["10.66.0.0/29", "10.66.1.0/30"];
const LANS: [&str; 4] = ["10.66.0.0/30", "10.66.0.4/31", "10.66.1.0/24", "192.168.0.0/16"];

#[derive(Debug, Clone)]
enum Step {
    Join {
        who: usize,
        lans: Vec<usize>,
    },
    Leave(usize),
    NewRun(usize),
    Release(usize),
    Pass(u64),
    /// One transaction reaches the disk.
    Commit,
    /// The process dies; what is not on disk never was.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..MEMBERS;
    prop_oneof![
        6 => (who.clone(), vec(0..LANS.len(), 0..3)).prop_map(|(who, lans)| Step::Join { who, lans }),
        2 => who.clone().prop_map(Step::Leave),
        1 => who.clone().prop_map(Step::NewRun),
        1 => who.prop_map(Step::Release),
        2 => (1u64..90_000).prop_map(Step::Pass),
        6 => Just(Step::Commit),
        1 => Just(Step::Crash),
    ]
}

/// What members were told and have not given back: by name, the run and the address.
type Told = BTreeMap<String, (RunId, Ipv4Addr)>;

fn on_disk<M: Message + Default>(disk: &Disk, kind: &str) -> Vec<(String, M)> {
    let entries = disk.entries.iter().filter(|(key, _)| key.starts_with(kind));
    entries
        .map(|(key, entry)| (key.clone(), M::decode(entry.value.as_slice()).unwrap()))
        .collect()
}

/// One record an address, and members, sessions and addresses agree.
fn addresses_are_unique(world: &World) {
    let owners: Vec<(String, records::Owner)> = on_disk(&world.disk, "address/");
    let members: Vec<(String, records::Member)> = on_disk(&world.disk, "member/");
    let sessions: Vec<(String, records::Session)> = on_disk(&world.disk, "session/");
    let having = members.iter().filter(|(_, member)| member.virtual_address != 0);
    let mut claimed = BTreeMap::new();
    for (_, member) in having {
        let other = claimed.insert(member.virtual_address, member.fqdn.clone());
        assert_eq!(other, None, "{} has it too", member.fqdn);
        let address = Ipv4Addr::from(member.virtual_address);
        let pools = POOLS.map(|pool| pool.parse::<state::Prefix>().unwrap());
        let pool = pools
            .into_iter()
            .find(|pool| pool.contains(address))
            .expect("of a pool");
        assert!(
            address != pool.network()
                && address != pool.broadcast()
                && address != Ipv4Addr::new(10, 66, 0, 1)
        );
    }
    assert_eq!(owners.len(), claimed.len());
    for (key, owner) in owners {
        let number = u32::from_str_radix(key.rsplit('/').next().unwrap(), 16).unwrap();
        assert_eq!(claimed.get(&number), Some(&owner.fqdn), "{key}");
    }
    for (_, session) in sessions {
        let own = claimed.get(&session.virtual_address);
        assert_eq!(own, Some(&session.fqdn), "who is joined owns its address");
    }
}

/// Answers that have come: what they promise.
fn collect(world: &mut World, open: &mut BTreeMap<Token, Joining>, told: &mut Told) {
    for (token, answer) in std::mem::take(&mut world.answers) {
        let Some(joining) = open.remove(&token) else {
            continue;
        };
        let Answer::Join(ack) = answer else { continue };
        let address = Ipv4Addr::from(ack.virtual_address);
        assert!(
            !joining.lans.iter().any(|lan| lan.contains(address)),
            "{address} lies in {:?}",
            joining.lans
        );
        // Only the newest request of a member counts for it.
        if !open.values().any(|other| other.fqdn == joining.fqdn) && joining.newest(world) {
            told.insert(joining.fqdn, (joining.run_id, address));
        }
    }
}

/// A join that is not answered yet.
struct Joining {
    fqdn: String,
    run_id: RunId,
    lans: Vec<state::Prefix>,
}

impl Joining {
    /// No other run of it has joined, and it has not left, since.
    fn newest(&self, world: &World) -> bool {
        let session = world
            .manager
            .state()
            .member_named(&self.fqdn)
            .and_then(|member| member.session());
        session.is_some_and(|session| session.run_id == self.run_id)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_two_members_ever_have_one_address_and_no_answer_is_lost(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        world.community(2, "tight.example", &POOLS);
        let mut agents: Vec<Agent> = (0..MEMBERS).map(|n| world.registered(&format!("m{n}.tight.example"))).collect();
        world.quick_disk = false;
        let (mut told, mut open, mut seed) = (Told::new(), BTreeMap::new(), 0u8);
        for step in steps {
            match step {
                Step::Join { who, lans } => {
                    agents[who].lans.clear();
                    lans.iter().for_each(|lan| agents[who].lan(LANS[*lan]));
                    seed = seed.wrapping_add(1);
                    let init = world.send(agents[who].from, Call::Init, agents[who].init(seed));
                    // Phase one changes nothing, but its answer waits for what was changed before it.
                    while !world.answers.contains_key(&init) && !world.commits.is_empty() {
                        world.commit();
                        world.settle();
                    }
                    if let Some(Answer::Init(ack)) = world.answers.remove(&init) {
                        let token = world.send(agents[who].from, Call::Join, agents[who].join(&ack));
                        // Until it is answered, the member does not know.
                        told.remove(&agents[who].fqdn);
                        let joining = Joining {
                            fqdn: agents[who].fqdn.clone(),
                            run_id: RunId(agents[who].run_id),
                            lans: lans.iter().map(|lan| LANS[*lan].parse().unwrap()).collect(),
                        };
                        open.insert(token, joining);
                    }
                }
                Step::Leave(who) => {
                    world.send(agents[who].from, Call::Leave, agents[who].leave());
                    told.remove(&agents[who].fqdn);
                }
                Step::NewRun(who) => agents[who].new_run(),
                Step::Release(who) => {
                    // An operator takes the address of a member that is not joined.
                    if world.member(&agents[who]).session().is_none() {
                        world.manager.state_mut().release_address(agents[who].id);
                        world.settle();
                    }
                }
                Step::Pass(time) => {
                    for agent in &agents {
                        agent.heartbeat(&mut world, 0, 0);
                    }
                    let beats = time / 20_000;
                    for _ in 0..beats {
                        world.pass(20_000);
                        agents.iter().for_each(|agent| agent.heartbeat(&mut world, 0, 0));
                    }
                    world.pass(time % 20_000);
                    // Who began a new run sends no more heartbeats for the old one, and may have fallen silent.
                    let state = world.manager.state();
                    told.retain(|fqdn, _| state.member_named(fqdn).is_some_and(|member| member.session().is_some()));
                }
                Step::Commit if !world.commits.is_empty() => {
                    world.commit();
                    world.settle();
                    prop_assert_eq!(world.manager.poisoned(), None, "conditions hold in order");
                    addresses_are_unique(&world);
                }
                Step::Commit => {}
                Step::Crash => {
                    open.clear();
                    world.answers.clear();
                    world.restart();
                    addresses_are_unique(&world);
                }
            }
            collect(&mut world, &mut open, &mut told);
            for (fqdn, (run_id, address)) in &told {
                let entry = world.disk.entries.get(&format!("session/tight.example/{}", fqdn.split('.').next().unwrap()));
                let session = entry.map(|entry| records::Session::decode(entry.value.as_slice()).unwrap());
                let has = session.map(|session| (RunId::of(&session.run_id).unwrap(), Ipv4Addr::from(session.virtual_address)));
                prop_assert_eq!(has, Some((*run_id, *address)), "{} was told so", fqdn);
            }
        }
    }
}
