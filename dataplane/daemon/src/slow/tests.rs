//! The slow path on plain memory: what comes in, what goes out, and that nothing is lost or made up.

use super::*;
use crate::control::{Link, Settings};
use kith_p4runtime::entry::{Authorise, EndpointAction, EndpointKey, Entry, RelayTo, SenderKey, SessionKey};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_p4runtime::target::{Atomicity, Target};
use kith_p4runtime::update::Update;
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::HostPacket;
use kith_pipeline::units::CommunityIndex;
use kith_wire::arp::{Arp, Operation};
use kith_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::icmp::{self, Icmp};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ICMP};
use kith_wire::shim::{DataType, PseudoIp, Shim};
use kith_wire::udp::Udp;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

pub(super) const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
pub(super) const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);
pub(super) const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(super) const ALICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
pub(super) const BOB: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 22);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const FIRST: u32 = 0xf000_0001;
pub(super) const PORT: PortIndex = PortIndex(0);

pub(super) fn at(millis: u64) -> Nanos {
    Nanos(1_000_000_000 + millis * 1_000_000)
}

pub(super) fn bound(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, 4000)
}

/// Tables of one port with a gateway on its link, and counters.
pub(super) fn links() -> (Arc<Control>, Arc<Shared>) {
    let shared = Shared::slow();
    let link = Link {
        station: OURS,
        network: format!("{DIRECTOR}/24").parse().unwrap(),
        gateway: Some(GATEWAY),
        mtu: 1500,
    };
    let settings = Settings {
        links: vec![link],
        sessions: (PseudoIp::new(FIRST).unwrap(), 8),
        associations: 1,
        punt_rates: punt_rates(),
        workers: Vec::new(),
        slow: shared.clone(),
    };
    let (control, _frames) = Control::new(settings).unwrap();
    (Arc::new(control), shared)
}

/// As a controller writes.
pub(super) fn write(control: &Control, updates: impl IntoIterator<Item = Update>) {
    let updates: Vec<_> = updates.into_iter().collect();
    let outcomes = control.store().write(&updates, Atomicity::Rollback).unwrap();
    for (outcome, update) in outcomes.into_iter().zip(updates) {
        outcome.unwrap_or_else(|error| panic!("{update:?}: {error}"));
    }
}

pub(super) fn insert(entry: impl Into<Entry>) -> Update {
    Update::Insert(entry.into().into())
}

pub(super) fn modify(entry: impl Into<Entry>) -> Update {
    Update::Modify(entry.into().into())
}

/// A director on one port with sessions of alice (0) and bob (1).
pub(super) fn slow() -> Slow<HostPacket> {
    let (control, shared) = links();
    let director = EndpointAction::Director {
        address: DIRECTOR,
        udp_port: 20202,
    };
    write(&control, [modify((EndpointKey {}, director))]);
    let community = CommunityIndex::new(1).unwrap();
    for (index, address) in (0..).zip([ALICE, BOB]) {
        let pseudo = PseudoIp::new(FIRST + index).unwrap();
        let authorise = Authorise {
            address,
            port: 4000,
            community,
        };
        let relay_to = RelayTo {
            address,
            port: 4000,
            community,
            mtu: 1500,
        };
        let sender = SenderKey {
            source_member: pseudo,
        };
        let session = SessionKey {
            destination_member: pseudo,
        };
        write(
            &control,
            [insert((sender, authorise)), insert((session, relay_to))],
        );
    }
    Slow::new(control, shared, Limits::default())
}

pub(super) fn give(slow: &mut Slow<HostPacket>, reason: PuntReason, frame: &[u8]) -> Vec<HostPacket> {
    let packet = HostPacket::from_bytes(frame);
    slow.packet(at(10), PORT, reason, packet, &mut || {
        Some(HostPacket::new(2048, 128))
    });
    take(slow)
}

