//! The slow path on plain memory: what comes in, what goes out, and that nothing is lost or made up.

use super::*;
use kith_director::DirectorKey;
use kith_director::journal::{Binding, Read};
use kith_director::server::{DirectorConfig, Grant, PoolRange};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::HostPacket;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::SessionTable;
use kith_wire::arp::{Arp, Operation};
use kith_wire::control::{Control, KeyId, LEN, Status};
use kith_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::icmp::{self, Icmp};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ICMP};
use kith_wire::ping::Ping;
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);
const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ALICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
const BOB: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 22);
const FIRST: u32 = 0xf000_0001;
const PORT: PortIndex = PortIndex(0);

fn at(millis: u64) -> Nanos {
    Nanos(1_000_000_000 + millis * 1_000_000)
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

/// A director on one port with sessions of alice (0) and bob (1).
fn slow() -> Slow<HostPacket> {
    let first = PseudoIp::new(FIRST).unwrap();
    let mut director = Director::new(
        DirectorConfig::new(DIRECTOR, PoolRange { first, count: 8 }),
        [1; 32],
    )
    .unwrap();
    for index in 0..2 {
        let grant = Grant {
            key_id: KeyId(index),
            key: key(),
            community: 1,
            reserved: None,
            name: format!("member{index}"),
        };
        director.add_grant(time(at(0)), grant).unwrap();
    }
    let read = Read {
        bindings: vec![member(0, ALICE), member(1, BOB)],
        ..Read::default()
    };
    assert_eq!(director.restore(time(at(0)), &read).sessions, 2);
    let networks = vec![Network {
        mac: OURS,
        address: DIRECTOR,
        prefix_len: 24,
        gateway: Some(Ipv4Addr::new(203, 0, 113, 1)),
        mtu: 1500,
    }];
    let (sender, session) = (SenderTable::new(first, 8), SessionTable::new(first, 8));
    let mut tables = Tables::new(Arc::new(sender), Arc::new(session));
    tables.endpoint = Role::Director {
        address: DIRECTOR,
        udp_port: 20202,
    };
    tables.punt_rates = punt_rates();
    crate::link::enter(&mut tables, &networks).unwrap();
    Slow::new(tables, networks, None, director, Limits::default())
}

fn give(slow: &mut Slow<HostPacket>, reason: PuntReason, frame: &[u8]) -> Vec<HostPacket> {
    let packet = HostPacket::from_bytes(frame);
    slow.packet(at(10), PORT, reason, packet, &mut || {
        Some(HostPacket::new(2048, 128))
    });
    take(slow)
}

fn take(slow: &mut Slow<HostPacket>) -> Vec<HostPacket> {
    let sent: Vec<_> = std::mem::take(&mut slow.out)
        .into_iter()
        .map(|(port, packet)| {
            slow.delivered(true);
            assert_eq!(port, PORT);
            packet
        })
        .collect();
    assert_conserved(slow);
    sent
}

fn assert_conserved(slow: &Slow<HostPacket>) {
    let counts = slow.counts();
    let came = counts.taken.get() + counts.originated.get();
    let went = counts.sent.get() + counts.consumed.get() + counts.shared.counters.all_drops();
    assert_eq!(came, went + slow.held() as u64, "packets are conserved");
}

fn drops(slow: &Slow<HostPacket>, reason: DropReason) -> u64 {
    slow.counts().shared.counters.dropped(reason).get()
}

fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let header = Ethernet {
        destination: OURS,
        source: THEIRS,
        ethertype: U16::new(ethertype),
    };
    [header.as_bytes(), payload].concat()
}

fn arp(operation: Operation, sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let arp = Arp::new(operation, sender, (MacAddr::ZERO, target));
    frame(ETHERTYPE_ARP, &[arp.as_bytes(), &[0; 18]].concat())
}

/// A datagram from `from` to the director, padded as short frames are.
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

fn data(from: SocketAddrV4, len: usize) -> Vec<u8> {
    let mut shim = Shim::new(DataType::Virtual);
    shim.destination_director = U32::new(DIRECTOR.to_bits());
    shim.source_member = U32::new(FIRST);
    shim.destination_member = U32::new(FIRST + 1);
    datagram(from, &[shim.as_bytes(), &vec![0x45; len]].concat())
}

fn parsed(packet: &HostPacket) -> (Ethernet, Ipv4, Vec<u8>) {
    let (ethernet, rest) = Ethernet::parse(packet.bytes()).unwrap();
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    (*ethernet, *ip, payload.to_vec())
}

fn udp_data(packet: &HostPacket) -> (SocketAddrV4, Vec<u8>) {
    let (_, ip, payload) = parsed(packet);
    let (udp, data) = Udp::parse(&payload).unwrap();
    udp.verify(&ip, data).unwrap();
    (
        SocketAddrV4::new(ip.destination(), udp.destination.get()),
        data.to_vec(),
    )
}

