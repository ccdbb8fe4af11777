//! What a manager decides: what may pass, who is in which place, who may knock.

use super::decap::{Decapsulated, IKE_PORT, KEYING_PORT};
use super::encap::Encapsulated;
use super::tables::{HostTables, MemberIndex};
use super::tests::{ALICE, BOB, CAROL, DELIVERED, FROM_ALICE, NOW, Pair, keys, member, spi, virtual_packet};
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::table::policy::{Decision, Flow, PolicyTable, Rule};
use kith_esp::{Inbound, Limits, Outbound};
use kith_wire::checksum::Sum;
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{DataType, Shim};
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;
use zerocopy::IntoBytes;

const ANY: Flow = Flow {
    community: 0,
    source: 0,
    destination: 0,
    protocol: 0,
    source_port: 0,
    destination_port: 0,
};
const SSH: Flow = Flow {
    protocol: 6,
    destination_port: 22,
    ..ANY
};

/// Each rule and its mask, the first one first.
fn policy(rules: &[(Flow, Flow, Decision)]) -> PolicyTable {
    let mut table = PolicyTable::default();
    for (priority, (value, mask, decision)) in (0..100).rev().zip(rules) {
        table
            .insert(Rule::new(priority, *value, *mask), *decision)
            .unwrap();
    }
    table
}

fn no_ssh() -> PolicyTable {
    let mask = Flow {
        protocol: u8::MAX,
        destination_port: u16::MAX,
        ..ANY
    };
    policy(&[(SSH, mask, Decision::Deny), (ANY, ANY, Decision::Allow)])
}

fn tables(own: Ipv4Addr, other: Ipv4Addr, policy: PolicyTable) -> HostTables {
    HostTables::managed(own, vec![Some(member(other, 1500)), None], policy)
}

/// Alice and Bob under these policies.
fn pair(alice: PolicyTable, bob: PolicyTable) -> Pair {
    let mut pair = Pair::new();
    pair.alice = tables(ALICE, BOB, alice);
    pair.bob = tables(BOB, ALICE, bob);
    pair
}

fn open_to_all() -> PolicyTable {
    policy(&[(ANY, ANY, Decision::Allow)])
}

fn segment(destination_port: u16, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    payload[..2].copy_from_slice(&40_000u16.to_be_bytes());
    payload[2..4].copy_from_slice(&destination_port.to_be_bytes());
    payload
}

fn tcp(destination_port: u16) -> Vec<u8> {
    let mut payload = segment(destination_port, 20);
    payload[12] = 0x50;
    virtual_packet(ALICE, BOB, 6, &payload)
}

