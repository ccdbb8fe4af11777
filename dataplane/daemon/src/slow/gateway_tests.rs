//! The slow path of a gateway: alice, a printer on its LAN, and bob, a remote member whom .200 stands for.

use super::tests::{
    ALICE, DIRECTOR as ROUTER, OURS, PORT, THEIRS, arp, give, insert, links, modify, parsed, write,
};
use super::*;
use kith_p4runtime::entry::{
    EndpointAction, EndpointKey, FromMember, LocalDestinationKey, LocalSourceKey, MemberAction, MemberKey,
    ToVirtual,
};
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
