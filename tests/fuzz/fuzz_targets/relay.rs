//! Any frame into the relay, raw or behind good Ethernet, IPv4 and UDP headers: one verdict, conserved, and only what an
//! authorised sender sent is transmitted.
#![no_main]

use kith_pipeline::counters::{Counters, SessionCounters};
use kith_pipeline::meter::Rate;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::relay::{Port, Relay, Tables};
use kith_pipeline::table::exact::ExactTable;
use kith_pipeline::table::session::{Binding, PathLimits, SessionTable};
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict, outer::Outer};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const SENDER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn tables() -> Tables {
    let first = PseudoIp::new(0xf000_0000).expect("not zero");
    let sessions = SessionTable::new(first, 4);
    let community = CommunityIndex::new(1).expect("not zero");
    for offset in 0..2u16 {
        let at = SocketAddrV4::new(*SENDER.ip(), SENDER.port() + offset);
        let pseudo = PseudoIp::new(0xf000_0000 + u32::from(offset)).expect("not zero");
        sessions.bind(pseudo, Binding::new(at, community), PathLimits { mtu: 1500, sender_only: false });
    }
    let port = Port { mac: OURS, address: DIRECTOR, prefix_len: 24, gateway: None, mtu: 1500 };
    Tables {
        director: DIRECTOR,
        udp_port: 20202,
        ports: vec![port],
        neighbors: ExactTable::new([(*SENDER.ip(), MacAddr([2, 0, 0, 0, 0, 21]))]),
        sessions: Arc::new(sessions),
        sender_rate: None,
        punt_rates: [Rate { per_second: 1, burst: 1 }; PuntReason::COUNT],
    }
}

fuzz_target!(|data: &[u8]| {
    let tables = tables();
    let (counters, sessions) = (Counters::default(), SessionCounters::new(4));
    let relay = Relay::new(&counters, &sessions);
    let mut wrapped = HostPacket::from_bytes(data);
    let outer = Outer { source: (MacAddr::ZERO, SENDER), destination: (OURS, SocketAddrV4::new(DIRECTOR, 20202)), checksum: false };
    let mut burst = vec![HostPacket::from_bytes(data)];
    if outer.push(&mut wrapped).is_ok() {
        burst.push(wrapped);
    }
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
    relay.process(&tables, PortIndex(0), Nanos(1), &mut burst, &mut verdicts);
    let transmitted = verdicts[..burst.len()].iter().filter(|v| matches!(v, Verdict::Transmit(_))).count() as u64;
    assert_eq!(counters.all_drops() + counters.all_punts() + transmitted, burst.len() as u64);
    for (packet, verdict) in burst.iter().zip(verdicts) {
        if matches!(verdict, Verdict::Transmit(_)) {
            assert_eq!(packet.bytes()[26..30], DIRECTOR.octets(), "leaves as ours");
        }
    }
});
