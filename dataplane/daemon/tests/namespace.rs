//! The real program on real packets: entries written over P4Runtime, relaying, packets of the controller's, kills, two workers.

mod common;
use common::controller::Controller;
use common::{ALICE, BOB, Lab, data, is_root};
use kith_pipeline::reason::PuntReason;
use kith_wire::ethernet;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a virtual packet looks like to a director: some octets.
fn payload(number: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|at| (at.wrapping_mul(31) ^ number) as u8)
        .collect()
}

#[test]
fn members_reach_each_other_and_a_stranger_reaches_nobody() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = lab.controller();
    let alice = lab.join(&mut controller, ALICE, 1);
    let bob = lab.join(&mut controller, BOB, 2);
    let mut buffer = [0; 2048];
    for (number, len) in [20, 100, 1000, 1452].into_iter().enumerate() {
        let sent = payload(number as u32, len);
        alice.send(bob.pseudo, &sent);
        let (got, from) = bob.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, common::DIRECTOR.into(), "packets come from the director");
        assert_eq!(buffer[..got], data(alice.pseudo, bob.pseudo, &sent));
    }
    bob.send(alice.pseudo, &payload(9, 64));
    assert_eq!(alice.socket.recv(&mut buffer).unwrap(), 84);

    // Somebody who knows the pseudo addresses, but has no entry, from elsewhere.
    let stranger = lab.socket(ALICE);
    let forged = data(alice.pseudo, bob.pseudo, &payload(1, 100));
    for _ in 0..10 {
        stranger.send_to(&forged, common::DIRECTOR).unwrap();
    }
    bob.socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(bob.socket.recv(&mut buffer).is_err());
    assert_eq!(lab.dropped("source_mismatch"), 10);

    let sessions = lab.stats().sessions(0, 0).unwrap();
    assert_eq!(sessions.total, 2);
    let of_bob = &sessions.sessions[1];
    assert_eq!(
        of_bob.reached_at.map(Into::into),
        Some(bob.socket.local_addr().unwrap())
    );
    assert_eq!((of_bob.packets, of_bob.community), (4, 1));
    assert_eq!(
        of_bob.bytes,
        [20, 100, 1000, 1452].map(|len| len + 48).iter().sum::<u64>()
    );
    let neighbors = lab.stats().neighbors().unwrap().neighbors;
    assert!(
        neighbors.iter().any(|one| one.address == BOB
            && one.station.as_deref() == Some("02:00:00:00:00:15")
            && one.state == "known"),
        "{neighbors:?}"
    );
    lab.assert_conserved();
    assert_eq!(lab.stop(), Some(0));
    assert!(!lab.folder.path().join("socket").exists() && !lab.p4runtime().exists());
}

#[test]
fn without_entries_nothing_passes_and_without_a_controller_nothing_is_answered() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let socket = lab.socket(ALICE);
    let control = common::control();
    socket.send_to(&control, common::DIRECTOR).unwrap();
    wait_for(|| lab.dropped("udp_port_unknown") == 1, "no endpoint, no port");
    let mut controller = lab.controller();
    controller.disconnect();
    wait_for(
        || !lab.stats().status().unwrap().controller,
        "the controller is gone",
    );
    socket.send_to(&control, common::DIRECTOR).unwrap();
    wait_for(|| lab.dropped("slow_path_refused") == 1, "nobody takes it");
    lab.assert_conserved();
}

#[test]
fn what_is_for_the_controller_goes_there_and_its_answer_comes_back() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = lab.controller();
    let socket = lab.socket(ALICE);
    let asked = common::control();
    socket.send_to(&asked, common::DIRECTOR).unwrap();
    let (ingress, reason, mut frame) = controller.packet_in().expect("a packet-in");
    assert_eq!((ingress, reason), (0, PuntReason::Control));
    assert_eq!(
        frame[ethernet::HEADER_LEN + 28..],
        asked,
        "the whole frame, as it came"
    );

    // Turned around as it is: whoever asked gets his own octets back.
    common::turn_around(&mut frame);
    controller.packet_out(0, &frame);
    let mut buffer = [0; 2048];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&asked[..], common::DIRECTOR.into()));

    // What no port could send is an error on the stream, and nothing else.
    for (port, len) in [(1, 60), (0, 13), (0, 1515)] {
        controller.packet_out(port, &vec![0; len]);
        assert!(controller.stream_error().is_some(), "port {port}, {len} octets");
    }
    let stats = lab.stats().stats().unwrap();
    let control = stats.packet_ins.iter().find(|one| one.name == "control").unwrap();
    assert_eq!((control.count, stats.packet_outs), (1, 1));
    lab.assert_conserved();
}

