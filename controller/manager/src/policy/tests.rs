//! Compiled rules against a straightforward reading of the policies.

use super::words::{ICMP, TCP, UDP};
use super::*;
use kith_protocol::member::Rule;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

const MANAGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A member of a made-up community.
#[derive(Debug, Clone, PartialEq)]
struct Somebody {
    fqdn: String,
    user: String,
    tags: Vec<Box<str>>,
    address: Option<Ipv4Addr>,
}

impl Somebody {
    fn who(&self) -> Who<'_> {
        Who {
            fqdn: &self.fqdn,
            user: &self.user,
            tags: &self.tags,
            address: self.address,
        }
    }
}

/// A packet: addresses, protocol, and ports if it has any that can be read.
#[derive(Debug, Clone, Copy)]
struct Packet {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    ports: Option<(u16, u16)>,
}

impl Packet {
    fn back(self) -> Self {
        let ports = self.ports.map(|(source, destination)| (destination, source));
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            ports,
        }
    }
}

/// What the words say, read one after another.
fn interpret(policies: &[Policy], default: bool, members: &[Somebody], packet: Packet) -> bool {
    if packet.source == MANAGER || packet.destination == MANAGER {
        return true;
    }
    let at = |address| members.iter().find(|member| member.address == Some(address));
    let (Some(source), Some(destination)) = (at(packet.source), at(packet.destination)) else {
        return default;
    };
    let mut policies: Vec<&Policy> = policies.iter().collect();
    policies.sort_by_key(|policy| (policy.level, -i64::from(policy.priority), policy.allow));
    let about = |policy: &&&Policy| {
        let ends = |a: &Somebody, b: &Somebody| policy.from.matches(&a.who()) && policy.to.matches(&b.who());
        let (forth, back) = (ends(source, destination), ends(destination, source));
        policy.services.iter().any(|service| match *service {
            Service::Any => forth || back,
            Service::Protocol(protocol) => packet.protocol == protocol && (forth || back),
            Service::Port { protocol, port } => packet.ports.is_some_and(|(from, to)| {
                packet.protocol == protocol && (forth && to == port || back && from == port)
            }),
        })
    };
    policies.iter().find(about).map_or(default, |policy| policy.allow)
}

/// What a member's datapath does.
fn enforce(rules: &[Rule], packet: Packet) -> bool {
    let hit = |rule: &&Rule| {
        let same = |address: Ipv4Addr, value, mask| u32::from(address) & mask == value;
        let port =
            |wanted: u32, got: Option<u16>| wanted == 0 || got.is_some_and(|got| u32::from(got) == wanted);
        same(packet.source, rule.source, rule.source_mask)
            && same(packet.destination, rule.destination, rule.destination_mask)
            && (rule.protocol == 0 || rule.protocol == u32::from(packet.protocol))
            && port(rule.source_port, packet.ports.map(|ports| ports.0))
            && port(rule.destination_port, packet.ports.map(|ports| ports.1))
    };
    rules.iter().find(hit).is_some_and(|rule| rule.allow)
}

fn book(policies: &[Policy], deny: bool, members: &[Somebody]) -> Book {
    let mut book = Book::new(MANAGER, deny, policies.to_vec());
    for (number, member) in (0..).zip(members) {
        book.place(number, Some(&member.who()));
    }
    book
}

fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![
        2 => Just(Selector::Any),
        2 => (0..3u8).prop_map(|user| Selector::User(format!("user{user}").into())),
        2 => (0..10u8).prop_map(|at| Selector::Machine(format!("m{at}.acme.example").into())),
        2 => (0..3u8).prop_map(|tag| Selector::Tag(format!("tag{tag}").into())),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let port = prop_oneof![Just(22u16), Just(53), Just(80)];
    prop_oneof![
        Just(Service::Any),
        prop_oneof![Just(ICMP), Just(TCP), Just(UDP)].prop_map(Service::Protocol),
        (prop_oneof![Just(TCP), Just(UDP)], port)
            .prop_map(|(protocol, port)| Service::Port { protocol, port }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let level = prop_oneof![Just(Level::Machine), Just(Level::User), Just(Level::Domain)];
    let services = prop::collection::vec(service(), 1..3);
    (
        level,
        -1..2i32,
        any::<bool>(),
        selector(),
        selector(),
        services,
        any::<u16>(),
    )
        .prop_map(|(level, priority, allow, from, to, services, id)| Policy {
            id: format!("p{id}").into(),
            level,
            priority,
            allow,
            from,
            to,
            services,
        })
}

fn somebody(at: u8) -> impl Strategy<Value = Somebody> {
    let tags = prop::collection::btree_set(0..3u8, 0..3);
    (0..3u8, tags, prop::bool::weighted(0.9)).prop_map(move |(user, tags, joined)| Somebody {
        fqdn: format!("m{at}.acme.example"),
        user: format!("user{user}"),
        tags: tags.into_iter().map(|tag| format!("tag{tag}").into()).collect(),
        address: joined.then(|| Ipv4Addr::new(10, 77, 0, 2 + at)),
    })
}

fn everybody() -> impl Strategy<Value = Vec<Somebody>> {
    (0..8u8).map(somebody).collect::<Vec<_>>()
}

fn contents() -> impl Strategy<Value = (u8, Option<(u16, u16)>)> {
    let port = || prop_oneof![Just(22u16), Just(53), Just(80), Just(50_000)];
    prop_oneof![
        Just((ICMP, None)),
        Just((47, None)),
        // A fragment: its ports are elsewhere.
        Just((TCP, None)),
        (prop_oneof![Just(TCP), Just(UDP)], port(), port())
            .prop_map(|(protocol, from, to)| (protocol, Some((from, to)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Sender and receiver decide the same about every packet, the policies' words say the same, and so for the packet's answer.
    #[test]
    fn both_ends_do_what_the_words_say(
        policies in prop::collection::vec(policy(), 0..7),
        deny in any::<bool>(),
        members in everybody(),
        packets in prop::collection::vec(contents(), 1..6),
    ) {
        let book = book(&policies, deny, &members);
        let rules: Vec<Vec<Rule>> = members.iter().map(|member| book.compile(&member.who())).collect();
        for (a, source) in members.iter().enumerate() {
            for (b, destination) in members.iter().enumerate() {
                let (Some(from), Some(to)) = (source.address, destination.address) else { continue };
                for &(protocol, ports) in packets.iter().filter(|_| a != b) {
                    let packet = Packet { source: from, destination: to, protocol, ports };
                    let said = interpret(&policies, !deny, &members, packet);
                    prop_assert_eq!(interpret(&policies, !deny, &members, packet.back()), said);
                    prop_assert_eq!(enforce(&rules[a], packet), said, "sender, {:?}", packet);
                    prop_assert_eq!(enforce(&rules[b], packet), said, "receiver, {:?}", packet);
                }
            }
        }
    }

    /// Names and heartbeats always get through, and nobody's rules let packets through that the manager did not mean.
    #[test]
    fn the_manager_is_reached_whatever_policies_say(
        policies in prop::collection::vec(policy(), 0..7),
        members in everybody(),
        (protocol, ports) in contents(),
    ) {
        let book = book(&policies, true, &members);
        for member in &members {
            let rules = book.compile(&member.who());
            let Some(source) = member.address else {
                prop_assert!(rules.is_empty());
                continue;
            };
            let packet = Packet { source, destination: MANAGER, protocol, ports };
            prop_assert!(enforce(&rules, packet) && enforce(&rules, packet.back()));
        }
    }

    /// A member that changes touches everybody whose rules are others afterwards; a book kept up to date is like one made anew.
    #[test]
    fn a_member_that_changes_touches_those_whose_rules_change(
        policies in prop::collection::vec(policy(), 0..5),
        members in everybody(),
        after in everybody(),
        at in 0..8usize,
        gone in prop::bool::weighted(0.2),
    ) {
        let before = book(&policies, true, &members);
        let mut kept = before.clone();
        let mut members = members;
        let old = members[at].address;
        let touched = if gone {
            members[at].address = None;
            kept.place(at as u64, None)
        } else {
            members[at] = after[at].clone();
            kept.place(at as u64, Some(&members[at].who()))
        };
        let anew = book(&policies, true, &members);
        for (number, member) in members.iter().enumerate() {
            let now = kept.compile(&member.who());
            prop_assert_eq!(&now, &anew.compile(&member.who()));
            let Some(address) = member.address.filter(|address| Some(*address) != old || number != at) else { continue };
            let changed = number != at && now != before.compile(&member.who());
            let told = match &touched {
                Touched::Everybody => true,
                Touched::Owners(owners) => owners.contains(&address),
            };
            prop_assert!(told || !changed, "{} was not touched by {}", number, at);
        }
    }

    /// Policies that come, go or change touch everybody whose rules are others afterwards; a book kept up to date is like one made anew, and
    /// one in which a change was taken back is like it was.
    #[test]
    fn policies_that_change_touch_those_whose_rules_change(
        policies in prop::collection::vec(policy(), 0..6),
        new in prop::collection::vec(policy(), 0..3),
        (gone, changed) in (0..3usize, 0..3usize),
        deny in any::<bool>(),
        members in everybody(),
    ) {
        let named = |at: usize, policy: &Policy| Policy { id: format!("q{at}").into(), ..policy.clone() };
        let policies: Vec<Policy> = policies.iter().enumerate().map(|(at, policy)| named(at, policy)).collect();
        let gone: BTreeSet<&str> = policies.iter().take(gone).map(|policy| &*policy.id).collect();
        // Some of the new ones take the names of those that were, gone or not.
        let put: Vec<Policy> = new.iter().enumerate().map(|(at, policy)| named(policies.len() + at - changed.min(policies.len()), policy)).collect();
        let is_put = |id: &str| put.iter().any(|policy| &*policy.id == id);
        let after: Vec<Policy> = policies.iter().filter(|policy| !gone.contains(&*policy.id) && !is_put(&policy.id)).chain(&put).cloned().collect();
        let everybody = || (0..).zip(members.iter().map(Somebody::who));

        let (before, anew) = (book(&policies, deny, &members), book(&after, deny, &members));
        let mut kept = before.clone();
        let touched = kept.change(&gone, put.clone(), everybody);
        for (number, member) in (0..).zip(&members) {
            let now = kept.compile(&member.who());
            prop_assert_eq!(&now, &anew.compile(&member.who()));
            prop_assert!(now.len() <= kept.at_most(number, &kept.bound()));
            let Some(address) = member.address else { continue };
            let told = match &touched {
                Touched::Everybody => true,
                Touched::Owners(owners) => owners.contains(&address),
            };
            prop_assert!(told || now == before.compile(&member.who()), "{} was not touched", number);
        }
        let ids: BTreeSet<&str> = put.iter().map(|policy| &*policy.id).chain(gone.iter().copied()).collect();
        let back = policies.iter().filter(|policy| ids.contains(&*policy.id)).cloned().collect();
        kept.change(&ids, back, everybody);
        for member in &members {
            prop_assert_eq!(kept.compile(&member.who()), before.compile(&member.who()));
        }
    }

    /// A book that has seen members and policies come, change and go, in any order, is like one made of what is there; and whoever's rules
    /// were others meanwhile was touched since.
    #[test]
    fn a_book_that_has_seen_much_is_like_one_made_anew(
        policies in prop::collection::vec(policy(), 0..4),
        members in everybody(),
        turns in prop::collection::vec((prop::option::of((0..8usize, everybody())), 0..5usize, prop::option::of(policy())), 1..6),
    ) {
        let named = |at: usize, policy: Policy| Policy { id: format!("q{at}").into(), ..policy };
        let mut there: BTreeMap<usize, Policy> = policies.into_iter().enumerate().map(|(at, policy)| (at, named(at, policy))).collect();
        let of = |there: &BTreeMap<usize, Policy>| there.values().cloned().collect::<Vec<_>>();
        let mut members = members;
        let mut kept = book(&of(&there), true, &members);
        let first: Vec<_> = members.iter().map(|member| (member.address, kept.compile(&member.who()))).collect();
        let mut touched = Touched::nobody();
        for (moves, at, put) in turns {
            if let Some((number, others)) = moves {
                members[number] = others[number].clone();
                touched = touched.and(kept.place(number as u64, Some(&members[number].who())));
            }
            let put = put.map(|policy| named(at, policy));
            match put.clone() {
                Some(policy) => drop(there.insert(at, policy)),
                None => drop(there.remove(&at)),
            }
            let id = format!("q{at}");
            let everybody = || (0..).zip(members.iter().map(Somebody::who));
            touched = touched.and(kept.change(&BTreeSet::from([&*id]), put.into_iter().collect(), everybody));
        }
        let anew = book(&of(&there), true, &members);
        for (member, (address, rules)) in members.iter().zip(first) {
            let now = kept.compile(&member.who());
            prop_assert_eq!(&now, &anew.compile(&member.who()));
            let Some(own) = member.address else { continue };
            let told = match &touched {
                Touched::Everybody => true,
                Touched::Owners(owners) => owners.contains(&own),
            };
            prop_assert!(told || (address == Some(own) && now == rules));
        }
    }

    /// The explanation is what happens to the first packet and to its answer.
    #[test]
    fn what_is_explained_is_what_happens(
        policies in prop::collection::vec(policy(), 0..7),
        deny in any::<bool>(),
        members in everybody(),
        service in service(),
        (a, b) in (0..8usize, 0..8usize),
    ) {
        prop_assume!(a != b);
        let (Some(source), Some(destination)) = (members[a].address, members[b].address) else { return Ok(()) };
        let (protocol, port) = service.numbers();
        // Asked about everything: a packet that only a policy about everything is about.
        let protocol = if service == Service::Any { 47 } else { protocol };
        let packet = Packet { source, destination, protocol, ports: (port != 0).then_some((50_000, port)) };
        let explanation = book(&policies, deny, &members).explain(&members[a].who(), &members[b].who(), service);
        prop_assert_eq!(explanation.allow, interpret(&policies, !deny, &members, packet));
        prop_assert_eq!(explanation.allow, interpret(&policies, !deny, &members, packet.back()));
    }
}

fn words(level: Level, priority: i32, allow: bool, from: &str, to: &str, service: &str) -> Policy {
    Policy {
        id: format!("{level}-{priority}-{allow}").into(),
        level,
        priority,
        allow,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        services: vec![service.parse().unwrap()],
    }
}

fn two() -> [Somebody; 2] {
    let of = |host: &str, user: &str, last| Somebody {
        fqdn: format!("{host}.acme.example"),
        user: user.into(),
        tags: vec!["desk".into()],
        address: Some(Ipv4Addr::new(10, 77, 0, last)),
    };
    [of("pc", "alice", 2), of("vault", "bob", 3)]
}

#[test]
fn machine_comes_before_user_before_domain_then_priority_then_deny() {
    let members = two();
    let order = [
        words(
            Level::Machine,
            0,
            true,
            "any",
            "machine:vault.acme.example",
            "tcp/22",
        ),
        words(Level::User, 9, false, "user:alice", "any", "tcp/22"),
        words(Level::User, 1, true, "user:alice", "any", "tcp/22"),
        words(Level::Domain, 1, false, "any", "any", "tcp/22"),
        words(Level::Domain, 1, true, "any", "any", "tcp/22"),
        words(Level::Domain, 0, false, "any", "any", "tcp/22"),
    ];
    for first in 0..order.len() {
        let mut left: Vec<Policy> = order[first..].to_vec();
        left.reverse();
        let book = book(&left, true, &members);
        let asked: Vec<&Policy> = book.policies().collect();
        assert_eq!(asked, order[first..].iter().collect::<Vec<_>>());
        let explained = book.explain(&members[0].who(), &members[1].who(), "tcp/22".parse().unwrap());
        assert_eq!(
            (explained.allow, explained.policy.as_str()),
            (order[first].allow, &*order[first].id)
        );
    }
}

#[test]
fn a_community_without_policies_needs_three_rules_or_two() {
    let [pc, _] = two();
    let rules = |deny| book(&[], deny, &two()).compile(&pc.who());
    assert_eq!(rules(false).len(), 3);
    assert_eq!(
        rules(false)[2],
        Rule {
            allow: true,
            ..Rule::default()
        }
    );
    assert_eq!(rules(true).len(), 2);
}

#[test]
fn any_to_any_compares_no_address_so_a_new_member_concerns_nobody_else() {
    let ssh = words(Level::Domain, 0, true, "any", "any", "tcp/22");
    let [pc, vault] = two();
    let mut book = book(&[ssh], true, std::slice::from_ref(&pc));
    let before = book.compile(&pc.who());
    assert_eq!(before.len(), 4);
    assert!(
        before[2..]
            .iter()
            .all(|rule| rule.source_mask == 0 && rule.destination_mask == 0)
    );
    assert_eq!((before[2].destination_port, before[3].source_port), (22, 22));
    assert_eq!(
        book.place(1, Some(&vault.who())),
        Touched::Owners([vault.address.unwrap()].into())
    );
    assert_eq!(book.compile(&pc.who()), before);
}

#[test]
fn only_the_other_end_of_a_policy_is_concerned_by_a_members_new_address() {
    let policy = words(Level::User, 0, true, "user:alice", "user:bob", "tcp/22");
    let [pc, vault] = two();
    let stranger = Somebody {
        fqdn: "x.acme.example".into(),
        user: "eve".into(),
        tags: vec![],
        address: Some([10, 77, 0, 4].into()),
    };
    let mut book = book(&[policy], true, &[pc, vault.clone(), stranger]);
    let mut moved = two()[0].clone();
    moved.address = Some([10, 77, 0, 9].into());
    let touched = book.place(0, Some(&moved.who()));
    assert_eq!(
        touched,
        Touched::Owners([vault.address.unwrap(), moved.address.unwrap()].into())
    );
}

#[test]
fn what_does_not_fit_is_denied() {
    let members: Vec<Somebody> = (0..3000u32)
        .map(|at| Somebody {
            fqdn: format!("m{at}.acme.example"),
            user: String::new(),
            tags: vec!["odd".into()],
            address: Some((0x0a4d_0000 + 2 * at + 3).into()),
        })
        .collect();
    let policy = words(Level::Domain, 0, false, "any", "tag:odd", "tcp/22");
    let rules = book(&[policy], false, &members).compile(&members[0].who());
    assert_eq!(rules.len(), MAX_RULES);
    assert!(!rules[MAX_RULES - 1].allow);
}

#[test]
fn an_explanation_names_every_policy_that_was_asked() {
    let members = two();
    let policies = [
        words(
            Level::Machine,
            0,
            false,
            "user:bob",
            "machine:vault.acme.example",
            "any",
        ),
        words(Level::User, 0, true, "tag:desk", "tag:desk", "udp/53"),
    ];
    let book = book(&policies, true, &members);
    let explained = book.explain(&members[0].who(), &members[1].who(), "tcp/22".parse().unwrap());
    assert!(!explained.allow && explained.policy.is_empty());
    assert_eq!(explained.steps.len(), 3);
    assert!(
        explained.steps[0].ends_with("not about these two"),
        "{}",
        explained.steps[0]
    );
    assert!(
        explained.steps[1].ends_with("about other services"),
        "{}",
        explained.steps[1]
    );
    assert_eq!(explained.steps[2], "default: denies what no policy is about");
}
