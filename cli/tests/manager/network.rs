//! What operators make, look at, change and take away.

use crate::world::World;
use kith_protocol::invitation::Invitation;
use serde_json::json;

#[test]
fn a_community_is_made_shown_changed_and_deleted() {
    let world = World::start();
    assert_eq!(world.good("community list"), "no community\n");
    let made =
        world.good("community create acme.example --pool 10.77.0.0/24 --deny-by-default --description Acme");
    assert!(
        made.contains("free addresses  253\nmanager         10.77.0.1\n"),
        "{made}"
    );
    assert_eq!(
        world.good("community list"),
        "\
COMMUNITY     POOLS         MEMBERS  JOINED  FREE  DEFAULT  DIRECTORS  DESCRIPTION
acme.example  10.77.0.0/24        0       0   253  deny     any        Acme
"
    );
    let changed = world.json("community update acme.example --deny-by-default false");
    assert_eq!(
        (
            &changed["deny_by_default"],
            &changed["description"],
            &changed["pools"]
        ),
        (&json!(false), &json!("Acme"), &json!(["10.77.0.0/24"])),
        "only what is named is changed"
    );
    assert_eq!(
        world.json("community show ACME.example.")["domain"],
        "acme.example"
    );
    assert_eq!(
        world.bad("community create acme.example --pool 10.78.0.0/24"),
        (
            1,
            "kith: there is a community acme.example already; change it with: kith community update acme.example\n".into()
        )
    );
    assert_eq!(
        world.good("community delete acme.example"),
        "acme.example: deleted\n"
    );
    assert_eq!(
        world.bad("community show acme.example"),
        (
            1,
            "kith: there is no community acme.example\n  help: `kith community list` shows those that are\n"
                .into()
        )
    );
}

#[test]
fn what_is_asked_wrongly_is_told_with_what_to_do() {
    let world = World::start();
    let (status, err) = world.bad("community create acme.example --pool 10.77.0.9/24");
    assert_eq!(status, 2);
    assert!(err.starts_with("kith: community acme.example: "), "{err}");
    assert!(err.contains("did you mean 10.77.0.0/24?"), "{err}");
    let (status, err) = world.bad("member invite a.globex.example --email a@globex.example");
    assert_eq!(status, 2);
    assert!(
        err.contains("create it first: kith community create globex.example"),
        "{err}"
    );
    let (status, err) = world.bad("member invite a.globex.example --email a@globex.example --valid 7");
    assert_eq!(status, 2);
    assert!(
        err.contains("write a number and a unit: 90s, 15m, 2h, 7d"),
        "{err}"
    );
    assert_eq!(
        world.bad("community update acme.example").0,
        2,
        "nothing is named"
    );
    for err in [
        world.bad("community delete x.example").1,
        world.bad("member revoke a.x.example --reason r").1,
    ] {
        assert_eq!(err.lines().count(), 1, "no stack of causes: {err}");
    }
}

