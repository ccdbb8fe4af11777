//! Entries, counters and meters by their P4 names.

mod common;

use common::*;
use kith_p4_runner::{CryptoBlock, CryptoDrop, Deed, Entry, Rates, Runner, RunnerError, SwxError, Update};
use std::time::Instant;

const SOURCE_LIMITED: u32 = 25;
const ESP_EXHAUSTED: u16 = 46;

#[test]
fn a_session_counts_packets_and_octets_and_begins_anew() {
    let mut runner = director();
    for _ in 0..3 {
        assert_eq!(runner.send(0, &data(false)).expect("it runs").len(), 1);
    }
    let octets = 3 * (data(false).len() as u64 - 14);
    assert_eq!(
        runner.direct_counter(&session_b()).expect("a counter"),
        (3, octets)
    );
    runner.modify(session_b()).expect("it is there");
    assert_eq!(
        runner.direct_counter(&session_b()).expect("a counter"),
        (3, octets)
    );
    runner.delete(session_b()).expect("it is there");
    runner.insert(session_b()).expect("it is gone");
    assert_eq!(runner.direct_counter(&session_b()).expect("a counter"), (0, 0));
}

#[test]
fn a_sender_is_limited_by_the_meter_of_its_entry() {
    let mut runner = director();
    let rates = Rates {
        cir: 1,
        cbs: 1,
        pir: 1,
        pbs: 5,
    };
    runner
        .set_direct_meter(&sender_a(), Some(rates))
        .expect("a meter");
    let frame = data(false);
    let burst: Vec<_> = (0..20).map(|_| (0, frame.as_slice())).collect();
    let left: usize = runner
        .send_all(&burst)
        .expect("it runs")
        .iter()
        .map(Vec::len)
        .sum();
    assert_eq!(left, 5);
    assert_eq!(runner.counter("drops", SOURCE_LIMITED).expect("a counter"), 15);
    runner.set_direct_meter(&sender_a(), None).expect("a meter");
    assert_eq!(runner.send(0, &frame).expect("it runs").len(), 1);
}

#[test]
fn the_longest_route_wins() {
    let mut runner = director();
    let b = u64::from(B.ip().to_bits());
    runner
        .delete(Entry::of("route").prefix("destination", b, 32))
        .expect("it is there");
    let unreachable = Entry::of("route")
        .prefix("destination", b & !0xff, 24)
        .does("on_link", &[("port", 2)]);
    runner.insert(unreachable).expect("an entry");
    let up = runner.send(0, &data(false)).expect("it runs");
    assert!(runner.packet_in(&up[0]).is_some(), "nobody is known at port 2");
    runner
        .insert(Entry::of("route").does("on_link", &[("port", 1)]))
        .expect("the default route");
    let up = runner.send(0, &data(false)).expect("it runs");
    assert!(runner.packet_in(&up[0]).is_some(), "24 bits are more than none");
    runner
        .insert(
            Entry::of("route")
                .prefix("destination", b & !1, 31)
                .does("on_link", &[("port", 1)]),
        )
        .expect("an entry");
    assert_eq!(runner.send(0, &data(false)).expect("it runs")[0].port, 1);
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let mut runner = director();
    let far = Entry::of("egress_port")
        .exact("port", 6)
        .does("leave_by", &[("port", 6), ("station", 0)]);
    assert!(matches!(
        runner.insert(far),
        Err(RunnerError::Range {
            what: "egress port",
            value: 6,
            ..
        })
    ));
    let rule = Entry::of("policy").does("allow", &[]);
    assert!(matches!(
        runner.insert(rule.clone()),
        Err(RunnerError::Range { what: "priority", .. })
    ));
    runner.insert(rule.priority(1)).expect("a rule");
    let exists = runner.insert(sender_a());
    assert!(matches!(exists, Err(RunnerError::Pipeline(SwxError::Exists(_)))));
    let unknown = runner.insert(Entry::of("senders"));
    assert!(matches!(unknown, Err(RunnerError::Unknown { what: "table", .. })));
    let nothing = sender_a().does("NoAction", &[]);
    assert!(matches!(
        runner.modify(nothing),
        Err(RunnerError::Unknown { what: "action", .. })
    ));
    let batch = [Update::Delete(sender_a()), Update::Delete(sender_a())];
    assert!(runner.write(&batch).is_err());
    assert_eq!(
        runner.entries("sender").expect("a table"),
        1,
        "the batch came to nothing"
    );
}

#[test]
fn a_frame_of_the_controller_leaves_by_the_port_it_names() {
    let mut runner = director();
    let out = runner.packet_out(1, &arp()).expect("it runs");
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].port, &out[0].bytes), (1, &arp()));
}

