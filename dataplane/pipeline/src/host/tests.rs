//! The way out and the way in of two members, against each other.

use super::decap::{Decap, Decapsulated, IKE_PORT, KEYING_PORT};
use super::encap::{Encap, Encapsulated};
use super::tables::{HostTables, Member, MemberIndex};
use super::*;
use crate::counters::Counters;
use crate::packet::{HostPacket, Packet};
use crate::reason::DropReason;
use kith_esp::{Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, Shim};
use kith_wire::udp::Udp;
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;

pub(super) const ALICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(super) const BOB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(super) const CAROL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const DIRECTOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 20202);
pub(super) const NOW: Millis = Millis(1000);
const TO_BOB: MemberIndex = MemberIndex(0);
pub(super) const FROM_ALICE: MemberIndex = MemberIndex(0);

pub(super) fn keys(octet: u8) -> SaKeys {
    SaKeys::new(Key::aes256(&[octet; 32]), Salt::new(&[octet; 4]))
}

pub(super) fn spi(number: u32) -> Spi {
    Spi::new(number).unwrap()
}

pub(super) fn member(address: Ipv4Addr, path_mtu: u16) -> Member {
    Member {
        address,
        endpoint: DIRECTOR,
        shim: Shim::new(DataType::Virtual),
        path_mtu,
    }
}

/// Alice sends, Bob receives; both know Carol, with whom there are no keys.
pub(super) struct Pair {
    pub(super) alice: HostTables,
    pub(super) bob: HostTables,
    pub(super) out: Encap,
    pub(super) into: Decap,
    pub(super) counters: Counters,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::over(1500)
    }

    fn over(path_mtu: u16) -> Self {
        let mut pair = Self {
            alice: HostTables::new(ALICE, vec![member(BOB, path_mtu), member(CAROL, 1500)]),
            bob: HostTables::new(BOB, vec![member(ALICE, path_mtu), member(CAROL, 1500)]),
            out: Encap::new(),
            into: Decap::new(16),
            counters: Counters::default(),
        };
        pair.out.install(
            TO_BOB,
            Outbound::new(spi(0x1003), keys(7), Limits::default(), NOW),
        );
        pair.into.install(
            FROM_ALICE,
            Inbound::new(spi(0x1003), keys(7), Limits::default(), NOW),
        );
        pair
    }

    pub(super) fn seal(&mut self, virtual_packet: &[u8]) -> (Encapsulated, HostPacket) {
        let mut packet = HostPacket::from_bytes(virtual_packet);
        let what = self
            .out
            .encapsulate(&self.alice, &self.counters, NOW, &mut packet);
        (what, packet)
    }

    pub(super) fn open(&mut self, packet: &mut HostPacket) -> Decapsulated {
        self.into.decapsulate(&self.bob, &self.counters, NOW, packet)
    }

    pub(super) fn sealed(&mut self, virtual_packet: &[u8]) -> HostPacket {
        let (what, packet) = self.seal(virtual_packet);
        assert!(
            matches!(
                what,
                Encapsulated::Send {
                    member: TO_BOB,
                    to: DIRECTOR,
                    rekey: false
                }
            ),
            "{what:?}"
        );
        packet
    }

    pub(super) fn refused(&mut self, packet: &mut HostPacket, reason: DropReason) {
        let before = self.counters.dropped(reason).get();
        let what = self.open(packet);
        assert!(
            matches!(what, Decapsulated::Drop { reason: got, .. } if got == reason),
            "{what:?}, not {reason}"
        );
        assert_eq!(self.counters.dropped(reason).get(), before + 1);
    }
}

pub(super) fn virtual_packet(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    [
        Ipv4::new(from, to, protocol, 20 + payload.len() as u16).as_bytes(),
        payload,
    ]
    .concat()
}

fn hello() -> Vec<u8> {
    virtual_packet(ALICE, BOB, PROTOCOL_UDP, b"hello, bob, through the shim")
}

pub(super) const DELIVERED: Decapsulated = Decapsulated::Deliver {
    member: FROM_ALICE,
    spi: SPI,
};
const SPI: Spi = match Spi::new(0x1003) {
    Ok(spi) => spi,
    Err(_) => unreachable!(),
};

