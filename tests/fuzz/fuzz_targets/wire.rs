//! Any bytes into every header parser: no panic, and what is accepted lies within the frame.
#![no_main]

use kith_wire::{arp, esp, ethernet, icmp, ipv4, ping, shim, tcp, udp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = arp::Arp::parse(data);
    let _ = esp::EspHeader::parse(data);
    if let Ok((_, rest)) = ethernet::Ethernet::parse(data) {
        assert_eq!(rest.len() + ethernet::HEADER_LEN, data.len());
    }
    if let Ok((ip, payload)) = ipv4::Ipv4::parse_any(data) {
        assert_eq!(usize::from(ip.total_len()), payload.len() + ipv4::HEADER_LEN);
        if let Ok((header, datagram)) = udp::Udp::parse(payload) {
            let _ = header.verify(ip, datagram);
        }
        if let Ok((header, body)) = icmp::Icmp::parse(payload) {
            let _ = header.too_big(body);
        }
    }
    if let Ok((header, body)) = icmp::Icmp::parse(data) {
        let _ = header.too_big(body);
    }
    if let Ok((_, body)) = shim::Shim::parse(data) {
        let _ = ping::Ping::parse(body);
    }
    let mut copy = data.to_vec();
    let _ = icmp::reply_to_echo(&mut copy);
    let mut copy = data.to_vec();
    let _ = ping::Ping::answer_in_place(&mut copy);
    let mut copy = data.to_vec();
    if tcp::clamp_mss(&mut copy, 1300) != Ok(true) {
        assert_eq!(copy, data, "only a clamped segment changes");
    }
});
