//! Reads what tcpdump wrote: the packets of a pcap file, from their IPv4 header on.
//!
//! ```text
//! | magic, version, …, link type: 24 octets | (time, captured, original: 16 octets | link header | IPv4 …)*
//! ```

use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{DataType, Shim};

/// IP protocol numbers.
const UDP: u8 = 17;
const ESP: u8 = 50;
/// The port of IKE inside the tunnel.
const IKE_PORT: u16 = 500;

/// A capture in memory.
#[derive(Debug, Clone)]
pub(super) struct Capture {
    octets: Vec<u8>,
    link_header: usize,
    little: bool,
}

/// What one outer packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Outer header, our port, shim, and inside a virtual packet of ESP.
    Esp,
    /// The same, and inside a key agreement: virtual UDP, to our port or that of IKE.
    Keying,
    /// The same, and inside a virtual packet of another kind: in clear.
    Clear,
    /// Outer header, our port, shim, and something for a director.
    Control,
    /// Our port, but no shim of our version.
    NoShim,
    /// Something else.
    Other,
}

impl Capture {
    /// The capture of a file's octets; `None` if they are none, or of a link type that is not known here.
    pub(super) fn new(octets: Vec<u8>) -> Option<Self> {
        let magic: [u8; 4] = octets.get(..4)?.try_into().ok()?;
        let little = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => true,
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => false,
            _ => return None,
        };
        let mut capture = Self {
            octets,
            link_header: 0,
            little,
        };
        // Ethernet, raw IP, and the two forms of "any".
        capture.link_header = match capture.number(20)? {
            1 => 14,
            12 | 101 => 0,
            113 => 16,
            276 => 20,
            _ => return None,
        };
        Some(capture)
    }

    /// The packets, without link headers.
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 24;
        std::iter::from_fn(move || {
            let captured = self.number(at + 8)?;
            let packet = self.octets.get(at + 16..at + 16 + captured)?;
            at += 16 + captured;
            Some(packet.get(self.link_header..).unwrap_or_default())
        })
    }

    /// How often these octets stand anywhere in it.
    pub(super) fn count(&self, pattern: &[u8]) -> usize {
        self.octets
            .windows(pattern.len())
            .filter(|window| *window == pattern)
            .count()
    }

    fn number(&self, at: usize) -> Option<usize> {
        let octets: [u8; 4] = self.octets.get(at..at + 4)?.try_into().ok()?;
        let number = if self.little {
            u32::from_le_bytes(octets)
        } else {
            u32::from_be_bytes(octets)
        };
        usize::try_from(number).ok()
    }
}

/// Judges an outer packet.
pub(super) fn judge(packet: &[u8], port: u16) -> Seen {
    let data = (|| {
        let header = usize::from(*packet.first()? & 15) * 4;
        let udp = packet.get(header..)?;
        let ports = [udp.get(..2)?, udp.get(2..4)?].map(|octets| u16::from_be_bytes([octets[0], octets[1]]));
        (packet[0] >> 4 == 4 && packet[9] == UDP && ports.contains(&port)).then(|| udp.get(8..))?
    })();
    let Some(data) = data else { return Seen::Other };
    let Ok((shim, inner)) = Shim::parse(data) else {
        return Seen::NoShim;
    };
    match shim.data_type() {
        Some(DataType::Virtual) => judge_virtual(inner, port),
        Some(_) => Seen::Control,
        None => Seen::NoShim,
    }
}

fn judge_virtual(packet: &[u8], port: u16) -> Seen {
    let Ok((header, payload)) = Ipv4::parse(packet) else {
        return Seen::Clear;
    };
    match header.protocol() {
        ESP => Seen::Esp,
        UDP if [port, IKE_PORT]
            .iter()
            .any(|port| payload.get(2..4) == Some(&port.to_be_bytes())) =>
        {
            Seen::Keying
        }
        _ => Seen::Clear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use zerocopy::IntoBytes;

    fn outer(port: u16, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 28];
        (packet[0], packet[9]) = (0x45, 17);
        packet[22..24].copy_from_slice(&port.to_be_bytes());
        packet.extend_from_slice(data);
        packet
    }

    fn file(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1];
        out.extend([0; 16]);
        out.extend(link.to_le_bytes());
        for packet in packets {
            out.extend([0; 8]);
            out.extend((packet.len() as u32).to_le_bytes());
            out.extend((packet.len() as u32).to_le_bytes());
            out.extend(packet);
        }
        out
    }

    #[test]
    fn packets_are_found_and_judged() {
        let shim = Shim::new(DataType::Virtual);
        let (from, to) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        let inside = |protocol, data: &[u8]| {
            let header = Ipv4::new(from, to, protocol, 20 + data.len() as u16);
            outer(20202, &[shim.as_bytes(), header.as_bytes(), data].concat())
        };
        let packet = inside(ESP, &[7; 32]);
        assert_eq!(judge(&packet, 20202), Seen::Esp);
        for to in [[78, 234], [1, 244]] {
            let keying = [&[1, 1], &to[..], &[0, 8, 0, 0]].concat();
            assert_eq!(judge(&inside(UDP, &keying), 20202), Seen::Keying);
        }
        assert_eq!(
            judge(&inside(UDP, &[1, 1, 0, 53, 0, 8, 0, 0]), 20202),
            Seen::Clear
        );
        assert_eq!(judge(&inside(1, &[8; 8]), 20202), Seen::Clear);
        assert_eq!(judge(&packet, 53), Seen::Other);
        assert_eq!(
            judge(&outer(20202, Shim::new(DataType::KeepAlive).as_bytes()), 20202),
            Seen::Control
        );
        assert_eq!(judge(&outer(20202, &[9; 40]), 20202), Seen::NoShim);
        for cut in 0..packet.len() {
            judge(&packet[..cut], 20202);
        }
        let framed = [vec![0; 14], packet.clone()].concat();
        let capture = Capture::new(file(1, &[framed.clone(), framed])).unwrap();
        assert_eq!(capture.packets().collect::<Vec<_>>(), [&packet, &packet]);
        assert_eq!(capture.count(&[7; 32]), 2);
    }

    #[test]
    fn what_is_no_capture_is_refused_and_a_cut_one_ends() {
        assert!(Capture::new(b"hello, this is no capture at all".to_vec()).is_none());
        assert!(Capture::new(file(147, &[])).is_none());
        let whole = file(101, &[vec![7; 40]]);
        let cut = Capture::new(whole[..whole.len() - 1].to_vec()).unwrap();
        assert_eq!(cut.packets().count(), 0);
    }
}
