//! The outer headers of what comes up and goes back: taken off, and put on again the other way round.
//!
//! An answer goes to the station, address and port that its question came from, out of the port that it came in at. That
//! keeps no state for a sender who has proved nothing, and needs neither routes nor ARP.

use kith_pipeline::outer::{self, Outer};
use kith_pipeline::packet::{Packet, Slot};
use kith_wire::ethernet::{self, Ethernet, MacAddr};
use kith_wire::ipv4::Ipv4;
use kith_wire::udp::Udp;
use std::net::SocketAddrV4;

/// Who sent a datagram, and to which of our stations and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The port it came in at.
    pub port: u16,
    /// The dataplane's station on that port, and the one that the frame came from.
    pub stations: (MacAddr, MacAddr),
    /// Who sent it.
    pub from: SocketAddrV4,
    /// To whom.
    pub to: SocketAddrV4,
}

/// A frame whose headers are off: what remains is UDP data, with room for the headers in front.
pub type Opened = Slot<Vec<u8>>;

/// Takes a frame's headers and padding off.
#[must_use]
pub fn open(port: u16, frame: Vec<u8>) -> Option<(Envelope, Opened)> {
    let (ethernet, rest) = Ethernet::parse(&frame).ok()?;
    let (ip, payload) = Ipv4::parse(rest).ok()?;
    let (udp, _) = Udp::parse(payload).ok()?;
    let envelope = Envelope {
        port,
        stations: (ethernet.destination, ethernet.source),
        from: SocketAddrV4::new(ip.source(), udp.source.get()),
        to: SocketAddrV4::new(ip.destination(), udp.destination.get()),
    };
    let end = ethernet::HEADER_LEN + usize::from(ip.total_len());
    (outer::LEN <= end && end <= frame.len()).then(|| (envelope, Slot::within(frame, outer::LEN, end)))
}

/// Puts headers around UDP data: back to where the envelope came from. `None` for a station that is no single one.
#[must_use]
pub fn close(envelope: &Envelope, mut packet: Opened) -> Option<Vec<u8>> {
    let (ours, theirs) = envelope.stations;
    if ours.is_group() || theirs.is_group() {
        return None;
    }
    let headers = Outer {
        source: (ours, envelope.to),
        destination: (theirs, envelope.from),
        checksum: true,
    };
    headers.push(&mut packet).ok()?;
    Some(packet.bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
    const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 21]);

    fn frame(data: &[u8], stations: (MacAddr, MacAddr)) -> Vec<u8> {
        let mut packet = Slot::within(
            [&[0; outer::LEN], data].concat(),
            outer::LEN,
            outer::LEN + data.len(),
        );
        let headers = Outer {
            source: (stations.0, "203.0.113.21:4000".parse().unwrap()),
            destination: (stations.1, "203.0.113.10:20202".parse().unwrap()),
            checksum: true,
        };
        headers.push(&mut packet).unwrap();
        packet.bytes().to_vec()
    }

    #[test]
    fn what_is_closed_goes_back_the_way_it_came_without_padding() {
        let mut padded = frame(b"hello", (THEIRS, OURS));
        padded.resize(60, 0xee);
        let (envelope, opened) = open(3, padded).unwrap();
        assert_eq!((envelope.port, opened.bytes()), (3, b"hello".as_slice()));
        let (back, data) = open(3, close(&envelope, opened).unwrap()).unwrap();
        assert_eq!(
            (back.stations, back.from, back.to),
            ((THEIRS, OURS), envelope.to, envelope.from)
        );
        assert_eq!(data.bytes(), b"hello");
    }

    #[test]
    fn nothing_is_sent_to_or_from_a_group() {
        for stations in [(MacAddr::BROADCAST, OURS), (THEIRS, MacAddr::BROADCAST)] {
            let (envelope, opened) = open(0, frame(b"hello", stations)).unwrap();
            assert!(close(&envelope, opened).is_none());
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_envelope() {
        let whole = frame(b"hello", (THEIRS, OURS));
        for len in 0..whole.len() {
            assert!(open(0, whole[..len].to_vec()).is_none(), "{len}");
        }
    }
}
