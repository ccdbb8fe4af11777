//! The slow path of a gateway: alice, a printer on its LAN, and bob, a remote member whom .200 stands for.

use super::tests::{
    ALICE, DIRECTOR as ROUTER, OURS, PORT, THEIRS, arp, at, give, insert, links, modify, parsed, take, write,
};
use super::*;
use kith_p4runtime::entry::{
    EndpointAction, EndpointKey, FromMember, LocalDestinationKey, LocalSourceKey, MemberAction, MemberKey,
    ToVirtual,
};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_pipeline::host::virtual_mtu;
use kith_pipeline::packet::HostPacket;
use kith_pipeline::units::CommunityIndex;
use kith_wire::arp::{Arp, Operation};
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet};
use kith_wire::icmp::Icmp;
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

const STAND_IN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 200);
const VIRTUAL_ALICE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const VIRTUAL_BOB: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
/// Where bob's director is: behind the link's router.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn gateway() -> Slow<HostPacket> {
    let (control, shared) = links();
    let community = CommunityIndex::new(1).unwrap();
    let stand_in = LocalDestinationKey {
        port: PORT,
        address: STAND_IN,
    };
    let to_virtual = ToVirtual {
        community,
        address: VIRTUAL_BOB,
    };
    let device = LocalSourceKey {
        port: PORT,
        address: ALICE,
        community,
    };
    let from_member = FromMember {
        address: VIRTUAL_ALICE,
        director: Ipv4Addr::UNSPECIFIED,
        pseudo: Ipv4Addr::UNSPECIFIED,
    };
    let pair = MemberKey {
        community,
        source: VIRTUAL_ALICE,
        destination: VIRTUAL_BOB,
    };
    let seal_to = MemberAction::SealTo {
        sa: 0,
        address: FAR,
        port: 20202,
        director: FAR,
        pseudo: Ipv4Addr::UNSPECIFIED,
        mtu: 1400,
    };
    write(
        &control,
        [
            modify((EndpointKey {}, EndpointAction::Gateway { udp_port: 20202 })),
            insert((stand_in, to_virtual)),
            insert((device, from_member)),
            insert((pair, seal_to)),
        ],
    );
    Slow::new(control, shared, Limits::default())
}

