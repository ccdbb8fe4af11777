//! A device behind a DPDK gateway and a member with an agent of her own: keys by IKE over packet-in and packet-out, associations through
//! P4Runtime, ordinary programs on both ends.

mod files;
mod world;

use files::{Settings, Way};
use kith_tests::kith;
use std::fs;
use std::time::Duration;
use world::{PRINTER, Program, STAND_IN, World};

/// Until everything has started and the first keys are there, on a busy machine.
const START: Duration = Duration::from_secs(30);

#[test]
fn a_device_and_a_member_ping_and_fetch_files_both_ways() {
    let mut world = World::new(&Settings::default());
    ping_and_fetch_both_ways(&mut world);
}

#[test]
fn behind_a_director_they_do_the_same_and_keep_their_sessions_alive() {
    let mut world = World::new(&Settings {
        way: Way::Director,
        more: "rekey: { packets: 150 }\n",
        ..Settings::default()
    });
    ping_and_fetch_both_ways(&mut world);
    // More than twice as long as a session lasts without keep-alives, and nobody says anything.
    std::thread::sleep(Duration::from_secs(7));
    for (from, to) in [("l", STAND_IN), ("a", PRINTER)] {
        let before = world.agreements();
        let said = world.good(from, &format!("ping -n -q -c 600 -i 0.005 -W 2 {to}"));
        assert!(said.contains("600 received, 0% packet loss"), "{said}");
        assert!(
            world.agreements() >= before + 2,
            "keys are replaced through it, too"
        );
    }
    // It is the director that they speak through.
    world.kill(Program::Relay);
    assert!(!world.pings());
    world.start(Program::Relay);
    world.until("an answer again", START, World::pings);
}

fn ping_and_fetch_both_ways(world: &mut World) {
    world.until("the first answer", START, World::pings);
    world.good("a", &format!("ping -n -c 3 -i 0.2 -W 1 {PRINTER}"));
    world.good("l", "dd if=/dev/urandom of=file bs=1M count=8 2>/dev/null");
    for at in ["l", "a"] {
        world.leave_running(at, "python3 -m http.server 8000");
    }
    for (from, to) in [("l", STAND_IN), ("a", PRINTER)] {
        world.until("the file server runs", START, |world| {
            world
                .exec(from, &format!("curl -sI http://{to}:8000/"))
                .status
                .success()
        });
        world.good(
            from,
            &format!("curl -sf -o copy-{from} http://{to}:8000/file && cmp file copy-{from}"),
        );
    }
}

#[test]
fn kith_tunnel_tells_of_a_devices_tunnels_and_replaces_their_keys() {
    let mut world = World::new(&Settings::default());
    world.until("the first answer", START, World::pings);
    let socket = world.folder.path().join("status");
    let tunnel = |words: &[&str]| {
        let ran = kith(&[&["tunnel"], words, &["--socket", &socket.display().to_string()]].concat());
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
        ran
    };
    let list = tunnel(&["list"]).out;
    assert!(
        list.contains("printer.acme.example at 10.77.0.20") && list.contains("up, ike"),
        "{list}"
    );
    let show = tunnel(&["show", "alice"]).out;
    assert!(show.contains("ML-KEM-768"), "{show}");
    tunnel(&["rekey", "alice", "--ike"]);
    tunnel(&["rekey", "alice"]);
    let agreed = |_: &World| {
        let all = tunnel(&["list", "-o", "json"]).json();
        all[0]["own"] == "printer.acme.example" && all[0]["peer"]["agreements"].as_u64() >= Some(2)
    };
    world.until("other keys", START, agreed);
    assert!(world.pings());
    let ran = kith(&[
        "tunnel",
        "list",
        "--as",
        "nobody.acme.example",
        "--socket",
        &socket.display().to_string(),
    ]);
    assert!(ran.err.contains("it is printer.acme.example"), "{}", ran.err);
}

#[test]
fn the_first_packet_of_all_waits_for_keys_and_is_answered() {
    let mut world = World::new(&Settings::default());
    world.until("the first answer", START, World::pings);
    // Alice's agent forgets everything; the gateway is silent until the printer says something.
    world.kill(Program::Gateway);
    world.kill(Program::Alice);
    world.kill(Program::Dataplane);
    world.start(Program::Dataplane);
    world.start(Program::Gateway);
    // Nobody answers for alice: the handshake that the gateway begins with comes to nothing.
    world.until("it has given up", START, |world| {
        world.logs().contains("no answer to key agreement")
    });
    world.start(Program::Alice);
    world.until("alice's agent runs", START, |world| {
        world.folder.path().join("alice").exists()
    });
    let said = world.good("l", &format!("ping -n -c 1 -W 9 {STAND_IN}"));
    assert!(said.contains(" 0% packet loss"), "{said}");
}

#[test]
fn keys_are_replaced_again_and_again_under_traffic_and_no_packet_is_lost() {
    for workers in [1, 2] {
        let mut world = World::new(&Settings {
            workers,
            more: "rekey: { packets: 150 }\n",
            ..Settings::default()
        });
        world.until("the first answer", START, World::pings);
        let before = world.agreements();
        // Two ways, so that with two workers each direction has frames that come to the wrong one.
        let pings = [("l", STAND_IN), ("a", PRINTER)]
            .map(|(from, to)| world.begin(from, &format!("ping -n -q -c 3000 -i 0.002 -W 2 {to}")));
        for ping in pings {
            let said = String::from_utf8_lossy(&ping.wait_with_output().unwrap().stdout).into_owned();
            assert!(
                said.contains("3000 received, 0% packet loss"),
                "{workers} workers: {said}\n{}",
                world.logs()
            );
        }
        let replaced = world.agreements() - before;
        assert!(replaced >= 10, "{replaced} replacements");
        println!("{workers} workers: {replaced} replacements");
    }
}

#[test]
fn an_agent_that_is_killed_costs_no_packet_and_has_new_keys_soon() {
    let mut world = World::new(&Settings::default());
    world.until("the first answer", START, World::pings);
    let before = world.agreements();
    let ping = world.begin("l", &format!("ping -n -q -c 400 -i 0.02 -W 2 {STAND_IN}"));
    world.kill(Program::Gateway);
    std::thread::sleep(Duration::from_secs(2));
    world.start(Program::Gateway);
    let said = String::from_utf8_lossy(&ping.wait_with_output().unwrap().stdout).into_owned();
    assert!(
        said.contains("400 received, 0% packet loss"),
        "{said}\n{}",
        world.logs()
    );
    world.until("new keys", START, |world| world.agreements() > before);
}

#[test]
fn a_dataplane_that_is_killed_works_again_with_other_keys() {
    let mut world = World::new(&Settings::default());
    world.until("the first answer", START, World::pings);
    let before = world.agreements();
    world.kill(Program::Dataplane);
    world.start(Program::Dataplane);
    let took = world.until("an answer again", START, World::pings);
    assert!(world.agreements() > before, "no key serves twice");
    println!("back after {took:?}");
}

#[test]
fn secrets_are_in_no_log() {
    let mut world = World::new(&Settings::default());
    world.until("the first answer", START, World::pings);
    world.kill(Program::Gateway);
    for name in ["gateway", "dataplane", "alice"] {
        let log = fs::read_to_string(world.folder.path().join(format!("{name}.log"))).unwrap();
        assert!(!log.contains("89abcdef"), "{name}");
    }
}
