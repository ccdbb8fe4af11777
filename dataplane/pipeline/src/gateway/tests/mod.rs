//! Each rule of the gateway, on real frames between two of them.

mod inbound;
mod outbound;
mod workers;
mod world;

use crate::Verdict;
use crate::reason::DropReason;
use crate::table::endpoint::Role;
use kith_wire::checksum::pseudo_header;
use kith_wire::ethernet::Ethernet;
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, Shim};
use kith_wire::udp::Udp;
use proptest::prelude::*;
use world::*;

#[test]
fn a_packet_crosses_between_lans_that_use_the_same_addresses() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let sent = datagram(DEVICE, BETA.seen_as, (40_000, 53), b"who is there?");
    let sealed = alpha.sealed(&lan_frame(PROTOCOL_UDP, &sent));

    let (ethernet, rest) = Ethernet::parse(&sealed).unwrap();
    assert_eq!(
        (ethernet.source, ethernet.destination),
        (ALPHA.station, BETA.station)
    );
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    assert_eq!((ip.source(), ip.destination()), (ALPHA.public, BETA.public));
    let (udp, data) = Udp::parse(payload).unwrap();
    assert_eq!((udp.source.get(), udp.destination.get()), (UDP_PORT, UDP_PORT));
    assert_eq!(udp.checksum(), 0, "what it carries is authenticated");
    let (shim, body) = Shim::parse(data).unwrap();
    assert_eq!(shim.data_type(), Some(DataType::Virtual));
    assert_eq!(shim.source_director.get(), DIRECTOR.to_bits());
    assert_eq!(shim.destination_director.get(), DIRECTOR.to_bits());
    assert_eq!(
        (shim.source_member.get(), shim.destination_member.get()),
        (ALPHA.pseudo, BETA.pseudo)
    );
    let (inner, _) = Ipv4::parse(body).unwrap();
    assert_eq!(
        (inner.protocol(), inner.source(), inner.destination()),
        (PROTOCOL_ESP, ALPHA.member, BETA.member),
        "between gateways there are virtual addresses only"
    );
    assert!(!sealed.windows(3).any(|window| window == b"who"));

    let opened = beta.opened(&sealed);
    let (ethernet, rest) = Ethernet::parse(&opened).unwrap();
    assert_eq!(
        (ethernet.source, ethernet.destination),
        (LAN_STATION, DEVICES_STATION)
    );
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    assert_eq!((ip.source(), ip.destination()), (ALPHA.seen_as, DEVICE));
    assert_eq!(ip.ttl(), 63, "one hop, counted on the way out");
    let (udp, data) = Udp::parse(payload).unwrap();
    udp.verify(ip, data).unwrap();
    assert_eq!((udp.destination.get(), data), (53, b"who is there?".as_slice()));

    assert_eq!(alpha.direct.member.get(0), (1, 41), "octets from the LAN");
    let sealed_len = u64::from(inner.total_len());
    assert_eq!(
        beta.direct.association.get(0),
        (1, sealed_len),
        "octets as sealed"
    );
}

#[test]
fn the_answer_finds_its_way_back() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let answer = frame_between(DEVICE, ALPHA.seen_as, PROTOCOL_ICMP, &[0; 8]);
    let opened = alpha.opened(&beta.sealed(&answer));
    let (ip, payload) = Ipv4::parse(&opened[14..]).unwrap();
    assert_eq!((ip.source(), ip.destination()), (BETA.seen_as, DEVICE));
    assert_eq!(payload, [0; 8]);
}

#[test]
fn the_segment_size_of_a_syn_is_clamped_on_both_ways() {
    let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
    let entry = tunnel(BETA, 1400);
    alpha.tables.member.modify(pair(ALPHA, BETA), entry).unwrap();
    let frame = lan_frame(PROTOCOL_TCP, &syn(DEVICE, BETA.seen_as, 1460));
    let mss_of = |opened: &[u8]| {
        let (ip, segment) = Ipv4::parse(&opened[14..]).unwrap();
        let (source, destination) = (ip.source().to_bits(), ip.destination().to_bits());
        let sum = pseudo_header(source, destination, PROTOCOL_TCP, 24).add_bytes(segment);
        assert_eq!(sum.fold(), 0xffff, "checksum stays whole");
        u16::from_be_bytes([segment[22], segment[23]])
    };
    let opened = beta.opened(&alpha.sealed(&frame));
    assert_eq!(mss_of(&opened), crate::host::virtual_mtu(1400) - 40);

    let (association, _) = beta.tables.association.get(BETA.spi).unwrap();
    let narrow = crate::table::association::OpenWith {
        mtu: 1000,
        ..*association
    };
    beta.tables.association.modify(BETA.spi, narrow).unwrap();
    let opened = beta.opened(&alpha.sealed(&frame));
    assert_eq!(mss_of(&opened), crate::host::virtual_mtu(1000) - 40);
}

