//! The promise of standard peers: strongSwan, as Debian packages it, and `kith-agent standard` understand each other.

mod world;

use kith_tests::repository;
use std::thread::sleep;
use std::time::Duration;
use world::{End, INSIDE, OUTSIDE, Proof, Setup, TRANSLATED, World, certificates};

/// So many of each kind in `make test`; `make interop` asks for more.
fn rounds() -> u64 {
    let asked = std::env::var("KITH_INTEROP_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Ten packets a second, each way.
struct Pings([u32; 2]);

impl Pings {
    fn start(world: &mut World) -> Self {
        Self([(End::Kith, 0, 1), (End::Swan, 1, 0)].map(|(end, own, other)| {
            let command = format!(
                "exec ping -i 0.1 -I {} {} >ping-{own}",
                INSIDE[own], INSIDE[other]
            );
            world.leave_running(end, &["sh", "-c", &command])
        }))
    }

    /// Ends them. No answer was missing in between.
    fn all_answered(self, world: &World) {
        for (own, id) in self.0.into_iter().enumerate() {
            world.interrupt(id);
            let file = world.folder.path().join(format!("ping-{own}"));
            let read = || std::fs::read_to_string(&file).unwrap_or_default();
            world.until("ping has told", 10, |_| read().contains("packet loss"));
            let text = read();
            let numbers = text.lines().filter_map(|line| line.split("icmp_seq=").nth(1));
            let mut answered: Vec<u64> = numbers
                .filter_map(|rest| rest.split(' ').next()?.parse().ok())
                .collect();
            answered.sort_unstable();
            // The last ones may have been under way when it was interrupted.
            let last = answered.last().copied().unwrap_or_default();
            let missing: Vec<u64> = (1..=last).filter(|number| !answered.contains(number)).collect();
            assert!(
                last > 20 && missing.is_empty(),
                "{missing:?} of {last}\n{}",
                world.logs()
            );
        }
    }
}

fn waiting() -> Setup {
    Setup {
        start: "wait",
        ..Setup::default()
    }
}

#[test]
fn we_begin_with_a_shared_secret() {
    let world = World::new(&Setup::default());
    world.established();
    assert_eq!(
        world.peer()["nat_theirs"],
        true,
        "kernel-libipsec pretends to be translated"
    );
    assert!(world.swan(&["--list-sas"]).contains("ESTABLISHED"));
}

#[test]
fn strongswan_begins_with_a_shared_secret() {
    let world = World::new(&waiting());
    world.swan(&["--initiate", "--child", "c", "--timeout", "10"]);
    world.established();
    assert_eq!(world.count("ups"), 1);
}

#[test]
fn certificates_of_both_kinds_are_believed_both_ways() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(&Setup {
            proof: certificates(folder.path(), algorithm),
            ..Setup::default()
        });
        world.established();
        drop(world);
        let world = World::new(&Setup {
            proof: certificates(folder.path(), algorithm),
            ..waiting()
        });
        world.swan(&["--initiate", "--child", "c", "--timeout", "10"]);
        world.established();
    }
}

#[test]
fn a_certificate_of_another_authority_is_not_believed() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let proof = certificates(folder.path(), &rcgen::PKCS_ED25519);
    let Proof::Certificates(_) = certificates(other.path(), &rcgen::PKCS_ED25519) else {
        unreachable!()
    };
    // strongSwan proves itself under an authority that kith does not know; kith is good.
    for file in ["swan.pem", "swan.key"] {
        std::fs::copy(other.path().join(file), folder.path().join(file)).unwrap();
    }
    let world = World::new(&Setup {
        proof,
        ..Setup::default()
    });
    world.until("kith refuses", 20, |world| world.count("downs") > 0);
    let why = world.peer()["last_down"].to_string();
    assert!(why.contains("not who it says"), "{why}\n{}", world.logs());
    assert_eq!(world.count("ups"), 0);
}

