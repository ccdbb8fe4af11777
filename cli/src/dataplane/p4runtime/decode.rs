//! A frame in a line: who sends what to whom, as deep as it can be read.
//!
//! ```text
//!  203.0.113.21:4000 > 203.0.113.10:20202 keep-alive from 240.0.0.1, key 9f…
//!  203.0.113.21:4000 > 203.0.113.10:20202 data 240.0.0.1 > 240.0.0.2: 10.77.0.1 > 10.77.0.2 ESP spi 0x1a seq 7, 120 octets
//!  ARP 203.0.113.21 (02:00:…) asks for 203.0.113.10
//! ```
//!
//! Nothing is believed: what is malformed is named as such, and the line ends there.

use kith_wire::arp::{Arp, Operation};
use kith_wire::control::Control;
use kith_wire::esp::EspHeader;
use kith_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet};
use kith_wire::icmp::{ECHO_REPLY, ECHO_REQUEST, Icmp};
use kith_wire::ipv4::{Ipv4, PROTOCOL_ESP, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::ping::{Kind, Ping};
use kith_wire::shim::{DEFAULT_PORT, DataType, Shim};
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;

/// The line.
pub(super) fn summary(frame: &[u8]) -> String {
    let Ok((header, payload)) = Ethernet::parse(frame) else {
        return format!("{} octets, shorter than an Ethernet header", frame.len());
    };
    match header.ethertype.get() {
        ETHERTYPE_ARP => arp(payload),
        ETHERTYPE_IPV4 => ipv4(payload),
        other => format!(
            "{} > {} ethertype {other:#06x}",
            header.source, header.destination
        ),
    }
}

fn arp(payload: &[u8]) -> String {
    let Ok(arp) = Arp::parse(payload) else {
        return "ARP, malformed".into();
    };
    let ((station, from), (_, to)) = (arp.sender(), arp.target());
    match arp.operation() {
        Operation::Request => format!("ARP {from} ({station}) asks for {to}"),
        Operation::Reply => format!("ARP {from} is at {station}"),
    }
}

fn ipv4(packet: &[u8]) -> String {
    let (header, payload) = match Ipv4::parse_any(packet) {
        Ok(parts) => parts,
        Err(what) => return format!("IPv4, malformed ({what})"),
    };
    let (from, to) = (header.source(), header.destination());
    if header.is_fragment() {
        return format!("{from} > {to} fragment, {} octets", payload.len());
    }
    match header.protocol() {
        PROTOCOL_UDP => udp(from, to, payload),
        PROTOCOL_ICMP => format!("{from} > {to} {}", icmp(payload)),
        PROTOCOL_ESP => match EspHeader::parse(payload) {
            Ok(esp) => format!(
                "{from} > {to} ESP spi {:#x} seq {}, {} octets",
                esp.spi,
                esp.seq_low,
                payload.len()
            ),
            Err(_) => format!("{from} > {to} ESP, truncated"),
        },
        PROTOCOL_TCP => match payload.first_chunk() {
            Some(&[a, b, c, d]) => {
                let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                format!(
                    "{from}:{source} > {to}:{destination} TCP, {} octets",
                    payload.len()
                )
            }
            None => format!("{from} > {to} TCP, truncated"),
        },
        other => format!("{from} > {to} protocol {other}, {} octets", payload.len()),
    }
}

fn icmp(payload: &[u8]) -> String {
    let (header, data) = match Icmp::parse(payload) {
        Ok(parts) => parts,
        Err(what) => return format!("ICMP, malformed ({what})"),
    };
    match (header.kind, header.too_big(data)) {
        (_, Some(Ok(big))) => {
            let (from, to) = (big.quoted.source(), big.quoted.destination());
            format!("ICMP too big: {} octets fit, quotes {from} > {to}", big.mtu)
        }
        (_, Some(Err(_))) => "ICMP too big, malformed".into(),
        (ECHO_REQUEST, _) => format!("ICMP echo request {}", header.seq),
        (ECHO_REPLY, _) => format!("ICMP echo reply {}", header.seq),
        (kind, _) => format!("ICMP type {kind} code {}", header.code),
    }
}

fn udp(from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> String {
    let (header, data) = match Udp::parse(payload) {
        Ok(parts) => parts,
        Err(what) => return format!("{from} > {to} UDP, malformed ({what})"),
    };
    let front = format!("{from}:{} > {to}:{}", header.source, header.destination);
    let ours = [header.source.get(), header.destination.get()].contains(&DEFAULT_PORT);
    // Data of other ports may happen to look like a shim: it is read as one only where an unknown version is unlikely.
    match Shim::parse(data) {
        Ok((shim, body)) if ours || shim.data_type().is_some() => {
            format!("{front} {}", tunnel(shim, body, data))
        }
        _ => format!("{front} UDP, {} octets", data.len()),
    }
}

fn tunnel(shim: &Shim, body: &[u8], data: &[u8]) -> String {
    let members = || {
        let [from, to] = [shim.source_member, shim.destination_member].map(|member| pseudo(member.get()));
        format!("{from} > {to}")
    };
    let Some(kind) = shim.data_type() else {
        return "shim of an unknown type".into();
    };
    match kind {
        DataType::Virtual => format!("data {}: {}", members(), ipv4(body)),
        DataType::Ping => match Ping::parse(body) {
            Ok((ping, _)) if ping.kind() == Kind::Request => format!("ping {}", ping.sequence),
            Ok((ping, _)) => format!("ping answer {}", ping.sequence),
            Err(_) => "ping, malformed".into(),
        },
        DataType::AddressRequest => control("address request", shim, data),
        DataType::AddressResponse => control("address response", shim, data),
        DataType::Leave => control("leave", shim, data),
        DataType::KeepAlive => control("keep-alive", shim, data),
        DataType::TcpInit => "TCP init".into(),
    }
}

/// Whose key it names; what else it says is nobody's business before its authenticator was checked.
fn control(what: &str, shim: &Shim, data: &[u8]) -> String {
    let Ok(message) = Control::parse(data) else {
        return format!("{what}, malformed");
    };
    let (from, to) = (shim.source_member.get(), shim.destination_member.get());
    let who = match (from, to) {
        (0, 0) => String::new(),
        (0, to) => format!(" to {}", pseudo(to)),
        (from, _) => format!(" from {}", pseudo(from)),
    };
    format!("{what}{who}, key {:016x}", message.key_id().0)
}

fn pseudo(bits: u32) -> String {
    if bits == 0 {
        "none".into()
    } else {
        Ipv4Addr::from(bits).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_wire::ethernet::MacAddr;
    use zerocopy::IntoBytes;
    use zerocopy::byteorder::big_endian::{U16, U32};

    const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
    const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn framed(ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let header = Ethernet {
            destination: STATION,
            source: STATION,
            ethertype: U16::new(ethertype),
        };
        [header.as_bytes(), payload].concat()
    }

    fn in_ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
        [
            Ipv4::new(from, to, protocol, 20 + payload.len() as u16).as_bytes(),
            payload,
        ]
        .concat()
    }

    fn in_udp(data: &[u8]) -> Vec<u8> {
        let header = Udp::new(4000, DEFAULT_PORT, data.len()).unwrap();
        framed(
            ETHERTYPE_IPV4,
            &in_ipv4(PROTOCOL_UDP, A, B, &[header.as_bytes(), data].concat()),
        )
    }

    fn frames() -> Vec<Vec<u8>> {
        let arp = Arp::new(Operation::Request, (STATION, A), (MacAddr::ZERO, B));
        let mut ping = vec![0; 40];
        Ping::write_request(&mut ping, 7).unwrap();
        let mut shim = Shim::new(DataType::Virtual);
        shim.source_member = U32::new(0xf000_0001);
        shim.destination_member = U32::new(0xf000_0002);
        let esp = in_ipv4(
            PROTOCOL_ESP,
            [10, 77, 0, 1].into(),
            [10, 77, 0, 2].into(),
            &[1; 40],
        );
        let keying = in_ipv4(1, [10, 77, 0, 1].into(), [10, 77, 0, 2].into(), &[8; 8]);
        let strange = [&[1, 99][..], &[0; 18]].concat();
        vec![
            framed(ETHERTYPE_ARP, arp.as_bytes()),
            in_udp(&ping),
            in_udp(&[shim.as_bytes(), &esp].concat()),
            in_udp(&[shim.as_bytes(), &keying].concat()),
            in_udp(Shim::new(DataType::KeepAlive).as_bytes()),
            in_udp(&strange),
            in_udp(b"hello"),
            framed(ETHERTYPE_IPV4, &in_ipv4(PROTOCOL_TCP, A, B, &[0, 80, 0x1f, 0x90])),
            framed(0x86dd, &[0; 40]),
            framed(ETHERTYPE_IPV4, &[0x65; 20]),
        ]
    }

    #[test]
    fn frames_read_like_this() {
        let lines: Vec<_> = frames().iter().map(|frame| summary(frame)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_frame_cut_anywhere_has_a_line() {
        for frame in frames() {
            for len in 0..frame.len() {
                assert!(!summary(&frame[..len]).is_empty());
            }
        }
    }
}