#[test]
fn who_asks_for_us_is_answered_and_learnt() {
    let mut slow = slow();
    let sent = give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Request, (THEIRS, ALICE), DIRECTOR),
    );
    let (ethernet, rest) = Ethernet::parse(sent[0].bytes()).unwrap();
    let answer = Arp::parse(rest).unwrap();
    assert_eq!((ethernet.destination, rest.len()), (THEIRS, 28));
    assert_eq!(
        (answer.operation(), answer.sender()),
        (Operation::Reply, (OURS, DIRECTOR))
    );
    assert_eq!(
        slow.tables().neighbor.get(OnLink {
            port: PORT,
            address: ALICE
        }),
        Some(&THEIRS)
    );
    assert_eq!(slow.generation(), 2);
}

#[test]
fn arp_that_nobody_honest_sends_changes_nothing() {
    let mut slow = slow();
    let far = Ipv4Addr::new(198, 51, 100, 1);
    for sender in [
        (THEIRS, DIRECTOR),
        (THEIRS, far),
        (MacAddr::BROADCAST, ALICE),
        (MacAddr::ZERO, ALICE),
    ] {
        let sent = give(
            &mut slow,
            PuntReason::Arp,
            &arp(Operation::Request, sender, DIRECTOR),
        );
        assert!(sent.is_empty());
    }
    // A reply that nobody asked for, and a request among others.
    give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Reply, (THEIRS, ALICE), DIRECTOR),
    );
    give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Request, (THEIRS, ALICE), BOB),
    );
    // A probe is answered, so that nobody takes our address.
    let probe = arp(Operation::Request, (THEIRS, Ipv4Addr::UNSPECIFIED), DIRECTOR);
    assert_eq!(give(&mut slow, PuntReason::Arp, &probe).len(), 1);
    give(&mut slow, PuntReason::Arp, &[0; 20]);
    assert_eq!((slow.tables().neighbor.len(), slow.generation()), (0, 1));
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 5);
}

#[test]
fn a_packet_waits_for_its_neighbour_and_is_relayed_then() {
    let mut slow = slow();
    let asked = give(
        &mut slow,
        PuntReason::NeighborMiss,
        &data(member(0, ALICE).bound, 60),
    );
    let request = Arp::parse(&asked[0].bytes()[14..]).unwrap();
    assert_eq!((asked.len(), request.target().1, slow.held()), (1, BOB, 1));
    let sent = give(
        &mut slow,
        PuntReason::Arp,
        &arp(Operation::Reply, (THEIRS, BOB), DIRECTOR),
    );
    let (ethernet, ip, _) = parsed(&sent[0]);
    assert_eq!((ethernet.destination, ethernet.source), (THEIRS, OURS));
    assert_eq!((ip.source(), ip.destination(), ip.ttl()), (DIRECTOR, BOB, 63));
    assert_eq!(slow.held(), 0);
    let counted = slow.counts().shared.direct.session.get(1);
    assert_eq!(counted, (0, 0), "the worker counted it when it came");
}

#[test]
fn a_neighbour_who_never_answers_is_a_named_drop() {
    let mut slow = slow();
    give(
        &mut slow,
        PuntReason::NeighborMiss,
        &data(member(0, ALICE).bound, 60),
    );
    for seconds in 1..4 {
        slow.tick(at(10 + seconds * 1000), &mut || Some(HostPacket::new(2048, 128)));
        take(&mut slow);
    }
    assert_eq!(
        (slow.held(), drops(&slow, DropReason::NeighborUnresolved)),
        (0, 1)
    );
}

