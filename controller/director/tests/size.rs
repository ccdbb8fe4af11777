//! How large and how fast a director with a million sessions is. Alone in its process: it reads the process's memory.

mod common;

use common::*;
use kith_director::journal::{Binding, Read};
use kith_director::server::{Director, PoolRange};
use kith_wire::control::KeyId;
use kith_wire::shim::DataType::KeepAlive;
use std::time::Instant;

const SESSIONS: u64 = 1_000_000;

/// Octets of memory this process really has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn place(id: u64) -> core::net::SocketAddrV4 {
    nat(id as u32, 4000)
}

#[test]
fn a_million_sessions() {
    let before = resident();
    let mut config = config(1);
    config.pool = PoolRange::of_prefix([240, 0, 0, 0].into(), 12).unwrap();
    let mut director = Director::new(config, [9; 32]).unwrap();
    println!(
        "empty, with a pool of a /12: {} KiB",
        (resident() - before) / 1024
    );
    for id in 1..=SESSIONS {
        director.add_grant(at(0), grant(id)).unwrap();
        let binding = Binding {
            pseudo: pseudo(id as u32),
            key_id: KeyId(id),
            bound: place(id),
            community: 1,
            counter: 1,
            sender_only: false,
        };
        let one = Read {
            bindings: vec![binding],
            ..Read::default()
        };
        assert_eq!(director.restore(at(0), &one).sessions, 1);
        while director.poll().is_some() {}
    }
    let each = (resident() - before) / SESSIONS;
    let occupancy = director.occupancy();
    println!(
        "resident: {each} octets a session; in tables: {}",
        occupancy.memory as u64 / SESSIONS
    );
    assert_eq!(occupancy.sessions as u64, SESSIONS);
    assert!(each < 256, "{each} octets a session");

    let mut keep_alives: Vec<_> = (0..100_000u64)
        .map(|number| {
            let id = number.wrapping_mul(0x9e37_79b9) % SESSIONS + 1;
            let mut keep_alive = message(KeepAlive, id, 2 + number);
            keep_alive.pseudo = pseudo(id as u32).to_bits();
            (place(id), sealed(&keep_alive))
        })
        .collect();
    let start = Instant::now();
    let mut answered = 0;
    for (from, octets) in &mut keep_alives {
        answered += u32::from(director.datagram(at(1), *from, octets).is_answered());
    }
    println!(
        "{answered} keep-alives, random members: {:?} each",
        start.elapsed() / answered
    );
    assert_eq!(answered, 100_000);

    let start = Instant::now();
    let mut ended = 0;
    while director.deadline().is_some_and(|deadline| deadline <= at(60_001)) {
        director.tick(at(60_001));
        while let Some(output) = director.poll() {
            ended += u32::from(matches!(output, kith_director::server::Output::Table(_)));
        }
    }
    println!("{ended} expiries: {:?} each", start.elapsed() / ended);
    assert_eq!((u64::from(ended), director.occupancy().sessions), (SESSIONS, 0));
}
