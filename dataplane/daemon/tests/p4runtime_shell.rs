//! A P4Runtime client that nobody here wrote: p4runtime-shell from PyPI, which `make setup` puts into `target/interop`.
//!
//! What it does stands in `p4runtime_shell.py`; packets are sent from here, between its writing entries and its reading counters.

mod common;

use common::{ALICE, BOB, Lab, data, is_root, pseudo};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// How many packets pass, and how many octets of IPv4 each has as it leaves.
const PACKETS: usize = 5;
const PAYLOAD: usize = 100;
const OCTETS: usize = 20 + 8 + 20 + PAYLOAD;

#[test]
fn p4runtime_shell_lists_inserts_modifies_reads_and_deletes_and_a_lower_election_id_may_not() {
    if !is_root() {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/interop/bin/python");
    assert!(
        python.exists(),
        "p4runtime-shell is not installed; run: make setup (or tests/setup interop)"
    );
    let mut lab = Lab::new(1);
    lab.start();
    let (alice, bob) = (lab.socket(ALICE), lab.socket(BOB));
    let port = |socket: &std::net::UdpSocket| socket.local_addr().unwrap().port().to_string();
    let mut shell = Command::new(python)
        .arg(here.join("tests/p4runtime_shell.py"))
        .arg(format!("unix:{}", lab.p4runtime().display()))
        .arg(common::controller::DEVICE.to_string())
        .args([port(&alice), port(&bob)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut hear = |wanted: &str| {
        let found = said.by_ref().map(Result::unwrap).find(|line| line == wanted);
        assert!(found.is_some(), "p4runtime-shell ended without saying {wanted:?}");
    };
    hear("written");
    let packet = data(pseudo(1), pseudo(2), &[0x45; PAYLOAD]);
    let mut buffer = [0; 2048];
    for _ in 0..PACKETS {
        alice.send_to(&packet, common::DIRECTOR).unwrap();
        let len = bob
            .recv(&mut buffer)
            .expect("what the shell wrote forwards packets");
        assert_eq!(buffer[..len], packet);
    }
    writeln!(shell.stdin.as_ref().unwrap(), "{PACKETS} {OCTETS}").unwrap();
    hear("done");
    assert!(shell.wait().unwrap().success());
    let status = lab.stats().status().unwrap();
    assert_eq!(
        (status.senders, status.sessions),
        (0, 0),
        "what it deleted is gone"
    );
    alice.send_to(&packet, common::DIRECTOR).unwrap();
    let refused = std::time::Instant::now();
    while lab.dropped("source_unknown") == 0 {
        assert!(refused.elapsed().as_secs() < 5, "nothing is forwarded any more");
    }
    lab.assert_conserved();
}
