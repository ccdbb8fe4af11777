//! Any frame into the relay, raw or behind good Ethernet, IPv4 and UDP headers: one verdict, conserved, and only what an
//! authorised sender sent is transmitted.
#![no_main]

use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::meter::Rate;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::path::Path;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::endpoint::Role;
use kith_pipeline::table::neighbor::OnLink;
use kith_pipeline::table::pool::Binding;
use kith_pipeline::table::port::{AcceptBy, LeaveBy};
use kith_pipeline::table::route::{Hop, Prefix};
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::{RelayTo, SessionTable};
use kith_pipeline::table::TableError;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{CommunityIndex, Nanos, PortIndex};
use kith_pipeline::{BURST, Verdict, outer::Outer};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const SENDER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
const PORT: PortIndex = PortIndex(0);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn tables() -> Result<Tables, TableError> {
    let first = PseudoIp::new(0xf000_0000).expect("not zero");
    let (sender, session) = (SenderTable::new(first, 4), SessionTable::new(first, 4));
    let community = CommunityIndex::new(1).expect("not zero");
    for offset in 0..2u16 {
        let at = SocketAddrV4::new(*SENDER.ip(), SENDER.port() + offset);
        let pseudo = PseudoIp::new(0xf000_0000 + u32::from(offset)).expect("not zero");
        let binding = Binding::new(at, community);
        sender.insert(pseudo, binding, None)?;
        session.insert(pseudo, RelayTo { binding, mtu: 1500 })?;
    }
    let mut tables = Tables::new(Arc::new(sender), Arc::new(session));
    tables.endpoint = Role::Director { address: DIRECTOR, udp_port: 20202 };
    tables.ingress_port.insert(PORT, AcceptBy { station: OURS, address: DIRECTOR })?;
    tables.route.insert(Prefix::new(DIRECTOR, 24)?, Hop::OnLink { port: PORT })?;
    let neighbor = OnLink { port: PORT, address: *SENDER.ip() };
    tables.neighbor.insert(neighbor, MacAddr([2, 0, 0, 0, 0, 21]))?;
    tables.egress_port.insert(PORT, LeaveBy { station: OURS })?;
    tables.punt_rates.fill(Rate { per_second: 1, burst: 1 });
    Ok(tables)
}

fuzz_target!(|data: &[u8]| {
    let tables = tables().expect("no key is given twice");
    let (counters, direct) = (Counters::default(), DirectCounters::new(4));
    let mut path = Path::new(&counters, &direct);
    let mut wrapped = HostPacket::from_bytes(data);
    let outer = Outer { source: (MacAddr::ZERO, SENDER), destination: (OURS, SocketAddrV4::new(DIRECTOR, 20202)), checksum: data.len() % 2 == 1 };
    let mut burst = vec![HostPacket::from_bytes(data)];
    if outer.push(&mut wrapped).is_ok() {
        burst.push(wrapped);
    }
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
    path.process(&tables, PORT, Nanos(1), &mut burst, &mut verdicts);
    let transmitted = verdicts[..burst.len()].iter().filter(|v| matches!(v, Verdict::Transmit(_))).count() as u64;
    assert_eq!(counters.all_drops() + counters.all_punts() + transmitted, burst.len() as u64);
    for (packet, verdict) in burst.iter().zip(verdicts) {
        if matches!(verdict, Verdict::Transmit(_)) {
            assert_eq!(packet.bytes()[26..30], DIRECTOR.octets(), "leaves as ours");
        }
    }
});
