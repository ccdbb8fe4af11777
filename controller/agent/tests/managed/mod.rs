//! Members whose manager is the test: orders by hand, tickets sealed here.

mod first;
mod flood;
mod ike;
mod manager;
mod member;
mod strangers;

use crate::common::{ADDRESS, Net, PUBLIC, privileged};
use crate::relay::{self, Relay};
use kith_agent::config::Secret;
use kith_agent::keying::Whereabouts;
use kith_agent::orders::{Director, Order, Report, Rule};
use kith_agent::status::KeyState;
use manager::Manager;
use member::{ANY, Identity, MANAGER, Member, now_ms};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// What the pair shares, in this epoch and the next.
const KEYS: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];
const HOUR: u64 = 3_600_000;

fn identity(which: usize) -> Identity {
    let public = SocketAddrV4::new(PUBLIC[which].parse().unwrap(), 20202);
    Identity {
        fqdn: ["a.acme.example", "b.acme.example"][which],
        address: ADDRESS[which].parse().unwrap(),
        public,
        // One at all its addresses, one leaves room for a director beside it.
        listens: [Ipv4Addr::UNSPECIFIED, *public.ip()][which],
        ticket_key: [0xa0 + which as u8; 32],
    }
}

/// A network, and two members in it that may say anything, but know nobody; each with its end of a manager's channel.
struct World {
    members: [Member; 2],
    managers: [Manager; 2],
    net: Net,
}

impl World {
    fn new() -> Self {
        let net = Net::new(1500);
        let router = net.router_namespace();
        let managers = [("192.0.2.254", 0), ("198.51.100.254", 1)].map(|(address, which)| {
            let address = SocketAddrV4::new(address.parse().unwrap(), 20202);
            Manager::start(&router, address, identity(which))
        });
        let members = [0, 1].map(|which| Member::start(&net.namespace(which), identity(which)));
        let mut world = Self {
            members,
            managers,
            net,
        };
        for which in 0..2 {
            world.join(which);
        }
        world
    }

    fn join(&mut self, which: usize) {
        self.members[which].join();
        let channel = self.managers[which].channel();
        self.members[which].order(channel);
        self.members[which].order(Order::Policy(vec![ANY]));
    }

    /// The first is told of the second, as by DNS.
    fn introduce(&self, expires_ms: u64) {
        let [a, b] = &self.members;
        a.order(a.identity.peer(&b.identity, KEYS[0], now_ms() * 1000, expires_ms));
    }

    fn acquainted() -> Self {
        let world = Self::new();
        world.introduce(now_ms() + HOUR);
        world
            .net
            .until("a reaches b", Duration::from_secs(5), |net| net.pings(0));
        world
    }
}

fn icmp(allow: bool, from: usize) -> Rule {
    let exactly = |which: usize| (identity(which).address.to_bits(), u32::MAX);
    Rule {
        allow,
        source: exactly(from),
        destination: exactly(1 - from),
        protocol: 1,
        ..ANY
    }
}

#[test]
fn a_ticket_opens_the_door_and_packets_pass_both_ways() {
    if !privileged() {
        return;
    }
    let world = World::acquainted();
    let [a, b] = &world.members;
    let introduced = b.reported(|report| matches!(report, Report::Introduced(_)));
    assert_eq!(introduced, Report::Introduced(a.identity.address));
    assert!(world.net.pings(1));
    let status = b.status();
    assert_eq!(
        (status.name.as_str(), status.address),
        (b.identity.fqdn, b.identity.address)
    );
    assert_eq!(
        (status.peers.len(), status.peers[0].name.as_str()),
        (1, a.identity.fqdn)
    );
    assert_eq!(
        (status.peers[0].keys, status.peers[0].agreements),
        (KeyState::Up, 1)
    );
    assert!(status.refusals.is_empty(), "{:?}", status.refusals);
    crate::assert_conserved(|| b.status());
    crate::assert_conserved(|| a.status());
}

/// Threads of this process by name, and their effective capabilities.
fn capabilities() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_string()
    };
    status
        .map(|text| (field(&text, "Name:"), field(&text, "CapEff:")))
        .collect()
}

