//! Each rule of the relay, on real frames.

use super::*;
use crate::counters::{Counters, DirectCounters};
use crate::meter::Rate;
use crate::packet::HostPacket;
use crate::path::Path;
use crate::reason::{DropReason, PuntReason};
use crate::receive::{Arrived, receive};
use crate::table::TableError;
use crate::table::endpoint::Role;
use crate::table::exact::ExactTable;
use crate::table::neighbor::OnLink;
use crate::table::pool::Binding;
use crate::table::port::{LeaveBy, PortTable};
use crate::table::route::{Hop, Prefix};
use crate::table::sender::SenderTable;
use crate::table::session::{RelayTo, SessionTable};
use crate::units::{CommunityIndex, Nanos, PortIndex};
use crate::{BURST, Verdict};
use kith_wire::ethernet::MacAddr;
use kith_wire::ipv4::PROTOCOL_ICMP;
use kith_wire::shim::PseudoIp;
use proptest::prelude::*;
use std::net::SocketAddrV4;
use std::sync::Arc;
use zerocopy::network_endian::{U16, U32};

const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x10]);
const NAT_A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
const NAT_B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 22), 50_000);
const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 50_001);
const POOL: u32 = 0xf000_0000;
/// Sessions in [`World`]: A and B of one community, C of another, D only a sender, E behind the gateway, F with a narrow path.
const A: u32 = POOL;
const B: u32 = POOL + 1;
const C: u32 = POOL + 2;
const D: u32 = POOL + 3;
const E: u32 = POOL + 4;
const F: u32 = POOL + 5;

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

struct World {
    tables: Tables,
    counters: Counters,
    direct: DirectCounters,
}

const PORT: PortIndex = PortIndex(0);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// No member, no network: only the role and the port.
fn bare(size: usize) -> Tables {
    let first = PseudoIp::new(POOL).unwrap();
    let (sender, session) = (SenderTable::new(first, size), SessionTable::new(first, size));
    let mut tables = Tables::new(Arc::new(sender), Arc::new(session));
    tables.endpoint = Role::Director {
        address: DIRECTOR,
        udp_port: 20202,
    };
    let accept_by = AcceptBy {
        station: OURS,
        address: DIRECTOR,
    };
    tables.ingress_port.insert(PORT, accept_by).unwrap();
    tables.punt_rates.fill(Rate {
        per_second: 1000,
        burst: 100,
    });
    tables
}

fn on_link(address: Ipv4Addr) -> OnLink {
    OnLink { port: PORT, address }
}

impl World {
    fn new() -> Self {
        let mut tables = bare(16);
        let bind = |pseudo, at, community, mtu: Option<u16>| {
            let pseudo = PseudoIp::new(pseudo).unwrap();
            let binding = Binding::new(at, CommunityIndex::new(community).unwrap());
            tables.sender.insert(pseudo, binding, None).unwrap();
            if let Some(mtu) = mtu {
                tables.session.insert(pseudo, RelayTo { binding, mtu }).unwrap();
            }
        };
        bind(A, NAT_A, 1, Some(1500));
        bind(B, NAT_B, 1, Some(1500));
        bind(C, SocketAddrV4::new(*NAT_B.ip(), 50_002), 2, Some(1500));
        bind(D, SocketAddrV4::new(*NAT_B.ip(), 50_003), 1, None);
        bind(E, FAR, 1, Some(1500));
        bind(F, SocketAddrV4::new(*NAT_B.ip(), 50_004), 1, Some(100));
        let link = Prefix::new(DIRECTOR, 24).unwrap();
        let via = Hop::Via {
            port: PORT,
            gateway: GATEWAY,
        };
        tables.route.insert(link, Hop::OnLink { port: PORT }).unwrap();
        tables.route.insert(Prefix::ALL, via).unwrap();
        tables.neighbor.insert(on_link(*NAT_B.ip()), mac(22)).unwrap();
        tables.neighbor.insert(on_link(GATEWAY), mac(1)).unwrap();
        tables
            .egress_port
            .insert(PORT, LeaveBy { station: OURS })
            .unwrap();
        Self {
            tables,
            counters: Counters::default(),
            direct: DirectCounters::new(16),
        }
    }

