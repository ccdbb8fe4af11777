//! The software pipeline: a small program, and what the wrapper makes of SWX's traps.

mod common;

use kith_dpdk::swx::{
    Action, Builder, Change, Exit, Field, Key, Match, MatchField, MatchKind, Pipeline, Ports, Rates,
    SwxError, TableConfig,
};

fn field(name: &str, bits: u32) -> Field {
    let name = name.into();
    Field { name, bits }
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|&line| line.to_owned()).collect()
}

fn table(name: &str, key: &[(&str, MatchKind)], size: u32) -> TableConfig {
    let actions = ["go", "lose"];
    TableConfig {
        name: name.into(),
        key: key
            .iter()
            .map(|&(name, kind)| MatchField {
                name: name.into(),
                kind,
            })
            .collect(),
        actions: actions
            .iter()
            .map(|&name| (name.to_owned(), true, true))
            .collect(),
        default_action: "lose".into(),
        default_arguments: None,
        default_is_const: false,
        hash: None,
        kind: None,
        arguments: None,
        size,
    }
}

/// A packet begins with a number of four octets and one of two. `wild` looks both up, then, unless it lost, `exact` the first.
/// What an entry says is the port. Entries of `exact` are counted and metered.
fn pipeline() -> Pipeline {
    let ports = Ports {
        inputs: 2,
        outputs: 4,
        packets: 16,
        largest: 100,
    };
    let mut builder = Builder::new(common::eal(), ports).expect("a builder");
    let mut build = || -> Result<(), SwxError> {
        builder.struct_type("head_t", &[field("number", 32), field("kind", 16)])?;
        builder.struct_type(
            "meta_t",
            &[
                field("in", 32),
                field("port", 32),
                field("id", 32),
                field("color", 32),
            ],
        )?;
        builder.struct_type("go_t", &[field("port", 32), field("kind", 16)])?;
        builder.header("head", "head_t")?;
        builder.metadata("meta_t")?;
        builder.registers("count", 9, 0)?;
        builder.meters("rate", 9)?;
        let go = [
            "mov m.port t.port",
            "mov h.head.kind t.kind",
            "entryid m.id",
            "regadd count m.id 1",
            "meter rate m.id 1 0 m.color",
            "jmpneq DONE m.color 2",
            "tx 3",
            "DONE : return",
        ];
        builder.action("go", Some("go_t"), &lines(&go))?;
        builder.action("lose", None, &lines(&["mov m.port 99", "return"]))?;
        let wild = [
            ("h.head.number", MatchKind::Wildcard),
            ("h.head.kind", MatchKind::Wildcard),
        ];
        builder.table(&table("wild", &wild, 8))?;
        builder.table(&table("prefix", &[("h.head.number", MatchKind::Prefix)], 8))?;
        builder.table(&table("exact", &[("h.head.number", MatchKind::Exact)], 8))?;
        let apply = [
            "rx m.in",
            "extract h.head",
            "jmpeq EXACT m.in 1",
            "jmpeq PREFIX h.head.kind 0x7070",
            "table wild",
            "jmp OUT",
            "PREFIX : table prefix",
            "jmp OUT",
            "EXACT : table exact",
            "OUT : jmpneq SEND m.port 77",
            "drop",
            "SEND : emit h.head",
            "tx m.port",
        ];
        builder.instructions(&lines(&apply))
    };
    build().expect("a program");
    builder.build().expect("a pipeline")
}

fn send(pipeline: &mut Pipeline, port: u32, packet: &[u8]) -> (Exit, Vec<u8>) {
    pipeline.submit(port, 7, &[packet]).expect("a slot");
    pipeline.run().expect("it leaves");
    let mut left = Vec::new();
    pipeline.take(|exit, tag, octets| left.push((exit, tag, octets.to_vec())));
    let [(exit, 7, octets)] = &left[..] else {
        panic!("{left:?}")
    };
    (*exit, octets.clone())
}

fn go(port: u64, kind: u64) -> Action {
    let name = "go".into();
    let arguments = vec![("kind".into(), kind), ("port".into(), port)];
    Action { name, arguments }
}

fn exact(number: u64) -> Key {
    let (table, fields) = (
        "exact".into(),
        vec![("h.head.number".into(), Match::Exact(number))],
    );
    Key {
        table,
        fields,
        rank: 0,
    }
}

fn wild(number: Match, kind: Match, rank: u32) -> Key {
    let fields = vec![("h.head.number".into(), number), ("h.head.kind".into(), kind)];
    let table = "wild".into();
    Key { table, fields, rank }
}

