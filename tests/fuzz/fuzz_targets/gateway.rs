//! Any frame into two gateways and the tunnel between them: one verdict, conserved, untouched when it is punted; what one seals
//! the other delivers with the same content; what the policy denies passes in neither direction.
//!
//! ```text
//!  input ─┬─ as it is ──────────────────────────► alpha's LAN and WAN port
//!         ├─ behind IPv4, from device to device ► alpha's LAN ──► WAN ─► beta's WAN ──► LAN
//!         ├─ behind outer headers ──────────────► beta's WAN
//!         ├─ behind outer headers and a shim ───► beta's WAN
//!         └─ sealed with alpha's own keys ──────► beta's WAN: an authentic peer that is hostile
//! ```
#![no_main]

use kith_esp::{Inbound, Key, Limits, Millis, NO_NEXT_HEADER, Outbound, SaKeys, Salt, Spi, sealed_overhead};
use kith_pipeline::counters::{Counters, DirectCounters, EntryCounters};
use kith_pipeline::gateway::Gateway;
use kith_pipeline::meter::Rate;
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::path::Path;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::TableError;
use kith_pipeline::table::association::OpenWith;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::local::{FromMember, InCommunity, ToVirtual};
use kith_pipeline::table::member::{Pair, SealTo, Tunnel};
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::policy::{Decision, Flow, Rule};
use kith_pipeline::table::port::{AcceptBy, LeaveBy};
use kith_pipeline::table::route::{Hop, Prefix};
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::SessionTable;
use kith_pipeline::table::virtual_address::VirtualAddress;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex, SaIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_IPV4, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, PseudoIp, Shim};
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

const LAN: PortIndex = PortIndex(0);
const WAN: PortIndex = PortIndex(1);
const UDP_PORT: u16 = 20202;
const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const DEVICES_STATION: MacAddr = MacAddr([2, 0, 0, 0, 1, 10]);
const LAN_STATION: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
const NOW: Nanos = Nanos(1_000_000_000);
const MILLIS: Millis = Millis(NOW.0 / 1_000_000);
/// UDP to it is denied.
const DENIED: u16 = 7;
/// Before the virtual packet: Ethernet, IPv4, UDP, shim.
const FRONT: usize = 62;

struct End {
    public: Ipv4Addr,
    station: MacAddr,
    member: Ipv4Addr,
    pseudo: u32,
    seen_as: Ipv4Addr,
    spi: u32,
}

const ALPHA: End = End {
    public: Ipv4Addr::new(203, 0, 113, 21),
    station: MacAddr([2, 0, 0, 0, 0, 21]),
    member: Ipv4Addr::new(10, 77, 0, 1),
    pseudo: 0xf000_0001,
    seen_as: Ipv4Addr::new(192, 168, 1, 201),
    spi: 0x1001,
};
const BETA: End = End {
    public: Ipv4Addr::new(203, 0, 113, 22),
    station: MacAddr([2, 0, 0, 0, 0, 22]),
    member: Ipv4Addr::new(10, 77, 0, 2),
    pseudo: 0xf000_0002,
    seen_as: Ipv4Addr::new(192, 168, 1, 202),
    spi: 0x1002,
};

fn community() -> CommunityIndex {
    CommunityIndex::new(7).expect("not zero")
}

fn outbound(to: &End) -> Outbound {
    let keys = SaKeys::new(Key::aes128(&[to.spi as u8; 16]), Salt::new(&[3; 4]));
    Outbound::new(Spi::new(to.spi).expect("not reserved"), keys, Limits::default(), MILLIS)
}