    fn path(&self) -> Path<'_> {
        Path::new(&self.counters, &self.direct)
    }

    fn limit(&self, pseudo: u32, rate: Rate) -> Result<Option<Rate>, TableError> {
        self.tables
            .sender
            .set_rate(PseudoIp::new(pseudo).unwrap(), Some(rate))
    }

    fn run(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut burst = [HostPacket::from_bytes(frame)];
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        let mut path = self.path();
        path.process(&self.tables, PORT, Nanos(1), &mut burst, &mut verdicts);
        (verdicts[0], burst[0].bytes().to_vec())
    }

    fn dropped(&self, what: &str, frame: &[u8], reason: DropReason) {
        let before = self.counters.dropped(reason).get();
        let (verdict, after) = self.run(frame);
        assert_eq!(verdict, Verdict::Drop(reason), "{what}");
        assert_eq!(
            self.counters.dropped(reason).get(),
            before + 1,
            "{what}: counted under its name"
        );
        assert_eq!(after, frame, "{what}: left as it came");
    }
}

/// A frame from A to B with a checksum, to be bent by a test.
struct Frame {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
    shim: Shim,
    body: Vec<u8>,
}

impl Frame {
    fn new(from: SocketAddrV4, source: u32, destination: u32) -> Self {
        let body = vec![0x45; 60];
        let data_len = 20 + body.len();
        let mut shim = Shim::new(DataType::Virtual);
        shim.destination_director = U32::new(DIRECTOR.to_bits());
        shim.source_director = U32::new(DIRECTOR.to_bits());
        shim.source_member = U32::new(source);
        shim.destination_member = U32::new(destination);
        Self {
            ethernet: Ethernet {
                destination: OURS,
                source: mac(21),
                ethertype: U16::new(0x0800),
            },
            ip: Ipv4::new(*from.ip(), DIRECTOR, PROTOCOL_UDP, 28 + data_len as u16),
            udp: Udp::new(from.port(), 20202, data_len).unwrap(),
            shim,
            body,
        }
    }

    fn bytes(mut self) -> Vec<u8> {
        let data = [self.shim.as_bytes(), &self.body].concat();
        self.udp.fill_checksum(&self.ip, &data);
        [
            self.ethernet.as_bytes(),
            self.ip.as_bytes(),
            self.udp.as_bytes(),
            &data,
        ]
        .concat()
    }
}

fn a_to_b() -> Frame {
    Frame::new(NAT_A, A, B)
}

/// Changes one octet of the IPv4 header and mends its checksum.
fn bend_ip(at: usize, value: u8) -> Vec<u8> {
    let mut frame = a_to_b().bytes();
    frame[14 + at] = value;
    Ipv4::mut_from_prefix(&mut frame[14..])
        .unwrap()
        .0
        .refill_checksum();
    frame
}

#[test]
fn data_between_two_sessions_is_relayed_with_new_outer_headers() {
    let world = World::new();
    let sent = a_to_b().bytes();
    let (verdict, out) = world.run(&sent);
    assert_eq!(verdict, Verdict::Transmit(PORT));
    let (ethernet, rest) = Ethernet::parse(&out).unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OURS, mac(22)));
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    assert_eq!(
        (ip.source(), ip.destination(), ip.ttl()),
        (DIRECTOR, *NAT_B.ip(), 63)
    );
    let (udp, data) = Udp::parse(payload).unwrap();
    assert_eq!((udp.source.get(), udp.destination.get()), (20202, NAT_B.port()));
    udp.verify(ip, data).unwrap();
    assert_eq!(data, &sent[42..], "shim and virtual packet are not touched");
    assert_eq!(
        world.direct.session.get(1),
        (1, 108),
        "counted for the receiver, outer IPv4 octets"
    );
}

#[test]
fn a_receiver_beyond_the_link_is_reached_through_the_gateway() {
    let (verdict, out) = World::new().run(&Frame::new(NAT_A, A, E).bytes());
    assert_eq!(verdict, Verdict::Transmit(PORT));
    assert_eq!(&out[..6], mac(1).as_bytes());
}

