//! A core and a dataplane in memory: what comes up, what goes down, and in which order.

mod path;

use super::*;
use crate::southbound::fake::Fake;
use crate::southbound::{Change, Southbound};
use kith_director::DirectorKey;
use kith_director::journal::{Binding, Read};
use kith_director::server::{DirectorConfig, Grant, PoolRange};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::HostPacket;
use kith_pipeline::packet::Packet;
use kith_wire::control::{Control, FLAG_SENDER_ONLY, KeyId, LEN, Status};
use kith_wire::ethernet::{Ethernet, MacAddr};
use kith_wire::ipv4::Ipv4;
use kith_wire::ping::Ping;
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::udp::Udp;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U32;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);
const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ALICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
const BOB: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 22);
pub(super) const FIRST: u32 = 0xf000_0001;
const CONTROL: u16 = PuntReason::Control as u16;

fn at(millis: u64) -> Time {
    Time::from_millis(1_000 + millis)
}

fn key() -> DirectorKey {
    DirectorKey::new([7; 32])
}

fn member(index: u32, address: Ipv4Addr) -> Binding {
    Binding {
        pseudo: PseudoIp::new(FIRST + index).unwrap(),
        key_id: KeyId(index.into()),
        bound: SocketAddrV4::new(address, 4000),
        community: 1,
        counter: 1,
        sender_only: false,
    }
}

/// A director of `grants` members in a pool of so many addresses.
pub(super) fn director(grants: u32, count: u32) -> Director {
    let first = PseudoIp::new(FIRST).unwrap();
    let mut config = DirectorConfig::new(DIRECTOR, PoolRange { first, count });
    config.limits.source = kith_director::Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    let mut director = Director::new(config, [1; 32]).unwrap();
    for index in 0..grants {
        let grant = Grant {
            key_id: KeyId(index.into()),
            key: key(),
            community: 1,
            reserved: None,
            name: format!("member{index}"),
        };
        director.add_grant(Time::ZERO, grant).unwrap();
    }
    director
}

pub(super) fn settings() -> Settings {
    Settings {
        sender_rate: None,
        punt_rates: vec![(
            PuntReason::Control,
            Rate {
                per_second: 50_000,
                burst: 512,
            },
        )],
    }
}

pub(super) fn fake(count: u32) -> Fake {
    Fake::new(PseudoIp::new(FIRST).unwrap(), count, 1)
}

/// A core whose director had sessions of alice (0) and bob (1), at a dataplane that knows of nothing.
fn restored() -> (Core, Fake) {
    let mut director = director(8, 8);
    let bindings = vec![member(0, ALICE), member(1, BOB)];
    let read = Read {
        bindings,
        ..Read::default()
    };
    assert_eq!(director.restore(at(0), &read).sessions, 2);
    (Core::new(director, settings()), fake(8))
}

/// Both, connected and compared.
fn serving() -> (Core, Fake) {
    let (mut core, mut fake) = restored();
    fake.connect();
    settle(&mut core, &mut fake, 0);
    assert_eq!(core.standing(), &Standing::Serving);
    fake.asked = (0, 0, 0);
    (core, fake)
}

/// Passes events and requests until nobody has anything to say; gives the tasks in their order.
pub(super) fn settle(core: &mut Core, fake: &mut Fake, millis: u64) -> Vec<Task> {
    let mut tasks = Vec::new();
    loop {
        let event = fake.ready();
        let idle = event.is_none();
        if let Some(event) = event {
            core.event(at(millis), event);
        }
        let mut did = 0;
        while let Some(task) = core.poll(at(millis)) {
            did += 1;
            if let Task::Request(request) = &task
                && let Err(request) = fake.submit(request.clone())
            {
                core.not_submitted(&request);
            }
            tasks.push(task);
        }
        if idle && did == 0 {
            return tasks;
        }
    }
}

