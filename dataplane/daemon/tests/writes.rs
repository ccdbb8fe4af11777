//! Entries are written by the thousand while packets pass: none is lost, and the pace is what a large director needs.

mod common;

use common::{ALICE, BOB, Lab, data, is_root, pseudo};
use kith_p4runtime::entry::Entry;
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::Update;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Updates in a batch.
const BATCH: u32 = 1_000;
/// How long it is written.
const LONG: Duration = Duration::from_secs(3);
/// Packets under way at a time: fewer than any queue between the two sockets holds.
const WINDOW: u32 = 16;

/// Of another member than those who talk.
fn entry(number: u32, port: u16) -> Entry {
    let bound = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), port);
    match number % 2 {
        0 => common::controller::sender(pseudo(100 + number / 2), bound),
        _ => common::controller::session(pseudo(100 + number / 2), bound),
    }
}

/// Insert all, move all, delete all, and again.
fn batch(round: u32) -> Vec<Update> {
    let first = round / 3 % 3 * BATCH;
    (first..first + BATCH)
        .map(|number| match round % 3 {
            0 => Update::Insert(entry(number, 4000).into()),
            1 => Update::Modify(entry(number, 5000).into()),
            _ => Update::Delete(entry(number, 5000).key()),
        })
        .collect()
}

#[test]
fn entries_are_written_by_the_thousand_and_no_packet_is_lost() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.start();
    let mut controller = lab.controller();
    let alice = lab.join(&mut controller, ALICE, 1);
    let bob = lab.join(&mut controller, BOB, 2);
    let stop = AtomicBool::new(false);
    let batches: Vec<_> = (0..9).map(batch).collect();
    let (passed, written, took) = thread::scope(|scope| {
        let passing = scope.spawn(|| {
            let mut buffer = [0; 2048];
            let mut number = 0u32;
            while !stop.load(Ordering::Relaxed) {
                for ahead in number..number + WINDOW {
                    alice.send(bob.pseudo, &[&ahead.to_be_bytes()[..], &[0x45; 200]].concat());
                }
                for expected in number..number + WINDOW {
                    let len = bob.socket.recv(&mut buffer).expect("no packet is lost");
                    let sent = [&expected.to_be_bytes()[..], &[0x45; 200]].concat();
                    assert_eq!(buffer[..len], data(alice.pseudo, bob.pseudo, &sent));
                }
                number += WINDOW;
            }
            number
        });
        let began = Instant::now();
        let mut written = 0;
        while began.elapsed() < LONG {
            for batch in &batches {
                controller.write(batch, Atomicity::Continue).unwrap();
                written += BATCH;
            }
        }
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        (passing.join().unwrap(), written, took)
    });
    let pace = f64::from(written) / took.as_secs_f64();
    println!(
        "{pace:.0} entries a second in batches of {BATCH}, while {passed} packets passed and none was lost"
    );
    // The figure itself is kith-bench's; this is a build with checks, on a machine that does other things as well.
    assert!(pace > 5_000.0, "{pace}");
    assert!(passed > 1_000, "{passed}");
    assert_eq!(
        controller.sessions().len(),
        1 + 1,
        "what was inserted was deleted again"
    );
    lab.assert_conserved();
}
