//! The compiled program runs, and says what it does with a packet.

mod common;

use common::*;
use kith_p4_runner::{Program, ProgramError, Runner, RunnerError};

const NOT_OURS: u32 = 2;
const ARP: u32 = 0;

#[test]
fn a_packet_for_an_empty_table_is_dropped_and_counted() {
    let mut runner = empty();
    let out = runner.send(0, &data(false)).expect("it runs");
    assert_eq!(out, []);
    assert_eq!(runner.counter("drops", NOT_OURS).expect("a counter"), 1);
    assert_eq!(
        runner.counters("drops").expect("a counter").iter().sum::<u64>(),
        1
    );
    let stats = runner.table_stats("ingress_port").expect("a table");
    assert_eq!((stats.hits, stats.misses), (0, 1));
}

#[test]
fn an_arp_request_comes_out_as_packet_in_untouched() {
    let mut runner = director();
    let out = runner.send(1, &arp()).expect("it runs");
    let [out] = &out[..] else { panic!("{out:?}") };
    let up = runner.packet_in(out).expect("it goes to the controller");
    assert_eq!((up.ingress_port, u32::from(up.reason)), (1, ARP));
    assert_eq!(up.frame, arp());
    assert_eq!(runner.counter("punts", ARP).expect("a counter"), 1);
}

#[test]
fn a_program_that_dpdk_does_not_take_is_reported_with_its_line() {
    let read = |name| {
        std::fs::read_to_string(format!("{}/../compiled/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a file")
    };
    let (spec, info) = (read("kith.spec"), read("kith.p4info.txt"));
    let bent = spec.replace(
        "\tregadd relay_session_counter_packets",
        "\tregadd nothing_of_that_name",
    );
    let line = 1 + spec
        .lines()
        .position(|line| line.starts_with("action _relay_to_0"))
        .expect("it is there");
    let program = Program::parse(&bent, &info).expect("its form is right");
    match Runner::new(&program).err().expect("DPDK refuses") {
        RunnerError::Program(ProgramError::Refused { line: found, .. }) => assert_eq!(found, line),
        other => panic!("{other}"),
    }
    let malformed = spec.replace("\tentryid ", "\tentry_id ");
    let line = 1 + spec
        .lines()
        .position(|line| line.contains("entryid"))
        .expect("it is there");
    let refused = Program::parse(&malformed, &info).expect_err("no instruction");
    assert_eq!(
        refused.to_string(),
        format!("program, line {line}: `entry_id` is no instruction")
    );
}