fn tables(own: &End, other: &End) -> Result<Tables, TableError> {
    let none = PseudoIp::new(1).expect("not zero");
    let mut tables = Tables::new(Arc::new(SenderTable::new(none, 0)), Arc::new(SessionTable::new(none, 0)));
    let community = community();
    tables.endpoint = Role::Gateway { udp_port: UDP_PORT };
    for (port, station, address) in [(LAN, LAN_STATION, OWN), (WAN, own.station, own.public)] {
        tables.ingress_port.insert(port, AcceptBy { station, address })?;
        tables.egress_port.insert(port, LeaveBy { station })?;
        tables.route.insert(Prefix::new(address, 24)?, Hop::OnLink { port })?;
    }
    tables.neighbor.insert(OnLink { port: LAN, address: DEVICE }, DEVICES_STATION)?;
    tables.neighbor.insert(OnLink { port: WAN, address: other.public }, other.station)?;
    tables
        .local_destination
        .insert(OnLink { port: LAN, address: other.seen_as }, ToVirtual { community, address: other.member })?;
    let on_lan = |address| InCommunity { port: LAN, community, address };
    let pseudo = PseudoIp::new(own.pseudo);
    tables
        .local_source
        .insert(on_lan(DEVICE), FromMember { address: own.member, director: DIRECTOR, pseudo })?;
    let open_with =
        OpenWith { sa: SaIndex(0), community, source: other.member, destination: own.member, mtu: 1500 };
    tables.association.insert(own.spi, open_with)?;
    let denied = Flow { protocol: PROTOCOL_UDP, destination_port: DENIED, ..Flow::default() };
    let mask = Flow { protocol: u8::MAX, destination_port: u16::MAX, ..Flow::default() };
    tables.policy.insert(Rule::new(2, denied, mask), Decision::Deny)?;
    tables.policy.insert(Rule::new(1, Flow::default(), Flow::default()), Decision::Allow)?;
    let pair = Pair { community, source: own.member, destination: other.member };
    let tunnel = SealTo {
        sa: SaIndex(0),
        address: SocketAddrV4::new(other.public, UDP_PORT),
        director: DIRECTOR,
        pseudo: PseudoIp::new(other.pseudo),
        mtu: 1500,
    };
    tables.member.insert(pair, Tunnel::SealTo(tunnel))?;
    let member = VirtualAddress { community, address: own.member };
    tables.virtual_destination.insert(member, OnLink { port: LAN, address: DEVICE })?;
    tables.virtual_source.insert(on_lan(other.member), other.seen_as)?;
    tables.punt_rates.fill(Rate { per_second: 1, burst: 1 });
    Ok(tables)
}

struct Side {
    tables: Tables,
    counters: Counters,
    direct: DirectCounters,
}

impl Side {
    fn new(own: &End, other: &End) -> Self {
        Self {
            tables: tables(own, other).expect("no key is given twice"),
            counters: Counters::default(),
            direct: DirectCounters {
                session: EntryCounters::new(0),
                association: EntryCounters::new(1),
                member: EntryCounters::new(1),
            },
        }
    }

    /// What becomes of frames, all in one burst.
    fn run(&self, own: &End, other: &End, ingress: PortIndex, frames: &[&[u8]]) -> Vec<(Verdict, Vec<u8>)> {
        let mut gateway = Gateway::new(1);
        let (seals, opens) = (outbound(other), outbound(own));
        let keys = SaKeys::new(Key::aes128(&[own.spi as u8; 16]), Salt::new(&[3; 4]));
        let inbound = Inbound::new(opens.spi(), keys, Limits::default(), MILLIS);
        assert!(gateway.install_outbound(SaIndex(0), Box::new(seals)).is_ok());
        assert!(gateway.install_inbound(SaIndex(0), Box::new(inbound)).is_ok());
        let mut path = Path::with_gateway(&self.counters, &self.direct, gateway);
        let mut burst: Vec<_> = frames.iter().map(|frame| HostPacket::from_bytes(frame)).collect();
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        let counted = || self.counters.all_drops() + self.counters.all_punts();
        let before = counted();
        path.process(&self.tables, ingress, NOW, &mut burst, &mut verdicts);
        let done: Vec<_> =
            verdicts.iter().zip(&burst).map(|(verdict, packet)| (*verdict, packet.bytes().to_vec())).collect();
        let transmitted = done.iter().filter(|(verdict, _)| matches!(verdict, Verdict::Transmit(_))).count();
        assert_eq!(counted() - before + transmitted as u64, frames.len() as u64, "conserved");
        for ((verdict, after), frame) in done.iter().zip(frames) {
            match verdict {
                Verdict::Punt(_) => assert_eq!(after, frame, "goes up as it came"),
                Verdict::Transmit(LAN) => {
                    assert_eq!(after[..6], DEVICES_STATION.0, "to the device");
                    assert_eq!(after[26..34], [other.seen_as.octets(), DEVICE.octets()].concat());
                }
                Verdict::Transmit(WAN) => {
                    assert_eq!(after[26..34], [own.public.octets(), other.public.octets()].concat());
                    assert_eq!(after[FRONT + 9], PROTOCOL_ESP, "nothing in clear");
                    assert!(after.len() <= 14 + 1500, "no larger than the path");
                }
                Verdict::Transmit(port) => unreachable!("there is no port {port:?}"),
                Verdict::HandOver(worker) => unreachable!("there is no other worker, {worker:?}"),
                Verdict::Drop(_) => {}
            }
        }
        done
    }
}

