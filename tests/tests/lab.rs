//! `kith lab`, as a user runs it.

use kith_tests::{Lab, kith, program, repository};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

fn quickstart() -> String {
    repository("topologies/quickstart.yaml").display().to_string()
}

#[test]
fn a_lab_comes_up_can_be_asked_and_is_gone_afterwards() {
    let lab = Lab::up("kt-e2e");
    let status = kith(&["-o", "json", "lab", "status", "--name", "kt-e2e"]);
    assert_eq!(
        (status.status, status.json()["good"].as_bool()),
        (Some(0), Some(true)),
        "{}",
        status.out
    );
    let ping = lab.exec("alice", &["ping", "-c", "2", "-W", "2", "bob.acme.example"]);
    assert_eq!(ping.status, Some(0), "{}{}", ping.out, ping.err);
    assert!(ping.out.contains("(10.77.0."), "{}", ping.out);
    assert_eq!(lab.exec("alice", &["sh", "-c", "exit 7"]).status, Some(7));
    let sessions = kith(&["-o", "json", "dataplane", "sessions", "--lab", "kt-e2e"]).json();
    // One for each membership: carol is in both communities.
    assert_eq!(sessions.as_array().map(Vec::len), Some(5));
    for view in [
        "status",
        "stats",
        "drops",
        "sessions",
        "neighbors",
        "tables",
        "table session --counters",
        "table sender --filter community=1",
        "table policy",
        "read",
        "read counter drops",
        "top --once -i 0.2",
    ] {
        let words: Vec<&str> = ["dataplane"].into_iter().chain(view.split(' ')).collect();
        let shown = kith(&[&words[..], &["--lab", "kt-e2e"]].concat());
        assert_eq!(shown.status, Some(0), "{view}: {}", shown.err);
        assert!(
            !shown.out.contains('\x1b'),
            "{view} sends escapes to what is no terminal"
        );
    }
    let agent = kith(&["agent", "status", "--lab", "kt-e2e", "--node", "alice"]);
    assert!(agent.out.contains("session up"), "{}{}", agent.out, agent.err);
    let controller = kith(&["controller", "status", "--lab", "kt-e2e"]);
    assert!(
        controller.out.contains("deciding"),
        "{}{}",
        controller.out,
        controller.err
    );
    for (question, answer) in [
        ("manager status", "joined"),
        ("community list", "globex.example"),
        ("member list", "carol.globex.example"),
        ("policy list", "acme.example"),
        ("director list", "nrd1"),
        ("accounting", "bob.acme.example"),
        ("audit", "network.apply"),
    ] {
        let words: Vec<&str> = question.split(' ').collect();
        let shown = kith(&[&words[..], &["--lab", "kt-e2e"]].concat());
        assert!(
            shown.status == Some(0) && shown.out.contains(answer),
            "{question}: {}{}",
            shown.out,
            shown.err
        );
    }
    let log = kith(&["lab", "logs", "--name", "kt-e2e", "manager"]);
    assert!(log.out.contains("session opened"), "{}{}", log.out, log.err);
    let again = kith(&["lab", "up", &quickstart(), "--name", "kt-e2e"]);
    assert_eq!(again.status, Some(1));
    assert!(again.err.contains("stands already") && again.err.contains("kith lab down --name kt-e2e"));
    drop(lab);
    assert!(!Path::new("/run/netns/kith-kt-e2e-alice").exists());
    assert_eq!(kith(&["lab", "down", "--name", "kt-e2e"]).status, Some(0));
}