#[test]
fn an_echo_is_answered() {
    let mut slow = slow();
    let mut ip = Ipv4::new(ALICE, DIRECTOR, PROTOCOL_ICMP, 28).as_bytes().to_vec();
    ip.extend([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    let sent = give(&mut slow, PuntReason::IcmpLocal, &frame(ETHERTYPE_IPV4, &ip));
    let (ethernet, ip, payload) = parsed(&sent[0]);
    assert_eq!((ethernet.destination, ip.destination()), (THEIRS, ALICE));
    assert_eq!(Icmp::parse(&payload).unwrap().0.kind, icmp::ECHO_REPLY);
}

fn too_big(mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let mut error = [0u8; icmp::MAX_ERROR_LEN];
    let router = Ipv4Addr::new(198, 51, 100, 1);
    let len = icmp::write_too_big(&mut error, router, DIRECTOR, mtu, quoted).unwrap();
    frame(ETHERTYPE_IPV4, &error[..len])
}

/// The first octets of a packet of 1500 that the director relayed to this address.
fn relayed(from: (Ipv4Addr, u16), to: SocketAddrV4) -> Vec<u8> {
    let udp = Udp::new(from.1, to.port(), 1472).unwrap();
    let ip = Ipv4::new(from.0, *to.ip(), kith_wire::ipv4::PROTOCOL_UDP, 1500);
    [ip.as_bytes(), udp.as_bytes()].concat()
}

#[test]
fn a_router_lowers_the_path_of_the_session_it_quotes_and_of_no_other() {
    let mut slow = slow();
    let bob = member(1, BOB).bound;
    let mtus = |slow: &Slow<HostPacket>| {
        let session = slow.tables().session.clone();
        let mtu = |index| session.relay_to(index).unwrap().mtu;
        (mtu(0), mtu(1))
    };
    let forged = [
        too_big(1400, &relayed((ALICE, 20202), bob)),
        too_big(1400, &relayed((DIRECTOR, 20203), bob)),
        too_big(1400, &relayed((DIRECTOR, 20202), SocketAddrV4::new(BOB, 4001))),
        too_big(1500, &relayed((DIRECTOR, 20202), bob)),
        too_big(1400, &[0x45; 20]),
    ];
    for frame in &forged {
        give(&mut slow, PuntReason::IcmpLocal, frame);
    }
    assert_eq!(mtus(&slow), (1500, 1500));
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 5);
    give(
        &mut slow,
        PuntReason::IcmpLocal,
        &too_big(1400, &relayed((DIRECTOR, 20202), bob)),
    );
    assert_eq!(mtus(&slow), (1500, 1400));
    give(
        &mut slow,
        PuntReason::IcmpLocal,
        &too_big(68, &relayed((DIRECTOR, 20202), bob)),
    );
    assert_eq!(mtus(&slow), (1500, 576), "never below what every host takes");
}

#[test]
fn a_router_that_quotes_the_shim_has_the_sender_told_at_once() {
    let mut slow = slow();
    let (alice, bob) = (member(0, ALICE).bound, member(1, BOB).bound);
    let asks = Arp::new(Operation::Request, (THEIRS, ALICE), (MacAddr::ZERO, DIRECTOR));
    give(&mut slow, PuntReason::Arp, &frame(ETHERTYPE_ARP, asks.as_bytes()));
    // What Alice sent, as it left the director towards Bob, and what a router quotes of it.
    let sent_by_alice = data(alice, 1452);
    let mut quoted = relayed((DIRECTOR, 20202), bob);
    quoted.extend(&sent_by_alice[42..14 + 128]);
    let sent = give(&mut slow, PuntReason::IcmpLocal, &too_big(1400, &quoted));
    let (ethernet, ip, payload) = parsed(&sent[0]);
    assert_eq!(
        (ethernet.destination, ip.source(), ip.destination()),
        (THEIRS, DIRECTOR, ALICE)
    );
    let (icmp, body) = Icmp::parse(&payload).unwrap();
    let told = icmp.too_big(body).unwrap().unwrap();
    assert_eq!(
        (told.mtu, told.quoted.source(), told.quoted.destination()),
        (1400, ALICE, DIRECTOR)
    );
    assert_eq!(told.quoted_payload[..2], alice.port().to_be_bytes());
    assert_eq!(told.quoted_payload[2..4], 20202u16.to_be_bytes());
    assert_eq!(
        told.quoted_payload[8..],
        quoted[28..],
        "shim and virtual header as Alice made them"
    );
    // Without a shim in the quote nobody can be told; the path is lowered all the same.
    let short = too_big(1300, &quoted[..28]);
    assert!(give(&mut slow, PuntReason::IcmpLocal, &short).is_empty());
    assert_eq!(slow.tables().session.relay_to(1).unwrap().mtu, 1300);
}

#[test]
fn the_sender_of_a_packet_too_big_is_told_the_size_and_which_one() {
    let mut slow = slow();
    let offending = data(member(0, ALICE).bound, 1452);
    let sent = give(&mut slow, PuntReason::MtuExceeded, &offending);
    let (_, ip, payload) = parsed(&sent[0]);
    assert_eq!((ip.source(), ip.destination()), (DIRECTOR, ALICE));
    let (icmp, body) = Icmp::parse(&payload).unwrap();
    let told = icmp.too_big(body).unwrap().unwrap();
    assert_eq!(told.mtu, 1500);
    assert_eq!(body, &offending[14..14 + 128]);
    assert_eq!(drops(&slow, DropReason::MtuExceeded), 1);
    let told = (0..1000)
        .filter(|_| !give(&mut slow, PuntReason::MtuExceeded, &offending).is_empty())
        .count();
    assert_eq!(told, 99, "errors have a rate");
}

#[test]
fn an_address_request_without_cookie_is_challenged_and_changes_nothing() {
    let mut slow = slow();
    let request = Control {
        data_type: DataType::AddressRequest,
        flags: 0,
        director: DIRECTOR.to_bits(),
        pseudo: 0,
        status: Status::Ok,
        key_id: KeyId(0),
        counter: 5,
        cookie: [0; 16],
        lifetime_ms: 0,
        keep_alive_ms: 0,
        observed: (0, 0),
    };
    let elsewhere = SocketAddrV4::new(ALICE, 5000);
    let frame = datagram(elsewhere, &key().seal(&request));
    let sent = give(&mut slow, PuntReason::Control, &frame);
    let (to, answer) = udp_data(&sent[0]);
    assert_eq!((to, sent[0].bytes().len()), (elsewhere, frame.len()));
    let answer = key().open(Control::parse(&answer).unwrap()).unwrap();
    assert_eq!(answer.status, Status::Challenge);
    assert!(
        slow.tables()
            .sender
            .binding(0)
            .unwrap()
            .is_at(ALICE.to_bits(), 4000)
    );

    // With the cookie the session moves, and the journal knows before the answer is out.
    let proven = Control {
        counter: 6,
        cookie: answer.cookie,
        ..request
    };
    give(
        &mut slow,
        PuntReason::Control,
        &datagram(elsewhere, &key().seal(&proven)),
    );
    assert!(
        slow.tables()
            .sender
            .binding(0)
            .unwrap()
            .is_at(ALICE.to_bits(), 5000)
    );
    assert!(matches!(&slow.journal[..], [Entry::Bound(now)] if now.bound == elsewhere));

    let forged = DirectorKey::new([8; 32]).seal(&proven);
    assert!(give(&mut slow, PuntReason::Control, &datagram(elsewhere, &forged)).is_empty());
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 1);
}