#[test]
fn a_neighbour_that_is_written_wins_over_the_one_that_is_there() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = lab.controller();
    let alice = lab.join(&mut controller, ALICE, 1);
    let bob = lab.join(&mut controller, BOB, 2);
    let mut buffer = [0; 2048];
    alice.send(bob.pseudo, &payload(1, 64));
    bob.socket.recv(&mut buffer).unwrap();
    let learnt = controller.neighbors();
    assert!(
        learnt.contains(&(BOB, common::THEIRS)),
        "what is learnt can be read: {learnt:?}"
    );

    // To a station that is nobody's: bob hears nothing more, whatever ARP says.
    let nobody = kith_wire::ethernet::MacAddr([2, 0, 0, 0, 0, 0x99]);
    controller.write_neighbor(BOB, Some(nobody)).unwrap();
    assert!(controller.neighbors().contains(&(BOB, nobody)));
    bob.socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    bob.send(alice.pseudo, &payload(2, 64));
    alice.socket.recv(&mut buffer).unwrap();
    alice.send(bob.pseudo, &payload(3, 64));
    assert!(bob.socket.recv(&mut buffer).is_err());
    let written = lab.stats().neighbors().unwrap().neighbors;
    assert!(
        written
            .iter()
            .any(|one| one.address == BOB && one.state == "written"),
        "{written:?}"
    );

    // Taken back, it is learnt again.
    controller.write_neighbor(BOB, None).unwrap();
    bob.socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    alice.send(bob.pseudo, &payload(4, 64));
    assert_eq!(bob.socket.recv(&mut buffer).unwrap(), 84);
    lab.assert_conserved();
}

#[test]
fn a_gateway_answers_for_remote_members_and_asks_its_controller_for_keys() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = Controller::connect(&lab.p4runtime(), 10);
    let stand_in = std::net::Ipv4Addr::new(203, 0, 113, 200);
    controller.act_as_gateway(ALICE, stand_in);
    // The kernel asks by ARP who has the address before it sends.
    let device = lab.socket(ALICE);
    device.send_to(&[0x45; 100], (stand_in, 9)).unwrap();
    let (_, reason, frame) = controller.packet_in().expect("a packet without keys");
    assert_eq!(reason, PuntReason::KeysMissing);
    assert_eq!(
        frame[ethernet::HEADER_LEN + 28..],
        [0x45; 100],
        "as it came from the device"
    );
    controller.disconnect();
    wait_for(
        || !lab.stats().status().unwrap().controller,
        "the controller is gone",
    );
    device.send_to(&[0x45; 100], (stand_in, 9)).unwrap();
    wait_for(|| lab.dropped("keys_missing") == 1, "a named drop");
    // From a device that is nobody's member.
    let other = lab.socket(BOB);
    other.send_to(&[0x45; 100], (stand_in, 9)).unwrap();
    wait_for(|| lab.dropped("local_unknown") == 1, "another one");
    lab.assert_conserved();
}

