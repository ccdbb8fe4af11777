//! From the LAN: what is dropped, what goes up, what fits.

use super::world::*;
use crate::Verdict;
use crate::reason::{DropReason, PuntReason};
use crate::table::exact::ExactTable;
use crate::table::member::Tunnel;
use crate::table::policy::{Decision, Flow, Rule};
use crate::table::port::PortTable;
use crate::table::route::RouteTable;
use crate::units::{Nanos, SaIndex};
use kith_esp::{Limits, Millis, Outbound};
use kith_wire::ethernet::MacAddr;
use kith_wire::ipv4::{Ipv4, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use std::net::Ipv4Addr;

fn hello() -> Vec<u8> {
    let udp = datagram(DEVICE, BETA.seen_as, (40_000, 53), b"hello");
    lan_frame(PROTOCOL_UDP, &udp)
}

#[test]
fn only_members_speak_and_only_to_members() {
    let mut alpha = Side::alpha();
    let to_nobody = frame_between(DEVICE, Ipv4Addr::new(192, 168, 1, 203), PROTOCOL_ICMP, &[8; 8]);
    alpha.dropped("stands for nobody", LAN, &to_nobody, DropReason::Ipv4NotOurs);
    alpha.dropped(
        "by another port",
        WAN,
        &bend_station(hello()),
        DropReason::Ipv4NotOurs,
    );
    let stranger = frame_between(
        Ipv4Addr::new(192, 168, 1, 11),
        BETA.seen_as,
        PROTOCOL_ICMP,
        &[8; 8],
    );
    alpha.dropped("no member's device", LAN, &stranger, DropReason::LocalUnknown);
    alpha.tables.member.remove(pair(ALPHA, BETA)).unwrap();
    alpha.dropped("no tunnel", LAN, &hello(), DropReason::MemberUnknown);
    alpha.tables.policy.remove(allow_all()).unwrap();
    alpha.dropped("no policy comes first", LAN, &hello(), DropReason::PolicyDenied);
}

/// The same frame for the station of the other port.
fn bend_station(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&ALPHA.station.0);
    frame
}

#[test]
fn the_policy_sees_virtual_addresses_protocol_and_ports() {
    let all = |flow: Flow| {
        let ones = |there: bool| if there { u16::MAX } else { 0 };
        Flow {
            community: ones(flow.community != 0),
            source: u32::from(ones(flow.source != 0)) * 0x1_0001,
            destination: u32::from(ones(flow.destination != 0)) * 0x1_0001,
            protocol: ones(flow.protocol != 0) as u8,
            source_port: ones(flow.source_port != 0),
            destination_port: ones(flow.destination_port != 0),
        }
    };
    let none = Flow::default();
    for (what, flow) in [
        ("community", Flow { community: 7, ..none }),
        (
            "source",
            Flow {
                source: ALPHA.member.to_bits(),
                ..none
            },
        ),
        (
            "destination",
            Flow {
                destination: BETA.member.to_bits(),
                ..none
            },
        ),
        (
            "protocol",
            Flow {
                protocol: PROTOCOL_UDP,
                ..none
            },
        ),
        (
            "source port",
            Flow {
                source_port: 40_000,
                ..none
            },
        ),
        (
            "destination port",
            Flow {
                destination_port: 53,
                ..none
            },
        ),
    ] {
        let mut alpha = Side::alpha();
        let deny = Rule::new(2, flow, all(flow));
        alpha.tables.policy.insert(deny, Decision::Deny).unwrap();
        alpha.dropped(what, LAN, &hello(), DropReason::PolicyDenied);
        alpha.tables.policy.modify(deny, Decision::Allow).unwrap();
        alpha.tables.policy.remove(allow_all()).unwrap();
        alpha.sealed(&hello());
        let ping = lan_frame(PROTOCOL_ICMP, &[8, 0, 0, 53, 0, 0, 0, 0]);
        let (verdict, _) = alpha.run(LAN, &ping);
        let about_ports = flow.protocol != 0 || flow.source_port != 0 || flow.destination_port != 0;
        assert_eq!(
            verdict == Verdict::Drop(DropReason::PolicyDenied),
            about_ports,
            "{what}"
        );
    }
}