#[test]
fn a_packet_arrives_as_it_was_sent_and_shows_nothing_on_the_way() {
    let mut pair = Pair::new();
    let mut packet = pair.sealed(&hello());
    let wire = packet.bytes().to_vec();
    assert!(!wire.windows(5).any(|window| window == b"hello"));
    let (shim, rest) = Shim::parse(&wire).unwrap();
    assert_eq!(shim.data_type(), Some(DataType::Virtual));
    let (ip, _) = Ipv4::parse(rest).unwrap();
    assert_eq!(
        (ip.protocol(), ip.source(), ip.destination()),
        (PROTOCOL_ESP, ALICE, BOB)
    );
    assert_eq!(pair.open(&mut packet), DELIVERED);
    assert_eq!(packet.bytes(), hello());
}

#[test]
fn link_padding_behind_a_virtual_packet_is_not_sent() {
    let mut pair = Pair::new();
    let mut padded = hello();
    padded.extend([0xee; 9]);
    let mut packet = pair.sealed(&padded);
    assert_eq!(pair.open(&mut packet), DELIVERED);
    assert_eq!(packet.bytes(), hello());
}

#[test]
fn the_way_out_is_closed_by_construction() {
    let mut pair = Pair::new();
    let cases = [
        (
            "spoofed source",
            virtual_packet(CAROL, BOB, 17, b""),
            DropReason::VirtualSourceSpoofed,
        ),
        (
            "stranger",
            virtual_packet(ALICE, Ipv4Addr::new(10, 77, 0, 9), 17, b""),
            DropReason::MemberUnknown,
        ),
        (
            "public address",
            virtual_packet(ALICE, Ipv4Addr::new(9, 9, 9, 9), 17, b""),
            DropReason::MemberUnknown,
        ),
        (
            "broadcast",
            virtual_packet(ALICE, Ipv4Addr::BROADCAST, 17, b""),
            DropReason::MemberUnknown,
        ),
        ("IPv6", vec![0x60; 40], DropReason::VirtualVersion),
        ("nothing", vec![], DropReason::VirtualTruncated),
    ];
    for (what, bytes, reason) in cases {
        assert_eq!(pair.seal(&bytes).0, Encapsulated::Drop(reason), "{what}");
        assert!(pair.counters.dropped(reason).get() > 0, "{what}");
    }
    let to_carol = virtual_packet(ALICE, CAROL, 17, b"no keys");
    let (what, packet) = pair.seal(&to_carol);
    assert_eq!(
        what,
        Encapsulated::NeedKeys {
            member: MemberIndex(1)
        }
    );
    assert_eq!(packet.bytes(), to_carol, "kept for when there are keys");
}

#[test]
fn the_way_in_is_closed_by_construction() {
    let mut pair = Pair::new();
    let shim = Shim::new(DataType::Virtual);
    let clear = |packet: &[u8]| HostPacket::from_bytes(&[shim.as_bytes(), packet].concat());
    pair.refused(&mut clear(&hello()), DropReason::UdpLength);
    pair.refused(
        &mut clear(&virtual_packet(ALICE, BOB, PROTOCOL_TCP, &[0; 20])),
        DropReason::CleartextRefused,
    );
    pair.refused(
        &mut clear(&virtual_packet(ALICE, CAROL, 17, b"")),
        DropReason::VirtualNotOurs,
    );
    pair.refused(
        &mut clear(&virtual_packet(Ipv4Addr::LOCALHOST, BOB, 17, b"")),
        DropReason::MemberUnknown,
    );
    pair.refused(
        &mut clear(&virtual_packet(ALICE, BOB, PROTOCOL_ESP, &[0; 35])),
        DropReason::EspTruncated,
    );
    pair.refused(
        &mut clear(&virtual_packet(ALICE, BOB, PROTOCOL_ESP, &[0; 36])),
        DropReason::EspSpiUnknown,
    );
    pair.refused(
        &mut HostPacket::from_bytes(&shim.as_bytes()[..19]),
        DropReason::ShimTruncated,
    );
    pair.refused(
        &mut HostPacket::from_bytes(Shim::new(DataType::Ping).as_bytes()),
        DropReason::ShimTypeUnknown,
    );
    let mut longer = hello();
    longer.push(0);
    pair.refused(&mut clear(&longer), DropReason::VirtualLength);
}