/// The input behind a header from one address to another; cut to what a packet can be.
fn behind_ip(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(4096)];
    [Ipv4::new(from, to, protocol, 20 + payload.len() as u16).as_bytes(), payload].concat()
}

fn lan_frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ethernet =
        Ethernet { destination: LAN_STATION, source: DEVICES_STATION, ethertype: U16::new(ETHERTYPE_IPV4) };
    [ethernet.as_bytes(), &behind_ip(DEVICE, BETA.seen_as, protocol, payload)].concat()
}

/// Behind the outer headers of a packet from alpha to beta.
fn wan_frame(data: &[u8]) -> Vec<u8> {
    let place = |end: &End| (end.station, SocketAddrV4::new(end.public, UDP_PORT));
    let outer = Outer { source: place(&ALPHA), destination: place(&BETA), checksum: data.len() % 2 == 1 };
    let mut packet = HostPacket::from_bytes(data);
    assert!(outer.push(&mut packet).is_ok(), "inputs are small");
    packet.bytes().to_vec()
}

fn with_shim(inner: &[u8]) -> Vec<u8> {
    wan_frame(&[Shim::new(DataType::Virtual).as_bytes(), inner].concat())
}

/// The input as alpha's keys would seal it, had alpha no manners.
fn sealed(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; payload.len() + sealed_overhead(payload.len())];
    packet[16..16 + payload.len()].copy_from_slice(payload);
    let range = 16..16 + payload.len();
    assert!(outbound(&BETA).seal_in_place(&mut packet, range, next_header, MILLIS).is_ok());
    with_shim(&behind_ip(ALPHA.member, BETA.member, PROTOCOL_ESP, &packet))
}

fn is_denied(protocol: u8, payload: &[u8]) -> bool {
    protocol == PROTOCOL_UDP && payload.len() >= 8 && payload[2..4] == DENIED.to_be_bytes()
}

fuzz_target!(|data: &[u8]| {
    let (protocol, payload) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let (alpha, beta) = (Side::new(&ALPHA, &BETA), Side::new(&BETA, &ALPHA));

    let lan = lan_frame(protocol, payload);
    let from_lan = alpha.run(&ALPHA, &BETA, LAN, &[data, &lan]);
    alpha.run(&ALPHA, &BETA, WAN, &[data]);
    if let (Verdict::Transmit(port), frame) = &from_lan[1] {
        assert_eq!(*port, WAN);
        assert!(!is_denied(protocol, payload), "denied on the way out");
        let delivered = beta.run(&BETA, &ALPHA, WAN, &[frame]);
        let (verdict, got) = &delivered[0];
        match protocol {
            // Inside ESP these mean a wrapped fragment and a dummy (RFC 4303 section 2.6).
            PROTOCOL_IPV4 | NO_NEXT_HEADER => assert!(!matches!(verdict, Verdict::Punt(_))),
            _ => assert_eq!(*verdict, Verdict::Transmit(LAN), "what is sealed is delivered"),
        }
        if matches!(verdict, Verdict::Transmit(_)) {
            // IPv4 header and checksums are translated, and a SYN's segment size; all else is as it was.
            assert_eq!(got.len(), lan.len());
            match protocol {
                PROTOCOL_TCP if payload.len() >= 20 => assert_eq!(got[34..50], lan[34..50]),
                PROTOCOL_UDP if payload.len() >= 8 => {
                    assert_eq!((&got[34..40], &got[42..]), (&lan[34..40], &lan[42..]));
                }
                _ => assert_eq!(got[34..], lan[34..]),
            }
        }
    }

    let inner = behind_ip(ALPHA.member, BETA.member, protocol, payload);
    let hostile = sealed(protocol, payload);
    let frames = [wan_frame(data), with_shim(data), with_shim(&inner), hostile];
    let done = beta.run(&BETA, &ALPHA, WAN, &frames.each_ref().map(Vec::as_slice));
    for (verdict, _) in &done[..3] {
        assert!(!matches!(verdict, Verdict::Transmit(_)), "nobody finds a tag by chance");
    }
    assert!(
        !matches!(done[3].0, Verdict::Transmit(_)) || !is_denied(protocol, payload),
        "denied on the way in"
    );
});