/// The process that the next test kills: it writes entries, says so by a file, and waits.
#[test]
fn helper_controller_process() {
    let Ok(socket) = std::env::var("KT_CONTROLLER") else {
        return;
    };
    let bound = |name| std::env::var(name).unwrap().parse().unwrap();
    let mut controller = Controller::connect(socket.as_ref(), 10);
    controller.act_as_director();
    controller.enter(common::pseudo(1), bound("KT_ALICE"));
    controller.enter(common::pseudo(2), bound("KT_BOB"));
    std::fs::write(std::env::var("KT_READY").unwrap(), "").unwrap();
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn forwarding_goes_on_when_the_controller_is_killed() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let (alice, bob) = (lab.socket(ALICE), lab.socket(BOB));
    let ready = lab.folder.path().join("ready");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_controller_process"])
        .env("KT_CONTROLLER", lab.p4runtime())
        .env("KT_ALICE", alice.local_addr().unwrap().to_string())
        .env("KT_BOB", bob.local_addr().unwrap().to_string())
        .env("KT_READY", &ready)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| ready.exists(), "the controller has written");
    assert!(lab.stats().status().unwrap().controller);
    let mut buffer = [0; 2048];
    let mut pass = |number| {
        let sent = data(common::pseudo(1), common::pseudo(2), &payload(number, 200));
        alice.send_to(&sent, common::DIRECTOR).unwrap();
        let len = bob.recv(&mut buffer).expect("no packet is lost");
        assert_eq!(buffer[..len], sent);
    };
    (0..100).for_each(&mut pass);
    child.kill().unwrap();
    (100..1000).for_each(&mut pass);
    child.wait().unwrap();
    wait_for(|| !lab.stats().status().unwrap().controller, "it is missed");
    // The next one finds what the first one wrote, and may write.
    let mut controller = Controller::connect(&lab.p4runtime(), 11);
    assert_eq!(controller.sessions().len(), 2);
    lab.join(&mut controller, BOB, 3);
    (1000..1100).for_each(&mut pass);
    lab.assert_conserved();
}

#[test]
fn a_killed_dataplane_is_ready_within_a_second_and_empty() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(2);
    lab.start();
    let mut controller = lab.controller();
    let alice = lab.join(&mut controller, ALICE, 1);
    let bob = lab.join(&mut controller, BOB, 2);
    let mut times = Vec::new();
    for round in 0..5 {
        lab.kill();
        let restart = Instant::now();
        lab.start();
        times.push(restart.elapsed());
        let mut controller = Controller::connect(&lab.p4runtime(), 10);
        assert!(
            controller.sessions().is_empty(),
            "what was written is gone with it"
        );
        controller.act_as_director();
        for member in [&alice, &bob] {
            let std::net::SocketAddr::V4(bound) = member.socket.local_addr().unwrap() else {
                unreachable!("bound to an IPv4 address")
            };
            controller.enter(member.pseudo, bound);
        }
        bob.socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut buffer = [0; 2048];
        loop {
            // The link is down for moments while the port opens.
            alice.send(bob.pseudo, &payload(round, 100));
            if bob.socket.recv(&mut buffer).is_ok() {
                break;
            }
            let late = restart.elapsed() > Duration::from_secs(10);
            assert!(!late, "no packet came through");
        }
        while bob.socket.recv(&mut buffer).is_ok() {}
    }
    times.sort();
    println!("ready again after {times:?}");
    // Other programs may have the machine for a moment: the middle one counts.
    assert!(times[2] < Duration::from_secs(1), "{times:?}");
}

#[test]
fn two_workers_share_the_load() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(2);
    lab.start();
    let mut controller = lab.controller();
    let bob = lab.join(&mut controller, BOB, 33);
    let members: Vec<_> = (1..=32)
        .map(|number| lab.join(&mut controller, ALICE, number))
        .collect();
    let mut buffer = [0; 2048];
    let mut received = 0;
    for round in 0..20 {
        for member in &members {
            member.send(bob.pseudo, &payload(round, 200));
        }
        for _ in &members {
            received += usize::from(bob.socket.recv(&mut buffer).is_ok());
        }
    }
    assert_eq!(received, 640, "nothing is lost at this pace");
    let stats = lab.stats().stats().unwrap();
    for worker in &stats.workers {
        assert!(
            worker.received > 100,
            "each of two workers has a share: {:?}",
            stats.workers
        );
    }
    lab.assert_conserved();
}

fn wait_for(done: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