fn fragment(flags_and_offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = virtual_packet(ALICE, BOB, 6, payload);
    bytes[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
    bytes[10..12].fill(0);
    let sum = Sum::ZERO.add_bytes(&bytes[..20]).finish();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes
}

const DENIED: Encapsulated = Encapsulated::Drop(DropReason::PolicyDenied);

#[test]
fn without_a_rule_nothing_passes_but_dummies_and_key_agreement() {
    let mut closed = pair(PolicyTable::default(), PolicyTable::default());
    assert_eq!(closed.seal(&tcp(80)).0, DENIED);
    let mut half = pair(open_to_all(), PolicyTable::default());
    let mut packet = half.sealed(&tcp(80));
    half.refused(&mut packet, DropReason::PolicyDenied);
    let mut dummy = closed.sealed(&virtual_packet(ALICE, BOB, 59, b""));
    assert!(matches!(closed.open(&mut dummy), Decapsulated::Dummy { .. }));
}

#[test]
fn a_rule_holds_on_the_way_out_and_on_the_way_in() {
    let mut out = pair(no_ssh(), open_to_all());
    assert_eq!(out.seal(&tcp(22)).0, DENIED);
    let mut packet = out.sealed(&tcp(80));
    assert_eq!(out.open(&mut packet), DELIVERED);

    let mut into = pair(open_to_all(), no_ssh());
    let mut packet = into.sealed(&tcp(22));
    into.refused(&mut packet, DropReason::PolicyDenied);
    let mut packet = into.sealed(&tcp(80));
    assert_eq!(into.open(&mut packet), DELIVERED);
}

#[test]
fn who_is_denied_learns_not_whether_there_is_such_a_member() {
    let mut closed = pair(PolicyTable::default(), PolicyTable::default());
    for to in [BOB, CAROL] {
        assert_eq!(closed.seal(&virtual_packet(ALICE, to, 17, b"")).0, DENIED);
    }
}

#[test]
fn a_first_fragment_shows_its_ports_and_the_others_match_only_rules_that_do_not_ask() {
    // The least that a first fragment may hold: a TCP header cut in two does not get past a rule about its port.
    let first = fragment(0x2000, &segment(22, 8));
    let later = fragment(1, &segment(22, 24));
    let mut out = pair(no_ssh(), open_to_all());
    assert_eq!(out.seal(&first).0, DENIED);
    let mut packet = out.sealed(&later);
    assert_eq!(out.open(&mut packet), DELIVERED);

    let mut into = pair(open_to_all(), no_ssh());
    let mut packet = into.sealed(&first);
    into.refused(&mut packet, DropReason::PolicyDenied);
    let mut packet = into.sealed(&later);
    assert_eq!(into.open(&mut packet), DELIVERED);

    let mask = Flow {
        protocol: u8::MAX,
        destination_port: u16::MAX,
        ..ANY
    };
    let only_ssh = || policy(&[(SSH, mask, Decision::Allow)]);
    let mut allowed = pair(only_ssh(), open_to_all());
    assert_eq!(allowed.seal(&later).0, DENIED, "its ports are not to be seen");
    allowed.sealed(&first);
}

#[test]
fn a_vacant_place_is_nobodys() {
    let mut pair = pair(open_to_all(), open_to_all());
    assert_eq!(pair.alice.member(MemberIndex(1)), None);
    assert_eq!(
        pair.alice.member(MemberIndex(0)).map(|member| member.address),
        Some(BOB)
    );
    let unspecified = virtual_packet(ALICE, Ipv4Addr::UNSPECIFIED, 17, b"");
    assert_eq!(
        pair.seal(&unspecified).0,
        Encapsulated::NeedMember {
            to: Ipv4Addr::UNSPECIFIED
        },
        "left to the caller, and not counted"
    );
    pair.out.remove(MemberIndex(0));
    assert!(
        matches!(pair.seal(&tcp(80)).0, Encapsulated::NeedKeys { .. }),
        "keys are gone with the member"
    );
}

fn knock(port: u16, protocol: u8) -> Vec<u8> {
    let data = [7; 32];
    let ip = Ipv4::new(CAROL, BOB, protocol, 20 + 8 + 32);
    let mut udp = Udp::new(KEYING_PORT, port, data.len()).unwrap();
    udp.fill_checksum(&ip, &data);
    [
        Shim::new(DataType::Virtual).as_bytes(),
        ip.as_bytes(),
        udp.as_bytes(),
        &data,
    ]
    .concat()
}

#[test]
fn a_stranger_may_knock_only_where_introductions_are_taken_and_only_with_key_agreement() {
    let mut managed = pair(PolicyTable::default(), PolicyTable::default());
    for port in [IKE_PORT, KEYING_PORT] {
        let mut packet = crate::packet::HostPacket::from_bytes(&knock(port, 17));
        let source = CAROL;
        assert_eq!(managed.open(&mut packet), Decapsulated::Stranger { source, port });
        assert_eq!(packet.bytes(), [7; 32]);
    }
    let mut longer = knock(KEYING_PORT, 17);
    longer.push(0);
    let mut damaged = knock(KEYING_PORT, 17);
    damaged[50] ^= 1;
    for other in [
        knock(53, 17),
        knock(KEYING_PORT, 50),
        knock(KEYING_PORT, 6),
        longer,
        damaged,
    ] {
        let mut packet = crate::packet::HostPacket::from_bytes(&other);
        managed.refused(&mut packet, DropReason::MemberUnknown);
    }
    let mut configured = Pair::new();
    configured.bob = HostTables::new(BOB, vec![member(ALICE, 1500)]);
    let mut packet = crate::packet::HostPacket::from_bytes(&knock(KEYING_PORT, 17));
    configured.refused(&mut packet, DropReason::MemberUnknown);
}

#[test]
fn keys_whose_spi_others_chose_work_beside_those_with_a_place() {
    let mut pair = Pair::new();
    // The same low bits as the pair's own: there is no second place for them.
    let other = spi(0x9000_1003);
    pair.into
        .install_beside(FROM_ALICE, Inbound::new(other, keys(9), Limits::default(), NOW));
    let mut first = pair.sealed(&tcp(80));
    assert_eq!(pair.open(&mut first), DELIVERED);
    pair.out.install(
        MemberIndex(0),
        Outbound::new(other, keys(9), Limits::default(), NOW),
    );
    let mut second = pair.sealed(&tcp(80));
    assert_eq!(
        pair.open(&mut second),
        Decapsulated::Deliver {
            member: FROM_ALICE,
            spi: other
        }
    );
    pair.into.remove(other);
    let mut third = pair.sealed(&tcp(80));
    pair.refused(&mut third, DropReason::EspSpiUnknown);
}