#[test]
fn only_the_thread_that_sets_up_the_adapter_keeps_a_capability_and_only_that_one() {
    if !privileged() {
        return;
    }
    let world = World::acquainted();
    // CAP_NET_ADMIN is number 12.
    let (none, net_admin) = ("0000000000000000", "0000000000001000");
    let expected = [
        ("kith-in", none),
        ("kith-out", none),
        ("kith-control", none),
        ("kith-adapter", net_admin),
    ];
    // Threads of other tests may be in this process, and just be starting.
    world.net.until(
        "each thread holds what it should",
        Duration::from_secs(10),
        |_| {
            let threads = capabilities();
            expected.iter().all(|(name, held)| {
                let of_that_name: Vec<_> = threads.iter().filter(|(there, _)| there == name).collect();
                of_that_name.len() >= 2 && of_that_name.iter().all(|(_, holds)| holds == held)
            })
        },
    );
}

#[test]
fn the_policy_holds_in_each_direction_at_either_end() {
    if !privileged() {
        return;
    }
    let world = World::acquainted();
    let count = |which: usize| world.members[which].dropped("policy_denied");
    // Requests go from a to b, replies from b to a: each of the four places can stop a ping of a's.
    for (which, from) in [(0, 0), (1, 0), (1, 1), (0, 1)] {
        let before = [count(0), count(1)];
        world.members[which].order(Order::Policy(vec![icmp(false, from), ANY]));
        assert!(!world.net.pings(0), "{which} denies what {from} sends");
        let after = [count(0), count(1)];
        assert!(after[which] > before[which], "{before:?} {after:?}");
        assert_eq!(
            after[1 - which],
            before[1 - which],
            "the other end had no part in it"
        );
        world.members[which].order(Order::Policy(vec![icmp(true, 0), icmp(true, 1)]));
        assert!(world.net.pings(0), "these two rules are enough");
        world.members[which].order(Order::Policy(vec![ANY]));
    }
    world.members[1].order(Order::Policy(Vec::new()));
    assert!(!world.net.pings(0), "no rule, no packet");
    assert_eq!(
        world.members[1].status().peers[0].keys,
        KeyState::Up,
        "keys are not subject to it"
    );
}

#[test]
fn who_is_gone_is_cut_off_at_once_and_its_old_ticket_is_worth_nothing() {
    if !privileged() {
        return;
    }
    let mut world = World::acquainted();
    let overheard = now_ms() * 1000;
    world
        .net
        .leave_running(0, &["ping", "-q", "-i", "0.02", ADDRESS[1]]);
    let [a, b] = &world.members;
    let (received, unknown) = (|| b.status().packets.tun_tx, || b.dropped("member_unknown"));
    let before = received();
    world.net.until("packets flow", Duration::from_secs(5), |_| {
        received() > before + 20
    });
    b.order(Order::Gone(a.identity.address));
    assert!(b.status().peers.is_empty());
    world
        .net
        .until("what comes is nobody's", Duration::from_secs(5), |_| {
            unknown() > 0
        });
    let (at_once, start) = (received(), unknown());
    world
        .net
        .until("and stays so", Duration::from_secs(5), |_| unknown() > start + 20);
    assert_eq!(received(), at_once, "not one packet more");
    // Had a lost its keys, too, it would ask for others with the ticket that it has.
    a.order(Order::Gone(b.identity.address));
    a.order(a.identity.peer(&b.identity, KEYS[0], overheard, now_ms() + HOUR));
    world
        .net
        .until("the old ticket is refused", Duration::from_secs(5), |_| {
            b.refused("ticket_replayed") > 0
        });
    assert!(b.status().peers.is_empty());
    // A ticket that was made afterwards is another thing.
    world.introduce(now_ms() + HOUR);
    world
        .net
        .until("a reaches b again", Duration::from_secs(5), |net| net.pings(0));
}

