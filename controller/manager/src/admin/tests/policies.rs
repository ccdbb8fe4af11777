//! Policies reach exactly those whose rules they change.

use super::*;
use std::net::Ipv4Addr;

fn delete(id: &str) -> Command {
    Command::DeletePolicy(a::PolicyName {
        community: DOMAIN.into(),
        id: id.into(),
    })
}

fn alices_pc(world: &mut World) -> Agent {
    let invitee = a::Invitee {
        user: "alice".into(),
        ..invitee("pc.acme.example")
    };
    joined(world, invitee)
}

fn vault(world: &mut World) -> Agent {
    let invitee = a::Invitee {
        tags: vec!["server".into()],
        ..invitee("vault.acme.example")
    };
    joined(world, invitee)
}

fn explain(world: &mut World, from: &str, to: &str, service: &str) -> a::Explanation {
    let asked = a::ExplainRequest {
        from: from.into(),
        to: to.into(),
        service: service.into(),
    };
    let AdminReply::Explanation(explained) = done(world, Command::ExplainPolicy(asked)) else {
        panic!()
    };
    explained
}

#[test]
fn a_policy_is_told_to_those_whose_rules_it_changes_and_to_nobody_else() {
    let mut world = world();
    let alice = alices_pc(&mut world);
    let vault = vault(&mut world);
    let other = joined(&mut world, invitee("other.acme.example"));
    let told = |world: &mut World| [&alice, &vault, &other].map(|agent| told_policy(world, agent));

    done(
        &mut world,
        policy("ssh", false, "user:alice", "tag:server", "tcp/22"),
    );
    assert_eq!(told(&mut world), [true, true, false]);
    let explained = explain(&mut world, "pc.acme.example", "vault.acme.example", "tcp/22");
    assert_eq!((explained.allow, explained.policy.as_str()), (false, "ssh"));
    assert!(explain(&mut world, "other.acme.example", "vault.acme.example", "tcp/22").allow);

    // The same again, however it is written.
    done(
        &mut world,
        policy("ssh", false, "user:alice", "tag:server", "TCP/22"),
    );
    assert_eq!(told(&mut world), [false, false, false]);
    // One that the community's default says anyway.
    done(&mut world, policy("web", true, "any", "any", "tcp/80"));
    assert_eq!(told(&mut world), [false, false, false]);
    done(&mut world, policy("telnet", false, "any", "any", "tcp/23"));
    assert_eq!(told(&mut world), [true, true, true]);
    done(&mut world, delete("ssh"));
    assert_eq!(told(&mut world), [true, true, false]);
    let closed = a::Community {
        deny_by_default: true,
        ..community(DOMAIN, &["10.77.0.0/24"])
    };
    done(&mut world, Command::UpdateCommunity(closed));
    assert_eq!(told(&mut world), [true, true, true]);
}

#[test]
fn a_new_member_is_told_of_to_those_whose_policies_name_it() {
    let mut world = world();
    done(
        &mut world,
        policy("ssh", false, "user:alice", "tag:server", "tcp/22"),
    );
    let alice = alices_pc(&mut world);
    let other = joined(&mut world, invitee("other.acme.example"));
    let vault = vault(&mut world);
    let heard = world.heard(&alice);
    let [Change::Policy(policy)] = changes(&heard)[..] else {
        panic!("{heard:?}")
    };
    let address: u32 = vault.address().into();
    assert!(
        policy
            .rules
            .iter()
            .any(|rule| rule.destination == address && rule.destination_port == 22)
    );
    assert!(world.heard(&other).is_empty());
}

#[test]
fn tags_and_users_change_the_rules_of_both_ends() {
    let mut world = world();
    done(
        &mut world,
        policy("ssh", false, "user:alice", "tag:server", "tcp/22"),
    );
    let alice = alices_pc(&mut world);
    let vault = vault(&mut world);
    let other = joined(&mut world, invitee("other.acme.example"));
    for agent in [&alice, &vault, &other] {
        world.heard(agent);
    }
    let email = "vault@mail.example".into();
    let wish = a::Member {
        fqdn: "vault.acme.example".into(),
        email,
        virtual_address: vault.address().to_string(),
        ..a::Member::default()
    };
    done(&mut world, Command::UpdateMember(Box::new(wish)));
    assert_eq!(
        [&alice, &vault, &other].map(|agent| told_policy(&mut world, agent)),
        [true, true, false]
    );
    assert!(explain(&mut world, "pc.acme.example", "vault.acme.example", "tcp/22").allow);
}

#[test]
fn rules_outlive_a_restart() {
    let mut world = world();
    let alice = alices_pc(&mut world);
    done(&mut world, policy("ssh", false, "user:alice", "any", "tcp/22"));
    let before = crate::policy::compile(world.manager.state(), alice.id);
    world.restart();
    assert_eq!(crate::policy::compile(world.manager.state(), alice.id), before);
    let own = u32::from(alice.address());
    assert!(
        before
            .iter()
            .any(|rule| !rule.allow && rule.source == own && rule.destination_port == 22)
    );
    assert_eq!(before[0].destination, u32::from(Ipv4Addr::new(10, 77, 0, 1)));
}

#[test]
fn policies_are_listed_in_the_order_in_which_they_are_asked() {
    let mut world = world();
    for (id, from, priority) in [
        ("z-domain", "any", 5),
        ("b-user", "user:alice", 0),
        ("c-machine", "machine:pc.acme.example", 0),
        ("a-user", "user:bob", 9),
    ] {
        done(
            &mut world,
            Command::PutPolicy(a::Policy {
                priority,
                ..policy_wish(id, true, from, "any", "any")
            }),
        );
    }
    let AdminReply::Policies(listed) = done(&mut world, Command::ListPolicies(name(DOMAIN))) else {
        panic!()
    };
    let order: Vec<(&str, &str)> = listed
        .policies
        .iter()
        .map(|policy| (policy.id.as_str(), policy.level.as_str()))
        .collect();
    assert_eq!(
        order,
        [
            ("c-machine", "machine"),
            ("a-user", "user"),
            ("b-user", "user"),
            ("z-domain", "domain")
        ]
    );
    assert_eq!(listed.version, 5);
}

#[test]
fn a_policy_that_cannot_be_is_refused() {
    let mut world = world();
    let error = refused(
        &mut world,
        policy("ssh", true, "printers", "machine:pc.globex.example", "tcp/20-22"),
    );
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].contains("write any, user:NAME, machine:FULL.NAME or tag:WORD"));
    assert!(lines[1].contains("as machine:pc.acme.example"));
    assert!(lines[2].contains("write every port by itself"));
    assert!(refused(&mut world, delete("ssh")).contains("acme.example has no policy ssh"));
    let across = a::ExplainRequest {
        from: "pc.acme.example".into(),
        to: "x.acme.example".into(),
        service: String::new(),
    };
    assert!(
        refused(&mut world, Command::ExplainPolicy(across)).contains("there is no member pc.acme.example")
    );
}
