//! Any virtual packet out, any shim packet in: what goes out comes in unchanged, and nothing else comes in.
#![no_main]

use kith_esp::{Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi};
use kith_pipeline::counters::Counters;
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::checksum::Sum;
use kith_wire::shim::{DataType, Shim};
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddrV4};

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const NOW: Millis = Millis(1);

fn keys() -> SaKeys {
    SaKeys::new(Key::aes128(&[7; 16]), Salt::new(&[7; 4]))
}

fn tables(own: Ipv4Addr, other: Ipv4Addr) -> HostTables {
    let endpoint = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 20202);
    HostTables::new(own, vec![Member { address: other, endpoint, shim: Shim::new(DataType::Virtual), path_mtu: 1500 }])
}

fuzz_target!(|data: &[u8]| {
    let Ok(spi) = Spi::new(0x1001) else { unreachable!("0x1001 is not reserved") };
    let counters = Counters::default();
    let (mut encap, mut decap) = (Encap::new(), Decap::new(16));
    encap.install(MemberIndex(0), Outbound::new(spi, keys(), Limits::default(), NOW));
    decap.install(MemberIndex(0), Inbound::new(spi, keys(), Limits::default(), NOW));

    let what = decap.decapsulate(&tables(B, A), &counters, NOW, &mut HostPacket::from_bytes(data));
    assert!(!matches!(what, Decapsulated::Deliver { .. } | Decapsulated::Dummy { .. }));

    // The input as a virtual packet from A to B with lengths and checksum mended, so that it gets further.
    let mut sent = data.to_vec();
    if sent.len() >= 20 {
        sent[0] = 0x45;
        sent[2..4].copy_from_slice(&(data.len() as u16).to_be_bytes());
        sent[10..12].fill(0);
        sent[12..16].copy_from_slice(&A.octets());
        sent[16..20].copy_from_slice(&B.octets());
        let sum = Sum::ZERO.add_bytes(&sent[..20]).finish();
        sent[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = HostPacket::from_bytes(&sent);
    if let Encapsulated::Send { .. } = encap.encapsulate(&tables(A, B), &counters, NOW, &mut packet) {
        assert!(packet.bytes().len() + 28 <= 1500);
        let what = decap.decapsulate(&tables(B, A), &counters, NOW, &mut packet);
        match what {
            Decapsulated::Deliver { .. } => assert_eq!(packet.bytes().len(), sent.len()),
            // Protocol 59 is ESP's own dummy; protocol 4 claims to be a wrapped fragment and must be one.
            Decapsulated::Dummy { .. } => assert_eq!(sent[9], 59),
            Decapsulated::Drop { .. } => assert_eq!(sent[9], 4, "only IP in IP that is no fragment of theirs is refused"),
            other => unreachable!("a sealed packet was taken for {other:?}"),
        }
    }
});
