//! What controllers write is what packets meet, and what they read is what was counted.

use super::*;
use crate::slow::punt_rates;
use kith_p4runtime::entry::{
    Authorise, EndpointAction, EndpointKey, Key, MemberAction, MemberKey, PolicyAction, PolicyKey, RelayTo,
    SenderKey, SessionKey, Ternary,
};
use kith_p4runtime::packet::PacketOutMode;
use kith_p4runtime::query::{Answer, Query, Which};
use kith_p4runtime::target::{Atomicity, PacketOutError, Target};
use kith_p4runtime::update::{Count, CounterArray, Extras, MeterConfig, Row, Update};
use kith_pipeline::meter::Rate;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::member::Pair;
use kith_pipeline::table::policy::{Decision, Flow};
use kith_pipeline::units::CommunityIndex;
use std::ops::ControlFlow;
use tonic::Code;

const FIRST: u32 = 0xf000_0001;

fn control() -> (Control, Receiver<PacketOut>, Arc<Shared>) {
    let shared = Shared::new(4);
    let link = |last: u8, gateway| Link {
        station: MacAddr([2, 0, 0, 0, 0, last]),
        network: format!("203.0.{last}.10/24").parse().unwrap(),
        gateway,
        mtu: 1500,
    };
    let settings = Settings {
        links: vec![link(1, None), link(2, Some(Ipv4Addr::new(203, 0, 2, 1)))],
        sessions: (PseudoIp::new(FIRST).unwrap(), 4),
        associations: 0,
        punt_rates: punt_rates(),
        workers: vec![shared.clone()],
        slow: Shared::slow(),
    };
    let (control, frames) = Control::new(settings).unwrap();
    (control, frames, shared)
}

fn community() -> CommunityIndex {
    CommunityIndex::new(7).unwrap()
}

fn pseudo(index: u32) -> PseudoIp {
    PseudoIp::new(FIRST + index).unwrap()
}

fn session(index: u32, mtu: u16) -> Entry {
    let key = SessionKey {
        destination_member: pseudo(index),
    };
    let to = RelayTo {
        address: Ipv4Addr::new(198, 51, 100, 1),
        port: 4000,
        community: community(),
        mtu,
    };
    (key, to).into()
}

fn sender(index: u32) -> Entry {
    let key = SenderKey {
        source_member: pseudo(index),
    };
    let from = Authorise {
        address: Ipv4Addr::new(198, 51, 100, 1),
        port: 4000,
        community: community(),
    };
    (key, from).into()
}

fn write(control: &Control, updates: &[Update]) -> Vec<Result<(), Code>> {
    let outcomes = control.store().write(updates, Atomicity::Continue).unwrap();
    outcomes
        .into_iter()
        .map(|outcome| outcome.map_err(|error| error.code()))
        .collect()
}

fn insert(entry: Entry) -> Update {
    Update::Insert(entry.into())
}

fn read(control: &Control, query: Query) -> Vec<Answer> {
    let mut all = Vec::new();
    let outcomes = control.store().read(&[query], &mut |piece| {
        all.extend(piece);
        ControlFlow::Continue(())
    });
    assert!(outcomes.iter().all(Result::is_ok));
    all
}