#[test]
fn keys_are_replaced_by_both_ends_and_no_packet_is_lost() {
    let mut world = World::new(&Setup::default());
    world.established();
    let rounds = rounds();
    let pings = Pings::start(&mut world);
    for round in 1..=rounds {
        world.order("rekey-child");
        world.until("our new pair", 10, |world| {
            world.count("children_rekeyed_by_us") == round
        });
        world.swan(&["--rekey", "--child", "c"]);
        world.until("its new pair", 10, |world| {
            world.count("children_rekeyed_by_peer") == round
        });
        world.order("rekey-ike");
        world.until("our new IKE SA", 10, |world| {
            world.count("ike_rekeyed_by_us") == round
        });
        world.swan(&["--rekey", "--ike", "t"]);
        world.until("its new IKE SA", 10, |world| {
            world.count("ike_rekeyed_by_peer") == round
        });
    }
    world.until("the old pairs are gone", 20, |world| world.peer()["pairs"] == 1);
    pings.all_answered(&world);
    assert_eq!((world.count("ups"), world.count("downs")), (1, 0));
    assert_eq!(world.dropped("unknown_spi"), 0, "{}", world.logs());
    assert_eq!(world.swan(&["--list-sas"]).matches("INSTALLED").count(), 1);
}

#[test]
fn both_ends_may_replace_keys_at_once() {
    let mut world = World::new(&Setup::default());
    world.established();
    let pings = Pings::start(&mut world);
    for _ in 0..rounds() {
        for (ours, theirs) in [
            ("rekey-child", ["--rekey", "--child", "c"]),
            ("rekey-ike", ["--rekey", "--ike", "t"]),
        ] {
            std::thread::scope(|scope| {
                // Whether it comes to a collision, and who wins it, is not ours to say: strongSwan may also refuse for the moment.
                scope.spawn(|| world.swanctl(&theirs));
                world.order(ours);
            });
        }
    }
    world.until("one pair is left", 30, |world| world.peer()["pairs"] == 1);
    world.until("charon has one pair", 30, |world| {
        world.swan(&["--list-sas"]).matches("INSTALLED").count() == 1
    });
    pings.all_answered(&world);
    assert_eq!(
        (world.count("ups"), world.count("downs")),
        (1, 0),
        "{}",
        world.logs()
    );
}

#[test]
fn keys_are_replaced_without_being_told_when_they_are_old() {
    let mut world = World::new(&Setup {
        kith: "lifetimes: { child_ms: 2000, ike_ms: 3000 }",
        connection: "rekey_time = 4s\n over_time = 60s\n rand_time = 0s",
        child: "rekey_time = 3s\n life_time = 60s\n rand_time = 0s",
        ..Setup::default()
    });
    world.established();
    let pings = Pings::start(&mut world);
    world.until("keys are replaced", 30, |world| {
        world.count("children_rekeyed_by_us") + world.count("children_rekeyed_by_peer") >= 5
            && world.count("ike_rekeyed_by_us") + world.count("ike_rekeyed_by_peer") >= 4
    });
    pings.all_answered(&world);
    assert_eq!(
        (world.count("ups"), world.count("downs")),
        (1, 0),
        "{}",
        world.logs()
    );
}

#[test]
fn of_what_strongswan_offers_only_what_is_agreed_is_taken() {
    let world = World::new(&Setup {
        remote_ts: "0.0.0.0/0",
        ..waiting()
    });
    world.swan(&["--initiate", "--child", "c", "--timeout", "10"]);
    world.established();
    let sas = world.swan(&["--list-sas"]);
    assert!(sas.contains("remote 10.0.1.0/24"), "{sas}");
}