#[test]
fn an_absent_udp_checksum_stays_absent() {
    let mut frame = a_to_b().bytes();
    frame[40..42].fill(0);
    let (verdict, out) = World::new().run(&frame);
    assert_eq!(verdict, Verdict::Transmit(PORT));
    assert_eq!(&out[40..42], [0, 0]);
}

#[test]
fn link_and_ip_lies_are_dropped_by_name() {
    let world = World::new();
    let frame = a_to_b().bytes();
    world.dropped("empty", &[], DropReason::EthernetTruncated);
    world.dropped("13 octets", &frame[..13], DropReason::EthernetTruncated);
    let mut other_station = a_to_b();
    other_station.ethernet.destination = mac(99);
    world.dropped(
        "another station",
        &other_station.bytes(),
        DropReason::EthernetNotOurs,
    );
    let mut ipv6 = a_to_b();
    ipv6.ethernet.ethertype = U16::new(0x86dd);
    world.dropped("IPv6", &ipv6.bytes(), DropReason::EthertypeUnknown);
    world.dropped("cut in the IPv4 header", &frame[..33], DropReason::Ipv4Truncated);
    world.dropped("cut behind it", &frame[..40], DropReason::Ipv4Length);
    world.dropped(
        "one octet short",
        &frame[..frame.len() - 1],
        DropReason::Ipv4Length,
    );
    world.dropped("version", &bend_ip(0, 0x65), DropReason::Ipv4Version);
    world.dropped("ihl 4", &bend_ip(0, 0x44), DropReason::Ipv4Length);
    world.dropped("options", &bend_ip(0, 0x46), DropReason::Ipv4Options);
    world.dropped("first fragment", &bend_ip(6, 0x20), DropReason::Ipv4Fragment);
    world.dropped("later fragment", &bend_ip(7, 1), DropReason::Ipv4Fragment);
    world.dropped("protocol", &bend_ip(9, 6), DropReason::ProtocolUnknown);
    world.dropped("loopback source", &bend_ip(12, 127), DropReason::Ipv4Martian);
    world.dropped("multicast source", &bend_ip(12, 224), DropReason::Ipv4Martian);
    world.dropped("our own source", &bend_ip(15, 10), DropReason::Ipv4Martian);
    world.dropped("another destination", &bend_ip(19, 11), DropReason::Ipv4NotOurs);
    let mut checksum = frame.clone();
    checksum[24] ^= 0x10;
    world.dropped("header checksum", &checksum, DropReason::Ipv4Checksum);
}

#[test]
fn udp_and_shim_lies_are_dropped_by_name() {
    let world = World::new();
    let mut length = a_to_b().bytes();
    length[39] -= 1;
    world.dropped("udp length", &length, DropReason::UdpLength);
    let mut checksum = a_to_b().bytes();
    checksum[41] ^= 1;
    world.dropped("udp checksum", &checksum, DropReason::UdpChecksum);
    let mut port = a_to_b();
    port.udp.destination = U16::new(53);
    world.dropped("udp port", &port.bytes(), DropReason::UdpPortUnknown);
    let mut stub = a_to_b();
    stub.ip = Ipv4::new(*NAT_A.ip(), DIRECTOR, PROTOCOL_UDP, 27);
    world.dropped("no room for udp", &stub.bytes(), DropReason::UdpTruncated);
    for (octet, value, reason) in [
        (0, 2, DropReason::ShimVersion),
        (1, 0, DropReason::ShimTypeUnknown),
        (1, 4, DropReason::ShimTypeUnknown),
        (1, 7, DropReason::ShimTypeUnknown),
        (1, 8, DropReason::ShimTypeUnknown),
    ] {
        let mut frame = a_to_b().bytes();
        frame[42 + octet] = value;
        frame[40..42].fill(0);
        world.dropped("shim", &frame, reason);
    }
    let mut other = a_to_b();
    other.shim.destination_director = U32::new(1);
    world.dropped("another director", &other.bytes(), DropReason::DirectorNotOurs);
    for (len, reason) in [
        (0, DropReason::VirtualTruncated),
        (19, DropReason::VirtualTruncated),
    ] {
        let mut short = a_to_b();
        short.body.truncate(len);
        short.ip = Ipv4::new(*NAT_A.ip(), DIRECTOR, PROTOCOL_UDP, 48 + len as u16);
        short.udp = Udp::new(NAT_A.port(), 20202, 20 + len).unwrap();
        world.dropped("no virtual packet", &short.bytes(), reason);
    }
    let mut no_shim = a_to_b().bytes();
    no_shim.truncate(14 + 28 + 19);
    no_shim[17] = 47;
    no_shim[39] = 27;
    no_shim[40..42].fill(0);
    Ipv4::mut_from_prefix(&mut no_shim[14..])
        .unwrap()
        .0
        .refill_checksum();
    world.dropped("shim cut short", &no_shim, DropReason::ShimTruncated);
}