fn count(control: &Control, key: Key) -> Count {
    match &read(control, Query::DirectCounters(Which::Key(key)))[..] {
        [Answer::DirectCounter(there, count)] if *there == key => *count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_begins_with_its_links_and_is_nothing() {
    let (control, ..) = control();
    let tables = control.tables();
    assert_eq!(tables.endpoint, Role::Nothing);
    assert_eq!((tables.ingress_port.len(), tables.egress_port.len()), (2, 2));
    let next = |address: [u8; 4]| {
        tables
            .route
            .next(address.into())
            .map(|next| (next.port.0, next.hop))
    };
    assert_eq!(next([203, 0, 1, 77]), Some((0, [203, 0, 1, 77].into())));
    assert_eq!(
        next([8, 8, 8, 8]),
        Some((1, [203, 0, 2, 1].into())),
        "the first gateway"
    );
    assert_eq!(
        (tables.sender.iter().count(), tables.session.iter().count()),
        (0, 0)
    );
    assert_eq!(tables.punt_rates, punt_rates());
}

#[test]
fn what_is_written_is_seen_at_once_and_what_cannot_be_changes_nothing() {
    let (control, ..) = control();
    let director = EndpointAction::Director {
        address: Ipv4Addr::new(203, 0, 1, 10),
        udp_port: 20202,
    };
    let before = control.generation();
    let outcomes = write(
        &control,
        &[
            Update::Modify(Entry::from((EndpointKey {}, director)).into()),
            insert(session(0, 1400)),
            insert(sender(0)),
            insert(session(4, 1400)),
            insert(session(0, 1400)),
            Update::Delete(session(1, 1400).key()),
            Update::Modify(session(0, 1300).into()),
        ],
    );
    let (outside, exists, missing) = (
        Err(Code::OutOfRange),
        Err(Code::AlreadyExists),
        Err(Code::NotFound),
    );
    assert_eq!(
        outcomes,
        [Ok(()), Ok(()), Ok(()), outside, exists, missing, Ok(())]
    );
    assert_eq!(control.generation(), before + 1, "one generation a batch");
    let tables = control.tables();
    assert!(matches!(tables.endpoint, Role::Director { udp_port: 20202, .. }));
    assert_eq!(tables.session.get(pseudo(0)).unwrap().mtu, 1300);
    assert!(tables.sender.get(pseudo(0)).unwrap().is_at(0xc633_6401, 4000));
    let ports = EgressPortKey { port: PortIndex(2) };
    let leave = LeaveBy {
        port: PortIndex(2),
        station: MacAddr([2, 0, 0, 0, 0, 3]),
    };
    assert_eq!(write(&control, &[insert((ports, leave).into())]), [outside]);
}

#[test]
fn counters_begin_at_zero_with_the_entry_and_stand_where_a_controller_sets_them() {
    let (control, _, shared) = control();
    let key = session(1, 1400).key();
    shared.direct.session.add(1, 100);
    write(&control, &[insert(session(1, 1400))]);
    assert_eq!(
        count(&control, key),
        Count::default(),
        "its predecessor's packets are not its own"
    );
    shared.direct.session.add(1, 60);
    assert_eq!(
        count(&control, key),
        Count {
            packets: 1,
            bytes: 60
        }
    );
    let set = Count {
        packets: 10,
        bytes: 1000,
    };
    write(&control, &[Update::DirectCounter(key, Some(set))]);
    shared.direct.session.add(1, 60);
    assert_eq!(
        count(&control, key),
        Count {
            packets: 11,
            bytes: 1060
        }
    );
    shared.counters.dropped(DropReason::TtlExpired).add(3);
    let cell = Query::Counters(Some(CounterArray::Drops), Some(DropReason::TtlExpired as usize));
    assert!(matches!(read(&control, cell)[..], [Answer::Counter(_, _, count)] if count.packets == 3));
}

#[test]
fn an_entry_with_a_counter_keeps_its_number_when_others_come_and_go() {
    let (control, _, shared) = control();
    let member = |last: u8| -> Entry {
        let key = MemberKey {
            community: community(),
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: Ipv4Addr::new(10, 0, 0, last),
        };
        (key, MemberAction::AwaitKeys).into()
    };
    write(&control, &[insert(member(2)), insert(member(3))]);
    let number = |last: u8| {
        let pair = Pair {
            community: community(),
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: Ipv4Addr::new(10, 0, 0, last),
        };
        control.tables().member.get(pair).unwrap().1
    };
    let before = number(3);
    shared.direct.member.add(before as usize, 77);
    write(&control, &[Update::Delete(member(2).key()), insert(member(4))]);
    assert_eq!(number(3), before);
    assert_eq!(count(&control, member(3).key()).bytes, 77);
}

#[test]
fn meters_limit_by_their_peak_rate_and_are_read_as_they_were_written() {
    let (control, ..) = control();
    let meter = MeterConfig {
        cir: 10,
        cburst: 20,
        pir: 30,
        pburst: 40,
    };
    let limited = Row {
        entry: sender(2),
        extras: Extras {
            meter: Some(meter),
            ..Extras::default()
        },
    };
    write(&control, &[Update::Insert(limited)]);
    let rate = Rate {
        per_second: 30,
        burst: 40,
    };
    assert_eq!(control.tables().sender.rate(pseudo(2)), Some(rate));
    let meters = read(&control, Query::DirectMeters(Which::All));
    assert!(
        matches!(&meters[..], [Answer::DirectMeter(_, Some(read))] if *read == meter),
        "{meters:?}"
    );
    write(&control, &[Update::DirectMeter(sender(2).key(), None)]);
    assert_eq!(control.tables().sender.rate(pseudo(2)), None);

    let ping = PuntReason::Ping as usize;
    write(&control, &[Update::Meter(Some(ping), Some(meter))]);
    assert_eq!(control.tables().punt_rates[ping], rate);
    assert!(
        matches!(read(&control, Query::Meters(Some(ping)))[..], [Answer::Meter(_, Some(read))] if read == meter)
    );
    control.store().reset().unwrap();
    assert_eq!(
        control.tables().punt_rates,
        punt_rates(),
        "the dataplane's own limits again"
    );
}

#[test]
fn of_two_rules_the_one_with_the_higher_priority_counts() {
    let (control, ..) = control();
    let rule = |priority, port: Option<u16>, action| -> Entry {
        let key = PolicyKey {
            priority,
            community: Ternary::exact(7),
            source: Ternary::any(),
            destination: Ternary::any(),
            protocol: Ternary::exact(6),
            source_port: Ternary::any(),
            destination_port: port.map_or(Ternary::any(), Ternary::exact),
        };
        (key, action).into()
    };
    let rules = [
        rule(1, None, PolicyAction::Allow),
        rule(2, Some(22), PolicyAction::Deny),
    ];
    write(&control, &rules.map(insert));
    let decide = |destination_port| {
        control.tables().policy.decide(Flow {
            community: 7,
            protocol: 6,
            destination_port,
            ..Flow::default()
        })
    };
    assert_eq!((decide(22), decide(80)), (Decision::Deny, Decision::Allow));
    assert_eq!(control.tables().policy.decide(Flow::default()), Decision::Deny);
}

#[test]
fn a_frame_goes_out_by_a_port_that_exists_and_if_the_port_can_take_it() {
    let (control, frames, _) = control();
    let frame = |port, len| PacketOut {
        egress_port: PortIndex(port),
        mode: PacketOutMode::Send,
        frame: vec![0; len],
    };
    let send = |frame| control.store().packet_out(frame);
    assert_eq!(send(frame(2, 60)), Err(PacketOutError::Port(2)));
    for len in [0, 13, 1515] {
        assert_eq!(send(frame(1, len)), Err(PacketOutError::Length(len)));
    }
    for len in [14, 1514] {
        send(frame(1, len)).unwrap();
        assert_eq!(frames.recv().unwrap(), frame(1, len));
    }
    for _ in 0..OUT {
        send(frame(0, 60)).unwrap();
    }
    assert_eq!(
        send(frame(0, 60)),
        Err(PacketOutError::Full),
        "the slow path is behind"
    );
}

#[test]
fn a_reset_leaves_the_links_and_what_was_learnt() {
    let (control, ..) = control();
    write(&control, &[insert(session(0, 1400)), insert(sender(0))]);
    let neighbor = OnLink {
        port: PortIndex(0),
        address: Ipv4Addr::new(203, 0, 1, 1),
    };
    let station = MacAddr([2, 0, 0, 0, 0, 77]);
    assert!(control.learn(neighbor, station));
    control.store().reset().unwrap();
    let tables = control.tables();
    assert_eq!(
        (tables.sender.iter().count(), tables.session.iter().count()),
        (0, 0)
    );
    assert_eq!(
        (tables.route.len(), tables.neighbor.get(neighbor)),
        (3, Some(&station))
    );
    control.forget(neighbor);
    assert_eq!(control.tables().neighbor.get(neighbor), None);
}