#[test]
fn another_secret_is_refused_by_both() {
    for start in ["at-once", "wait"] {
        let world = World::new(&Setup {
            secret: "another secret altogether",
            start,
            ..Setup::default()
        });
        if start == "at-once" {
            world.until("it is refused", 10, |world| world.count("downs") > 0);
            let why = world.peer()["last_down"].to_string();
            assert!(why.contains("AUTHENTICATION_FAILED"), "{why}");
        } else {
            let refused = world.swanctl(&["--initiate", "--child", "c", "--timeout", "10"]);
            assert!(refused.is_none(), "{refused:?}");
        }
        assert_eq!(world.count("ups"), 0);
        assert!(!world.swan(&["--list-sas"]).contains("ESTABLISHED"));
    }
}

#[test]
fn what_strongswan_deletes_is_gone_here_and_comes_back_when_it_is_needed() {
    let world = World::new(&Setup {
        start: "on-traffic",
        ..Setup::default()
    });
    assert_eq!(world.peer()["up"], false, "nothing was to be sent");
    world.pings();
    world.swan(&["--terminate", "--child", "c"]);
    world.until("the pair is gone", 5, |world| world.peer()["pairs"] == 0);
    assert_eq!(world.peer()["up"], true, "the IKE SA stays");
    world.pings();
    world.swan(&["--terminate", "--ike", "t"]);
    world.until("everything is gone", 5, |world| world.peer()["up"] == false);
    assert!(
        world.peer()["last_down"]
            .to_string()
            .contains("closed by the peer")
    );
    world.pings();
}

#[test]
fn what_we_delete_is_gone_there() {
    let world = World::new(&Setup::default());
    world.established();
    world.order("close-child");
    world.until("charon has no pair", 5, |world| {
        !world.swan(&["--list-sas"]).contains("INSTALLED")
    });
    assert!(world.swan(&["--list-sas"]).contains("ESTABLISHED"));
    world.pings();
    world.order("close");
    world.until("charon has nothing", 5, |world| {
        !world.swan(&["--list-sas"]).contains("ESTABLISHED")
    });
}

#[test]
fn kith_holds_no_capability_once_it_runs() {
    let world = World::new(&Setup::default());
    world.established();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", world.kith_id())).unwrap();
    let states: Vec<String> = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect();
    assert!(states.len() >= 3, "the loop, requests, signals");
    for state in states {
        let held = state.lines().find(|line| line.starts_with("CapEff:")).unwrap();
        assert!(held.ends_with("0000000000000000"), "{state}");
    }
}

#[test]
fn who_is_told_to_stop_says_goodbye() {
    let world = World::new(&Setup::default());
    world.established();
    world.signal(End::Kith, "TERM");
    world.until("charon has nothing", 5, |world| {
        !world.swan(&["--list-sas"]).contains("ESTABLISHED")
    });
}

#[test]
fn we_notice_that_strongswan_is_gone() {
    let world = World::new(&Setup {
        kith: "lifetimes: { liveness_ms: 2000, tries: 3 }",
        ..Setup::default()
    });
    world.established();
    world.signal(End::Swan, "STOP");
    world.until("we notice", 20, |world| world.peer()["up"] == false);
    assert!(world.peer()["last_down"].to_string().contains("does not answer"));
    world.signal(End::Swan, "CONT");
    world.until("the tunnel is back", 60, |world| world.peer()["pairs"] == 1);
    world.pings();
}

#[test]
fn strongswan_notices_that_we_are_gone() {
    let world = World::new(&Setup {
        charon: "retransmit_timeout = 1\n retransmit_tries = 2",
        connection: "dpd_delay = 1s",
        ..Setup::default()
    });
    world.established();
    // As long as we are there, it hears from us.
    sleep(Duration::from_secs(4));
    assert_eq!(
        (world.count("ups"), world.count("downs")),
        (1, 0),
        "{}",
        world.logs()
    );
    world.signal(End::Kith, "STOP");
    world.until("it notices", 20, |world| {
        !world.swan(&["--list-sas"]).contains("ESTABLISHED")
    });
    world.signal(End::Kith, "CONT");
}

