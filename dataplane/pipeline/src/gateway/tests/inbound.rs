//! From the tunnel: what is dropped, what goes up, what is delivered.

use super::world::*;
use crate::Verdict;
use crate::host::transport;
use crate::packet::{HostPacket, Packet};
use crate::reason::{DropReason, PuntReason};
use crate::table::policy::{Decision, Flow, Rule};
use crate::table::port::PortTable;
use crate::units::{Nanos, SaIndex};
use kith_esp::{Limits, Millis, NO_NEXT_HEADER, Outbound, sealed_overhead};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_ICMP, PROTOCOL_IPV4, PROTOCOL_TCP, PROTOCOL_UDP};
use zerocopy::{FromBytes, IntoBytes};

/// Where the virtual header begins in a frame.
const INNER: usize = 62;

fn sealed() -> Vec<u8> {
    let udp = datagram(DEVICE, BETA.seen_as, (40_000, 53), b"hello");
    Side::alpha().sealed(&lan_frame(PROTOCOL_UDP, &udp))
}

/// Puts another virtual packet behind alpha's outer headers.
fn with_inner(inner: &[u8]) -> Vec<u8> {
    let mut frame = sealed();
    frame.truncate(INNER);
    frame.extend(inner);
    let total = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
    Ipv4::mut_from_prefix(&mut frame[14..])
        .unwrap()
        .0
        .refill_checksum();
    frame
}

fn clear(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4::new(ALPHA.member, BETA.member, protocol, 20 + payload.len() as u16);
    with_inner(&[ip.as_bytes(), payload].concat())
}

/// What alpha's keys make of any payload, as any next header.
pub(super) fn sealed_as(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let now = Millis(NOW.0 / 1_000_000);
    let mut sa = Outbound::new(spi(BETA), keys(BETA), Limits::default(), now);
    let ip = Ipv4::new(ALPHA.member, BETA.member, next_header, 20 + payload.len() as u16);
    let mut packet = HostPacket::from_bytes(&[ip.as_bytes(), payload].concat());
    transport::seal(&mut packet, &mut sa, now).unwrap();
    assert_eq!(
        packet.bytes().len(),
        20 + payload.len() + sealed_overhead(payload.len())
    );
    with_inner(packet.bytes())
}

#[test]
fn virtual_headers_that_lie_are_dropped_by_name() {
    let mut beta = Side::beta();
    let good = sealed();
    beta.dropped(
        "nothing behind the shim",
        WAN,
        &with_inner(&[]),
        DropReason::VirtualTruncated,
    );
    beta.dropped(
        "19 octets",
        WAN,
        &with_inner(&[0x45; 19]),
        DropReason::VirtualTruncated,
    );
    for (what, at, value, reason) in [
        ("version", 0, 0x65, DropReason::VirtualVersion),
        ("options", 0, 0x46, DropReason::VirtualOptions),
        ("ihl 4", 0, 0x44, DropReason::VirtualLength),
        ("longer than the packet", 2, 0xff, DropReason::VirtualLength),
        ("reserved flag", 6, 0x80, DropReason::VirtualLength),
        ("more fragments", 6, 0x20, DropReason::VirtualFragment),
        ("fragment offset", 7, 1, DropReason::VirtualFragment),
        (
            "shorter than the packet",
            3,
            good[INNER + 3] - 4,
            DropReason::VirtualLength,
        ),
    ] {
        beta.dropped(what, WAN, &bend_ip(good.clone(), INNER, at, value), reason);
    }
    let mut checksum = good;
    checksum[INNER + 10] ^= 1;
    beta.dropped("checksum", WAN, &checksum, DropReason::VirtualChecksum);
}

#[test]
fn nothing_comes_in_clear_but_key_agreement() {
    let mut beta = Side::beta();
    beta.dropped(
        "tcp",
        WAN,
        &clear(PROTOCOL_TCP, &[0; 20]),
        DropReason::CleartextRefused,
    );
    let dns = datagram(ALPHA.member, BETA.member, (1, 53), b"");
    beta.dropped(
        "udp",
        WAN,
        &clear(PROTOCOL_UDP, &dns),
        DropReason::CleartextRefused,
    );
    let keying = datagram(ALPHA.member, BETA.member, (20202, 20202), b"init");
    beta.dropped(
        "a stub",
        WAN,
        &clear(PROTOCOL_UDP, &keying[..7]),
        DropReason::CleartextRefused,
    );
    let ike = datagram(ALPHA.member, BETA.member, (500, 500), b"init");
    for (what, keying) in [("key agreement", &keying), ("IKE", &ike)] {
        beta.punted(what, WAN, &clear(PROTOCOL_UDP, keying), PuntReason::Keying);
    }
    beta.tables.punt_rates.fill(crate::meter::Rate {
        per_second: 0,
        burst: 0,
    });
    beta.dropped(
        "too much of it",
        WAN,
        &clear(PROTOCOL_UDP, &keying),
        DropReason::PuntLimited,
    );
}

#[test]
fn an_association_opens_packets_of_its_own_pair_only() {
    let mut beta = Side::beta();
    beta.dropped(
        "7 octets",
        WAN,
        &clear(PROTOCOL_ESP, &[0; 7]),
        DropReason::EspTruncated,
    );
    beta.dropped(
        "no such SPI",
        WAN,
        &clear(PROTOCOL_ESP, &[0; 8]),
        DropReason::EspSpiUnknown,
    );
    let to_other = bend_ip(sealed(), INNER, 19, 9);
    beta.dropped("to another", WAN, &to_other, DropReason::VirtualNotOurs);
    let from_other = bend_ip(sealed(), INNER, 15, 9);
    beta.dropped("from another", WAN, &from_other, DropReason::VirtualSourceSpoofed);
    assert_eq!(
        beta.direct.association.get(0).0,
        0,
        "none of these is the association's"
    );
    let spi = BETA.spi.to_be_bytes();
    beta.dropped(
        "too short to open",
        WAN,
        &clear(PROTOCOL_ESP, &[&spi[..], &[0; 4]].concat()),
        DropReason::EspTruncated,
    );
    assert_eq!(beta.direct.association.get(0), (1, 28));
}