/// A packet of alice's to the address that stands for bob.
fn from_lan(len: usize) -> Vec<u8> {
    let ethernet = Ethernet {
        destination: OURS,
        source: THEIRS,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    let ip = Ipv4::new(ALICE, STAND_IN, PROTOCOL_UDP, 20 + len as u16);
    [ethernet.as_bytes(), ip.as_bytes(), &vec![0; len]].concat()
}

#[test]
fn it_answers_arp_for_the_addresses_that_stand_for_others_and_for_no_more() {
    let mut slow = gateway();
    let asks = |target| arp(Operation::Request, (THEIRS, ALICE), target);
    let sent = give(&mut slow, PuntReason::Arp, &asks(STAND_IN));
    let answer = Arp::parse(&sent[0].bytes()[14..]).unwrap();
    assert_eq!(answer.sender(), (OURS, STAND_IN));
    let other = Ipv4Addr::new(203, 0, 113, 201);
    assert!(give(&mut slow, PuntReason::Arp, &asks(other)).is_empty());
    // A device that claims such an address is not believed.
    let claim = arp(Operation::Request, (THEIRS, STAND_IN), ROUTER);
    assert!(give(&mut slow, PuntReason::Arp, &claim).is_empty());
}

#[test]
fn a_packet_for_a_tunnel_waits_for_the_router_to_the_far_end() {
    let mut slow = gateway();
    let asked = give(&mut slow, PuntReason::NeighborMiss, &from_lan(100));
    let request = Arp::parse(&asked[0].bytes()[14..]).unwrap();
    assert_eq!(
        (request.target().1, slow.held()),
        (Ipv4Addr::new(203, 0, 113, 1), 1)
    );
}

#[test]
fn a_device_hears_how_large_its_own_packets_may_be() {
    let mut slow = gateway();
    let sent = give(&mut slow, PuntReason::MtuExceeded, &from_lan(1400));
    let (ethernet, ip, payload) = parsed(&sent[0]);
    assert_eq!(
        (ethernet.destination, ip.source(), ip.destination()),
        (THEIRS, ROUTER, ALICE)
    );
    let (icmp, body) = Icmp::parse(&payload).unwrap();
    assert_eq!(icmp.too_big(body).unwrap().unwrap().mtu, virtual_mtu(1400));
}

#[test]
fn what_lacks_keys_goes_up_and_is_dropped_under_that_name_if_nobody_is_there() {
    let mut slow = gateway();
    for reason in [PuntReason::Keying, PuntReason::KeysMissing] {
        give(&mut slow, reason, &from_lan(100));
    }
    let drops = |reason| slow.counts().shared.counters.dropped(reason).get();
    assert_eq!(
        (drops(DropReason::SlowPathRefused), drops(DropReason::KeysMissing)),
        (1, 1)
    );
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Octets for a packet.
fn buffer() -> Option<HostPacket> {
    Some(HostPacket::new(2048, 128))
}

/// The link's router answers who asked for it.
fn router_answers(slow: &mut Slow<HostPacket>) {
    let answer = arp(Operation::Reply, (THEIRS, GATEWAY), ROUTER);
    let packet = HostPacket::from_bytes(&answer);
    slow.packet(at(20), PORT, PuntReason::Arp, packet, &mut buffer);
}

#[test]
fn a_packet_that_waited_goes_back_to_a_worker_as_it_came() {
    let mut slow = gateway();
    let frame = from_lan(100);
    give(&mut slow, PuntReason::NeighborMiss, &frame);
    assert_eq!((slow.held(), slow.submitted.len()), (1, 0));
    router_answers(&mut slow);
    let [submitted] = &slow.submitted[..] else {
        panic!("{:?}", slow.submitted)
    };
    assert_eq!(submitted.packet.bytes(), frame);
    assert_eq!((submitted.ingress, submitted.counted), (PORT, true));
    assert_eq!((slow.held(), slow.out.len()), (0, 0));
}

fn routed(to: Ipv4Addr, len: u16) -> PacketOut {
    let ip = Ipv4::new(ROUTER, to, PROTOCOL_UDP, 20 + len);
    PacketOut {
        egress_port: PORT,
        mode: PacketOutMode::Routed,
        frame: [&[0; 14][..], ip.as_bytes(), &vec![7; len.into()]].concat(),
    }
}

#[test]
fn a_routed_packet_waits_for_its_next_hop_and_gets_both_stations() {
    let mut slow = gateway();
    let packet = routed(FAR, 100);
    slow.packet_out(at(10), &packet, &mut buffer);
    let asked = take(&mut slow);
    let request = Arp::parse(&asked[0].bytes()[14..]).unwrap();
    assert_eq!((request.target().1, slow.held()), (GATEWAY, 1));
    router_answers(&mut slow);
    for sent in [take(&mut slow), {
        slow.packet_out(at(30), &packet, &mut buffer);
        take(&mut slow)
    }] {
        let (ethernet, ..) = parsed(&sent[0]);
        assert_eq!((ethernet.destination, ethernet.source), (THEIRS, OURS));
        assert_eq!(sent[0].bytes()[14..], packet.frame[14..]);
    }
}

#[test]
fn a_routed_packet_that_no_port_takes_is_dropped_by_name() {
    let mut slow = gateway();
    slow.packet_out(at(10), &routed(FAR, 1481), &mut buffer);
    take(&mut slow);
    let drops = |reason| slow.counts().shared.counters.dropped(reason).get();
    assert_eq!(drops(DropReason::MtuExceeded), 1);
    assert_eq!(slow.held(), 0);
}

#[test]
fn a_submitted_packet_is_new_to_the_worker() {
    let mut slow = gateway();
    let packet = PacketOut {
        egress_port: PORT,
        mode: PacketOutMode::Submit,
        frame: from_lan(50),
    };
    slow.packet_out(at(10), &packet, &mut buffer);
    assert_eq!(slow.submitted[0].packet.bytes(), packet.frame);
    assert_eq!(
        (slow.submitted[0].ingress, slow.submitted[0].counted),
        (PORT, false)
    );
    slow.delivered(true);
    slow.submitted.clear();
    take(&mut slow);
}