#[test]
fn key_agreement_comes_in_clear_and_nothing_else_does() {
    let mut pair = Pair::new();
    let shim = Shim::new(DataType::Virtual);
    let datagram = |port| {
        let udp = Udp::new(KEYING_PORT, port, 4).unwrap();
        let virtual_packet = virtual_packet(ALICE, BOB, PROTOCOL_UDP, &[udp.as_bytes(), b"init"].concat());
        HostPacket::from_bytes(&[shim.as_bytes(), &virtual_packet].concat())
    };
    for port in [IKE_PORT, KEYING_PORT] {
        let mut packet = datagram(port);
        let member = FROM_ALICE;
        assert_eq!(pair.open(&mut packet), Decapsulated::Keying { member, port });
        assert_eq!(packet.bytes(), b"init");
    }
    pair.refused(&mut datagram(53), DropReason::CleartextRefused);
}

#[test]
fn a_replay_is_refused() {
    let mut pair = Pair::new();
    let packet = pair.sealed(&hello());
    let (mut first, mut again) = (packet.clone(), packet);
    assert_eq!(pair.open(&mut first), DELIVERED);
    pair.refused(&mut again, DropReason::EspReplayed);
}

#[test]
fn any_flipped_bit_is_refused() {
    let mut pair = Pair::new();
    let packet = pair.sealed(&hello());
    let len = packet.bytes().len();
    for bit in 20 * 8..len * 8 {
        let mut bent = packet.clone();
        bent.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        let what = pair.open(&mut bent);
        assert!(matches!(what, Decapsulated::Drop { .. }), "bit {bit}: {what:?}");
    }
    assert_eq!(
        pair.open(&mut packet.clone()),
        DELIVERED,
        "no forgery moved the window"
    );
}

#[test]
fn another_members_keys_do_not_open_the_source_of_a_third() {
    let mut pair = Pair::new();
    let mut packet = pair.sealed(&hello());
    // Alice is authentic under her keys but writes Carol's address into the header that ESP does not cover.
    let header = Ipv4::new(CAROL, BOB, PROTOCOL_ESP, (packet.bytes().len() - 20) as u16);
    packet.bytes_mut()[20..40].copy_from_slice(header.as_bytes());
    pair.refused(&mut packet, DropReason::VirtualSourceSpoofed);
}

#[test]
fn keys_of_an_earlier_run_are_reported_as_stale() {
    let mut pair = Pair::new();
    let mut packet = pair.sealed(&hello());
    pair.into.remove(spi(0x1003));
    let what = pair.open(&mut packet);
    assert_eq!(
        what,
        Decapsulated::Drop {
            reason: DropReason::EspSpiUnknown,
            stale: Some(FROM_ALICE)
        }
    );
}

#[test]
fn the_largest_packet_that_is_announced_fits_and_one_more_octet_does_not_on_every_path() {
    for path_mtu in 600..=1500 {
        let mut pair = Pair::over(path_mtu);
        let fits = usize::from(virtual_mtu(path_mtu));
        let sized = |len: usize| virtual_packet(ALICE, BOB, 17, &vec![1; len - 20]);
        let packet = pair.sealed(&sized(fits));
        assert!(packet.bytes().len() + 28 <= usize::from(path_mtu));
        let too_large = sized(fits + 24);
        let (what, packet) = pair.seal(&too_large);
        assert_eq!(
            what,
            Encapsulated::TooBig {
                mtu: virtual_mtu(path_mtu)
            }
        );
        assert_eq!(packet.bytes(), too_large);
        assert_eq!(pair.counters.dropped(DropReason::MtuExceeded).get(), 1);
    }
    assert_eq!(virtual_mtu(1500), 1398);
    assert_eq!(virtual_mtu(80), 0);
}