/// Gives back what it gets, or nothing.
struct Block(Option<CryptoDrop>);

impl CryptoBlock for Block {
    fn process(&mut self, sa: u32, packet: &mut Vec<u8>) -> Result<(), CryptoDrop> {
        assert_eq!(
            (sa, packet[14]),
            (77, 1),
            "the association of the entry, and to be sealed"
        );
        self.0.map_or(Ok(()), Err)
    }
}

/// A gateway: a device at port 0 talks to a member, whose tunnel begins at port 1.
fn gateway() -> Runner<'static> {
    let mut runner = empty();
    let member = u64::from(B.ip().to_bits());
    let port_1 = [("port", 1), ("station", station(OURS_TOWARDS_B))];
    let sealed = [
        ("sa", 77),
        ("address", member),
        ("port", B.port().into()),
        ("director", 0x0909_0909),
        ("pseudo", PSEUDO_B.into()),
        ("mtu", 1500),
    ];
    let from = [
        ("address", 0x0a01_0001),
        ("director", 0x0808_0808),
        ("pseudo", PSEUDO_A.into()),
    ];
    let local = |table| Entry::of(table).exact("port", 0);
    let entries = [
        ingress(0, OURS),
        ingress(1, OURS_TOWARDS_B),
        local("local_destination")
            .exact("address", 0xc0a8_0063)
            .does("to_virtual", &[("community", 3), ("address", 0x0a01_0002)]),
        local("local_source")
            .exact("address", A.ip().to_bits().into())
            .exact("community", 3)
            .does("from_member", &from),
        Entry::of("policy")
            .ternary("community", 3, 0xffff)
            .priority(1)
            .does("allow", &[]),
        Entry::of("member")
            .exact("community", 3)
            .exact("source", 0x0a01_0001)
            .exact("destination", 0x0a01_0002)
            .does("seal_to", &sealed),
        Entry::of("route").does("on_link", &[("port", 1)]),
        Entry::of("neighbor")
            .exact("port", 1)
            .exact("address", member)
            .does("resolve", &[("station", station(AT_B))]),
        Entry::of("egress_port")
            .exact("port", 1)
            .does("leave_by", &port_1),
    ];
    let mut updates = vec![Update::Default {
        table: "endpoint".into(),
        deed: Deed::new("act_as_gateway", &[("udp_port", UDP_PORT.into())]),
    }];
    updates.extend(entries.map(Update::Insert));
    runner.write(&updates).expect("one batch");
    runner
}

fn from_device() -> Vec<u8> {
    let to = std::net::SocketAddrV4::new([192, 168, 0, 99].into(), 9);
    frame((OURS, AT_A), A, to, b"hello", true)
}

#[test]
fn a_packet_for_a_member_passes_the_crypto_block_and_leaves_in_a_tunnel() {
    let mut runner = gateway();
    runner.set_crypto(Box::new(Block(None)));
    let out = runner.send(0, &from_device()).expect("it runs");
    let [out] = &out[..] else {
        panic!("{out:?} {:?}", runner.counters("drops"))
    };
    assert_eq!(out.port, 1);
    assert_eq!(out.bytes[..6], AT_B.0);
    assert_eq!(out.bytes[30..34], B.ip().octets(), "to the member's address");
    assert_eq!(
        out.bytes[74..82],
        [10, 1, 0, 1, 10, 1, 0, 2][..],
        "virtual addresses inside, behind 28 octets of outer headers and the shim"
    );
}

#[test]
fn what_the_crypto_block_refuses_is_counted_under_its_reason() {
    let mut runner = gateway();
    runner.set_crypto(Box::new(Block(Some(CryptoDrop(ESP_EXHAUSTED)))));
    assert_eq!(runner.send(0, &from_device()).expect("it runs"), []);
    assert_eq!(
        runner.counter("drops", ESP_EXHAUSTED.into()).expect("a counter"),
        1
    );
}

#[test]
fn two_hundred_thousand_packets_take_seconds() {
    let mut runner = director();
    let frame = data(false);
    let frames = vec![(0, frame.as_slice()); 1000];
    let begun = Instant::now();
    let mut left = 0;
    for _ in 0..200 {
        left += runner
            .send_all(&frames)
            .expect("it runs")
            .iter()
            .map(Vec::len)
            .sum::<usize>();
    }
    println!("in batches: {:?}", begun.elapsed());
    assert_eq!(left, 200_000);
    let begun = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(runner.send(0, &frame).expect("it runs").len(), 1);
    }
    println!("10000 one at a time: {:?}", begun.elapsed());
    assert_eq!(runner.direct_counter(&session_b()).expect("a counter").0, 210_000);
}