#[test]
fn only_authorised_senders_reach_only_their_own_community() {
    let world = World::new();
    world.dropped(
        "unknown source",
        &Frame::new(NAT_A, POOL + 9, B).bytes(),
        DropReason::SourceUnknown,
    );
    world.dropped(
        "no source at all",
        &Frame::new(NAT_A, 0, B).bytes(),
        DropReason::SourceUnknown,
    );
    world.dropped(
        "source outside the pool",
        &Frame::new(NAT_A, u32::MAX, B).bytes(),
        DropReason::SourceUnknown,
    );
    world.dropped(
        "unknown destination",
        &Frame::new(NAT_A, A, POOL + 9).bytes(),
        DropReason::DestinationUnknown,
    );
    world.dropped(
        "no destination",
        &Frame::new(NAT_A, A, 0).bytes(),
        DropReason::DestinationUnknown,
    );
    world.dropped(
        "destination that only sends",
        &Frame::new(NAT_A, A, D).bytes(),
        DropReason::DestinationUnknown,
    );
    world.dropped(
        "another community",
        &Frame::new(NAT_A, A, C).bytes(),
        DropReason::CommunityMismatch,
    );
    let sender_only = SocketAddrV4::new(*NAT_B.ip(), 50_003);
    assert_eq!(
        world.run(&Frame::new(sender_only, D, B).bytes()).0,
        Verdict::Transmit(PORT)
    );
}

#[test]
fn a_spoofed_source_is_shown_to_the_slow_path_and_then_only_dropped() {
    let world = World::new();
    let spoofed = Frame::new(NAT_B, A, B).bytes();
    let same_address_other_port = Frame::new(SocketAddrV4::new(*NAT_A.ip(), 1), A, B).bytes();
    for frame in [&spoofed, &same_address_other_port] {
        let (verdict, after) = world.run(frame);
        assert_eq!(verdict, Verdict::Punt(PuntReason::SourceMismatch));
        assert_eq!(&after, frame);
    }
    let mut path = world.path();
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
    let mut up = 0;
    for _ in 0..32 {
        let mut burst: Vec<_> = (0..BURST).map(|_| HostPacket::from_bytes(&spoofed)).collect();
        path.process(&world.tables, PORT, Nanos(1), &mut burst, &mut verdicts);
        up += verdicts.iter().filter(|v| matches!(v, Verdict::Punt(_))).count();
    }
    assert_eq!(up, 100, "the slow path sees a burst of its rate and no more");
    assert_eq!(
        world.counters.dropped(DropReason::SourceMismatch).get(),
        1024 - 100
    );
}

#[test]
fn ttl_and_mtu_end_a_packet() {
    let world = World::new();
    world.dropped("ttl 1", &bend_ip(8, 1), DropReason::TtlExpired);
    world.dropped("ttl 0", &bend_ip(8, 0), DropReason::TtlExpired);
    let frame = Frame::new(NAT_A, A, F).bytes();
    assert_eq!(world.run(&frame), (Verdict::Punt(PuntReason::MtuExceeded), frame));
    let counted = (0..6).map(|index| world.direct.session.get(index).0).sum::<u64>();
    assert_eq!(counted, 0, "only what a session lets pass is counted");
}

