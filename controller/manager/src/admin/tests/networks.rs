//! Whole networks: planned, applied, exported.

use super::*;
use kith_protocol::admin::change::Kind;
use proptest::prelude::*;

fn network() -> a::Network {
    a::Network {
        communities: vec![
            a::Community {
                deny_by_default: true,
                ..community("globex.example", &["10.78.0.0/24"])
            },
            community(DOMAIN, &["10.77.0.0/23"]),
        ],
        members: vec![
            a::Invitee {
                address: "10.77.1.5".into(),
                tags: vec!["server".into()],
                ..invitee("vault.acme.example")
            },
            invitee("pc.globex.example"),
        ],
        policies: vec![policy_wish("ssh", true, "any", "tag:server", "tcp/22")],
        directors: vec![a::Director {
            name: "d1".into(),
            address: "203.0.113.9".into(),
            port: 4500,
            udp: true,
            ..a::Director::default()
        }],
    }
}

fn request(network: &a::Network) -> a::ApplyRequest {
    a::ApplyRequest {
        network: Some(network.clone()),
        ..a::ApplyRequest::default()
    }
}

fn apply(world: &mut World, asked: a::ApplyRequest) -> a::ApplyAnswer {
    let count = asked.network.as_ref().map_or(0, |network| network.members.len());
    let AdminReply::Applied(answer) = done(world, Command::Apply(asked, passwords(count as u64))) else {
        panic!()
    };
    answer
}

fn export(world: &mut World) -> a::Network {
    let AdminReply::Network(network) = done(world, Command::Export(a::ExportRequest::default())) else {
        panic!()
    };
    network
}

/// "+ member x", "~ community y: pools: a -> b"
fn read(answer: &a::ApplyAnswer) -> Vec<String> {
    let line = |change: &a::Change| {
        let sign = match change.kind() {
            Kind::Create => '+',
            Kind::Update => '~',
            Kind::Delete => '-',
        };
        format!("{sign} {}: {}", change.subject, change.details.join("; "))
    };
    answer.changes.iter().map(line).collect()
}

#[test]
fn a_plan_says_what_will_change_and_changes_nothing() {
    let mut world = world();
    let revision = world.disk.revision;
    let asked = a::ApplyRequest {
        dry_run: true,
        ..request(&network())
    };
    let Ok(AdminReply::Applied(plan)) = by(&mut world, Role::Viewer, Command::Apply(asked, Vec::new()))
    else {
        panic!()
    };
    assert_eq!(
        read(&plan),
        [
            "+ director d1: network director at 203.0.113.9:4500",
            "~ community acme.example: pools: 10.77.0.0/24 -> 10.77.0.0/23",
            "+ community globex.example: pools: 10.78.0.0/24; default: deny",
            "+ member pc.globex.example: email: pc@mail.example",
            "+ member vault.acme.example: email: vault@mail.example; address: 10.77.1.5; tags: server",
            "+ policy acme.example/ssh: allow any to tag:server: tcp/22 (user level, priority 0)",
        ]
    );
    assert!(!plan.applied && plan.invitations.is_empty());
    assert_eq!((plan.revision, world.disk.revision), (revision, revision));
    assert!(
        by(
            &mut world,
            Role::Operator,
            Command::Apply(request(&network()), passwords(2))
        )
        .is_err()
    );
}

#[test]
fn all_of_it_is_one_transaction_and_again_there_is_nothing_to_do() {
    let mut world = world();
    let before = world.disk.revision;
    let answer = apply(&mut world, request(&network()));
    assert_eq!(
        (world.disk.revision, answer.revision, answer.applied),
        (before + 1, before + 1, true)
    );
    assert_eq!(answer.invitations.len(), 2);
    assert_eq!(world.mails.len(), 2);
    let records = audit(&world);
    assert_eq!(records.len(), 7);
    assert!(
        records
            .iter()
            .any(|record| record.action == "network.apply"
                && record.detail == "5 created, 1 changed, 0 deleted")
    );
    assert!(
        records
            .iter()
            .any(|record| record.action == "network.update" && record.subject == "community acme.example")
    );

    let again = apply(&mut world, request(&network()));
    assert!(again.changes.is_empty() && again.invitations.is_empty());
    let same = export(&mut world);
    let again = apply(
        &mut world,
        a::ApplyRequest {
            prune: true,
            ..request(&same)
        },
    );
    assert!(again.changes.is_empty(), "{:?}", read(&again));
    world.restart();
    assert_eq!(export(&mut world), same);
}