#[test]
fn a_replay_a_forgery_and_old_keys_are_refused() {
    let mut beta = Side::beta();
    let frame = sealed();
    let mut forged = frame.clone();
    *forged.last_mut().unwrap() ^= 1;
    beta.dropped("forged", WAN, &forged, DropReason::EspBadTag);
    beta.opened(&frame);
    beta.dropped("again", WAN, &frame, DropReason::EspReplayed);
    let late = Nanos(NOW.0 + 1_000_000_000_000);
    assert_eq!(
        beta.run_at(late, WAN, &frame).0,
        Verdict::Drop(DropReason::EspExpired)
    );
    let odd = clear(PROTOCOL_ESP, &[&BETA.spi.to_be_bytes()[..], &[0; 33]].concat());
    beta.dropped("no whole words", WAN, &odd, DropReason::EspBadTrailer);
    assert!(beta.path.gateway().remove_inbound(SaIndex(5)).is_some());
    beta.dropped("keys are gone", WAN, &frame, DropReason::EspSpiUnknown);
}

#[test]
fn of_what_was_sealed_only_whole_packets_are_delivered() {
    let mut beta = Side::beta();
    beta.dropped(
        "dummy",
        WAN,
        &sealed_as(NO_NEXT_HEADER, &[]),
        DropReason::EspDummy,
    );
    let mut fragment = Ipv4::new(ALPHA.member, BETA.member, PROTOCOL_UDP, 28)
        .as_bytes()
        .to_vec();
    fragment.extend([0; 8]);
    let fragment = bend_ip(fragment, 0, 6, 0x20);
    let mut beta = Side::beta();
    beta.dropped(
        "fragment",
        WAN,
        &sealed_as(PROTOCOL_IPV4, &fragment),
        DropReason::VirtualFragment,
    );
    let mut beta = Side::beta();
    let whole = sealed_as(PROTOCOL_IPV4, &bend_ip(fragment, 0, 6, 0));
    beta.dropped("a tunnel", WAN, &whole, DropReason::VirtualSourceSpoofed);
}

#[test]
fn the_policy_is_asked_about_what_was_inside() {
    let mut beta = Side::beta();
    let dns = Flow {
        protocol: PROTOCOL_UDP,
        destination_port: 53,
        ..Flow::default()
    };
    let mask = Flow {
        protocol: 0xff,
        destination_port: 0xffff,
        ..Flow::default()
    };
    let rule = Rule::new(9, dns, mask);
    beta.tables.policy.insert(rule, Decision::Deny).unwrap();
    beta.dropped("dns", WAN, &sealed(), DropReason::PolicyDenied);
    let ping = Side::alpha().sealed(&lan_frame(PROTOCOL_ICMP, &[8; 8]));
    let mut beta = Side::beta();
    beta.tables.policy.insert(rule, Decision::Deny).unwrap();
    beta.opened(&ping);
}

#[test]
fn a_member_without_a_device_or_a_stand_in_is_not_delivered() {
    let mut beta = Side::beta();
    let stand_ins = std::mem::take(&mut beta.tables.virtual_source);
    beta.dropped("no stand-in", WAN, &sealed(), DropReason::MemberUnknown);
    beta.tables.virtual_source = stand_ins;
    beta.tables
        .virtual_destination
        .remove(virtual_address(BETA.member))
        .unwrap();
    beta.dropped("no device", WAN, &sealed(), DropReason::VirtualNotOurs);
    let mut beta = Side::beta();
    beta.tables.egress_port = PortTable::new();
    beta.dropped("no port to leave by", WAN, &sealed(), DropReason::RouteUnknown);
}

#[test]
fn a_packet_that_waited_for_its_device_can_be_given_again() {
    let mut beta = Side::beta();
    let known = std::mem::take(&mut beta.tables.neighbor);
    let frame = sealed();
    beta.punted("unknown station", WAN, &frame, PuntReason::NeighborMiss);
    beta.tables.neighbor = known;
    assert_eq!(beta.opened(&frame)[42..], *b"hello");
}

#[test]
fn a_directors_messages_go_up_and_a_members_requests_do_not() {
    let mut beta = Side::beta();
    let of_type = |kind: u8| {
        let mut frame = sealed();
        frame[43] = kind;
        frame
    };
    for (kind, reason) in [
        (2, PuntReason::Ping),
        (4, PuntReason::Control),
        (5, PuntReason::Control),
        (6, PuntReason::Control),
    ] {
        beta.punted("control", WAN, &of_type(kind), reason);
    }
    for kind in [0, 3, 7, 8] {
        beta.dropped("type", WAN, &of_type(kind), DropReason::ShimTypeUnknown);
    }
    let mut port = sealed();
    port[37] ^= 1;
    beta.dropped("port", WAN, &port, DropReason::UdpPortUnknown);
}

#[test]
fn the_time_to_live_does_not_count_on_the_way_in() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let frame = bend_ip(lan_frame(PROTOCOL_ICMP, &[8; 8]), 14, 8, 2);
    let opened = beta.opened(&alpha.sealed(&frame));
    assert_eq!(opened[22], 1);
}