/// A datagram from `from` to the director.
fn datagram(from: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = HostPacket::from_bytes(data);
    let outer = Outer {
        source: (THEIRS, from),
        destination: (OURS, SocketAddrV4::new(DIRECTOR, 20202)),
        checksum: true,
    };
    outer.push(&mut packet).unwrap();
    packet.bytes().to_vec()
}

fn request(key_id: u32, counter: u64, cookie: [u8; 16]) -> Control {
    Control {
        data_type: DataType::AddressRequest,
        flags: 0,
        director: DIRECTOR.to_bits(),
        pseudo: 0,
        status: Status::Ok,
        key_id: KeyId(key_id.into()),
        counter,
        cookie,
        lifetime_ms: 0,
        keep_alive_ms: 0,
        observed: (0, 0),
    }
}

fn data(from: SocketAddrV4, len: usize) -> Vec<u8> {
    let mut shim = Shim::new(DataType::Virtual);
    shim.destination_director = U32::new(DIRECTOR.to_bits());
    shim.source_member = U32::new(FIRST);
    shim.destination_member = U32::new(FIRST + 1);
    datagram(from, &[shim.as_bytes(), &vec![0x45; len]].concat())
}

fn give(core: &mut Core, fake: &mut Fake, millis: u64, reason: PuntReason, frame: &[u8]) -> Vec<Vec<u8>> {
    fake.punt(reason as u16, frame.to_vec());
    settle(core, fake, millis);
    sent(fake)
}

fn sent(fake: &mut Fake) -> Vec<Vec<u8>> {
    fake.sent.drain(..).map(|(_, frame)| frame).collect()
}

fn udp_data(frame: &[u8]) -> (SocketAddrV4, Vec<u8>) {
    let (ethernet, rest) = Ethernet::parse(frame).unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OURS, THEIRS));
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    let (udp, data) = Udp::parse(payload).unwrap();
    udp.verify(ip, data).unwrap();
    let to = SocketAddrV4::new(ip.destination(), udp.destination.get());
    (to, data.to_vec())
}

fn control(frame: &[u8]) -> Control {
    let (_, data) = udp_data(frame);
    key().open(Control::parse(&data).unwrap()).unwrap()
}

/// The challenge's cookie for a member without session at this address.
fn cookie(core: &mut Core, fake: &mut Fake, millis: u64, from: SocketAddrV4, key_id: u32) -> [u8; 16] {
    let frame = datagram(from, &key().seal(&request(key_id, 2, [0; 16])));
    let answers = give(core, fake, millis, PuntReason::Control, &frame);
    let answer = control(&answers[0]);
    assert_eq!(answer.status, Status::Challenge);
    answer.cookie
}