#[test]
fn one_mistake_and_nothing_is_done() {
    let mut world = world();
    let mut wishes = network();
    wishes.members.push(a::Invitee {
        address: "10.77.1.5".into(),
        ..invitee("twin.acme.example")
    });
    wishes.members.push(invitee("pc.nowhere.example"));
    wishes.policies.push(a::Policy {
        community: "nowhere.example".into(),
        ..policy_wish("x", true, "any", "any", "any")
    });
    wishes
        .communities
        .push(community("lab.globex.example", &["10.79.0.0/24"]));
    let before: Vec<String> = world.disk.entries.keys().cloned().collect();
    let error = refused(&mut world, Command::Apply(request(&wishes), passwords(9)));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "community globex.example: one of globex.example and lab.globex.example lies in the other; names must tell them apart, take another domain",
            "member pc.nowhere.example: there is no community nowhere.example; create it first: kith community create nowhere.example",
            "policy x: there is no community nowhere.example; name it too, or create it first",
            "member vault.acme.example: 10.77.1.5 belongs to twin.acme.example; choose another",
        ]
    );
    world.disk.entries.retain(|key, _| !key.starts_with("audit/"));
    assert_eq!(world.disk.entries.keys().cloned().collect::<Vec<_>>(), before);
    assert!(world.mails.is_empty());

    let twice = a::Network {
        members: vec![invitee("a.acme.example"), invitee("A.acme.example")],
        ..a::Network::default()
    };
    assert!(refused(&mut world, Command::Apply(request(&twice), passwords(2))).contains("is named twice"));
}

#[test]
fn pruning_removes_what_is_not_named_in_communities_that_are() {
    let mut world = world();
    apply(&mut world, request(&network()));
    joined(&mut world, invitee("old.acme.example"));
    invited(&mut world, invitee("gone.acme.example"));
    done(
        &mut world,
        Command::RevokeMember(a::RevokeRequest {
            fqdn: "gone.acme.example".into(),
            reason: String::new(),
        }),
    );
    done(&mut world, policy("old", false, "any", "any", "udp/53"));
    let mut wishes = network();
    wishes.communities.retain(|community| community.domain == DOMAIN);
    wishes.members.retain(|member| member.fqdn.ends_with(DOMAIN));
    assert!(apply(&mut world, request(&wishes)).changes.is_empty());
    let pruned = apply(
        &mut world,
        a::ApplyRequest {
            prune: true,
            ..request(&wishes)
        },
    );
    assert_eq!(
        read(&pruned),
        [
            "- member old.acme.example: ",
            "- policy acme.example/old: deny any to any: udp/53 (domain level, priority 0)"
        ]
    );
    let state = world.manager.state();
    assert!(state.member_named("old.acme.example").is_none());
    assert!(
        state.member_named("pc.globex.example").is_some(),
        "of a community that is not named"
    );
    assert!(
        state.member_named("gone.acme.example").is_some(),
        "revoked members stay listed until they are deleted"
    );
}

#[test]
fn a_plan_that_somebody_has_overtaken_is_refused() {
    let mut world = world();
    let plan = apply(
        &mut world,
        a::ApplyRequest {
            dry_run: true,
            ..request(&network())
        },
    );
    // Members come and go; that changes nothing about a plan.
    let expected = a::ApplyRequest {
        expected_revision: plan.revision,
        ..request(&network())
    };
    let mut pc = invited(&mut world, invitee("pc.acme.example"));
    let error = refused(&mut world, Command::Apply(expected, passwords(2)));
    assert!(error.contains("somebody else has changed something"), "{error}");

    let plan = apply(
        &mut world,
        a::ApplyRequest {
            dry_run: true,
            ..request(&network())
        },
    );
    pc.enroll(&mut world);
    pc.up(&mut world);
    assert!(world.disk.revision > plan.revision);
    apply(
        &mut world,
        a::ApplyRequest {
            expected_revision: plan.revision,
            ..request(&network())
        },
    );

    world.restart();
    let plan = apply(
        &mut world,
        a::ApplyRequest {
            dry_run: true,
            prune: true,
            ..request(&network())
        },
    );
    apply(
        &mut world,
        a::ApplyRequest {
            expected_revision: plan.revision,
            prune: true,
            ..request(&network())
        },
    );
}

#[test]
fn two_members_can_trade_their_addresses() {
    let mut world = world();
    let with = |one: &str, two: &str| a::Network {
        communities: vec![community(DOMAIN, &["10.77.0.0/24"])],
        members: vec![
            a::Invitee {
                address: one.into(),
                ..invitee("a.acme.example")
            },
            a::Invitee {
                address: two.into(),
                ..invitee("b.acme.example")
            },
        ],
        ..a::Network::default()
    };
    apply(&mut world, request(&with("10.77.0.5", "10.77.0.6")));
    let traded = apply(&mut world, request(&with("10.77.0.6", "10.77.0.5")));
    assert_eq!(
        read(&traded),
        [
            "~ member a.acme.example: address: 10.77.0.5 -> 10.77.0.6",
            "~ member b.acme.example: address: 10.77.0.6 -> 10.77.0.5"
        ]
    );
    world.restart();
    let address = |fqdn: &str| {
        world
            .manager
            .state()
            .member_named(fqdn)
            .unwrap()
            .virtual_address
            .unwrap()
            .to_string()
    };
    assert_eq!(
        (address("a.acme.example"), address("b.acme.example")),
        ("10.77.0.6".into(), "10.77.0.5".into())
    );
}