#[test]
fn an_operator_writes_in_the_controllers_place_only_if_asked_and_the_controller_mends_it() {
    let lab = Lab::up("kt-e2e-write");
    let write = |options: &[&str]| {
        let words = ["dataplane", "write", "--lab", "kt-e2e-write", "delete", "session"];
        kith(&[&words[..], &["destination_member=240.0.0.1"], options].concat())
    };
    let entries = || {
        let listed = kith(&[
            "-o",
            "json",
            "dataplane",
            "table",
            "session",
            "--lab",
            "kt-e2e-write",
        ]);
        listed.json().as_array().map(Vec::len)
    };
    let refused = write(&[]);
    assert_eq!((refused.status, entries()), (Some(1), Some(3)), "{}", refused.err);
    assert!(refused.err.contains("--take-over"), "{}", refused.err);
    let done = write(&["--take-over"]);
    assert_eq!((done.status, entries()), (Some(0), Some(2)), "{}", done.err);
    let mended = (0..300).any(|_| {
        sleep(Duration::from_millis(100));
        entries() == Some(3)
    });
    assert!(mended, "the controller did not come back within 30 s");
    let ping = lab.exec("carol", &["ping", "-c", "2", "-W", "2", "alice.acme.example"]);
    assert_eq!(ping.status, Some(0), "{}{}", ping.out, ping.err);
}

#[test]
fn without_a_controller_members_reach_each_other_and_sessions_have_no_names() {
    let lab = Lab::up("kt-e2e-alone");
    let status = kith(&["-o", "json", "lab", "status", "--name", "kt-e2e-alone"]).json();
    let nodes = status["nodes"].as_array().unwrap().iter();
    // Who has not met yet cannot meet without a manager.
    let name = "bob.acme.example";
    let met = lab.exec("alice", &["ping", "-c", "1", "-W", "2", name]);
    assert_eq!(met.status, Some(0), "{}{}", met.out, met.err);
    let address = met.out.split(['(', ')']).nth(1).unwrap().to_owned();
    let pid = nodes
        .filter(|node| node["kind"] == "controller")
        .find_map(|node| node["pid"].as_u64());
    let killed = Command::new("kill")
        .args(["-9", &pid.unwrap().to_string()])
        .status();
    assert!(killed.unwrap().success());
    sleep(Duration::from_millis(200));
    let ping = lab.exec("alice", &["ping", "-c", "2", "-W", "2", &address]);
    assert_eq!(ping.status, Some(0), "{}{}", ping.out, ping.err);
    let sessions = kith(&["dataplane", "sessions", "--lab", "kt-e2e-alone"]);
    assert_eq!(sessions.status, Some(0), "{}", sessions.err);
    assert!(
        sessions.out.contains("240.0.0.1") && !sessions.out.contains("acme"),
        "{}",
        sessions.out
    );
    assert!(sessions.err.contains("no names"), "{}", sessions.err);
    let status = kith(&["lab", "status", "--name", "kt-e2e-alone"]);
    assert_eq!(status.status, Some(1));
    assert!(status.out.contains("not running"), "{}", status.out);
}

#[test]
fn two_labs_stand_at_once_and_do_not_meet() {
    let (one, two) = (Lab::up("kt-e2e-one"), Lab::up("kt-e2e-two"));
    for lab in [&one, &two] {
        let ping = lab.exec("carol", &["ping", "-c", "2", "-W", "2", "alice.acme.example"]);
        assert_eq!(ping.status, Some(0), "{}: {}{}", lab.0, ping.out, ping.err);
    }
    let which = kith(&["dataplane", "status"]);
    assert_eq!(which.status, Some(2));
    assert!(
        which.err.contains("kt-e2e-one/nrd1") && which.err.contains("kt-e2e-two/nrd1"),
        "{}",
        which.err
    );
}

#[test]
fn an_up_that_is_killed_is_cleaned_by_down() {
    let mut up = Command::new(program("kith"))
        .args(["lab", "up", &quickstart(), "--name", "kt-e2e-kill"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // By then some namespaces stand, and perhaps a daemon runs.
    let half = Path::new("/run/netns/kith-kt-e2e-kill-carol");
    for _ in 0..500 {
        if half.exists() {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    assert!(half.exists());
    up.kill().unwrap();
    up.wait().unwrap();
    assert_eq!(kith(&["lab", "down", "--name", "kt-e2e-kill"]).status, Some(0));
    let left = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("kith-kt-e2e-kill-"));
    assert!(!Path::new("/run/kith/lab/kt-e2e-kill").exists());
}