fn prefix(value: u64, length: u32) -> Key {
    let fields = vec![("h.head.number".into(), Match::Prefix { value, length })];
    let table = "prefix".into();
    Key {
        table,
        fields,
        rank: 0,
    }
}

#[test]
fn keys_and_arguments_are_numbers_whatever_order_their_octets_have() {
    let mut pipeline = pipeline();
    pipeline
        .apply(&[Change::Insert(exact(0x0102_0304), go(2, 0xabcd))])
        .expect("an entry");
    let (exit, octets) = send(&mut pipeline, 1, &[1, 2, 3, 4, 0, 0, 9]);
    assert_eq!(exit, Exit::Port(2));
    assert_eq!(octets, [1, 2, 3, 4, 0xab, 0xcd, 9]);
    let (exit, _) = send(&mut pipeline, 1, &[4, 3, 2, 1, 0, 0, 9]);
    assert_eq!(exit, Exit::OutOfRange, "nothing matches, and port 99 is none");
    let stats = pipeline.table_stats("exact").expect("a table");
    assert_eq!((stats.hits, stats.misses), (1, 1));
}

#[test]
fn a_packet_that_ends_in_its_header_is_extended_by_zeroes_and_cut_again() {
    let mut pipeline = pipeline();
    send(&mut pipeline, 1, &[0xff; 60]);
    pipeline
        .apply(&[Change::Insert(exact(0x0102_0000), go(2, 0x0506))])
        .expect("an entry");
    let (exit, octets) = send(&mut pipeline, 1, &[1, 2]);
    assert_eq!((exit, octets), (Exit::Port(2), vec![1, 2]));
}

#[test]
fn a_dropped_packet_leaves_as_such_and_its_slot_is_free_again() {
    let mut pipeline = pipeline();
    pipeline
        .apply(&[Change::Insert(exact(1), go(77, 0))])
        .expect("an entry");
    for _ in 0..100 {
        assert_eq!(send(&mut pipeline, 1, &[0, 0, 0, 1, 0, 0]).0, Exit::Dropped);
    }
}

#[test]
fn slots_are_as_many_as_asked_for_and_frames_no_larger() {
    let mut pipeline = pipeline();
    for _ in 0..16 {
        pipeline.submit(0, 0, &[&[0; 40], &[0; 60]]).expect("a slot");
    }
    assert!(matches!(
        pipeline.submit(0, 0, &[&[0; 6]]),
        Err(SwxError::Busy(16))
    ));
    pipeline.run().expect("they leave");
    let mut count = 0;
    pipeline.take(|_, _, octets| count += octets.len());
    assert_eq!(count, 1600);
    let refused = pipeline.submit(0, 0, &[&[0; 101]]);
    assert!(matches!(
        refused,
        Err(SwxError::TooLong {
            length: 101,
            largest: 100
        })
    ));
}

#[test]
fn the_lowest_rank_wins_and_the_next_one_when_it_is_gone() {
    let mut pipeline = pipeline();
    let all = || wild(Match::Any, Match::Any, 9);
    let masked = |rank| {
        wild(
            Match::Masked {
                value: 0x0a00_0000,
                mask: 0xff00_0000,
            },
            Match::Any,
            rank,
        )
    };
    let entries = [
        Change::Insert(all(), go(0, 0)),
        Change::Insert(masked(5), go(1, 0)),
        Change::Insert(masked(3), go(2, 0)),
    ];
    pipeline.apply(&entries).expect("entries");
    assert_eq!(pipeline.entries("wild").expect("a table"), 3);
    let packet = [10, 1, 1, 1, 0, 0];
    assert_eq!(send(&mut pipeline, 0, &packet).0, Exit::Port(2));
    pipeline.apply(&[Change::Delete(masked(3))]).expect("it is there");
    assert_eq!(send(&mut pipeline, 0, &packet).0, Exit::Port(1));
    pipeline.apply(&[Change::Delete(masked(5))]).expect("it is there");
    assert_eq!(send(&mut pipeline, 0, &packet).0, Exit::Port(0));
    pipeline.apply(&[Change::Delete(all())]).expect("it is there");
    assert_eq!(send(&mut pipeline, 0, &packet).0, Exit::OutOfRange);
}

#[test]
fn the_longest_prefix_wins_the_empty_one_included() {
    let mut pipeline = pipeline();
    let entries = [
        Change::Insert(prefix(0, 0), go(0, 0)),
        Change::Insert(prefix(0x0a00_0000, 8), go(1, 0)),
        Change::Insert(prefix(0x0a01_0200, 24), go(2, 0)),
    ];
    pipeline.apply(&entries).expect("entries");
    let mut to = |number: [u8; 4]| {
        let [a, b, c, d] = number;
        send(&mut pipeline, 0, &[a, b, c, d, 0x70, 0x70]).0
    };
    assert_eq!(to([10, 1, 2, 3]), Exit::Port(2));
    assert_eq!(to([10, 1, 3, 3]), Exit::Port(1));
    assert_eq!(to([11, 1, 2, 3]), Exit::Port(0));
}

