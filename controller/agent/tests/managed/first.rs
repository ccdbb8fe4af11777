//! The first packet to an address that nobody was told about.

use super::{HOUR, KEYS, World, now_ms};
use crate::assert_conserved;
use crate::common::{ADDRESS, privileged};
use kith_agent::orders::{Order, Refusal, Report};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One single ping to the other member, and nothing before it.
fn ping(world: &World, patience: &str) -> Child {
    Command::new("ip")
        .args(["netns", "exec", &world.net.namespace(0)])
        .args(["ping", "-n", "-c", "1", "-W", patience, ADDRESS[1]])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(ping: Child) -> (bool, String) {
    let out = ping.wait_with_output().unwrap();
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned(),
    )
}

fn needed(world: &World) {
    let other: Ipv4Addr = ADDRESS[1].parse().unwrap();
    world.members[0].reported(|report| *report == Report::NeedPeer(other));
}

#[test]
fn the_very_first_single_ping_to_an_address_never_seen_is_answered() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let ping = ping(&world, "3");
    needed(&world);
    let waiting = world.members[0].status();
    assert_eq!(waiting.packets.waiting, 1);
    assert_conserved(|| world.members[0].status());
    // The manager takes its time; then keys are agreed upon, and the packet waits for them, too.
    std::thread::sleep(Duration::from_millis(300));
    world.introduce(now_ms() + HOUR);
    let (answered, said) = said(ping);
    assert!(answered, "{said}");
    let status = world.members[0].status();
    assert_eq!(
        (status.packets.waiting, world.members[0].dropped("member_unknown")),
        (0, 0)
    );
    assert_conserved(|| world.members[0].status());
    assert_conserved(|| world.members[1].status());
}

#[test]
fn who_is_brought_by_its_own_introduction_gets_what_waited() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let ping = ping(&world, "3");
    needed(&world);
    // The other one is told, and begins to talk.
    let [a, b] = &world.members;
    b.order(
        b.identity
            .peer(&a.identity, KEYS[0], now_ms() * 1000, now_ms() + HOUR),
    );
    assert!(world.net.pings(1));
    let (answered, said) = said(ping);
    assert!(answered, "{said}");
}

#[test]
fn who_cannot_be_reached_is_said_at_once_and_why() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let other: Ipv4Addr = ADDRESS[1].parse().unwrap();
    let refusals = [
        (
            Refusal::Unreachable,
            "Destination Host Unreachable",
            "member_unknown",
        ),
        (Refusal::Prohibited, "Packet filtered", "policy_denied"),
    ];
    for (refusal, words, counted) in refusals {
        let start = Instant::now();
        let ping = ping(&world, "9");
        needed(&world);
        world.members[0].order(Order::NoPeer(other, refusal));
        let (answered, said) = said(ping);
        assert!(!answered && said.contains(words), "{said}");
        assert!(start.elapsed() < Duration::from_secs(5), "ping would have waited");
        // While the answer is fresh nobody is asked again.
        let again = world.net.exec(0, &format!("ping -n -c 1 -W 9 {other}"));
        assert!(String::from_utf8_lossy(&again.stdout).contains(words));
        assert_eq!(world.members[0].dropped(counted), 2);
        std::thread::sleep(Duration::from_millis(2_200));
    }
    assert_conserved(|| world.members[0].status());
}

#[test]
fn what_waits_in_vain_is_lost_after_two_seconds_and_counted() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let many = format!("ping -q -c 20 -i 0.01 -W 1 {}", ADDRESS[1]);
    let _unanswered = world.net.exec(0, &many);
    let status = world.members[0].status();
    assert_eq!(
        (status.packets.waiting, world.members[0].dropped("member_unknown")),
        (8, 12),
        "eight wait, the others find no room"
    );
    assert_conserved(|| world.members[0].status());
    world.net.until("they are lost", Duration::from_secs(4), |_| {
        world.members[0].dropped("member_unknown") == 20
    });
    let status = world.members[0].status();
    assert_eq!(status.packets.waiting, 0);
    assert_conserved(|| world.members[0].status());
}
