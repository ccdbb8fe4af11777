//! Files and what a manager has: planned, applied, compared, exported.

use crate::world::{Ran, World};
use serde_json::{Value, json};
use std::fs;

/// A network of two communities; `edit` makes another of it.
const NETWORK: &str = "\
version: 2
directors:
  - { name: nrd1, role: network, address: 203.0.113.10, capacity: 100 }
communities:
  - domain: acme.example
    pools: [10.77.0.0/24]
    policies:
      - { id: no-telnet, action: deny, services: [tcp/23] }
  - domain: globex.example
    pools: [10.78.0.0/24]
    directors: [nrd1]
devices:
  - members: [alice.acme.example]
    email: alice@acme.example
    tags: [staff]
  - members: [carol.acme.example, { name: carol.globex.example, address: 10.78.0.9 }]
    email: carol@acme.example
";

/// The file, and what `kith topology` does with it.
struct Desk {
    world: World,
    file: String,
}

impl Desk {
    fn new(world: World, text: &str) -> Self {
        let file = world.private("network.yaml", text);
        Self { world, file }
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{from}");
        self.write(&text.replace(from, to));
    }

    fn run(&self, what: &str) -> Ran {
        let (verb, more) = what.split_once(' ').unwrap_or((what, ""));
        self.world.run(&format!("topology {verb} {} {more}", self.file))
    }

    fn good(&self, what: &str) -> String {
        let ran = self.run(what);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{what}: {}", ran.out);
        ran.out
    }