#[test]
fn an_invitation_goes_by_mail_or_is_shown() {
    let world = World::start();
    world.good("community create acme.example --pool 10.77.0.0/24");
    let mailed = world.good("member invite a.acme.example --email a@acme.example --user alice");
    assert!(
        mailed.contains("a.acme.example  a@acme.example") && !mailed.contains("kith1-"),
        "{mailed}"
    );
    let mailed = world.json("member invite b.acme.example --email b@acme.example");
    assert_eq!(mailed[0]["text"], json!(null));

    let shown = world.json("member invite c.acme.example --email c@acme.example --no-mail --valid 1h30m");
    let invitation = Invitation::parse(shown[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        (
            invitation.fqdn.as_str(),
            invitation.host.as_str(),
            invitation.fingerprint.to_string()
        ),
        ("c.acme.example", "vpn.acme.example", world.fingerprint())
    );
    let (status, err) = world.bad("member invite c.acme.example --email c@acme.example --no-mail");
    assert_eq!(status, 1);
    assert!(err.contains("add --again"), "{err}");
    let again = world.good("member invite c.acme.example --email c@acme.example --again --show");
    let line = again.lines().last().unwrap();
    let text = line.strip_prefix("  kith-agent enroll ").unwrap();
    let second = Invitation::parse(text).unwrap();
    assert!(second.password != invitation.password, "a new initial password");
    // Letters are written beside the answer, not before it.
    let letters = || {
        std::fs::read_dir(world.file("spool"))
            .unwrap()
            .flatten()
            .map(|file| file.file_name())
    };
    let whole = || {
        letters()
            .filter(|name| name.to_string_lossy().ends_with(".eml"))
            .count()
    };
    for _ in 0..500 {
        if whole() == 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(whole(), 3, "a, b, and c the second time");
}

#[test]
fn devices_are_invited_from_a_file_all_or_none() {
    let world = World::start();
    world.good("community create acme.example --pool 10.77.0.0/24");
    let wrong = "a.acme.example a@acme.example\nb.acme.example b@acme.example colour=red\n";
    let ran = world.fed("member invite --file -", wrong);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert_eq!(
        ran.err,
        "kith: nobody was invited: - has mistakes\n  line 2: there is nothing named `colour`; there are email, user, platform, address \
         and tag\n  help: each line is `NAME EMAIL`, then `user=…`, `platform=…`, `address=…`, `tag=…` as needed; `#` begins a comment\n"
    );
    assert_eq!(world.good("member list"), "no member\n");

    let list = "# Acme\na.acme.example a@acme.example user=alice tag=x\nb.acme.example\n";
    let ran = world.fed(
        "member invite --file - --email it@acme.example --platform linux --tag staff",
        list,
    );
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let members = world.json("member list");
    let about = |at: usize| {
        let member = &members[at];
        json!([
            member["fqdn"],
            member["email"],
            member["user"],
            member["platform"],
            member["tags"],
            member["state"]
        ])
    };
    assert_eq!(
        about(0),
        json!([
            "a.acme.example",
            "a@acme.example",
            "alice",
            "linux",
            ["x"],
            "not-registered"
        ])
    );
    assert_eq!(
        about(1),
        json!([
            "b.acme.example",
            "it@acme.example",
            "",
            "linux",
            ["staff"],
            "not-registered"
        ])
    );
}

#[test]
fn members_are_found_changed_revoked_and_deleted() {
    let world = World::acme();
    world.good("member invite laptop.acme.example --email alice@acme.example --user alice --platform linux");
    let names = |words: &str| -> Vec<String> {
        let found = world.json(words);
        let names = found.as_array().unwrap().iter();
        names
            .map(|member| member["fqdn"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("member list"),
        ["laptop.acme.example", "printer.acme.example"]
    );
    assert_eq!(
        names("member list printer* --community acme.example"),
        ["printer.acme.example"]
    );
    assert_eq!(names("member list --platform linux"), ["laptop.acme.example"]);
    assert!(names("member list --state joined --state revoked").is_empty());
    assert_eq!(names("member list --limit 1"), ["laptop.acme.example"]);
    assert!(
        world
            .good("member list --limit 1")
            .ends_with("\nthere are more; raise --limit\n")
    );

    let changed = world.json("member update printer.acme.example --address 10.77.0.9 --user it");
    assert_eq!(
        json!([
            changed["virtual_address"],
            changed["address_reserved"],
            changed["tags"],
            changed["user"]
        ]),
        json!(["10.77.0.9", true, ["printers"], "it"])
    );
    let changed = world.json("member update printer.acme.example --no-tags");
    assert_eq!(
        json!([changed["address_reserved"], changed["tags"]]),
        json!([true, []])
    );
    assert_eq!(
        world.json("member update printer.acme.example --any-address")["address_reserved"],
        json!(false)
    );

    assert_eq!(
        world.good("member revoke laptop.acme.example --reason stolen"),
        "laptop.acme.example: revoked\n"
    );
    let shown = world.good("member show Laptop.acme.example");
    assert!(shown.contains("  revoked: stolen\n"), "{shown}");
    assert_eq!(
        world.good("member delete laptop.acme.example --yes"),
        "laptop.acme.example: deleted\n"
    );
    for name in ["laptop.acme.example", "*", "no name"] {
        let (status, err) = world.bad(&format!("member show {}", name.replace(' ', "_")));
        assert_eq!(status, 1);
        assert!(
            err.ends_with("help: `kith member list` shows those that are\n"),
            "{err}"
        );
    }
}

#[test]
fn a_long_list_comes_whole() {
    let world = World::start();
    world.good("community create acme.example --pool 10.64.0.0/16");
    let list: String = (0..1_203)
        .map(|number| format!("m{number:05}.acme.example\n"))
        .collect();
    let ran = world.fed("member invite --file - --email it@acme.example --no-mail", &list);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out.matches("kith-agent enroll kith1-").count(), 1_203);
    let members = world.json("member list");
    assert_eq!(members.as_array().unwrap().len(), 1_203);
    assert_eq!(members[1_202]["fqdn"], "m01202.acme.example");
}

#[test]
fn policies_are_added_once_explained_and_removed() {
    let world = World::acme();
    world.good("member invite laptop.acme.example --email alice@acme.example --user alice");
    let deny = world.good("policy add acme.example --deny --from any --to tag:printers");
    assert!(deny.contains("deny-any-printers  user "), "{deny}");
    let ran = world.run("policy explain laptop.acme.example printer.acme.example tcp/9100");
    assert_eq!(
        (ran.status, ran.err.as_str()),
        (1, ""),
        "denied, and that is no error"
    );
    assert!(
        ran.out.starts_with(
            "laptop.acme.example to printer.acme.example, tcp/9100: denied by policy deny-any-printers\n\n  "
        ),
        "{}",
        ran.out
    );

    let allow = "policy add acme.example --allow --from user:alice --to tag:printers --service tcp/9100 --service icmp --priority 10";
    let first = world.json(allow);
    assert_eq!(
        json!([first["id"], first["level"]]),
        json!(["allow-alice-printers-icmp-tcp-9100", "user"])
    );
    assert_eq!(world.json(allow), first, "the same again is the same policy");
    world.good("policy explain laptop.acme.example printer.acme.example tcp/9100");

    world.good("policy add acme.example --deny --from any --to any --id last --priority -5");
    let (status, err) = world.bad("policy add acme.example --allow --from any --to any --id last");
    assert_eq!(status, 1);
    assert!(
        err.contains("there is a policy last already") && err.contains("--replace"),
        "{err}"
    );
    world.good("policy add acme.example --allow --from any --to any --id last --replace");
    let listed = world.json("policy list acme.example");
    let ids: Vec<_> = listed[0]["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| &policy["id"])
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(
        ids[0], "allow-alice-printers-icmp-tcp-9100",
        "in the order in which they are asked"
    );
    assert_eq!(world.json("policy list --community acme.example"), listed);
    assert_eq!(world.json("policy list"), listed);

    assert_eq!(world.good("policy remove acme.example last"), "last: removed\n");
    let (status, err) = world.bad("policy remove acme.example last");
    assert_eq!(status, 1);
    assert!(err.contains("kith policy list"), "{err}");
    let (status, err) = world.bad("policy add acme.example --allow --from alice --to any");
    assert_eq!(status, 2);
    assert!(err.contains("write any, user:NAME"), "{err}");
}

#[test]
fn directors_are_added_drained_and_removed() {
    let world = World::start();
    world.good("director add nrd1 --address 203.0.113.10 --site berlin");
    world.good("director add nrd1 --address 203.0.113.10 --site berlin");
    let (status, err) = world.bad("director add nrd1 --address 203.0.113.11");
    assert_eq!(status, 1);
    assert!(err.contains("kith director update"), "{err}");
    world.good("director update nrd1 --draining --capacity 100");
    let listed = world.json("director list");
    let shown = &listed[0];
    assert_eq!(
        json!([
            shown["address"],
            shown["port"],
            shown["udp"],
            shown["sites"],
            shown["draining"],
            shown["capacity"]
        ]),
        json!(["203.0.113.10", 20202, true, ["berlin"], true, 100])
    );
    world.good(
        "director add prd1 --private --address 198.51.100.1 --private-address 192.168.1.5 --site office",
    );
    // The token alone on the standard output, for a file; what is said about it on the other.
    let token = |words: &str| {
        let ran = world.run(words);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(
            ran.out.starts_with("kith-") && ran.out.lines().count() == 1,
            "{}",
            ran.out
        );
        assert!(
            ran.err.contains("the token is shown this once") && !ran.err.contains(ran.out.trim()),
            "{}",
            ran.err
        );
        ran.out
    };
    let first = token("director add prd2 --address 203.0.113.12 --token");
    let again = token("credential create spare --role director --director prd2");
    assert_ne!(first, again);
    assert_eq!(world.bad("credential create spare2 --role director").0, 2);
    let held = world.json("credential list");
    assert_eq!(
        json!([held[0]["name"], held[0]["director"]]),
        json!(["director-prd2", "prd2"])
    );
    assert_eq!(world.json("director list")[2]["place"], "never");
    assert_eq!(world.good("director remove prd2"), "prd2: removed\n");
    assert_eq!(world.json("credential list"), json!([]));
    assert_eq!(world.good("director remove nrd1"), "nrd1: removed\n");
    let (status, err) = world.bad("director update nrd1 --draining false");
    assert_eq!((status, err.contains("there is no director nrd1")), (1, true));
}

#[test]
fn who_did_what_is_in_the_audit_log() {
    let world = World::acme();
    assert_eq!(world.bad("member revoke ghost.acme.example --reason x").0, 1);
    let records = world.json("audit --since 1h");
    let actions: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| json!([record["action"], record["allowed"]]))
        .collect();
    assert!(
        actions.starts_with(&[json!(["community.create", true]), json!(["member.invite", true])]),
        "{actions:?}"
    );
    let about = world.json("audit --subject printer.acme.example");
    assert_eq!(about.as_array().unwrap().len(), 1);
    assert!(about[0]["actor"].as_str().unwrap().starts_with("uid "), "{about}");
    assert_eq!(world.good("accounting"), "no member has joined yet\n");
}