#[test]
fn an_address_translator_between_us_is_found_and_crossed() {
    let world = World::new(&Setup {
        nat: true,
        kith: "encapsulation: detect",
        ..Setup::default()
    });
    world.established();
    assert_eq!(world.peer()["nat_ours"], true);
    let sas = world.swan(&["--list-sas"]);
    assert!(sas.contains(&format!("{TRANSLATED}[4")), "{sas}");
    world.order("rekey-ike");
    world.until("a new IKE SA", 10, |world| world.count("ike_rekeyed_by_us") == 1);
    world.swan(&["--rekey", "--child", "c"]);
    world.until("a new pair", 10, |world| {
        world.count("children_rekeyed_by_peer") == 1
    });
    world.pings();
}

#[test]
fn certificates_travel_in_fragments_where_datagrams_must_be_small() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(&Setup {
        proof: certificates(folder.path(), &rcgen::PKCS_ECDSA_P256_SHA256),
        kith: "fragment_size: 520\npath_mtu: 576",
        charon: "fragment_size = 548",
        router_mtu: 576,
        ..Setup::default()
    });
    world.established();
    let log = std::fs::read_to_string(world.folder.path().join("charon.log")).unwrap();
    assert!(log.contains("received fragment #2"), "{log}");
    assert!(log.contains("splitting IKE message"), "{log}");
}

#[test]
fn both_ends_return_cookies() {
    let world = World::new(&Setup {
        charon: "cookie_threshold = 1",
        start: "on-traffic",
        ..Setup::default()
    });
    // A handshake that somebody began and does not finish: from now on charon wants cookies.
    let golden = repository("controller/ike/src/golden/strongswan-psk.txt");
    let golden = std::fs::read_to_string(golden).unwrap();
    let first = golden
        .lines()
        .find_map(|line| line.strip_prefix("initiator_init = "))
        .unwrap();
    let send = format!(
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('{}', 5000)); \
         s.sendto(bytes.fromhex('{first}'), ('{}', 500)); s.settimeout(5); s.recv(2000)",
        OUTSIDE[0], OUTSIDE[1]
    );
    world.good(End::Kith, &format!("python3 -c \"{send}\""));
    world.order("connect");
    world.established();
    let log = std::fs::read_to_string(world.folder.path().join("charon.log")).unwrap();
    assert!(log.contains("N(COOKIE)"), "{log}");
    drop(world);
    let world = World::new(&Setup {
        kith: "cookies_from: 0",
        ..waiting()
    });
    world.swan(&["--initiate", "--child", "c", "--timeout", "10"]);
    world.established();
    assert_eq!(world.dropped("ike_cookie_asked"), 1);
}

#[test]
fn tcp_and_a_file_pass_whole() {
    let mut world = World::new(&Setup::default());
    world.established();
    world.leave_running(End::Swan, &["iperf3", "-s", "-B", INSIDE[1]]);
    world.until("iperf3 listens", 10, |world| {
        world
            .exec(End::Swan, "ss -ltn")
            .stdout
            .windows(5)
            .any(|port| port == b":5201")
    });
    for direction in ["", "-R"] {
        let report = world.good(
            End::Kith,
            &format!("iperf3 -c {} -t 2 --json {direction}", INSIDE[1]),
        );
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap();
        eprintln!("iperf3 {direction}: {:.0} Mbit/s", bits / 1e6);
        assert!(bits > 1e5, "{bits}");
    }
    let folder = world.folder.path().display().to_string();
    world.good(End::Swan, &format!("head -c 5000000 /dev/urandom >{folder}/file"));
    world.leave_running(
        End::Swan,
        &["python3", "-m", "http.server", "8000", "--bind", INSIDE[1]],
    );
    world.until("the file server runs", 10, |world| {
        world
            .exec(End::Kith, &format!("curl -sI -m 2 http://{}:8000/", INSIDE[1]))
            .status
            .success()
    });
    let fetch = format!("curl -sf -m 60 http://{}:8000/file | sha256sum", INSIDE[1]);
    let here = world.good(End::Kith, &fetch);
    assert_eq!(here, world.good(End::Swan, &format!("sha256sum <{folder}/file")));
}
