//! The real program on real packets: sessions, relaying, a kill, two workers.

mod common;
use common::{ALICE, BOB, Lab, Member, is_root};
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
    let mut lab = Lab::new(1, 2);
    lab.start();
    let alice = Member::join(lab.socket(ALICE), 1);
    let bob = Member::join(lab.socket(BOB), 2);
    let mut buffer = [0; 2048];
    for (number, len) in [20, 100, 1000, 1452].into_iter().enumerate() {
        let sent = payload(number as u32, len);
        alice.send(bob.pseudo, &sent);
        let (got, from) = bob.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, common::DIRECTOR.into(), "packets come from the director");
        assert_eq!(buffer[..got], common::data(alice.pseudo, bob.pseudo, &sent));
    }
    bob.send(alice.pseudo, &payload(9, 64));
    assert_eq!(alice.socket.recv(&mut buffer).unwrap(), 84);

    // Somebody who knows the pseudo addresses, but has no session, from elsewhere.
    let stranger = lab.socket(ALICE);
    let forged = common::data(alice.pseudo, bob.pseudo, &payload(1, 100));
    for _ in 0..10 {
        stranger.send_to(&forged, common::DIRECTOR).unwrap();
    }
    thread::sleep(Duration::from_millis(100));
    bob.socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(bob.socket.recv(&mut buffer).is_err());
    assert_eq!(lab.dropped("source_mismatch"), 10);

    let sessions = lab.stats().sessions(0, 0).unwrap();
    assert_eq!(sessions.total, 2);
    let of_bob = sessions
        .sessions
        .iter()
        .find(|session| session.member == "member2")
        .unwrap();
    assert_eq!(
        std::net::SocketAddr::V4(of_bob.bound),
        bob.socket.local_addr().unwrap()
    );
    assert_eq!((of_bob.packets, of_bob.community.as_str()), (4, "acme.example"));
    let neighbors = lab.stats().table("neighbors").unwrap();
    assert!(
        neighbors
            .rows
            .iter()
            .any(|row| row[0] == BOB.to_string() && row[1] == "02:00:00:00:00:15")
    );
    let grants = lab.stats().table("grants").unwrap();
    assert_eq!(grants.rows[0], ["member1", "1", "acme.example", ""]);
    let unknown = lab.stats().table("x").unwrap_err().to_string();
    assert!(
        unknown.contains("ports, neighbors, sessions, grants"),
        "{unknown}"
    );
    lab.assert_conserved();
    assert_eq!(lab.stop(), Some(0));
    assert!(!lab.folder.path().join("socket").exists());
}

#[test]
fn a_killed_dataplane_forwards_again_soon_after_its_restart() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(2, 2);
    lab.start();
    let alice = Member::join(lab.socket(ALICE), 1);
    let bob = Member::join(lab.socket(BOB), 2);
    let mut times = Vec::new();
    for round in 0..5 {
        lab.kill();
        let restart = Instant::now();
        lab.spawn();
        bob.socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let mut buffer = [0; 2048];
        loop {
            // The link is down for moments while the port opens.
            alice.send(bob.pseudo, &payload(round, 100));
            if bob.socket.recv(&mut buffer).is_ok() {
                break;
            }
            assert!(
                restart.elapsed() < Duration::from_secs(10),
                "no packet came through"
            );
        }
        times.push(restart.elapsed());
        while bob.socket.recv(&mut buffer).is_ok() {}
    }
    times.sort();
    println!("forwarding again after {times:?}");
    // Other programs may have the machine for a moment: the middle one counts.
    assert!(times[2] < Duration::from_secs(1), "{times:?}");
    assert_eq!(lab.stats().status().unwrap().restored, 2);
}

#[test]
fn two_workers_share_the_load() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(2, 33);
    lab.start();
    let bob = Member::join(lab.socket(BOB), 33);
    let members: Vec<_> = (1..=32).map(|key| Member::join(lab.socket(ALICE), key)).collect();
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