#[test]
fn an_unknown_next_hop_goes_up_for_arp() {
    let mut world = World::new();
    world.tables.neighbor = ExactTable::default();
    let frame = a_to_b().bytes();
    assert_eq!(
        world.run(&frame),
        (Verdict::Punt(PuntReason::NeighborMiss), frame.clone())
    );
    assert_eq!(
        world.direct.session.get(1).0,
        1,
        "the session let it pass, as its action in P4 does"
    );
    world.tables.route.remove(Prefix::ALL).unwrap();
    world.dropped(
        "no route",
        &Frame::new(NAT_A, A, E).bytes(),
        DropReason::RouteUnknown,
    );
    let mut world = World::new();
    world.tables.egress_port = PortTable::new();
    world.dropped("no port to leave by", &frame, DropReason::RouteUnknown);
}

#[test]
fn what_the_slow_path_decides_goes_up_untouched() {
    let world = World::new();
    for (kind, reason) in [
        (2, PuntReason::Ping),
        (3, PuntReason::Control),
        (5, PuntReason::Control),
        (6, PuntReason::Control),
    ] {
        let mut frame = a_to_b().bytes();
        frame[43] = kind;
        frame[40..42].fill(0);
        assert_eq!(world.run(&frame), (Verdict::Punt(reason), frame));
    }
    let mut arp = a_to_b();
    arp.ethernet.ethertype = U16::new(0x0806);
    arp.ethernet.destination = MacAddr::BROADCAST;
    assert_eq!(world.run(&arp.bytes()).0, Verdict::Punt(PuntReason::Arp));
    let mut icmp = a_to_b();
    icmp.ip = Ipv4::new(*NAT_A.ip(), DIRECTOR, PROTOCOL_ICMP, 108);
    assert_eq!(world.run(&icmp.bytes()).0, Verdict::Punt(PuntReason::IcmpLocal));
}

#[test]
fn a_sender_above_its_rate_is_limited_and_others_are_not() {
    let world = World::new();
    let rate = Rate {
        per_second: 10,
        burst: 5,
    };
    assert_eq!(world.limit(A, rate), Ok(None));
    let mut path = world.path();
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
    let frame = a_to_b().bytes();
    let mut burst: Vec<_> = (0..10).map(|_| HostPacket::from_bytes(&frame)).collect();
    path.process(&world.tables, PORT, Nanos(1), &mut burst, &mut verdicts);
    assert_eq!(
        verdicts
            .iter()
            .filter(|v| matches!(v, Verdict::Transmit(_)))
            .count(),
        5
    );
    assert_eq!(world.counters.dropped(DropReason::SourceLimited).get(), 5);
    let other = SocketAddrV4::new(*NAT_B.ip(), 50_003);
    assert_eq!(
        world.run(&Frame::new(other, D, B).bytes()).0,
        Verdict::Transmit(PORT)
    );
}

