//! How fast entries come in, and what a million sessions cost.

mod common;

use common::*;
use kith_p4runtime::client::Client;
use kith_p4runtime::entry::*;
use kith_p4runtime::service::Config;
use kith_p4runtime::target::{Atomicity, Store, Target};
use kith_p4runtime::update::Update;
use std::net::Ipv4Addr;
use std::time::Instant;

const BATCH: usize = 1000;
const SESSIONS: usize = 1 << 20;

/// Entries a second, written over gRPC in batches of 1,000.
async fn rate(client: &mut Client, entries: impl Iterator<Item = Entry>) -> f64 {
    let updates: Vec<_> = entries.map(insert).collect();
    let start = Instant::now();
    for batch in updates.chunks(BATCH) {
        client.write(batch, Atomicity::Rollback).await.unwrap();
    }
    updates.len() as f64 / start.elapsed().as_secs_f64()
}

fn pair(number: u32) -> Entry {
    let (source, destination) = (
        Ipv4Addr::from_bits(0x0a00_0000 + number),
        Ipv4Addr::new(10, 255, 0, 1),
    );
    let action = MemberAction::SealTo {
        sa: number % 100,
        address: Ipv4Addr::new(203, 0, 113, 1),
        port: 20_202,
        director: Ipv4Addr::new(203, 0, 113, 1),
        pseudo: Ipv4Addr::new(240, 0, 0, 1),
        mtu: 1400,
    };
    Entry::Member(
        MemberKey {
            community: community(7),
            source,
            destination,
        },
        action,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_entries_a_second() {
    let server = Server::start_with(pipeline_of(SESSIONS).0, Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let sessions = rate(&mut client, (0..100_000).map(|number| session(number, 1))).await;
    let senders = rate(&mut client, (0..100_000).map(|number| sender(number, 1))).await;
    let members = rate(&mut client, (0..60_000).map(pair)).await;
    println!("entries a second: session {sessions:.0}, sender {senders:.0}, member {members:.0}");
    assert!(
        sessions.min(senders).min(members) >= 50_000.0,
        "{sessions} {senders} {members}"
    );
}

/// A session is a `sender` and a `session` entry, and its counters of one worker.
#[test]
fn a_million_sessions_take_256_octets_each_at_most() {
    let before = resident();
    let (pipeline, _counters, direct) = pipeline_of(SESSIONS);
    let store = Store::new(pipeline, &[]).unwrap();
    // Memory that nobody wrote to is not there yet: every session has had a packet.
    (0..SESSIONS).for_each(|index| direct.session.add(index, 1));
    for first in (0..SESSIONS as u32).step_by(BATCH) {
        let numbers = first..(first + BATCH as u32).min(SESSIONS as u32);
        let batch: Vec<Update> = numbers
            .flat_map(|number| [insert(sender(number, 1)), insert(session(number, 1))])
            .collect();
        assert!(
            store
                .write(&batch, Atomicity::Rollback)
                .unwrap()
                .iter()
                .all(Result::is_ok)
        );
    }
    let each = (resident() - before) as f64 / SESSIONS as f64;
    println!("octets a session: {each:.0}");
    assert!(each <= 256.0, "{each}");
    // 24 of the sender, 16 of the session, 16 of a worker's counters, 16 of where they began: less was not measured whole.
    assert!(each >= 72.0, "{each}: the sessions must be somewhere");
}

/// Octets of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