#[test]
fn fragments_made_for_the_announced_mtu_arrive_as_fragments() {
    for path_mtu in 600..=1500 {
        let mut pair = Pair::over(path_mtu);
        let payload = (virtual_mtu(path_mtu) - 20) / 8 * 8;
        let mut fragment = virtual_packet(ALICE, BOB, 17, &vec![3; payload.into()]);
        fragment[6..8].copy_from_slice(&0x2001u16.to_be_bytes());
        fragment[10..12].fill(0);
        let sum = kith_wire::checksum::Sum::ZERO.add_bytes(&fragment[..20]).finish();
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut packet = pair.sealed(&fragment);
        assert!(packet.bytes().len() + 28 <= usize::from(path_mtu));
        assert_eq!(pair.open(&mut packet), DELIVERED);
        assert_eq!(packet.bytes(), fragment);
    }
}

#[test]
fn the_segment_size_of_a_syn_is_clamped_both_ways() {
    let mut syn = vec![0u8; 24];
    syn[12] = 0x60;
    syn[13] = 0x02;
    syn[20..].copy_from_slice(&[2, 4, 0x23, 0x00]);
    let mut pair = Pair::over(1400);
    let mut packet = pair.sealed(&virtual_packet(ALICE, BOB, PROTOCOL_TCP, &syn));
    assert_eq!(pair.open(&mut packet), DELIVERED);
    assert_eq!(packet.bytes()[42..44], (virtual_mtu(1400) - 40).to_be_bytes());
    // The receiver's own path may be narrower than the sender's.
    let mut pair = Pair::over(1500);
    pair.bob = HostTables::new(BOB, vec![member(ALICE, 1000), member(CAROL, 1500)]);
    let mut packet = pair.sealed(&virtual_packet(ALICE, BOB, PROTOCOL_TCP, &syn));
    assert_eq!(pair.open(&mut packet), DELIVERED);
    assert_eq!(packet.bytes()[42..44], (virtual_mtu(1000) - 40).to_be_bytes());
}

#[test]
fn expired_keys_ask_for_new_ones() {
    let mut pair = Pair::new();
    let mut packet = HostPacket::from_bytes(&hello());
    let soon = Millis(NOW.0 + 125_000);
    let what = pair
        .out
        .encapsulate(&pair.alice, &pair.counters, soon, &mut packet);
    assert!(matches!(what, Encapsulated::Send { rekey: true, .. }));
    let mut packet = HostPacket::from_bytes(&hello());
    let late = Millis(NOW.0 + 200_000);
    let what = pair
        .out
        .encapsulate(&pair.alice, &pair.counters, late, &mut packet);
    assert_eq!(what, Encapsulated::NeedKeys { member: TO_BOB });
}

#[test]
fn no_room_is_a_named_drop() {
    let mut pair = Pair::new();
    let mut packet = HostPacket::new(200, 20);
    packet.set_len(hello().len());
    packet.bytes_mut().copy_from_slice(&hello());
    let what = pair
        .out
        .encapsulate(&pair.alice, &pair.counters, NOW, &mut packet);
    assert_eq!(what, Encapsulated::Drop(DropReason::BufferRoom));
}

proptest! {
    #[test]
    fn any_payload_makes_the_round_trip(protocol in 0u8..=58, payload in proptest::collection::vec(any::<u8>(), 0..1378)) {
        prop_assume!(protocol != 4);
        let mut pair = Pair::new();
        let sent = virtual_packet(ALICE, BOB, protocol, &payload);
        prop_assume!(protocol != PROTOCOL_TCP);
        let mut packet = pair.sealed(&sent);
        prop_assert_eq!(pair.open(&mut packet), DELIVERED);
        prop_assert_eq!(packet.bytes(), &sent[..]);
    }

    #[test]
    fn any_bytes_on_either_side_are_decided(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..9) {
        let mut pair = Pair::new();
        pair.seal(&bytes);
        let mut shimmed = bytes;
        if shimmed.len() > 1 {
            shimmed[0] = 1;
            shimmed[1] = kind;
        }
        let what = pair.open(&mut HostPacket::from_bytes(&shimmed));
        let delivered = matches!(what, Decapsulated::Deliver { .. } | Decapsulated::Dummy { .. });
        prop_assert!(!delivered, "nothing unauthentic is delivered: {:?}", what);
    }
}