    fn json(&self, what: &str) -> Value {
        let ran = self.run(&format!("{what} -o json"));
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{what}: {}", ran.out);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// What would be done to what.
    fn steps(&self, what: &str) -> Vec<String> {
        let plan = self.json(what);
        let steps = plan["changes"].as_array().unwrap().iter();
        steps
            .map(|step| {
                let word = |key: &str| step[key].as_str().unwrap().to_owned();
                format!("{} {} {}", word("action"), word("kind"), word("name"))
            })
            .collect()
    }
}

#[test]
fn a_plan_lists_what_is_new_and_changes_nothing() {
    let desk = Desk::new(World::start(), NETWORK);
    let plan = desk.good("plan");
    assert_eq!(
        plan,
        format!(
            "\
+ director nrd1
    network director at 203.0.113.10:20202
+ community acme.example
    pools: 10.77.0.0/24
    default: allow
+ community globex.example
    pools: 10.78.0.0/24
    default: allow
    directors: nrd1
+ member alice.acme.example
    email: alice@acme.example
    tags: staff
+ member carol.acme.example
    email: carol@acme.example
+ member carol.globex.example
    email: carol@acme.example
    address: 10.78.0.9
+ policy acme.example/no-telnet
    deny any to any: tcp/23 (domain level, priority 0)

3 members are new; an invitation is mailed for each, good for a week:
  MEMBER                AN INVITATION IS MAILED TO
  alice.acme.example    alice@acme.example
  carol.acme.example    carol@acme.example
  carol.globex.example  carol@acme.example

7 to create, 0 to change, 0 to remove
to do this, and nothing else if somebody changes something meanwhile: kith topology apply {} --revision {}
",
            desk.file,
            desk.json("plan")["revision"]
        )
    );
    assert_eq!(desk.world.good("community list"), "no community\n");
    assert_eq!(desk.run("plan --exit-code").status, 2);
    assert_eq!(desk.run("plan --detailed-exitcode").status, 2);
}

#[test]
fn applied_twice_it_changes_once_and_invites_once() {
    let desk = Desk::new(World::start(), NETWORK);
    let said = desk.good("apply --yes");
    assert!(said.contains("+ community acme.example\n"), "{said}");
    assert!(
        said.contains("\napplied: 7 created, 0 changed, 0 removed\n\nINVITED               MAILED TO           GOOD UNTIL\n"),
        "{said}"
    );
    assert!(!said.contains("kith1-"), "an invitation is secret: {said}");
    let again = desk.good("apply");
    assert_eq!(
        again,
        format!("nothing to change: the manager has what {} says\n", desk.file),
        "and nobody is asked"
    );
    assert_eq!(desk.run("plan --exit-code").status, 0);
    assert_eq!(desk.json("apply")["applied"], json!(false));
    let members = desk.world.json("member list");
    assert_eq!(members.as_array().unwrap().len(), 3);
    assert_eq!(
        desk.world.json("member show carol.globex.example")["address_reserved"],
        json!(true)
    );
}

#[test]
fn without_mail_the_invitations_are_shown() {
    let desk = Desk::new(World::start(), NETWORK);
    let plan = desk.good("plan --no-mail");
    assert!(
        plan.contains("3 members are new; invitations are shown when this is applied, and not mailed\n"),
        "{plan}"
    );
    let done = desk.json("apply --no-mail --yes");
    let texts = done["invited"].as_array().unwrap().iter();
    assert_eq!(
        texts
            .filter(|one| one["text"].as_str().unwrap().starts_with("kith1-"))
            .count(),
        3
    );
}

#[test]
fn every_field_that_changes_is_shown_with_its_old_and_new_value() {
    let desk = Desk::new(World::start(), NETWORK);
    desk.good("apply --yes");
    desk.edit(
        "[10.77.0.0/24]",
        "[10.77.0.0/23]\n    deny_by_default: true\n    ticket_lifetime: 10m",
    );
    desk.edit("    tags: [staff]", "    user: alice");
    desk.edit(
        "services: [tcp/23]",
        "services: [tcp/23, udp/69], priority: 3, comment: in clear",
    );
    desk.edit("capacity: 100", "capacity: 200, draining: true");
    let plan = desk.good("plan");
    assert!(
        plan.starts_with(
            "\
~ director nrd1
    capacity: 100 -> 200
    draining: no -> yes
~ community acme.example
    pools: 10.77.0.0/24 -> 10.77.0.0/23
    default: allow -> deny
    ticket lifetime: the manager's -> 600 s
~ member alice.acme.example
    user: none -> alice
    tags: staff -> none
~ policy acme.example/no-telnet
    priority: 0 -> 3
    services: tcp/23 -> tcp/23, udp/69
    comment: none -> in clear

0 to create, 4 to change, 0 to remove
"
        ),
        "{plan}"
    );
    desk.good("apply --yes");
    assert!(desk.steps("plan").is_empty());
}

#[test]
fn what_the_file_does_not_name_is_left_alone_or_pruned() {
    let desk = Desk::new(World::start(), NETWORK);
    desk.good("apply --yes");
    desk.world
        .good("member invite dave.acme.example --email d@acme.example");
    desk.world
        .good("community create other.example --pool 10.79.0.0/24");
    desk.world
        .good("member invite x.other.example --email x@other.example");
    desk.edit(
        "      - { id: no-telnet, action: deny, services: [tcp/23] }\n",
        "",
    );
    let plan = desk.good("plan");
    assert!(
        plan.starts_with("nothing to change: ")
            && plan.ends_with(
                "\nleft alone: 2 objects not in the file; --prune would remove them: member dave.acme.example, policy acme.example/no-telnet\n"
            ),
        "{plan}"
    );
    let pruned = [
        "remove member dave.acme.example",
        "remove policy acme.example/no-telnet",
    ];
    assert_eq!(desk.steps("plan --prune"), pruned);
    assert!(
        desk.good("plan --prune")
            .contains("- member dave.acme.example\n    its device is out at once\n")
    );
    assert!(
        desk.good("apply --prune --yes")
            .contains("applied: 0 created, 0 changed, 2 removed\n")
    );
    assert!(desk.steps("plan --prune").is_empty());
    assert_eq!(
        desk.world.json("member show x.other.example")["state"],
        "not-registered",
        "of a community that the file does not name"
    );
}

#[test]
fn nothing_is_done_without_a_yes() {
    let desk = Desk::new(World::start(), NETWORK);
    let ran = desk.run("apply");
    assert_eq!(
        (ran.status, ran.err.as_str()),
        (
            2,
            "kith: nothing was changed: this needs a yes, and there is no terminal to ask at\n  help: add `--yes`; `kith topology plan` \
             shows before what would be done\n"
        )
    );
    assert!(ran.out.starts_with("+ director nrd1\n"), "{}", ran.out);
    assert_eq!(desk.steps("plan").len(), 7);
}

#[test]
fn what_was_planned_is_done_only_if_nobody_changed_anything_since() {
    let desk = Desk::new(World::acme(), NETWORK);
    let revision = desk.json("plan")["revision"].as_u64().unwrap();
    desk.world.good("community update acme.example --description new");
    let ran = desk.run(&format!("apply --yes --revision {revision}"));
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (
            1,
            "",
            "kith: nothing was changed: the network changed since the plan\n  help: run `kith topology plan` again, look at what it says \
             now, and apply that\n"
        )
    );
    assert_eq!(
        desk.world.json("community show acme.example")["description"],
        "new"
    );
    let revision = &desk.json("plan")["revision"];
    desk.good(&format!("apply --yes --revision {revision}"));
    assert!(desk.steps("plan").is_empty());
}