#[test]
fn empty_tables_drop_everything() {
    let mut world = World::new();
    world.tables = bare(0);
    world.dropped("no sessions", &a_to_b().bytes(), DropReason::SourceUnknown);
    world.tables.endpoint = Role::Nothing;
    world.dropped("no role", &a_to_b().bytes(), DropReason::UdpPortUnknown);
    world.dropped("not to us", &bend_ip(19, 11), DropReason::Ipv4NotOurs);
    world.tables.ingress_port = PortTable::new();
    world.dropped("no ports", &a_to_b().bytes(), DropReason::EthernetNotOurs);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any change to any octets: no panic, one verdict, packets conserved, and nothing transmitted that was not authorised.
    #[test]
    fn bent_frames_are_decided_and_conserved(
        changes in proptest::collection::vec((0usize..122, any::<u8>()), 0..4),
        cut in 0usize..123,
        mend: bool,
    ) {
        let world = World::new();
        let mut frame = a_to_b().bytes();
        for (at, value) in changes {
            frame[at] = value;
        }
        frame.truncate(frame.len().min(cut.max(1)));
        if mend && frame.len() >= 34 {
            Ipv4::mut_from_prefix(&mut frame[14..]).unwrap().0.refill_checksum();
        }
        let (verdict, after) = world.run(&frame);
        match verdict {
            Verdict::Transmit(_) => {
                prop_assert_eq!(frame[26..30].to_vec(), NAT_A.ip().octets().to_vec());
                prop_assert_eq!(&after[42..], &frame[42..]);
            }
            Verdict::Punt(reason) => prop_assert_eq!(world.counters.punted(reason).get(), 1),
            Verdict::Drop(reason) => prop_assert_eq!(world.counters.dropped(reason).get(), 1),
            Verdict::HandOver(worker) => prop_assert!(false, "there is no {worker:?}"),
        }
        let transmitted = u64::from(matches!(verdict, Verdict::Transmit(_)));
        prop_assert_eq!(world.counters.all_drops() + world.counters.all_punts() + transmitted, 1);
    }

    /// The short way to a candidate and the long one, on frames with and without UDP checksum: both find the same ones.
    #[test]
    fn the_short_way_takes_what_the_long_way_takes(
        changes in proptest::collection::vec((0usize..122, any::<u8>()), 0..3),
        cut in 80usize..126,
        padded in 0usize..4,
        mend: bool,
        summed: bool,
        whole: bool,
    ) {
        let world = World::new();
        let mut frame = a_to_b().bytes();
        if !summed {
            frame[40..42].fill(0);
        }
        for (at, value) in changes {
            frame[at] = value;
        }
        frame.truncate(if whole { frame.len() } else { cut });
        frame.resize(frame.len() + padded, 0);
        if mend {
            Ipv4::mut_from_prefix(&mut frame[14..]).unwrap().0.refill_checksum();
        }
        let packet = HostPacket::from_bytes(&frame);
        let director = Director { tables: &world.tables, address: DIRECTOR, udp_port: 20202 };
        let short = director.relayable(world.tables.ingress_port.get(PORT).unwrap(), &packet);
        let long = receive(&world.tables, PORT, &packet).ok().map(|arrived| match arrived {
            Arrived::Relay(candidate) => candidate,
            other => panic!("a director does not take {other:?}"),
        });
        prop_assert_eq!(short, long);
    }

    #[test]
    fn a_frame_with_a_wrong_checksum_is_not_for_the_short_way(at in 42usize..122, flip in 1u8..) {
        let world = World::new();
        let director = Director { tables: &world.tables, address: DIRECTOR, udp_port: 20202 };
        let mut frame = a_to_b().bytes();
        let relayable = |frame: &[u8]| {
            director.relayable(world.tables.ingress_port.get(PORT).unwrap(), &HostPacket::from_bytes(frame))
        };
        prop_assert!(relayable(&frame).is_some());
        let at = at.min(frame.len() - 1);
        frame[at] ^= flip;
        prop_assert_eq!(relayable(&frame), None);
    }

    #[test]
    fn frames_without_checksum_are_relayed_alike(body in proptest::collection::vec(any::<u8>(), 20..100)) {
        let world = World::new();
        let mut frame = a_to_b();
        frame.udp = Udp::new(NAT_A.port(), 20202, 20 + body.len()).unwrap();
        frame.ip = Ipv4::new(*NAT_A.ip(), DIRECTOR, PROTOCOL_UDP, 48 + body.len() as u16);
        frame.body = body;
        let with = frame.bytes();
        let mut without = with.clone();
        without[40..42].fill(0);
        let (of_with, mut with) = world.run(&with);
        let (of_without, without) = world.run(&without);
        prop_assert_eq!(of_with, Verdict::Transmit(PORT));
        prop_assert_eq!(of_without, of_with);
        with[40..42].fill(0);
        prop_assert_eq!(with, without, "an absent checksum stays absent, all else is the same");
    }

    #[test]
    fn any_bytes_are_decided(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (verdict, _) = World::new().run(&frame);
        prop_assert!(!matches!(verdict, Verdict::Transmit(_)));
    }
}
