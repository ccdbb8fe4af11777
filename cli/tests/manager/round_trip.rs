//! What is exported is accepted, shown as nothing to change, and makes the same network of an empty manager.

use crate::world::World;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn quickstart() -> String {
    format!("{}/../topologies/quickstart.yaml", env!("CARGO_MANIFEST_DIR"))
}

/// Export, check, plan; then all of it into a manager that has nothing, and export again.
fn holds(world: &World, what: &str) {
    let exported = world.good("topology export");
    let file = world.private("exported.yaml", &exported);
    let said = well(world, &format!("topology validate {file}"), what);
    assert!(said.contains(": good: "), "{what}: {said}");
    let plan = well(world, &format!("topology plan {file} --prune --exit-code"), what);
    assert!(plan.starts_with("nothing to change: "), "{what}: {plan}");
    assert_eq!(well(world, &format!("topology diff {file} --prune"), what), "");

    let other = World::start();
    well(&other, &format!("topology apply {file} --yes --no-mail"), what);
    assert_eq!(other.good("topology export"), exported, "{what}");
}

/// Done, with warnings at most: a policy may be about a machine that is gone.
fn well(world: &World, words: &str, what: &str) -> String {
    let ran = world.run(words);
    assert!(
        ran.status == 0 && !ran.err.contains("error["),
        "{words}: {}{}\n{what}",
        ran.out,
        ran.err
    );
    ran.out
}

#[test]
fn of_the_quickstart() {
    let world = World::start();
    world.good(&format!("topology apply {} --yes", quickstart()));
    let again = world.run(&format!("topology plan {} --prune --exit-code", quickstart()));
    assert_eq!((again.status, again.err.as_str()), (0, ""), "{}", again.out);
    holds(&world, "quickstart");
    let exported = world.good("topology export");
    for secret in ["kith1-", "BEGIN", "password:", "key:", "ed25519", "sha256"] {
        assert!(!exported.contains(secret), "{secret}");
    }
}

#[test]
fn as_json_it_is_a_topology_too() {
    let world = World::start();
    world.good(&format!("topology apply {} --yes", quickstart()));
    let file = world.private("exported.json", &world.good("-o json topology export"));
    assert_eq!(
        world
            .run(&format!("topology plan {file} --exit-code --prune"))
            .status,
        0
    );
}

#[test]
fn some_communities_alone() {
    let world = World::start();
    world.good(&format!("topology apply {} --yes", quickstart()));
    let file = world.file("globex.yaml");
    let words = format!("topology export {} --community globex.example", file.display());
    assert_eq!(world.good(&words), "");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("globex.example") && !text.contains("acme.example\n    pools"),
        "{text}"
    );
    let (status, err) = world.bad(&words);
    assert_eq!(status, 1);
    assert!(
        err.ends_with("globex.yaml: it is there already; `--force` writes over it\n"),
        "{err}"
    );
    world.good(&format!("{words} --force"));
    assert_eq!(
        world
            .run(&format!("topology plan {} --prune --exit-code", file.display()))
            .status,
        0
    );
    let (status, err) = world.bad("topology export --community nowhere.example");
    assert_eq!(status, 1);
    assert!(err.contains("there is no community nowhere.example"), "{err}");
}

#[test]
fn a_lab_refuses_what_has_no_wiring_and_says_what_is_missing() {
    let world = World::acme();
    let file = world.private("exported.yaml", &world.good("topology export"));
    let (status, err) = world.bad(&format!("lab up {file}"));
    assert_eq!(status, 2);
    assert!(
        err.contains("this file has no wiring: `name`, `public` and `manager` are missing"),
        "{err}"
    );
    assert!(
        err.contains("for `kith topology plan` and `apply` the file is good as it is"),
        "{err}"
    );
}

