//! Real agents, real kernels' stacks, real programs.

mod common;
mod managed;
mod methods;
mod rekeys;
mod relay;

use common::{ADDRESS, Net, PUBLIC, privileged};
use kith_agent::status::{KeyState, SessionState, Status};
use relay::Relay;
use std::time::{Duration, Instant};

/// Everything that came in went out, waits, or has a named drop. Counters are read one after the other: while a packet is on its way
/// through, they need not fit each other; when it is quiet they must.
fn assert_conserved(status: impl Fn() -> Status) {
    let sums = |status: &Status| {
        let p = &status.packets;
        let up = p.tun_tx + p.dummies_rx + p.keying_rx + p.control_rx;
        let out = (p.tun_rx + p.dummies_tx, p.udp_tx + p.waiting + p.drops_out);
        [out, (p.udp_rx, up + p.drops_in)]
    };
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        let status = status();
        let is_conserved = sums(&status).iter().all(|(came, went)| came == went);
        if is_conserved {
            return;
        }
        let sums = sums(&status);
        assert!(
            Instant::now() < patience,
            "{sums:?} {:?} {:?}",
            status.packets,
            status.drops
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn members_ping_and_fetch_files_and_no_packet_is_unaccounted_for() {
    if !privileged() {
        return;
    }
    let mut net = Net::with_agents(1500);
    for from in 0..2 {
        net.good(from, &format!("ping -c 3 -i 0.2 -W 1 {}", ADDRESS[1 - from]));
    }
    net.serve(1, 20);
    net.fetch(0);
    for which in 0..2 {
        let status = net.status(which);
        assert_conserved(|| net.status(which));
        assert_eq!(status.peers[0].keys, KeyState::Up);
        assert_eq!(status.peers[0].agreements, 1, "one exchange is enough");
        // Large reads and joined writes, or the offloads are not at work.
        assert!(
            status.packets.udp_tx > 4 * status.packets.udp_sends || which == 0,
            "{:?}",
            status.packets
        );
    }
}

#[test]
fn a_killed_agent_is_back_within_two_seconds_with_fresh_keys() {
    if !privileged() {
        return;
    }
    for which in 0..2 {
        let mut net = Net::with_agents(1500);
        assert!(net.pings(0));
        let before = net.status(1 - which).peers[0].clone();
        net.signal(which, "KILL");
        let start = Instant::now();
        net.start(which);
        net.until("packets pass again", Duration::from_secs(2), |net| {
            net.pings(1 - which)
        });
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        let after = net.status(1 - which).peers[0].clone();
        assert_ne!((before.spi_out, before.spi_in), (after.spi_out, after.spi_in));
        assert!(net.pings(which));
        assert_conserved(|| net.status(0));
        assert_conserved(|| net.status(1));
    }
}

#[test]
fn a_narrow_path_is_found_out_and_nothing_is_lost_silently() {
    if !privileged() {
        return;
    }
    let mut net = Net::with_agents(1400);
    assert!(net.pings(0));
    let large = format!("ping -M do -s 1360 -c 1 -W 1 {}", ADDRESS[1]);
    assert!(!net.exec(0, &large).status.success(), "it does not fit");
    net.until("the report lowers the path MTU", Duration::from_secs(3), |net| {
        net.status(0).peers[0].path_mtu == 1400
    });
    let told = net.exec(0, &large);
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(
        text.contains("mtu = 1298") || text.contains("mtu=1298"),
        "the application is told: {text}"
    );
    net.serve(0, 20);
    net.fetch(1);
    assert_conserved(|| net.status(0));
}

#[test]
fn a_member_behind_a_nat_is_reached_through_its_director_even_after_the_nat_forgot_it() {
    if !privileged() {
        return;
    }
    let mut net = Net::new(1500);
    net.router("nft add table ip nat");
    net.router("nft add chain ip nat out { type nat hook postrouting priority 100 \\; }");
    net.router("nft add rule ip nat out oifname to-b meta l4proto udp masquerade to :40000-50000 random");
    net.good(1, &format!("ip addr add {}/24 dev wan", relay::ADDRESS));
    let relay = Relay::start(&net.namespace(1));
    let (at, keys) = (format!("\"{}:20202\"", relay::ADDRESS), relay::KEYS);
    net.configure(
        0,
        &format!(
            "location: {{ director: {at} }}\ndirector: {{ address: {at}, key_id: 1, key: {}, keep_alive_ms: 500 }}",
            keys[0]
        ),
        &format!("{{ direct: \"{}:20202\" }}", PUBLIC[1]),
    );
    net.configure(
        1,
        &format!(
            "location: {{ public: \"{}:20202\" }}\ndirector: {{ address: {at}, key_id: 2, key: {}, sender_only: true }}",
            PUBLIC[1], keys[1]
        ),
        &format!("{{ director: {at}, pseudo: 240.0.0.1 }}"),
    );
    net.start(0);
    net.start(1);
    net.until("b reaches a", Duration::from_secs(5), |net| net.pings(1));
    assert!(net.pings(0));
    let session = net.status(0).director.unwrap();
    assert_eq!(
        (session.state, session.pseudo),
        (SessionState::Up, Some("240.0.0.1".parse().unwrap()))
    );
    let observed = session.observed.unwrap();
    assert!(
        observed.ip().to_string() == "198.51.100.254" && observed.port() >= 40_000,
        "{observed}"
    );
    assert!(relay.relayed() > 0, "what b sends to a goes through the director");

    net.router("conntrack -F 2>/dev/null");
    net.until("b reaches a again", Duration::from_secs(5), |net| net.pings(1));
    assert_ne!(
        net.status(0).director.unwrap().observed.unwrap().port(),
        observed.port()
    );
    assert_eq!(net.status(0).peers[0].agreements, 1, "the keys stay");

    assert!(net.signal(0, "TERM").success());
    net.until("the director knows that a left", Duration::from_secs(1), |_| {
        relay.sessions() == 1
    });
    assert_conserved(|| net.status(1));
}

#[test]
fn members_go_on_while_their_director_is_silent() {
    if !privileged() {
        return;
    }
    let mut net = Net::new(1500);
    net.good(1, &format!("ip addr add {}/24 dev wan", relay::ADDRESS));
    let relay = Relay::start(&net.namespace(1));
    let at = format!("\"{}:20202\"", relay::ADDRESS);
    for which in 0..2 {
        let (own, other) = (which + 1, 2 - which);
        net.configure(
            which,
            &format!(
                "location: {{ director: {at} }}\n\
                 director: {{ address: {at}, key_id: {own}, key: {}, keep_alive_ms: 250 }}",
                relay::KEYS[which]
            ),
            &format!("{{ director: {at}, pseudo: 240.0.0.{other} }}"),
        );
        net.start(which);
    }
    net.until("a reaches b", Duration::from_secs(5), |net| net.pings(0));
    relay.silent(true);
    // Five keep-alives without an answer take about eight seconds.
    let asking = |net: &Net| net.status(0).director.unwrap().state == SessionState::Requesting;
    let start = Instant::now();
    while !asking(&net) {
        assert!(net.pings(0), "while keep-alives are repeated");
        assert!(start.elapsed() < Duration::from_secs(15));
    }
    for from in 0..2 {
        net.good(from, &format!("ping -c 10 -i 0.2 -W 1 {}", ADDRESS[1 - from]));
        let session = net.status(from).director.unwrap();
        let pseudo = format!("240.0.0.{}", from + 1).parse().unwrap();
        assert_eq!(session.pseudo, Some(pseudo));
    }
    relay.silent(false);
    net.until("the session is up again", Duration::from_secs(10), |net| {
        net.pings(0) && net.status(0).director.unwrap().state == SessionState::Up
    });
    assert_eq!(net.status(0).peers[0].agreements, 1, "the keys stay");
}

#[test]
fn a_stopped_agent_leaves_nothing_behind() {
    if !privileged() {
        return;
    }
    let mut net = Net::with_agents(1500);
    assert!(net.pings(0));
    net.good(0, "ip link show kith0");
    assert!(net.signal(0, "TERM").success());
    assert!(
        !net.exec(0, "ip link show kith0").status.success(),
        "the adapter is gone"
    );
    assert!(!net.socket(0).exists(), "the status socket is gone");
}

#[test]
fn the_agent_holds_no_capability_once_it_runs() {
    if !privileged() {
        return;
    }
    let net = Net::with_agents(1500);
    let processes = net.good(
        0,
        "cat $(ip netns pids $(ip netns identify) | sed 's|.*|/proc/&/task/*/status|') 2>/dev/null; true",
    );
    let (mut tasks, mut held) = (0, 0);
    let mut agent = false;
    for line in processes.lines() {
        if let Some(name) = line.strip_prefix("Name:\t") {
            agent = name.starts_with("kith");
            tasks += u32::from(agent);
        }
        held += u32::from(agent && line.starts_with("CapEff:") && !line.ends_with("0000000000000000"));
    }
    assert!(tasks >= 4, "{processes}");
    assert_eq!(held, 0, "{processes}");
}