#[test]
fn the_ports_of_a_header_that_is_cut_short_are_unknown() {
    let mut alpha = Side::alpha();
    let web = Flow {
        destination_port: 80,
        ..Flow::default()
    };
    let mask = Flow {
        destination_port: 0xffff,
        ..Flow::default()
    };
    alpha.tables.policy.remove(allow_all()).unwrap();
    alpha
        .tables
        .policy
        .insert(Rule::new(1, web, mask), Decision::Allow)
        .unwrap();
    let whole = syn(DEVICE, BETA.seen_as, 1000);
    alpha.sealed(&lan_frame(PROTOCOL_TCP, &whole));
    alpha.sealed(&lan_frame(PROTOCOL_TCP, &whole[..20]));
    alpha.dropped(
        "19 octets",
        LAN,
        &lan_frame(PROTOCOL_TCP, &whole[..19]),
        DropReason::PolicyDenied,
    );
    alpha.sealed(&lan_frame(PROTOCOL_UDP, &whole[..8]));
    alpha.dropped(
        "7 octets",
        LAN,
        &lan_frame(PROTOCOL_UDP, &whole[..7]),
        DropReason::PolicyDenied,
    );
}

#[test]
fn a_packet_on_its_last_hop_ends_here() {
    let mut alpha = Side::alpha();
    for ttl in [0, 1] {
        alpha.dropped("ttl", LAN, &bend_ip(hello(), 14, 8, ttl), DropReason::TtlExpired);
    }
    alpha.sealed(&bend_ip(hello(), 14, 8, 2));
    assert_eq!(alpha.direct.member.get(0).0, 1, "only what may go is counted");
}

#[test]
fn lan_frames_that_lie_are_dropped_by_name() {
    let mut alpha = Side::alpha();
    let frame = hello();
    let mut other_station = frame.clone();
    other_station[5] ^= 1;
    alpha.dropped("station", LAN, &other_station, DropReason::EthernetNotOurs);
    alpha.dropped("cut", LAN, &frame[..frame.len() - 1], DropReason::Ipv4Length);
    alpha.dropped(
        "fragment",
        LAN,
        &bend_ip(frame.clone(), 14, 6, 0x20),
        DropReason::Ipv4Fragment,
    );
    alpha.dropped(
        "loopback",
        LAN,
        &bend_ip(frame.clone(), 14, 12, 127),
        DropReason::Ipv4Martian,
    );
    let mut checksum = frame;
    checksum[24] ^= 1;
    alpha.dropped("checksum", LAN, &checksum, DropReason::Ipv4Checksum);
}

#[test]
fn what_the_slow_path_decides_goes_up_untouched() {
    let mut alpha = Side::alpha();
    let frame = hello();
    alpha.tables.neighbor = ExactTable::default();
    alpha.punted("unknown next hop", LAN, &frame, PuntReason::NeighborMiss);
    let entry = tunnel(BETA, 100);
    alpha.tables.member.modify(pair(ALPHA, BETA), entry).unwrap();
    alpha.punted("narrow path", LAN, &frame, PuntReason::MtuExceeded);
    let entry = Tunnel::AwaitKeys;
    alpha.tables.member.modify(pair(ALPHA, BETA), entry).unwrap();
    let counted = alpha.direct.member.get(0);
    alpha.punted("no keys yet", LAN, &frame, PuntReason::KeysMissing);
    assert_eq!(alpha.direct.member.get(0), counted, "who waits is not counted");
    let to_us = frame_between(DEVICE, GATEWAY, PROTOCOL_ICMP, &[8; 8]);
    alpha.punted("ping of the gateway", LAN, &to_us, PuntReason::IcmpLocal);
    let mut arp = frame;
    arp[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    arp[12..14].copy_from_slice(&[8, 6]);
    alpha.punted("arp", LAN, &arp, PuntReason::Arp);
}

#[test]
fn a_packet_that_waited_for_its_neighbour_can_be_given_again() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let known = std::mem::take(&mut alpha.tables.neighbor);
    let (verdict, waiting) = alpha.run(LAN, &hello());
    assert_eq!(verdict, Verdict::Punt(PuntReason::NeighborMiss));
    alpha.tables.neighbor = known;
    let opened = beta.opened(&alpha.sealed(&waiting));
    assert_eq!(opened[42..], *b"hello");
}