/// One line that somebody wrote: whatever the manager takes.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}".prop_map(|text| text.trim().to_owned()),
        "\\PC{0,30}".prop_map(|text| text
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>()
            .trim()
            .to_owned()),
        prop::sample::select(
            &[
                "null",
                "~",
                "true",
                "1e3",
                "0x10",
                "- a",
                "a: b",
                "# no",
                "'",
                "\"",
                "*x",
                "&y",
                "!z",
                "a #b",
                "{",
                "[",
                "%",
                "@",
                "`",
                "=",
                "é ü",
                "𝄞",
                "\u{feff}x",
                "|",
                ">",
                "? q",
                "2026-01-01"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

/// One word, as tags and users are.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,12}",
        "[!-+.-~]{1,20}",
        prop::sample::select(
            &[
                "null", "yes", "007", "1.5", "-", "é", "#1", "a:b", "~", "{}", "[]"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?"
}

/// The commands' arguments that make one network; no argument is split at blanks.
fn commands() -> impl Strategy<Value = Vec<Vec<String>>> {
    let member = (
        line(),
        prop::option::of(word()),
        btree_set(word(), 0..4),
        any::<bool>(),
    );
    let selector = || {
        prop_oneof![
            Just("any".to_owned()),
            word().prop_map(|word| format!("user:{word}")),
            word().prop_map(|word| format!("tag:{word}")),
            label().prop_map(|label| format!("machine:{label}.DOMAIN")),
        ]
    };
    let service = prop::sample::select(&["icmp", "tcp", "udp", "tcp/22", "udp/53", "tcp/65535"][..]);
    let policy = (
        any::<bool>(),
        selector(),
        selector(),
        vec(service, 0..3),
        -1000..1000i32,
        line(),
        0..4usize,
    );
    let community = (
        any::<bool>(),
        line(),
        prop::option::of(60..86_400u32),
        btree_map(label(), member, 0..4),
        btree_map("[a-z0-9][a-z0-9._-]{0,20}", policy, 0..4),
    );
    let director = (
        any::<bool>(),
        any::<bool>(),
        1..65535u16,
        any::<u32>(),
        any::<bool>(),
        btree_set(word(), 1..3),
    );
    (
        btree_map(label(), community, 1..4),
        btree_map("[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", director, 0..3),
    )
        .prop_map(|(communities, directors)| build(communities, directors))
}

type MemberParts = (String, Option<String>, BTreeSet<String>, bool);
type PolicyParts = (bool, String, String, Vec<&'static str>, i32, String, usize);
type CommunityParts = (
    bool,
    String,
    Option<u32>,
    BTreeMap<String, MemberParts>,
    BTreeMap<String, PolicyParts>,
);
type DirectorParts = (bool, bool, u16, u32, bool, BTreeSet<String>);

fn build(
    communities: BTreeMap<String, CommunityParts>,
    directors: BTreeMap<String, DirectorParts>,
) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (at, (name, (private, tcp, port, capacity, draining, sites))) in directors.iter().enumerate() {
        let mut one = vec![
            "director".into(),
            "add".into(),
            format!("--address=203.0.113.{}", at + 1),
        ];
        one.extend([format!("--port={port}"), format!("--capacity={capacity}")]);
        if *private {
            one.extend(["--private", "--private-address=10.0.0.1"].map(str::to_owned));
            one.extend(sites.iter().map(|site| format!("--site={site}")));
            one.push("--nat-address=198.51.100.7".into());
        }
        one.extend(tcp.then(|| "--tcp".to_owned()));
        one.extend(draining.then(|| "--draining".to_owned()));
        one.extend(["--".to_owned(), name.clone()]);
        all.push(one);
    }
    for (at, (name, (deny, description, lifetime, members, policies))) in communities.into_iter().enumerate()
    {
        let domain = format!("{name}.example");
        let mut one: Vec<String> = ["community", "create"].map(str::to_owned).into();
        one.extend([
            domain.clone(),
            format!("--pool=10.{}.0.0/24", 60 + at),
            format!("--pool=10.{}.0.0/24", 80 + at),
        ]);
        one.push(format!("--description={description}"));
        one.extend(deny.then(|| "--deny-by-default".to_owned()));
        one.extend(lifetime.map(|seconds| format!("--ticket-lifetime={seconds}s")));
        one.extend(directors.keys().take(at).map(|name| format!("--director={name}")));
        all.push(one);
        for (nth, (host, (platform, user, tags, kept))) in members.into_iter().enumerate() {
            let mut one: Vec<String> = ["member", "invite", "--no-mail"].map(str::to_owned).into();
            one.extend([
                format!("{host}.{domain}"),
                format!("--email={host}@{domain}"),
                format!("--platform={platform}"),
            ]);
            one.extend(user.map(|user| format!("--user={user}")));
            one.extend(tags.iter().map(|tag| format!("--tag={tag}")));
            one.extend(kept.then(|| format!("--address=10.{}.0.{}", 60 + at, 10 + nth)));
            all.push(one);
        }
        for (id, (allow, from, to, services, priority, comment, level)) in policies {
            let mut one: Vec<String> = ["policy", "add"].map(str::to_owned).into();
            one.push(domain.clone());
            one.push(if allow { "--allow" } else { "--deny" }.into());
            one.extend([
                format!("--from={}", from.replace("DOMAIN", &domain)),
                format!("--to={}", to.replace("DOMAIN", &domain)),
            ]);
            one.extend(services.iter().map(|service| format!("--service={service}")));
            one.extend([
                format!("--priority={priority}"),
                format!("--comment={comment}"),
                format!("--id={id}"),
            ]);
            one.extend(
                ["domain", "user", "machine"]
                    .get(level)
                    .map(|level| format!("--level={level}")),
            );
            all.push(one);
        }
    }
    all
}

/// Networks of any kind, made with the commands that operators have.
#[test]
fn of_any_network() {
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..24 {
        let commands = commands().new_tree(&mut runner).unwrap().current();
        let world = World::start();
        for command in &commands {
            let ran = world.command("").args(command).output().unwrap();
            if ran.status.success() {
                taken += 1;
            } else {
                refused += 1;
                let err = String::from_utf8_lossy(&ran.stderr);
                assert!(!err.contains("panicked"), "{command:?}: {err}");
            }
        }
        holds(&world, &format!("round {round}: {commands:#?}"));
    }
    assert!(
        taken > 10 * refused && taken > 150,
        "{taken} taken, {refused} refused"
    );
}
