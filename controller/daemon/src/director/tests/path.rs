//! Path MTU: whom a router's word is believed about, and who is told.

use super::*;
use kith_pipeline::outer;
use kith_wire::ethernet::ETHERTYPE_IPV4;
use kith_wire::icmp::{self, Icmp};
use zerocopy::network_endian::U16;

fn too_big(mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let mut error = [0u8; icmp::MAX_ERROR_LEN];
    let router = Ipv4Addr::new(198, 51, 100, 1);
    let len = icmp::write_too_big(&mut error, router, DIRECTOR, mtu, quoted).unwrap();
    let header = Ethernet {
        destination: OURS,
        source: THEIRS,
        ethertype: U16::new(ETHERTYPE_IPV4),
    };
    [header.as_bytes(), &error[..len]].concat()
}

/// The first octets of a packet of 1500 that the dataplane relayed to this address.
fn relayed(from: (Ipv4Addr, u16), to: SocketAddrV4) -> Vec<u8> {
    let udp = Udp::new(from.1, to.port(), 1472).unwrap();
    let ip = Ipv4::new(from.0, *to.ip(), kith_wire::ipv4::PROTOCOL_UDP, 1500);
    [ip.as_bytes(), udp.as_bytes()].concat()
}

#[test]
fn a_router_lowers_the_path_of_the_session_it_quotes_and_of_no_other() {
    let (mut core, mut fake) = serving();
    let bob = member(1, BOB).bound;
    let mtus = |fake: &Fake| (fake.sessions[&FIRST].mtu, fake.sessions[&(FIRST + 1)].mtu);
    let forged = [
        too_big(1400, &relayed((ALICE, 20202), bob)),
        too_big(1400, &relayed((DIRECTOR, 20203), bob)),
        too_big(1400, &relayed((DIRECTOR, 20202), SocketAddrV4::new(BOB, 4001))),
        too_big(1500, &relayed((DIRECTOR, 20202), bob)),
        too_big(1400, &[0x45; 20]),
    ];
    for frame in &forged {
        give(&mut core, &mut fake, 10, PuntReason::IcmpLocal, frame);
    }
    assert_eq!((mtus(&fake), core.counts().refused), ((1500, 1500), 5));
    let honest = relayed((DIRECTOR, 20202), bob);
    give(
        &mut core,
        &mut fake,
        10,
        PuntReason::IcmpLocal,
        &too_big(1400, &honest),
    );
    assert_eq!(mtus(&fake), (1500, 1400));
    give(
        &mut core,
        &mut fake,
        10,
        PuntReason::IcmpLocal,
        &too_big(68, &honest),
    );
    assert_eq!(mtus(&fake), (1500, 576), "never below what every host takes");
}

#[test]
fn a_router_that_quotes_the_shim_has_the_sender_told_at_once() {
    let (mut core, mut fake) = serving();
    let (alice, bob) = (member(0, ALICE).bound, member(1, BOB).bound);
    // What Alice sent, as it left the dataplane towards Bob, and what a router quotes of it.
    let sent_by_alice = data(alice, 1452);
    let mut quoted = relayed((DIRECTOR, 20202), bob);
    quoted.extend(&sent_by_alice[outer::LEN..14 + 128]);
    let unknown_way = give(
        &mut core,
        &mut fake,
        10,
        PuntReason::IcmpLocal,
        &too_big(1450, &quoted),
    );
    assert!(unknown_way.is_empty(), "nobody knows where Alice's next hop is");
    // She shows herself.
    let cookie = cookie(&mut core, &mut fake, 10, alice, 0);
    let asked = datagram(alice, &key().seal(&request(0, 6, cookie)));
    give(&mut core, &mut fake, 11, PuntReason::Control, &asked);
    let sent = give(
        &mut core,
        &mut fake,
        12,
        PuntReason::IcmpLocal,
        &too_big(1400, &quoted),
    );
    let (ethernet, rest) = Ethernet::parse(&sent[0]).unwrap();
    let (ip, payload) = Ipv4::parse(rest).unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (OURS, THEIRS));
    assert_eq!((ip.source(), ip.destination()), (DIRECTOR, ALICE));
    let (icmp, body) = Icmp::parse(payload).unwrap();
    let told = icmp.too_big(body).unwrap().unwrap();
    assert_eq!(
        (told.mtu, told.quoted.source(), told.quoted.destination()),
        (1400, ALICE, DIRECTOR)
    );
    assert_eq!(told.quoted_payload[..2], alice.port().to_be_bytes());
    assert_eq!(told.quoted_payload[2..4], 20202u16.to_be_bytes());
    assert_eq!(
        told.quoted_payload[8..],
        quoted[28..],
        "shim and virtual header as Alice made them"
    );
    // Without a shim in the quote nobody can be told; the path is lowered all the same.
    let short = too_big(1300, &quoted[..28]);
    assert!(give(&mut core, &mut fake, 13, PuntReason::IcmpLocal, &short).is_empty());
    assert_eq!(fake.sessions[&(FIRST + 1)].mtu, 1300);
}