#[test]
fn above_its_rate_a_punt_is_a_drop_of_its_own_name() {
    let mut alpha = Side::alpha();
    alpha.tables.punt_rates.fill(crate::meter::Rate {
        per_second: 0,
        burst: 0,
    });
    alpha.tables.neighbor = ExactTable::default();
    alpha.dropped("neighbour", LAN, &hello(), DropReason::NeighborUnresolved);
    alpha
        .tables
        .member
        .modify(pair(ALPHA, BETA), tunnel(BETA, 100))
        .unwrap();
    alpha.dropped("too large", LAN, &hello(), DropReason::MtuExceeded);
    alpha
        .tables
        .member
        .modify(pair(ALPHA, BETA), Tunnel::AwaitKeys)
        .unwrap();
    alpha.dropped("no keys", LAN, &hello(), DropReason::KeysMissing);
}

#[test]
fn without_a_way_out_nothing_leaves() {
    let mut alpha = Side::alpha();
    let wan = alpha.tables.ingress_port.remove(WAN).unwrap();
    alpha.dropped("no address to send from", LAN, &hello(), DropReason::RouteUnknown);
    alpha.tables.ingress_port.insert(WAN, wan).unwrap();
    alpha.tables.egress_port = PortTable::new();
    alpha.dropped("no port to leave by", LAN, &hello(), DropReason::RouteUnknown);
    alpha.tables.route = RouteTable::default();
    alpha.dropped("no route", LAN, &hello(), DropReason::RouteUnknown);
}

#[test]
fn without_living_keys_nothing_leaves() {
    let mut alpha = Side::alpha();
    let late = Nanos(NOW.0 + 1_000_000_000_000);
    assert_eq!(
        alpha.run_at(late, LAN, &hello()).0,
        Verdict::Drop(DropReason::EspExpired)
    );
    assert!(alpha.path.gateway().remove_outbound(SaIndex(3)).is_some());
    alpha.dropped("keys are gone", LAN, &hello(), DropReason::KeysMissing);
    let sa = Outbound::new(spi(BETA), keys(BETA), Limits::default(), Millis(1000));
    assert!(
        alpha
            .path
            .gateway()
            .install_outbound(SaIndex(3), Box::new(sa))
            .is_ok()
    );
    alpha.sealed(&hello());
    let sa = Outbound::new(spi(BETA), keys(BETA), Limits::default(), Millis(1000));
    let beyond = alpha.path.gateway().install_outbound(SaIndex(8), Box::new(sa));
    assert!(beyond.is_err(), "no room is made while packets pass");
}

#[test]
fn the_largest_packet_that_fits_goes_and_one_octet_more_does_not() {
    for mtu in 600..=700 {
        let mut alpha = Side::alpha();
        alpha
            .tables
            .member
            .modify(pair(ALPHA, BETA), tunnel(BETA, mtu))
            .unwrap();
        // What is announced leaves room for the header of a fragment that is sealed whole; a LAN's packets are never that.
        let fits = usize::from(crate::host::virtual_mtu(mtu));
        let sealed = alpha.sealed(&lan_frame(1, &vec![1; fits]));
        assert!(sealed.len() - 14 <= usize::from(mtu));
        let larger = lan_frame(1, &vec![1; fits + 1]);
        alpha.punted("too large", LAN, &larger, PuntReason::MtuExceeded);
    }
}

#[test]
fn link_padding_is_not_sent() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let mut padded = hello();
    padded.extend([0xee; 9]);
    let opened = beta.opened(&alpha.sealed(&padded));
    assert_eq!(opened.len(), hello().len());
    assert!(Ipv4::parse(&opened[14..]).is_ok());
}