#[test]
fn a_batch_is_made_wholly_or_not_at_all() {
    let mut pipeline = pipeline();
    let insert = |number| Change::Insert(exact(number), go(1, 0));
    pipeline.apply(&[insert(1)]).expect("an entry");
    let batch = [
        insert(2),
        Change::Delete(exact(1)),
        Change::Insert(prefix(0, 0), go(1, 0)),
        insert(2),
    ];
    assert!(matches!(pipeline.apply(&batch), Err(SwxError::Exists(table)) if table == "exact"));
    assert_eq!(send(&mut pipeline, 1, &[0, 0, 0, 2, 0, 0]).0, Exit::OutOfRange);
    assert_eq!(send(&mut pipeline, 1, &[0, 0, 0, 1, 0, 0]).0, Exit::Port(1));
    assert_eq!(
        send(&mut pipeline, 0, &[0, 0, 0, 1, 0x70, 0x70]).0,
        Exit::OutOfRange
    );
    assert_eq!(pipeline.entries("exact").expect("a table"), 1);
}

#[test]
fn a_full_table_and_wrong_numbers_are_refused_by_name() {
    let mut pipeline = pipeline();
    for number in 0..8 {
        pipeline
            .apply(&[Change::Insert(exact(number), go(1, 0))])
            .expect("room");
    }
    let mut refused = |change| pipeline.apply(&[change]).expect_err("refused");
    assert!(matches!(
        refused(Change::Insert(exact(8), go(1, 0))),
        SwxError::Full { size: 8, .. }
    ));
    assert!(matches!(refused(Change::Delete(exact(8))), SwxError::Absent(_)));
    assert!(matches!(
        refused(Change::Modify(exact(1 << 32), go(1, 0))),
        SwxError::Range { bits: 32, .. }
    ));
    assert!(matches!(
        refused(Change::Modify(exact(1), go(1, 0x10000))),
        SwxError::Range { bits: 16, .. }
    ));
    let masked = wild(Match::Prefix { value: 0, length: 8 }, Match::Any, 0);
    assert!(matches!(
        refused(Change::Insert(masked, go(1, 0))),
        SwxError::MatchKind { .. }
    ));
}

#[test]
fn an_entry_has_its_own_register_and_meter() {
    let mut pipeline = pipeline();
    let entries = [
        Change::Insert(exact(1), go(1, 0)),
        Change::Insert(exact(2), go(2, 0)),
    ];
    pipeline.apply(&entries).expect("entries");
    for _ in 0..3 {
        send(&mut pipeline, 1, &[0, 0, 0, 1, 0, 0]);
    }
    assert_eq!(pipeline.register_of("count", &exact(1)).expect("a register"), 3);
    assert_eq!(pipeline.register_of("count", &exact(2)).expect("a register"), 0);
    pipeline
        .apply(&[Change::Modify(exact(1), go(2, 0))])
        .expect("it is there");
    assert_eq!(pipeline.register_of("count", &exact(1)).expect("a register"), 3);
    // Bursts of two, and then one a second: red packets leave by port 3.
    let rates = Rates {
        cir: 1,
        cbs: 1,
        pir: 1,
        pbs: 2,
    };
    pipeline
        .set_meter_of("rate", &exact(2), Some(rates))
        .expect("a meter");
    let mut exits = |number| -> Vec<Exit> {
        (0..4)
            .map(|_| send(&mut pipeline, 1, &[0, 0, 0, number, 0, 0]).0)
            .collect()
    };
    let (good, red) = (Exit::Port(2), Exit::Port(3));
    assert_eq!(exits(2), [good, good, red, red]);
    assert_eq!(exits(1), [good; 4]);
    assert!(matches!(
        pipeline.register_of("count", &exact(3)),
        Err(SwxError::Absent(_))
    ));
}

#[test]
fn a_struct_that_instructions_cannot_reach_is_refused() {
    let ports = Ports {
        inputs: 1,
        outputs: 1,
        packets: 1,
        largest: 64,
    };
    let mut builder = Builder::new(common::eal(), ports).expect("a builder");
    let fields: Vec<_> = (0..32).map(|number| field(&format!("f{number}"), 64)).collect();
    builder.struct_type("m_t", &fields).expect("256 octets");
    assert!(
        matches!(builder.metadata("m_t"), Err(SwxError::Config { .. })),
        "with its pad it is larger"
    );
}