#[test]
fn one_mistake_that_only_the_manager_knows_and_nothing_is_applied() {
    let desk = Desk::new(World::start(), NETWORK);
    desk.world
        .good("community create globex.example --pool 10.78.0.0/24");
    desk.world
        .good("member invite first.globex.example --email f@globex.example --address 10.78.0.9");
    let before = desk.world.good("topology export");
    desk.edit("directors: [nrd1]", "directors: [nrd2]");
    for verb in ["plan", "apply --yes"] {
        let ran = desk.run(verb);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{verb}");
        assert!(
            ran.err.contains("10.78.0.9 belongs to first.globex.example"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("nrd2"), "all at once: {}", ran.err);
    }
    assert_eq!(desk.world.good("topology export"), before);
}

#[test]
fn a_bad_file_is_shown_line_by_line_before_any_manager_is_asked() {
    let desk = Desk::new(World::start(), NETWORK);
    desk.edit("[10.77.0.0/24]", "[10.77.0.1/24]");
    desk.edit("role: network", "role: netwrok");
    let nobody = desk.world.file("nobody.sock");
    for verb in ["plan", "apply", "diff"] {
        let ran = desk.run(&format!("{verb} --manager unix:{}", nobody.display()));
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{verb}");
        for place in [":3:25\n", ":6:13\n"] {
            assert!(ran.err.contains(&format!("{}{place}", desk.file)), "{}", ran.err);
        }
        assert!(ran.err.contains("did you mean 10.77.0.0/24?"), "{}", ran.err);
        assert!(ran.err.ends_with("2 errors\n"), "{}", ran.err);
    }
    assert_eq!(
        desk.run("plan --exit-code").status,
        1,
        "2 says that there are changes"
    );
}

#[test]
fn where_no_manager_runs_it_says_how_to_start_one() {
    let mut desk = Desk::new(World::start(), NETWORK);
    desk.world.stop();
    fs::remove_file(desk.world.file("admin.sock")).ok();
    for (verb, status) in [("plan", 1), ("apply --yes", 1), ("diff", 2)] {
        let ran = desk.run(verb);
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{verb}");
        assert!(
            ran.err.starts_with("kith: no manager runs at unix:/"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("systemctl start kith-controller"), "{}", ran.err);
    }
}

#[test]
fn a_viewer_may_look_and_not_apply() {
    let desk = Desk::new(World::start(), NETWORK);
    let token = desk.world.run("credential create ci --role viewer").out;
    let token = desk.world.private("token", &token);
    let print = desk.world.fingerprint();
    let remote = |words: &str| {
        desk.world
            .remote(words, &["--fingerprint", &print, "--token-file", &token])
    };
    let plan = remote(&format!("topology plan {}", desk.file));
    assert_eq!((plan.status, plan.err.as_str()), (0, ""));
    let refused = remote(&format!("topology apply {} --yes", desk.file));
    assert_eq!(
        (refused.status, refused.err.as_str()),
        (
            1,
            "kith: network.apply needs the role admin; token ci has viewer\n"
        )
    );
    assert_eq!(remote("topology export").status, 0);
    assert_eq!(desk.steps("plan").len(), 7);
}

#[test]
fn a_diff_shows_the_lines_that_applying_would_change() {
    let desk = Desk::new(World::start(), NETWORK);
    desk.good("apply --yes");
    let same = desk.run("diff");
    assert_eq!((same.status, same.out.as_str(), same.err.as_str()), (0, "", ""));
    desk.edit("[10.77.0.0/24]", "[10.77.0.0/23]");
    desk.edit("    tags: [staff]\n", "");
    desk.world
        .good("member invite dave.acme.example --email d@acme.example");
    let differs = desk.run("diff");
    assert_eq!((differs.status, differs.err.as_str()), (1, ""));
    let place = desk.world.file("admin.sock");
    assert_eq!(
        differs.out,
        format!(
            "\
--- unix:{} (has)
+++ {} (wants)
@@ -8,7 +8,7 @@
     capacity: 100
 communities:
   - domain: acme.example
-    pools: [10.77.0.0/24]
+    pools: [10.77.0.0/23]
     policies:
       - id: no-telnet
         action: deny
@@ -19,7 +19,6 @@
 devices:
   - members: [alice.acme.example]
     email: alice@acme.example
-    tags: [staff]
   - members: [carol.acme.example]
     email: carol@acme.example
   - members: [{{ name: carol.globex.example, address: 10.78.0.9 }}]
",
            place.display(),
            desk.file
        )
    );
    let pruned = desk.run("diff --prune");
    assert!(
        pruned
            .out
            .contains("-  - members: [dave.acme.example]\n-    email: d@acme.example\n"),
        "{}",
        pruned.out
    );
    let found: Value = serde_json::from_str(&desk.run("diff -o json").out).unwrap();
    assert_eq!(
        (&found["different"], &found["diff"]),
        (&json!(true), &json!(differs.out))
    );
}

#[test]
fn a_file_may_come_from_the_standard_input() {
    let world = World::start();
    let ran = world.fed("topology plan - --exit-code", NETWORK);
    assert_eq!((ran.status, ran.err.as_str()), (2, ""));
    let ran = world.fed("topology apply -", NETWORK);
    assert_eq!(ran.status, 2, "nobody can be asked");
    let ran = world.fed("topology apply - --yes", NETWORK);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let ran = world.fed("topology plan -", "version: 2\nname: [");
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("--> -:"), "{}", ran.err);
}