#[test]
fn what_a_member_is_told_is_in_the_journal_and_in_the_tables() {
    let (mut core, mut fake) = serving();
    let carol = SocketAddrV4::new(ALICE, 6000);
    let cookie = cookie(&mut core, &mut fake, 10, carol, 2);
    assert_eq!(fake.sessions.len(), 2, "a challenge changes nothing");
    fake.punt(CONTROL, datagram(carol, &key().seal(&request(2, 3, cookie))));
    let tasks = settle(&mut core, &mut fake, 20);
    let order: Vec<_> = tasks
        .iter()
        .filter_map(|task| match task {
            Task::Journal(entries) => {
                assert!(matches!(entries[..], [Entry::Bound(now)] if now.bound == carol));
                Some("journal")
            }
            Task::Request(Request::Write { updates, .. }) => {
                assert!(matches!(
                    updates[..],
                    [
                        Update::Session {
                            change: Change::Insert(_),
                            ..
                        },
                        Update::Sender {
                            change: Change::Insert(_),
                            ..
                        }
                    ]
                ));
                Some("write")
            }
            Task::Request(Request::PacketOut { .. }) => Some("answer"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["journal", "write", "answer"]);
    let told = control(&sent(&mut fake)[0]);
    assert_eq!(told.status, Status::Ok);
    assert_eq!(fake.sessions[&told.pseudo].bound, carol);
    assert_eq!(fake.senders[&told.pseudo].bound, carol);
}

#[test]
fn an_answer_waits_for_its_write_and_a_refused_write_takes_it_along() {
    let (mut core, mut fake) = serving();
    let carol = SocketAddrV4::new(ALICE, 6000);
    let cookie = cookie(&mut core, &mut fake, 10, carol, 2);
    fake.capacity = 2;
    let frame = datagram(carol, &key().seal(&request(2, 3, cookie)));
    assert!(give(&mut core, &mut fake, 20, PuntReason::Control, &frame).is_empty());
    assert_eq!((core.held(), core.counts().answers_dropped), (0, 1));
    // There is room again: the entries are written without anybody asking.
    fake.capacity = 8;
    core.tick(at(400));
    settle(&mut core, &mut fake, 400);
    assert_eq!((fake.sessions.len(), core.lacking()), (3, 0));
    // A keep-alive that would say "ok" before the entries are in force is held as well.
    let (mut core, mut fake) = serving();
    core.event(at(0), Heard::Entries(Entries::default()));
    assert!(
        core.mirror.is_settled(FIRST),
        "entries that nobody asked for teach nothing"
    );
    core.mirror.want(FIRST, None);
    let held = core.held();
    core.answer(at(5), Some(FIRST), 0, vec![1]);
    assert_eq!((core.held(), sent(&mut fake).len()), (held + 1, 0));
    settle(&mut core, &mut fake, 5);
    assert_eq!((core.held(), sent(&mut fake)), (held, vec![vec![1]]));
}

#[test]
fn answers_that_wait_are_bounded_in_number_and_time() {
    let (mut core, mut fake) = serving();
    core.mirror.want(FIRST, None);
    assert!(matches!(
        core.poll(at(0)),
        Some(Task::Request(Request::Write { .. }))
    ));
    for _ in 0..MAX_HELD {
        core.answer(at(1), Some(FIRST), 0, vec![1]);
    }
    let ping = datagram(SocketAddrV4::new(ALICE, 999), &[0; 60]);
    assert!(give(&mut core, &mut fake, 2, PuntReason::Ping, &ping).is_empty());
    assert_eq!(core.counts().overloaded, 1);
    core.tick(at(1).after(HOLD));
    assert_eq!((core.held(), core.counts().answers_dropped), (0, MAX_HELD as u64));
    // A dataplane that never answers is left, for another connection.
    core.tick(at(0).after(PATIENCE));
    assert!(matches!(core.standing(), Standing::Away(_)));
    let tasks = settle(&mut core, &mut fake, 11_000);
    assert!(tasks.contains(&Task::Request(Request::Reconnect)));
}

#[test]
fn an_address_request_from_elsewhere_moves_the_session_once_proven() {
    let (mut core, mut fake) = serving();
    let elsewhere = SocketAddrV4::new(ALICE, 5000);
    let cookie = cookie(&mut core, &mut fake, 10, elsewhere, 0);
    assert_eq!(fake.senders[&FIRST].bound.port(), 4000);
    let proven = key().seal(&request(0, 6, cookie));
    give(
        &mut core,
        &mut fake,
        11,
        PuntReason::Control,
        &datagram(elsewhere, &proven),
    );
    assert_eq!(fake.senders[&FIRST].bound, elsewhere);
    assert_eq!(fake.sessions[&FIRST].bound, elsewhere);
    assert_eq!(fake.asked, (0, 2, 0));
    let forged = DirectorKey::new([8; 32]).seal(&request(0, 7, cookie));
    assert!(
        give(
            &mut core,
            &mut fake,
            12,
            PuntReason::Control,
            &datagram(elsewhere, &forged)
        )
        .is_empty()
    );
    assert_eq!(core.counts().refused, 1);
}

#[test]
fn a_member_that_only_sends_has_no_session_entry() {
    let (mut core, mut fake) = serving();
    let carol = SocketAddrV4::new(ALICE, 6000);
    let cookie = cookie(&mut core, &mut fake, 10, carol, 2);
    let mut asked = request(2, 3, cookie);
    asked.flags = FLAG_SENDER_ONLY;
    let answers = give(
        &mut core,
        &mut fake,
        20,
        PuntReason::Control,
        &datagram(carol, &key().seal(&asked)),
    );
    let pseudo = control(&answers[0]).pseudo;
    assert!(fake.senders.contains_key(&pseudo) && !fake.sessions.contains_key(&pseudo));
    // It thinks better of it.
    let asked = request(2, 4, cookie);
    give(
        &mut core,
        &mut fake,
        30,
        PuntReason::Control,
        &datagram(carol, &key().seal(&asked)),
    );
    assert!(fake.sessions.contains_key(&pseudo));
}

#[test]
fn a_ping_comes_back_as_long_as_it_went() {
    let (mut core, mut fake) = serving();
    let mut asked = [0xab; 60];
    Ping::write_request(&mut asked, 9).unwrap();
    let frame = datagram(SocketAddrV4::new(ALICE, 999), &asked);
    let sent = give(&mut core, &mut fake, 10, PuntReason::Ping, &frame);
    assert_eq!(sent[0].len(), frame.len());
    let (_, data) = udp_data(&sent[0]);
    let (ping, echoed) = Ping::parse(&data[shim::LEN..]).unwrap();
    assert_eq!((ping.sequence.get(), echoed), (9, &asked[28..]));
}

#[test]
fn data_from_elsewhere_is_answered_by_a_challenge_there() {
    let (mut core, mut fake) = serving();
    let elsewhere = SocketAddrV4::new(ALICE, 4999);
    let sent = give(
        &mut core,
        &mut fake,
        10,
        PuntReason::SourceMismatch,
        &data(elsewhere, 100),
    );
    let (to, challenge) = udp_data(&sent[0]);
    assert_eq!((to, challenge.len()), (elsewhere, LEN));
    assert_eq!(control(&sent[0]).status, Status::Challenge);
    // A packet shorter than the challenge gets none: nothing is amplified.
    assert!(
        give(
            &mut core,
            &mut fake,
            10,
            PuntReason::SourceMismatch,
            &data(elsewhere, 20)
        )
        .is_empty()
    );
}

#[test]
fn only_the_difference_is_written() {
    let (mut core, mut fake) = restored();
    let entry = |core: &Core, member| *core.mirror.wanted(member).unwrap();
    let (alice, bob) = (entry(&core, FIRST), entry(&core, FIRST + 1));
    // Alice is as she should be, Bob has moved and lacks a session entry, and there is a stranger.
    fake.senders.insert(FIRST, alice.sender);
    fake.sessions.insert(FIRST, alice.session.unwrap());
    fake.senders.insert(FIRST + 1, alice.sender);
    fake.senders.insert(FIRST + 5, alice.sender);
    fake.sessions.insert(FIRST + 5, alice.session.unwrap());
    fake.connect();
    let tasks = settle(&mut core, &mut fake, 0);
    let expected = Difference {
        missing: 1,
        changed: 1,
        strangers: 2,
        same: 2,
    };
    assert!(tasks.contains(&Task::News(News::Compared(expected))), "{tasks:?}");
    assert!(tasks.contains(&Task::News(News::Reconciled)));
    assert_eq!(fake.asked, (1, 1, 2));
    assert_eq!(fake.senders.len(), 2);
    assert_eq!(fake.sessions[&(FIRST + 1)], bob.session.unwrap());
    assert!(matches!(
        fake.endpoint,
        Some(Update::Endpoint { udp_port: 20202, .. })
    ));
    // Another time nothing is written but the endpoint and its meters.
    fake.disconnect();
    fake.connect();
    fake.asked = (0, 0, 0);
    settle(&mut core, &mut fake, 10);
    assert_eq!((fake.asked, core.counts().reconciliations), ((0, 0, 0), 2));
}

#[test]
fn who_is_not_primary_writes_and_answers_nothing_and_takes_over_when_it_may() {
    let (mut core, mut fake) = serving();
    fake.push(Heard::Backup);
    let ping = datagram(SocketAddrV4::new(ALICE, 999), &[0; 60]);
    let tasks = settle(&mut core, &mut fake, 10);
    assert_eq!(tasks, [Task::News(News::Standing(Standing::Backup))]);
    assert!(give(&mut core, &mut fake, 11, PuntReason::Ping, &ping).is_empty());
    core.tick(at(3_600_000));
    assert_eq!(settle(&mut core, &mut fake, 3_600_000), []);
    assert_eq!(
        core.director().occupancy().sessions,
        2,
        "who cannot be heard does not age"
    );
    fake.senders.clear();
    fake.push(Heard::Primary);
    settle(&mut core, &mut fake, 3_600_000);
    assert_eq!(fake.senders.len(), 2);
    core.tick(at(3_600_000 + 59_000));
    assert_eq!(
        core.director().occupancy().sessions,
        2,
        "a whole lifetime to be heard again"
    );
    core.tick(at(3_600_000 + 60_000));
    settle(&mut core, &mut fake, 3_660_000);
    assert_eq!((core.director().occupancy().sessions, fake.senders.len()), (0, 0));
}

#[test]
fn a_write_refused_for_another_controller_ends_the_reign() {
    let (mut core, mut fake) = serving();
    core.mirror.want(FIRST, None);
    let Some(Task::Request(Request::Write { number, updates })) = core.poll(at(0)) else {
        panic!("something is wanted")
    };
    let results = vec![Err(Refused::NotPrimary); updates.len()];
    fake.push(Heard::Written { number, results });
    settle(&mut core, &mut fake, 1);
    assert_eq!(core.standing(), &Standing::Backup);
}

#[test]
fn ten_thousand_sessions_are_back_in_an_empty_dataplane_in_twenty_writes() {
    let count = 10_000;
    let mut director = director(count, count);
    let bindings = (0..count).map(|index| member(index, ALICE)).collect();
    let read = Read {
        bindings,
        ..Read::default()
    };
    director.restore(at(0), &read);
    let (mut core, mut fake) = (Core::new(director, settings()), fake(count));
    fake.connect();
    let began = std::time::Instant::now();
    settle(&mut core, &mut fake, 0);
    assert_eq!((fake.senders.len(), fake.sessions.len()), (10_000, 10_000));
    assert_eq!((core.counts().writes, core.counts().updates), (20, 20_000));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    fake.restart();
    fake.connect();
    settle(&mut core, &mut fake, 10);
    assert_eq!(fake.senders.len(), 10_000);
}

#[test]
fn any_octets_for_any_reason_are_counted_once() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new(Config::with_cases(500));
    let frames = proptest::collection::vec((0..20u16, proptest::collection::vec(any::<u8>(), 0..200)), 1..20);
    let good = data(member(0, ALICE).bound, 60);
    runner
        .run(&(frames, any::<u8>(), 0..good.len()), |(frames, value, place)| {
            let (mut core, mut fake) = serving();
            for (reason, frame) in frames {
                fake.punt(reason, frame);
            }
            for reason in 0..10 {
                let mut damaged = good.clone();
                damaged[place] = value;
                fake.punt(reason, damaged.clone());
                fake.punt(reason, damaged[..place].to_vec());
            }
            settle(&mut core, &mut fake, 10);
            let counts = core.counts();
            let went = counts.answered + counts.refused + counts.ignored + counts.overloaded;
            prop_assert_eq!(counts.packets_in, went);
            prop_assert_eq!(counts.answered, counts.packets_out);
            Ok(())
        })
        .unwrap();
}