#[test]
fn a_rekeyed_epoch_an_expired_secret_and_an_unknown_address_are_noticed() {
    if !privileged() {
        return;
    }
    let world = World::acquainted();
    let [a, b] = &world.members;
    // The manager goes on to the next epoch; only a has heard of it. The keys that both have go on, and a says under them where it is now.
    a.order(
        a.identity
            .peer(&b.identity, KEYS[1], now_ms() * 1000, now_ms() + HOUR),
    );
    world.net.good(0, "ip addr add 192.0.2.2/24 dev wan");
    a.join_at("192.0.2.2:20202".parse().ok());
    world
        .net
        .until("it is known where a is now", Duration::from_secs(5), |_| {
            let peers = b.status().peers;
            peers
                .first()
                .is_some_and(|peer| peer.endpoint.to_string() == "192.0.2.2:20202")
        });
    assert!(
        world.net.pings(0) && b.status().refusals.is_empty(),
        "{:?}",
        b.status().refusals
    );
    // A secret that lasts three seconds more is reported, and forgotten when it is over.
    world.introduce(now_ms() + 3_000);
    let expiring = a.reported(|report| matches!(report, Report::Expiring(_)));
    assert_eq!(expiring, Report::Expiring(b.identity.address));
    world.net.until("it is over", Duration::from_secs(6), |_| {
        a.status().peers.is_empty()
    });
    assert!(!world.net.pings(0));
    // Now b is somebody unknown, as is whoever else: once for each address, if it is one of our networks.
    for address in [b.identity.address, Ipv4Addr::new(10, 78, 0, 7)] {
        let _ = world.net.exec(0, &format!("ping -c 1 -W 1 {address}"));
        let needed = a.reported(|report| matches!(report, Report::NeedPeer(needed) if *needed == address));
        assert_eq!(needed, Report::NeedPeer(address));
    }
}

#[test]
fn the_managers_channel_carries_the_managers_packets_and_no_others() {
    if !privileged() {
        return;
    }
    let mut world = World::new();
    for round in 0..2 {
        let manager = &mut world.managers[0];
        assert_eq!(manager.receive(), Some(Vec::new()), "the member says where it is");
        manager.ping(MANAGER);
        let reply = manager.receive().expect("a reply");
        assert_eq!(
            (reply[9], reply[20], &reply[12..16]),
            (1, 0, &[10, 77, 0, 1][..]),
            "round {round}"
        );
        let member = &world.members[0];
        member.reported(|report| *report == Report::ManagerHeard);
        let before = member.dropped("virtual_source_spoofed") + member.dropped("member_unknown");
        manager.ping(Ipv4Addr::new(10, 77, 0, 77));
        world
            .net
            .until("the lie is dropped", Duration::from_secs(2), |_| {
                member.dropped("virtual_source_spoofed") + member.dropped("member_unknown") > before
            });
        assert!(member.status().peers.is_empty(), "the manager is no member");
        // New keys, while nothing is lost.
        let channel = world.managers[0].channel();
        world.members[0].order(channel);
    }
}

#[test]
fn a_thousand_and_twenty_four_members_fit_and_the_place_of_one_that_is_gone_is_given_again() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let member = &world.members[0];
    let other = |number: u32| Identity {
        address: Ipv4Addr::from_bits(0x0a4e_0000 + number),
        ..identity(1)
    };
    let admit = |number| {
        let peer = member
            .identity
            .peer(&other(number), KEYS[0], now_ms() * 1000, now_ms() + HOUR);
        member.order(peer);
        member
            .status()
            .peers
            .iter()
            .any(|peer| peer.address == other(number).address)
    };
    assert!((1..=1024).all(admit));
    assert!(!admit(1025), "and no more");
    member.order(Order::Gone(other(500).address));
    // Both threads of the datapath wipe what they know first.
    world
        .net
        .until("there is room again", Duration::from_secs(2), |_| admit(1025));
    assert_eq!(member.status().peers.len(), 1024);
}

/// The director that both members have a session at, and its address.
fn director() -> SocketAddrV4 {
    format!("{}:20202", relay::ADDRESS).parse().unwrap()
}

fn pseudo(which: u8) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::new(240, 0, 0, which + 1))
}

/// Asks for a session at the director; the second member is one that only sends.
fn session_order(which: usize) -> Order {
    Order::Director(Director {
        address: director(),
        key_id: which as u64 + 1,
        key: Secret::from_hex(relay::KEYS[which]).unwrap(),
        sender_only: which == 1,
    })
}

