//! `kith-p4-run` says what becomes of each frame.

mod common;

use common::*;
use std::fs;
use std::process::Command;

const ENTRIES: &str = "
defaults:
  - { table: endpoint, action: act_as_director, params: { address: 203.0.113.10, udp_port: 20202 } }
entries:
  - { table: ingress_port, match: { port: 0 }, action: accept_by,
      params: { station: '02:00:00:00:00:10', address: 203.0.113.10 } }
  - { table: sender, match: { source_member: 0xf0000000 }, action: authorise,
      params: { address: 203.0.113.21, port: 40000, community: 1 } }
  - { table: session, match: { destination_member: 0xf0000001 }, action: relay_to,
      params: { address: 203.0.113.22, port: 50000, community: 1, mtu: 1500 } }
  - { table: route, match: { destination: 203.0.113.0/24 }, action: on_link, params: { port: 1 } }
  - { table: neighbor, match: { port: 1, address: 203.0.113.22 }, action: resolve,
      params: { station: '02:00:00:00:00:16' } }
  - { table: egress_port, match: { port: 1 }, action: leave_by, params: { port: 1, station: '02:00:00:00:00:11' } }
";

fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
    ];
    for frame in frames {
        let length = (frame.len() as u32).to_le_bytes();
        file.extend([0; 8]);
        file.extend(length);
        file.extend(length);
        file.extend(frame);
    }
    file
}

#[test]
fn each_frame_has_a_verdict_and_those_that_leave_are_captured() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name);
    fs::write(path("entries.yaml"), ENTRIES).expect("a file");
    let mut foreign = data(false);
    foreign[5] = 0x99;
    fs::write(path("in.pcap"), capture(&[data(false), arp(), foreign])).expect("a file");
    let done = Command::new(env!("CARGO_BIN_EXE_kith-p4-run"))
        .args([
            "--program",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../compiled/kith.spec"),
        ])
        .args(["--entries".as_ref(), path("entries.yaml").as_os_str()])
        .args(["--pcap".as_ref(), path("in.pcap").as_os_str()])
        .args(["--out".as_ref(), path("out.pcap").as_os_str()])
        .output()
        .expect("it runs");
    let said = String::from_utf8(done.stdout).expect("text");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(
        said.contains("#1    port 0, 122 octets: leaves by port 1\n      - 0000  02 00 00 00 00 10"),
        "{said}"
    );
    assert!(
        said.contains("#2    port 0, 60 octets: to the controller, arp"),
        "{said}"
    );
    assert!(
        said.contains("#3    port 0, 122 octets: dropped, ethernet_not_ours"),
        "{said}"
    );
    let out = fs::read(path("out.pcap")).expect("a capture");
    assert_eq!(out.len(), 24 + 16 + 122);
    assert_eq!(out[40..46], AT_B.0);
}