/// A host without a controller: what goes out. See [`handed`] for one that has one.
pub(super) fn take(slow: &mut Slow<HostPacket>) -> Vec<HostPacket> {
    hand_over(slow, HandOver::Nobody);
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

/// Gives all that is for the controller this outcome.
fn hand_over(slow: &mut Slow<HostPacket>, outcome: HandOver) -> Vec<(PuntReason, Vec<u8>)> {
    let up = std::mem::take(&mut slow.up).into_iter();
    up.map(|packet_in| {
        assert_eq!(packet_in.ingress, PORT);
        slow.handed_over(packet_in.reason, outcome);
        (packet_in.reason, packet_in.packet.bytes().to_vec())
    })
    .collect()
}

/// What a controller that is there gets of this frame.
fn handed(slow: &mut Slow<HostPacket>, reason: PuntReason, frame: &[u8]) -> Vec<(PuntReason, Vec<u8>)> {
    let packet = HostPacket::from_bytes(frame);
    slow.packet(at(10), PORT, reason, packet, &mut || None);
    let handed = hand_over(slow, HandOver::Taken);
    assert!(take(slow).is_empty(), "nothing is answered here");
    handed
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

pub(super) fn station(slow: &Slow<HostPacket>, address: Ipv4Addr) -> Option<MacAddr> {
    let neighbor = OnLink { port: PORT, address };
    slow.tables().neighbor.get(neighbor).copied()
}

fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let header = Ethernet {
        destination: OURS,
        source: THEIRS,
        ethertype: U16::new(ethertype),
    };
    [header.as_bytes(), payload].concat()
}

pub(super) fn arp(operation: Operation, sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
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

pub(super) fn data(from: SocketAddrV4, len: usize) -> Vec<u8> {
    let mut shim = Shim::new(DataType::Virtual);
    shim.destination_director = U32::new(DIRECTOR.to_bits());
    shim.source_member = U32::new(FIRST);
    shim.destination_member = U32::new(FIRST + 1);
    datagram(from, &[shim.as_bytes(), &vec![0x45; len]].concat())
}

pub(super) fn parsed(packet: &HostPacket) -> (Ethernet, Ipv4, Vec<u8>) {
    let (ethernet, rest) = Ethernet::parse(packet.bytes()).unwrap();
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    (*ethernet, *ip, payload.to_vec())
}

#[test]
fn who_asks_for_us_is_answered_and_learnt() {
    let mut slow = slow();
    let before = slow.control.generation();
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
    assert_eq!(station(&slow, ALICE), Some(THEIRS));
    assert_eq!(slow.control.generation(), before + 1);
}

#[test]
fn arp_that_nobody_honest_sends_changes_nothing() {
    let mut slow = slow();
    let before = slow.control.generation();
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
    assert_eq!(
        (slow.tables().neighbor.len(), slow.control.generation()),
        (0, before)
    );
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 5);
}

#[test]
fn a_packet_waits_for_its_neighbour_and_is_relayed_then() {
    let mut slow = slow();
    let asked = give(&mut slow, PuntReason::NeighborMiss, &data(bound(ALICE), 60));
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
    give(&mut slow, PuntReason::NeighborMiss, &data(bound(ALICE), 60));
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
fn a_router_that_says_too_big_is_the_controllers_and_other_icmp_is_nobodys() {
    let mut slow = slow();
    let told = too_big(1400, &relayed((DIRECTOR, 20202), bound(BOB)));
    let handed_up = handed(&mut slow, PuntReason::IcmpLocal, &told);
    assert_eq!(
        handed_up,
        [(PuntReason::IcmpLocal, told.clone())],
        "as it was received"
    );
    assert_eq!(slow.counts().consumed.get(), 1);
    // What was no larger than what fits is a lie, and what quotes too little says nothing.
    for useless in [
        too_big(1500, &relayed((DIRECTOR, 20202), bound(BOB))),
        too_big(1400, &[0x45; 20]),
    ] {
        assert!(handed(&mut slow, PuntReason::IcmpLocal, &useless).is_empty());
    }
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 2);
    let mut other = told;
    other[34..36].copy_from_slice(&[3, 1]);
    let checksum = kith_wire::checksum::Sum::ZERO;
    other[36..38].fill(0);
    let checksum = checksum.add_bytes(&other[34..]).finish();
    other[36..38].copy_from_slice(&checksum.to_be_bytes());
    assert!(handed(&mut slow, PuntReason::IcmpLocal, &other).is_empty());
    assert_eq!(slow.counts().consumed.get(), 2);
}

#[test]
fn the_sender_of_a_packet_too_big_is_told_the_size_and_which_one() {
    let mut slow = slow();
    let offending = data(bound(ALICE), 1452);
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
fn what_concerns_members_goes_to_the_controller_untouched() {
    let mut slow = slow();
    let frame = datagram(bound(ALICE), &[0xab; 40]);
    for reason in [PuntReason::Control, PuntReason::Ping] {
        assert_eq!(handed(&mut slow, reason, &frame), [(reason, frame.clone())]);
        assert_eq!(slow.counts().packet_ins[reason as usize].get(), 1);
    }
    assert_eq!(slow.counts().consumed.get(), 2);
}

#[test]
fn without_a_controller_or_room_in_its_queue_packets_are_named_drops() {
    let mut slow = slow();
    let frame = datagram(bound(ALICE), &[0xab; 40]);
    give(&mut slow, PuntReason::Control, &frame);
    assert_eq!(drops(&slow, DropReason::SlowPathRefused), 1);
    slow.packet(
        at(10),
        PORT,
        PuntReason::Ping,
        HostPacket::from_bytes(&frame),
        &mut || None,
    );
    hand_over(&mut slow, HandOver::Full);
    assert_eq!(drops(&slow, DropReason::PuntQueueFull), 1);
    assert_conserved(&slow);
    let handed: u64 = slow.counts().packet_ins.iter().map(Counter::get).sum();
    assert_eq!(handed, 0);
}

#[test]
fn data_from_elsewhere_is_dropped_once_and_the_controller_hears_of_it() {
    let mut slow = slow();
    let frame = data(SocketAddrV4::new(ALICE, 4999), 100);
    let heard = handed(&mut slow, PuntReason::SourceMismatch, &frame);
    assert_eq!(heard, [(PuntReason::SourceMismatch, frame.clone())]);
    give(&mut slow, PuntReason::SourceMismatch, &frame);
    assert_eq!(drops(&slow, DropReason::SourceMismatch), 2);
    assert_eq!(
        slow.counts().shared.counters.all_drops(),
        2,
        "each is dropped under one name"
    );
}

#[test]
fn a_frame_of_the_controllers_is_sent_if_there_is_a_buffer() {
    let mut slow = slow();
    let frame = datagram(bound(ALICE), &[0xab; 40]);
    let out = PacketOut {
        egress_port: PORT,
        mode: PacketOutMode::Send,
        frame: frame.clone(),
    };
    slow.packet_out(at(0), &out, &mut || Some(HostPacket::new(2048, 128)));
    assert_eq!(take(&mut slow)[0].bytes(), frame);
    slow.packet_out(at(0), &out, &mut || None);
    assert!(take(&mut slow).is_empty());
    assert_eq!(drops(&slow, DropReason::TransmitQueueFull), 1);
    assert_eq!(slow.counts().packet_outs.get(), 2);
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
    let good = data(bound(ALICE), 60);
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
    assert_eq!(asked, [DIRECTOR, GATEWAY]);
    // Without a buffer nothing is sent, and nothing breaks.
    slow.start(at(0), &mut || None);
    assert!(take(&mut slow).is_empty());
}