#[test]
fn empty_tables_drop_everything() {
    let sealed = Side::alpha().sealed(&lan_frame(PROTOCOL_ICMP, &[8; 8]));
    let mut beta = Side::beta();
    let ports = (beta.tables.ingress_port.clone(), beta.tables.egress_port.clone());
    beta.tables = bare();
    beta.dropped("no port", WAN, &sealed, DropReason::EthernetNotOurs);
    (beta.tables.ingress_port, beta.tables.egress_port) = ports;
    beta.dropped("no role", WAN, &sealed, DropReason::UdpPortUnknown);
    let lan = frame_between(DEVICE, ALPHA.seen_as, PROTOCOL_ICMP, &[8; 8]);
    beta.dropped("no role", LAN, &lan, DropReason::Ipv4NotOurs);
    beta.tables.endpoint = Role::Gateway { udp_port: UDP_PORT };
    beta.dropped("no association", WAN, &sealed, DropReason::EspSpiUnknown);
    beta.dropped("no member", LAN, &lan, DropReason::Ipv4NotOurs);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever happens to a frame on either side: one verdict, packets conserved, and what goes up is what came.
    #[test]
    fn bent_frames_are_decided_and_untouched_means_untouched(
        changes in proptest::collection::vec((0usize..150, any::<u8>()), 0..4),
        cut in 0usize..300,
        from_lan: bool,
        mend: bool,
        miss in 0u8..4,
    ) {
        let udp = datagram(DEVICE, BETA.seen_as, (1, 2), &[0x61; 40]);
        let mut side = if from_lan { Side::alpha() } else { Side::beta() };
        let mut frame = lan_frame(PROTOCOL_UDP, &udp);
        if !from_lan {
            frame = Side::alpha().sealed(&frame);
        }
        // The slow path's cases need more than a bent octet.
        match miss {
            0 => side.tables.neighbor = Default::default(),
            1 if from_lan => { side.tables.member.modify(pair(ALPHA, BETA), tunnel(BETA, 120)).unwrap(); }
            2 if from_lan => {
                side.tables.member.modify(pair(ALPHA, BETA), crate::table::member::Tunnel::AwaitKeys).unwrap();
            }
            _ => {}
        }
        for (at, value) in changes {
            let at = at % frame.len();
            frame[at] = value;
        }
        frame.truncate(cut.max(1));
        if mend && frame.len() >= 34 {
            frame = bend_ip(frame, 14, 1, 0);
        }
        let (verdict, after) = side.run(if from_lan { LAN } else { WAN }, &frame);
        match verdict {
            Verdict::Transmit(port) => {
                prop_assert_eq!(port, if from_lan { WAN } else { LAN });
                let (ip, _) = Ipv4::parse(&after[14..]).unwrap();
                let source = if from_lan { ALPHA.public } else { ALPHA.seen_as };
                prop_assert_eq!(ip.source(), source, "nothing leaves under an address that was not given to it");
            }
            Verdict::Punt(reason) => {
                prop_assert_eq!(&after, &frame);
                prop_assert_eq!(side.counters.punted(reason).get(), 1);
            }
            Verdict::Drop(reason) => prop_assert_eq!(side.counters.dropped(reason).get(), 1),
            Verdict::HandOver(worker) => prop_assert!(false, "there is no {worker:?}"),
        }
        let transmitted = u64::from(matches!(verdict, Verdict::Transmit(_)));
        prop_assert_eq!(side.counters.all_drops() + side.counters.all_punts() + transmitted, 1);
    }

    /// Any datagram arrives as it was sent, its checksum right on the other side, or absent if it was.
    #[test]
    fn any_datagram_crosses(data in proptest::collection::vec(any::<u8>(), 0..1300), ports: (u16, u16), without: bool) {
        let (mut alpha, mut beta) = (Side::alpha(), Side::beta());
        let mut sent = datagram(DEVICE, BETA.seen_as, ports, &data);
        if without {
            sent[6..8].fill(0);
        }
        let opened = beta.opened(&alpha.sealed(&lan_frame(PROTOCOL_UDP, &sent)));
        let (ip, payload) = Ipv4::parse(&opened[14..]).unwrap();
        let (udp, arrived) = Udp::parse(payload).unwrap();
        prop_assert_eq!(udp.checksum() == 0, without);
        prop_assert_eq!(udp.verify(ip, arrived), Ok(()));
        prop_assert_eq!((udp.source.get(), udp.destination.get()), ports);
        prop_assert_eq!(arrived, &data[..]);
    }
}