#[test]
fn a_ping_comes_back_as_long_as_it_went() {
    let mut slow = slow();
    let mut asked = [0xab; 60];
    Ping::write_request(&mut asked, 9).unwrap();
    let sent = give(
        &mut slow,
        PuntReason::Ping,
        &datagram(SocketAddrV4::new(ALICE, 999), &asked),
    );
    let (_, data) = udp_data(&sent[0]);
    let (ping, echoed) = Ping::parse(&data[shim::LEN..]).unwrap();
    assert_eq!((ping.sequence.get(), echoed), (9, &asked[28..]));
}

#[test]
fn data_from_elsewhere_is_dropped_and_the_member_is_challenged_there() {
    let mut slow = slow();
    let elsewhere = SocketAddrV4::new(ALICE, 4999);
    let sent = give(&mut slow, PuntReason::SourceMismatch, &data(elsewhere, 100));
    let (to, challenge) = udp_data(&sent[0]);
    assert_eq!((to, challenge.len()), (elsewhere, LEN));
    let challenge = key().open(Control::parse(&challenge).unwrap()).unwrap();
    assert_eq!(challenge.status, Status::Challenge);
    // A packet shorter than the challenge gets none: nothing is amplified.
    assert!(give(&mut slow, PuntReason::SourceMismatch, &data(elsewhere, 20)).is_empty());
    assert_eq!(drops(&slow, DropReason::SourceMismatch), 2);
}

#[test]
fn any_octets_for_any_reason_are_conserved() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new(Config::with_cases(500));
    let frames = proptest::collection::vec(
        (
            0..PuntReason::COUNT,
            proptest::collection::vec(any::<u8>(), 0..200),
        ),
        1..20,
    );
    let good = data(member(0, ALICE).bound, 60);
    runner
        .run(&(frames, any::<u8>(), 0..good.len()), |(frames, value, place)| {
            let mut slow = slow();
            for (reason, frame) in frames {
                give(&mut slow, PuntReason::ALL[reason], &frame);
            }
            for &reason in PuntReason::ALL {
                let mut damaged = good.clone();
                damaged[place] = value;
                give(&mut slow, reason, &damaged);
                give(&mut slow, reason, &damaged[..place]);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn at_its_start_it_announces_itself_and_asks_for_the_gateway() {
    let mut slow = slow();
    slow.start(at(0), &mut || Some(HostPacket::new(2048, 128)));
    let asked: Vec<_> = take(&mut slow)
        .iter()
        .map(|packet| Arp::parse(&packet.bytes()[14..]).unwrap().target().1)
        .collect();
    assert_eq!(asked, [DIRECTOR, Ipv4Addr::new(203, 0, 113, 1)]);
    // Without a buffer nothing is sent, and nothing breaks.
    slow.start(at(0), &mut || None);
    assert!(take(&mut slow).is_empty());
}
