//! A director and two members, A and B, as entries and frames.

#![allow(dead_code, reason = "each test file uses a part")]

use kith_p4_runner::{Deed, Entry, Program, Runner};
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{DataType, Shim};
use kith_wire::udp::Udp;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::OnceLock;
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
pub const B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 22), 50_000);
pub const PSEUDO_A: u32 = 0xf000_0000;
pub const PSEUDO_B: u32 = 0xf000_0001;
pub const UDP_PORT: u16 = 20202;
pub const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x10]);
pub const OURS_TOWARDS_B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x11]);
pub const AT_A: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);
pub const AT_B: MacAddr = MacAddr([2, 0, 0, 0, 0, 22]);

/// The program of this repository.
pub fn program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiled/kith.spec");
    PROGRAM.get_or_init(|| Program::read(&path).expect("the program is read"))
}

/// The program with empty tables.
pub fn empty() -> Runner<'static> {
    Runner::new(program()).expect("the program is loaded")
}

/// The numbers of a station.
pub fn station(mac: MacAddr) -> u64 {
    mac.0
        .iter()
        .fold(0, |number, &octet| number << 8 | u64::from(octet))
}

/// Member A may send, from where A is.
pub fn sender_a() -> Entry {
    let at = [
        ("address", u64::from(A.ip().to_bits())),
        ("port", A.port().into()),
        ("community", 1),
    ];
    Entry::of("sender")
        .exact("source_member", PSEUDO_A.into())
        .does("authorise", &at)
}

/// What is for member B goes to where B is.
pub fn session_b() -> Entry {
    let at = [
        ("address", u64::from(B.ip().to_bits())),
        ("port", B.port().into()),
        ("community", 1),
        ("mtu", 1500),
    ];
    Entry::of("session")
        .exact("destination_member", PSEUDO_B.into())
        .does("relay_to", &at)
}

/// A port with its station and address, for frames that come in.
pub fn ingress(port: u64, mac: MacAddr) -> Entry {
    let own = [
        ("station", station(mac)),
        ("address", u64::from(DIRECTOR.to_bits())),
    ];
    Entry::of("ingress_port")
        .exact("port", port)
        .does("accept_by", &own)
}

/// A director: A's network is at port 0, B's at port 1.
pub fn director() -> Runner<'static> {
    director_on(empty())
}

/// The same of another program.
pub fn director_on(mut runner: Runner<'_>) -> Runner<'_> {
    let own = [
        ("address", u64::from(DIRECTOR.to_bits())),
        ("udp_port", UDP_PORT.into()),
    ];
    runner
        .set_default("endpoint", Deed::new("act_as_director", &own))
        .expect("a role");
    let b = u64::from(B.ip().to_bits());
    let entries = [
        ingress(0, OURS),
        ingress(1, OURS_TOWARDS_B),
        sender_a(),
        session_b(),
        Entry::of("route")
            .prefix("destination", b, 32)
            .does("on_link", &[("port", 1)]),
        Entry::of("neighbor")
            .exact("port", 1)
            .exact("address", b)
            .does("resolve", &[("station", station(AT_B))]),
        Entry::of("egress_port")
            .exact("port", 1)
            .does("leave_by", &[("port", 1), ("station", station(OURS_TOWARDS_B))]),
    ];
    for entry in entries {
        runner.insert(entry).expect("an entry");
    }
    runner
}

/// Data from A for B; with or without a UDP checksum.
pub fn data(with_checksum: bool) -> Vec<u8> {
    let body = vec![0x45; 60];
    let mut shim = Shim::new(DataType::Virtual);
    shim.destination_director = U32::new(DIRECTOR.to_bits());
    shim.source_director = U32::new(DIRECTOR.to_bits());
    shim.source_member = U32::new(PSEUDO_A);
    shim.destination_member = U32::new(PSEUDO_B);
    let data = [shim.as_bytes(), &body].concat();
    frame(
        (OURS, AT_A),
        A,
        SocketAddrV4::new(DIRECTOR, UDP_PORT),
        &data,
        with_checksum,
    )
}

/// A frame with a UDP datagram.
pub fn frame(
    (to, from): (MacAddr, MacAddr),
    source: SocketAddrV4,
    destination: SocketAddrV4,
    data: &[u8],
    with_checksum: bool,
) -> Vec<u8> {
    let ethernet = Ethernet {
        destination: to,
        source: from,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    let total = 28 + data.len() as u16;
    let ip = Ipv4::new(*source.ip(), *destination.ip(), PROTOCOL_UDP, total);
    let mut udp = Udp::new(source.port(), destination.port(), data.len()).expect("it fits");
    if with_checksum {
        udp.fill_checksum(&ip, data);
    }
    [ethernet.as_bytes(), ip.as_bytes(), udp.as_bytes(), data].concat()
}

/// A broadcast ARP request, as far as anybody looks.
pub fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(AT_A.0);
    frame.extend([8, 6]);
    frame.extend([0; 46]);
    frame
}