fn some_member() -> impl Strategy<Value = a::Invitee> {
    let host = (0..4u8, prop::bool::ANY)
        .prop_map(|(at, acme)| format!("m{at}.{}", if acme { DOMAIN } else { "globex.example" }));
    (
        host,
        prop::option::weighted(0.4, 1..7u8),
        prop::collection::btree_set("[ab]", 0..2),
        0..2u8,
    )
        .prop_map(|(fqdn, address, tags, user)| {
            let net = if fqdn.ends_with(DOMAIN) { 77 } else { 78 };
            let address = address.map_or_else(String::new, |last| format!("10.{net}.0.{last}"));
            a::Invitee {
                address,
                tags: tags.into_iter().collect(),
                user: format!("u{user}"),
                ..invitee(&fqdn)
            }
        })
}

fn some_policy() -> impl Strategy<Value = a::Policy> {
    let selector = || prop_oneof![Just("any"), Just("user:u0"), Just("tag:a")];
    (0..3u8, prop::bool::ANY, prop::bool::ANY, selector(), selector()).prop_map(
        |(id, acme, allow, from, to)| {
            let community = if acme { DOMAIN } else { "globex.example" };
            a::Policy {
                community: community.into(),
                ..policy_wish(&format!("p{id}"), allow, from, to, "tcp/22")
            }
        },
    )
}

/// Some are refused: two members may want one address, or the manager's.
fn some_network() -> impl Strategy<Value = a::Network> {
    let pools = prop_oneof![Just("10.77.0.0/24"), Just("10.77.0.0/28")];
    let members = prop::collection::vec(some_member(), 0..6);
    (
        pools,
        prop::bool::ANY,
        members,
        prop::collection::vec(some_policy(), 0..4),
    )
        .prop_map(|(pool, deny, mut members, mut policies)| {
            members.sort_by(|a, b| a.fqdn.cmp(&b.fqdn));
            members.dedup_by(|a, b| a.fqdn == b.fqdn);
            policies.sort_by(|a, b| (&a.community, &a.id).cmp(&(&b.community, &b.id)));
            policies.dedup_by(|a, b| (&a.community, &a.id) == (&b.community, &b.id));
            let acme = a::Community {
                deny_by_default: deny,
                ..community(DOMAIN, &[pool])
            };
            a::Network {
                communities: vec![acme, community("globex.example", &["10.78.0.0/24"])],
                members,
                policies,
                directors: Vec::new(),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever was there: what is applied is there afterwards, twice is once, and what is refused leaves all as it was.
    #[test]
    fn what_is_applied_is_what_is_there(networks in prop::collection::vec(some_network(), 1..5), joins in any::<u8>()) {
        let mut world = world();
        for wishes in networks {
            let before = export(&mut world);
            let asked = a::ApplyRequest { prune: true, ..request(&wishes) };
            let count = wishes.members.len() as u64;
            match admin(&mut world, Command::Apply(asked.clone(), passwords(count))) {
                Ok(_) => {
                    let after = export(&mut world);
                    let mut expected = wishes.clone();
                    expected.members.sort_by_key(|member| (member.fqdn.split_once('.').unwrap().1.to_owned(), member.fqdn.clone()));
                    prop_assert_eq!(&after.members, &expected.members);
                    prop_assert_eq!(&after.communities, &expected.communities);
                    prop_assert_eq!(after.policies.len(), expected.policies.len());
                    prop_assert!(apply(&mut world, asked).changes.is_empty());
                    let again = a::ApplyRequest { prune: true, ..request(&after) };
                    prop_assert!(apply(&mut world, again).changes.is_empty());
                }
                Err(error) => {
                    prop_assert!(matches!(error, AdminError::Invalid(_)), "{}", error);
                    prop_assert_eq!(export(&mut world), before);
                }
            }
            // No address has two owners, in memory or on disk.
            let owned: usize = world.manager.state().communities().map(|community| community.addresses().count()).sum();
            let holders = world.manager.state().members().filter(|member| member.virtual_address.is_some()).count();
            let keys = world.disk.entries.keys().filter(|key| key.starts_with("address/")).count();
            prop_assert_eq!((owned, keys), (holders, holders));
            if joins & 1 == 1 {
                world.restart();
            }
        }
    }
}