fn has_session(member: &Member, which: u8) {
    let wanted = |report: &Report| {
        matches!(report, Report::Session { director: at, pseudo: Some(there), observed: Some(_) }
            if *at == director() && Some(*there) == pseudo(which))
    };
    member.reported(wanted);
}

/// The first member is reached through a director only, and the second reaches it.
fn through_a_director() -> (World, Relay) {
    let world = World::new();
    world
        .net
        .good(1, &format!("ip addr add {}/24 dev wan", relay::ADDRESS));
    let relay = Relay::start(&world.net.namespace(1));
    let [a, b] = &world.members;
    a.join_behind();
    for (which, member) in (0..).zip([a, b]) {
        member.order(session_order(which.into()));
        has_session(member, which);
    }
    let Order::Peer(mut told) = b
        .identity
        .peer(&a.identity, KEYS[0], now_ms() * 1000, now_ms() + HOUR)
    else {
        unreachable!("it makes a peer")
    };
    told.location = Whereabouts::Director {
        director: director(),
        pseudo: pseudo(0).unwrap(),
    };
    b.order(Order::Peer(told));
    world
        .net
        .until("b reaches a", Duration::from_secs(5), |net| net.pings(1));
    (world, relay)
}

#[test]
fn a_session_is_taken_and_given_back_as_ordered_and_members_are_reached_through_it() {
    if !privileged() {
        return;
    }
    let (world, relay) = through_a_director();
    let [a, b] = &world.members;
    assert!(world.net.pings(0) && relay.relayed() > 0);
    let there = b.status().peers[0].clone();
    assert_eq!((there.pseudo, there.endpoint), (pseudo(0), director()));
    // The same again changes nothing, and is reported again.
    let sessions = relay.sessions();
    a.order(session_order(0));
    has_session(a, 0);
    assert_eq!(relay.sessions(), sessions);

    a.order(Order::NoDirector);
    world
        .net
        .until("the session is given back", Duration::from_secs(2), |_| {
            relay.sessions() == 1
        });
    assert!(a.status().director.is_none());
}

#[test]
fn a_member_that_roams_is_reached_through_its_director_within_a_second() {
    if !privileged() {
        return;
    }
    let (world, relay) = through_a_director();
    world.net.good(
        0,
        "ip addr del 192.0.2.1/24 dev wan && ip addr add 192.0.2.7/24 dev wan",
    );
    world.net.good(0, "ip route add default via 192.0.2.254");
    // It has nothing to say itself, and its keep-alive is not due for long: what is sent to it goes where it was.
    assert!(!world.net.pings(1));
    let sessions = relay.sessions();
    world.members[0].order(Order::Roamed);
    world
        .net
        .until("b reaches a where it is now", Duration::from_secs(1), |net| {
            net.pings(1)
        });
    assert_eq!(relay.sessions(), sessions, "it is the same session");
    let session = world.members[0].status().director.unwrap();
    assert_eq!(session.observed.unwrap().ip().to_string(), "192.0.2.7");
    assert_eq!(session.pseudo, pseudo(0));
}

#[test]
fn a_managed_member_sets_up_its_adapter_when_it_joins_and_takes_everything_away_when_it_is_out() {
    if !privileged() {
        return;
    }
    let mut world = World::acquainted();
    let routes = |net: &Net| net.good(0, "ip -o addr show dev kith0; ip route show dev kith0");
    let up = routes(&world.net);
    assert!(up.contains("10.77.0.1/24") && up.contains("10.78.0.0/24"), "{up}");
    world.members[0].order(Order::Out);
    let out = routes(&world.net);
    assert!(!out.contains("10.77.") && !out.contains("10.78."), "{out}");
    let status = world.members[0].status();
    assert!(status.peers.is_empty() && status.address.is_unspecified());
    assert!(!world.net.pings(1), "nothing passes");
    world.join(0);
    world.introduce(now_ms() + HOUR);
    world
        .net
        .until("it is back", Duration::from_secs(5), |net| net.pings(0));
    assert!(world.members[0].end());
    let gone = world.net.exec(0, "ip link show kith0");
    assert!(!gone.status.success(), "the adapter is gone with the client");
}
